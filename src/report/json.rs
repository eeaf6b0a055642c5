//! For programs: one object a line on standard output, the first with `format`; an answer is one object. README.md and
//! `docs/json.md` describe every object; adding a field is no change of the format, renaming or removing one is.

use std::io;

use serde_json::{Value, json};

use super::{AppliedReport, FileReport, FileState, Human, LocksTold, PlanReport, Reporter, StatesTold};
use crate::config::{Loaded, Mistake, Source};
use crate::engine::{Action, Change, Done, Event, EventKind, PlannedStep};
use crate::error::CommandError;
use crate::ui::Ui;

/// The number of the format; another one is another format.
const FORMAT: u32 = 1;

/// Writes for programs.
pub(crate) struct Json<'a> {
    ui: &'a Ui,
    shape: Shape,
}

/// How objects follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// The first says the format.
    Stream,
    /// There is one, and it says the format itself.
    Answer,
}

impl<'a> Json<'a> {
    /// Begins a stream of objects.
    pub(crate) fn events(ui: &'a Ui) -> Self {
        let json = Self { ui, shape: Shape::Stream };
        json.line_or_lose(json!({ "type": "begin", "format": FORMAT, "version": env!("CARGO_PKG_VERSION") }));
        json
    }

    /// Begins what is one object; warnings go to standard error.
    pub(crate) fn answer(ui: &'a Ui) -> Self {
        Self { ui, shape: Shape::Answer }
    }

    fn line(&self, mut value: Value) -> io::Result<()> {
        if let (Shape::Answer, Value::Object(fields)) = (self.shape, &mut value) {
            fields.insert("format".to_owned(), json!(FORMAT));
        }
        self.ui.out(value)
    }

    /// Writes a line where nobody can be told that it failed: the next line that matters fails again and says so.
    fn line_or_lose(&self, value: Value) {
        let _written = self.line(value).is_ok();
    }

    fn change(&self, backend: &str, change: &dyn Change) -> io::Result<()> {
        let address = change.address().to_string();
        if change.action() != Action::NoOp {
            let steps: Vec<Value> = change.steps().iter().map(step_value).collect();
            self.line(json!({
                "type": "change", "backend": backend, "resource": address,
                "action": action(change.action()), "steps": steps,
            }))?;
        }
        for refusal in change.refusals() {
            self.line(json!({
                "type": "refusal", "backend": backend, "resource": address,
                "found": refusal.found, "cure": refusal.cure,
            }))?;
        }
        for warning in change.warnings() {
            self.line(json!({
                "type": "warning", "backend": backend, "resource": address, "message": warning,
            }))?;
        }
        Ok(())
    }
}

