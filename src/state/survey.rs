//! All that can be known of the locks on a backend: the locks, when their states were written, and the records.
//!
//! What a caller may not read is said and never guessed around.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::judgement::{Facts, Judgement, judge};
use super::objects::{Objects, SIDE_BY_SIDE, Written};
use super::record::{Record, folder};
use super::{Elsewhere, Lock, LockStore, Search, StateKey};
use crate::aws::{AwsError, Class};

/// How far back records are looked for: what is older tells no more than the lock's age.
const LOOK_BACK: Duration = Duration::from_hours(24 * 30);
/// How far a holder's clock may be ahead of ours.
const SKEW: Duration = Duration::from_mins(5);

/// A lock and what is to be thought of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Surveyed {
    /// The lock.
    pub lock: Lock,
    /// When its state was last written; `None` where there is no state, or it may not be read.
    pub written: Option<Written>,
    /// What is to be thought of the lock.
    pub judgement: Judgement,
}

/// What could not be seen, and what was seen beside the point.
#[derive(Debug, Default)]
pub struct Sight {
    /// The locks on states of other buckets.
    pub elsewhere: Elsewhere,
    /// The reading that AWS denied, and that something else had to stand in for.
    pub denied: Vec<AwsError>,
}

/// How locks are judged.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// When.
    pub now: SystemTime,
    /// How old a lock is at most that is taken for active.
    pub stale_after: Duration,
}

/// Finds every lock on a state whose key begins with one of `prefixes`.
///
/// Where AWS denies the listing, the locks of the states that are `known` or lie in the bucket are read one by one.
pub async fn find_all<S: LockStore<Error = AwsError>>(
    store: &S,
    objects: &Objects,
    prefixes: &[String],
    known: &[StateKey],
) -> Result<(Vec<Lock>, Sight), AwsError> {
    let mut locks = Vec::new();
    let mut sight = Sight::default();
    match store.list(Search::below(prefixes), &mut |lock| locks.push(lock)).await {
        Ok(elsewhere) => sight.elsewhere = elsewhere,
        Err(error) if error.class == Class::AccessDenied && error.operation == "dynamodb:Scan" => {
            sight.denied.push(error);
            locks = find_known(store, objects, prefixes, known, &mut sight).await?;
        }
        Err(error) => return Err(error),
    }
    locks.sort_by(|one, other| one.state.cmp(&other.state));
    Ok((locks, sight))
}

async fn find_known<S: LockStore<Error = AwsError>>(
    store: &S,
    objects: &Objects,
    prefixes: &[String],
    known: &[StateKey],
    sight: &mut Sight,
) -> Result<Vec<Lock>, AwsError> {
    let search = Search::below(prefixes);
    let mut states: BTreeSet<StateKey> = known.iter().filter(|state| search.wants(state)).cloned().collect();
    for prefix in prefixes {
        let mut pages = objects.list(prefix, None);
        loop {
            let page = match pages.next().await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(error) if error.class == Class::AccessDenied => {
                    sight.denied.push(error);
                    break;
                }
                Err(error) => return Err(error),
            };
            let keys = page.into_iter().map(|object| object.key);
            states.extend(keys.map(|key| StateKey::of_lockfile(&key).unwrap_or_else(|| StateKey::new(key))));
        }
    }
    let found = stream::iter(states)
        .map(async |state| store.find(&state).await)
        .buffered(SIDE_BY_SIDE)
        .try_filter_map(async |lock| Ok(lock));
    found.try_collect().await
}

/// Judges locks by their states and the records.
pub async fn survey<S: LockStore>(
    store: &S,
    objects: &Objects,
    locks: Vec<Lock>,
    terms: Terms,
    sight: &mut Sight,
) -> Result<Vec<Surveyed>, AwsError> {
    let records = find_records(objects, &locks, terms.now).await.or_else(|error| denied(error, sight))?;
    let written: Vec<_> = stream::iter(locks.iter().map(|lock| lock.state.as_str().to_owned()))
        .map(async |key| objects.written(&key).await)
        .buffered(SIDE_BY_SIDE)
        .collect()
        .await;
    let mut surveyed = Vec::with_capacity(locks.len());
    for (lock, written) in locks.into_iter().zip(written) {
        let written = written.or_else(|error| denied(error, sight))?;
        let Terms { now, stale_after } = terms;
        let record = lock.id().and_then(|id| records.get(id));
        let facts = Facts { lock: &lock, kinds: store.kinds(), written, record, now, stale_after };
        surveyed.push(Surveyed { judgement: judge(facts), written, lock });
    }
    Ok(surveyed)
}

/// Keeps the first denial of each call, and goes on with nothing.
fn denied<T: Default>(error: AwsError, sight: &mut Sight) -> Result<T, AwsError> {
    if error.class != Class::AccessDenied {
        return Err(error);
    }
    if sight.denied.iter().all(|other| other.operation != error.operation) {
        sight.denied.push(error);
    }
    Ok(T::default())
}

