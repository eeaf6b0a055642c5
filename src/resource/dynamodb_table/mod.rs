//! The DynamoDB table that holds Terraform's locks and the digests of its states.
//!
//! DynamoDB changes one thing of a table at a time and answers the next write with an error meanwhile, so the steps of
//! a table follow one another and each waits for the one before.

mod api;

use aws_sdk_dynamodb::types::TableStatus;

use self::api::{is_in_use, key_is_unknown, read_table, too_many_at_once};
use super::{
    Address, Difference, Known, Outputs, Owner, Resource, Step, StepLine, Tags, replaced_tags, tags_text,
};
use crate::aws::wait::{BACKUPS_READY, KEY_KNOWN, Pauses, TABLE_READY, retry_while};
use crate::aws::{AwsError, Class, Clients};
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
