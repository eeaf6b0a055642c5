//! The policies of an environment: what reading, planning and applying need of its states, and nothing beside it.
//!
//! Each level is the one below it and more. What Terraform really calls, in each lock mode, decides what is in them:
//! the tests hold each statement against those calls, both ways. The patterns name the environment and not its
//! components, so that a policy can't outgrow its limit and a component works as soon as it is named.
//!
//! | what | its name |
//! | --- | --- |
//! | a state | `ENV/COMPONENT.tfstate`, in a workspace `ENV/env:/WORKSPACE/ENV/COMPONENT.tfstate` |
//! | S3's lock | the state's key and `.tflock` |
//! | the item of a lock | `BUCKET/` and the state's key |
//! | the item of a digest | the lock's and `-md5` |
//! | a record | `underpin/records/ENV/` and its own name |
//!
//! Items of locks and of digests differ by their ends alone, so every pattern has one.

use std::fmt;

use crate::names::{AccountId, BucketName, EnvironmentName, KeyArn, Partition, Region, TableName};

use super::document::Document;
use super::statement::Statement;
use super::{VIA_SERVICE, via_service};

/// Where the records of every environment lie.
const RECORDS: &str = "underpin/records/";

/// How far access to an environment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Outputs and states, without a lock.
    Read,
    /// Reading, and the lock.
    Plan,
    /// Planning, and writing state and digest.
    Apply,
}

/// How Terraform locks a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locking {
    /// By an item in a table.
    Table,
    /// By an object beside the state.
    Lockfile,
    /// By both.
    Both,
}

/// Where an environment's states and locks are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The partition of all of it.
    pub partition: Partition,
    /// The account of all of it.
    pub account_id: AccountId,
    /// The region of all of it.
    pub region: Region,
    /// The bucket of the states.
    pub bucket: BucketName,
    /// The table of the locks; it appears in a policy only where there is one.
    pub table: TableName,
    /// How states are locked.
    pub locking: Locking,
    /// The environment.
    pub environment: EnvironmentName,
}

/// Returns the policy of one level of access; `key` encrypts bucket and table.
pub fn document(level: Level, scope: &Scope, key: &KeyArn) -> Document {
    let mut statements = scope.reading();
    if level >= Level::Plan {
        statements.extend(scope.locking());
    }
    if level >= Level::Apply {
        statements.extend(scope.writing());
    }
    statements.extend(scope.using_the_key(level, key));
    Document::new(statements)
}

impl Level {
    /// Every level, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Plan, Self::Apply];

    /// Returns the level's name, as it stands in a configuration and at the end of a policy's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Plan => "plan",
            Self::Apply => "apply",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Locking {
    fn uses_table(self) -> bool {
        matches!(self, Self::Table | Self::Both)
    }

    fn uses_lockfile(self) -> bool {
        matches!(self, Self::Lockfile | Self::Both)
    }
}

impl Scope {
    /// Reading touches no table: S3 is consistent, so a reader has no use for a digest, and Terraform goes on without.
    fn reading(&self) -> Vec<Statement> {
        // Without a condition on the prefix: where a caller may not list, S3 answers 403 in place of 404 to a read of a
        // missing state, and the first `init` of an environment fails. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>
        let bucket = Statement::allow("ListBucket").actions(["s3:ListBucket"]).resources([self.bucket_arn()]);
        vec![self.in_our_account(bucket), self.on_objects("ReadState", &["s3:GetObject"], "*.tfstate")]
    }

    fn locking(&self) -> Vec<Statement> {
        let mut statements = Vec::new();
        if self.locking.uses_lockfile() {
            let actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"];
            statements.push(self.on_objects("LockObject", &actions, "*.tfstate.tflock"));
        }
        if self.locking.uses_table() {
            let actions = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"];
            statements.push(self.on_items("LockItem", &actions, "*.tfstate"));
            statements.push(self.on_items("ReadDigest", &["dynamodb:GetItem"], "*.tfstate-md5"));
        }
        statements.push(self.recording());
        statements
    }

