//! Policy documents: what AWS sends, read and compared by meaning, and the ones that underpin writes.
//!
//! A policy decides who may read secrets, so none is pasted together from text. What underpin wants is a list of typed
//! [`Statement`]s with Sids of its own; what it finds is a [`Document`] that may hold anything AWS accepts. The two meet
//! in [`Document::with_own`], which never touches what is not ours, and in [`Document::means_the_same`], which sees
//! through the many ways to write one thing. All of it is pure.

pub mod bucket;
mod difference;
mod document;
pub mod environment;
pub mod key;
mod meaning;
mod statement;

use crate::names::{Partition, Region};

pub use difference::Difference;
pub use document::{Document, InvalidDocument};
pub use environment::{Level, Locking, Scope};
pub use statement::{OWN_SID_PREFIX, Statement};

/// The most characters of a managed policy, white space not counted.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const MANAGED_POLICY_LIMIT: usize = 6_144;

/// The most bytes of a bucket policy.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html>
pub const BUCKET_POLICY_LIMIT: usize = 20_480;

/// The most bytes of a key policy.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html>
pub const KEY_POLICY_LIMIT: usize = 32_768;

/// The condition key that says which service calls KMS for the caller.
const VIA_SERVICE: &str = "kms:ViaService";

/// Returns the values of `kms:ViaService` for a service in this region.
///
/// AWS's page names services by `amazonaws.com` alone, and does not say what the partitions with a domain of their own
/// send, so there both are listed. AWS sets the value and no caller can, so a name too many opens nothing.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service>
fn via_service(partition: &Partition, region: &Region, service: &str) -> Vec<String> {
    const USUAL: &str = "amazonaws.com";
    let own = match partition.as_str() {
        "aws-cn" => "amazonaws.com.cn",
        "aws-eusc" => "amazonaws.eu",
        "aws-iso" => "c2s.ic.gov",
        "aws-iso-b" => "sc2s.sgov.gov",
        "aws-iso-e" => "cloud.adc-e.uk",
        "aws-iso-f" => "csp.hci.ic.gov",
        _ => USUAL,
    };
    let mut domains = vec![USUAL, own];
    domains.dedup();
    domains.into_iter().map(|domain| format!("{service}.{region}.{domain}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a document as it is read in a snapshot.
    pub(super) fn pretty(document: &Document) -> String {
        serde_json::to_string_pretty(&document.to_value()).unwrap()
    }

    #[test]
    fn a_partition_with_its_own_domain_is_known_by_both_names() {
        for (partition, region, names) in [
            ("aws", "eu-west-1", &["s3.eu-west-1.amazonaws.com"] as &[_]),
            ("aws-us-gov", "us-gov-west-1", &["s3.us-gov-west-1.amazonaws.com"]),
            ("aws-cn", "cn-north-1", &["s3.cn-north-1.amazonaws.com", "s3.cn-north-1.amazonaws.com.cn"]),
        ] {
            assert_eq!(via_service(&partition.parse().unwrap(), &region.parse().unwrap(), "s3"), names);
        }
    }
}
