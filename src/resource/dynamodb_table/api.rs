//! The table's calls: what is read of it, and what each step sends.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification,
    PointInTimeRecoveryStatus, ScalarAttributeType, SseSpecification, SseType, TableDescription, TableStatus,
    Tag, TimeToLiveStatus,
};
use aws_smithy_types::error::operation::BuildError;

use super::super::Tags;
use super::{DynamoDbTable, LOCK_ID, ObservedTable, Status, TableStep};
use crate::aws::wait::{Pauses, TABLE_READY};
use crate::aws::{AwsError, Class, Clients, During, Optional};

impl DynamoDbTable {
    pub(super) async fn find_table(&self, aws: &Clients) -> Result<Option<TableDescription>, AwsError> {
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

    pub(super) async fn find_point_in_time_recovery(&self, aws: &Clients) -> Result<bool, AwsError> {
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

    pub(super) async fn find_tags(&self, aws: &Clients) -> Result<Tags, AwsError> {
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

    pub(super) async fn find_time_to_live(&self, aws: &Clients) -> Result<Option<String>, AwsError> {
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

    pub(super) async fn create(
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

    pub(super) async fn update(
        &self,
        aws: &Clients,
        step: &TableStep,
        key: Option<&str>,
    ) -> Result<(), AwsError> {
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

    pub(super) async fn enable_point_in_time_recovery(&self, aws: &Clients) -> Result<(), AwsError> {
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

    pub(super) async fn put_tags(&self, aws: &Clients, tags: &Tags) -> Result<(), AwsError> {
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

    pub(super) async fn wait_active(&self, aws: &Clients) -> Result<(), AwsError> {
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
pub(super) fn read_table(table: &TableDescription) -> Result<ObservedTable, AwsError> {
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
pub(super) fn is_in_use(error: &AwsError) -> bool {
    error.has_code("ResourceInUseException")
}

/// DynamoDB has no code for a key that it does not know yet: it answers `ValidationException` and names KMS.
pub(super) fn key_is_unknown(error: &AwsError) -> bool {
    error.has_code("ValidationException")
        && error.message.as_deref().is_some_and(|message| message.contains("KMS"))
}

/// "There is a limit of 500 tables that can be created, updated, or deleted simultaneously": the code alone also stands
/// for quotas that do not pass.
pub(super) fn too_many_at_once(error: &AwsError) -> bool {
    error.class == Class::LimitExceeded
        && error.message.as_deref().is_some_and(|message| message.contains("simultaneously"))
}

fn sdk_tags(tags: &Tags) -> Result<Vec<Tag>, BuildError> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}
