//! What was done with locks, kept beside the states: one object each, written once and never again.
//!
//! A lock in DynamoDB leaves no trace, and a lock object's versions don't say who removed it or why. These records do.
//! They lie at `underpin/records/ENV/TIME-ID.json`, so that the records of an environment sort by time and those of a
//! lock are told by their names.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::objects::{Create, Listed, Objects};
use super::{Kind, Lock, LockInfo, StateKey, when};
use crate::aws::AwsError;

/// Where all records lie.
pub const RECORDS: &str = "underpin/records/";
/// The number of the format; another one is another format.
const FORMAT: u32 = 1;
/// The folder of the records on states that lie in no environment. No environment can be called so.
const NO_ENVIRONMENT: &str = "-";
/// The id of a lock that says none.
const NO_ID: &str = "unreadable";

/// What was done with a lock, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What was done.
    pub event: Event,
    /// When.
    pub at: SystemTime,
    /// Who did it, by ARN.
    pub caller: String,
    /// The state.
    pub state: StateKey,
    /// The lock, whole, as it was read.
    pub lock: Vec<RecordedPart>,
    /// Why, in the words of who did it.
    pub reason: Option<String>,
}

/// A part of a lock, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedPart {
    /// The kind of the place.
    #[serde(with = "kind")]
    pub kind: Kind,
    /// The content, as it was.
    pub content: String,
    /// When the place says that it was written.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub written: Option<SystemTime>,
}

/// What can be done with a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// It was released by `underpin lock release`.
    Release,
    /// A protected environment was worked on by hand.
    BreakGlass,
    /// `underpin run` saw its command take the lock.
    RunTaken,
    /// `underpin run` saw its command hold the lock still.
    RunAlive,
    /// `underpin run` saw the end of its command.
    RunEnded,
}

/// The records of one lock: what their names say, and the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The key of the record.
    pub(super) key: String,
    /// The id of the lock.
    pub(super) lock_id: String,
}

/// A record, as its object spells it.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: u32,
    event: Event,
    time: String,
    caller: String,
    state: String,
    lock: Vec<RecordedPart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A record that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the record `{key}` can't be read: {why}")]
pub struct Unreadable {
    /// Its key.
    pub key: String,
    /// Why.
    pub why: String,
}

impl Record {
    /// Says what was done with `lock`.
    pub fn of(lock: &Lock, event: Event, caller: &str, at: SystemTime, reason: Option<String>) -> Self {
        let parts = lock.parts.iter().map(|part| RecordedPart {
            kind: part.kind,
            content: part.content.clone(),
            written: part.written,
        });
        Self {
            event,
            at,
            caller: caller.to_owned(),
            state: lock.state.clone(),
            lock: parts.collect(),
            reason,
        }
    }

    /// Returns what the lock said of its holder.
    pub fn info(&self) -> Option<LockInfo> {
        self.lock.iter().find_map(|part| LockInfo::parse(part.content.as_bytes()).ok())
    }

    /// Returns when the lock was taken.
    pub fn taken_at(&self) -> Option<SystemTime> {
        let written = self.lock.iter().find_map(|part| part.written);
        written.or_else(|| self.info().as_ref().and_then(LockInfo::created_at))
    }

    /// Returns the key that the record lies at.
    pub fn key(&self) -> String {
        let id = self.info().map(|info| info.id).filter(|id| is_plain(id));
        format!("{}{}-{}.json", folder(&self.state), when::sortable(self.at), id.as_deref().unwrap_or(NO_ID))
    }

    fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&File {
            format: FORMAT,
            event: self.event,
            time: when::rfc3339(self.at),
            caller: self.caller.clone(),
            state: self.state.to_string(),
            lock: self.lock.clone(),
            reason: self.reason.clone(),
        })
    }

    fn parse(key: &str, content: &[u8]) -> Result<Self, Unreadable> {
        let unreadable = |why: String| Unreadable { key: key.to_owned(), why };
        let file: File = serde_json::from_slice(content).map_err(|error| unreadable(error.to_string()))?;
        if file.format != FORMAT {
            return Err(unreadable(format!(
                "its format is {}, and this version reads {FORMAT}",
                file.format
            )));
        }
        let at = when::parse(&file.time).ok_or_else(|| unreadable(format!("`{}` is no time", file.time)))?;
        let File { format: _, event, time: _, caller, state, lock, reason } = file;
        Ok(Self { event, at, caller, state: StateKey::new(state), lock, reason })
    }
}

