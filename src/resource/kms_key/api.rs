//! The key's calls: how it is searched for, what is read of it, and what each step sends.

use std::collections::BTreeSet;

use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::types::{KeyMetadata, KeySpec, KeyState, KeyUsageType, Tag};
use futures_util::{StreamExt, stream};

use super::super::{Outputs, Step, Tags};
use super::{FoundKey, KeySearch, KeyStep, KmsKey, Rotation};
use crate::aws::wait::{KEY_KNOWN, KEY_LISTED, Pauses, SETTLED, retry_while};
use crate::aws::{AwsError, Class, Clients, During, Optional};
use crate::names::{KeyAlias, KeyArn};
use crate::policy::{Document, InvalidDocument};

/// How many keys without an alias are asked for their tags before the search gives up.
const MOST_KEYS_SEARCHED: usize = 2_000;
/// How many of them are asked at once: KMS allows 500 such calls a second in its slowest regions.
const KEYS_SEARCHED_AT_ONCE: usize = 8;

impl KmsKey {
    /// Looks at the keys that our bucket and our table name.
    pub(super) async fn find_named_key(
        &self,
        aws: &Clients,
        outputs: &Outputs,
    ) -> Result<Option<FoundKey>, AwsError> {
        let named: BTreeSet<String> =
            [outputs.bucket_key.wait().await, outputs.table_key.wait().await].into_iter().flatten().collect();
        for name in named {
            let metadata = match describe_key(aws, &name).await {
                // Another account's key, or one that we may not see, is not ours.
                Err(error) if error.class == Class::AccessDenied => None,
                result => result?,
            };
            let Some(metadata) = metadata else { continue };
            let found = match read_key(aws, metadata, false).await {
                Err(error) if error.class == Class::AccessDenied => continue,
                result => result?,
            };
            if self.owner.owns(&found.tags) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Looks for our tags among the customer keys that have no alias.
    pub(super) async fn find_tagged_keys(&self, aws: &Clients) -> Result<KeySearch, AwsError> {
        let (keys, named) = tokio::try_join!(list_keys(aws), list_aliased_keys(aws))?;
        let bare: Vec<String> = keys.into_iter().filter(|id| !named.contains(id)).collect();
        let mut unread = bare.len().saturating_sub(MOST_KEYS_SEARCHED);
        let mut ours = Vec::new();
        let mut answers = stream::iter(bare.into_iter().take(MOST_KEYS_SEARCHED))
            .map(async |id| (list_tags(aws, &id).await, id))
            .buffer_unordered(KEYS_SEARCHED_AT_ONCE);
        while let Some((tags, id)) = answers.next().await {
            match tags {
                Ok(tags) if self.owner.owns(&tags) => ours.push(id),
                Ok(_) => {}
                Err(error) if matches!(error.class, Class::AccessDenied | Class::NotFound) => unread += 1,
                Err(error) => return Err(error),
            }
        }
        let mut keys = Vec::new();
        for id in ours {
            if let Some(metadata) = describe_key(aws, &id).await? {
                keys.push(read_key(aws, metadata, false).await?);
            }
        }
        // Every run must choose the same one: a key that can be used before one that waits for its end, then the oldest.
        keys.sort_by_key(|key| (key.state != KeyState::Enabled, key.created, key.arn.clone()));
        let mut keys = keys.into_iter();
        let found = keys.next();
        let spares = keys.filter(|key| key.state != KeyState::PendingDeletion).map(|key| key.arn).collect();
        Ok(KeySearch { found, spares, unread })
    }

    /// Makes a key. `CreateKey` has no idempotency token, so the SDK must not repeat a call whose answer was lost: the
    /// key may be there, and is looked for by its tags before another one is made.
    pub(super) async fn create(&self, aws: &Clients, tags: &Tags, outputs: &Outputs) -> Result<(), AwsError> {
        const CALL: &str = "kms:CreateKey";
        let document = Document::new(self.statements()).to_string();
        let mut pauses = Pauses::until(SETTLED);
        loop {
            let once = aws_sdk_kms::config::Builder::new().retry_config(RetryConfig::disabled());
            let answer = aws
                .kms
                .create_key()
                .description(format!("Terraform state: {}", self.alias.as_str()))
                .key_usage(KeyUsageType::EncryptDecrypt)
                .key_spec(KeySpec::SymmetricDefault)
                .policy(&document)
                .set_tags(Some(sdk_tags(CALL, tags)?))
                .customize()
                .config_override(once)
                .send()
                .await
                .during(CALL);
            let error = match answer {
                Ok(answer) => {
                    let metadata =
                        answer.key_metadata.ok_or_else(|| AwsError::missing(CALL, "KeyMetadata"))?;
                    let arn = key_arn(CALL, metadata.arn)?;
                    outputs.made_key.publish(Some(arn.clone()));
                    outputs.found_key.publish(Some(arn));
                    return Ok(());
                }
                Err(error) => error,
            };
            let may_have_been_made = error.may_have_taken_effect();
            if !may_have_been_made && error.class != Class::Throttled {
                return Err(error);
            }
            if may_have_been_made && let Some(found) = self.find_lost_key(aws).await? {
                outputs.found_key.publish(Some(found));
                return Ok(());
            }
            if !pauses.pause().await {
                return Err(error);
            }
        }
    }

    /// Looks for the key of a call whose answer was lost, for as long as KMS may not list a new key. One that waits for
    /// its deletion was given back by another run.
    async fn find_lost_key(&self, aws: &Clients) -> Result<Option<KeyArn>, AwsError> {
        let mut pauses = Pauses::until(KEY_LISTED);
        loop {
            let found = self.find_tagged_keys(aws).await?.found;
            if let Some(found) = found.filter(|found| found.state == KeyState::Enabled) {
                return Ok(Some(found.arn));
            }
            if !pauses.pause().await {
                return Ok(None);
            }
        }
    }

    /// Gives the key its alias. Where another run was faster, its key is the one from here on, and ours is given back.
    pub(super) async fn create_alias(
        &self,
        aws: &Clients,
        alias: &KeyAlias,
        outputs: &Outputs,
    ) -> Result<(), AwsError> {
        const CALL: &str = "kms:CreateAlias";
        let step = KeyStep::CreateAlias { alias: alias.clone() };
        let key = found_key(&step, outputs)?;
        let created = retry_while(
            KEY_KNOWN,
            |error: &AwsError| error.class == Class::NotFound,
            || async {
                aws.kms
                    .create_alias()
                    .alias_name(alias.as_str())
                    .target_key_id(key.id())
                    .send()
                    .await
                    .during(CALL)
            },
        )
        .await;
        match created {
            Ok(_) => {
                outputs.key.publish(Some(key));
                Ok(())
            }
            Err(error) if error.class == Class::AlreadyExists => {
                match self.wait_for_alias(aws).await? {
                    Some(winner) if winner != key => {
                        self.give_back(aws, outputs).await?;
                        outputs.found_key.publish(Some(winner));
                        Err(error)
                    }
                    // A call whose answer was lost was repeated by the SDK, and the alias is ours.
                    Some(_) => {
                        outputs.key.publish(Some(key));
                        Ok(())
                    }
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the key that the alias names, if that key is ours.
    async fn wait_for_alias(&self, aws: &Clients) -> Result<Option<KeyArn>, AwsError> {
        let mut pauses = Pauses::until(SETTLED);
        loop {
            if let Some(metadata) = describe_key(aws, self.alias.as_str()).await? {
                let found = read_key(aws, metadata, true).await?;
                return Ok(self.owner.owns(&found.tags).then_some(found.arn));
            }
            if !pauses.pause().await {
                return Ok(None);
            }
        }
    }

    /// Schedules the deletion of a key that this very run made, that lost the race for the alias, and that nothing names.
    async fn give_back(&self, aws: &Clients, outputs: &Outputs) -> Result<(), AwsError> {
        let Some(made) = outputs.made_key.now() else { return Ok(()) };
        let aliases = aws.kms.list_aliases().key_id(made.id()).send().await.during("kms:ListAliases")?;
        let named = [outputs.bucket_key.now(), outputs.table_key.now()]
            .into_iter()
            .flatten()
            .any(|name| name.ends_with(made.id()));
        if named || !aliases.aliases().is_empty() {
            return Ok(());
        }
        aws.kms
            .schedule_key_deletion()
            .key_id(made.id())
            .pending_window_in_days(self.deletion_window_days)
            .send()
            .await
            .during("kms:ScheduleKeyDeletion")?;
        Ok(())
    }
}

pub(super) fn found_key(step: &KeyStep, outputs: &Outputs) -> Result<KeyArn, AwsError> {
    outputs.found_key.now().ok_or_else(|| AwsError::missing(step.operation(), "KeyId"))
}

pub(super) async fn change_key(aws: &Clients, key: &KeyArn, step: &KeyStep) -> Result<(), AwsError> {
    let call = step.operation();
    match step {
        // `perform` makes these two itself.
        KeyStep::Create { .. } | KeyStep::CreateAlias { .. } => {}
        KeyStep::CancelDeletion => {
            aws.kms.cancel_key_deletion().key_id(key.id()).send().await.during(call)?;
        }
        KeyStep::Enable { .. } => {
            aws.kms.enable_key().key_id(key.id()).send().await.during(call)?;
        }
        KeyStep::EnableRotation { days, .. } => {
            aws.kms
                .enable_key_rotation()
                .key_id(key.id())
                .rotation_period_in_days(*days)
                .send()
                .await
                .during(call)?;
        }
        KeyStep::PutPolicy { from, to } => {
            if find_policy(aws, key).await? != *from {
                return Err(AwsError::changed_meanwhile(call, "the key's policy"));
            }
            aws.kms
                .put_key_policy()
                .key_id(key.id())
                .policy_name("default")
                .policy(to.to_string())
                .send()
                .await
                .during(call)?;
        }
        KeyStep::Tag { tags, .. } => {
            let tags = Some(sdk_tags(call, tags)?);
            aws.kms.tag_resource().key_id(key.id()).set_tags(tags).send().await.during(call)?;
        }
    }
    Ok(())
}

pub(super) async fn describe_key(aws: &Clients, key: &str) -> Result<Option<KeyMetadata>, AwsError> {
    const CALL: &str = "kms:DescribeKey";
    let answer = aws.kms.describe_key().key_id(key).send().await.during(CALL).optional()?;
    match answer {
        None => Ok(None),
        Some(answer) => answer.key_metadata.map(Some).ok_or_else(|| AwsError::missing(CALL, "KeyMetadata")),
    }
}

/// Reads a key of which it is known that it is there, whether its alias is seen or not.
pub(super) async fn read_known_key(aws: &Clients, key: &KeyArn) -> Result<FoundKey, AwsError> {
    const CALL: &str = "kms:DescribeKey";
    let answer = aws.kms.describe_key().key_id(key.as_str()).send().await.during(CALL)?;
    let metadata = answer.key_metadata.ok_or_else(|| AwsError::missing(CALL, "KeyMetadata"))?;
    read_key(aws, metadata, false).await
}

/// A key that was just made is not known to every part of KMS at once.
pub(super) fn is_unknown(error: &AwsError) -> bool {
    error.class == Class::NotFound
}

/// Reads what `DescribeKey` does not tell.
pub(super) async fn read_key(
    aws: &Clients,
    metadata: KeyMetadata,
    has_alias: bool,
) -> Result<FoundKey, AwsError> {
    const CALL: &str = "kms:DescribeKey";
    let state = metadata.key_state.ok_or_else(|| AwsError::missing(CALL, "KeyState"))?;
    let arn = key_arn(CALL, metadata.arn)?;
    let encrypts = metadata.key_usage == Some(KeyUsageType::EncryptDecrypt)
        && metadata.key_spec == Some(KeySpec::SymmetricDefault);
    let (rotation_days, policy, tags) = tokio::try_join!(
        async {
            // A key that waits for its deletion, and one that can't rotate, have no rotation to read.
            if encrypts && matches!(state, KeyState::Enabled | KeyState::Disabled) {
                find_rotation(aws, &arn).await.map(Some)
            } else {
                Ok(None)
            }
        },
        find_policy(aws, &arn),
        list_tags(aws, arn.id()),
    )?;
    let created = metadata.creation_date.map(|date| date.secs());
    Ok(FoundKey { arn, has_alias, state, encrypts, created, rotation_days, policy, tags })
}

async fn find_rotation(aws: &Clients, key: &KeyArn) -> Result<Rotation, AwsError> {
    const CALL: &str = "kms:GetKeyRotationStatus";
    /// The period of a key whose answer names none: KMS's default.
    const DEFAULT_DAYS: i32 = 365;
    let answer = aws.kms.get_key_rotation_status().key_id(key.id()).send().await.during(CALL)?;
    Ok(if answer.key_rotation_enabled {
        Rotation::Every(answer.rotation_period_in_days.unwrap_or(DEFAULT_DAYS))
    } else {
        Rotation::Off
    })
}

async fn find_policy(aws: &Clients, key: &KeyArn) -> Result<Option<Document>, AwsError> {
    const CALL: &str = "kms:GetKeyPolicy";
    let answer = aws
        .kms
        .get_key_policy()
        .key_id(key.id())
        .policy_name("default")
        .send()
        .await
        .during(CALL)
        .optional()?;
    answer
        .and_then(|answer| answer.policy)
        .map(|text| text.parse().map_err(|error: InvalidDocument| AwsError::garbled(CALL, error.to_string())))
        .transpose()
}

async fn list_tags(aws: &Clients, key: &str) -> Result<Tags, AwsError> {
    const CALL: &str = "kms:ListResourceTags";
    let mut tags = Tags::new();
    let mut pages = aws.kms.list_resource_tags().key_id(key).into_paginator().send();
    while let Some(page) = pages.next().await {
        for tag in page.during(CALL)?.tags.unwrap_or_default() {
            tags.insert(tag.tag_key, tag.tag_value);
        }
    }
    Ok(tags)
}

async fn list_keys(aws: &Clients) -> Result<Vec<String>, AwsError> {
    /// The largest page that `ListKeys` gives.
    const PAGE: i32 = 1_000;
    let mut keys = Vec::new();
    let mut pages = aws.kms.list_keys().limit(PAGE).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.during("kms:ListKeys")?;
        keys.extend(page.keys.unwrap_or_default().into_iter().filter_map(|key| key.key_id));
    }
    Ok(keys)
}

/// Returns the ids of the keys that have an alias.
async fn list_aliased_keys(aws: &Clients) -> Result<BTreeSet<String>, AwsError> {
    /// The largest page that `ListAliases` gives.
    const PAGE: i32 = 100;
    let mut keys = BTreeSet::new();
    let mut pages = aws.kms.list_aliases().limit(PAGE).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.during("kms:ListAliases")?;
        keys.extend(page.aliases.unwrap_or_default().into_iter().filter_map(|alias| alias.target_key_id));
    }
    Ok(keys)
}

pub(super) fn key_arn(call: &'static str, arn: Option<String>) -> Result<KeyArn, AwsError> {
    let arn = arn.ok_or_else(|| AwsError::missing(call, "Arn"))?;
    arn.parse().map_err(|_| AwsError::garbled(call, format!("`{arn}` is no key's ARN")))
}

fn sdk_tags(call: &'static str, tags: &Tags) -> Result<Vec<Tag>, AwsError> {
    tags.iter()
        .map(|(key, value)| {
            Tag::builder()
                .tag_key(key)
                .tag_value(value)
                .build()
                .map_err(|error| AwsError::garbled(call, error.to_string()))
        })
        .collect()
}
