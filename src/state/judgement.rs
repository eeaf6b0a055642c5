//! What is to be thought of a lock, and why. A lock has no heartbeat, so this is evidence and no proof: the word with
//! a question mark is the honest one.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::record::{Event, Record};
use super::when::{self, span};
use super::{Kind, Lock, Unread, Written};

/// How old a lock is at most that is taken for held by someone at work, unless another limit is asked for.
pub const STALE_AFTER: Duration = Duration::from_hours(2);
/// How old a sign of life from `underpin run` is at most: it gives one each minute.
const ALIVE_FOR: Duration = Duration::from_mins(3);
/// How long an operation that writes its state once may take from there to the release of its lock.
const AFTER_ONE_WRITE: Duration = Duration::from_mins(1);
/// Operations that write the state once, at their end. An apply writes it again and again while it works.
const WRITING_ONCE: [&str; 10] = [
    "init",
    "state-mv",
    "state-push",
    "state-replace-provider",
    "state-rm",
    "taint",
    "untaint",
    "workspace-new",
    "migration source state",
    "migration destination state",
];

/// What is to be thought of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// In a word.
    pub verdict: Verdict,
    /// Why.
    pub evidence: String,
    /// Whether something shows that its holder is at work, beyond the lock's youth.
    pub shown_alive: bool,
}

/// What is to be thought of a lock, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Terraform itself can't release it.
    Broken,
    /// Its holder has ended.
    Finished,
    /// Someone is at work.
    Active,
    /// Nobody can tell, and it is old.
    Stale,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "broken",
            Self::Finished => "finished",
            Self::Active => "active",
            Self::Stale => "stale?",
        })
    }
}

/// What a lock is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The lock.
    pub lock: &'a Lock,
    /// The kinds that a whole lock has where it is held.
    pub kinds: &'a [Kind],
    /// When its state was last written; `None` where there is no state.
    pub written: Option<Written>,
    /// The newest record of this lock.
    pub record: Option<&'a Record>,
    /// When it is judged.
    pub now: SystemTime,
    /// How old a lock is at most that is taken for active.
    pub stale_after: Duration,
}

/// Judges a lock. Pure.
pub fn judge(facts: Facts<'_>) -> Judgement {
    let recorded = recorded(facts);
    let shown_alive = recorded.as_ref().is_some_and(|(verdict, _)| *verdict == Verdict::Active);
    let (verdict, evidence) = broken(facts)
        .map(|evidence| (Verdict::Broken, evidence))
        .or(recorded)
        .or_else(|| finished(facts).map(|evidence| (Verdict::Finished, evidence)))
        .unwrap_or_else(|| aged(facts));
    Judgement { verdict, evidence, shown_alive }
}

/// Says what is wrong with a lock that Terraform itself can't release.
fn broken(Facts { lock, kinds, .. }: Facts<'_>) -> Option<String> {
    for part in &lock.parts {
        if let Err(Unread::Malformed(malformed)) = &part.info {
            return Some(format!("the {} lock can't be understood: {malformed}", part.kind));
        }
    }
    if let Some(missing) = kinds.iter().find(|kind| lock.part(**kind).is_none()) {
        return Some(format!("half of a pair: the {missing} lock is missing"));
    }
    let mut ids = lock.parts.iter().filter_map(|part| part.info.as_ref().ok()).map(|info| &info.id);
    let first = ids.next();
    ids.any(|id| Some(id) != first).then(|| "the halves are of two holders".to_owned())
}

/// Judges by what `underpin run` has recorded of the holder.
fn recorded(Facts { record, now, .. }: Facts<'_>) -> Option<(Verdict, String)> {
    let record = record?;
    let ago = when::since(record.at, now);
    match record.event {
        Event::RunEnded => {
            Some((Verdict::Finished, format!("`underpin run` saw its holder end {} ago", span(ago))))
        }
        Event::RunTaken | Event::RunAlive if ago < ALIVE_FOR => {
            Some((Verdict::Active, format!("`underpin run` saw its holder at work {} ago", span(ago))))
        }
        Event::RunTaken | Event::RunAlive | Event::Release | Event::BreakGlass => None,
    }
}

/// Says how the state's newest version shows that the holder has ended.
///
/// The last thing that a holder does before the release is to write the state. An apply writes it in between as well,
/// and then may wait long for one resource: only a state that was left alone for as long as a lock may be old tells.
fn finished(facts: Facts<'_>) -> Option<String> {
    let Facts { lock, written, now, stale_after, .. } = facts;
    let (taken, written) = (lock.taken_at()?, written?);
    if written.at < taken {
        return None;
    }
    let quiet = when::since(written.at, now);
    let once = lock.info().is_some_and(|info| WRITING_ONCE.contains(&info.operation.as_str()));
    let enough = if once { AFTER_ONE_WRITE } else { stale_after };
    let after = span(when::since(taken, written.at));
    (quiet >= enough).then(|| {
        format!(
            "the state was written {after} after the lock was taken, and not in the {} since",
            span(quiet)
        )
    })
}

