//! The trait of every place where states are kept, and what such a place says of them.

use std::fmt;
use std::future::Future;
use std::time::SystemTime;

use futures_util::Stream;

use super::{Beginning, StateKey};

/// A place where Terraform keeps states, and their history.
///
/// Every implementation passes the same suite of laws, `states_conformance`.
pub trait StateStore: fmt::Debug + Send + Sync {
    /// Why a call to the store failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Tells every state whose key begins with one of `prefixes`, by key, deleted ones too.
    ///
    /// Keeps no more than a page of the store's answers.
    fn list<'a>(
        &'a self,
        prefixes: &'a [String],
        found: FoundState<'a>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Returns what happened to a state, newest first. Reads on only as far as the stream is read.
    fn versions<'a>(
        &'a self,
        state: &'a StateKey,
    ) -> impl Stream<Item = Result<Version, Self::Error>> + Send + 'a;

    /// Reads a version, or the newest; `None` where there is none.
    fn read(
        &self,
        state: &StateKey,
        version: Option<&str>,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, Self::Error>> + Send;

    /// Reads what stands at the beginning of a version; `None` where it is gone.
    fn beginning(
        &self,
        state: &StateKey,
        version: &Version,
    ) -> impl Future<Output = Result<Option<Beginning>, Self::Error>> + Send;

    /// Asks for how a version is kept, or the newest; `None` where there is none.
    fn facts(
        &self,
        state: &StateKey,
        version: Option<&str>,
    ) -> impl Future<Output = Result<Option<Facts>, Self::Error>> + Send;

    /// Writes a new version, kept as Terraform would keep it, and returns its id. Earlier ones stay.
    fn write(
        &self,
        state: &StateKey,
        content: Vec<u8>,
    ) -> impl Future<Output = Result<String, Self::Error>> + Send;
}

/// Hears of the states that are found.
pub type FoundState<'a> = &'a mut (dyn FnMut(StoredState) + Send);

/// A state and its history, at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// The state.
    pub state: StateKey,
    /// The newest thing that happened to it.
    pub newest: Version,
    /// How many versions of it there are, deletions not counted.
    pub versions: usize,
    /// How long these are together.
    pub bytes: u64,
}

/// Something that happened to a state once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its id.
    pub id: String,
    /// When.
    pub at: SystemTime,
    /// How many bytes were written; `None` where the state was deleted.
    pub size: Option<u64>,
    /// Whether it is what the state is now.
    pub is_newest: bool,
}

/// How a version is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its id.
    pub version: String,
    /// When it was written.
    pub at: SystemTime,
    /// How long it is.
    pub size: u64,
    /// How it is encrypted where it lies.
    pub encryption: Encryption,
}

/// How a version is encrypted where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    None,
    /// By the store, with keys of its own.
    Store,
    /// With this key.
    Key(String),
}

impl StoredState {
    /// Returns whether there is no state by now.
    pub fn is_deleted(&self) -> bool {
        self.newest.size.is_none()
    }
}
