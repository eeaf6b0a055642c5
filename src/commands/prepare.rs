//! From a configuration to the plans of its backends: clients, the caller's identity, the reads, and the account guard.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::{Context, Errors};
use crate::aws::{Caller, Clients, Network, Session};
use crate::backend::s3::{OtherKey, Placed};
use crate::config::{Config, S3Backend};
use crate::engine::{self, Plan};
use crate::error::CommandError;
use crate::names::{AccountId, Partition};

/// A backend, where it is, and what has to be done there.
pub(super) struct Prepared<'a> {
    pub(super) backend: &'a S3Backend,
    pub(super) placed: Placed<'a>,
    pub(super) caller: Caller,
    pub(super) plan: Plan,
}

/// A backend and where it is.
pub(super) struct Located<'a> {
    pub(super) placed: Placed<'a>,
    pub(super) aws: Clients,
    pub(super) backend: &'a S3Backend,
    pub(super) caller: Caller,
}

/// Plans every backend of the configuration, all at once.
pub(super) async fn prepare<'a>(
    context: &Context<'_>,
    config: &'a Config,
    other_key: OtherKey,
) -> Result<Vec<Prepared<'a>>, Errors> {
    let sessions = sessions(context, config).await;
    let plans = config.backends.iter().zip(&sessions).map(|(backend, session)| {
        let aws = session.clients(&backend.region);
        plan_backend(config, backend, aws, other_key)
    });
    gather(join_all(plans).await)
}

/// Finds out where every backend of the configuration is, all at once.
pub(super) async fn locate<'a>(
    context: &Context<'_>,
    config: &'a Config,
) -> Result<Vec<Located<'a>>, Errors> {
    let sessions = sessions(context, config).await;
    let located = config.backends.iter().zip(&sessions).map(async |(backend, session)| {
        let aws = session.clients(&backend.region);
        let caller = find_caller(backend, &aws).await?;
        let placed = place(config, backend, caller.account_id.clone(), caller.partition.clone())?;
        Ok(Located { placed, aws, backend, caller })
    });
    gather(join_all(located).await)
}

/// Resolves credentials once for each profile, in the order of the backends.
async fn sessions(context: &Context<'_>, config: &Config) -> Vec<Session> {
    let network = Network::new();
    let mut by_profile: BTreeMap<Option<&str>, Session> = BTreeMap::new();
    let mut sessions = Vec::new();
    for backend in &config.backends {
        let profile = backend.profile.as_deref();
        let session = if let Some(session) = by_profile.get(&profile) {
            session.clone()
        } else {
            let ui = std::sync::Arc::clone(context.ui);
            let session = Session::load(&network, profile, context.timeouts(), context.now, move |call| {
                ui.detail(call);
            })
            .await;
            by_profile.entry(profile).or_insert(session).clone()
        };
        sessions.push(session);
    }
    sessions
}

async fn plan_backend<'a>(
    config: &'a Config,
    backend: &'a S3Backend,
    aws: Clients,
    other_key: OtherKey,
) -> Result<Prepared<'a>, CommandError> {
    let (caller, placed, plan) = if let Some(account_id) = &backend.account_id {
        // Who calls is asked for beside the reads, and looked at before anything that they brought.
        let placed = place(config, backend, account_id.clone(), Partition::of_region(&backend.region))?;
        let work = placed.work(aws.clone(), other_key);
        let (caller, plan) = tokio::join!(find_caller(backend, &aws), engine::plan(work));
        (caller?, placed, plan)
    } else {
        let caller = find_caller(backend, &aws).await?;
        let placed = place(config, backend, caller.account_id.clone(), caller.partition.clone())?;
        let plan = engine::plan(placed.work(aws, other_key)).await;
        (caller, placed, plan)
    };
    let plan = plan.map_err(|errors| CommandError::of_reads(&backend.name, &errors, Some(&caller)))?;
    Ok(Prepared { backend, placed, caller, plan })
}

/// Asks who calls, and refuses another account or partition than the backend's.
async fn find_caller(backend: &S3Backend, aws: &Clients) -> Result<Caller, CommandError> {
    let name = &backend.name;
    let caller = aws.caller().await.map_err(|error| CommandError::of_identity(name, &error))?;
    if let Some(wanted) = backend.account_id.as_ref().filter(|wanted| **wanted != caller.account_id) {
        return Err(CommandError::refused(format!(
            "backend `{name}` is in account {wanted}, and these credentials are of account {}",
            caller.account_id
        ))
        .hinted(format!(
            "The caller is `{}`. Choose other credentials (`AWS_PROFILE`, or `profile` of the backend), or correct \
             `account_id`.",
            caller.arn
        )));
    }
    let partition = Partition::of_region(&backend.region);
    if partition != caller.partition {
        return Err(CommandError::refused(format!(
            "backend `{name}` is in the partition `{partition}`, and these credentials are of `{}`",
            caller.partition
        ))
        .hinted(format!("Choose other credentials, or another `region` than `{}`.", backend.region)));
    }
    Ok(caller)
}

/// Puts a backend into an account.
pub(super) fn place<'a>(
    config: &'a Config,
    backend: &'a S3Backend,
    account_id: AccountId,
    partition: Partition,
) -> Result<Placed<'a>, CommandError> {
    Placed::new(config, backend, account_id, partition).map_err(|error| {
        CommandError::caused(
            format!("backend `{}` can't have a bucket by its default name", backend.name),
            &error,
        )
        .hinted("Give the bucket a name: `bucket { name = ... }`.")
    })
}

fn gather<T>(results: Vec<Result<T, CommandError>>) -> Result<Vec<T>, Errors> {
    let mut values = Vec::new();
    let mut errors = Vec::new();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(Errors(errors)) }
}
