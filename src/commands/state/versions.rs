//! `state versions STATE`: its history, newest first, and what changed with each version. Reads only.
//!
//! Each version is told as soon as the one before it was looked at, so ten thousand take no more memory than a few.

use std::collections::BTreeSet;

use futures_util::{Stream, TryStreamExt as _};

use super::super::interrupt::Interrupts;
use super::{CommandResult, Context, Errors, Target, content, find, sites};
use crate::aws::AwsError;
use crate::cli::state::VersionsArgs;
use crate::error::{CommandError, ExitStatus};
use crate::report::{Content, StatesTold, VersionRow};
use crate::state::diff::Fingerprint;
use crate::state::document::{Document, Head};
use crate::state::timeline::Reading;
use crate::state::{StateStore as _, Version};

/// How many versions are asked for side by side; how many of them are in memory, their size decides.
const SIDE_BY_SIDE: usize = 16;

pub(super) async fn run(context: &Context<'_>, args: &VersionsArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let telling = async {
        let sites = sites(context, &config).await?;
        let target = find(&sites, &args.which.state).await?;
        tell(context, args, &target).await
    };
    interrupts.cut_short(Box::pin(telling)).await??;
    Ok(ExitStatus::Success)
}

async fn tell(context: &Context<'_>, args: &VersionsArgs, target: &Target<'_, '_>) -> Result<(), Errors> {
    let failed = |error: AwsError| target.error("read the history of", &error);
    let since = args.since.map(|since| since.moment(context.now));
    let pins = target.states.pins(&target.state).await.map_err(failed)?;
    let mut pinned: BTreeSet<String> = pins.into_iter().map(|pin| pin.version).collect();
    let reading = Reading::default();
    let mut history = Box::pin(look_at_each(target, &reading));
    let mut latest: Option<Looked> = None;
    loop {
        let earlier = history.try_next().await.map_err(failed)?;
        if let Some(version) = latest.take() {
            let row = row(target, version, earlier.as_ref(), &mut pinned);
            context.reporter.states(&StatesTold::Version(&row)).map_err(CommandError::from)?;
        }
        match earlier {
            Some(looked) if since.is_none_or(|since| looked.version.at >= since) => latest = Some(looked),
            Some(_) => return Ok(()),
            None => break,
        }
    }
    for version in pinned {
        let note = format!("The version `{version}` is gone, and pinned: `restore --version` takes it.");
        context.reporter.note(&note).map_err(CommandError::from)?;
    }
    Ok(())
}

/// What is kept of a version until the one before it was looked at.
struct Looked {
    version: Version,
    content: Content,
    fingerprint: Option<Fingerprint>,
}

fn look_at_each<'a>(
    target: &'a Target<'_, '_>,
    reading: &'a Reading,
) -> impl Stream<Item = Result<Looked, AwsError>> + 'a {
    let Target { state, states, .. } = target;
    let look = move |version: Version| async move {
        let looked = reading.look(states, state, &version, |bytes| {
            let parsed = Document::parse(&bytes);
            let fingerprint = parsed.as_ref().ok().and_then(Document::plain).map(Fingerprint::of);
            (content(&parsed), fingerprint)
        });
        let (content, fingerprint) = looked.await?.unwrap_or((Content::Gone, None));
        Ok(Looked { version, content, fingerprint })
    };
    states.versions(state).map_ok(look).try_buffered(SIDE_BY_SIDE)
}

fn row(
    target: &Target<'_, '_>,
    looked: Looked,
    earlier: Option<&Looked>,
    pinned: &mut BTreeSet<String>,
) -> VersionRow {
    let Looked { version, content, fingerprint } = looked;
    let before = match earlier {
        // The first version, and one after a deletion, came out of nothing.
        None => Some(Fingerprint::default()),
        Some(earlier) if earlier.version.size.is_none() => Some(Fingerprint::default()),
        Some(earlier) => earlier.fingerprint.clone(),
    };
    let changes = fingerprint.zip(before).map(|(after, before)| before.changes(&after));
    let heads = head(&content).zip(earlier.and_then(|earlier| head(&earlier.content)));
    let remarks = heads.map(|(after, before)| remarks(before, after)).unwrap_or_default();
    let is_pinned = pinned.remove(&version.id);
    VersionRow { state: target.state.clone(), version, content, changes, is_pinned, remarks }
}

fn head(content: &Content) -> Option<&Head> {
    match content {
        Content::Plain { head, .. } | Content::Encrypted(head) => Some(head),
        Content::Unreadable(_) | Content::Gone => None,
    }
}

/// Says what is strange about a version, by the one before it.
fn remarks(before: &Head, after: &Head) -> Vec<String> {
    let mut remarks = Vec::new();
    if before.lineage != after.lineage {
        remarks.push(format!("the lineage changed, from `{}` to `{}`", before.lineage, after.lineage));
    } else if after.serial < before.serial {
        remarks.push(format!("the serial went back, from {} to {}", before.serial, after.serial));
    } else if after.serial > before.serial.saturating_add(1) {
        remarks.push(format!(
            "the versions with the serials between {} and {} are gone",
            before.serial, after.serial
        ));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_strange_between_two_versions_is_said() {
        let head =
            |serial, lineage: &str| Head { serial, lineage: lineage.to_owned(), terraform_version: None };
        let said = |before, after| remarks(&before, &after);

        assert!(said(head(1, "l"), head(2, "l")).is_empty());
        assert!(said(head(2, "l"), head(2, "l")).is_empty());
        assert_eq!(
            said(head(1, "l"), head(5, "l")),
            ["the versions with the serials between 1 and 5 are gone"]
        );
        assert_eq!(said(head(5, "l"), head(3, "l")), ["the serial went back, from 5 to 3"]);
        assert_eq!(said(head(5, "l"), head(1, "m")), ["the lineage changed, from `l` to `m`"]);
    }
}
