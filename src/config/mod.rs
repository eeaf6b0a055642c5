//! The configuration, `underpin.hcl`: what may be written (`file`) and what it means (`resolve`).
//!
//! Everything here is offline and pure: the same text gives the same configuration or the same mistakes on any machine.

mod backend;
mod collision;
mod environment;
mod file;
#[cfg(test)]
mod fixtures;
mod load;
mod mistake;
mod paths;
mod reader;
mod regions;
mod resolve;
mod select;
mod starter;
mod syntax;
mod tags;
mod unsupported;
mod version;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use load::{ConfigError, Loaded, Mistakes, load, parse};
pub use mistake::{Mistake, Rule, Severity, Source, Span};
pub use select::UnknownName;
pub use starter::Starter;

use crate::names::{
    AccountId, BackendName, BucketName, ComponentName, EnvironmentName, InvalidName, KeyAlias, ProjectName,
    Region, TableName,
};

/// A configuration that was checked as a whole.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that it was read from, as it was given.
    pub path: PathBuf,
    /// The folder of that file: every path in it, and every rendered file, is relative to it.
    pub root: PathBuf,
    /// The name that prefixes everything we create.
    pub project: ProjectName,
    /// Tags for everything we create, beside our own.
    pub tags: BTreeMap<String, String>,
    /// The folder whose templates override ours by file name.
    pub templates: Option<PathBuf>,
    /// The backends, in the order of the file.
    pub backends: Vec<S3Backend>,
    /// The environments, in the order of the file.
    pub environments: Vec<Environment>,
}

/// A backend of kind `s3`: a bucket, a lock and a key in one account and region.
#[derive(Debug, Clone)]
pub struct S3Backend {
    /// Its label.
    pub name: BackendName,
    /// Where all of it lives.
    pub region: Region,
    /// The account that it must be in, where the configuration pins it.
    pub account_id: Option<AccountId>,
    /// The profile of the AWS configuration files that underpin itself uses.
    pub profile: Option<String>,
    /// How Terraform locks a state here.
    pub lock: LockMode,
    /// The bucket's settings.
    pub bucket: Bucket,
    /// The lock table's name. It is made only where `lock` wants a table.
    pub table: TableName,
    /// The key's settings.
    pub key: Key,
    /// Whether every environment of this backend is a sandbox, and there is one.
    pub sandbox: bool,
}

/// What is asked of the bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The name, where it is given; `bucket_name` has the default.
    pub name: Option<BucketName>,
    /// How many noncurrent versions of each object are kept whatever their age, 1 to 100.
    pub keep_versions: i32,
    /// After how many days the others expire, 1 and more.
    pub expire_days: i32,
}

/// What is asked of the key.
#[derive(Debug, Clone)]
pub struct Key {
    /// The alias that finds it.
    pub alias: KeyAlias,
    /// Days between two rotations, 90 to 2,560.
    pub rotation_days: i32,
    /// Days between scheduling its deletion and its end, 7 to 30.
    pub deletion_window_days: i32,
}

/// How Terraform locks a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// An item in a DynamoDB table.
    DynamoDb,
    /// A `.tflock` object beside the state (`use_lockfile`).
    S3,
    /// Both, in Terraform's order: S3 first.
    Both,
}

/// An environment: the key prefix `ENV/` and all below it.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its label.
    pub name: EnvironmentName,
    /// The backend that it lives on.
    pub backend: BackendName,
    /// Whether it may be torn down.
    pub sandbox: bool,
    /// What its rendered files are for.
    pub engine: Engine,
    /// Its root modules, in the order of the file; never empty.
    pub components: Vec<Component>,
}

/// A component: one root module in an environment, so one state.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its name; `main` where none is given.
    pub name: ComponentName,
    /// Where its backend file goes, relative to the configuration's folder.
    pub directory: PathBuf,
}

/// The program that reads the rendered files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// Terraform.
    Terraform,
    /// OpenTofu.
    OpenTofu,
}

impl Config {
    /// Returns `PROJECT`, or `PROJECT-BACKEND` for a backend that is not called `main`: the beginning of every name.
    pub fn name_prefix(&self, backend: &BackendName) -> String {
        name_prefix(&self.project, backend)
    }

