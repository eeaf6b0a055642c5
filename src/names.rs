//! The names that AWS, Terraform and a configuration give to things, each a type of its own.
//!
//! A name is checked once, where it enters (`FromStr`), and trusted from there on: no bucket can be passed for a
//! table, and no name that holds `*`, `?` or `${` can reach a policy.

use std::fmt;
use std::str::FromStr;

/// A name that breaks a rule, and the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct InvalidName {
    /// What is allowed, as a sentence fragment that stands alone: "an account id is twelve digits".
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $check:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Returns the name as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(InvalidName { rule: $rule }) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The project: it prefixes everything that is created.
    ProjectName,
    |text| (2..=20).contains(&text.len()) && is_slug(text, b"-"),
    "a project name has 2 to 20 characters: lower-case letters, digits and `-`, and begins with a letter or digit"
);
name!(
    /// A backend: one place where state lives.
    BackendName,
    is_label,
    "a backend name has 1 to 63 characters: lower-case letters, digits, `.`, `_` and `-`, and begins with a letter or digit"
);
name!(
    /// An environment: it owns the key prefix `ENV/`.
    EnvironmentName,
    |text| is_label(text) && text != "underpin",
    "an environment name has 1 to 63 characters: lower-case letters, digits, `.`, `_` and `-`, begins with a letter or digit, and is not `underpin`"
);
name!(
    /// A component: one root module in an environment. `/` divides segments.
    ComponentName,
    |text| text.len() <= 255 && text.split('/').all(|segment| is_label(segment) && segment != "underpin"),
    "a component name has up to 255 characters, in segments divided by `/`; a segment has 1 to 63 lower-case letters, digits, `.`, `_` and `-`, begins with a letter or digit, and is not `underpin`"
);
name!(
    /// An AWS account's id.
    AccountId,
    |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()),
    "an account id is twelve digits"
);
name!(
    /// An AWS region, such as `eu-west-1`. Not checked against a list: AWS adds regions.
    Region,
    |text| {
        let parts: Vec<&str> = text.split('-').collect();
        parts.len() >= 3
            && text.len() <= 32
            && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
            && parts.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
    },
    "a region looks like `eu-west-1`: lower-case words divided by `-`, a number at the end"
);
name!(
    /// An S3 bucket's name, by the rules of general purpose buckets.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
    BucketName,
    is_bucket_name,
    "a bucket name has 3 to 63 characters: lower-case letters, digits, `.` and `-`; it begins and ends with a letter or digit, is not an IP address, and has none of S3's reserved prefixes and suffixes"
);
name!(
    /// A DynamoDB table's name.
    TableName,
    |text| (3..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')),
    "a table name has 3 to 255 characters: letters, digits, `.`, `_` and `-`"
);
name!(
    /// A KMS alias, with its `alias/`.
    KeyAlias,
    |text| text.strip_prefix("alias/").is_some_and(|rest| {
        (1..=250).contains(&rest.len())
            && !rest.starts_with("aws/")
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-'))
    }),
    "a key alias is `alias/` and 1 to 250 letters, digits, `/`, `_` and `-`, and does not begin with `alias/aws/`"
);
name!(
    /// A KMS key's ARN.
    KeyArn,
    |text| {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        matches!(parts.as_slice(), ["arn", partition, "kms", region, account, resource]
            if is_partition(partition)
                && region.parse::<Region>().is_ok()
                && account.parse::<AccountId>().is_ok()
                && resource.strip_prefix("key/").is_some_and(|id| {
                    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                }))
    },
    "a key's ARN looks like `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`"
);
name!(
    /// A partition of AWS: `aws`, `aws-cn`, `aws-us-gov` and what may follow.
    Partition,
    is_partition,
    "a partition is `aws` or begins with `aws-`"
);

impl KeyArn {
    /// Returns the key's id, the last part of its ARN.
    pub fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl Partition {
    /// Returns the partition that a region belongs to, by the region's prefix.
    ///
    /// The caller's ARN is the authority; this is what is assumed until it is known.
    /// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
    pub fn of_region(region: &Region) -> Self {
        let partition = match region.as_str() {
            name if name.starts_with("cn-") => "aws-cn",
            name if name.starts_with("us-gov-") => "aws-us-gov",
            name if name.starts_with("us-iso-") => "aws-iso",
            name if name.starts_with("us-isob-") => "aws-iso-b",
            name if name.starts_with("eu-isoe-") => "aws-iso-e",
            name if name.starts_with("us-isof-") => "aws-iso-f",
            name if name.starts_with("eusc-") => "aws-eusc",
            _ => "aws",
        };
        Self(partition.to_owned())
    }
}

/// Where a backend lives: the three parts that every ARN in it shares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The partition, by the caller's ARN.
    pub partition: Partition,
    /// The region.
    pub region: Region,
    /// The account.
    pub account: AccountId,
}

impl Place {
    /// Returns a bucket's ARN, which names neither region nor account.
    pub fn bucket_arn(&self, bucket: &BucketName) -> String {
        format!("arn:{}:s3:::{bucket}", self.partition)
    }

    /// Returns a table's ARN.
    pub fn table_arn(&self, table: &TableName) -> String {
        format!("arn:{}:dynamodb:{}:{}:table/{table}", self.partition, self.region, self.account)
    }

    /// Returns an alias's ARN.
    pub fn alias_arn(&self, alias: &KeyAlias) -> String {
        format!("arn:{}:kms:{}:{}:{alias}", self.partition, self.region, self.account)
    }

    /// Returns the principal that stands for the account as a whole.
    pub fn account_root(&self) -> String {
        format!("arn:{}:iam::{}:root", self.partition, self.account)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

fn is_partition(text: &str) -> bool {
    text == "aws"
        || text
            .strip_prefix("aws-")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
}

fn is_slug(text: &str, also: &[u8]) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().next().is_some_and(plain) && text.bytes().all(|b| plain(b) || also.contains(&b))
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_slug(text, b"._-")
}

fn is_bucket_name(text: &str) -> bool {
    const PREFIXES: [&str; 4] = ["xn--", "sthree-", "amzn-s3-demo-", "aws-"];
    const SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    (3..=63).contains(&text.len())
        && is_slug(text, b".-")
        && text.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric())
        && !text.contains("..")
        && text.parse::<std::net::Ipv4Addr>().is_err()
        && !PREFIXES.iter().any(|prefix| text.starts_with(prefix))
        && !SUFFIXES.iter().any(|suffix| text.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_widen_a_policy_are_refused() {
        for hostile in ["*", "dev*", "de?v", "${aws:username}", "dev/../prod", "Dev", "", "dev\n"] {
            assert!(hostile.parse::<EnvironmentName>().is_err(), "{hostile:?}");
            assert!(hostile.parse::<BucketName>().is_err(), "{hostile:?}");
            assert!(hostile.parse::<ProjectName>().is_err(), "{hostile:?}");
        }
        assert!("a//b".parse::<ComponentName>().is_err());
        assert!("network/vpc".parse::<ComponentName>().is_ok());
    }

    #[test]
    fn underpin_is_a_reserved_name() {
        assert!("underpin".parse::<EnvironmentName>().is_err());
        assert!("underpin2".parse::<EnvironmentName>().is_ok());
    }

    #[test]
    fn bucket_names_follow_s3() {
        for good in ["acme-tfstate-111122223333-eu-west-1", "a.b", "abc"] {
            assert!(good.parse::<BucketName>().is_ok(), "{good}");
        }
        for bad in
            ["ab", "-ab", "ab-", "a..b", "192.168.0.1", "xn--abc", "abc-s3alias", "a_b", &"a".repeat(64)]
        {
            assert!(bad.parse::<BucketName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_region_that_nobody_has_heard_of_is_still_a_region() {
        for good in ["eu-west-1", "us-gov-east-1", "mx-central-1", "us-iso-east-1"] {
            assert!(good.parse::<Region>().is_ok(), "{good}");
        }
        for bad in ["eu-west", "eu-west-1a", "EU-WEST-1", "", "eu--1"] {
            assert!(bad.parse::<Region>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_partition_follows_the_region() {
        for (region, partition) in
            [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
        {
            let region: Region = region.parse().unwrap();
            assert_eq!(Partition::of_region(&region).as_str(), partition);
        }
    }

    #[test]
    fn a_key_arn_is_a_key_and_no_alias() {
        let key: KeyArn = "arn:aws-cn:kms:cn-north-1:111122223333:key/mrk-0ab1".parse().unwrap();
        assert_eq!(key.id(), "mrk-0ab1");
        assert!("arn:aws:kms:eu-west-1:111122223333:alias/acme".parse::<KeyArn>().is_err());
    }
}
