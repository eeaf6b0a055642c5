//! The KMS key that state and locks are encrypted with, found by its alias.
//!
//! A key has no name until its alias exists, so a run that was cut short between the two calls must find its key again:
//! by what the bucket or the table names, then by our tags. The alias decides which key is the one. Nothing is encrypted
//! with a key before its alias names it, so a run that loses a race gives back a key that nothing depends on.

use std::collections::BTreeSet;

use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::types::{KeyMetadata, KeySpec, KeyState, KeyUsageType, Tag};
use futures_util::{StreamExt, stream};

use super::{
    Address, Difference, Known, Outputs, Owner, Resource, Step, StepLine, Tags, replaced_tags, tags_text,
};
use crate::aws::wait::{KEY_KNOWN, KEY_LISTED, Pauses, SETTLED, retry_while};
use crate::aws::{AwsError, Class, Clients, During, Optional};
use crate::names::{AccountId, KeyAlias, KeyArn, Partition, Region};
use crate::policy::{self, Document, InvalidDocument};

/// How many keys without an alias are asked for their tags before the search gives up.
const MOST_KEYS_SEARCHED: usize = 2_000;
/// How many of them are asked at once: KMS allows 500 such calls a second in its slowest regions.
const KEYS_SEARCHED_AT_ONCE: usize = 8;

/// The key that a backend wants.
#[derive(Debug, Clone)]
pub struct KmsKey {
    /// Whose key it is.
    pub owner: Owner,
    /// The alias that finds it.
    pub alias: KeyAlias,
    /// Days between two rotations.
    pub rotation_days: i32,
    /// Days that a key which lost a race waits for its end.
    pub deletion_window_days: i32,
    /// Its account.
    pub account_id: AccountId,
    /// Its region.
    pub region: Region,
    /// The partition of both.
    pub partition: Partition,
}

/// What the search for the key brought.
#[derive(Debug)]
pub struct KeySearch {
    found: Option<FoundKey>,
    /// Further keys with our tags and no alias: left by runs that were cut short.
    spares: Vec<KeyArn>,
    /// Keys without an alias whose tags could not be read.
    unread: usize,
}

/// The key that was found.
#[derive(Debug)]
struct FoundKey {
    arn: KeyArn,
    has_alias: bool,
    state: KeyState,
    encrypts: bool,
    created: Option<i64>,
    /// `None` where KMS does not say, as for a key that waits for its deletion.
    rotation_days: Option<Rotation>,
    policy: Option<Document>,
    tags: Tags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rotation {
    Off,
    Every(i32),
}

/// One call that changes the key.
#[derive(Debug, Clone)]
pub enum KeyStep {
    /// Makes a key, with policy and tags.
    Create {
        /// The tags that ride on the call.
        tags: Tags,
    },
    /// Takes back the order to delete it.
    CancelDeletion,
    /// Enables it.
    Enable {
        /// The state that it was in.
        from: &'static str,
    },
    /// Gives it its alias.
    CreateAlias {
        /// The alias.
        alias: KeyAlias,
    },
    /// Turns rotation on.
    EnableRotation {
        /// The period now, or that there is none.
        from: Option<String>,
        /// The period wanted.
        days: i32,
    },
    /// Puts our statements into its policy.
    PutPolicy {
        /// What was read, to be compared with what is there when the call is made.
        from: Option<Document>,
        /// The whole policy wanted.
        to: Document,
    },
    /// Adds or corrects tags.
    Tag {
        /// Their values now.
        from: Option<String>,
        /// The tags to put.
        tags: Tags,
    },
}

impl Step for KeyStep {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create { .. } => "kms:CreateKey",
            Self::CancelDeletion => "kms:CancelKeyDeletion",
            Self::Enable { .. } => "kms:EnableKey",
            Self::CreateAlias { .. } => "kms:CreateAlias",
            Self::EnableRotation { .. } => "kms:EnableKeyRotation",
            Self::PutPolicy { .. } => "kms:PutKeyPolicy",
            Self::Tag { .. } => "kms:TagResource",
        }
    }

    fn permissions(&self) -> Vec<&'static str> {
        match self {
            Self::Create { .. } => vec!["kms:CreateKey", "kms:TagResource"],
            other => vec![other.operation()],
        }
    }

    fn line(&self) -> StepLine {
        let line = |summary: &str, setting, from: Option<String>, to: Option<String>| StepLine {
            summary: summary.to_owned(),
            setting,
            from,
            to,
        };
        match self {
            Self::Create { tags } => line("create the key", "tags", None, Some(tags_text(tags))),
            Self::CancelDeletion => line(
                "cancel the key's deletion",
                "state",
                Some("PendingDeletion".to_owned()),
                Some("Disabled".to_owned()),
            ),
            Self::Enable { from } => {
                line("enable the key", "state", Some((*from).to_owned()), Some("Enabled".to_owned()))
            }
            Self::CreateAlias { alias } => {
                line("create the key's alias", "alias", None, Some(alias.to_string()))
            }
            Self::EnableRotation { from, days } => {
                line("turn on the key's rotation", "rotation", from.clone(), Some(every(*days)))
            }
            Self::PutPolicy { from, to } => {
                let policy::Difference { from, to } = to.difference_from(from.as_ref());
                line("set the key's policy", "policy", from, Some(to))
            }
            Self::Tag { from, tags } => line("tag the key", "tags", from.clone(), Some(tags_text(tags))),
        }
    }

    fn creates(&self) -> bool {
        matches!(self, Self::Create { .. })
    }

    fn contends(&self) -> bool {
        matches!(self, Self::CreateAlias { .. })
    }

    fn overlaps(&self) -> bool {
        match self {
            Self::Create { .. } | Self::CancelDeletion | Self::Enable { .. } => false,
            Self::CreateAlias { .. }
            | Self::EnableRotation { .. }
            | Self::PutPolicy { .. }
            | Self::Tag { .. } => true,
        }
    }
}

