//! The DynamoDB table that holds Terraform's locks and the digests of its states.
//!
//! DynamoDB changes one thing of a table at a time and answers the next write with an error meanwhile, so the steps of
//! a table follow one another and each waits for the one before.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification,
    PointInTimeRecoveryStatus, ScalarAttributeType, SseSpecification, SseType, TableDescription, TableStatus,
    Tag, TimeToLiveStatus,
};
use aws_smithy_types::error::operation::BuildError;

use super::{
    Address, Difference, Known, Outputs, Owner, Resource, Step, StepLine, Tags, replaced_tags, tags_text,
};
use crate::aws::wait::{BACKUPS_READY, KEY_KNOWN, Pauses, TABLE_READY, retry_while};
use crate::aws::{AwsError, Class, Clients, During, Optional};
use crate::names::{AccountId, KeyAlias, Partition, Region, TableName};

/// The attribute that Terraform keeps its locks under: the table's only key.
const LOCK_ID: &str = "LockID";

/// The lock table that a backend wants.
#[derive(Debug, Clone)]
pub struct DynamoDbTable {
    /// Whose table it is.
    pub owner: Owner,
    /// Its name.
    pub name: TableName,
    /// Its account.
    pub account_id: AccountId,
    /// Its region.
    pub region: Region,
    /// The partition of both.
    pub partition: Partition,
    /// The alias of the key that it is encrypted with.
    pub key_alias: KeyAlias,
    /// Whether it can't be deleted before this protection is off.
    pub deletion_protection: bool,
    /// Whether a table under another key may be put under ours.
    pub replace_key: bool,
}

/// A table's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedTable {
    status: Status,
    /// Each key attribute as `NAME (TYPE, HASH or RANGE)`.
    keys: Vec<String>,
    on_demand: bool,
    /// The key's ARN; `None` where AWS encrypts with a key of its own.
    key: Option<String>,
    deletion_protection: bool,
    point_in_time_recovery: bool,
    time_to_live: Option<String>,
    tags: Tags,
}

/// What a table's status means for us.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Status {
    /// It works, or will in a moment.
    Ready,
    /// It is there and does not work; nothing is done about it.
    Ailing(&'static str),
    /// It goes away, or is gone and only its name is left, or says a word that we do not know.
    Lost(String),
}

/// One call that changes the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableStep {
    /// Makes the table, encrypted and on demand.
    Create {
        /// The tags that ride on the call.
        tags: Tags,
        /// Whether deletion protection is on from the start.
        deletion_protection: bool,
        /// The key, as far as it is known.
        key: String,
    },
    /// Bills by request.
    SetOnDemand,
    /// Encrypts with our key.
    SetEncryption {
        /// The key now.
        from: Option<String>,
        /// The key wanted, as far as it is known.
        key: String,
    },
    /// Turns deletion protection on or off.
    SetDeletionProtection {
        /// Whether it will be on.
        enabled: bool,
    },
    /// Turns point-in-time recovery on.
    EnablePointInTimeRecovery {
        /// Whether the table is made in the same plan.
        with_table: bool,
    },
    /// Adds or corrects tags.
    Tag {
        /// Their values now.
        from: Option<String>,
        /// The tags to put.
        tags: Tags,
    },
}

