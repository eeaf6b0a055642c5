//! `lock`: who holds which lock, releasing the right one, and the record.

mod glob;
mod history;
mod list;
mod release;
mod select;
mod show;
mod watch;

use futures_util::future::join_all;

use super::prepare::{Located, locate};
use super::{CommandResult, Context, Errors};
use crate::aws::{AwsError, Caller};
use crate::cli::{LockArgs, LockCommand};
use crate::config::{Config, S3Backend, likeliest};
use crate::error::{CommandError, ExitStatus};
use crate::report::LockRow;
use crate::state::survey::{Sight, Terms, find_all, survey};
use crate::state::{Digests, Lock, LockStore as _, Locks, Objects, StateAddress, StateKey};

pub(super) async fn run(context: &Context<'_>, args: &LockArgs) -> CommandResult {
    match &args.command {
        LockCommand::List(args) => list::run(context, args).await,
        LockCommand::Show(args) => show::run(context, args).await,
        LockCommand::Release(args) => match &args.state {
            Some(state) => release::run(context, args, state).await,
            None => select::run(context, args).await,
        },
        LockCommand::History(args) => history::run(context, args).await,
        LockCommand::Watch(args) => watch::run(context, args).await,
    }
}

/// A backend whose locks are looked at.
pub(super) struct Site<'a> {
    pub(super) backend: &'a S3Backend,
    pub(super) caller: Caller,
    pub(super) locks: Locks,
    pub(super) objects: Objects,
    pub(super) digests: Digests,
    /// How the keys of the states begin that the command is about.
    pub(super) prefixes: Vec<String>,
    /// The states that the configuration knows.
    pub(super) known: Vec<StateKey>,
}

/// Finds out where every backend of the configuration is.
pub(super) async fn sites<'a>(context: &Context<'_>, config: &'a Config) -> Result<Vec<Site<'a>>, Errors> {
    let located = Box::pin(locate(context, config)).await?;
    let all = context.global.environments.is_empty();
    Ok(located.into_iter().map(|located| site(config, located, all)).collect())
}

fn site<'a>(config: &'a Config, located: Located<'a>, all: bool) -> Site<'a> {
    let Located { placed, aws, backend, caller } = located;
    let environments = || config.environments_on(&backend.name);
    let known = environments().flat_map(|environment| {
        environment.components.iter().map(|component| StateKey::new(component.state_key(&environment.name)))
    });
    let prefixes = if all {
        // What the configuration does not know is looked for, too.
        vec![String::new()]
    } else {
        environments().map(|environment| format!("{}/", environment.name)).collect()
    };
    Site {
        backend,
        caller,
        locks: placed.locks(aws.clone()),
        digests: placed.digests(aws.clone()),
        objects: placed.objects(aws),
        prefixes,
        known: known.collect(),
    }
}

impl Site<'_> {
    /// Finds every lock and judges it; tells what could not be seen.
    pub(super) async fn survey(&self, terms: Terms) -> Result<(Vec<LockRow>, Sight), CommandError> {
        let failed = |error: AwsError| self.error("list the locks of", &error);
        let (locks, mut sight) =
            find_all(&self.locks, &self.objects, &self.prefixes, &self.known).await.map_err(failed)?;
        let surveyed = survey(&self.locks, &self.objects, locks, terms, &mut sight).await.map_err(failed)?;
        let (backend, kinds) = (&self.backend.name, self.locks.kinds());
        let rows = surveyed.into_iter().map(|surveyed| LockRow { backend: backend.clone(), kinds, surveyed });
        Ok((rows.collect(), sight))
    }

    /// Judges one lock; tells what could not be seen.
    async fn judge(&self, lock: Lock, terms: Terms) -> Result<(LockRow, Vec<String>), CommandError> {
        let mut sight = Sight::default();
        let judged = survey(&self.locks, &self.objects, vec![lock], terms, &mut sight).await;
        let surveyed = judged.map_err(|error| self.error("judge a lock of", &error))?.into_iter().next();
        let unseen = self.unseen(&sight);
        let Some(surveyed) = surveyed else {
            return Err(CommandError::new(ExitStatus::Failure, "a lock was lost while it was judged"));
        };
        Ok((LockRow { backend: self.backend.name.clone(), kinds: self.locks.kinds(), surveyed }, unseen))
    }

    /// Says what could not be seen.
    pub(super) fn unseen(&self, sight: &Sight) -> Vec<String> {
        let name = &self.backend.name;
        let denied = sight.denied.iter().map(|error| {
            let lost = match error.operation {
                "dynamodb:Scan" => {
                    "only the locks of states that are known or lie in the bucket are shown; a lock on another state \
                     is not seen"
                }
                "s3:ListObjectsV2" => "what lies in the bucket is not seen: states, and records of `underpin run`",
                "s3:HeadObject" => "when a state was written is not seen",
                _ => "part of the evidence is not seen",
            };
            format!("backend `{name}`: {lost}: {error}")
        });
        let elsewhere = (sight.elsewhere.0 > 0).then(|| {
            format!(
                "backend `{name}`: the lock table has {} on states of other buckets",
                crate::report::plural(sight.elsewhere.0, "lock")
            )
        });
        denied.chain(elsewhere).collect()
    }

    /// Makes the error for a call that failed; `doing` reads after "failed to" and before the backend.
    pub(super) fn error(&self, doing: &str, error: &AwsError) -> CommandError {
        CommandError::of_call(&format!("{doing} backend `{}`", self.backend.name), error, Some(&self.caller))
    }
}