fn every(days: i32) -> String {
    format!("every {days} days")
}

impl Resource for KmsKey {
    type Observed = KeySearch;
    type Step = KeyStep;

    fn address(&self) -> Address {
        Address { kind: "kms_key", name: self.alias.to_string() }
    }

    async fn observe(&self, aws: &Clients, outputs: &Outputs) -> Result<Option<KeySearch>, AwsError> {
        if let Some(metadata) = describe_key(aws, self.alias.as_str()).await? {
            let found = read_key(aws, metadata, true).await?;
            return Ok(Some(KeySearch { found: Some(found), spares: Vec::new(), unread: 0 }));
        }
        if let Some(key) = outputs.found_key.now() {
            // The plan found this key, or its steps made it. A search that reads late could lead to a second one.
            let found = retry_while(KEY_KNOWN, is_unknown, || read_known_key(aws, &key)).await?;
            return Ok(Some(KeySearch { found: Some(found), spares: Vec::new(), unread: 0 }));
        }
        if let Some(found) = self.find_named_key(aws, outputs).await? {
            return Ok(Some(KeySearch { found: Some(found), spares: Vec::new(), unread: 0 }));
        }
        Ok(Some(self.find_tagged_keys(aws).await?))
    }

    fn publish(&self, observed: Option<&KeySearch>, outputs: &Outputs) {
        let Some(found) = observed.and_then(|search| search.found.as_ref()) else {
            // What is known stays known: a key that was just made may not be seen at once.
            return outputs.found_key.close();
        };
        outputs.found_key.publish(Some(found.arn.clone()));
        if found.has_alias && found.state == KeyState::Enabled && self.owner.owns(&found.tags) {
            outputs.key.publish(Some(found.arn.clone()));
        }
    }

    fn close(&self, outputs: &Outputs) {
        outputs.found_key.close();
        outputs.key.close();
    }

    fn diff(&self, observed: Option<&KeySearch>, _known: &Known) -> Difference<KeyStep> {
        let Some(KeySearch { found, spares, unread }) = observed else {
            return Difference::steps(self.steps_to_create());
        };
        let mut difference = match found {
            Some(found) => self.diff_found(found),
            None => Difference::steps(self.steps_to_create()),
        };
        for spare in spares {
            difference.warnings.push(format!(
                "the key `{spare}` carries our tags, has no alias and is not used; once no other run is under way, \
                 remove it: `aws kms schedule-key-deletion --region {} --key-id {}`",
                self.region,
                spare.id()
            ));
        }
        if *unread > 0 && found.is_none() {
            difference.warnings.push(format!(
                "the tags of {unread} keys without an alias could not be read; if one of them is ours, a second key \
                 will be made (`kms:ListResourceTags` lets `underpin` look)"
            ));
        }
        difference
    }

    fn awaits_key(&self) -> bool {
        false
    }

