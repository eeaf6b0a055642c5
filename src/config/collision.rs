//! What may not meet: two components in a directory, two backends in a resource, two environments in a policy.

use std::collections::BTreeMap;
use std::path::Path;

use super::file::{BackendBlock, EnvironmentBlock};
use super::mistake::{Findings, Rule, Span};
use super::{Environment, S3Backend, name_prefix, policy_name};
use crate::names::{BucketName, ProjectName};

/// How long the name of a managed policy can be.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const LONGEST_POLICY_NAME: usize = 128;

type Backends<'a> = [(&'a BackendBlock, S3Backend)];
type Environments<'a> = [(&'a EnvironmentBlock, Environment)];

/// Checks that every directory belongs to one component.
pub(super) fn directories(environments: &Environments<'_>, findings: &mut Findings) {
    let mut owners: BTreeMap<&Path, String> = BTreeMap::new();
    for (block, environment) in environments {
        for component in &environment.components {
            let owner = format!("{}/{}", environment.name, component.name);
            match owners.get(component.directory.as_path()) {
                Some(first) if *first != owner => {
                    let directory = component.directory.display();
                    let what = format!("`{first}` and `{owner}` share the directory `{directory}`");
                    let hint = "Give one of the environments another `directory`.".to_owned();
                    findings.mistake(
                        Rule::SharedDirectory,
                        place_of(block, component.name.as_str()),
                        what,
                        hint,
                    );
                }
                Some(_) => {}
                None => {
                    owners.insert(&component.directory, owner);
                }
            }
        }
    }
}

/// Checks that every bucket, table and key belongs to one backend.
pub(super) fn resources(project: &ProjectName, backends: &Backends<'_>, findings: &mut Findings) {
    let pairs = backends
        .iter()
        .enumerate()
        .flat_map(|(index, second)| backends.iter().take(index).map(move |first| (first, second)));
    for ((_, first), (block, second)) in pairs.filter(|((_, first), (_, second))| first.name != second.name) {
        let mut complain = |what: &str, name: &str, at: Option<&Span>, attribute: &str| {
            let what = format!("backends `{}` and `{}` share the {what} `{name}`", first.name, second.name);
            let hint = format!("Give one of them another: `{attribute} = ... }}`.");
            findings.mistake(Rule::SharedResource, at.unwrap_or(&block.at), what, hint);
        };
        if let Some(bucket) = bucket_of(project, second)
            && bucket_of(project, first).as_ref() == Some(&bucket)
        {
            let at = block.bucket.name.as_ref().map(|name| &name.span);
            complain("bucket", bucket.as_str(), at, "bucket { name");
        }
        if !(first.region == second.region && may_share_account(first, second)) {
            continue;
        }
        if first.lock.uses_table() && second.lock.uses_table() && first.table == second.table {
            let at = block.table.as_ref().map(|name| &name.span);
            complain("table", second.table.as_str(), at, "table { name");
        }
        if first.key.alias == second.key.alias {
            let at = block.key.alias.as_ref().map(|alias| &alias.span);
            complain("key alias", second.key.alias.as_str(), at, "key { alias");
        }
    }
}

/// Checks that every policy belongs to one environment, and that IAM takes its name.
pub(super) fn policies(
    project: &ProjectName,
    backends: &Backends<'_>,
    environments: &Environments<'_>,
    findings: &mut Findings,
) {
    let mut owners: BTreeMap<String, Vec<(&S3Backend, &Environment)>> = BTreeMap::new();
    for (block, environment) in environments {
        let at = block.name.as_ref().map_or(&block.at, |name| &name.span);
        let Some((_, backend)) = backends.iter().find(|(_, backend)| backend.name == environment.backend)
        else {
            continue;
        };
        let prefix = name_prefix(project, &backend.name);
        // The level is the last part of the name, and `apply` the longest: what holds for it holds for the others.
        let name = policy_name(&prefix, &environment.name, "apply");
        if name.len() > LONGEST_POLICY_NAME {
            let what = format!("the policy `{name}` can't have a name of {} characters", name.len());
            let hint = format!(
                "IAM takes {LONGEST_POLICY_NAME}: shorten the name of the environment, of its backend or of the project."
            );
            findings.mistake(Rule::DerivedName, at, what, hint);
        }
        let others = owners.entry(name.clone()).or_default();
        let other = others
            .iter()
            .find(|(other, first)| first.name != environment.name && may_share_account(other, backend));
        if let Some((_, first)) = other {
            let what =
                format!("environments `{}` and `{}` share the policy `{name}`", first.name, environment.name);
            let hint = "Rename one of the environments, or its backend.".to_owned();
            findings.mistake(Rule::SharedResource, at, what, hint);
        }
        others.push((backend, environment));
    }
}

/// Returns whether two backends can be in one account, as far as the configuration tells.
fn may_share_account(first: &S3Backend, second: &S3Backend) -> bool {
    match (&first.account_id, &second.account_id) {
        (Some(first), Some(second)) => first == second,
        // Two profiles are two accounts more often than not, and the owner's tags are looked at before anything is
        // changed.
        _ => first.profile == second.profile,
    }
}

/// Returns a backend's bucket, with the account where it is known.
fn bucket_of(project: &ProjectName, backend: &S3Backend) -> Option<BucketName> {
    // A name that S3 does not take was complained of before.
    backend.bucket_name(&name_prefix(project, &backend.name), backend.account_or_placeholder()).ok()
}

/// Returns where the directory of a component is decided.
fn place_of<'a>(block: &'a EnvironmentBlock, component: &str) -> &'a Span {
    let listed = block.components.iter().flat_map(|components| &components.value);
    let listed = listed.filter(|listed| listed.value == component).map(|listed| &listed.span).next();
    block.directory.as_ref().map(|directory| &directory.span).or(listed).unwrap_or(&block.at)
}
