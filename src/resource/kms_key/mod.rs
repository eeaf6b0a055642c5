//! The KMS key that state and locks are encrypted with, found by its alias.
//!
//! A key has no name until its alias exists, so a run that was cut short between the two calls must find its key again:
//! by what the bucket or the table names, then by our tags. The alias decides which key is the one. Nothing is encrypted
//! with a key before its alias names it, so a run that loses a race gives back a key that nothing depends on.

mod api;

use aws_sdk_kms::types::KeyState;

use self::api::{change_key, describe_key, found_key, is_unknown, key_arn, read_key, read_known_key};
use super::{
    Address, Difference, Known, Outputs, Owner, Resource, Step, StepLine, Tags, replaced_tags, tags_text,
};
use crate::aws::wait::{KEY_KNOWN, retry_while};
use crate::aws::{AwsError, Clients};
use crate::names::{AccountId, KeyAlias, KeyArn, Partition, Region};
use crate::policy::{self, Document};

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
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::Client;
    use aws_sdk_kms::operation::describe_key::{DescribeKeyError, DescribeKeyOutput};
    use aws_sdk_kms::operation::get_key_policy::GetKeyPolicyOutput;
    use aws_sdk_kms::operation::get_key_rotation_status::GetKeyRotationStatusOutput;
    use aws_sdk_kms::operation::list_resource_tags::ListResourceTagsOutput;
    use aws_sdk_kms::types::error::NotFoundException;
    use aws_sdk_kms::types::{KeyMetadata, KeySpec, KeyUsageType};
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