    /// A record of what was done with a lock is written once: a write that could replace one has no `If-None-Match`.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html>
    fn recording(&self) -> Statement {
        let records = format!("{}/{RECORDS}{}/*", self.bucket_arn(), self.environment);
        let write = Statement::allow("WriteRecord").actions(["s3:PutObject"]).resources([records]);
        self.in_our_account(write).when("Null", "s3:if-none-match", ["false".to_owned()])
    }

    /// The state of the default workspace is never deleted: `destroy` leaves an empty one.
    fn writing(&self) -> Vec<Statement> {
        let of_workspaces = format!("env:/*/{}/*.tfstate", self.environment);
        // Terraform sends a state above 5 MiB in parts, and takes them back when one fails.
        let write = ["s3:PutObject", "s3:AbortMultipartUpload"];
        let mut statements = vec![
            self.on_objects("WriteState", &write, "*.tfstate"),
            self.on_objects("DeleteWorkspaceState", &["s3:DeleteObject"], &of_workspaces),
        ];
        if self.locking.uses_table() {
            let digests = format!("{of_workspaces}-md5");
            statements.push(self.on_items("WriteDigest", &["dynamodb:PutItem"], "*.tfstate-md5"));
            statements.push(self.on_items("DeleteWorkspaceDigest", &["dynamodb:DeleteItem"], &digests));
        }
        statements
    }

    /// The services call KMS, never Terraform. A write in parts decrypts too; an item needs `Decrypt` alone, since
    /// `DynamoDB` has one data key for the whole table.
    fn using_the_key(&self, level: Level, key: &KeyArn) -> Vec<Statement> {
        let s3 = self.via("s3");
        let through = |name, action, services| {
            Statement::allow(name).actions([action]).resources([key.to_string()]).when(
                "StringEquals",
                VIA_SERVICE,
                services,
            )
        };
        let mut readers = s3.clone();
        if level >= Level::Plan && self.locking.uses_table() {
            readers.extend(self.via("dynamodb"));
        }
        let mut statements = vec![through("Decrypt", "kms:Decrypt", readers)];
        if level >= Level::Plan {
            statements.push(through("Encrypt", "kms:GenerateDataKey", s3));
        }
        statements
    }

    fn via(&self, service: &str) -> Vec<String> {
        via_service(&self.partition, &self.region, service)
    }

    fn bucket_arn(&self) -> String {
        format!("arn:{}:s3:::{}", self.partition, self.bucket)
    }

    /// Allows actions on the environment's objects that match `pattern`.
    fn on_objects(&self, name: &str, actions: &[&'static str], pattern: &str) -> Statement {
        let objects = format!("{}/{}/{pattern}", self.bucket_arn(), self.environment);
        self.in_our_account(Statement::allow(name).actions(actions.iter().copied()).resources([objects]))
    }

    /// Allows actions on the environment's items that match `pattern`.
    ///
    /// `ForAllValues` holds where a request names no item, so the actions must be such as always name one.
    fn on_items(&self, name: &str, actions: &[&'static str], pattern: &str) -> Statement {
        let Self { partition, region, account_id, bucket, table, environment, .. } = self;
        let table = format!("arn:{partition}:dynamodb:{region}:{account_id}:table/{table}");
        let items = format!("{bucket}/{environment}/{pattern}");
        Statement::allow(name).actions(actions.iter().copied()).resources([table]).when(
            "ForAllValues:StringLike",
            "dynamodb:LeadingKeys",
            [items],
        )
    }

    /// A bucket's ARN names no account, and a bucket that was deleted may be made again by anyone: no state goes there.
    fn in_our_account(&self, statement: Statement) -> Statement {
        statement.when("StringEquals", "aws:ResourceAccount", [self.account_id.to_string()])
    }
}

#[cfg(test)]
mod tests;
