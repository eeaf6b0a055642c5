//! For people: a plan read at a glance, progress for each resource at work, a summary in one line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::Mutex;

use anstyle::Style;
use indicatif::ProgressBar;

use super::{
    AppliedReport, BackendReport, FileReport, FileState, LocksTold, PlanReport, Reporter, StatesTold,
};
use crate::config::Loaded;
use crate::engine::{Action, Change, Event, EventKind, PlannedStep};
use crate::error::CommandError;
use crate::ui::{ADDED, CHANGED, FAINT, LOST, STRONG, Ui};

/// How much of a value a plan shows; whole documents are for `--json`.
const LONGEST_VALUE: usize = 160;

/// Writes for people.
pub(crate) struct Human<'a> {
    ui: &'a Ui,
    /// The lines of what is at work, by backend and resource.
    at_work: Mutex<BTreeMap<String, ProgressBar>>,
}

impl<'a> Human<'a> {
    pub(crate) fn new(ui: &'a Ui) -> Self {
        Self { ui, at_work: Mutex::default() }
    }

    fn backend(&self, report: &BackendReport<'_>) -> io::Result<()> {
        let BackendReport { plan, account_id, region } = report;
        let shows = |change: &&dyn Change| change.action() != Action::NoOp || !change.refusals().is_empty();
        let changes: Vec<&dyn Change> = plan.changes.iter().map(AsRef::as_ref).filter(shows).collect();
        if !changes.is_empty() {
            self.ui.out(format_args!(
                "{STRONG}Backend `{}`{STRONG:#} in {region}, account {account_id}\n",
                plan.backend
            ))?;
            for change in changes {
                self.change(change)?;
            }
            self.ui.out("")?;
        }
        for warning in plan.changes.iter().flat_map(|change| change.warnings()) {
            self.ui.warn(warning);
        }
        Ok(())
    }

    fn change(&self, change: &dyn Change) -> io::Result<()> {
        let (style, symbol) = match (change.refusals(), change.action()) {
            ([_, ..], _) => (LOST, '!'),
            (_, Action::Create) => (ADDED, '+'),
            (_, Action::Update) => (CHANGED, '~'),
            (_, Action::NoOp) => (FAINT, ' '),
        };
        let head = format!("  {style}{symbol}{style:#} {STRONG}{}{STRONG:#}", change.address());
        let steps = change.steps();
        // One line is enough for one step: a backend has three policies for each environment.
        if let ([step], []) = (steps.as_slice(), change.refusals()) {
            return self.ui.out(format_args!(
                "{head}  {FAINT}{}:{FAINT:#} {}",
                step.line.setting,
                values(step)
            ));
        }
        self.ui.out(head)?;
        let width = steps.iter().map(|step| step.line.setting.len()).max().unwrap_or_default();
        for step in &steps {
            let setting = format!("{}:", step.line.setting);
            self.ui.out(format_args!(
                "      {FAINT}{setting:<padded$}{FAINT:#} {}",
                values(step),
                padded = width + 1
            ))?;
        }
        for refusal in change.refusals() {
            self.ui.out(format_args!("      {LOST}refused:{LOST:#} {}", refusal.found))?;
            self.ui.out(format_args!("      {}", refusal.cure))?;
        }
        Ok(())
    }

    fn plan_file(&self, file: &FileReport) -> io::Result<()> {
        let path = file.path.display();
        match &file.state {
            FileState::Missing => self.ui.out(format_args!("  {ADDED}+{ADDED:#} {path}")),
            FileState::Differs => self.ui.out(format_args!("  {CHANGED}~{CHANGED:#} {path}")),
            FileState::Refused { found, cure } => {
                self.ui.out(format_args!("  {LOST}!{LOST:#} {path}"))?;
                self.ui.out(format_args!("      {LOST}refused:{LOST:#} {found}"))?;
                self.ui.out(format_args!("      {cure}"))
            }
            FileState::Unchanged | FileState::Created | FileState::Updated => Ok(()),
        }
    }

