//! Bucket policies, which the emulator never sees: it takes a `Deny` with any condition for one without.

use hyper::Method;
use serde_json::Value;

use super::{Repaired, between};
use crate::ground::http::{Answer, Request};
use crate::ground::proxy::{Dialect, Name, error};

/// Characters that a bucket policy may have.
const LONGEST: usize = 20_480;

impl Repaired {
    /// Keeps, gives back and forgets the policy of a bucket.
    pub(super) async fn keep_bucket_policy(&self, name: &Name, request: &Request) -> Answer {
        let bucket = &name.resource;
        let head = request.instead(Method::HEAD, &format!("/{bucket}"), "");
        if !self.upstream.send(&head).await.status.is_success() {
            return error(Dialect::S3, 404, "NoSuchBucket", "The specified bucket does not exist");
        }
        match name.operation.as_str() {
            "s3:GetBucketPolicy" => match self.held().bucket_policies.get(bucket) {
                Some(policy) => Answer::new(200, "application/json", policy.clone()),
                None => error(Dialect::S3, 404, "NoSuchBucketPolicy", "The bucket policy does not exist"),
            },
            "s3:DeleteBucketPolicy" => {
                self.held().bucket_policies.remove(bucket);
                Answer::new(204, "application/xml", "")
            }
            _ => self.put_bucket_policy(bucket, request).await,
        }
    }

    async fn put_bucket_policy(&self, bucket: &str, request: &Request) -> Answer {
        let policy = request.json();
        if let Some(mistake) = mistake(&policy, bucket) {
            return error(Dialect::S3, 400, "MalformedPolicy", mistake);
        }
        if request.body.len() > LONGEST {
            return error(
                Dialect::S3,
                400,
                "PolicyTooLarge",
                "Policy exceeds the maximum allowed document size.",
            );
        }
        let ask = request.instead(Method::GET, &format!("/{bucket}?publicAccessBlock"), "");
        let block = self.upstream.send(&ask).await.text();
        let blocked = between(&block, "<BlockPublicPolicy>", "</BlockPublicPolicy>") == Some("true");
        if blocked && is_public(&policy) {
            let message = "public policies are blocked by the BlockPublicPolicy block public access setting.";
            return error(Dialect::S3, 403, "AccessDenied", message);
        }
        self.held().bucket_policies.insert(bucket.to_owned(), request.body.clone());
        Answer::new(204, "application/xml", "")
    }
}

/// What S3 would say of a policy that it can't read.
fn mistake(policy: &Value, bucket: &str) -> Option<&'static str> {
    if !matches!(policy["Version"].as_str(), Some("2008-10-17" | "2012-10-17")) {
        return Some("The policy must contain a valid version string");
    }
    let statements = several(&policy["Statement"]);
    if statements.is_empty() {
        return Some("Could not parse the policy: Statement is empty!");
    }
    statements.into_iter().find_map(|statement| mistake_in_statement(statement, bucket))
}

fn mistake_in_statement(statement: &Value, bucket: &str) -> Option<&'static str> {
    let either = |one: &'static str| statement.get(one).or_else(|| statement.get(format!("Not{one}")));
    if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
        return Some("Invalid effect");
    }
    if either("Principal").is_none() {
        return Some("Missing required field Principal");
    }
    let Some(actions) = either("Action") else { return Some("Missing required field Action") };
    let is_of_s3 =
        |action: &&Value| action.as_str().is_some_and(|action| action == "*" || action.starts_with("s3:"));
    if !several(actions).iter().all(is_of_s3) {
        return Some("Policy has invalid action");
    }
    let Some(resources) = either("Resource") else { return Some("Missing required field Resource") };
    let is_of_bucket = |resource: &&Value| {
        let named = resource.as_str().and_then(|arn| arn.splitn(6, ':').nth(5)).unwrap_or_default();
        named.split('/').next() == Some(bucket)
    };
    if !several(resources).iter().all(is_of_bucket) {
        return Some("Policy has invalid resource");
    }
    None
}

/// Whether the policy allows something to everybody.
fn is_public(policy: &Value) -> bool {
    several(&policy["Statement"]).into_iter().any(|statement| {
        let principal = &statement["Principal"];
        let everybody = principal == "*" || several(&principal["AWS"]).into_iter().any(|one| one == "*");
        statement["Effect"] == "Allow" && everybody && statement.get("Condition").is_none()
    })
}

/// One value or a list of them, as policies have it.
fn several(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().collect(),
        one => vec![one],
    }
}
