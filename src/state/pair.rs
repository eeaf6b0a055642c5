//! Both kinds of locks at once: how Terraform moves from the one to the other.
//!
//! Terraform takes the first, then the second, and gives the first back where the second is held; it releases both. In
//! between, and after a failure, one of them is there alone: half a lock, which still keeps everyone out.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::sleep;

use super::{Elsewhere, Found, Kind, Lock, LockInfo, LockStore, Release, Search, StateKey, Take};
use crate::aws::AwsError;

/// How long Terraform may need from one half to the other: a half that is older has lost its other half.
const BETWEEN_HALVES: Duration = Duration::from_secs(1);

/// The two places of a lock, in the order in which they are taken.
#[derive(Debug, Clone)]
pub struct Pair<A, B> {
    /// The place that decides.
    pub first: A,
    /// The place that follows.
    pub second: B,
}

impl<A, B> LockStore for Pair<A, B>
where
    A: LockStore<Error = AwsError>,
    B: LockStore<Error = AwsError>,
{
    type Error = AwsError;

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::S3, Kind::DynamoDb]
    }

    fn path(&self, state: &StateKey) -> String {
        self.first.path(state)
    }

    /// Keeps every lock that is held, since its halves are found apart.
    async fn list<'a>(&'a self, search: Search<'a>, found: Found<'a>) -> Result<Elsewhere, AwsError> {
        let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
        let mut keep_first = |lock| firsts.push(lock);
        let mut keep_second = |lock| seconds.push(lock);
        let (first, second) = tokio::try_join!(
            self.first.list(search, &mut keep_first),
            self.second.list(search, &mut keep_second),
        )?;
        let mut locks = BTreeMap::new();
        for lock in firsts.into_iter().chain(seconds) {
            join(&mut locks, lock);
        }
        let (whole, halves): (Vec<_>, Vec<_>) =
            locks.into_values().partition(|lock| lock.parts.len() == self.kinds().len());
        whole.into_iter().for_each(&mut *found);
        self.look_again(&halves).await?.into_iter().for_each(found);
        Ok(Elsewhere(first.0 + second.0))
    }

    async fn find(&self, state: &StateKey) -> Result<Option<Lock>, AwsError> {
        let (first, second) = tokio::try_join!(self.first.find(state), self.second.find(state))?;
        Ok(match (first, second) {
            (Some(mut lock), Some(other)) => {
                lock.join(other);
                Some(lock)
            }
            (first, second) => first.or(second),
        })
    }

    async fn take(&self, state: &StateKey, info: &LockInfo) -> Result<Take, AwsError> {
        let mut taken = match self.first.take(state, info).await? {
            Take::Taken(lock) => lock,
            Take::Held(lock) => return Ok(Take::Held(self.find(state).await?.unwrap_or(lock))),
        };
        let second = self.second.take(state, info).await;
        if let Ok(Take::Taken(lock)) = second {
            taken.join(lock);
            return Ok(Take::Taken(taken));
        }
        // No half of ours may stay.
        let given_back = self.first.release(&taken).await;
        match (second, given_back) {
            (Err(error), Ok(_)) => Err(error),
            (second, Err(error)) => {
                let why = second.err().map(|second| format!(" after {second}")).unwrap_or_default();
                Err(error.with_doubt(&format!("half of our lock `{}` is left on `{state}`{why}", info.id)))
            }
            (Ok(second), Ok(_)) => Ok(second),
        }
    }

    async fn release(&self, lock: &Lock) -> Result<Release, AwsError> {
        match self.find(&lock.state).await? {
            None => return Ok(Release::Gone),
            Some(now) if !now.is_same(lock) => return Ok(Release::Changed(now)),
            Some(_) => {}
        }
        let first = self.first.release(lock).await?;
        if let Release::Changed(_) = first {
            return Ok(first);
        }
        let second = self.second.release(lock).await;
        match (first, second) {
            (Release::Released, Err(error)) => {
                Err(error.with_doubt("the other half of the lock is released"))
            }
            (_, Err(error)) => Err(error),
            // With the first half gone the lock is no longer the one that was read, whoever holds the second by now.
            (Release::Released, Ok(_)) => Ok(Release::Released),
            (_, Ok(second)) => Ok(second),
        }
    }
}

impl<A, B> Pair<A, B>
where
    A: LockStore<Error = AwsError>,
    B: LockStore<Error = AwsError>,
{
    /// Reads halves again, once their other half has had the time to come or they to go.
    async fn look_again(&self, halves: &[Lock]) -> Result<Vec<Lock>, AwsError> {
        if halves.is_empty() {
            return Ok(Vec::new());
        }
        sleep(BETWEEN_HALVES).await;
        let mut locks = Vec::new();
        for some in halves.chunks(super::objects::SIDE_BY_SIDE) {
            let found = try_join_all(some.iter().map(|half| self.find(&half.state))).await?;
            locks.extend(found.into_iter().flatten());
        }
        Ok(locks)
    }
}

fn join(locks: &mut BTreeMap<StateKey, Lock>, lock: Lock) {
    if let Some(known) = locks.get_mut(&lock.state) {
        known.join(lock);
    } else {
        locks.insert(lock.state.clone(), lock);
    }
}