    fn end(&self, event: &Event<'_>) {
        let bar = self.lock().remove(&line_id(event));
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, ProgressBar>> {
        self.at_work.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Reporter for Human<'_> {
    fn plan(&self, report: &PlanReport<'_>) -> io::Result<()> {
        for backend in &report.backends {
            self.backend(backend)?;
        }
        let refused = |file: &FileReport| matches!(file.state, FileState::Refused { .. });
        if report.files_to_write() > 0 || report.files.iter().any(refused) {
            self.ui.out(format_args!("{STRONG}Files{STRONG:#}\n"))?;
            for file in report.files {
                self.plan_file(file)?;
            }
            self.ui.out("")?;
        }
        let count = |action| report.backends.iter().map(|backend| backend.plan.count(action)).sum::<usize>();
        let (add, change) = (count(Action::Create), count(Action::Update));
        let refused = report.refusals().count();
        if refused > 0 {
            return self.ui.out(format_args!(
                "{LOST}Refused:{LOST:#} {} in the way; nothing was changed.",
                plural(refused, "thing")
            ));
        }
        match (add + change, report.files_to_write()) {
            (0, 0) => self.ui.out("No changes. Everything is as the configuration asks for."),
            (_, files) => {
                let mut line =
                    format!("{STRONG}Plan:{STRONG:#} {add} to add, {change} to change, 0 to destroy");
                if files > 0 {
                    write!(line, "; {} to write", plural(files, "file")).map_err(io::Error::other)?;
                }
                self.ui.out(format_args!("{line}. {FAINT}Digest {}{FAINT:#}", report.digest))
            }
        }
    }

    fn event(&self, event: &Event<'_>) {
        match &event.kind {
            EventKind::StepBegun(step) => {
                self.end(event);
                let message = format!("{}: {} ...", event.address, step.line.summary);
                if let Some(bar) = self.ui.begin(message) {
                    let _replaced = self.lock().insert(line_id(event), bar).is_some();
                }
                self.ui.detail(format_args!("{} begun ({})", step.operation, event.address));
            }
            EventKind::StepDone(step, time) => {
                self.end(event);
                let seconds = time.as_secs_f32();
                self.ui.status(format_args!(
                    "  {}: {} {FAINT}[{seconds:.1} s]{FAINT:#}",
                    event.address, step.line.summary
                ));
            }
            EventKind::StepFailed(step, _) => {
                self.end(event);
                self.ui.detail(format_args!("{} failed ({})", step.operation, event.address));
            }
            EventKind::Raced => {
                self.ui.status(format_args!(
                    "  {}: changed by someone else meanwhile, looked at again",
                    event.address
                ));
            }
            EventKind::Settled => self.ui.detail(format_args!("{} is as desired", event.address)),
        }
    }

    fn file(&self, file: &FileReport) -> io::Result<()> {
        let path = file.path.display();
        let told = |style: Style, word: &str| format!("  {style}{word}{style:#} {path}");
        match &file.state {
            FileState::Unchanged => self.ui.detail(format_args!("{path} is unchanged")),
            FileState::Created => self.ui.status(told(ADDED, "wrote")),
            FileState::Updated => self.ui.status(told(CHANGED, "replaced")),
            FileState::Missing => self.ui.out(told(CHANGED, "missing"))?,
            FileState::Differs => self.ui.out(told(CHANGED, "differs"))?,
            FileState::Refused { found, cure } => {
                self.ui.out(format_args!("{}: {found}", told(LOST, "refused")))?;
                self.ui.out(format_args!("      {cure}"))?;
            }
        }
        Ok(())
    }

    fn applied(&self, applied: &AppliedReport<'_>) -> io::Result<()> {
        let AppliedReport { executed, added, changed, files_written, failed, interrupted } = applied;
        if !failed && !interrupted {
            let mut line =
                format!("{STRONG}Apply complete:{STRONG:#} {added} added, {changed} changed, 0 destroyed");
            if *files_written > 0 {
                write!(line, "; {} written", plural(*files_written, "file")).map_err(io::Error::other)?;
            }
            return self.ui.out(format_args!("{line}."));
        }
        let done: usize = executed.iter().map(|executed| executed.done.len()).sum();
        let word = if *interrupted { "Interrupted" } else { "Apply stopped" };
        self.ui.out(format_args!("{STRONG}{word}:{STRONG:#} {} done.", plural(done, "step")))?;
        let not_begun = executed.iter().flat_map(|executed| &executed.not_begun);
        for step in not_begun {
            self.ui.out(format_args!("  not begun: {} ({})", step.step.line.summary, step.address))?;
        }
        self.ui.out("`underpin apply` goes on from here.")
    }

    fn locks(&self, told: &LocksTold<'_>) -> io::Result<()> {
        super::locks::human::tell(self.ui, told)
    }

    fn states(&self, told: &StatesTold<'_>) -> io::Result<()> {
        super::states::human::tell(self.ui, told)
    }

    fn note(&self, note: &str) -> io::Result<()> {
        self.ui.out(note)
    }

    fn config_warnings(&self, loaded: &Loaded) {
        if !loaded.warnings.is_empty() {
            self.ui.drawn(&loaded.render_warnings(true));
            self.ui.drawn("");
        }
    }

    fn warn(&self, message: &str) {
        self.ui.warn(message);
    }

    fn error(&self, error: &CommandError) {
        if let Some(mistakes) = &error.mistakes {
            self.ui.drawn(&mistakes.render_mistakes(true));
            self.ui.drawn("");
        }
        self.ui.error(&error.message, &error.causes, &error.hints);
    }
}

fn line_id(event: &Event<'_>) -> String {
    format!("{} {}", event.backend, event.address)
}

/// Returns what a step changes: from and to, as far as there is both.
fn values(step: &PlannedStep) -> String {
    match (&step.line.from, &step.line.to) {
        (Some(from), Some(to)) => format!("{} -> {}", shortened(from), shortened(to)),
        (None, Some(to)) => shortened(to),
        (Some(from), None) => format!("{} -> none", shortened(from)),
        (None, None) => String::new(),
    }
}

pub(crate) fn shortened(value: &str) -> String {
    let length = value.chars().count();
    if length <= LONGEST_VALUE {
        return value.to_owned();
    }
    let beginning: String = value.chars().take(LONGEST_VALUE / 2).collect();
    format!("{beginning}... ({length} characters)")
}

/// Returns `1 file`, `2 files`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_say_how_long_they_are() {
        assert_eq!(shortened("short"), "short");
        assert!(shortened(&"x".repeat(500)).ends_with("... (500 characters)"));
    }
}
