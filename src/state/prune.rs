//! Removing what nothing needs any more, and no lifecycle rule can select: a filter knows prefixes, tags and sizes, and
//! the names of lock objects differ from those of states at their end only.
//!
//! Every plan leaves a version and a delete marker of its lock object. They are the only history of the locks that there
//! is, so what goes is first written, whole, into one compressed object of ours.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::SystemTime;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use super::objects::{Create, Objects, SIDE_BY_SIDE};
use super::versions::{Entry, EntryKind};
use super::{StateKey, when};
use crate::aws::{AwsError, During};

/// Where the history of locks goes that is removed.
const ARCHIVES: &str = "underpin/pruned/";
/// How many versions one call removes at most.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>
const AT_ONCE: usize = 1_000;

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How many noncurrent versions of each state.
    pub versions: usize,
    /// The history of locks from here on.
    pub locks_since: SystemTime,
}

/// What can go of one state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excess {
    /// Noncurrent versions and delete markers of the state.
    pub versions: Vec<Entry>,
    /// Noncurrent versions and delete markers of its lock object.
    pub locks: Vec<Entry>,
}

impl Excess {
    /// Returns how long what goes is together.
    pub fn bytes(&self) -> u64 {
        let sizes = self.versions.iter().chain(&self.locks).map(|entry| match entry.kind {
            EntryKind::Written(size) => size,
            EntryKind::Deleted => 0,
        });
        sizes.sum()
    }
}

impl Objects {
    /// Finds what can go of the states whose keys begin with `prefix`. What is current never goes.
    pub async fn excess(&self, prefix: &str, terms: Terms) -> Result<BTreeMap<StateKey, Excess>, AwsError> {
        let mut excess: BTreeMap<StateKey, Excess> = BTreeMap::new();
        let mut kept: Option<(String, usize)> = None;
        let mut pages = self.versions(prefix);
        while let Some(page) = pages.next().await? {
            for entry in page.into_iter().filter(|entry| !entry.is_latest) {
                if let Some(state) = StateKey::of_lockfile(&entry.key) {
                    if entry.at < terms.locks_since {
                        excess.entry(state).or_default().locks.push(entry);
                    }
                } else if StateKey::is_state(&entry.key) {
                    let known =
                        kept.take().filter(|(key, _)| *key == entry.key).map_or(0, |(_, count)| count);
                    kept = Some((entry.key.clone(), known + usize::from(entry.kind != EntryKind::Deleted)));
                    // A deletion is told as long as the version before it is there.
                    if known >= terms.versions {
                        excess.entry(StateKey::new(entry.key.clone())).or_default().versions.push(entry);
                    }
                }
            }
        }
        Ok(excess)
    }

    /// Writes the history of locks into one compressed object, and returns its key: one line for each entry, with the
    /// content of the versions.
    pub async fn archive_locks(&self, entries: &[Entry], now: SystemTime) -> Result<String, AwsError> {
        const CALL: &str = "s3:PutObject";
        let garbled = |error: std::io::Error| AwsError::garbled(CALL, error.to_string());
        let lines = stream::iter(entries).map(|entry| self.line(entry)).buffered(SIDE_BY_SIDE);
        let mut lines = Box::pin(lines);
        let mut compressed = GzEncoder::new(Vec::new(), Compression::default());
        while let Some(line) = lines.try_next().await? {
            writeln!(compressed, "{line}").map_err(garbled)?;
        }
        let content = compressed.finish().map_err(garbled)?;
        let key = format!("{ARCHIVES}{}.jsonl.gz", when::sortable(now));
        match self.create_bytes(&key, content, "application/gzip").await? {
            Create::Written(_) => Ok(key),
            Create::Exists => Err(AwsError::garbled(CALL, format!("`{key}` is there already"))),
        }
    }

    async fn line(&self, entry: &Entry) -> Result<serde_json::Value, AwsError> {
        let content = match entry.kind {
            EntryKind::Written(_) => self.read_version(&entry.key, &entry.version_id).await?,
            EntryKind::Deleted => None,
        };
        let content = content.and_then(|read| read.content.ok());
        Ok(json!({
            "key": entry.key, "version": entry.version_id, "time": when::rfc3339(entry.at),
            "deleted": entry.kind == EntryKind::Deleted,
            "content": content.map(|content| String::from_utf8_lossy(&content).into_owned()),
        }))
    }

    /// Removes versions and delete markers for good.
    pub async fn remove(&self, entries: &[Entry]) -> Result<(), AwsError> {
        const CALL: &str = "s3:DeleteObjects";
        let Self { aws, bucket, account_id } = self;
        for entries in entries.chunks(AT_ONCE) {
            let garbled = |error: aws_sdk_s3::error::BuildError| AwsError::garbled(CALL, error.to_string());
            let named = entries.iter().map(|entry| {
                ObjectIdentifier::builder().key(&entry.key).version_id(&entry.version_id).build()
            });
            let named = named.collect::<Result<Vec<_>, _>>().map_err(garbled)?;
            let delete = Delete::builder().set_objects(Some(named)).quiet(true).build().map_err(garbled)?;
            let request = aws.s3.delete_objects().bucket(bucket.as_str()).delete(delete);
            let answer = request.expected_bucket_owner(account_id.as_str()).send().await.during(CALL)?;
            // The call answers 200, and says in it what it did not do.
            if let Some(first) = answer.errors.unwrap_or_default().into_iter().next() {
                return Err(AwsError::refused_in_answer(CALL, first.code, first.message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::super::fake::{Fake, moment};
    use super::*;

    fn terms(versions: usize, locks_since: u64) -> Terms {
        Terms { versions, locks_since: moment(locks_since) }
    }

    fn ids(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.version_id.as_str()).collect()
    }

    #[tokio::test]
    async fn what_is_current_stays_and_so_do_the_newest_versions() {
        let fake = Fake::default();
        for second in 1..=6 {
            fake.world().now = second;
            fake.put_object("dev/a.tfstate", b"{}");
        }
        fake.put_object("dev/b.tfstate", b"{}");
        fake.put_object("dev/README", b"{}");
        fake.put_object("dev/README", b"{}");

        let excess = fake.objects().excess("", terms(2, 0)).await.unwrap();

        assert_eq!(excess.len(), 1);
        let excess = &excess[&StateKey::new("dev/a.tfstate")];
        assert_eq!((ids(&excess.versions), excess.bytes()), (vec!["v3", "v2", "v1"], 6));
    }

    #[tokio::test]
    async fn the_history_of_locks_is_kept_from_a_moment_on_and_archived_before_it_goes() {
        let fake = Fake::default();
        for second in 1..=4 {
            fake.world().now = second;
            fake.put_object("dev/a.tfstate.tflock", format!("{{\"ID\":\"{second}\"}}").as_bytes());
            fake.delete_object("dev/a.tfstate.tflock");
        }

        let excess = fake.objects().excess("dev/", terms(2, 3)).await.unwrap();

        let locks = &excess[&StateKey::new("dev/a.tfstate")].locks;
        assert_eq!(ids(locks), ["v4", "v3", "v2", "v1"]);
        let key = fake.objects().archive_locks(locks, moment(9)).await.unwrap();
        assert_eq!(key, "underpin/pruned/19700101T000009.000000000Z.jsonl.gz");
        let stored = fake.world().objects[&key][0].content.clone().unwrap();
        let mut text = String::new();
        GzDecoder::new(stored.as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("{\\\"ID\\\":\\\"1\\\"}"), "{text}");
    }
}
