//! `state diff STATE A B`: what changed between two versions, without secrets. Reads only.

use super::super::interrupt::Interrupts;
use super::{CommandResult, Context, Errors, Target, find, may_show, sites};
use crate::cli::state::DiffArgs;
use crate::error::{CommandError, ExitStatus};
use crate::report::{DiffReport, Labelled, StatesTold};
use crate::state::Version;
use crate::state::diff::{Difference, Secrets};
use crate::state::document::{Document, State};
use crate::state::timeline::Pick;

pub(super) async fn run(context: &Context<'_>, args: &DiffArgs) -> CommandResult {
    let are_shown = may_show(context, args.show_sensitive)?;
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let reading = async {
        let sites = sites(context, &config).await?;
        let target = find(&sites, &args.which.state).await?;
        let after = args.after.as_ref().unwrap_or(&Pick::Newest);
        let (before, after) = tokio::try_join!(target.read(&args.before), target.read(after))?;
        Ok::<_, Errors>(compare(&target, before, after, are_shown)?)
    };
    let report = interrupts.cut_short(Box::pin(reading)).await??;
    context.reporter.states(&StatesTold::Diff(&report)).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}

fn compare(
    target: &Target<'_, '_>,
    (before, before_bytes): (Version, Vec<u8>),
    (after, after_bytes): (Version, Vec<u8>),
    are_shown: bool,
) -> Result<DiffReport, CommandError> {
    let was = Document::parse(&before_bytes).map_err(|error| target.unreadable(&before.id, &error))?;
    let is = Document::parse(&after_bytes).map_err(|error| target.unreadable(&after.id, &error))?;
    let (Some(was), Some(is)) = (was.plain(), is.plain()) else {
        let message =
            format!("`{}` is encrypted by OpenTofu, and only OpenTofu can tell what changed", target.state);
        return Err(CommandError::new(ExitStatus::Failure, message));
    };
    let difference = difference(was, is, are_shown).map_err(|error| target.unreadable(&after.id, &error))?;
    Ok(DiffReport {
        state: target.state.clone(),
        before: labelled(&before, was.head.serial),
        after: labelled(&after, is.head.serial),
        difference,
    })
}

/// Compares two versions, with or without their secrets.
pub(super) fn difference(
    before: &State<'_>,
    after: &State<'_>,
    are_shown: bool,
) -> Result<Difference, crate::state::document::Unreadable> {
    let secrets = if are_shown { Secrets::shown() } else { Secrets::of(&[before, after])? };
    Difference::between(before, after, &secrets)
}

fn labelled(version: &Version, serial: u64) -> Labelled {
    Labelled { version: version.id.clone(), at: Some(version.at), serial }
}