impl Objects {
    /// Writes a record, once: one that is there already is never replaced.
    pub async fn record(&self, record: &Record) -> Result<(), AwsError> {
        const CALL: &str = "s3:PutObject";
        let key = record.key();
        let content = record.to_json().map_err(|error| AwsError::garbled(CALL, error.to_string()))?;
        match self.create(&key, &content).await? {
            Create::Written(_) => Ok(()),
            // The answer to an earlier attempt was lost, unless two things happened to one lock in one nanosecond.
            Create::Exists => match self.read(&key).await? {
                Some(read) if read.content.as_deref() == Ok(content.as_bytes()) => Ok(()),
                _ => Err(AwsError::garbled(CALL, format!("another record is at `{key}`"))),
            },
        }
    }

    /// Reads the records of one environment's folder since a moment, oldest first, and tells each.
    pub async fn records(
        &self,
        folder: &str,
        since: Option<SystemTime>,
        tell: &mut (dyn FnMut(Result<Record, Unreadable>) + Send),
    ) -> Result<(), AwsError> {
        let mut pages = self.list(folder, since.map(|since| format!("{folder}{}", when::sortable(since))));
        while let Some(page) = pages.next().await? {
            let mut records = Vec::new();
            for (Listed { key, .. }, read) in self.read_all(page).await {
                let content = read?
                    .content
                    .map_err(|length| Unreadable { key: key.clone(), why: format!("it has {length} bytes") });
                records.push(content.and_then(|content| Record::parse(&key, &content)));
            }
            records.sort_by_key(|record| record.as_ref().ok().map(|record| record.at));
            records.into_iter().for_each(&mut *tell);
        }
        Ok(())
    }

    /// Returns the newest record of each of these locks since a moment, by their names.
    pub(super) async fn newest_records(
        &self,
        folder: &str,
        since: SystemTime,
        wanted: &[&str],
    ) -> Result<Vec<Named>, AwsError> {
        let mut newest: Vec<Named> = Vec::new();
        let mut pages = self.list(folder, Some(format!("{folder}{}", when::sortable(since))));
        while let Some(page) = pages.next().await? {
            for Listed { key, .. } in page {
                let Some(id) = lock_id(&key).filter(|id| wanted.contains(id)) else { continue };
                let named = Named { lock_id: id.to_owned(), key: key.clone() };
                match newest.iter_mut().find(|other| other.lock_id == id) {
                    Some(other) => *other = named,
                    None => newest.push(named),
                }
            }
        }
        Ok(newest)
    }

    /// Reads one record; `None` where it is gone or can't be understood.
    pub(super) async fn read_record(&self, key: &str) -> Result<Option<Record>, AwsError> {
        let read = self.read(key).await?;
        let content = read.and_then(|read| read.content.ok());
        Ok(content.and_then(|content| Record::parse(key, &content).ok()))
    }
}

/// Returns the folder of the records on a state.
pub fn folder(state: &StateKey) -> String {
    let environment = state.environment();
    format!("{RECORDS}{}/", environment.as_ref().map_or(NO_ENVIRONMENT, |environment| environment.as_str()))
}

/// Returns the id of the lock in a record's key: what stands behind `TIMEZ-`.
fn lock_id(key: &str) -> Option<&str> {
    let name = key.rsplit('/').next()?.strip_suffix(".json")?;
    name.split_once("Z-").map(|(_, id)| id)
}

/// Returns whether an id may stand in a key as it is.
fn is_plain(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A kind by its name.
mod kind {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Kind;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(kind: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(kind)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "s3" => Ok(Kind::S3),
            "dynamodb" => Ok(Kind::DynamoDb),
            other => Err(D::Error::custom(format!("`{other}` is no kind of lock"))),
        }
    }
}

