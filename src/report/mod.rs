//! What a command tells: one trait, a format a file.

mod human;
mod json;
mod locks;
mod states;

use std::io;
use std::path::PathBuf;

use crate::cli::Writes;
use crate::config::Loaded;
use crate::engine::{Event, Executed, Plan};
use crate::error::CommandError;
use crate::names::{AccountId, Region};
use crate::ui::Ui;

pub(crate) use human::{Human, plural};
pub(crate) use json::Json;
pub(crate) use locks::{
    Ended, Health, HistoryReport, LockEvent, LockRow, LocksTold, Outcome, Shown, StateFacts, StatusRow, Tally,
};

pub(crate) use states::{
    Content, Copied, DiffReport, ExcessRow, Finding, Kept, Labelled, LiesUnder, ListRow, Problem, Proposal,
    Repair, Restored, ShownState, StatesTold, VersionRow,
};

/// What the commands tell, in whatever format.
pub(crate) trait Reporter: Sync {
    /// Tells a plan before anything is done.
    fn plan(&self, plans: &PlanReport<'_>) -> io::Result<()>;

    /// Tells what happens while a plan is performed.
    fn event(&self, event: &Event<'_>);

    /// Tells what became of a rendered file.
    fn file(&self, file: &FileReport) -> io::Result<()>;

    /// Tells how an apply ended: what was done, and what was not.
    fn applied(&self, applied: &AppliedReport<'_>) -> io::Result<()>;

    /// Tells of locks and states.
    fn locks(&self, told: &LocksTold<'_>) -> io::Result<()>;

    /// Tells of what is in states, and of their histories.
    fn states(&self, told: &StatesTold<'_>) -> io::Result<()>;

    /// Tells that the configuration is valid, or which files are as they should be.
    fn note(&self, note: &str) -> io::Result<()>;

    /// Tells what is worth a look in the configuration.
    fn config_warnings(&self, loaded: &Loaded);

    /// Tells a warning.
    fn warn(&self, message: &str);

    /// Tells an error.
    fn error(&self, error: &CommandError);
}

/// The plans of all backends.
pub(crate) struct PlanReport<'a> {
    pub(crate) backends: Vec<BackendReport<'a>>,
    pub(crate) files: &'a [FileReport],
    pub(crate) digest: &'a str,
}

/// The plan of one backend, and where it is.
pub(crate) struct BackendReport<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) account_id: &'a AccountId,
    pub(crate) region: &'a Region,
}

/// A rendered file and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileReport {
    pub(crate) path: PathBuf,
    pub(crate) state: FileState,
}

/// What becomes of a rendered file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileState {
    /// It is as it should be.
    Unchanged,
    /// It is not there.
    Missing,
    /// It differs.
    Differs,
    /// It was written.
    Created,
    /// It was replaced.
    Updated,
    /// It may not be touched, and why.
    Refused { found: String, cure: String },
}

/// What an apply did.
pub(crate) struct AppliedReport<'a> {
    pub(crate) executed: &'a [&'a Executed],
    pub(crate) added: usize,
    pub(crate) changed: usize,
    pub(crate) files_written: usize,
    pub(crate) failed: bool,
    pub(crate) interrupted: bool,
}

impl PlanReport<'_> {
    /// Returns how many files would be written.
    pub(crate) fn files_to_write(&self) -> usize {
        let to_write = |file: &&FileReport| matches!(file.state, FileState::Missing | FileState::Differs);
        self.files.iter().filter(to_write).count()
    }
}

impl<'a> PlanReport<'a> {
    /// Returns what is refused: resources first, then files.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let resources = self.backends.iter().flat_map(|backend| &backend.plan.changes);
        let resources = resources
            .flat_map(|change| change.refusals())
            .map(|refusal| (refusal.found.as_str(), refusal.cure.as_str()));
        let files = self.files.iter().filter_map(|file| match &file.state {
            FileState::Refused { found, cure } => Some((found.as_str(), cure.as_str())),
            _ => None,
        });
        resources.chain(files)
    }
}

/// Chooses the format.
pub(crate) fn reporter(ui: &Ui, json: bool, writes: Writes) -> Box<dyn Reporter + '_> {
    match (json, writes) {
        (true, Writes::Events) => Box::new(Json::events(ui)),
        (true, Writes::Answer) => Box::new(Json::answer(ui)),
        (true, Writes::Document) | (false, _) => Box::new(Human::new(ui)),
    }
}