    /// Returns the name of a backend's bucket in `account`.
    ///
    /// # Errors
    /// The default name is longer than S3 allows; `load` has found this out before.
    pub fn bucket_name(&self, backend: &S3Backend, account: &AccountId) -> Result<BucketName, InvalidName> {
        backend.bucket_name(&self.name_prefix(&backend.name), account.as_str())
    }

    /// Returns the name of the file that it was read from, without its folder.
    pub fn file_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns the environments that live on `backend`, in the order of the file.
    pub fn environments_on<'a>(&'a self, backend: &'a BackendName) -> impl Iterator<Item = &'a Environment> {
        self.environments.iter().filter(move |environment| environment.backend == *backend)
    }
}

impl S3Backend {
    fn bucket_name(&self, prefix: &str, account: &str) -> Result<BucketName, InvalidName> {
        match &self.bucket.name {
            Some(name) => Ok(name.clone()),
            None => default_bucket_name(prefix, account, &self.region),
        }
    }

    /// Returns the account's id, or what stands for it as long as it is not known: as long as any.
    fn account_or_placeholder(&self) -> &str {
        self.account_id.as_ref().map_or(UNKNOWN_ACCOUNT, AccountId::as_str)
    }
}

impl LockMode {
    /// Returns whether a lock is an item in a DynamoDB table.
    pub fn uses_table(self) -> bool {
        matches!(self, Self::DynamoDb | Self::Both)
    }

    /// Returns whether a lock is an object in the bucket.
    pub fn uses_lockfile(self) -> bool {
        matches!(self, Self::S3 | Self::Both)
    }
}

impl Environment {
    /// Returns what stands before the key of every workspace but the default one, so that they too lie under `ENV/`.
    pub fn workspace_key_prefix(&self) -> String {
        format!("{}/env:", self.name)
    }
}

impl Component {
    /// Returns the key of this component's state in `environment`: `ENV/COMPONENT.tfstate`.
    pub fn state_key(&self, environment: &EnvironmentName) -> String {
        format!("{environment}/{}.tfstate", self.name)
    }
}

/// Stands for an account that is not known yet.
const UNKNOWN_ACCOUNT: &str = "000000000000";

/// Returns the beginning of every name that a backend's resources have.
fn name_prefix(project: &ProjectName, backend: &BackendName) -> String {
    match backend.as_str() {
        "main" => project.to_string(),
        name => format!("{project}-{name}"),
    }
}

/// Returns the name of a bucket that is given none.
fn default_bucket_name(prefix: &str, account: &str, region: &Region) -> Result<BucketName, InvalidName> {
    format!("{prefix}-tfstate-{account}-{region}").parse()
}

/// Returns the name of an environment's policy.
fn policy_name(prefix: &str, environment: &EnvironmentName, level: &str) -> String {
    format!("{prefix}-tfstate-{environment}-{level}")
}

/// Returns a hint that lists what could have been meant.
fn there_is(words: &[&str]) -> String {
    match words {
        [] => "There is none.".to_owned(),
        [only] => format!("There is `{only}`."),
        [others @ .., last] => format!("There are `{}` and `{last}`.", others.join("`, `")),
    }
}

/// Returns the candidate that was probably meant by a word.
pub(crate) fn likeliest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong: fewer and `regoin` finds nothing, more and `x` finds everything.
    let most = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_make_keys_that_s3_takes() {
        let environment: EnvironmentName = "e".repeat(63).parse().unwrap();
        let name: ComponentName = ["c"; 4].map(|letter| letter.repeat(63)).join("/").parse().unwrap();
        let component = Component { name, directory: PathBuf::new() };

        let key = component.state_key(&environment);

        // A workspace's state has a longer key, and its lock a longer one still.
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
        let workspace = "w".repeat(255);
        assert!(format!("{environment}/env:/{workspace}/{key}.tflock").len() <= 1024);
    }

    #[test]
    fn a_slip_of_the_pen_is_recognized_and_another_word_is_not() {
        let names = ["region", "account_id", "lock", "bucket"];
        for (word, likely) in [
            ("regoin", Some("region")),
            ("Region", Some("region")),
            ("acount_id", Some("account_id")),
            ("lok", Some("lock")),
        ] {
            assert_eq!(likeliest(word, names), likely);
        }
        for word in ["x", "colour", ""] {
            assert_eq!(likeliest(word, names), None, "{word}");
        }
    }
}
