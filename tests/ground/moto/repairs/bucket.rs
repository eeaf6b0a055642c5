//! Buckets: what they are born with, what keeps them, and their lifecycle rules.

use hyper::Method;

use super::{Repaired, between};
use crate::ground::http::{Answer, Request};
use crate::ground::proxy::{Dialect, Name, error};

/// The settings that a new bucket has.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/creating-bucket-overview.html>
const DEFAULTS: [(&str, &str); 3] = [
    ("encryption", DEFAULT_ENCRYPTION),
    (
        "publicAccessBlock",
        "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>\
         <BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>\
         </PublicAccessBlockConfiguration>",
    ),
    (
        "ownershipControls",
        "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>",
    ),
];

/// What a bucket encrypts with unless told otherwise.
const DEFAULT_ENCRYPTION: &str = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
     <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled>\
     </Rule></ServerSideEncryptionConfiguration>";

impl Repaired {
    /// Creates a bucket, and once it is there, what the emulator does not do with it.
    pub(super) async fn create_bucket(&self, name: &Name, request: &Request) -> Answer {
        let answer = self.upstream.send(request).await;
        let bucket = &name.resource;
        // In us-east-1 creating one's own bucket again is answered like the first time, and changes nothing.
        if !answer.status.is_success() || self.held().buckets.contains_key(bucket) {
            return answer;
        }
        let body = String::from_utf8_lossy(&request.body);
        let region = between(&body, "<LocationConstraint>", "</LocationConstraint>").unwrap_or(&name.region);
        self.held().buckets.insert(bucket.clone(), region.to_owned());
        self.give_defaults(bucket, request).await;
        self.apply_create_tags(bucket, request).await;
        answer
    }

    /// Gives a new bucket the settings that AWS's have.
    async fn give_defaults(&self, bucket: &str, request: &Request) {
        for (setting, document) in DEFAULTS {
            let chosen =
                setting == "ownershipControls" && request.headers.contains_key("x-amz-object-ownership");
            if !chosen {
                self.put(bucket, setting, document, request).await;
            }
        }
    }

    /// Applies the tags in a create's body.
    async fn apply_create_tags(&self, bucket: &str, request: &Request) {
        let body = String::from_utf8_lossy(&request.body);
        if let Some(tags) = between(&body, "<Tags>", "</Tags>") {
            self.put(bucket, "tagging", &format!("<Tagging><TagSet>{tags}</TagSet></Tagging>"), request)
                .await;
        }
    }

    /// Puts a setting in the name of who sent `request`.
    async fn put(&self, bucket: &str, setting: &str, document: &str, request: &Request) {
        let put = request.instead(Method::PUT, &format!("/{bucket}?{setting}"), document.to_owned());
        let answer = self.upstream.send(&put).await;
        assert!(answer.status.is_success(), "the emulator refuses {setting} of {bucket}: {}", answer.text());
    }

    /// Takes the bucket's encryption back to the default, which is not none.
    pub(super) async fn delete_encryption(&self, name: &Name, request: &Request) -> Answer {
        let answer = self.upstream.send(request).await;
        if answer.status.is_success() {
            self.put(&name.resource, "encryption", DEFAULT_ENCRYPTION, request).await;
        }
        answer
    }

    /// Deletes a bucket, and what is held for it.
    pub(super) async fn delete_bucket(&self, name: &Name, request: &Request) -> Answer {
        let answer = self.upstream.send(request).await;
        if answer.status.is_success() {
            let mut held = self.held();
            held.buckets.remove(&name.resource);
            held.bucket_policies.remove(&name.resource);
            held.lifecycles.remove(&name.resource);
        }
        answer
    }

    /// Answers lifecycle rules as they were put: the emulator loses parts of them.
    pub(super) async fn keep_lifecycle(&self, name: &Name, request: &Request) -> Answer {
        let put = name.operation == "s3:PutBucketLifecycleConfiguration";
        let document = String::from_utf8_lossy(&request.body).into_owned();
        if let Some(answer) = put.then(|| refuse_lifecycle(&document)).flatten() {
            return answer;
        }
        let mut answer = self.upstream.send(request).await;
        if !answer.status.is_success() {
            return answer;
        }
        let bucket = &name.resource;
        match name.operation.as_str() {
            "s3:DeleteBucketLifecycle" => drop(self.held().lifecycles.remove(bucket)),
            "s3:PutBucketLifecycleConfiguration" => {
                drop(self.held().lifecycles.insert(bucket.clone(), with_ids(&document)));
            }
            _ => {
                let held = self.held().lifecycles.get(bucket).cloned();
                answer.body = held.expect("rules that the emulator has were put here").into();
            }
        }
        answer
    }

    /// Refuses a call to a bucket that lives in another region than the call is signed for.
    pub(crate) fn wrong_region(&self, name: &Name) -> Option<Answer> {
        let region = self.held().buckets.get(name.bucket()?)?.clone();
        // The location may be asked of us-east-1 wherever the bucket is.
        let asks_globally = name.operation == "s3:GetBucketLocation" && name.region == "us-east-1";
        if region == name.region
            || name.region.is_empty()
            || asks_globally
            || name.operation == "s3:CreateBucket"
        {
            return None;
        }
        let message = "The bucket you are attempting to access must be addressed using the specified endpoint. Please send \
                       all future requests to this endpoint.";
        let mut answer = error(Dialect::S3, 301, "PermanentRedirect", message);
        answer.set("x-amz-bucket-region", &region);
        Some(answer)
    }
}

/// Refuses rules that say not what to do.
fn refuse_lifecycle(document: &str) -> Option<Answer> {
    const ACTIONS: [&str; 3] = ["Expiration>", "Transition>", "<AbortIncompleteMultipartUpload>"];
    let acts = |rule: &str| ACTIONS.iter().any(|action| rule.contains(action));
    let message = "The XML you provided was not well-formed or did not validate against our published schema";
    let malformed = !document.split("<Rule>").skip(1).all(acts);
    malformed.then(|| error(Dialect::S3, 400, "MalformedXML", message))
}

/// Gives an id to rules that have none, as S3 does.
fn with_ids(document: &str) -> String {
    let mut rules = document.split("<Rule>");
    let mut text = rules.next().unwrap_or_default().to_owned();
    for (number, rule) in rules.enumerate() {
        text.push_str("<Rule>");
        if !rule.contains("<ID>") {
            let id = format!("<ID>rule-{number}</ID>");
            text.push_str(&id);
        }
        text.push_str(rule);
    }
    text
}
