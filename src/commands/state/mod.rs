//! `state`: find the good version, see what changed, bring it back.

mod backup;
mod check;
mod diff;
mod held;
mod list;
mod pin;
mod prune;
mod pull;
mod restore;
mod show;
mod versions;

use futures_util::TryStreamExt as _;
use futures_util::future::join_all;

use super::lock::{Site, keys, sites, warn};
use super::{CommandResult, Context, Errors};
use crate::aws::{AwsError, Class};
use crate::cli::state::{StateArgs, StateCommand};
use crate::error::{CommandError, ExitStatus};
use crate::names::KeyArn;
use crate::report::{Content, LiesUnder};
use crate::resource::KmsKey;
use crate::state::document::{Document, Unreadable};
use crate::state::timeline::{self, Pick};
use crate::state::{Encryption, S3States, StateKey, StateStore as _, Version};

pub(super) async fn run(context: &Context<'_>, args: &StateArgs) -> CommandResult {
    match &args.command {
        StateCommand::List => list::run(context).await,
        StateCommand::Versions(args) => versions::run(context, args).await,
        StateCommand::Show(args) => show::run(context, args).await,
        StateCommand::Pull(args) => pull::run(context, args).await,
        StateCommand::Diff(args) => diff::run(context, args).await,
        StateCommand::Restore(args) => restore::run(context, args).await,
        StateCommand::Check(args) => check::run(context, args).await,
        StateCommand::Backup(args) => backup::run(context, args).await,
        StateCommand::Prune(args) => Box::pin(prune::run(context, args)).await,
        StateCommand::Pin(args) => pin::pin(context, args).await,
        StateCommand::Unpin(args) => pin::unpin(context, args).await,
    }
}

/// A state that is meant, and where it is.
struct Target<'s, 'a> {
    site: &'s Site<'a>,
    state: StateKey,
    states: S3States,
}

/// Finds the state that is meant: the one that has, or had, a version.
async fn find<'s, 'a>(sites: &'s [Site<'a>], name: &str) -> Result<Target<'s, 'a>, Errors> {
    let keys = keys(name)?;
    let asked = sites.iter().flat_map(|site| keys.iter().map(move |key| (site, key)));
    let answers = join_all(asked.map(async |(site, key)| {
        let newest = Box::pin(states(site).versions(key)).try_next().await;
        (site, key, newest)
    }))
    .await;
    let mut found = Vec::new();
    for (site, key, newest) in answers {
        let newest = newest.map_err(|error| site.error("find the state in", &error))?;
        found.extend(newest.map(|_| Target { site, state: key.clone(), states: states(site) }));
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(CommandError::new(
            ExitStatus::Failure,
            format!("there is no state `{name}`, and there was none"),
        )
        .hinted("`underpin state list` shows every state.")
        .into()),
        _ => {
            let meant: Vec<String> = found
                .iter()
                .map(|target| format!("`{}` on `{}`", target.state, target.site.backend.name))
                .collect();
            let message = format!("`{name}` may mean more than one state: {}", meant.join(", "));
            Err(CommandError::new(ExitStatus::Failure, message)
                .hinted("Give the key of the state, or name its backend by `--backend`.")
                .into())
        }
    }
}

/// Returns the states of a backend, to be read.
fn states(site: &Site<'_>) -> S3States {
    S3States { objects: site.objects.clone(), key: None }
}

/// Returns the states of a backend, to be written under its key.
async fn writable(site: &Site<'_>) -> Result<S3States, CommandError> {
    let alias = &site.backend.key.alias;
    let key = find_key(site).await.map_err(|error| site.error("find the key of", &error))?;
    match key {
        Some(key) => Ok(S3States { objects: site.objects.clone(), key: Some(key) }),
        None => Err(CommandError::new(
            ExitStatus::Failure,
            format!("backend `{}` has no key by its alias `{alias}`", site.backend.name),
        )
        .hinted("Run `underpin apply` first.")),
    }
}

