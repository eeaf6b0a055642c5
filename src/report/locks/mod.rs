//! What the commands around locks tell: plain data, and a file for each format.

pub(super) mod human;
pub(super) mod json;
pub(super) mod table;

use std::time::{Duration, SystemTime};

use crate::names::BackendName;
use crate::state::history::{Hold, Summary};
use crate::state::survey::Surveyed;
use crate::state::{Beginning, Kind, Lock, StateKey, Written};

/// What is told of locks and states.
pub(crate) enum LocksTold<'a> {
    /// Every lock that is held.
    List {
        locks: &'a [LockRow],
        /// What could not be seen.
        unseen: &'a [String],
        now: SystemTime,
    },
    /// All of one lock.
    Show(&'a Shown),
    /// What a release of several would do, before it is asked for.
    Selected { locks: &'a [(LockRow, Option<Ended>)], now: SystemTime },
    /// What became of a lock that was to be released.
    Outcome(&'a Outcome),
    /// Who held which lock.
    History { report: &'a HistoryReport, now: SystemTime },
    /// A lock that was taken or released while it was watched.
    Event(&'a LockEvent),
    /// Backends and environments.
    Status { rows: &'a [StatusRow], now: SystemTime },
}

/// A lock on a backend.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LockRow {
    pub(crate) backend: BackendName,
    pub(crate) kinds: &'static [Kind],
    pub(crate) surveyed: Surveyed,
}

/// All of one lock.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) row: LockRow,
    pub(crate) account_id: String,
    pub(crate) state: Option<StateFacts>,
    /// The latest holdings, newest first.
    pub(crate) history: Vec<Hold>,
    /// What a release would do.
    pub(crate) on_release: String,
    pub(crate) now: SystemTime,
}

/// When a state was written, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateFacts {
    pub(crate) written: Written,
    pub(crate) beginning: Option<Beginning>,
}

/// What became of a lock that was to be released.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) backend: BackendName,
    pub(crate) lock: Lock,
    pub(crate) ended: Ended,
}

/// How a release ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ended {
    /// The lock is gone, by us.
    Released,
    /// The lock was gone already.
    Gone,
    /// Another holder has it by now; nothing was touched.
    Changed(Lock),
    /// A guard refused, and why.
    Refused(String),
    /// It failed, and why.
    Failed(String),
}

/// Who held which lock, and what it comes to.
#[derive(Debug)]
pub(crate) struct HistoryReport {
    /// Newest first.
    pub(crate) holds: Vec<(BackendName, Hold)>,
    pub(crate) summary: Summary,
}

/// Something that happened to a lock.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LockEvent {
    pub(crate) at: SystemTime,
    pub(crate) backend: BackendName,
    pub(crate) lock: Lock,
    /// How long the lock was seen to be held, where it is gone; `None` where it was taken.
    pub(crate) released_after: Option<Duration>,
}

/// A backend at a glance.
#[derive(Debug)]
pub(crate) struct StatusRow {
    pub(crate) backend: BackendName,
    pub(crate) account_id: String,
    pub(crate) region: String,
    pub(crate) health: Health,
    pub(crate) locks: Vec<LockRow>,
    /// Each environment, those that the configuration does not know included.
    pub(crate) environments: Vec<(String, Tally)>,
}

/// How a backend compares with its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It is as desired.
    AsDesired,
    /// So many resources differ.
    Differs(usize),
    /// So many things refuse to be touched.
    Refused(usize),
    /// There is nothing yet.
    Missing,
}

/// What an environment holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) states: usize,
    pub(crate) bytes: u64,
    pub(crate) versions: usize,
    pub(crate) version_bytes: u64,
    /// The state that was written last, and when.
    pub(crate) last: Option<(StateKey, SystemTime)>,
    /// Who held its lock then, where the lock's history tells.
    pub(crate) writer: Option<String>,
    pub(crate) is_known: bool,
}

/// Returns how a state is named: by its address where it has one.
pub(super) fn state_name(state: &StateKey) -> String {
    state.address().map_or_else(|| state.to_string(), |address| address.to_string())
}

/// Returns a lock's kind in words.
fn kind_name(lock: &Lock, kinds: &[Kind]) -> String {
    match (lock.parts.as_slice(), kinds) {
        ([part], [_]) => part.kind.to_string(),
        ([part], _) => format!("half of both ({})", part.kind),
        _ => "both".to_owned(),
    }
}
