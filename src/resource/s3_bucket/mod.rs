//! The S3 bucket that holds the states.
//!
//! A new bucket is private, owned by its account and without ACLs since April 2023
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/create-bucket-faq.html>), so those settings are written only
//! where they are found to differ. Writes to one bucket go out one after another: S3 answers overlapping ones with
//! `OperationAborted` now and then.

mod api;
mod lifecycle;
#[cfg(test)]
mod tests;

use super::{
    Address, Difference, Known, Outputs, Owner, Replaced, Resource, Step, StepLine, Tags, replaced_tags,
    tags_text,
};
use crate::aws::{AwsError, Clients};
use crate::names::{AccountId, BucketName, KeyAlias, KeyArn, Partition, Region};
use crate::policy::{self, Document};

use lifecycle::Lifecycle;

/// The bucket that a backend wants.
#[derive(Debug, Clone)]
pub struct S3Bucket {
    /// Whose bucket it is.
    pub owner: Owner,
    /// Its name.
    pub name: BucketName,
    /// Whether the name is the default one: then a bucket that was cut short of its tags is known again.
    pub has_default_name: bool,
    /// Its account.
    pub account_id: AccountId,
    /// Its region.
    pub region: Region,
    /// The partition of both.
    pub partition: Partition,
    /// The alias of the key that it is encrypted with.
    pub key_alias: KeyAlias,
    /// How many noncurrent versions are kept whatever their age.
    pub keep_versions: i32,
    /// After how many days the others expire.
    pub expire_days: i32,
    /// Whether a bucket under another key may be put under ours.
    pub replace_key: bool,
}

/// What was found under the bucket's name.
#[derive(Debug)]
pub enum ObservedBucket {
    /// A bucket of another account.
    OtherAccount,
    /// A bucket of ours in another region.
    OtherRegion(Option<String>),
    /// A bucket of this account in this region.
    Here(Box<Settings>),
}

/// A bucket's settings. What AWS reports by default and what it reports as absent are the same value here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    versioning: Versioning,
    mfa_delete: bool,
    encryption: Encryption,
    public_access_block: PublicAccessBlock,
    ownership: Option<String>,
    policy: Option<Document>,
    lifecycle: Lifecycle,
    tags: Tags,
    object_lock: ObjectLock,
    /// Whether it is empty, untagged, younger than an hour and has our default name.
    unfinished: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Versioning {
    #[default]
    Off,
    Enabled,
    Suspended,
}

impl Versioning {
    fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Enabled => "Enabled",
            Self::Suspended => "Suspended",
        }
    }
}

/// Encryption by default of new objects. S3 encrypts with AES256 where nothing is set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Encryption {
    algorithm: String,
    key: Option<String>,
    bucket_key: bool,
    /// What kinds of encryption the bucket refuses: not ours to change, but sent along with every write.
    blocked: Option<api::BlockedTypes>,
}

impl Default for Encryption {
    fn default() -> Self {
        Self { algorithm: "AES256".to_owned(), key: None, bucket_key: false, blocked: None }
    }
}

impl Encryption {
    fn text(&self) -> String {
        let Self { algorithm, key, bucket_key, blocked: _ } = self;
        let key = key.as_deref().map(|key| format!(", {key}")).unwrap_or_default();
        let bucket_key = if *bucket_key { ", bucket key" } else { "" };
        format!("{algorithm}{key}{bucket_key}")
    }
}

/// The four settings that keep a bucket from becoming public.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "S3 has these four switches")]
struct PublicAccessBlock {
    block_acls: bool,
    ignore_acls: bool,
    block_policy: bool,
    restrict_buckets: bool,
}

impl PublicAccessBlock {
    const ALL: Self =
        Self { block_acls: true, ignore_acls: true, block_policy: true, restrict_buckets: true };