    async fn perform(&self, aws: &Clients, step: &KeyStep, outputs: &Outputs) -> Result<(), AwsError> {
        match step {
            KeyStep::Create { tags } => self.create(aws, tags, outputs).await,
            KeyStep::CreateAlias { alias } => self.create_alias(aws, alias, outputs).await,
            other => {
                let key = found_key(other, outputs)?;
                retry_while(KEY_KNOWN, is_unknown, || change_key(aws, &key, other)).await
            }
        }
    }
}

impl KmsKey {
    /// Returns the key that an alias names, whoever owns it.
    ///
    /// # Errors
    /// AWS did not answer, or denied it.
    pub async fn find_by_alias(aws: &Clients, alias: &KeyAlias) -> Result<Option<KeyArn>, AwsError> {
        let Some(metadata) = describe_key(aws, alias.as_str()).await? else { return Ok(None) };
        key_arn("kms:DescribeKey", metadata.arn).map(Some)
    }

    fn steps_to_create(&self) -> Vec<KeyStep> {
        vec![
            KeyStep::Create { tags: self.owner.tags() },
            KeyStep::CreateAlias { alias: self.alias.clone() },
            KeyStep::EnableRotation { from: None, days: self.rotation_days },
        ]
    }

    fn statements(&self) -> Vec<policy::Statement> {
        policy::key::statements(&self.partition, &self.account_id, &self.region)
    }

    fn diff_found(&self, found: &FoundKey) -> Difference<KeyStep> {
        let FoundKey { arn, has_alias, state, encrypts, created: _, rotation_days, policy, tags } = found;
        let what = format!("`{}` (key `{arn}`)", self.alias);
        if !self.owner.owns(tags) {
            return self.owner.foreign(&what, tags, "`key { alias = ... }`");
        }
        if !encrypts {
            return Difference::refused(
                format!("{what} can't encrypt state: it is not a symmetric key for encryption"),
                "Choose another alias (`key { alias = ... }`).".to_owned(),
            );
        }
        let mut difference = Difference::none();
        match state {
            KeyState::Enabled => {}
            KeyState::Disabled => difference.steps.push(KeyStep::Enable { from: "Disabled" }),
            KeyState::PendingDeletion => {
                difference.steps.push(KeyStep::CancelDeletion);
                difference.steps.push(KeyStep::Enable { from: "Disabled" });
            }
            other => {
                return Difference::refused(
                    format!("{what} is in the state `{other}`"),
                    "Wait until it is `Enabled`, then run the command again.".to_owned(),
                );
            }
        }
        if !has_alias {
            difference.steps.push(KeyStep::CreateAlias { alias: self.alias.clone() });
        }
        let from = match rotation_days {
            None => None,
            Some(Rotation::Every(days)) if *days == self.rotation_days => None,
            Some(Rotation::Every(days)) => Some(every(*days)),
            Some(Rotation::Off) => Some("off".to_owned()),
        };
        if let Some(from) = from {
            difference.steps.push(KeyStep::EnableRotation { from: Some(from), days: self.rotation_days });
        }
        if let Some(to) = Document::repair(policy.as_ref(), &self.statements()) {
            difference.steps.push(KeyStep::PutPolicy { from: policy.clone(), to });
        }
        let missing = self.owner.missing_tags(tags);
        if !missing.is_empty() {
            difference.steps.push(KeyStep::Tag { from: replaced_tags(tags, &missing), tags: missing });
        }
        difference
    }

