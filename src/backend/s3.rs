//! The kind `s3`: a key, a bucket, a lock table and the policies of its environments, in one account and region.

use crate::aws::Clients;
use crate::config::{Config, Environment, LockMode, S3Backend};
use crate::engine::{Plannable, Work, plannable};
use crate::names::{AccountId, BucketName, InvalidName, KeyAlias, KeyArn, Partition, Place};
use crate::policy::{Level, Locking, Scope};
use crate::render::BackendFacts;
use crate::resource::{DynamoDbTable, IamPolicy, KmsKey, Outputs, Owner, PolicyListing, S3Bucket};
use crate::state::{Digests, DynamoDbLocks, Locks, Objects, Pair, S3Locks};

/// Above how many environments their policies are read in one listing of the account.
const MOST_READ_ONE_BY_ONE: usize = 10;

/// A backend in the account where it lives.
#[derive(Debug)]
pub struct Placed<'a> {
    config: &'a Config,
    backend: &'a S3Backend,
    account_id: AccountId,
    partition: Partition,
    bucket: BucketName,
}

/// Whether a bucket or a table that is encrypted with another key may be put under ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherKey {
    /// It is refused.
    Refuse,
    /// New states, and the table, are encrypted with ours.
    Replace,
}

impl<'a> Placed<'a> {
    /// Places `backend` in an account.
    ///
    /// # Errors
    /// The default name of the bucket is longer than S3 allows.
    pub fn new(
        config: &'a Config,
        backend: &'a S3Backend,
        account_id: AccountId,
        partition: Partition,
    ) -> Result<Self, InvalidName> {
        let bucket = config.bucket_name(backend, &account_id)?;
        Ok(Self { config, backend, account_id, partition, bucket })
    }

    /// Returns everything that the backend is made of, in the order in which a reader sees it.
    pub fn work(&self, aws: Clients, other_key: OtherKey) -> Work {
        let mut resources = vec![plannable(self.key()), plannable(self.bucket(other_key))];
        let outputs = self.outputs();
        if self.backend.lock.uses_table() {
            resources.push(plannable(self.table(other_key)));
        }
        let policies = self.environments().flat_map(|environment| self.policies(environment));
        resources.extend(policies.map(|policy| -> Box<dyn Plannable> { plannable(policy) }));
        Work { backend: self.backend.name.clone(), aws, resources, outputs }
    }

    /// Returns the alias that finds the backend's key.
    pub fn key_alias(&self) -> &'a KeyAlias {
        &self.backend.key.alias
    }

    /// Returns what the backend files say of it; without a key they name the alias.
    pub fn facts(&self, key: Option<KeyArn>) -> BackendFacts {
        BackendFacts { place: self.place(), bucket: self.bucket.clone(), key }
    }

    /// Returns the bucket's objects.
    pub fn objects(&self, aws: Clients) -> Objects {
        Objects { aws, bucket: self.bucket.clone(), account_id: self.account_id.clone() }
    }

    /// Returns where the locks on its states are kept.
    pub fn locks(&self, aws: Clients) -> Locks {
        let s3 = S3Locks(self.objects(aws.clone()));
        let dynamodb = self.lock_table(aws);
        match self.backend.lock {
            LockMode::S3 => Locks::S3(s3),
            LockMode::DynamoDb => Locks::DynamoDb(dynamodb),
            LockMode::Both => Locks::Both(Pair { first: s3, second: dynamodb }),
        }
    }

    /// Returns where the digests of its states are: in the lock table, or left in one that is not used any more.
    pub fn digests(&self, aws: Clients) -> Digests {
        let table = self.lock_table(aws);
        if self.backend.lock.uses_table() { Digests::Kept(table) } else { Digests::Left(table) }
    }

    fn lock_table(&self, aws: Clients) -> DynamoDbLocks {
        DynamoDbLocks { aws, table: self.backend.table.clone(), bucket: self.bucket.clone() }
    }

    fn place(&self) -> Place {
        Place {
            partition: self.partition.clone(),
            region: self.backend.region.clone(),
            account: self.account_id.clone(),
        }
    }

    fn environments(&self) -> impl Iterator<Item = &'a Environment> + use<'a> {
        self.config.environments_on(&self.backend.name)
    }

    fn owner(&self) -> Owner {
        Owner::new(&self.config.project, &self.backend.name, &self.config.tags)
    }

    fn outputs(&self) -> Outputs {
        let many = self.environments().count() > MOST_READ_ONE_BY_ONE;
        let policies = many.then(|| PolicyListing::of(&self.owner()));
        let outputs = Outputs { policies, ..Outputs::default() };
        if !self.backend.lock.uses_table() {
            outputs.table_key.close();
        }
        outputs
    }

    fn key(&self) -> KmsKey {
        let S3Backend { region, key, .. } = self.backend;
        KmsKey {
            owner: self.owner(),
            alias: key.alias.clone(),
            rotation_days: key.rotation_days,
            deletion_window_days: key.deletion_window_days,
            account_id: self.account_id.clone(),
            region: region.clone(),
            partition: self.partition.clone(),
        }
    }

    fn bucket(&self, other_key: OtherKey) -> S3Bucket {
        let S3Backend { region, bucket, key, .. } = self.backend;
        S3Bucket {
            owner: self.owner(),
            name: self.bucket.clone(),
            has_default_name: bucket.name.is_none(),
            account_id: self.account_id.clone(),
            region: region.clone(),
            partition: self.partition.clone(),
            key_alias: key.alias.clone(),
            keep_versions: bucket.keep_versions,
            expire_days: bucket.expire_days,
            replace_key: other_key == OtherKey::Replace,
        }
    }

    fn table(&self, other_key: OtherKey) -> DynamoDbTable {
        let S3Backend { region, table, key, sandbox, .. } = self.backend;
        DynamoDbTable {
            owner: self.owner(),
            name: table.clone(),
            account_id: self.account_id.clone(),
            region: region.clone(),
            partition: self.partition.clone(),
            key_alias: key.alias.clone(),
            deletion_protection: !sandbox,
            replace_key: other_key == OtherKey::Replace,
        }
    }

    fn policies(&self, environment: &Environment) -> impl Iterator<Item = IamPolicy> {
        let scope = Scope {
            partition: self.partition.clone(),
            account_id: self.account_id.clone(),
            region: self.backend.region.clone(),
            bucket: self.bucket.clone(),
            table: self.backend.table.clone(),
            locking: match self.backend.lock {
                LockMode::DynamoDb => Locking::Table,
                LockMode::S3 => Locking::Lockfile,
                LockMode::Both => Locking::Both,
            },
            environment: environment.name.clone(),
        };
        let prefix = self.config.name_prefix(&self.backend.name);
        let owner = self.owner();
        Level::ALL.into_iter().map(move |level| IamPolicy {
            owner: owner.clone(),
            level,
            name: format!("{prefix}-tfstate-{}-{level}", scope.environment),
            scope: scope.clone(),
        })
    }
}