    fn text(self) -> String {
        let Self { block_acls, ignore_acls, block_policy, restrict_buckets } = self;
        let settings = [
            (block_acls, "BlockPublicAcls"),
            (ignore_acls, "IgnorePublicAcls"),
            (block_policy, "BlockPublicPolicy"),
            (restrict_buckets, "RestrictPublicBuckets"),
        ];
        match settings.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect::<Vec<_>>() {
            none if none.is_empty() => "off".to_owned(),
            all if all.len() == settings.len() => "all on".to_owned(),
            some => format!("only {}", some.join(", ")),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ObjectLock {
    #[default]
    Off,
    Enabled,
    WithDefaultRetention,
}

/// Who may own the objects: the bucket's owner, with ACLs switched off.
const OWNERSHIP: &str = "BucketOwnerEnforced";

/// One call that changes the bucket.
#[derive(Debug, Clone)]
pub enum BucketStep {
    /// Makes the bucket, owned by its account alone.
    Create {
        /// The tags that ride on the call.
        tags: Tags,
    },
    /// Adds or corrects tags.
    PutTagging {
        /// All tags that were read.
        from: Tags,
        /// The tags to put beside them.
        tags: Tags,
    },
    /// Turns on all four public access blocks.
    PutPublicAccessBlock {
        /// What is on now.
        from: String,
    },
    /// Switches ACLs off.
    PutOwnershipControls {
        /// The setting now.
        from: Option<String>,
    },
    /// Turns versioning on.
    PutVersioning {
        /// What it is now.
        from: &'static str,
    },
    /// Puts our statements into the policy.
    PutPolicy {
        /// What is there, to be compared again when the call is made.
        from: Replaced<Option<Document>>,
        /// The whole policy wanted.
        to: Document,
    },
    /// Puts our rule into the lifecycle configuration.
    PutLifecycle {
        /// What is there, to be compared again when the call is made.
        from: Replaced<Lifecycle>,
        /// The whole configuration wanted.
        to: Lifecycle,
    },
    /// Encrypts new objects with our key.
    PutEncryption {
        /// What new objects are encrypted with now.
        from: Option<String>,
        /// The key, as far as it is known.
        key: String,
        /// The kinds of encryption that the bucket refuses, to be sent along.
        blocked: Option<api::BlockedTypes>,
    },
}

impl Step for BucketStep {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create { .. } => "s3:CreateBucket",
            Self::PutTagging { .. } => "s3:PutBucketTagging",
            Self::PutPublicAccessBlock { .. } => "s3:PutPublicAccessBlock",
            Self::PutOwnershipControls { .. } => "s3:PutBucketOwnershipControls",
            Self::PutVersioning { .. } => "s3:PutBucketVersioning",
            Self::PutPolicy { .. } => "s3:PutBucketPolicy",
            Self::PutLifecycle { .. } => "s3:PutBucketLifecycleConfiguration",
            Self::PutEncryption { .. } => "s3:PutBucketEncryption",
        }
    }

    fn permissions(&self) -> Vec<&'static str> {
        match self {
            Self::Create { .. } => {
                vec!["s3:CreateBucket", "s3:PutBucketOwnershipControls", "s3:TagResource"]
            }
            Self::PutPublicAccessBlock { .. } => vec!["s3:PutBucketPublicAccessBlock"],
            Self::PutLifecycle { .. } => vec!["s3:PutLifecycleConfiguration"],
            Self::PutEncryption { .. } => vec!["s3:PutEncryptionConfiguration"],
            other => vec![other.operation()],
        }
    }