impl Step for TableStep {
    fn operation(&self) -> &'static str {
        match self {
            Self::Create { .. } => "dynamodb:CreateTable",
            Self::SetOnDemand | Self::SetEncryption { .. } | Self::SetDeletionProtection { .. } => {
                "dynamodb:UpdateTable"
            }
            Self::EnablePointInTimeRecovery { .. } => "dynamodb:UpdateContinuousBackups",
            Self::Tag { .. } => "dynamodb:TagResource",
        }
    }

    fn permissions(&self) -> Vec<&'static str> {
        match self {
            Self::Create { .. } => vec![
                "dynamodb:CreateTable",
                "dynamodb:TagResource",
                "kms:DescribeKey",
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:Encrypt",
            ],
            Self::SetEncryption { .. } => vec![
                "dynamodb:UpdateTable",
                "kms:DescribeKey",
                "kms:CreateGrant",
                "kms:Decrypt",
                "kms:Encrypt",
            ],
            other => vec![other.operation()],
        }
    }

    fn line(&self) -> StepLine {
        let line = |summary: &str, setting, from: Option<&str>, to: String| StepLine {
            summary: summary.to_owned(),
            setting,
            from: from.map(str::to_owned),
            to: Some(to),
        };
        match self {
            Self::Create { tags: _, deletion_protection, key } => line(
                "create the table",
                "table",
                None,
                format!(
                    "{LOCK_ID} (S), on demand, deletion protection {}, encrypted with {key}",
                    on_or_off(*deletion_protection)
                ),
            ),
            Self::SetOnDemand => {
                line("bill the table on demand", "billing", Some("provisioned"), "on demand".to_owned())
            }
            Self::SetEncryption { from, key } => line(
                "set the table's encryption",
                "encryption",
                Some(from.as_deref().unwrap_or("a key of DynamoDB's own")),
                key.clone(),
            ),
            Self::SetDeletionProtection { enabled } => line(
                "set the table's deletion protection",
                "deletion protection",
                Some(on_or_off(!enabled)),
                on_or_off(*enabled).to_owned(),
            ),
            Self::EnablePointInTimeRecovery { with_table } => line(
                "turn on the table's point-in-time recovery",
                "point-in-time recovery",
                (!with_table).then_some("off"),
                "on".to_owned(),
            ),
            Self::Tag { from, tags } => line("tag the table", "tags", from.as_deref(), tags_text(tags)),
        }
    }

    fn creates(&self) -> bool {
        matches!(self, Self::Create { .. })
    }

    fn needs_key(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::SetEncryption { .. })
    }
}

fn on_or_off(enabled: bool) -> &'static str {
    if enabled { "on" } else { "off" }
}

impl Resource for DynamoDbTable {
    type Observed = ObservedTable;
    type Step = TableStep;

    fn address(&self) -> Address {
        Address { kind: "dynamodb_table", name: self.name.to_string() }
    }

    async fn observe(&self, aws: &Clients, _outputs: &Outputs) -> Result<Option<ObservedTable>, AwsError> {
        let mut pauses = Pauses::until(TABLE_READY);
        loop {
            let (table, point_in_time_recovery, tags, time_to_live) = tokio::join!(
                self.find_table(aws),
                self.find_point_in_time_recovery(aws),
                self.find_tags(aws),
                self.find_time_to_live(aws),
            );
            let Some(table) = table? else { return Ok(None) };
            // What belongs to a table can't be asked for while the table is made.
            if table.table_status == Some(TableStatus::Creating) && pauses.pause().await {
                continue;
            }
            return Ok(Some(ObservedTable {
                point_in_time_recovery: point_in_time_recovery?,
                tags: tags?,
                time_to_live: time_to_live?,
                ..read_table(&table)?
            }));
        }
    }

    fn publish(&self, observed: Option<&ObservedTable>, outputs: &Outputs) {
        outputs.table_key.publish(observed.and_then(|table| table.key.clone()));
    }

    fn close(&self, outputs: &Outputs) {
        outputs.table_key.close();
    }

    fn diff(&self, observed: Option<&ObservedTable>, known: &Known) -> Difference<TableStep> {
        let Some(observed) = observed else {
            return Difference::steps(vec![
                TableStep::Create {
                    tags: self.owner.tags(),
                    deletion_protection: self.deletion_protection,
                    key: known.key_text(),
                },
                TableStep::EnablePointInTimeRecovery { with_table: true },
            ]);
        };
        let what = format!("the table `{}`", self.name);
        if observed.keys != [format!("{LOCK_ID} (S, HASH)")] {
            return Difference::refused(
                format!("{what} is there, and its key is {}, not {LOCK_ID} (S)", observed.keys.join(", ")),
                "Terraform can't lock with it. Choose another name (`table { name = ... }`).".to_owned(),
            );
        }
        if !self.owner.owns(&observed.tags) {
            return self.owner.foreign(&what, &observed.tags, "`table { name = ... }`");
        }
        match &observed.status {
            Status::Ready => self.diff_settings(observed, known),
            Status::Ailing(why) => {
                let warning =
                    format!("{what} {why}; its settings are not looked at until it is ACTIVE again");
                Difference { warnings: vec![warning], ..Difference::none() }
            }
            Status::Lost(status) => Difference::refused(
                format!("{what} is {status}"),
                "Wait until it is ACTIVE or gone, then run the command again; or choose another name \
                 (`table { name = ... }`)."
                    .to_owned(),
            ),
        }
    }

