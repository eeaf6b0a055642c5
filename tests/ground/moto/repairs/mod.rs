//! What the emulator drops or misreads, kept and answered here as AWS does.
//!
//! Each repair is one function with a test in `tests.rs` that asks the bare emulator, and fails on the day that it needs the
//! repair no more.

mod bucket;
mod bucket_policy;
mod iam_policy;
mod key;
mod root;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use tokio::sync::RwLock;

use crate::ground::http::{Answer, Request, Upstream};
use crate::ground::proxy::Name;

/// The emulator with its repairs.
pub(crate) struct Repaired {
    upstream: Upstream,
    held: Mutex<Held>,
    /// Held alone by what creates a bucket: nobody sees it half made.
    creation: RwLock<()>,
}

/// What the emulator does not keep.
#[derive(Default)]
struct Held {
    /// Regions by bucket.
    buckets: BTreeMap<String, String>,
    /// Policies by bucket.
    bucket_policies: BTreeMap<String, Bytes>,
    /// Lifecycle configurations by bucket.
    lifecycles: BTreeMap<String, String>,
    /// Days between rotations by key.
    rotation_days: BTreeMap<String, u64>,
}

impl Repaired {
    /// The emulator at `address`, which is empty.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { upstream: Upstream::new(address), held: Mutex::default(), creation: RwLock::default() }
    }

    /// Answers `request`, called `name`, as AWS does.
    pub(crate) async fn answer(&self, name: &Name, request: &Request) -> Answer {
        match name.operation.as_str() {
            "s3:CreateBucket" => {
                let _alone = self.creation.write().await;
                self.create_bucket(name, request).await
            }
            "kms:EnableKeyRotation" | "kms:DisableKeyRotation" | "kms:GetKeyRotationStatus" => {
                self.keep_rotation_period(name, request).await
            }
            "dynamodb:DescribeTimeToLive" => self.describe_time_to_live(request).await,
            "iam:CreatePolicy" | "iam:CreatePolicyVersion" => self.limit_policy_size(request).await,
            "iam:DeletePolicy" => self.delete_policy(name, request).await,
            _ if name.service == "s3" => {
                let _with_others = self.creation.read().await;
                self.bucket_call(name, request).await
            }
            _ => self.upstream.send(request).await,
        }
    }

    async fn bucket_call(&self, name: &Name, request: &Request) -> Answer {
        match name.operation.as_str() {
            "s3:DeleteBucket" => self.delete_bucket(name, request).await,
            "s3:DeleteBucketEncryption" => self.delete_encryption(name, request).await,
            "s3:GetBucketPolicy" | "s3:PutBucketPolicy" | "s3:DeleteBucketPolicy" => {
                self.keep_bucket_policy(name, request).await
            }
            "s3:GetBucketLifecycleConfiguration"
            | "s3:PutBucketLifecycleConfiguration"
            | "s3:DeleteBucketLifecycle" => self.keep_lifecycle(name, request).await,
            _ => root::rename(self.upstream.send(request).await),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text between two marks, without them.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    rest.split_once(end).map(|(inner, _)| inner)
}
