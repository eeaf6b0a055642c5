//! `state backup --to DIR`: copies of all states, with what is needed to bring them back.

use std::path::Path;

use futures_util::TryStreamExt as _;

use super::super::interrupt::Interrupts;
use super::list::stored;
use super::{CommandResult, Context, Errors, Site, sites, states};
use crate::cli::state::BackupArgs;
use crate::error::{CommandError, ExitStatus};
use crate::report::{Copied, StatesTold, plural};
use crate::state::archive::Archive;
use crate::state::{StateKey, StateStore as _, Version};

pub(super) async fn run(context: &Context<'_>, args: &BackupArgs) -> CommandResult {
    if args.to.starts_with("s3:") {
        let message = "this version of underpin copies states to a folder, and not to a bucket";
        return Err(CommandError::new(ExitStatus::Usage, message)
            .hinted("Give a folder to `--to`, and bring it to the bucket with `aws s3 sync`.")
            .into());
    }
    if args.verify {
        return verify(context, &args.to);
    }
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let mut archive = Archive::open_or_begin(&args.to)?;
    let copying = copy_all(context, args, &config, &mut archive);
    let copied = interrupts.cut_short(Box::pin(copying)).await;
    // What was copied is kept, however it ended.
    archive.save()?;
    let copied = copied??;
    let total = plural(archive.copies().len(), "copy").replace("copys", "copies");
    let note = format!("Backup complete: {copied} new, {total} in `{}`.", args.to.display());
    context.reporter.note(&note).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}

async fn copy_all(
    context: &Context<'_>,
    args: &BackupArgs,
    config: &crate::config::Config,
    archive: &mut Archive,
) -> Result<usize, Errors> {
    let sites = sites(context, config).await?;
    let mut copied = 0;
    for site in &sites {
        for stored in stored(site).await? {
            for version in versions(site, &stored.state, args.all_versions).await? {
                if !archive.has(&site.backend.name, &stored.state, &version.id) {
                    copy(context, site, &stored.state, &version, archive).await?;
                    copied += 1;
                }
            }
        }
    }
    Ok(copied)
}

/// Returns the versions that are to be copied: the newest, or all; of a deleted state the newest that it had.
async fn versions(site: &Site<'_>, state: &StateKey, all: bool) -> Result<Vec<Version>, CommandError> {
    let states = states(site);
    let failed = |error| site.error("read the history of a state of", &error);
    let mut history = Box::pin(states.versions(state));
    let mut versions = Vec::new();
    while let Some(version) = history.try_next().await.map_err(failed)? {
        if version.size.is_some() {
            versions.push(version);
            if !all {
                break;
            }
        }
    }
    Ok(versions)
}

async fn copy(
    context: &Context<'_>,
    site: &Site<'_>,
    state: &StateKey,
    version: &Version,
    archive: &mut Archive,
) -> Result<(), CommandError> {
    let states = states(site);
    let failed = |error| site.error(&format!("read `{state}` in"), &error);
    let Some(bytes) = states.read(state, Some(&version.id)).await.map_err(failed)? else { return Ok(()) };
    let beginning = states.beginning(state, version).await.map_err(failed)?.unwrap_or_default();
    let path = archive.add(&site.backend.name, state, version, beginning, &bytes)?;
    let copied = Copied { state: state.clone(), version: version.id.clone(), path, outcome: Ok(()) };
    context.reporter.states(&StatesTold::Copied(&copied))?;
    Ok(())
}

/// Reads every copy back and compares it with the manifest.
fn verify(context: &Context<'_>, folder: &Path) -> CommandResult {
    let archive = Archive::open(folder)?;
    let mut damaged = 0;
    for copy in archive.copies() {
        if let Err(error) = archive.read(copy) {
            damaged += 1;
            let copied = Copied {
                state: StateKey::new(copy.state.clone()),
                version: copy.version.clone(),
                path: archive.path(copy),
                outcome: Err(error.to_string()),
            };
            context.reporter.states(&StatesTold::Copied(&copied)).map_err(CommandError::from)?;
        }
    }
    let note = format!(
        "Verified: {} of {} as they were copied.",
        archive.copies().len() - damaged,
        archive.copies().len()
    );
    context.reporter.note(&note).map_err(CommandError::from)?;
    Ok(if damaged == 0 { ExitStatus::Success } else { ExitStatus::Differences })
}