    async fn perform(&self, aws: &Clients, step: &TableStep, outputs: &Outputs) -> Result<(), AwsError> {
        let key = if step.needs_key() { outputs.key.wait().await } else { None };
        let key = key.as_ref().map(super::super::names::KeyArn::as_str);
        match step {
            TableStep::Create { tags, deletion_protection, .. } => {
                let passes = |error: &AwsError| key_is_unknown(error) || too_many_at_once(error);
                retry_while(KEY_KNOWN, passes, || self.create(aws, tags, *deletion_protection, key)).await?;
                // What follows can't be done before, and must not begin if something fails meanwhile.
                self.wait_active(aws).await
            }
            TableStep::EnablePointInTimeRecovery { .. } => {
                let passes = |error: &AwsError| error.class == Class::Conflict || is_in_use(error);
                retry_while(BACKUPS_READY, passes, || self.enable_point_in_time_recovery(aws)).await
            }
            TableStep::Tag { tags, .. } => {
                retry_while(TABLE_READY, is_in_use, || self.put_tags(aws, tags)).await
            }
            update => {
                let passes =
                    |error: &AwsError| is_in_use(error) || key_is_unknown(error) || too_many_at_once(error);
                retry_while(TABLE_READY, passes, || self.update(aws, update, key)).await?;
                self.wait_active(aws).await
            }
        }
    }
}

impl DynamoDbTable {
    fn arn(&self) -> String {
        let Self { partition, region, account_id, name, .. } = self;
        format!("arn:{partition}:dynamodb:{region}:{account_id}:table/{name}")
    }

    fn diff_settings(&self, observed: &ObservedTable, known: &Known) -> Difference<TableStep> {
        let ObservedTable {
            status: _,
            keys: _,
            on_demand,
            key,
            deletion_protection,
            point_in_time_recovery,
            time_to_live,
            tags,
        } = observed;
        let mut difference = Difference::none();
        let steps = &mut difference.steps;
        let missing = self.owner.missing_tags(tags);
        if !missing.is_empty() {
            steps.push(TableStep::Tag { from: replaced_tags(tags, &missing), tags: missing });
        }
        if !on_demand {
            steps.push(TableStep::SetOnDemand);
        }
        let is_ours =
            key.is_some() && key.as_deref() == known.key.as_ref().map(super::super::names::KeyArn::as_str);
        if !is_ours {
            if let Some(other) = key.as_ref().filter(|_| !self.replace_key) {
                return Difference::refused(
                    format!(
                        "the table `{}` is encrypted with `{other}`, and not with the key of `{}`",
                        self.name, self.key_alias
                    ),
                    "To encrypt it with our key, give `--replace-key`; the other key is never touched."
                        .to_owned(),
                );
            }
            steps.push(TableStep::SetEncryption { from: key.clone(), key: known.key_text() });
        }
        if *deletion_protection != self.deletion_protection {
            steps.push(TableStep::SetDeletionProtection { enabled: self.deletion_protection });
        }
        if !point_in_time_recovery {
            steps.push(TableStep::EnablePointInTimeRecovery { with_table: false });
        }
        if let Some(attribute) = time_to_live {
            difference.warnings.push(format!(
                "the table `{}` expires items by its attribute `{attribute}`: a lock or a digest that carries it \
                 vanishes by itself",
                self.name
            ));
        }
        difference
    }

    async fn find_table(&self, aws: &Clients) -> Result<Option<TableDescription>, AwsError> {
        const CALL: &str = "dynamodb:DescribeTable";
        let answer = aws
            .dynamodb
            .describe_table()
            .table_name(self.name.as_str())
            .send()
            .await
            .during(CALL)
            .optional()?;
        match answer {
            None => Ok(None),
            Some(answer) => answer.table.map(Some).ok_or_else(|| AwsError::missing(CALL, "Table")),
        }
    }

