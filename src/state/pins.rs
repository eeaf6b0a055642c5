//! Versions that are kept for good: copies that stay current, which no lifecycle rule expires.
//!
//! A lifecycle rule can't spare a single version, neither by a tag nor by an id. A copy under a key of its own can't be
//! noncurrent, so nothing has to spare it.

use std::time::SystemTime;

use aws_sdk_s3::types::{MetadataDirective, ServerSideEncryption};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::objects::Objects;
use super::s3_states::S3States;
use super::states::Version;
use super::{Beginning, StateKey, when};
use crate::aws::{AwsError, During};

/// Where all pins lie.
pub(super) const PINS: &str = "underpin/pins/";
/// What stays as it is in the name of what is copied.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A version that is kept for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The id of the version.
    pub version: String,
    /// Where its copy is.
    pub key: StateKey,
    /// When it was pinned.
    pub at: Option<SystemTime>,
}

impl Pin {
    /// Returns the pin of a version, whether there is one or not.
    pub fn of(state: &StateKey, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            key: StateKey::new(format!("{}{version}", folder(state))),
            at: None,
        }
    }
}

impl S3States {
    /// Pins a version: copies its bytes as they are, with what is known of it.
    pub async fn pin(
        &self,
        state: &StateKey,
        version: &Version,
        beginning: &Beginning,
    ) -> Result<Pin, AwsError> {
        let Objects { aws, bucket, account_id } = &self.objects;
        let pin = Pin::of(state, &version.id);
        let source = format!("{bucket}/{state}");
        let source = format!("{}?versionId={}", utf8_percent_encode(&source, PLAIN), version.id);
        let request = aws.s3.copy_object().bucket(bucket.as_str()).key(pin.key.as_str()).copy_source(source);
        let request = request.expected_bucket_owner(account_id.as_str());
        let request = request.expected_source_bucket_owner(account_id.as_str());
        let request = match &self.key {
            Some(key) => {
                request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id(key.as_str())
            }
            None => request,
        };
        let Beginning { terraform_version, serial, lineage, format: _ } = beginning.clone();
        let facts = [
            ("written", Some(when::to_the_second(version.at))),
            ("serial", serial.map(|serial| serial.to_string())),
            ("lineage", lineage),
            ("terraform-version", terraform_version),
        ];
        let request = request.metadata_directive(MetadataDirective::Replace).content_type("application/json");
        let request = facts.into_iter().fold(request, |request, (name, value)| match value {
            Some(value) => request.metadata(name, value),
            None => request,
        });
        request.send().await.during("s3:CopyObject")?;
        Ok(pin)
    }

    /// Returns the pinned versions of a state, by the ids of the versions.
    pub async fn pins(&self, state: &StateKey) -> Result<Vec<Pin>, AwsError> {
        let folder = folder(state);
        let mut pages = self.objects.list(&folder, None);
        let mut pins = Vec::new();
        while let Some(page) = pages.next().await? {
            pins.extend(page.into_iter().filter_map(|object| {
                // What lies deeper belongs to another state.
                let version = object.key.strip_prefix(&folder).filter(|version| !version.contains('/'))?;
                Some(Pin { at: object.written, ..Pin::of(state, version) })
            }));
        }
        Ok(pins)
    }

    /// Removes a pin; the version itself stays as long as the bucket keeps it.
    pub async fn unpin(&self, pin: &Pin) -> Result<(), AwsError> {
        let Objects { aws, bucket, account_id } = &self.objects;
        let request = aws.s3.delete_object().bucket(bucket.as_str()).key(pin.key.as_str());
        request.expected_bucket_owner(account_id.as_str()).send().await.during("s3:DeleteObject").map(drop)
    }
}

/// Returns the folder of a state's pins: `underpin/pins/ENV/COMPONENT/`.
fn folder(state: &StateKey) -> String {
    format!("{PINS}{}/", state.as_str().strip_suffix(".tfstate").unwrap_or(state.as_str()))
}
