//! `state list`: every state of every backend. Reads only.

use std::collections::BTreeSet;

use futures_util::future::{join_all, try_join_all};

use super::super::interrupt::Interrupts;
use super::{
    CommandResult, Context, Errors, Site, content, find_key_or_go_without, lies_under, sites, states,
};
use crate::aws::AwsError;
use crate::error::{CommandError, ExitStatus};
use crate::names::KeyArn;
use crate::report::{Content, LiesUnder, ListRow, StatesTold};
use crate::state::document::Document;
use crate::state::timeline::Reading;
use crate::state::{StateKey, StateStore as _, StoredState};

pub(super) async fn run(context: &Context<'_>) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let reading = async {
        let sites = sites(context, &config).await?;
        let read = join_all(sites.iter().map(|site| read(context, site))).await;
        let (mut rows, mut errors) = (Vec::new(), Vec::new());
        for read in read {
            match read {
                Ok(more) => rows.extend(more),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(rows) } else { Err(Errors(errors)) }
    };
    let rows = interrupts.cut_short(Box::pin(reading)).await??;
    context
        .reporter
        .states(&StatesTold::List { rows: &rows, now: context.now })
        .map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}

/// Finds the states of one backend.
pub(super) async fn stored(site: &Site<'_>) -> Result<Vec<StoredState>, CommandError> {
    let mut stored = Vec::new();
    let listed = states(site).list(&site.prefixes, &mut |state| stored.push(state)).await;
    listed.map_err(|error| site.error("list the states of", &error))?;
    Ok(stored)
}

async fn read(context: &Context<'_>, site: &Site<'_>) -> Result<Vec<ListRow>, CommandError> {
    let (stored, key) = tokio::try_join!(stored(site), find_key_or_go_without(context, site))?;
    let known: BTreeSet<&StateKey> = site.known.iter().collect();
    let reading = Reading::default();
    let rows = stored.into_iter().map(async |stored| {
        let (content, lies_under) = look(site, &reading, &stored, key.as_ref()).await?;
        let is_known = is_known(&known, &stored.state);
        Ok(ListRow { backend: site.backend.name.clone(), stored, content, lies_under, is_known })
    });
    try_join_all(rows).await.map_err(|error: AwsError| site.error("read the states of", &error))
}

/// Returns whether the configuration knows a state, or one of another workspace of the same component.
fn is_known(known: &BTreeSet<&StateKey>, state: &StateKey) -> bool {
    let of_default = state.address().map(|address| address.in_default_workspace().key());
    known.contains(state) || of_default.is_some_and(|state| known.contains(&state))
}

/// Looks into the newest version of a state.
async fn look(
    site: &Site<'_>,
    reading: &Reading,
    stored: &StoredState,
    key: Option<&KeyArn>,
) -> Result<(Content, LiesUnder), AwsError> {
    let store = states(site);
    if stored.is_deleted() {
        return Ok((Content::Gone, LiesUnder::Unknown));
    }
    let (held, facts) = tokio::try_join!(
        reading.look(&store, &stored.state, &stored.newest, |bytes| content(&Document::parse(&bytes))),
        store.facts(&stored.state, Some(&stored.newest.id)),
    )?;
    let lies_under = facts.map_or(LiesUnder::Unknown, |facts| lies_under(&facts.encryption, key));
    Ok((held.unwrap_or(Content::Gone), lies_under))
}