impl Reporter for Json<'_> {
    fn plan(&self, report: &PlanReport<'_>) -> io::Result<()> {
        for backend in &report.backends {
            self.line(json!({
                "type": "backend", "backend": backend.plan.backend.as_str(),
                "account_id": backend.account_id.as_str(), "region": backend.region.as_str(),
            }))?;
            for change in &backend.plan.changes {
                self.change(backend.plan.backend.as_str(), &**change)?;
            }
        }
        for file in report.files.iter().filter(|file| file.state != FileState::Unchanged) {
            self.file(file)?;
        }
        let count = |action| report.backends.iter().map(|backend| backend.plan.count(action)).sum::<usize>();
        self.line(json!({
            "type": "plan", "add": count(Action::Create), "change": count(Action::Update), "destroy": 0,
            "write": report.files_to_write(), "refused": report.refusals().count(), "digest": report.digest,
        }))
    }

    fn event(&self, event: &Event<'_>) {
        let (kind, details) = match &event.kind {
            EventKind::StepBegun(step) => ("step_begun", step_value(step)),
            EventKind::StepDone(step, time) => {
                ("step_done", joined(step_value(step), json!({ "milliseconds": time.as_millis() })))
            }
            EventKind::StepFailed(step, error) => {
                let answer = json!({
                    "code": error.code, "request_id": error.request_id, "message": error.to_string(),
                });
                ("step_failed", joined(step_value(step), answer))
            }
            EventKind::Raced => ("raced", json!({})),
            EventKind::Settled => ("settled", json!({})),
        };
        let place = json!({
            "type": kind, "backend": event.backend.as_str(), "resource": event.address.to_string(),
        });
        self.line_or_lose(joined(place, details));
    }

    fn file(&self, file: &FileReport) -> io::Result<()> {
        let (state, reasons) = match &file.state {
            FileState::Unchanged => ("unchanged", json!({})),
            FileState::Missing => ("missing", json!({})),
            FileState::Differs => ("differs", json!({})),
            FileState::Created => ("created", json!({})),
            FileState::Updated => ("updated", json!({})),
            FileState::Refused { found, cure } => ("refused", json!({ "found": found, "cure": cure })),
        };
        let value = json!({ "type": "file", "path": file.path.display().to_string(), "state": state });
        self.line(joined(value, reasons))
    }

    fn applied(&self, applied: &AppliedReport<'_>) -> io::Result<()> {
        let steps = |steps: &[Done]| -> Vec<Value> {
            let value =
                |done: &Done| joined(json!({ "resource": done.address.to_string() }), step_value(&done.step));
            steps.iter().map(value).collect()
        };
        let done: Vec<Value> = applied.executed.iter().flat_map(|executed| steps(&executed.done)).collect();
        let left: Vec<Value> =
            applied.executed.iter().flat_map(|executed| steps(&executed.not_begun)).collect();
        self.line(json!({
            "type": "applied", "added": applied.added, "changed": applied.changed, "destroyed": 0,
            "written": applied.files_written, "interrupted": applied.interrupted,
            "failed": applied.failed, "done": done, "not_begun": left,
        }))
    }

    fn locks(&self, told: &LocksTold<'_>) -> io::Result<()> {
        self.line(super::locks::json::value(told))
    }

    fn states(&self, told: &StatesTold<'_>) -> io::Result<()> {
        self.line(super::states::json::value(told))
    }

    fn note(&self, note: &str) -> io::Result<()> {
        self.line(json!({ "type": "note", "message": note }))
    }

    fn config_warnings(&self, loaded: &Loaded) {
        if self.shape == Shape::Answer {
            return Human::new(self.ui).config_warnings(loaded);
        }
        for warning in &loaded.warnings {
            self.line_or_lose(place_in_file("warning", &loaded.source, warning));
        }
    }

    fn warn(&self, message: &str) {
        match self.shape {
            Shape::Stream => self.line_or_lose(json!({ "type": "warning", "message": message })),
            Shape::Answer => self.ui.warn(message),
        }
    }

    fn error(&self, error: &CommandError) {
        if let Some(mistakes) = &error.mistakes {
            for mistake in &mistakes.list {
                self.line_or_lose(place_in_file("mistake", &mistakes.file, mistake));
            }
        }
        self.line_or_lose(json!({
            "type": "error", "message": error.message, "causes": error.causes, "hints": error.hints,
            "exit_code": error.status.code(),
        }));
    }
}

fn place_in_file(kind: &str, file: &Source, mistake: &Mistake) -> Value {
    json!({
        "type": kind, "file": file.path.display().to_string(), "line": mistake.line,
        "column": mistake.column, "message": mistake.what, "hint": mistake.hint,
    })
}

/// Returns one object with the fields of both.
fn joined(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut fields), Value::Object(more)) => {
            fields.extend(more);
            Value::Object(fields)
        }
        (first, _) => first,
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::NoOp => "no-op",
        Action::Create => "create",
        Action::Update => "update",
    }
}

fn step_value(step: &PlannedStep) -> Value {
    json!({
        "operation": step.operation, "permissions": step.permissions, "summary": step.line.summary,
        "setting": step.line.setting, "from": step.line.from, "to": step.line.to,
    })
}