    async fn find_point_in_time_recovery(&self, aws: &Clients) -> Result<bool, AwsError> {
        let answer = aws
            .dynamodb
            .describe_continuous_backups()
            .table_name(self.name.as_str())
            .send()
            .await
            .during("dynamodb:DescribeContinuousBackups")
            .optional()?;
        let status = answer
            .and_then(|answer| answer.continuous_backups_description)
            .and_then(|backups| backups.point_in_time_recovery_description)
            .and_then(|recovery| recovery.point_in_time_recovery_status);
        Ok(status == Some(PointInTimeRecoveryStatus::Enabled))
    }

    async fn find_tags(&self, aws: &Clients) -> Result<Tags, AwsError> {
        const CALL: &str = "dynamodb:ListTagsOfResource";
        let mut tags = Tags::new();
        let mut next = None;
        loop {
            let request =
                aws.dynamodb.list_tags_of_resource().resource_arn(self.arn()).set_next_token(next.clone());
            let Some(page) = request.send().await.during(CALL).optional()? else { return Ok(tags) };
            tags.extend(page.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)));
            if page.next_token.is_some() && page.next_token == next {
                return Err(AwsError::garbled(CALL, "a page repeats its token".to_owned()));
            }
            next = page.next_token;
            if next.is_none() {
                return Ok(tags);
            }
        }
    }

    async fn find_time_to_live(&self, aws: &Clients) -> Result<Option<String>, AwsError> {
        let answer = aws
            .dynamodb
            .describe_time_to_live()
            .table_name(self.name.as_str())
            .send()
            .await
            .during("dynamodb:DescribeTimeToLive")
            .optional()?;
        let Some(ttl) = answer.and_then(|answer| answer.time_to_live_description) else { return Ok(None) };
        let on =
            matches!(ttl.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
        Ok(ttl.attribute_name.filter(|_| on))
    }

    async fn create(
        &self,
        aws: &Clients,
        tags: &Tags,
        deletion_protection: bool,
        key: Option<&str>,
    ) -> Result<(), AwsError> {
        const CALL: &str = "dynamodb:CreateTable";
        let unbuilt = |error: BuildError| AwsError::garbled(CALL, error.to_string());
        let attribute = AttributeDefinition::builder()
            .attribute_name(LOCK_ID)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(unbuilt)?;
        let schema = KeySchemaElement::builder()
            .attribute_name(LOCK_ID)
            .key_type(KeyType::Hash)
            .build()
            .map_err(unbuilt)?;
        aws.dynamodb
            .create_table()
            .table_name(self.name.as_str())
            .attribute_definitions(attribute)
            .key_schema(schema)
            .billing_mode(BillingMode::PayPerRequest)
            .sse_specification(encrypted_with(CALL, key)?)
            .deletion_protection_enabled(deletion_protection)
            .set_tags(Some(sdk_tags(tags).map_err(unbuilt)?))
            .send()
            .await
            .during(CALL)
            .map(drop)
    }

    async fn update(&self, aws: &Clients, step: &TableStep, key: Option<&str>) -> Result<(), AwsError> {
        const CALL: &str = "dynamodb:UpdateTable";
        let request = aws.dynamodb.update_table().table_name(self.name.as_str());
        let request = match step {
            TableStep::SetOnDemand => request.billing_mode(BillingMode::PayPerRequest),
            TableStep::SetEncryption { .. } => request.sse_specification(encrypted_with(CALL, key)?),
            TableStep::SetDeletionProtection { enabled } => request.deletion_protection_enabled(*enabled),
            // `perform` makes these calls itself.
            TableStep::Create { .. }
            | TableStep::EnablePointInTimeRecovery { .. }
            | TableStep::Tag { .. } => return Ok(()),
        };
        request.send().await.during(CALL).map(drop)
    }

    async fn enable_point_in_time_recovery(&self, aws: &Clients) -> Result<(), AwsError> {
        const CALL: &str = "dynamodb:UpdateContinuousBackups";
        let enabled = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(true)
            .build()
            .map_err(|error| AwsError::garbled(CALL, error.to_string()))?;
        aws.dynamodb
            .update_continuous_backups()
            .table_name(self.name.as_str())
            .point_in_time_recovery_specification(enabled)
            .send()
            .await
            .during(CALL)
            .map(drop)
    }

    async fn put_tags(&self, aws: &Clients, tags: &Tags) -> Result<(), AwsError> {
        const CALL: &str = "dynamodb:TagResource";
        let tags = sdk_tags(tags).map_err(|error| AwsError::garbled(CALL, error.to_string()))?;
        aws.dynamodb
            .tag_resource()
            .resource_arn(self.arn())
            .set_tags(Some(tags))
            .send()
            .await
            .during(CALL)
            .map(drop)
    }

    async fn wait_active(&self, aws: &Clients) -> Result<(), AwsError> {
        const CALL: &str = "dynamodb:DescribeTable";
        let mut pauses = Pauses::until(TABLE_READY);
        loop {
            let status = self.find_table(aws).await?.and_then(|table| table.table_status);
            if status == Some(TableStatus::Active) {
                return Ok(());
            }
            if !pauses.pause().await {
                let status = status.map_or_else(|| "not there".to_owned(), |status| status.to_string());
                return Err(AwsError::timed_out(
                    CALL,
                    format!("the table is {status} after {} minutes", TABLE_READY.as_secs() / 60),
                ));
            }
        }
    }
}