/// Reads the newest record of each lock, by the lock's id.
async fn find_records(
    objects: &Objects,
    locks: &[Lock],
    now: SystemTime,
) -> Result<BTreeMap<String, Record>, AwsError> {
    let mut folders: BTreeMap<String, Vec<&Lock>> = BTreeMap::new();
    for lock in locks {
        folders.entry(folder(&lock.state)).or_default().push(lock);
    }
    let earliest = now.checked_sub(LOOK_BACK).unwrap_or(SystemTime::UNIX_EPOCH);
    let named = try_join_all(folders.iter().map(async |(folder, locks)| {
        let taken = locks.iter().filter_map(|lock| lock.taken_at()).min().and_then(|at| at.checked_sub(SKEW));
        let ids: Vec<&str> = locks.iter().filter_map(|lock| lock.id()).collect();
        objects.newest_records(folder, taken.unwrap_or(earliest).max(earliest), &ids).await
    }))
    .await?;
    let records = stream::iter(named.into_iter().flatten())
        .map(async |named| Ok((named.lock_id, objects.read_record(&named.key).await?)))
        .buffered(SIDE_BY_SIDE)
        .try_filter_map(async |(id, record)| Ok(record.map(|record| (id, record))));
    records.try_collect().await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fake::{BUCKET, Fake, Fault, moment};
    use super::super::judgement::{STALE_AFTER, Verdict};
    use super::super::record::Event;
    use super::*;

    const TAKEN: u64 = 1_709_251_200;

    fn content(id: &str) -> String {
        format!("{{\"ID\":\"{id}\",\"Created\":\"2024-03-01T00:00:00Z\"}}")
    }

    fn hold(fake: &Fake, key: &str, id: &str) {
        fake.put_item(&format!("{BUCKET}/{key}"), &json!({ "Info": { "S": content(id) } }));
    }

    fn everything() -> Vec<String> {
        vec![String::new()]
    }

    #[tokio::test]
    async fn a_denied_scan_falls_back_to_what_is_known_and_says_so() {
        let fake = Fake::default();
        for key in ["dev/known.tfstate", "dev/seen.tfstate", "dev/hidden.tfstate", "prod/seen.tfstate"] {
            hold(&fake, key, "1");
        }
        fake.put_object("dev/seen.tfstate", b"{}");
        fake.put_object("dev/free.tfstate", b"{}");
        fake.fail("Scan", Fault::Deny);

        let known = [StateKey::new("dev/known.tfstate"), StateKey::new("prod/known.tfstate")];
        let found = find_all(&fake.dynamodb(), &fake.objects(), &["dev/".to_owned()], &known).await;

        let (locks, sight) = found.unwrap();
        let keys: Vec<&str> = locks.iter().map(|lock| lock.state.as_str()).collect();
        assert_eq!(keys, ["dev/known.tfstate", "dev/seen.tfstate"]);
        assert_eq!(sight.denied[0].operation, "dynamodb:Scan");
    }

    #[tokio::test]
    async fn locks_are_judged_by_their_states_and_records() {
        let fake = Fake::default();
        for (key, id) in [("dev/a", "1"), ("dev/b", "2"), ("dev/c", "3")] {
            hold(&fake, key, id);
        }
        fake.world().now = TAKEN + 60;
        fake.put_object("dev/a", b"{}");
        let (locks, mut sight) =
            find_all(&fake.dynamodb(), &fake.objects(), &everything(), &[]).await.unwrap();
        for (event, at) in [(Event::RunTaken, 1), (Event::RunEnded, 2)] {
            let record = Record::of(&locks[1], event, "arn", moment(TAKEN + at), None);
            fake.objects().record(&record).await.unwrap();
        }
        let terms = Terms { now: moment(TAKEN + 3 * 3_600), stale_after: STALE_AFTER };

        let surveyed = survey(&fake.dynamodb(), &fake.objects(), locks, terms, &mut sight).await.unwrap();

        let verdicts: Vec<_> = surveyed.iter().map(|surveyed| surveyed.judgement.verdict).collect();
        assert_eq!(verdicts, [Verdict::Finished, Verdict::Finished, Verdict::Stale]);
        assert!(surveyed[1].judgement.evidence.contains("`underpin run`"));
        assert!(sight.denied.is_empty());
    }

    #[tokio::test]
    async fn what_may_not_be_read_is_told_once() {
        let fake = Fake::default();
        hold(&fake, "dev/a", "1");
        hold(&fake, "dev/b", "2");
        let (locks, mut sight) =
            find_all(&fake.dynamodb(), &fake.objects(), &everything(), &[]).await.unwrap();
        fake.fail("HeadObject", Fault::Deny);
        fake.fail("HeadObject", Fault::Deny);
        fake.fail("ListObjectsV2", Fault::Deny);
        let terms = Terms { now: moment(TAKEN + 1), stale_after: STALE_AFTER };

        let surveyed = survey(&fake.dynamodb(), &fake.objects(), locks, terms, &mut sight).await.unwrap();

        assert!(surveyed.iter().all(|surveyed| surveyed.judgement.verdict == Verdict::Active));
        let denied: Vec<_> = sight.denied.iter().map(|error| error.operation).collect();
        assert_eq!(denied, ["s3:ListObjectsV2", "s3:HeadObject"]);
    }

    #[tokio::test]
    async fn thousands_of_locks_are_listed_by_a_few_calls_beyond_one_for_each() {
        const LOCKS: usize = 1_000;
        let fake = Fake::default();
        fake.world().page = 1_000;
        for number in 0..LOCKS {
            let key = format!("dev/c{number}.tfstate");
            fake.put_object(&key, b"{}");
            fake.put_object(&format!("{key}.tflock"), content(&number.to_string()).as_bytes());
        }

        let (locks, _) = find_all(&fake.s3(), &fake.objects(), &everything(), &[]).await.unwrap();

        assert_eq!(locks.len(), LOCKS);
        assert_eq!((fake.calls("ListObjectsV2"), fake.calls("GetObject")), (LOCKS * 2 / 1_000, LOCKS));
    }
}