/// A moment by RFC 3339.
mod time {
    use std::time::SystemTime;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::when;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(
        at: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_str(&when::rfc3339(*at)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        when::parse(&text).map(Some).ok_or_else(|| D::Error::custom(format!("`{text}` is no time")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Fault, moment};
    use super::super::lock::{Part, Proof};
    use super::*;

    fn lock(id: &str) -> Lock {
        let content = format!("{{\"ID\":\"{id}\",\"Created\":\"2024-02-29T23:59:59.5Z\"}}");
        let part = Part::read(Kind::S3, content.as_bytes(), Some(moment(100)), Proof::ETag(String::new()));
        Lock::of(StateKey::new("dev/main.tfstate"), part)
    }

    fn record(id: &str, at: u64) -> Record {
        let reason = Some("the machine is gone".to_owned());
        Record::of(&lock(id), Event::Release, "arn:aws:iam::111122223333:user/ada", moment(at), reason)
    }

    async fn read(fake: &Fake, since: Option<u64>) -> Vec<Record> {
        let mut records = Vec::new();
        let mut tell = |record: Result<Record, Unreadable>| records.push(record.unwrap());
        fake.objects().records("underpin/records/dev/", since.map(moment), &mut tell).await.unwrap();
        records
    }

    #[test]
    fn a_record_is_written_as_it_is_documented() {
        let record = record("1", 1_709_251_200);
        assert_eq!(record.key(), "underpin/records/dev/20240301T000000.000000000Z-1.json");
        insta::assert_snapshot!(record.to_json().unwrap(), @r#"{"format":1,"event":"release","time":"2024-03-01T00:00:00Z","caller":"arn:aws:iam::111122223333:user/ada","state":"dev/main.tfstate","lock":[{"kind":"s3","content":"{\"ID\":\"1\",\"Created\":\"2024-02-29T23:59:59.5Z\"}","written":"1970-01-01T00:01:40Z"}],"reason":"the machine is gone"}"#);
    }

    #[test]
    fn an_id_that_would_leave_the_folder_is_not_part_of_the_key() {
        assert!(record("../../prod/main", 0).key().ends_with("Z-unreadable.json"));
    }

    #[test]
    fn another_format_is_refused() {
        let other = r#"{"format":2,"event":"release","time":"","caller":"","state":"","lock":[]}"#;
        assert!(Record::parse("key", other.as_bytes()).unwrap_err().to_string().contains("its format is 2"));
    }

    #[tokio::test]
    async fn records_are_read_in_the_order_of_time_and_from_a_moment_on() {
        let fake = Fake::default();
        let written: Vec<Record> = (1..=8).map(|at| record(&at.to_string(), at)).collect();
        for record in written.iter().rev() {
            fake.objects().record(record).await.unwrap();
        }

        assert_eq!(read(&fake, None).await, written);
        assert_eq!(read(&fake, Some(4)).await, written[3..]);
    }

    #[tokio::test]
    async fn a_record_is_never_replaced_and_a_lost_answer_is_no_error() {
        let fake = Fake::default();
        fake.fail("PutObject", Fault::LoseAnswer);
        fake.objects().record(&record("1", 1)).await.unwrap();
        let other = Record { reason: None, ..record("1", 1) };

        assert!(fake.objects().record(&other).await.is_err());
        assert_eq!(read(&fake, None).await, [record("1", 1)]);
    }

    #[tokio::test]
    async fn the_newest_record_of_a_lock_is_found_without_reading_any() {
        let fake = Fake::default();
        for (id, at) in [("1", 1), ("2", 2), ("1", 3), ("3", 4), ("1", 5)] {
            fake.objects().record(&record(id, at)).await.unwrap();
        }

        let newest =
            fake.objects().newest_records("underpin/records/dev/", moment(0), &["1", "2"]).await.unwrap();

        let keys: Vec<&str> = newest.iter().map(|named| named.key.as_str()).collect();
        assert_eq!(keys, [record("1", 5).key(), record("2", 2).key()]);
        assert_eq!(fake.calls("GetObject"), 0);
    }
}