/// Judges by the lock's age alone.
fn aged(Facts { lock, now, stale_after, .. }: Facts<'_>) -> (Verdict, String) {
    let Some(taken) = lock.taken_at() else {
        return (Verdict::Stale, "nothing says when it was taken".to_owned());
    };
    let age = when::since(taken, now);
    if age < stale_after {
        (Verdict::Active, format!("it was taken {} ago", span(age)))
    } else {
        (
            Verdict::Stale,
            format!("it was taken {} ago, and nothing shows whether its holder is at work", span(age)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::StateKey;
    use super::super::fake::moment;
    use super::super::lock::{Part, Proof};
    use super::*;

    const HOUR: u64 = 3_600;
    const TAKEN: u64 = 1_709_251_200;

    fn part(kind: Kind, id: &str, operation: &str) -> Part {
        let content =
            format!("{{\"ID\":\"{id}\",\"Operation\":\"{operation}\",\"Created\":\"2024-03-01T00:00:00Z\"}}");
        Part::read(kind, content.as_bytes(), None, Proof::ETag(String::new()))
    }

    fn lock(parts: Vec<Part>) -> Lock {
        Lock { state: StateKey::new("dev/main.tfstate"), parts }
    }

    fn apply() -> Lock {
        lock(vec![part(Kind::S3, "1", "OperationTypeApply")])
    }

    fn facts(lock: &Lock, age: u64) -> Facts<'_> {
        let now = moment(TAKEN + age);
        Facts { lock, kinds: &[Kind::S3], written: None, record: None, now, stale_after: STALE_AFTER }
    }

    fn written(after: u64) -> Written {
        Written { at: moment(TAKEN + after), size: 1 }
    }

    #[test]
    fn a_young_lock_is_active_and_an_old_one_perhaps_stale() {
        let lock = apply();
        assert_eq!(judge(facts(&lock, 60)).verdict, Verdict::Active);
        assert_eq!(judge(facts(&lock, 2 * HOUR - 1)).verdict, Verdict::Active);
        assert_eq!(judge(facts(&lock, 2 * HOUR)).verdict, Verdict::Stale);
        let patient = Facts { stale_after: Duration::from_hours(5), ..facts(&lock, 2 * HOUR) };
        assert_eq!(judge(patient).verdict, Verdict::Active);
    }

    #[test]
    fn a_state_that_was_left_alone_since_the_lock_was_taken_shows_the_end() {
        let lock = apply();
        let judged = |age, after| judge(Facts { written: Some(written(after)), ..facts(&lock, age) }).verdict;
        assert_eq!(judged(3 * HOUR, 600), Verdict::Finished);
        assert_eq!(judged(3 * HOUR, 2 * HOUR), Verdict::Stale);
        assert_eq!(
            judge(Facts {
                written: Some(Written { at: moment(TAKEN - 9), size: 1 }),
                ..facts(&lock, 3 * HOUR)
            })
            .verdict,
            Verdict::Stale
        );
        assert_eq!(judged(HOUR, 600), Verdict::Active);
    }

    #[test]
    fn an_operation_that_writes_once_is_over_a_minute_after() {
        let lock = lock(vec![part(Kind::S3, "1", "state-mv")]);
        let judged = |age, after| judge(Facts { written: Some(written(after)), ..facts(&lock, age) }).verdict;
        assert_eq!(judged(30, 5), Verdict::Active);
        assert_eq!(judged(65, 5), Verdict::Finished);
    }

    #[test]
    fn what_a_run_recorded_comes_before_age_and_state() {
        let lock = apply();
        let judged = |event, age, at| {
            let record = Record::of(&lock, event, "arn", moment(TAKEN + at), None);
            judge(Facts { record: Some(&record), ..facts(&lock, age) }).verdict
        };
        assert_eq!(judged(Event::RunEnded, 60, 50), Verdict::Finished);
        assert_eq!(judged(Event::RunAlive, 9 * HOUR, 9 * HOUR - 120), Verdict::Active);
        assert_eq!(judged(Event::RunAlive, 9 * HOUR, 9 * HOUR - 180), Verdict::Stale);
    }

    #[test]
    fn what_terraform_can_not_release_is_broken() {
        let both = [Kind::S3, Kind::DynamoDb];
        let (s3, other) = (part(Kind::S3, "1", ""), part(Kind::DynamoDb, "2", ""));
        let same = part(Kind::DynamoDb, "1", "");
        let garbage = Part::read(Kind::DynamoDb, b"{", None, Proof::Info(None));
        for (parts, broken) in [
            (vec![s3.clone()], Some("half of a pair: the dynamodb lock is missing")),
            (vec![same.clone()], Some("half of a pair: the s3 lock is missing")),
            (vec![s3.clone(), other], Some("the halves are of two holders")),
            (vec![s3.clone(), garbage], Some("the dynamodb lock can't be understood")),
            (vec![s3, same], None),
        ] {
            let lock = lock(parts);
            let judgement = judge(Facts { kinds: &both, ..facts(&lock, 60) });
            assert_eq!(judgement.verdict == Verdict::Broken, broken.is_some());
            assert!(
                judgement.evidence.starts_with(broken.unwrap_or("it was taken 1 min 0 s ago")),
                "{judgement:?}"
            );
        }
    }

    #[test]
    fn a_lock_that_is_denied_to_us_is_judged_by_its_age() {
        let denied = Unread::Denied("denied".to_owned());
        let part = Part::unread(Kind::S3, denied, Some(moment(TAKEN)), Proof::ETag(String::new()));
        let lock = lock(vec![part]);
        assert_eq!(judge(facts(&lock, 60)).verdict, Verdict::Active);
        assert_eq!(judge(facts(&lock, 3 * HOUR)).verdict, Verdict::Stale);
    }
}
