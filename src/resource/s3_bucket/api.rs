//! The bucket's calls: what is read of it, and what each step sends.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::types::{
    BlockedEncryptionTypes, BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus,
    CreateBucketConfiguration, MfaDeleteStatus, ObjectLockEnabled, ObjectOwnership, OwnershipControls,
    OwnershipControlsRule, PublicAccessBlockConfiguration, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
    VersioningConfiguration,
};
use aws_smithy_types::error::operation::BuildError;

use super::super::{Outputs, Replaced, Step, Tags};
use super::{
    BucketStep, Encryption, Lifecycle, ObjectLock, ObservedBucket, PublicAccessBlock, S3Bucket, Settings,
    Versioning,
};
use crate::aws::wait::{BUCKET_FREE, IAM_PROPAGATION, retry_while};
use crate::aws::{AwsError, Class, Clients, During, Optional};
use crate::names::Region;
use crate::policy::{Document, InvalidDocument};

/// How old a bucket may be that counts as ours though a run was cut short before it was tagged.
const UNFINISHED_FOR: Duration = Duration::from_hours(1);

/// The region whose buckets are made without a location: S3 refuses the name of its first region there.
const FIRST_REGION: &str = "us-east-1";

/// Codes with which a region or a store refuses tags in the create call.
const TAGS_REFUSED: &[&str] =
    &["InvalidArgument", "InvalidRequest", "InvalidTag", "MalformedXML", "NotImplemented"];

pub(super) async fn observe(bucket: &S3Bucket, aws: &Clients) -> Result<Option<ObservedBucket>, AwsError> {
    let call = Calls { bucket, aws };
    // All at once: one round trip for a bucket that is there and for one that is not. The first answer decides what
    // the others mean, so its error is looked at before theirs.
    let (head, versioning, encryption, public_access_block, ownership, policy, lifecycle, tags, object_lock) = tokio::join!(
        call.head(),
        call.find_versioning(),
        call.find_encryption(),
        call.find_public_access_block(),
        call.find_ownership(),
        call.find_policy(),
        call.find_lifecycle(),
        call.find_tags(),
        call.find_object_lock(),
    );
    match head {
        Ok(None) => return Ok(None),
        Ok(Some(region)) if region.as_ref().is_some_and(|region| *region != bucket.region.as_str()) => {
            return Ok(Some(ObservedBucket::OtherRegion(region)));
        }
        Ok(Some(_)) => {}
        Err(error) if error.class == Class::WrongRegion => {
            return Ok(Some(ObservedBucket::OtherRegion(error.bucket_region)));
        }
        // S3 says no more than 403 of a bucket of another account, and of one that the caller may not see.
        Err(error) if error.class == Class::AccessDenied => {
            return match call.find_created().await {
                Ok(None) => Ok(Some(ObservedBucket::OtherAccount)),
                Ok(Some(_)) => Err(error),
                Err(_) => Err(error.with_doubt(
                    "the bucket may also belong to another account: `s3:ListAllMyBuckets` would tell",
                )),
            };
        }
        Err(error) => return Err(error),
    }
    let (versioning, mfa_delete) = versioning?;
    let tags = tags?;
    let unfinished = bucket.has_default_name && tags.is_empty() && call.is_unfinished().await?;
    Ok(Some(ObservedBucket::Here(Box::new(Settings {
        versioning,
        mfa_delete,
        encryption: encryption?,
        public_access_block: public_access_block?,
        ownership: ownership?,
        policy: policy?,
        lifecycle: lifecycle?,
        tags,
        object_lock: object_lock?,
        unfinished,
    }))))
}

pub(super) async fn perform(
    bucket: &S3Bucket,
    aws: &Clients,
    step: &BucketStep,
    outputs: &Outputs,
) -> Result<(), AwsError> {
    let call = Calls { bucket, aws };
    let limit = match step {
        // A principal in a policy may be a role that was made a moment ago.
        BucketStep::PutPolicy { .. } => IAM_PROPAGATION,
        _ => BUCKET_FREE,
    };
    let key = if step.needs_key() { outputs.key.wait().await.map(|key| key.to_string()) } else { None };
    retry_while(limit, passes, || call.write(step, key.as_deref())).await
}