    /// Looks at the keys that our bucket and our table name.
    async fn find_named_key(&self, aws: &Clients, outputs: &Outputs) -> Result<Option<FoundKey>, AwsError> {
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
    async fn find_tagged_keys(&self, aws: &Clients) -> Result<KeySearch, AwsError> {
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
    async fn create(&self, aws: &Clients, tags: &Tags, outputs: &Outputs) -> Result<(), AwsError> {
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
    async fn create_alias(&self, aws: &Clients, alias: &KeyAlias, outputs: &Outputs) -> Result<(), AwsError> {
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

fn found_key(step: &KeyStep, outputs: &Outputs) -> Result<KeyArn, AwsError> {
    outputs.found_key.now().ok_or_else(|| AwsError::missing(step.operation(), "KeyId"))
}

async fn change_key(aws: &Clients, key: &KeyArn, step: &KeyStep) -> Result<(), AwsError> {
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

async fn describe_key(aws: &Clients, key: &str) -> Result<Option<KeyMetadata>, AwsError> {
    const CALL: &str = "kms:DescribeKey";
    let answer = aws.kms.describe_key().key_id(key).send().await.during(CALL).optional()?;
    match answer {
        None => Ok(None),
        Some(answer) => answer.key_metadata.map(Some).ok_or_else(|| AwsError::missing(CALL, "KeyMetadata")),
    }
}

/// Reads a key of which it is known that it is there, whether its alias is seen or not.
async fn read_known_key(aws: &Clients, key: &KeyArn) -> Result<FoundKey, AwsError> {
    const CALL: &str = "kms:DescribeKey";
    let answer = aws.kms.describe_key().key_id(key.as_str()).send().await.during(CALL)?;
    let metadata = answer.key_metadata.ok_or_else(|| AwsError::missing(CALL, "KeyMetadata"))?;
    read_key(aws, metadata, false).await
}

/// A key that was just made is not known to every part of KMS at once.
fn is_unknown(error: &AwsError) -> bool {
    error.class == Class::NotFound
}

/// Reads what `DescribeKey` does not tell.
async fn read_key(aws: &Clients, metadata: KeyMetadata, has_alias: bool) -> Result<FoundKey, AwsError> {
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

fn key_arn(call: &'static str, arn: Option<String>) -> Result<KeyArn, AwsError> {
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

#[cfg(test)]
mod tests {
    use aws_sdk_kms::Client;
    use aws_sdk_kms::operation::describe_key::{DescribeKeyError, DescribeKeyOutput};
    use aws_sdk_kms::operation::get_key_policy::GetKeyPolicyOutput;
    use aws_sdk_kms::operation::get_key_rotation_status::GetKeyRotationStatusOutput;
    use aws_sdk_kms::operation::list_resource_tags::ListResourceTagsOutput;
    use aws_sdk_kms::types::error::NotFoundException;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::super::tests::{KEY, owner};
    use super::*;

    fn desired() -> KmsKey {
        KmsKey {
            owner: owner(),
            alias: "alias/acme-tfstate".parse().unwrap(),
            rotation_days: 365,
            deletion_window_days: 30,
            account_id: "111122223333".parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
            partition: "aws".parse().unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_known_is_never_searched_for_again() {
        let unseen = || {
            let meta = aws_smithy_types::error::ErrorMetadata::builder().code("NotFoundException").build();
            DescribeKeyError::NotFoundException(NotFoundException::builder().meta(meta).build())
        };
        let alias = mock!(Client::describe_key)
            .match_requests(|request| request.key_id() == Some("alias/acme-tfstate"))
            .then_error(unseen);
        let late = mock!(Client::describe_key).then_error(unseen);
        let key = mock!(Client::describe_key)
            .match_requests(|request| request.key_id() == Some(KEY))
            .then_output(|| {
                let metadata = KeyMetadata::builder()
                    .key_id("1234abcd-12ab-34cd-56ef-1234567890ab")
                    .arn(KEY)
                    .key_state(KeyState::Enabled)
                    .key_usage(KeyUsageType::EncryptDecrypt)
                    .key_spec(KeySpec::SymmetricDefault);
                DescribeKeyOutput::builder().key_metadata(metadata.build().unwrap()).build()
            });
        let rotation = mock!(Client::get_key_rotation_status)
            .then_output(|| GetKeyRotationStatusOutput::builder().key_rotation_enabled(true).build());
        let policy = mock!(Client::get_key_policy).then_output(|| GetKeyPolicyOutput::builder().build());
        let tags =
            mock!(Client::list_resource_tags).then_output(|| ListResourceTagsOutput::builder().build());
        // No rule answers a listing of keys: one would fail the test.
        let rules = [&alias, &late, &key, &rotation, &policy, &tags];
        let kms = mock_client!(aws_sdk_kms, RuleMode::Sequential, rules);
        let aws = Clients { kms, ..Clients::unconnected() };
        let outputs = Outputs::default();
        outputs.found_key.publish(Some(KEY.parse().unwrap()));

        let search = desired().observe(&aws, &outputs).await.unwrap();
        desired().publish(None, &outputs);

        assert_eq!(search.unwrap().found.unwrap().arn.as_str(), KEY);
        assert_eq!(late.num_calls(), 1);
        assert_eq!(outputs.found_key.now().unwrap().as_str(), KEY);
    }
}