    fn line(&self) -> StepLine {
        let line = |summary: &str, setting, from: Option<String>, to: String| StepLine {
            summary: summary.to_owned(),
            setting,
            from,
            to: Some(to),
        };
        match self {
            Self::Create { tags } => line("create the bucket", "tags", None, tags_text(tags)),
            Self::PutTagging { from, tags } => {
                line("tag the bucket", "tags", replaced_tags(from, tags), tags_text(tags))
            }
            Self::PutPublicAccessBlock { from } => line(
                "block public access to the bucket",
                "public access block",
                Some(from.clone()),
                PublicAccessBlock::ALL.text(),
            ),
            Self::PutOwnershipControls { from } => {
                line("switch the bucket's ACLs off", "ownership", from.clone(), OWNERSHIP.to_owned())
            }
            Self::PutVersioning { from } => line(
                "turn on the bucket's versioning",
                "versioning",
                Some((*from).to_owned()),
                Versioning::Enabled.as_str().to_owned(),
            ),
            Self::PutPolicy { from, to } => {
                let from = match from {
                    Replaced::Nothing => None,
                    Replaced::Read(from) => from.as_ref(),
                };
                let policy::Difference { from, to } = to.difference_from(from);
                line("set the bucket's policy", "policy", from, to)
            }
            Self::PutLifecycle { from, to } => {
                let from = match from {
                    Replaced::Nothing => None,
                    Replaced::Read(from) => from.own_rule_text(),
                };
                line("set the bucket's lifecycle", "lifecycle", from, to.text())
            }
            Self::PutEncryption { from, key, blocked: _ } => line(
                "set the bucket's encryption",
                "encryption",
                from.clone(),
                format!("aws:kms, {key}, bucket key"),
            ),
        }
    }

    fn creates(&self) -> bool {
        matches!(self, Self::Create { .. })
    }

    fn needs_key(&self) -> bool {
        matches!(self, Self::PutEncryption { .. })
    }
}

impl Resource for S3Bucket {
    type Observed = ObservedBucket;
    type Step = BucketStep;

    fn address(&self) -> Address {
        Address { kind: "s3_bucket", name: self.name.to_string() }
    }

    async fn observe(&self, aws: &Clients, _outputs: &Outputs) -> Result<Option<ObservedBucket>, AwsError> {
        // Nine calls at once make a large future.
        Box::pin(api::observe(self, aws)).await
    }

    fn publish(&self, observed: Option<&ObservedBucket>, outputs: &Outputs) {
        outputs.bucket_key.publish(match observed {
            Some(ObservedBucket::Here(settings)) => settings.encryption.key.clone(),
            Some(ObservedBucket::OtherAccount | ObservedBucket::OtherRegion(_)) | None => None,
        });
    }

    fn close(&self, outputs: &Outputs) {
        outputs.bucket_key.close();
    }

    fn diff(&self, observed: Option<&ObservedBucket>, known: &Known) -> Difference<BucketStep> {
        match observed {
            None => Difference::steps(self.steps_to_create(known)),
            Some(ObservedBucket::OtherAccount) => Difference::refused(
                format!(
                    "the bucket name `{}` is taken: the bucket exists and does not belong to account {}",
                    self.name, self.account_id
                ),
                "Bucket names are global. Choose another one (`bucket { name = ... }`).".to_owned(),
            ),
            Some(ObservedBucket::OtherRegion(region)) => {
                let region = region.as_deref().unwrap_or("another region");
                Difference::refused(
                    format!("the bucket `{}` is in {region}, not in {}", self.name, self.region),
                    format!(
                        "Set `region = \"{region}\"`, or choose another name (`bucket {{ name = ... }}`)."
                    ),
                )
            }
            Some(ObservedBucket::Here(settings)) => self.diff_settings(settings, known),
        }
    }

    async fn perform(&self, aws: &Clients, step: &BucketStep, outputs: &Outputs) -> Result<(), AwsError> {
        api::perform(self, aws, step, outputs).await
    }
}

impl S3Bucket {
    fn steps_to_create(&self, known: &Known) -> Vec<BucketStep> {
        vec![
            BucketStep::Create { tags: self.owner.tags() },
            BucketStep::PutVersioning { from: Versioning::Off.as_str() },
            BucketStep::PutPolicy { from: Replaced::Nothing, to: Document::new(self.statements()) },
            BucketStep::PutLifecycle {
                from: Replaced::Nothing,
                to: Lifecycle::default().with_rule(self.keep_versions, self.expire_days),
            },
            BucketStep::PutEncryption { from: None, key: known.key_text(), blocked: None },
        ]
    }

    fn statements(&self) -> Vec<policy::Statement> {
        policy::bucket::statements(&self.partition, &self.name)
    }

