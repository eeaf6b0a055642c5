//! Every version and delete marker of a bucket's objects, a page at a time, newest first.
//!
//! The SDK gives the versions of a page and its delete markers as two lists, and S3 tells times to the second: a lock
//! that was held for less than that has a version and a marker of one time. Which came first is told by what goes with
//! a lock: it is written only where there is none, so versions and markers take turns.

use std::collections::VecDeque;
use std::time::SystemTime;

use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;

use super::objects::{Objects, moment};
use crate::aws::{AwsError, During};

const CALL: &str = "s3:ListObjectVersions";

/// What happened to an object once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The object's key.
    pub key: String,
    /// The id of the version or of the delete marker.
    pub version_id: String,
    /// When.
    pub at: SystemTime,
    /// What.
    pub kind: EntryKind,
    /// Whether it is what the object is now.
    pub is_latest: bool,
}

/// The kinds of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// It was written, with this many bytes.
    Written(u64),
    /// It was deleted.
    Deleted,
}

/// The entries of all keys with one prefix: by key, and newest first.
#[derive(Debug)]
pub struct Versions<'a> {
    objects: &'a Objects,
    prefix: &'a str,
    marker: Option<(String, Option<String>)>,
    ended: bool,
    last: Option<Entry>,
}

impl Objects {
    /// Lists the versions and delete markers of the objects whose keys begin with `prefix`.
    pub fn versions<'a>(&'a self, prefix: &'a str) -> Versions<'a> {
        Versions { objects: self, prefix, marker: None, ended: false, last: None }
    }
}

impl Versions<'_> {
    /// Reads the next page; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<Entry>>, AwsError> {
        if self.ended {
            return Ok(None);
        }
        let Objects { aws, bucket, account_id } = self.objects;
        let request = aws.s3.list_object_versions().bucket(bucket.as_str()).prefix(self.prefix);
        let request = request.expected_bucket_owner(account_id.as_str());
        let (key, version) = self.marker.clone().map_or((None, None), |(key, version)| (Some(key), version));
        let request = request.set_key_marker(key).set_version_id_marker(version);
        let mut answer = request.send().await.during(CALL)?;

        let marker = answer.next_key_marker.take().map(|key| (key, answer.next_version_id_marker.take()));
        if marker.is_some() && marker == self.marker {
            return Err(AwsError::garbled(CALL, "the listing does not go on".to_owned()));
        }
        self.ended = marker.is_none();
        self.marker = marker;
        let (written, deleted) = entries(answer)?;
        let page = in_turns(written, deleted, self.last.as_ref());
        self.last = page.last().cloned().or(self.last.take());
        Ok(Some(page))
    }
}

fn entries(answer: ListObjectVersionsOutput) -> Result<(VecDeque<Entry>, VecDeque<Entry>), AwsError> {
    let missing = |field: &str| AwsError::missing(CALL, field);
    let written = answer.versions.unwrap_or_default().into_iter().map(|version| {
        let size = version.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        Ok(Entry {
            key: version.key.ok_or_else(|| missing("Key"))?,
            version_id: version.version_id.ok_or_else(|| missing("VersionId"))?,
            at: version.last_modified.and_then(moment).ok_or_else(|| missing("LastModified"))?,
            kind: EntryKind::Written(size),
            is_latest: version.is_latest.unwrap_or_default(),
        })
    });
    let deleted = answer.delete_markers.unwrap_or_default().into_iter().map(|marker| {
        Ok(Entry {
            key: marker.key.ok_or_else(|| missing("Key"))?,
            version_id: marker.version_id.ok_or_else(|| missing("VersionId"))?,
            at: marker.last_modified.and_then(moment).ok_or_else(|| missing("LastModified"))?,
            kind: EntryKind::Deleted,
            is_latest: marker.is_latest.unwrap_or_default(),
        })
    });
    Ok((written.collect::<Result<_, AwsError>>()?, deleted.collect::<Result<_, AwsError>>()?))
}

/// Makes one list of two: by key, newest first, and by turns where times are equal; `last` is the entry before.
fn in_turns(mut written: VecDeque<Entry>, mut deleted: VecDeque<Entry>, last: Option<&Entry>) -> Vec<Entry> {
    let mut page: Vec<Entry> = Vec::with_capacity(written.len() + deleted.len());
    loop {
        let deleted_is_next = match (written.front(), deleted.front()) {
            (None, None) => return page,
            (written, None) => written.is_none(),
            (None, Some(_)) => true,
            (Some(written), Some(deleted)) => is_before(deleted, written, page.last().or(last)),
        };
        let next = if deleted_is_next { deleted.pop_front() } else { written.pop_front() };
        page.extend(next);
    }
}

/// Returns whether a delete marker comes before a version in a list that is newest first.
fn is_before(deleted: &Entry, written: &Entry, last: Option<&Entry>) -> bool {
    if deleted.key != written.key {
        return deleted.key < written.key;
    }
    if deleted.at != written.at {
        return deleted.at > written.at;
    }
    if deleted.is_latest || written.is_latest {
        return deleted.is_latest;
    }
    last.is_some_and(|last| last.key == deleted.key && last.kind != EntryKind::Deleted)
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;

    async fn ids(fake: &Fake, prefix: &str) -> Vec<String> {
        let objects = fake.objects();
        let mut versions = objects.versions(prefix);
        let mut ids = Vec::new();
        while let Some(page) = versions.next().await.unwrap() {
            ids.extend(page.into_iter().map(|entry| entry.version_id));
        }
        ids
    }

    #[tokio::test]
    async fn entries_of_one_second_take_turns_across_pages() {
        for (held, holds) in [(false, 7), (true, 8)] {
            let fake = Fake::default();
            for _ in 0..holds {
                fake.put_object("dev/a.tflock", b"{}");
                fake.delete_object("dev/a.tflock");
            }
            if held {
                fake.put_object("dev/a.tflock", b"{}");
            }
            let made = holds * 2 + usize::from(held);

            let newest_first: Vec<String> = (1..=made).rev().map(|number| format!("v{number}")).collect();

            assert_eq!(ids(&fake, "dev/").await, newest_first);
        }
    }

    #[tokio::test]
    async fn keys_keep_their_order_and_times_decide_before_turns() {
        let fake = Fake::default();
        for (second, key) in [(1, "dev/b"), (1, "dev/a"), (2, "dev/a"), (2, "prod/a")] {
            fake.world().now = second;
            fake.put_object(key, b"{}");
        }
        fake.world().now = 3;
        fake.delete_object("dev/a");

        assert_eq!(ids(&fake, "dev/").await, ["v5", "v3", "v2", "v1"]);
    }
}
