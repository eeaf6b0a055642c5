//! What a backend of kind `s3` means.

use std::str::FromStr;

use super::file::{BackendBlock, BucketBlock, KeyBlock};
use super::mistake::{Findings, Rule, Span, quoted};
use super::reader::Written;
use super::resolve::{Number, name, number, sentence};
use super::{
    Bucket, Key, LockMode, S3Backend, UNKNOWN_ACCOUNT, default_bucket_name, likeliest, name_prefix, regions,
};
use crate::names::{AccountId, BackendName, InvalidName, KeyAlias, ProjectName, Region, TableName};

/// How many noncurrent versions of each state are kept whatever their age: a state is small, so many cost little.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_NoncurrentVersionExpiration.html>
const KEEP_VERSIONS: Number = Number { name: "keep_versions", range: 1..=100, default: 50 };
/// After how many days the others expire: a quarter.
const EXPIRE_DAYS: Number = Number { name: "expire_days", range: 1..=i32::MAX, default: 90 };
/// Days between two rotations of the key: KMS's own limits and default.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKeyRotation.html>
const ROTATION_DAYS: Number = Number { name: "rotation_days", range: 90..=2560, default: 365 };
/// Days between scheduling the key's deletion and its end: the longest there is, since nothing brings a key back.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html>
const DELETION_WINDOW_DAYS: Number = Number { name: "deletion_window_days", range: 7..=30, default: 30 };

/// Resolves a backend; `None` where a mistake leaves nothing to mean. Without the project there are no names.
pub(super) fn resolve(
    block: &BackendBlock,
    project: Option<&ProjectName>,
    findings: &mut Findings,
) -> Option<S3Backend> {
    let BackendBlock { at, name: label, region, account_id: account, profile, lock, bucket, table, key } =
        block;
    let backend: Option<BackendName> = name(label.as_ref(), "a backend's name", findings);
    let region = region.as_ref().and_then(|region| resolve_region(region, findings));
    let account_id: Option<AccountId> = name(account.as_ref(), "an account id", findings);
    let profile = profile.as_ref().and_then(|profile| resolve_profile(profile, findings));
    let resolved_bucket = resolve_bucket(bucket, findings);
    let table_name: Option<TableName> = name(table.as_ref(), "a table's name", findings);
    let alias: Option<KeyAlias> = name(key.alias.as_ref(), "a key's alias", findings);
    let (rotation_days, deletion_window_days) = resolve_key_days(key, findings);

    let (backend, region) = (backend?, region?);
    let prefix = name_prefix(project?, &backend);
    let mut derive =
        Derive { at: label.as_ref().map_or(at, |label| &label.span), backend: &backend, findings };
    if bucket.name.is_none() {
        derive.bucket(&prefix, account_id.as_ref(), &region);
    }
    let table = match table {
        Some(_) => table_name,
        None => derive.name("table", &format!("{prefix}-tfstate-locks"), "table { name"),
    };
    let alias = match key.alias {
        Some(_) => alias,
        None => derive.name("key's alias", &format!("alias/{prefix}-tfstate"), "key { alias"),
    };
    Some(S3Backend {
        region,
        account_id,
        profile,
        lock: lock.unwrap_or(LockMode::DynamoDb),
        bucket: resolved_bucket,
        table: table?,
        key: Key { alias: alias?, rotation_days, deletion_window_days },
        sandbox: false,
        name: backend,
    })
}

/// Makes the names that are not given.
struct Derive<'a> {
    at: &'a Span,
    backend: &'a BackendName,
    findings: &'a mut Findings,
}

impl Derive<'_> {
    /// Checks the bucket's name; an account that is not known yet has twelve digits too.
    fn bucket(&mut self, prefix: &str, account: Option<&AccountId>, region: &Region) {
        let id = account.map_or(UNKNOWN_ACCOUNT, AccountId::as_str);
        if let Err(InvalidName { rule }) = default_bucket_name(prefix, id, region) {
            let shown = account.map_or("ACCOUNT", AccountId::as_str);
            self.complain("bucket", &format!("{prefix}-tfstate-{shown}-{region}"), "bucket { name", rule);
        }
    }

    fn name<T: FromStr<Err = InvalidName>>(&mut self, what: &str, name: &str, attribute: &str) -> Option<T> {
        match name.parse() {
            Ok(name) => Some(name),
            Err(InvalidName { rule }) => {
                self.complain(what, name, attribute, rule);
                None
            }
        }
    }

    fn complain(&mut self, what: &str, name: &str, attribute: &str, rule: &str) {
        let what = format!("the {what} of backend {} can't be `{name}`", quoted(self.backend.as_str()));
        let hint = format!("Name it: `{attribute} = \"...\" }}`. {}", sentence(rule));
        self.findings.mistake(Rule::DerivedName, self.at, what, hint);
    }
}

fn resolve_bucket(block: &BucketBlock, findings: &mut Findings) -> Bucket {
    let BucketBlock { name: bucket, keep_versions: keep, expire_days: expire } = block;
    Bucket {
        name: name(bucket.as_ref(), "a bucket's name", findings),
        keep_versions: number(keep.as_ref(), &KEEP_VERSIONS, findings),
        expire_days: number(expire.as_ref(), &EXPIRE_DAYS, findings),
    }
}

fn resolve_key_days(block: &KeyBlock, findings: &mut Findings) -> (i32, i32) {
    let KeyBlock { alias: _, rotation_days, deletion_window_days } = block;
    (
        number(rotation_days.as_ref(), &ROTATION_DAYS, findings),
        number(deletion_window_days.as_ref(), &DELETION_WINDOW_DAYS, findings),
    )
}

fn resolve_region(written: &Written<String>, findings: &mut Findings) -> Option<Region> {
    let region: Region = name(Some(written), "a region", findings)?;
    if !regions::KNOWN.contains(&region.as_str()) {
        let what = format!("`{region}` is no region that this version of underpin knows");
        let hint = match likeliest(region.as_str(), regions::KNOWN.iter().copied()) {
            Some(likeliest) => format!("Did you mean `{likeliest}`? If it is a new one, all is well."),
            None => "If it is a new one, all is well.".to_owned(),
        };
        findings.warning(Rule::UnknownRegion, &written.span, what, hint);
    }
    Some(region)
}

fn resolve_profile(written: &Written<String>, findings: &mut Findings) -> Option<String> {
    let Written { value, span } = written;
    if value.trim().is_empty() || value.contains(char::is_control) {
        let what = format!("{} can't be a profile's name", quoted(value));
        let hint = "`aws configure list-profiles` lists those that there are.".to_owned();
        findings.mistake(Rule::Name, span, what, hint);
        return None;
    }
    Some(value.clone())
}
