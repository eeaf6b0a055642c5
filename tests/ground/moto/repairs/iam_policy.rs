//! IAM policies: how long they may be, and what must go before them.

use hyper::Method;

use super::{Repaired, between};
use crate::ground::http::{Answer, Request};
use crate::ground::proxy::{Dialect, Name, error};

/// Characters of a managed policy, white space not counted.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const LONGEST: usize = 6_144;

impl Repaired {
    /// Refuses a policy that is too long.
    pub(super) async fn limit_policy_size(&self, request: &Request) -> Answer {
        let document = request.field("PolicyDocument").unwrap_or_default();
        if document.chars().filter(|c| !c.is_whitespace()).count() > LONGEST {
            let message = format!("Cannot exceed quota for PolicySize: {LONGEST}");
            return error(Dialect::Query, 409, "LimitExceeded", &message);
        }
        self.upstream.send(request).await
    }

    /// Deletes a policy only where no version but the default is left.
    pub(super) async fn delete_policy(&self, name: &Name, request: &Request) -> Answer {
        let form = format!("Action=ListPolicyVersions&Version=2010-05-08&PolicyArn={}", name.resource);
        let mut list = request.instead(Method::POST, "/", form);
        list.headers.extend(
            request.headers.get("content-type").map(|value| (hyper::header::CONTENT_TYPE, value.clone())),
        );
        let versions = self.upstream.send(&list).await.text();
        if between(&versions, "<IsDefaultVersion>false", ">").is_some() {
            let message = "This policy has more than one version. Before you delete a policy, you must delete the policy's \
                           versions. The default version is deleted with the policy.";
            return error(Dialect::Query, 409, "DeleteConflict", message);
        }
        self.upstream.send(request).await
    }
}