    fn diff_settings(&self, settings: &Settings, known: &Known) -> Difference<BucketStep> {
        let Settings {
            versioning,
            mfa_delete,
            encryption,
            public_access_block,
            ownership,
            policy,
            lifecycle,
            tags,
            object_lock,
            unfinished,
        } = settings;
        let what = format!("the bucket `{}`", self.name);
        if !self.owner.owns(tags) && !unfinished {
            return self.owner.foreign(&what, tags, "`bucket { name = ... }`");
        }
        let mut difference = Difference::none();
        match object_lock {
            ObjectLock::Off => {}
            ObjectLock::Enabled => difference.warnings.push(format!(
                "{what} has Object Lock: a version of a state that is under retention can't be removed"
            )),
            ObjectLock::WithDefaultRetention => {
                return Difference::refused(
                    format!("{what} has Object Lock with a default retention: every lock and every state version would be kept for its length"),
                    "Remove the default retention (`aws s3api put-object-lock-configuration`), or choose another bucket.".to_owned(),
                );
            }
        }
        if *mfa_delete {
            difference
                .warnings
                .push(format!("{what} has MFA delete: its versions can't be removed by `underpin`"));
        }
        let steps = &mut difference.steps;
        let missing = self.owner.missing_tags(tags);
        if !missing.is_empty() {
            steps.push(BucketStep::PutTagging { from: tags.clone(), tags: missing });
        }
        if *public_access_block != PublicAccessBlock::ALL {
            steps.push(BucketStep::PutPublicAccessBlock { from: public_access_block.text() });
        }
        if ownership.as_deref() != Some(OWNERSHIP) {
            steps.push(BucketStep::PutOwnershipControls { from: ownership.clone() });
        }
        if *versioning != Versioning::Enabled {
            steps.push(BucketStep::PutVersioning { from: versioning.as_str() });
        }
        if let Some(to) = Document::repair(policy.as_ref(), &self.statements()) {
            steps.push(BucketStep::PutPolicy { from: Replaced::Read(policy.clone()), to });
        }
        let lifecycle_wanted = lifecycle.with_rule(self.keep_versions, self.expire_days);
        if *lifecycle != lifecycle_wanted {
            steps.push(BucketStep::PutLifecycle {
                from: Replaced::Read(lifecycle.clone()),
                to: lifecycle_wanted,
            });
        }
        match self.diff_encryption(encryption, known) {
            Ok(step) => steps.extend(step),
            Err(refusal) => return refusal,
        }
        difference
    }

    fn diff_encryption(
        &self,
        encryption: &Encryption,
        known: &Known,
    ) -> Result<Option<BucketStep>, Difference<BucketStep>> {
        let names_ours =
            encryption.key.as_deref().is_some_and(|key| self.names_our_key(key, known.key.as_ref()));
        if encryption.algorithm == "aws:kms" && names_ours && encryption.bucket_key {
            return Ok(None);
        }
        if let Some(other) = encryption.key.as_deref().filter(|_| !names_ours && !self.replace_key) {
            return Err(Difference::refused(
                format!(
                    "the bucket `{}` is encrypted with `{other}`, and not with the key of `{}`",
                    self.name, self.key_alias
                ),
                "States that are there stay under the other key, which is never touched. To encrypt new ones with \
                 ours, give `--replace-key`."
                    .to_owned(),
            ));
        }
        Ok(Some(BucketStep::PutEncryption {
            from: Some(encryption.text()),
            key: known.key_text(),
            blocked: encryption.blocked.clone(),
        }))
    }

    /// Returns whether `name`, an ARN, an id or an alias, names our key. The alias of another account or region does not.
    fn names_our_key(&self, name: &str, key: Option<&KeyArn>) -> bool {
        let Self { partition, region, account_id, key_alias, .. } = self;
        let is_key = key.is_some_and(|key| name == key.as_str() || name == key.id());
        let alias_arn = format!("arn:{partition}:kms:{region}:{account_id}:{key_alias}");
        is_key || name == key_alias.as_str() || name == alias_arn
    }
}