/// Another write to the bucket is under way, the bucket was made a moment ago, or a role was.
fn passes(error: &AwsError) -> bool {
    let unknown_principal = || {
        // The code stands for every mistake in a policy; AWS writes "Invalid principal in policy" for this one.
        error.has_code("MalformedPolicy")
            && error.message.as_deref().is_some_and(|message| message.contains("Invalid principal"))
    };
    error.class == Class::Conflict || error.has_code("NoSuchBucket") || unknown_principal()
}

struct Calls<'a> {
    bucket: &'a S3Bucket,
    aws: &'a Clients,
}

/// Names the bucket and its expected owner in a request: all but two of S3's calls take both.
macro_rules! request {
    ($self:ident . $operation:ident) => {
        $self
            .aws
            .s3
            .$operation()
            .bucket($self.bucket.name.as_str())
            .expected_bucket_owner($self.bucket.account_id.as_str())
    };
}

impl Calls<'_> {
    /// Returns the region that S3 names, where there is a bucket.
    async fn head(&self) -> Result<Option<Option<String>>, AwsError> {
        let answer = request!(self.head_bucket).send().await.during("s3:HeadBucket").optional()?;
        Ok(answer.map(|answer| answer.bucket_region))
    }

    async fn find_versioning(&self) -> Result<(Versioning, bool), AwsError> {
        let answer =
            request!(self.get_bucket_versioning).send().await.during("s3:GetBucketVersioning").optional()?;
        let versioning = match answer.as_ref().and_then(|answer| answer.status()) {
            Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
            Some(_) => Versioning::Suspended,
            None => Versioning::Off,
        };
        let mfa_delete = answer.is_some_and(|answer| answer.mfa_delete == Some(MfaDeleteStatus::Enabled));
        Ok((versioning, mfa_delete))
    }

    async fn find_encryption(&self) -> Result<Encryption, AwsError> {
        let answer =
            request!(self.get_bucket_encryption).send().await.during("s3:GetBucketEncryption").optional()?;
        let rule = answer
            .and_then(|answer| answer.server_side_encryption_configuration)
            .and_then(|configuration| configuration.rules.into_iter().next());
        let Some(rule) = rule else { return Ok(Encryption::default()) };
        let blocked = rule.blocked_encryption_types.clone().and_then(|types| types.encryption_type);
        let bucket_key = rule.bucket_key_enabled.unwrap_or(false);
        Ok(match rule.apply_server_side_encryption_by_default {
            None => Encryption { bucket_key, blocked, ..Encryption::default() },
            Some(default) => Encryption {
                algorithm: default.sse_algorithm.as_str().to_owned(),
                key: default.kms_master_key_id,
                bucket_key,
                blocked,
            },
        })
    }

    async fn find_public_access_block(&self) -> Result<PublicAccessBlock, AwsError> {
        let answer = request!(self.get_public_access_block)
            .send()
            .await
            .during("s3:GetPublicAccessBlock")
            .optional()?
            .and_then(|answer| answer.public_access_block_configuration);
        Ok(answer.map_or_else(PublicAccessBlock::default, |block| PublicAccessBlock {
            block_acls: block.block_public_acls.unwrap_or(false),
            ignore_acls: block.ignore_public_acls.unwrap_or(false),
            block_policy: block.block_public_policy.unwrap_or(false),
            restrict_buckets: block.restrict_public_buckets.unwrap_or(false),
        }))
    }

    async fn find_ownership(&self) -> Result<Option<String>, AwsError> {
        let answer = request!(self.get_bucket_ownership_controls)
            .send()
            .await
            .during("s3:GetBucketOwnershipControls")
            .optional()?;
        Ok(answer
            .and_then(|answer| answer.ownership_controls)
            .and_then(|controls| controls.rules.into_iter().next())
            .map(|rule| rule.object_ownership.as_str().to_owned()))
    }

    async fn find_policy(&self) -> Result<Option<Document>, AwsError> {
        const CALL: &str = "s3:GetBucketPolicy";
        let answer = request!(self.get_bucket_policy).send().await.during(CALL).optional()?;
        answer
            .and_then(|answer| answer.policy)
            .map(|text| {
                text.parse().map_err(|error: InvalidDocument| AwsError::garbled(CALL, error.to_string()))
            })
            .transpose()
    }

    async fn find_lifecycle(&self) -> Result<Lifecycle, AwsError> {
        let answer = request!(self.get_bucket_lifecycle_configuration)
            .send()
            .await
            .during("s3:GetBucketLifecycleConfiguration")
            .optional()?;
        Ok(answer.map_or_else(Lifecycle::default, |answer| {
            Lifecycle::new(answer.rules.unwrap_or_default(), answer.transition_default_minimum_object_size)
        }))
    }

    async fn find_tags(&self) -> Result<Tags, AwsError> {
        let answer =
            request!(self.get_bucket_tagging).send().await.during("s3:GetBucketTagging").optional()?;
        let tags = answer.map(|answer| answer.tag_set).unwrap_or_default();
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    async fn find_object_lock(&self) -> Result<ObjectLock, AwsError> {
        let answer = request!(self.get_object_lock_configuration)
            .send()
            .await
            .during("s3:GetObjectLockConfiguration")
            .optional()?
            .and_then(|answer| answer.object_lock_configuration);
        Ok(match answer {
            Some(lock) if lock.rule.as_ref().is_some_and(|rule| rule.default_retention.is_some()) => {
                ObjectLock::WithDefaultRetention
            }
            Some(lock) if lock.object_lock_enabled == Some(ObjectLockEnabled::Enabled) => ObjectLock::Enabled,
            _ => ObjectLock::Off,
        })
    }

    /// Returns when the bucket was made, where the caller's account has one of this name.
    async fn find_created(&self) -> Result<Option<SystemTime>, AwsError> {
        let name = self.bucket.name.as_str();
        let mut pages = self.aws.s3.list_buckets().prefix(name).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.during("s3:ListBuckets")?;
            if let Some(bucket) = page.buckets().iter().find(|bucket| bucket.name() == Some(name)) {
                let created = bucket.creation_date().and_then(|date| SystemTime::try_from(*date).ok());
                return Ok(Some(created.unwrap_or(SystemTime::UNIX_EPOCH)));
            }
        }
        Ok(None)
    }

    /// Returns whether the bucket looks like one whose maker was cut short before tagging it: young and empty.
    async fn is_unfinished(&self) -> Result<bool, AwsError> {
        let Some(created) = self.find_created().await? else { return Ok(false) };
        // A bucket that was made after this run began has no age.
        let age = self.aws.began.duration_since(created).unwrap_or(Duration::ZERO);
        if age > UNFINISHED_FOR {
            return Ok(false);
        }
        let answer =
            request!(self.list_object_versions).max_keys(1).send().await.during("s3:ListObjectVersions")?;
        Ok(answer.versions().is_empty() && answer.delete_markers().is_empty())
    }

    async fn write(&self, step: &BucketStep, key: Option<&str>) -> Result<(), AwsError> {
        let call = step.operation();
        match step {
            BucketStep::Create { tags } => self.create(call, tags).await,
            BucketStep::PutTagging { from, tags } => {
                if self.find_tags().await? != *from {
                    return Err(AwsError::changed_meanwhile(call, "the bucket's tags"));
                }
                let mut all = from.clone();
                all.extend(tags.clone());
                self.put_tags(&all).await
            }
            BucketStep::PutPublicAccessBlock { .. } => self.put_public_access_block(call).await,
            BucketStep::PutOwnershipControls { .. } => self.put_ownership(call).await,
            BucketStep::PutVersioning { .. } => {
                let enabled =
                    VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
                request!(self.put_bucket_versioning)
                    .versioning_configuration(enabled)
                    .send()
                    .await
                    .during(call)
                    .map(drop)
            }
            BucketStep::PutPolicy { from, to } => {
                if let Replaced::Read(from) = from
                    && self.find_policy().await? != *from
                {
                    return Err(AwsError::changed_meanwhile(call, "the bucket's policy"));
                }
                request!(self.put_bucket_policy).policy(to.to_string()).send().await.during(call).map(drop)
            }
            BucketStep::PutLifecycle { from, to } => {
                if let Replaced::Read(from) = from
                    && self.find_lifecycle().await? != *from
                {
                    return Err(AwsError::changed_meanwhile(call, "the bucket's lifecycle"));
                }
                self.put_lifecycle(call, to).await
            }
            BucketStep::PutEncryption { blocked, .. } => {
                let key = key.ok_or_else(|| AwsError::missing(call, "KMSMasterKeyID"))?;
                self.put_encryption(call, key, blocked.as_ref()).await
            }
        }
    }

    async fn create(&self, call: &'static str, tags: &Tags) -> Result<(), AwsError> {
        let tags_list = sdk_tags(tags).map_err(|error| unbuilt(call, &error))?;
        let configuration = location(&self.bucket.region).set_tags(Some(tags_list)).build();
        match self.create_with(call, Some(configuration)).await {
            Err(error) if error.code.as_deref().is_some_and(|code| TAGS_REFUSED.contains(&code)) => {}
            result => return result,
        }
        let untagged = location(&self.bucket.region).build();
        let configuration = (untagged != CreateBucketConfiguration::builder().build()).then_some(untagged);
        self.create_with(call, configuration).await?;
        retry_while(BUCKET_FREE, passes, || self.put_tags(tags)).await
    }

    async fn create_with(
        &self,
        call: &'static str,
        configuration: Option<CreateBucketConfiguration>,
    ) -> Result<(), AwsError> {
        self.aws
            .s3
            .create_bucket()
            .bucket(self.bucket.name.as_str())
            .object_ownership(ObjectOwnership::BucketOwnerEnforced)
            .set_create_bucket_configuration(configuration)
            .send()
            .await
            .during(call)
            .map(drop)
    }

    async fn put_tags(&self, tags: &Tags) -> Result<(), AwsError> {
        const CALL: &str = "s3:PutBucketTagging";
        let tagging = sdk_tags(tags)
            .and_then(|tags| Tagging::builder().set_tag_set(Some(tags)).build())
            .map_err(|error| unbuilt(CALL, &error))?;
        request!(self.put_bucket_tagging).tagging(tagging).send().await.during(CALL).map(drop)
    }

    async fn put_public_access_block(&self, call: &'static str) -> Result<(), AwsError> {
        let all = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .ignore_public_acls(true)
            .block_public_policy(true)
            .restrict_public_buckets(true)
            .build();
        request!(self.put_public_access_block)
            .public_access_block_configuration(all)
            .send()
            .await
            .during(call)
            .map(drop)
    }

    async fn put_ownership(&self, call: &'static str) -> Result<(), AwsError> {
        let controls = OwnershipControlsRule::builder()
            .object_ownership(ObjectOwnership::BucketOwnerEnforced)
            .build()
            .and_then(|rule| OwnershipControls::builder().rules(rule).build())
            .map_err(|error| unbuilt(call, &error))?;
        request!(self.put_bucket_ownership_controls)
            .ownership_controls(controls)
            .send()
            .await
            .during(call)
            .map(drop)
    }

    async fn put_lifecycle(&self, call: &'static str, lifecycle: &Lifecycle) -> Result<(), AwsError> {
        let configuration = lifecycle
            .to_rules()
            .and_then(|rules| BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build())
            .map_err(|error| unbuilt(call, &error))?;
        request!(self.put_bucket_lifecycle_configuration)
            .lifecycle_configuration(configuration)
            .set_transition_default_minimum_object_size(lifecycle.minimum_object_size())
            .send()
            .await
            .during(call)
            .map(drop)
    }

    async fn put_encryption(
        &self,
        call: &'static str,
        key: &str,
        blocked: Option<&BlockedTypes>,
    ) -> Result<(), AwsError> {
        let blocked = blocked
            .map(|types| BlockedEncryptionTypes::builder().set_encryption_type(Some(types.clone())).build());
        let configuration = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(ServerSideEncryption::AwsKms)
            .kms_master_key_id(key)
            .build()
            .and_then(|default| {
                let rule = ServerSideEncryptionRule::builder()
                    .apply_server_side_encryption_by_default(default)
                    .bucket_key_enabled(true)
                    .set_blocked_encryption_types(blocked)
                    .build();
                ServerSideEncryptionConfiguration::builder().rules(rule).build()
            })
            .map_err(|error| unbuilt(call, &error))?;
        request!(self.put_bucket_encryption)
            .server_side_encryption_configuration(configuration)
            .send()
            .await
            .during(call)
            .map(drop)
    }
}

/// The kinds of encryption that a bucket refuses, as S3 lists them.
pub(super) type BlockedTypes = Vec<aws_sdk_s3::types::EncryptionType>;

fn location(region: &Region) -> aws_sdk_s3::types::builders::CreateBucketConfigurationBuilder {
    let constraint =
        (region.as_str() != FIRST_REGION).then(|| BucketLocationConstraint::from(region.as_str()));
    CreateBucketConfiguration::builder().set_location_constraint(constraint)
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>, BuildError> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// The SDK's builders refuse a request that lacks a field; ours set every one.
fn unbuilt(call: &'static str, error: &BuildError) -> AwsError {
    AwsError::garbled(call, error.to_string())
}