/// Reads what `DescribeTable` tells; the rest is left empty.
fn read_table(table: &TableDescription) -> Result<ObservedTable, AwsError> {
    const CALL: &str = "dynamodb:DescribeTable";
    let status = match table.table_status.as_ref().ok_or_else(|| AwsError::missing(CALL, "TableStatus"))? {
        TableStatus::Active | TableStatus::Updating | TableStatus::Creating => Status::Ready,
        TableStatus::InaccessibleEncryptionCredentials => {
            Status::Ailing("can't use its key (INACCESSIBLE_ENCRYPTION_CREDENTIALS)")
        }
        TableStatus::ReplicationNotAuthorized => {
            Status::Ailing("may not replicate (REPLICATION_NOT_AUTHORIZED)")
        }
        other => Status::Lost(other.as_str().to_owned()),
    };
    let attribute_type = |name: &str| {
        table
            .attribute_definitions()
            .iter()
            .find(|attribute| attribute.attribute_name == name)
            .map_or("?", |attribute| attribute.attribute_type.as_str())
    };
    let keys = table
        .key_schema()
        .iter()
        .map(|key| {
            let name = &key.attribute_name;
            format!("{name} ({}, {})", attribute_type(name), key.key_type.as_str())
        })
        .collect();
    let billing = table.billing_mode_summary.as_ref().and_then(|summary| summary.billing_mode.as_ref());
    Ok(ObservedTable {
        status,
        keys,
        on_demand: billing == Some(&BillingMode::PayPerRequest),
        key: table.sse_description.as_ref().and_then(|sse| sse.kms_master_key_arn.clone()),
        deletion_protection: table.deletion_protection_enabled.unwrap_or(false),
        point_in_time_recovery: false,
        time_to_live: None,
        tags: Tags::new(),
    })
}

fn encrypted_with(call: &'static str, key: Option<&str>) -> Result<SseSpecification, AwsError> {
    let key = key.ok_or_else(|| AwsError::missing(call, "KMSMasterKeyId"))?;
    Ok(SseSpecification::builder().enabled(true).sse_type(SseType::Kms).kms_master_key_id(key).build())
}

/// The table is being made, changed or tagged.
fn is_in_use(error: &AwsError) -> bool {
    error.has_code("ResourceInUseException")
}

/// DynamoDB has no code for a key that it does not know yet: it answers `ValidationException` and names KMS.
fn key_is_unknown(error: &AwsError) -> bool {
    error.has_code("ValidationException")
        && error.message.as_deref().is_some_and(|message| message.contains("KMS"))
}

