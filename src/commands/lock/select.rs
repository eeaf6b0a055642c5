//! `lock release` of several: chosen by age, holder or all, shown before anything is done.

use futures_util::{StreamExt as _, stream};

use super::super::interrupt::Interrupts;
use super::super::question::approve;
use super::list::survey;
use super::release::{reason, release, status};
use super::{CommandResult, Context, Errors, glob, sites, warn};
use crate::cli::ReleaseArgs;
use crate::error::{CommandError, ExitStatus};
use crate::report::{Ended, LockRow, LocksTold, Outcome, plural};
use crate::state::judgement::Verdict;
use crate::state::survey::Terms;
use crate::state::when;

/// How many locks are released side by side.
const SIDE_BY_SIDE: usize = 8;

pub(super) async fn run(context: &Context<'_>, args: &ReleaseArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let terms = Terms { now: context.now, stale_after: args.judge.stale_after() };
    let reading = async {
        let sites = sites(context, &config).await?;
        let (locks, unseen) = survey(&sites, terms).await?;
        Ok::<_, Errors>((sites, locks, unseen))
    };
    let (sites, locks, unseen) = interrupts.cut_short(Box::pin(reading)).await??;
    warn(context, &unseen);

    let selected: Vec<(LockRow, Option<Ended>)> = locks
        .into_iter()
        .filter(|row| is_selected(row, args, terms))
        .map(|row| {
            let refused = is_refused(&row, args);
            (row, refused)
        })
        .collect();
    if selected.is_empty() {
        context.reporter.note("No lock is held that this selects.").map_err(CommandError::from)?;
        return Ok(ExitStatus::Success);
    }
    let told = LocksTold::Selected { locks: &selected, now: context.now };
    context.reporter.locks(&told).map_err(CommandError::from)?;
    let (free, refused): (Vec<_>, Vec<_>) = selected.into_iter().partition(|(_, ended)| ended.is_none());
    let mut worst = if refused.is_empty() { ExitStatus::Success } else { ExitStatus::Refused };
    if !free.is_empty() {
        if !args.auto_approve {
            let question = format!("Release {}? Only `yes` does it:", plural(free.len(), "lock"));
            let otherwise = "Give `--auto-approve` to release what is shown above.";
            approve(context, question, otherwise, &mut interrupts).await?;
        }
        let reason = reason(context, args, &mut interrupts).await?;
        let reason = reason.as_deref();
        // From here on a signal waits: what was begun is finished and recorded.
        let mut outcomes = stream::iter(free)
            .filter_map(async |(row, _)| {
                sites.iter().find(|site| site.backend.name == row.backend).map(|site| (site, row))
            })
            .map(|(site, row)| release(context, site, row.surveyed.lock, reason))
            .buffer_unordered(SIDE_BY_SIDE)
            .boxed_local();
        while let Some(outcome) = outcomes.next().await {
            worst = worst.max(status(&outcome.ended));
            context.reporter.locks(&LocksTold::Outcome(&outcome)).map_err(CommandError::from)?;
        }
    }
    for (LockRow { backend, surveyed, .. }, ended) in refused {
        let Some(ended) = ended else { continue };
        let outcome = Outcome { backend, lock: surveyed.lock, ended };
        context.reporter.locks(&LocksTold::Outcome(&outcome)).map_err(CommandError::from)?;
    }
    Ok(worst)
}

/// Returns whether a lock is among those that were asked for.
fn is_selected(row: &LockRow, args: &ReleaseArgs, terms: Terms) -> bool {
    let lock = &row.surveyed.lock;
    let is_broken = row.surveyed.judgement.verdict == Verdict::Broken;
    if is_broken && !args.broken {
        return false;
    }
    let is_old = args
        .older_than
        .is_none_or(|least| lock.taken_at().is_some_and(|taken| when::since(taken, terms.now) >= least));
    let is_like = args
        .holder
        .as_ref()
        .is_none_or(|pattern| lock.info().is_some_and(|info| glob::matches(pattern, &info.who)));
    let names_others = args.all || args.older_than.is_some() || args.holder.is_some();
    is_old && is_like && (is_broken || names_others)
}

/// Says why a lock stays though it is among those that were asked for.
fn is_refused(row: &LockRow, args: &ReleaseArgs) -> Option<Ended> {
    let judgement = &row.surveyed.judgement;
    let is_active = judgement.verdict == Verdict::Active && !args.force;
    is_active.then(|| Ended::Refused(format!("it is active ({}); `--force` releases it", judgement.evidence)))
}
