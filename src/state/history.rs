//! Who held which lock, and for how long: from the versions of the lock objects, and from the records.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};

use super::objects::{Objects, SIDE_BY_SIDE};
use super::record::{Event, Record};
use super::versions::{Entry, EntryKind};
use super::{LockInfo, StateKey};
use crate::aws::{AwsError, Class};

/// One holding of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The state.
    pub state: StateKey,
    /// The holder, where its lock said who.
    pub info: Option<LockInfo>,
    /// When the lock was taken.
    pub from: SystemTime,
    /// When it was gone; `None` while it is held.
    pub until: Option<SystemTime>,
    /// How it ended.
    pub end: End,
}

/// Which holdings are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Those of which states.
    pub states: States,
    /// Those that ended since; all where nothing is said.
    pub since: Option<SystemTime>,
    /// So many at most; all where nothing is said.
    pub most: Option<usize>,
}

/// The states whose holdings are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum States {
    /// This one.
    One(StateKey),
    /// Those whose keys begin so.
    Below(String),
}

impl Reach {
    fn prefix(&self) -> String {
        match &self.states {
            States::One(state) => state.lockfile(),
            States::Below(prefix) => prefix.clone(),
        }
    }

    /// Returns whether the holdings of this state are told.
    pub fn has(&self, state: &StateKey) -> bool {
        match &self.states {
            States::One(one) => one == state,
            States::Below(prefix) => state.as_str().starts_with(prefix),
        }
    }
}

/// How a holding of a lock ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It goes on.
    Held,
    /// The lock was removed, by its holder or by force.
    Removed,
    /// Another lock was written over it.
    Replaced,
    /// `underpin lock release` removed it.
    Released {
        /// Who called, by ARN.
        caller: String,
        /// Why.
        reason: Option<String>,
    },
    /// `underpin run` saw the holder end.
    RunEnded,
}

impl Hold {
    /// Returns how long the lock was held; `None` while it is.
    pub fn duration(&self) -> Option<Duration> {
        self.until.map(|until| super::when::since(self.from, until))
    }

    /// Reads a holding off a record; `None` where the record is about none's end.
    pub fn of_record(record: &Record) -> Option<Self> {
        let end = match record.event {
            Event::Release => End::Released { caller: record.caller.clone(), reason: record.reason.clone() },
            Event::RunEnded => End::RunEnded,
            Event::BreakGlass | Event::RunTaken | Event::RunAlive => return None,
        };
        let from = record.taken_at().unwrap_or(record.at);
        Some(Self { state: record.state.clone(), info: record.info(), from, until: Some(record.at), end })
    }
}

impl Objects {
    /// Tells the holdings that the versions of lock objects show: by state, newest first.
    ///
    /// Keeps a page of the listing at a time.
    pub async fn lockfile_history(
        &self,
        reach: &Reach,
        tell: &mut (dyn FnMut(Hold) + Send),
    ) -> Result<(), AwsError> {
        let prefix = reach.prefix();
        let mut pages = self.versions(&prefix);
        let mut newer: Option<Entry> = None;
        let mut left = reach.most.unwrap_or(usize::MAX);
        while left > 0
            && let Some(page) = pages.next().await?
        {
            let mut holds = Vec::new();
            for entry in page {
                let state = StateKey::of_lockfile(&entry.key).filter(|state| reach.has(state));
                let hold = state.and_then(|state| hold(state, &entry, newer.as_ref()));
                let hold = hold.filter(|hold| is_recent(hold, reach.since));
                holds.extend(hold.map(|hold| (hold, entry.version_id.clone())));
                newer = Some(entry);
            }
            holds.truncate(left);
            left -= holds.len();
            let mut read = stream::iter(holds)
                .map(async |(hold, version)| {
                    let info = self.holder(&hold.state, &version).await?;
                    Ok::<_, AwsError>(Hold { info, ..hold })
                })
                .buffered(SIDE_BY_SIDE);
            while let Some(hold) = read.next().await {
                tell(hold?);
            }
        }
        Ok(())
    }