/// "There is a limit of 500 tables that can be created, updated, or deleted simultaneously": the code alone also stands
/// for quotas that do not pass.
fn too_many_at_once(error: &AwsError) -> bool {
    error.class == Class::LimitExceeded
        && error.message.as_deref().is_some_and(|message| message.contains("simultaneously"))
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>, BuildError> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::KNOWN_AFTER_APPLY;
    use super::super::tests::{KEY, known, owner};
    use super::*;

    fn desired() -> DynamoDbTable {
        DynamoDbTable {
            owner: owner(),
            name: "acme-tfstate-locks".parse().unwrap(),
            account_id: "111122223333".parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
            partition: "aws".parse().unwrap(),
            key_alias: "alias/acme-tfstate".parse().unwrap(),
            deletion_protection: true,
            replace_key: false,
        }
    }

    fn matching() -> ObservedTable {
        ObservedTable {
            status: Status::Ready,
            keys: vec!["LockID (S, HASH)".to_owned()],
            on_demand: true,
            key: Some(KEY.to_owned()),
            deletion_protection: true,
            point_in_time_recovery: true,
            time_to_live: None,
            tags: owner().tags(),
        }
    }

    #[test]
    fn a_matching_table_needs_nothing() {
        assert_eq!(desired().diff(Some(&matching()), &known()), Difference::none());
    }

    #[test]
    fn a_new_table_is_made_with_all_that_the_call_takes() {
        let difference = desired().diff(None, &Known::default());

        let [
            TableStep::Create { tags, deletion_protection: true, key },
            TableStep::EnablePointInTimeRecovery { .. },
        ] = difference.steps.as_slice()
        else {
            panic!("{difference:?}");
        };
        assert_eq!(*tags, owner().tags());
        assert_eq!(key, KNOWN_AFTER_APPLY);
    }

    #[test]
    fn each_setting_that_drifts_is_one_step() {
        type Drift = (fn(&mut ObservedTable), TableStep);
        let drifts: Vec<Drift> = vec![
            (|table| table.on_demand = false, TableStep::SetOnDemand),
            (|table| table.key = None, TableStep::SetEncryption { from: None, key: KEY.to_owned() }),
            (|table| table.deletion_protection = false, TableStep::SetDeletionProtection { enabled: true }),
            (
                |table| table.point_in_time_recovery = false,
                TableStep::EnablePointInTimeRecovery { with_table: false },
            ),
        ];
        for (drift, step) in drifts {
            let mut observed = matching();
            drift(&mut observed);

            assert_eq!(desired().diff(Some(&observed), &known()), Difference::steps(vec![step]));
        }
    }

    #[test]
    fn a_table_that_is_not_ours_or_not_a_lock_table_is_refused() {
        type Break = fn(&mut ObservedTable);
        let breaks: Vec<Break> = vec![
            |table| table.tags.clear(),
            |table| table.keys = vec!["LockID (N, HASH)".to_owned()],
            |table| table.keys.push("At (S, RANGE)".to_owned()),
            |table| table.status = Status::Lost("DELETING".to_owned()),
            |table| table.key = Some(KEY.replace("1234", "9999")),
        ];
        for change in breaks {
            let mut observed = matching();
            change(&mut observed);

            let difference = desired().diff(Some(&observed), &known());

            assert_eq!(difference.refusals.len(), 1, "{observed:?}");
            assert_eq!(difference.steps, []);
        }
    }

    #[test]
    fn a_table_without_its_key_is_said_and_left_alone() {
        let ailing = Status::Ailing("can't use its key");
        let observed = ObservedTable { status: ailing, point_in_time_recovery: false, ..matching() };

        let difference = desired().diff(Some(&observed), &known());

        assert_eq!((difference.steps.len(), difference.refusals.len()), (0, 0));
        assert!(difference.warnings[0].contains("can't use its key"));
    }

    #[test]
    fn another_key_is_replaced_only_on_demand() {
        let other = KEY.replace("1234", "9999");
        let observed = ObservedTable { key: Some(other.clone()), ..matching() };

        let difference = DynamoDbTable { replace_key: true, ..desired() }.diff(Some(&observed), &known());

        let step = TableStep::SetEncryption { from: Some(other), key: KEY.to_owned() };
        assert_eq!(difference, Difference::steps(vec![step]));
    }

    #[test]
    fn items_that_expire_are_warned_of() {
        let observed = ObservedTable { time_to_live: Some("Expires".to_owned()), ..matching() };

        let difference = desired().diff(Some(&observed), &known());

        assert_eq!(difference.steps, []);
        assert!(difference.warnings[0].contains("`Expires`"));
    }
}
