//! `state restore STATE`: an earlier version brought back as the newest, under the lock.

use std::path::Path;

use super::super::interrupt::Interrupts;
use super::super::question::approve;
use super::diff::difference;
use super::held::{run_to_end, under_lock};
use super::list::stored;
use super::{CommandResult, Context, Errors, Site, Target, find, keys, may_show, sites, states, writable};
use crate::cli::state::RestoreArgs;
use crate::error::{CommandError, ExitStatus};
use crate::report::{Labelled, Proposal, Restored, StatesTold};
use crate::state::archive::Archive;
use crate::state::diff::Difference;
use crate::state::digest::{Verdict, digest};
use crate::state::document::{Document, State};
use crate::state::restore::{History, Restoration, RestoreError, Unfit, history};
use crate::state::timeline::{self, Pick};
use crate::state::{Pin, S3States, StateKey, StateStore as _};

/// What is written into the lock while a state is restored.
const OPERATION: &str = "underpin state restore";

pub(super) async fn run(context: &Context<'_>, args: &RestoreArgs) -> CommandResult {
    let are_shown = may_show(context, args.show_sensitive)?;
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let sites = interrupts.cut_short(Box::pin(sites(context, &config))).await??;
    let reading = async {
        let mut prepared = Vec::new();
        for target in targets(context, args, &sites).await? {
            prepared.extend(prepare(context, args, target, are_shown).await?);
        }
        Ok::<_, Errors>(prepared)
    };
    let prepared = interrupts.cut_short(Box::pin(reading)).await??;
    for prepared in &prepared {
        context.reporter.states(&StatesTold::Proposal(&prepared.proposal)).map_err(CommandError::from)?;
    }
    if prepared.iter().any(|prepared| !matches!(prepared.work, Work::Nothing)) && !args.auto_approve {
        approve(context, question(&prepared), "Give `--auto-approve`.", &mut interrupts).await?;
    }
    let mut errors = Vec::new();
    for prepared in prepared {
        let state = prepared.target.state.clone();
        match run_to_end(context, &mut interrupts, Box::pin(perform(context, prepared))).await {
            Ok((version, serial)) => {
                let restored = Restored { state, version, serial };
                context.reporter.states(&StatesTold::Restored(&restored)).map_err(CommandError::from)?;
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(ExitStatus::Success) } else { Err(Errors(errors)) }
}

/// A restoration that was shown and can be performed.
struct Prepared<'s, 'a> {
    target: Target<'s, 'a>,
    work: Work,
    proposal: Proposal,
}

/// What has to be done.
enum Work {
    /// Nothing: an earlier run did it all.
    Nothing,
    /// The digest of what is there is put right: an earlier run was stopped before it.
    Digest(String),
    /// The version is written.
    Write(Box<Restoration>),
}

/// Finds the states that are to be restored.
async fn targets<'s, 'a>(
    context: &Context<'_>,
    args: &RestoreArgs,
    sites: &'s [Site<'a>],
) -> Result<Vec<Target<'s, 'a>>, Errors> {
    if let Some(name) = &args.state {
        let found = find(sites, name).await;
        if args.from_archive.is_some() && found.is_err() {
            // What was destroyed has no history, and the configuration knows it.
            let keys = keys(name)?;
            let known =
                sites.iter().find_map(|site| Some((site, site.known.iter().find(|key| keys.contains(key))?)));
            if let Some((site, key)) = known {
                return Ok(vec![Target { site, state: key.clone(), states: states(site) }]);
            }
        }
        return Ok(vec![found?]);
    }
    if context.global.environments.is_empty() {
        let message = "it is not said which states are to be restored";
        return Err(CommandError::new(ExitStatus::Usage, message)
            .hinted("Give a STATE, or an environment by `--env`.")
            .into());
    }
    let mut targets = Vec::new();
    for site in sites {
        let found = stored(site).await?.into_iter();
        targets.extend(found.map(|stored| Target { site, state: stored.state, states: states(site) }));
    }
    Ok(targets)
}

/// Reads what is to be restored, and decides what has to be written; `None` where one of several states was not there.
async fn prepare<'s, 'a>(
    context: &Context<'_>,
    args: &RestoreArgs,
    mut target: Target<'s, 'a>,
    are_shown: bool,
) -> Result<Option<Prepared<'s, 'a>>, Errors> {
    target.states = writable(target.site).await?;
    let failed = |error| target.error("read the history of", &error);
    let (label, bytes) = match (&args.from_archive, args.pick(context.now)) {
        (Some(folder), _) => from_archive(folder, &target)?,
        (None, Some(pick)) => match candidate(&target, &pick).await? {
            Some(found) => found,
            None if args.state.is_none() => {
                context.reporter.warn(&format!("{}; it is left as it is", target.no_version(&pick).message));
                return Ok(None);
            }
            None => return Err(target.no_version(&pick).into()),
        },
        (None, None) => return Err(CommandError::new(ExitStatus::Usage, "no version is named").into()),
    };
    let history = history(&target.states, &target.state).await.map_err(failed)?;
    let restoration = Restoration::new(target.state.clone(), bytes, &history);
    let restoration = restoration.map_err(|error| unfit(&target, &label.version, &error))?;
    let current = current(&target, &history).await?;
    let is_done = current.as_deref().is_some_and(|current| restoration.is_done(current));
    let proposal = Proposal {
        backend: target.site.backend.name.clone(),
        state: target.state.clone(),
        candidate: Labelled { serial: restoration.head.serial, ..label },
        serial: restoration.serial,
        difference: changes(current.as_deref(), restoration.content(), are_shown),
        is_done,
    };
    let work = match current {
        Some(current) if is_done => what_is_left(&target, &current).await?,
        _ => Work::Write(Box::new(restoration)),
    };
    Ok(Some(Prepared { target, work, proposal }))
}

/// Reads the version that is meant, a pinned one too.
async fn candidate(
    target: &Target<'_, '_>,
    pick: &Pick,
) -> Result<Option<(Labelled, Vec<u8>)>, CommandError> {
    let Target { state, states, .. } = target;
    let failed = |error| target.error("read a version of", &error);
    if let Some(version) = timeline::find(states, state, pick).await.map_err(failed)? {
        let bytes = states.read(state, Some(&version.id)).await.map_err(failed)?;
        return Ok(
            bytes.map(|bytes| (Labelled { version: version.id, at: Some(version.at), serial: 0 }, bytes))
        );
    }
    let Pick::Id(id) = pick else { return Ok(None) };
    let pin = Pin::of(state, id);
    let bytes = states.read(&pin.key, None).await.map_err(failed)?;
    Ok(bytes.map(|bytes| (Labelled { version: pin.version, at: None, serial: 0 }, bytes)))
}

fn from_archive(folder: &Path, target: &Target<'_, '_>) -> Result<(Labelled, Vec<u8>), CommandError> {
    let archive = Archive::open(folder)?;
    let Some(copy) = archive.newest(&target.site.backend.name, &target.state) else {
        let message = format!("the archive `{}` has no copy of `{}`", folder.display(), target.state);
        return Err(CommandError::new(ExitStatus::Failure, message));
    };
    let bytes = archive.read(copy)?;
    Ok((Labelled { version: copy.version.clone(), at: copy.written_at(), serial: 0 }, bytes))
}

fn unfit(target: &Target<'_, '_>, version: &str, error: &Unfit) -> CommandError {
    match error {
        Unfit::Unreadable(error) => target.unreadable(version, error),
        Unfit::OtherLineage { .. } => {
            let mut refused = CommandError::caused(
                format!("version `{version}` is of another state than `{}`", target.state),
                error,
            );
            refused.status = ExitStatus::Refused;
            refused
                .hinted("`terraform state push -force` puts another state in its place, and takes no care.")
        }
    }
}

/// Reads what the state is now; `None` where it is deleted.
async fn current(target: &Target<'_, '_>, history: &History) -> Result<Option<Vec<u8>>, CommandError> {
    let Some(newest) = history.newest.as_ref().filter(|newest| newest.size.is_some()) else {
        return Ok(None);
    };
    let read = target.states.read(&target.state, Some(&newest.id)).await;
    read.map_err(|error| target.error("read", &error))
}

/// Tells what would change, or why that can't be told.
fn changes(current: Option<&[u8]>, content: &[u8], are_shown: bool) -> Result<Difference, String> {
    let after = Document::parse(content).map_err(|error| error.to_string())?;
    let Some(after) = after.plain() else { return Err("the version is encrypted by OpenTofu".to_owned()) };
    let nothing = State::default();
    let parsed = current.map(Document::parse);
    let before = match &parsed {
        None => &nothing,
        Some(Ok(Document::Plain(state))) => state,
        Some(Ok(Document::Encrypted(_))) => return Err("the state is encrypted by OpenTofu".to_owned()),
        Some(Err(error)) => return Err(format!("the newest version can't be read: {error}")),
    };
    difference(before, after, are_shown).map_err(|error| error.to_string())
}

/// Says what an earlier run left to be done.
async fn what_is_left(target: &Target<'_, '_>, current: &[u8]) -> Result<Work, CommandError> {
    let md5 = digest(current);
    let verdict = target.site.digests.judge(&target.state, Some(&md5)).await;
    Ok(match verdict.map_err(|error| target.error("read the digest of", &error))? {
        Verdict::Right => Work::Nothing,
        Verdict::Missing | Verdict::Wrong | Verdict::Unreadable | Verdict::Stale => Work::Digest(md5),
    })
}

fn question(prepared: &[Prepared<'_, '_>]) -> String {
    let states: Vec<String> = prepared
        .iter()
        .map(|prepared| {
            let site = prepared.target.site;
            format!("`{}` in account {}", prepared.target.state, site.caller.account_id)
        })
        .collect();
    format!("Restore {}? Only `yes` does it:", states.join(" and "))
}

/// Does what was shown; returns the id of what was written.
async fn perform(
    context: &Context<'_>,
    prepared: Prepared<'_, '_>,
) -> Result<(Option<String>, Option<u64>), CommandError> {
    let Prepared { target, work, proposal: _ } = prepared;
    let Target { site, state, states } = &target;
    match work {
        Work::Nothing => Ok((None, None)),
        Work::Digest(md5) => {
            let work = Box::pin(async {
                site.digests
                    .settle(state, &md5)
                    .await
                    .map_err(|error| target.error("put the digest right of", &error))
            });
            under_lock(context, site, state, OPERATION, work).await.map(|()| (None, None))
        }
        Work::Write(restoration) => {
            let serial = restoration.serial;
            let work = Box::pin(write(&target, *restoration, states));
            under_lock(context, site, state, OPERATION, work).await.map(|version| (Some(version), serial))
        }
    }
}

async fn write(
    target: &Target<'_, '_>,
    restoration: Restoration,
    states: &S3States,
) -> Result<String, CommandError> {
    restoration.perform(states, &target.site.digests).await.map_err(|error| failed(&target.state, &error))
}

/// Makes the error for a restoration that did not come to its end.
fn failed(state: &StateKey, error: &RestoreError) -> CommandError {
    let command = CommandError::of_error(error);
    match error {
        RestoreError::Changed => {
            let mut refused = command;
            refused.status = ExitStatus::Refused;
            refused.hinted("Run the command again: it shows what is there now.")
        }
        RestoreError::Look(_) => command.hinted("Run the command again."),
        RestoreError::Write(_) | RestoreError::ReadBack { .. } => command.hinted(format!(
            "Run the command again: where `{state}` is written already, only what is left is done."
        )),
        RestoreError::Digest { .. } => command.hinted(
            "Until the digest is right, Terraform stops. Run the command again, or `underpin state check --repair`.",
        ),
        RestoreError::Differs { .. } => {
            command.hinted(format!("`underpin state versions {state}` shows what was written since."))
        }
    }
}