/// Tells warnings.
pub(super) fn warn(context: &Context<'_>, warnings: &[String]) {
    for warning in warnings {
        context.reporter.warn(warning);
    }
}

/// Returns the keys that a person may mean by a state's name: the key of an address, or the name itself.
pub(super) fn keys(name: &str) -> Result<Vec<StateKey>, CommandError> {
    let address = name.parse::<StateAddress>();
    let mut keys: Vec<StateKey> = address.iter().map(StateAddress::key).collect();
    if name.contains(['/', '.']) && !name.ends_with('/') {
        keys.push(StateKey::new(name));
    }
    match address {
        Err(error) if keys.is_empty() => Err(CommandError::of_error(&error).hinted(
            "A state is named `ENV`, `ENV/COMPONENT` or `ENV/COMPONENT@WORKSPACE`, or by the key of its object.",
        )),
        _ => Ok(keys),
    }
}

/// Finds the lock on the state that is meant.
async fn find<'s, 'a>(
    config: &Config,
    sites: &'s [Site<'a>],
    name: &str,
) -> Result<(&'s Site<'a>, Lock), Errors> {
    let keys = keys(name)?;
    let asked = sites.iter().flat_map(|site| keys.iter().map(move |key| (site, key)));
    let answers = join_all(asked.map(async |(site, key)| (site, site.locks.find(key).await))).await;
    let mut found = Vec::new();
    for (site, answer) in answers {
        let lock = answer.map_err(|error| site.error("find the lock in", &error))?;
        found.extend(lock.map(|lock| (site, lock)));
    }
    match found.len() {
        0 => Err(not_held(config, name).into()),
        1 => Ok(found.remove(0)),
        _ => {
            let held: Vec<String> = found
                .iter()
                .map(|(site, lock)| format!("`{}` on `{}`", lock.state, site.backend.name))
                .collect();
            let message = format!("`{name}` may mean more than one lock: {}", held.join(", "));
            Err(CommandError::new(ExitStatus::Failure, message)
                .hinted("Give the key of the state, or name its backend by `--backend`.")
                .into())
        }
    }
}

/// Makes the error for a state that nobody holds the lock of.
fn not_held(config: &Config, name: &str) -> CommandError {
    let error = CommandError::new(ExitStatus::Failure, format!("nobody holds the lock on `{name}`"));
    let environments = || config.environments.iter().map(|environment| environment.name.as_str());
    let meant = name.split(['/', '@']).next().unwrap_or(name);
    let error = match likeliest(meant, environments()) {
        Some(likely) if !environments().any(|known| known == meant) => {
            error.hinted(format!("The configuration has no environment `{meant}`. Did you mean `{likely}`?"))
        }
        _ => error,
    };
    error.hinted("`underpin lock list` shows every lock that is held.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_an_address_a_key_or_either() {
        let meant = |name: &str| -> Vec<String> {
            keys(name).unwrap().into_iter().map(|key| key.to_string()).collect()
        };
        assert_eq!(meant("dev"), ["dev/main.tfstate"]);
        assert_eq!(meant("dev/vpc"), ["dev/vpc.tfstate", "dev/vpc"]);
        assert_eq!(meant("dev/main.tfstate"), ["dev/main.tfstate.tfstate", "dev/main.tfstate"]);
        assert_eq!(meant("Legacy/Main.tfstate"), ["Legacy/Main.tfstate"]);
        assert!(keys("Nothing").is_err());
    }
}
