//! `lock release STATE`: the right lock and no other.
//!
//! What is released is the lock that was read and shown, byte for byte. A lock that changed hands while someone typed
//! is somebody else's.

use std::time::SystemTime;

use super::super::interrupt::Interrupts;
use super::super::question::ask;
use super::{CommandResult, Context, Errors, Site, find, sites, warn};
use crate::cli::ReleaseArgs;
use crate::error::{CommandError, ExitStatus};
use crate::report::{Ended, LockRow, LocksTold, Outcome};
use crate::state::judgement::Verdict;
use crate::state::record::{Event, Record};
use crate::state::survey::Terms;
use crate::state::{Lock, LockStore as _, Release};

pub(super) async fn run(context: &Context<'_>, args: &ReleaseArgs, name: &str) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let terms = Terms { now: context.now, stale_after: args.judge.stale_after() };
    let sites = interrupts.cut_short(Box::pin(sites(context, &config))).await??;
    let judging = async {
        let (site, lock) = find(&config, &sites, name).await?;
        let (row, unseen) = site.judge(lock, terms).await?;
        Ok::<_, Errors>((site, row, unseen))
    };
    let (site, row, unseen) = interrupts.cut_short(judging).await??;
    warn(context, &unseen);
    if let Some(refusal) = refusal(&row, args) {
        return Err(refusal.into());
    }
    identify(context, args, &row, &mut interrupts).await?;
    let reason = reason(context, args, &mut interrupts).await?;
    // From here on a signal waits: what was begun is finished and recorded.
    let outcome = release(context, site, row.surveyed.lock, reason.as_deref()).await;
    context.reporter.locks(&LocksTold::Outcome(&outcome)).map_err(CommandError::from)?;
    Ok(status(&outcome.ended))
}

/// Returns how the process ends after this.
pub(super) fn status(ended: &Ended) -> ExitStatus {
    match ended {
        Ended::Released | Ended::Gone => ExitStatus::Success,
        Ended::Changed(_) | Ended::Refused(_) => ExitStatus::Refused,
        Ended::Failed(_) => ExitStatus::Failure,
    }
}

/// Says why a lock is not released by what was asked for.
fn refusal(row: &LockRow, args: &ReleaseArgs) -> Option<CommandError> {
    let (lock, judgement) = (&row.surveyed.lock, &row.surveyed.judgement);
    let refused = |message: String| CommandError::refused(message);
    if judgement.verdict == Verdict::Broken && !args.broken {
        let message = format!("the lock on `{}` is broken: {}", lock.state, judgement.evidence);
        return Some(refused(message).hinted("`--broken` releases it all the same."));
    }
    if judgement.shown_alive && !args.force {
        let message = format!("the lock on `{}` is in use: {}", lock.state, judgement.evidence);
        return Some(
            refused(message).hinted("`--force` releases it all the same, and the holder is not told."),
        );
    }
    match (lock.id(), &args.id) {
        (Some(id), Some(given)) if id != given => {
            let holder = lock.info().map(|info| info.who.as_str()).unwrap_or_default();
            let message =
                format!("the lock on `{}` has the id {id}, held by {holder}, and not {given}", lock.state);
            Some(refused(message).hinted("`underpin lock show` shows all of it."))
        }
        (None, Some(given)) => Some(
            refused(format!("the lock on `{}` says no id, so it is not {given}", lock.state))
                .hinted("Leave `--id` out: `--broken` releases a lock that says none."),
        ),
        _ => None,
    }
}

/// Makes sure that the lock that is released is the one that is meant: by its id, or by a `yes` where it has none.
async fn identify(
    context: &Context<'_>,
    args: &ReleaseArgs,
    row: &LockRow,
    interrupts: &mut Interrupts,
) -> Result<(), CommandError> {
    if args.id.is_some() {
        return Ok(());
    }
    let lock = &row.surveyed.lock;
    let (wanted, question) = match lock.id() {
        Some(id) => (id, "Type the lock's id to release it:"),
        None => ("yes", "Release it? Only `yes` does it:"),
    };
    if !context.ui.can_ask() {
        return match lock.id() {
            None => Ok(()),
            Some(_) => Err(CommandError::new(
                ExitStatus::Failure,
                "there is no terminal to ask for the lock's id at",
            )
            .hinted("Give `--id ID`; `underpin lock list` shows it.")),
        };
    }
    let told = LocksTold::List { locks: std::slice::from_ref(row), unseen: &[], now: context.now };
    context.reporter.locks(&told)?;
    let answer = ask(context, question.to_owned(), interrupts).await?;
    if answer.as_deref() == Some(wanted) {
        Ok(())
    } else {
        Err(CommandError::refused("not confirmed; nothing was released"))
    }
}

/// Returns why a lock is released, asking where there is someone to ask.
pub(super) async fn reason(
    context: &Context<'_>,
    args: &ReleaseArgs,
    interrupts: &mut Interrupts,
) -> Result<Option<String>, CommandError> {
    if args.reason.is_some() || !context.ui.can_ask() {
        return Ok(args.reason.clone());
    }
    let answer = ask(context, "Why? It is kept in the record:".to_owned(), interrupts).await?;
    Ok(answer.filter(|answer| !answer.is_empty()))
}

/// Releases a lock and records it.
pub(super) async fn release(
    context: &Context<'_>,
    site: &Site<'_>,
    lock: Lock,
    reason: Option<&str>,
) -> Outcome {
    let ended = match site.locks.release(&lock).await {
        Ok(Release::Released) => {
            record(context, site, &lock, reason).await;
            Ended::Released
        }
        Ok(Release::Gone) => Ended::Gone,
        Ok(Release::Changed(other)) => Ended::Changed(other),
        Err(error) => {
            let failed = site.error("release a lock of", &error);
            context.reporter.error(&failed);
            Ended::Failed(error.to_string())
        }
    };
    Outcome { backend: site.backend.name.clone(), lock, ended }
}

/// Records a release. The lock is gone by now, so that a record which can't be written is a warning.
async fn record(context: &Context<'_>, site: &Site<'_>, lock: &Lock, reason: Option<&str>) {
    let reason = reason.map(str::to_owned);
    let record = Record::of(lock, Event::Release, &site.caller.arn, SystemTime::now(), reason);
    if let Err(error) = site.objects.record(&record).await {
        context.reporter.warn(&format!("the release is not recorded: {error}"));
    }
}
