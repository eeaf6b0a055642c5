//! `state prune`: what nothing needs any more and no lifecycle rule can select, shown first, archived, and removed.

use std::time::SystemTime;

use super::super::interrupt::Interrupts;
use super::super::question::approve;
use super::held::run_to_end;
use super::{CommandResult, Context, Errors, Site, sites};
use crate::aws::AwsError;
use crate::cli::state::PruneArgs;
use crate::error::{CommandError, ExitStatus};
use crate::report::{ExcessRow, StatesTold, plural};
use crate::state::StateKey;
use crate::state::prune::{Excess, Terms};

pub(super) async fn run(context: &Context<'_>, args: &PruneArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let sites = interrupts.cut_short(Box::pin(sites(context, &config))).await??;
    let reading = async {
        let mut excess = Vec::new();
        for site in &sites {
            let found = find(site, args.locks_since.moment(context.now)).await?;
            excess.extend(found.into_iter().map(|(state, excess)| (site, state, excess)));
        }
        Ok::<_, Errors>(excess)
    };
    let excess = interrupts.cut_short(Box::pin(reading)).await??;
    if excess.is_empty() {
        context.reporter.note("Nothing is to be removed.").map_err(CommandError::from)?;
        return Ok(ExitStatus::Success);
    }
    for (site, state, excess) in &excess {
        let row = ExcessRow {
            backend: site.backend.name.clone(),
            state: state.clone(),
            versions: excess.versions.len(),
            locks: excess.locks.len(),
            bytes: excess.bytes(),
        };
        context.reporter.states(&StatesTold::Excess(&row)).map_err(CommandError::from)?;
    }
    if !args.auto_approve {
        let question =
            format!("Remove this of {} for good? Only `yes` does it:", plural(excess.len(), "state"));
        approve(context, question, "Give `--auto-approve`.", &mut interrupts).await?;
    }
    let mut removed = 0;
    for site in &sites {
        let own = excess.iter().filter(|(of, ..)| std::ptr::eq(*of, site)).map(|(_, _, excess)| excess);
        removed +=
            run_to_end(context, &mut interrupts, Box::pin(remove(site, own.collect(), context.now))).await?;
    }
    let note = format!("Prune complete: {} removed.", plural(removed, "version"));
    context.reporter.note(&note).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}

async fn find(site: &Site<'_>, locks_since: SystemTime) -> Result<Vec<(StateKey, Excess)>, CommandError> {
    // The configuration has checked that it is 1 at least.
    let versions = usize::try_from(site.backend.bucket.keep_versions).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for prefix in &site.prefixes {
        let excess = site.objects.excess(prefix, Terms { versions, locks_since }).await;
        found.extend(excess.map_err(|error| site.error("list the versions of", &error))?);
    }
    Ok(found)
}

/// Archives what goes of the history of locks, then removes everything.
async fn remove(site: &Site<'_>, excess: Vec<&Excess>, now: SystemTime) -> Result<usize, CommandError> {
    let failed = |error: AwsError| site.error("remove versions of", &error);
    let locks: Vec<_> = excess.iter().flat_map(|excess| excess.locks.iter().cloned()).collect();
    let versions: Vec<_> = excess.iter().flat_map(|excess| excess.versions.iter().cloned()).collect();
    if !locks.is_empty() {
        let archived = site.objects.archive_locks(&locks, now).await;
        archived.map_err(|error| site.error("archive the history of locks of", &error))?;
    }
    site.objects.remove(&locks).await.map_err(failed)?;
    site.objects.remove(&versions).await.map_err(failed)?;
    Ok(locks.len() + versions.len())
}
