//! What the commands around states tell: plain data, and a file for each format.

pub(super) mod human;
pub(super) mod json;

use std::path::PathBuf;
use std::time::SystemTime;

use crate::names::BackendName;
use crate::state::diff::{Counts, Difference};
use crate::state::document::Head;
use crate::state::{Facts, StateKey, StoredState, Version};

/// What is told of states.
pub(crate) enum StatesTold<'a> {
    /// Every state.
    List { rows: &'a [ListRow], now: SystemTime },
    /// A version, in a history that is told newest first.
    Version(&'a VersionRow),
    /// What is in a state.
    Show(&'a ShownState),
    /// What changed between two versions.
    Diff(&'a DiffReport),
    /// What a restoration would do, before it is asked for.
    Proposal(&'a Proposal),
    /// What a restoration did.
    Restored(&'a Restored),
    /// Something that is not as it should be.
    Finding(&'a Finding),
    /// What became of a copy in a backup.
    Copied(&'a Copied),
    /// A version that is kept for good, or no longer.
    Kept(&'a Kept),
    /// What can go of a state, before it is asked for.
    Excess(&'a ExcessRow),
}

/// A state on a backend, at a glance.
#[derive(Debug)]
pub(crate) struct ListRow {
    pub(crate) backend: BackendName,
    pub(crate) stored: StoredState,
    pub(crate) content: Content,
    pub(crate) lies_under: LiesUnder,
    /// Whether the configuration knows it.
    pub(crate) is_known: bool,
}

/// What a version holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// So many instances of managed resources.
    Plain { head: Head, resources: usize },
    /// What only OpenTofu can read.
    Encrypted(Head),
    /// Nothing that can be read, and why.
    Unreadable(String),
    /// Nothing: the state was deleted then, or is gone by now.
    Gone,
}

/// Which key a state is encrypted with where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LiesUnder {
    /// The backend's.
    OurKey,
    /// Another one.
    AnotherKey(String),
    /// None of ours: the store's own.
    TheStores,
    /// None at all.
    Nothing,
    /// It is not known which.
    Unknown,
}

/// A version of a state.
#[derive(Debug)]
pub(crate) struct VersionRow {
    pub(crate) state: StateKey,
    pub(crate) version: Version,
    pub(crate) content: Content,
    /// What changed against the version before; `None` where that can't be told.
    pub(crate) changes: Option<Counts>,
    /// Whether it is kept for good.
    pub(crate) is_pinned: bool,
    /// What is strange about it against the version before.
    pub(crate) remarks: Vec<String>,
}

/// What is in a state.
#[derive(Debug)]
pub(crate) struct ShownState {
    pub(crate) backend: BackendName,
    pub(crate) state: StateKey,
    pub(crate) facts: Facts,
    pub(crate) lies_under: LiesUnder,
    pub(crate) content: Content,
    /// The addresses of its resources.
    pub(crate) resources: Vec<String>,
    /// Its outputs, as if all of them were new.
    pub(crate) outputs: Difference,
}

/// What changed between two versions.
#[derive(Debug)]
pub(crate) struct DiffReport {
    pub(crate) state: StateKey,
    pub(crate) before: Labelled,
    pub(crate) after: Labelled,
    pub(crate) difference: Difference,
}

/// A version, as a diff names it.
#[derive(Debug, Clone)]
pub(crate) struct Labelled {
    pub(crate) version: String,
    pub(crate) at: Option<SystemTime>,
    pub(crate) serial: u64,
}

/// What a restoration would do.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) backend: BackendName,
    pub(crate) state: StateKey,
    pub(crate) candidate: Labelled,
    /// The serial that it would have; `None` where it is encrypted and stays as it is.
    pub(crate) serial: Option<u64>,
    /// What would change; `None` where it can't be told, and why.
    pub(crate) difference: Result<Difference, String>,
    /// Whether the state is that already, so that only its digest is looked after.
    pub(crate) is_done: bool,
}

/// What a restoration did.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) state: StateKey,
    /// The id of what was written; `None` where the state was that already.
    pub(crate) version: Option<String>,
    pub(crate) serial: Option<u64>,
}

/// Something about a state that is not as it should be.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) backend: BackendName,
    pub(crate) state: StateKey,
    pub(crate) problem: Problem,
    pub(crate) detail: String,
    /// What was done about it.
    pub(crate) repair: Repair,
}

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The digest is another state's.
    WrongDigest,
    /// There is no digest.
    NoDigest,
    /// The digest is none.
    UnreadableDigest,
    /// A digest is left that nothing keeps right.
    StaleDigest,
    /// The state is not under the backend's key.
    OtherKey,
    /// The newest version can't be read.
    Unreadable,
    /// The history is that of two states.
    Lineages,
}

/// What becomes of a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repair {
    /// It can be put right by `--repair`.
    Possible,
    /// A person has to decide, and how.
    ByHand(String),
    /// It was put right.
    Done,
    /// It could not be put right, and why.
    Failed(String),
}

/// A copy in a backup.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) state: StateKey,
    pub(crate) version: String,
    pub(crate) path: PathBuf,
    pub(crate) outcome: Result<(), String>,
}

/// What can go of a state.
#[derive(Debug)]
pub(crate) struct ExcessRow {
    pub(crate) backend: BackendName,
    pub(crate) state: StateKey,
    /// How many versions of the state.
    pub(crate) versions: usize,
    /// How many versions and delete markers of its lock object.
    pub(crate) locks: usize,
    pub(crate) bytes: u64,
}

/// A version that is kept for good, or no longer.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) state: StateKey,
    pub(crate) version: String,
    /// Whether it is kept from now on.
    pub(crate) is_pinned: bool,
}

impl LiesUnder {
    /// Says what is wrong with it, where something is.
    pub(crate) fn complaint(&self) -> Option<String> {
        match self {
            Self::OurKey | Self::Unknown => None,
            Self::AnotherKey(key) => Some(format!("encrypted with another key, `{key}`")),
            Self::TheStores => Some("encrypted with a key of S3's own (AES256)".to_owned()),
            Self::Nothing => Some("not encrypted".to_owned()),
        }
    }
}

impl Problem {
    /// Returns the problem's name, which stays.
    fn name(self) -> &'static str {
        match self {
            Self::WrongDigest => "wrong digest",
            Self::NoDigest => "no digest",
            Self::UnreadableDigest => "unreadable digest",
            Self::StaleDigest => "stale digest",
            Self::OtherKey => "other key",
            Self::Unreadable => "unreadable",
            Self::Lineages => "two lineages",
        }
    }
}