    /// Reads who wrote a version of a lock object; `None` where it does not say or we may not know.
    async fn holder(&self, state: &StateKey, version: &str) -> Result<Option<LockInfo>, AwsError> {
        match self.read_version(&state.lockfile(), version).await {
            Ok(read) => {
                let content = read.and_then(|read| read.content.ok());
                Ok(content.and_then(|content| LockInfo::parse(&content).ok()))
            }
            Err(error) if error.class == Class::AccessDenied => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Reads a holding off a version of a lock object and the entry that came after it; `None` for a delete marker.
fn hold(state: StateKey, entry: &Entry, newer: Option<&Entry>) -> Option<Hold> {
    if entry.kind == EntryKind::Deleted {
        return None;
    }
    let newer = newer.filter(|newer| newer.key == entry.key && !entry.is_latest);
    let end = match newer.map(|newer| newer.kind) {
        None => End::Held,
        Some(EntryKind::Deleted) => End::Removed,
        Some(EntryKind::Written(_)) => End::Replaced,
    };
    Some(Hold { state, info: None, from: entry.at, until: newer.map(|newer| newer.at), end })
}

fn is_recent(hold: &Hold, since: Option<SystemTime>) -> bool {
    since.is_none_or(|since| hold.until.is_none_or(|until| until >= since))
}

/// What many holdings come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// How often each holder held a lock, by `user@host`.
    pub holders: BTreeMap<String, usize>,
    durations: Vec<Duration>,
}

impl Summary {
    /// Counts a holding.
    pub fn add(&mut self, hold: &Hold) {
        let holder = hold.info.as_ref().map_or("unknown", |info| info.who.as_str());
        *self.holders.entry(holder.to_owned()).or_default() += 1;
        self.durations.extend(hold.duration());
    }

    /// Returns how many holdings were counted.
    pub fn count(&self) -> usize {
        self.holders.values().sum()
    }

    /// Returns the duration that as many holdings stay below as above; of two in the middle, the longer.
    pub fn median(&self) -> Option<Duration> {
        let mut sorted = self.durations.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// Returns the longest duration.
    pub fn longest(&self) -> Option<Duration> {
        self.durations.iter().max().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, moment};
    use super::*;

    fn content(id: usize) -> Vec<u8> {
        format!("{{\"ID\":\"{id}\",\"Who\":\"ada{}@host\"}}", id % 2).into_bytes()
    }

    async fn history(fake: &Fake, prefix: &str, since: Option<u64>) -> Vec<Hold> {
        let mut holds = Vec::new();
        let mut tell = |hold| holds.push(hold);
        let reach = Reach { states: States::Below(prefix.to_owned()), since: since.map(moment), most: None };
        fake.objects().lockfile_history(&reach, &mut tell).await.unwrap();
        holds
    }

    /// Takes the lock at every tenth second, and releases it so many seconds later.
    fn script(fake: &Fake, key: &str, seconds: &[u64]) {
        for (index, held) in seconds.iter().enumerate() {
            fake.world().now = index as u64 * 10;
            fake.put_object(key, &content(index));
            fake.world().now += held;
            fake.delete_object(key);
        }
    }

    #[tokio::test]
    async fn every_holding_is_told_with_its_holder_and_its_end() {
        let fake = Fake::default();
        let held = [1, 0, 9, 3, 0, 0, 4];
        script(&fake, "dev/main.tfstate.tflock", &held);
        fake.put_object("dev/main.tfstate", b"{}");

        let holds = history(&fake, "dev/", None).await;

        let told: Vec<_> = holds.iter().rev().map(|hold| hold.duration().unwrap().as_secs()).collect();
        assert_eq!(told, held);
        for (index, hold) in holds.iter().rev().enumerate() {
            assert_eq!(hold.info.as_ref().unwrap().id, index.to_string());
            assert_eq!((hold.from, &hold.end), (moment(index as u64 * 10), &End::Removed));
        }
    }

    #[tokio::test]
    async fn a_long_history_is_what_a_script_did() {
        const HOLDS: u64 = 2_000;
        let fake = Fake::default();
        fake.world().page = 1_000;
        let held: Vec<u64> = (0..HOLDS).map(|number| number * 7 % 10).collect();
        script(&fake, "dev/main.tfstate.tflock", &held);

        let holds = history(&fake, "dev/", None).await;

        let told: Vec<_> = holds.iter().rev().map(|hold| hold.duration().unwrap().as_secs()).collect();
        assert!(told == held, "{} of {HOLDS} holdings", told.len());
        assert!(
            holds
                .iter()
                .rev()
                .zip(0..)
                .all(|(hold, id)| hold.info.as_ref().unwrap().id == u64::to_string(&id))
        );
    }

    #[tokio::test]
    async fn what_is_held_and_what_was_written_over_is_told_so() {
        let fake = Fake::default();
        for (second, id) in [(1, 1), (5, 2)] {
            fake.world().now = second;
            fake.put_object("dev/main.tfstate.tflock", &content(id));
        }
        fake.put_object("dev/other.tfstate.tflock", b"not json");

        let holds = history(&fake, "dev/", None).await;

        let told: Vec<_> =
            holds.iter().map(|hold| (hold.until, hold.end.clone(), hold.info.is_some())).collect();
        assert_eq!(
            told,
            [(None, End::Held, true), (Some(moment(5)), End::Replaced, true), (None, End::Held, false)]
        );
    }

    #[tokio::test]
    async fn only_what_ended_since_is_read() {
        let fake = Fake::default();
        script(&fake, "dev/main.tfstate.tflock", &[1, 1, 9, 1]);

        let holds = history(&fake, "dev/", Some(25)).await;

        assert_eq!(holds.iter().map(|hold| hold.from).collect::<Vec<_>>(), [moment(30), moment(20)]);
        assert_eq!(fake.calls("GetObject"), 2);
    }

    #[tokio::test]
    async fn so_many_of_one_state_cost_no_more_reads() {
        let fake = Fake::default();
        script(&fake, "dev/main.tfstate.tflock", &[1; 9]);
        script(&fake, "dev/main.tfstate.tflock.tfstate.tflock", &[1]);
        let states = States::One(StateKey::new("dev/main.tfstate"));
        let mut told = 0;

        let reach = Reach { states, since: None, most: Some(3) };
        fake.objects().lockfile_history(&reach, &mut |_| told += 1).await.unwrap();

        assert_eq!((told, fake.calls("GetObject"), fake.calls("ListObjectVersions")), (3, 3, 2));
    }

    #[tokio::test]
    async fn a_summary_counts_and_finds_the_middle() {
        let fake = Fake::default();
        script(&fake, "dev/main.tfstate.tflock", &[1, 2, 9]);
        let mut summary = Summary::default();
        assert_eq!(summary.median(), None);

        history(&fake, "dev/", None).await.iter().for_each(|hold| summary.add(hold));

        assert_eq!(summary.count(), 3);
        assert_eq!(summary.median(), Some(Duration::from_secs(2)));
        assert_eq!(summary.longest(), Some(Duration::from_secs(9)));
        assert_eq!(
            summary.holders,
            BTreeMap::from([("ada0@host".to_owned(), 2), ("ada1@host".to_owned(), 1)])
        );
    }
}
