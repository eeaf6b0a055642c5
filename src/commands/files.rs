//! The backend files of a run: what they should say, and what becomes of them.

use std::collections::BTreeMap;

use super::Context;
use super::prepare::Prepared;
use crate::config::{Config, Environment};
use crate::error::{CommandError, ExitStatus};
use crate::names::{BackendName, KeyArn};
use crate::render::{self, BackendFacts, ByHand, FileAction, FilePlan, FileRefusal, Reason, Templates};
use crate::report::{FileReport, FileState};

/// What is done about files that are not as they should be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// They are told.
    Check,
    /// They are written.
    Write(ByHand),
}

/// Everything that files are rendered from, beside the account.
pub(super) struct Files<'a> {
    config: &'a Config,
    templates: Templates,
}

impl<'a> Files<'a> {
    /// Reads the templates, and looks at what people wrote beside the rendered files.
    pub(super) fn of(context: &Context<'_>, config: &'a Config) -> Result<Self, CommandError> {
        let folder = config.templates.as_ref().map(|folder| config.root.join(folder));
        let templates = Templates::load(folder.as_deref())?;
        let (errors, warnings): (Vec<_>, Vec<_>) = render::neighbours(config, &config.environments)?
            .into_iter()
            .partition(render::Finding::is_error);
        for warning in warnings {
            context.reporter.warn(&warning.to_string());
        }
        if errors.is_empty() {
            return Ok(Self { config, templates });
        }
        let message = "the files beside the rendered ones do not go with them";
        let mut error = CommandError::new(ExitStatus::Failure, message);
        error.causes = errors.iter().map(ToString::to_string).collect();
        Err(error.hinted("Widen `required_version` there, or choose another `lock` for the backend."))
    }

    /// Compares the files of all environments with those that are there.
    pub(super) fn compare(
        &self,
        prepared: &[Prepared<'_>],
        by_hand: ByHand,
    ) -> Result<Vec<FileReport>, CommandError> {
        let facts = prepared.iter().map(|prepared| facts_of(prepared, prepared.plan.key())).collect();
        Ok(told(&self.plan(&facts, &self.config.environments, by_hand)?))
    }

    /// Writes the files of one backend's environments, once its key is known.
    pub(super) fn write(
        &self,
        context: &Context<'_>,
        prepared: &Prepared<'_>,
        key: Option<KeyArn>,
        by_hand: ByHand,
    ) -> Result<Vec<FileReport>, CommandError> {
        let facts = BTreeMap::from([facts_of(prepared, key)]);
        let environments = self.config.environments_on(&prepared.backend.name);
        let plan = self.plan(&facts, environments, by_hand)?;
        settle(context, &plan, Mode::Write(by_hand))
    }

    /// Writes the files of all environments, or tells which are not as they should be.
    pub(super) fn settle(
        &self,
        context: &Context<'_>,
        facts: &BTreeMap<BackendName, BackendFacts>,
        mode: Mode,
    ) -> Result<Vec<FileReport>, CommandError> {
        let by_hand = match mode {
            Mode::Check => ByHand::Keep,
            Mode::Write(by_hand) => by_hand,
        };
        settle(context, &self.plan(facts, &self.config.environments, by_hand)?, mode)
    }

    fn plan<'e>(
        &self,
        facts: &BTreeMap<BackendName, BackendFacts>,
        environments: impl IntoIterator<Item = &'e Environment>,
        by_hand: ByHand,
    ) -> Result<FilePlan, CommandError> {
        let rendered = render::render(self.config, &self.templates, facts, environments)?;
        Ok(render::plan_files(&self.config.root, &rendered, by_hand)?)
    }
}

fn facts_of(prepared: &Prepared<'_>, key: Option<KeyArn>) -> (BackendName, BackendFacts) {
    (prepared.backend.name.clone(), prepared.placed.facts(key))
}

/// Says what there is to do, before anything is done.
fn told(plan: &FilePlan) -> Vec<FileReport> {
    let changes = plan.changes.iter().map(|change| {
        let state = match change.action {
            FileAction::Create => FileState::Missing,
            FileAction::Update => FileState::Differs,
            FileAction::Respell | FileAction::Unchanged => FileState::Unchanged,
        };
        FileReport { path: change.path.clone(), state }
    });
    changes.chain(plan.refusals.iter().map(refused)).collect()
}

fn settle(context: &Context<'_>, plan: &FilePlan, mode: Mode) -> Result<Vec<FileReport>, CommandError> {
    let mut reports = told(plan);
    if plan.refusals.is_empty() && matches!(mode, Mode::Write(_)) {
        for (change, report) in plan.changes.iter().zip(&mut reports) {
            report.state = match change.action {
                FileAction::Create => FileState::Created,
                FileAction::Update => FileState::Updated,
                // The same key by another name is as good, and rewriting it would cost everyone a `terraform init`.
                FileAction::Respell | FileAction::Unchanged => continue,
            };
            render::write(change)?;
        }
    }
    for report in &reports {
        context.reporter.file(report)?;
    }
    Ok(reports)
}

fn refused(refusal: &FileRefusal) -> FileReport {
    let cure = match &refusal.reason {
        Reason::Foreign => {
            "Remove it, or give `--force` to replace it; what it says belongs into the configuration."
                .to_owned()
        }
        Reason::Outside { .. } => {
            "Files are written inside the project alone. Remove the link, or set another `directory`."
                .to_owned()
        }
        Reason::Dangling => "Remove the link, or make what it points to.".to_owned(),
        Reason::NotAFile => "Move it away, or set another `directory`.".to_owned(),
        Reason::SharedWith { other } => {
            format!(
                "Give each component a folder of its own; this one is also that of `{}`.",
                other.display()
            )
        }
    };
    FileReport { path: refusal.path.clone(), state: FileState::Refused { found: refusal.to_string(), cure } }
}
