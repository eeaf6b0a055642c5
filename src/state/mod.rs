//! What lies in a backend while it is used: the states' names, and the locks on them.
//!
//! Terraform can take a lock and, given its id, release it; it can't say which locks there are. The trait [`LockStore`]
//! can, for every place where locks are kept, and it releases a lock only as long as it is exactly the one that was
//! read. Nothing here knows the configuration or the terminal.

mod any;
pub mod archive;
mod beginning;
#[cfg(test)]
mod conformance;
pub mod diff;
pub mod digest;
pub mod document;
mod dynamodb;
#[cfg(test)]
mod fake;
pub mod history;
mod hold;
pub mod judgement;
mod key;
mod lock;
mod lock_info;
mod objects;
mod pair;
mod pins;
pub mod prune;
pub mod record;
pub mod restore;
mod s3;
mod s3_states;
mod states;
#[cfg(test)]
mod states_conformance;
pub mod survey;
pub mod timeline;
pub mod versions;
pub mod when;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

pub use any::Locks;
pub use beginning::Beginning;
pub use digest::Digests;
pub use dynamodb::DynamoDbLocks;
pub use hold::{HoldError, hold};
pub use key::{InvalidAddress, StateAddress, StateKey};
pub use lock::{Kind, Lock, Part, Unread};
pub use lock_info::{LockInfo, Malformed};
pub use objects::{Objects, Written};
pub use pair::Pair;
pub use pins::Pin;
pub use s3::S3Locks;
pub use s3_states::S3States;
pub use states::{Encryption, Facts, FoundState, StateStore, StoredState, Version};

/// A place where Terraform keeps locks.
///
/// Every implementation passes the same suite of laws, `conformance`.
pub trait LockStore: fmt::Debug + Send + Sync {
    /// Why a call to the store failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Returns the kinds that a whole lock has here, in the order in which Terraform takes them.
    fn kinds(&self) -> &'static [Kind];

    /// Returns what the `Path` of a lock on `state` says.
    fn path(&self, state: &StateKey) -> String;

    /// Tells every lock that is searched for, in no order, as it is found.
    ///
    /// Keeps no more than a page of the store's answers. A malformed lock is a lock.
    fn list<'a>(
        &'a self,
        search: Search<'a>,
        found: Found<'a>,
    ) -> impl Future<Output = Result<Elsewhere, Self::Error>> + Send;

    /// Reads the lock on one state; `None` where nobody holds it.
    fn find(&self, state: &StateKey) -> impl Future<Output = Result<Option<Lock>, Self::Error>> + Send;

    /// Takes the lock on one state, unless someone holds it.
    ///
    /// A lock that was taken though the answer was lost counts as taken: its id is ours.
    fn take(
        &self,
        state: &StateKey,
        info: &LockInfo,
    ) -> impl Future<Output = Result<Take, Self::Error>> + Send;

    /// Releases this very lock, and no other one that is on the state by now.
    fn release(&self, lock: &Lock) -> impl Future<Output = Result<Release, Self::Error>> + Send;
}

/// Which locks are searched for.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// How the keys of their states begin: one of these.
    pub prefixes: &'a [String],
    /// Locks that were read before: what can be seen to be unchanged is not read again.
    pub known: Option<&'a BTreeMap<StateKey, Lock>>,
}

impl<'a> Search<'a> {
    /// Searches below these prefixes, and reads every lock.
    pub fn below(prefixes: &'a [String]) -> Self {
        Self { prefixes, known: None }
    }

    /// Returns whether the lock on `state` is searched for.
    fn wants(&self, state: &StateKey) -> bool {
        self.prefixes.iter().any(|prefix| state.as_str().starts_with(prefix))
    }
}

/// Hears of the locks that are found.
pub type Found<'a> = &'a mut (dyn FnMut(Lock) + Send);

/// How many locks a store holds that are not on states of this backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Elsewhere(pub usize);

/// How taking a lock ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Take {
    /// It is ours.
    Taken(Lock),
    /// Someone holds it; nothing of ours is left.
    Held(Lock),
}

/// How releasing a lock ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Release {
    /// It is gone, by us.
    Released,
    /// It was gone already.
    Gone,
    /// Another lock is there by now; nothing was touched.
    Changed(Lock),
}
