//! The locks of one backend, of whichever kind.

use super::{
    DynamoDbLocks, Elsewhere, Found, Kind, Lock, LockInfo, LockStore, Pair, Release, S3Locks, Search,
};
use super::{StateKey, Take};
use crate::aws::AwsError;

/// Where a backend keeps its locks.
#[derive(Debug, Clone)]
pub enum Locks {
    /// In objects beside the states.
    S3(S3Locks),
    /// In a table.
    DynamoDb(DynamoDbLocks),
    /// In both, the objects first.
    Both(Pair<S3Locks, DynamoDbLocks>),
}

/// Does the same with whichever store it is.
macro_rules! with_store {
    ($locks:expr, $store:ident => $does:expr) => {
        match $locks {
            Locks::S3($store) => $does,
            Locks::DynamoDb($store) => $does,
            Locks::Both($store) => $does,
        }
    };
}

impl LockStore for Locks {
    type Error = AwsError;

    fn kinds(&self) -> &'static [Kind] {
        with_store!(self, store => store.kinds())
    }

    fn path(&self, state: &StateKey) -> String {
        with_store!(self, store => store.path(state))
    }

    async fn list<'a>(&'a self, search: Search<'a>, found: Found<'a>) -> Result<Elsewhere, AwsError> {
        with_store!(self, store => store.list(search, found).await)
    }

    async fn find(&self, state: &StateKey) -> Result<Option<Lock>, AwsError> {
        with_store!(self, store => store.find(state).await)
    }

    async fn take(&self, state: &StateKey, info: &LockInfo) -> Result<Take, AwsError> {
        with_store!(self, store => store.take(state, info).await)
    }

    async fn release(&self, lock: &Lock) -> Result<Release, AwsError> {
        with_store!(self, store => store.release(lock).await)
    }
}
