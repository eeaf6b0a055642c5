//! What the real thing would let pass in silence, and no call of ours may do.

use std::collections::BTreeSet;

use super::fault::error;
use super::name::Name;
use crate::ground::http::{Answer, Request};

/// A rule that one test may need to see broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unless {
    /// A create call may come without tags: a region or a store refuses them there.
    UntaggedCreate,
    /// A call may come without the expected bucket owner.
    NoExpectedOwner,
}

/// Looks at every call of the program under test, and remembers what was wrong.
#[derive(Debug, Default)]
pub(crate) struct Strictness {
    permitted: BTreeSet<Unless>,
    violations: Vec<String>,
}

impl Strictness {
    /// Lets `rule` be broken.
    pub(crate) fn permit(&mut self, rule: Unless) {
        self.permitted.insert(rule);
    }

    /// What was wrong until now; forgotten by asking.
    pub(crate) fn take_violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }

    /// Returns a refusal of a call that breaks a rule.
    pub(crate) fn refuse(&mut self, name: &Name, request: &Request) -> Option<Answer> {
        let rules = [
            (
                Unless::NoExpectedOwner,
                lacks_expected_owner(name, request),
                "carries no expected bucket owner",
            ),
            (Unless::UntaggedCreate, lacks_tags(name, request), "carries no tags"),
        ];
        let (_, _, what) =
            rules.into_iter().find(|(rule, broken, _)| *broken && !self.permitted.contains(rule))?;
        let violation = format!("{} on `{}` {what}", name.operation, name.resource);
        let answer = error(name.dialect, 400, "StrictlyRefused", &violation);
        self.violations.push(violation);
        Some(answer)
    }
}

/// Whether `request` comes from underpin: terraform and the AWS CLI take the same way. The SDK puts the name of the
/// application into the user agent.
pub(crate) fn is_ours(request: &Request) -> bool {
    ["user-agent", "x-amz-user-agent"]
        .into_iter()
        .filter_map(|header| request.header(header))
        .any(|agent| agent.split(' ').any(|part| part == "app/underpin"))
}

/// Every S3 call but these can carry the expected bucket owner.
fn lacks_expected_owner(name: &Name, request: &Request) -> bool {
    let could = !matches!(name.operation.as_str(), "s3:CreateBucket" | "s3:ListBuckets" | "s3:CreateSession");
    name.service == "s3" && could && !request.headers.contains_key("x-amz-expected-bucket-owner")
}

fn lacks_tags(name: &Name, request: &Request) -> bool {
    match name.operation.as_str() {
        "s3:CreateBucket" => !request.body.windows(6).any(|part| part == b"<Tags>"),
        "dynamodb:CreateTable" | "kms:CreateKey" => {
            request.json()["Tags"].as_array().is_none_or(Vec::is_empty)
        }
        "iam:CreatePolicy" => request.field("Tags.member.1.Key").is_none(),
        _ => false,
    }
}