async fn find_key(site: &Site<'_>) -> Result<Option<KeyArn>, AwsError> {
    KmsKey::find_by_alias(&site.objects.aws, &site.backend.key.alias).await
}

/// Finds the backend's key where the caller may; what a state lies under is not known otherwise.
async fn find_key_or_go_without(
    context: &Context<'_>,
    site: &Site<'_>,
) -> Result<Option<KeyArn>, CommandError> {
    find_key(site).await.or_else(|error| {
        if error.class == Class::AccessDenied {
            let name = &site.backend.name;
            warn(
                context,
                &[format!("backend `{name}`: whether states are under its key is not seen: {error}")],
            );
            return Ok(None);
        }
        Err(site.error("find the key of", &error))
    })
}

/// Says which key an object lies under, by the backend's.
fn lies_under(encryption: &Encryption, key: Option<&KeyArn>) -> LiesUnder {
    match (encryption, key) {
        (Encryption::None, _) => LiesUnder::Nothing,
        (Encryption::Store, _) => LiesUnder::TheStores,
        (Encryption::Key(_), None) => LiesUnder::Unknown,
        (Encryption::Key(found), Some(ours)) if found == ours.as_str() => LiesUnder::OurKey,
        (Encryption::Key(found), Some(_)) => LiesUnder::AnotherKey(found.clone()),
    }
}

impl Target<'_, '_> {
    /// Makes the error for a call that failed; `doing` reads after "failed to" and before the state.
    fn error(&self, doing: &str, error: &AwsError) -> CommandError {
        CommandError::of_call(&format!("{doing} `{}`", self.state), error, Some(&self.site.caller))
    }

    /// Makes the error for a version that can't be read.
    fn unreadable(&self, version: &str, error: &Unreadable) -> CommandError {
        CommandError::caused(
            format!("version `{version}` of `{}` is no state that can be read", self.state),
            error,
        )
        .hinted(format!("`underpin state versions {}` shows which can.", self.state))
    }

    /// Finds a version and reads it.
    async fn read(&self, pick: &Pick) -> Result<(Version, Vec<u8>), CommandError> {
        let found = timeline::find(&self.states, &self.state, pick).await;
        let Some(version) = found.map_err(|error| self.error("find a version of", &error))? else {
            return Err(self.no_version(pick));
        };
        let read = self.states.read(&self.state, Some(&version.id)).await;
        match read.map_err(|error| self.error("read", &error))? {
            Some(bytes) => Ok((version, bytes)),
            None => Err(self.no_version(pick)),
        }
    }

    /// Makes the error for a version that is not there.
    fn no_version(&self, pick: &Pick) -> CommandError {
        let state = &self.state;
        let message = match pick {
            Pick::Newest => format!("`{state}` is deleted"),
            Pick::Id(id) => format!("`{state}` has no version `{id}`"),
            Pick::Serial(serial) => format!("`{state}` has no version with the serial {serial}"),
            Pick::At(moment) => {
                format!("`{state}` was not there at {}", crate::state::when::to_the_second(*moment))
            }
        };
        CommandError::new(ExitStatus::Failure, message)
            .hinted(format!("`underpin state versions {state}` shows every version."))
    }
}

/// Says what a version's bytes hold.
fn content(parsed: &Result<Document<'_>, Unreadable>) -> Content {
    match parsed {
        Ok(Document::Plain(state)) => Content::Plain { head: state.head.clone(), resources: state.count() },
        Ok(Document::Encrypted(head)) => Content::Encrypted(head.clone()),
        Err(error) => Content::Unreadable(error.to_string()),
    }
}

/// Refuses to show secrets where nobody sees that they are shown.
fn may_show(context: &Context<'_>, wanted: bool) -> Result<bool, CommandError> {
    if wanted && !context.ui.is_seen() {
        return Err(CommandError::refused("`--show-sensitive` shows secrets at a terminal only")
            .hinted("`underpin state pull` writes the whole state, secrets and all."));
    }
    Ok(wanted)
}
