//! States as objects of a versioned bucket, written as Terraform writes them.

use std::time::SystemTime;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ServerSideEncryption};
use aws_smithy_types::timeout::TimeoutConfig;
use futures_util::{Stream, TryStreamExt as _, stream};

use super::objects::{Objects, moment};
use super::states::{Encryption, Facts, FoundState, StateStore, StoredState, Version};
use super::versions::{Entry, EntryKind};
use super::{Beginning, StateKey};
use crate::aws::{AwsError, During, Optional};
use crate::names::KeyArn;

/// How often a state is asked for whose bytes stop coming. The SDK repeats calls, and no body that is being read.
const MOST_READS: usize = 3;
/// From how many bytes on a write has no time limit of its own: a stalled one is ended by the SDK all the same.
const LARGE: usize = 1 << 20;

/// The states in a bucket.
#[derive(Debug, Clone)]
pub struct S3States {
    /// The bucket.
    pub objects: Objects,
    /// The key that Terraform's `kms_key_id` names; without one a write is encrypted as the bucket has it.
    pub key: Option<KeyArn>,
}

impl StateStore for S3States {
    type Error = AwsError;

    async fn list<'a>(&'a self, prefixes: &'a [String], found: FoundState<'a>) -> Result<(), AwsError> {
        for prefix in prefixes {
            let mut pages = self.objects.versions(prefix);
            let mut last: Option<StoredState> = None;
            while let Some(page) = pages.next().await? {
                for entry in page.into_iter().filter(|entry| StateKey::is_state(&entry.key)) {
                    match &mut last {
                        Some(known) if known.state.as_str() == entry.key => add(known, &entry),
                        _ => last.replace(begin(entry)).into_iter().for_each(&mut *found),
                    }
                }
            }
            last.into_iter().for_each(&mut *found);
        }
        Ok(())
    }

    fn versions<'a>(
        &'a self,
        state: &'a StateKey,
    ) -> impl Stream<Item = Result<Version, AwsError>> + Send + 'a {
        let pages = stream::try_unfold(self.objects.versions(state.as_str()), async |mut pages| {
            Ok(pages.next().await?.map(|page| (page, pages)))
        });
        let entries = pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten();
        // Keys are listed in order, and the longer ones come behind.
        entries
            .try_take_while(|entry: &Entry| {
                let is_ours = entry.key == state.as_str();
                async move { Ok(is_ours) }
            })
            .map_ok(version)
    }

    async fn read(&self, state: &StateKey, version: Option<&str>) -> Result<Option<Vec<u8>>, AwsError> {
        for _ in 1..MOST_READS {
            match self.read_once(state, version).await {
                Err(error) if error.is_broken_body() => {}
                read => return read,
            }
        }
        self.read_once(state, version).await
    }

    async fn beginning(&self, state: &StateKey, version: &Version) -> Result<Option<Beginning>, AwsError> {
        match version.size {
            Some(size) => self.objects.beginning_of(state, Some(&version.id), size).await,
            None => Ok(None),
        }
    }

    async fn facts(&self, state: &StateKey, version: Option<&str>) -> Result<Option<Facts>, AwsError> {
        const CALL: &str = "s3:HeadObject";
        let Objects { aws, bucket, account_id } = &self.objects;
        let request = aws.s3.head_object().bucket(bucket.as_str()).key(state.as_str());
        let request = request.expected_bucket_owner(account_id.as_str());
        let answer = request.set_version_id(version.map(str::to_owned)).send().await.during(CALL);
        let Some(answer) = answer.optional()? else { return Ok(None) };
        let missing = |field: &str| AwsError::missing(CALL, field);
        Ok(Some(Facts {
            version: answer.version_id.ok_or_else(|| missing("VersionId"))?,
            at: answer.last_modified.and_then(moment).ok_or_else(|| missing("LastModified"))?,
            size: super::objects::length(answer.content_length),
            encryption: match (answer.server_side_encryption, answer.ssekms_key_id) {
                (Some(_), Some(key)) => Encryption::Key(key),
                (Some(_), None) => Encryption::Store,
                (None, _) => Encryption::None,
            },
        }))
    }

    /// Sends what Terraform sends with `encrypt = true` and `kms_key_id`; with both missing it would send `AES256`, which
    /// overrides the bucket's own default.
    async fn write(&self, state: &StateKey, content: Vec<u8>) -> Result<String, AwsError> {
        const CALL: &str = "s3:PutObject";
        let Objects { aws, bucket, account_id } = &self.objects;
        let is_large = content.len() >= LARGE;
        let request = aws.s3.put_object().bucket(bucket.as_str()).key(state.as_str());
        let request = request.expected_bucket_owner(account_id.as_str());
        let request = request.content_type("application/json").checksum_algorithm(ChecksumAlgorithm::Sha256);
        let request = match &self.key {
            Some(key) => {
                request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(key.as_str())
            }
            None => request,
        };
        let request = request.body(ByteStream::from(content)).customize();
        let request = if is_large { request.config_override(unhurried()) } else { request };
        let answer = request.send().await.during(CALL)?;
        answer.version_id.filter(|id| id != "null").ok_or_else(|| {
            AwsError::garbled(
                CALL,
                format!("the bucket `{bucket}` keeps no versions: what was there before is lost"),
            )
        })
    }
}

impl S3States {
    async fn read_once(&self, state: &StateKey, version: Option<&str>) -> Result<Option<Vec<u8>>, AwsError> {
        const CALL: &str = "s3:GetObject";
        let request = self.objects.get(state.as_str()).set_version_id(version.map(str::to_owned));
        match request.send().await.during(CALL).optional()? {
            Some(answer) => body(answer).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Reads a body into one piece of memory of its size.
async fn body(answer: GetObjectOutput) -> Result<Vec<u8>, AwsError> {
    let length = usize::try_from(super::objects::length(answer.content_length)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(length);
    let mut body = answer.body;
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| AwsError::broken_body("s3:GetObject", &error))?);
    }
    Ok(bytes)
}

/// Lets a large write take its time.
fn unhurried() -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder().disable_operation_attempt_timeout().disable_operation_timeout();
    aws_sdk_s3::config::Builder::new().timeout_config(timeouts.build())
}

fn begin(entry: Entry) -> StoredState {
    let state = StateKey::new(entry.key.clone());
    let epoch = Version { id: String::new(), at: SystemTime::UNIX_EPOCH, size: None, is_newest: false };
    let mut stored = StoredState { state, newest: epoch, versions: 0, bytes: 0 };
    add(&mut stored, &entry);
    stored.newest = version(entry);
    stored
}

fn add(stored: &mut StoredState, entry: &Entry) {
    if let EntryKind::Written(size) = entry.kind {
        stored.versions += 1;
        stored.bytes += size;
    }
}

fn version(entry: Entry) -> Version {
    let Entry { key: _, version_id: id, at, kind, is_latest: is_newest } = entry;
    let size = match kind {
        EntryKind::Written(size) => Some(size),
        EntryKind::Deleted => None,
    };
    Version { id, at, size, is_newest }
}
