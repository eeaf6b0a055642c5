//! `state check`: what would stop Terraform, and what is not as safe as it should be.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::super::interrupt::Interrupts;
use super::held::{run_to_end, under_lock};
use super::list::stored;
use super::{
    CommandResult, Context, Errors, Site, find_key_or_go_without, lies_under, sites, states, writable,
};
use crate::aws::AwsError;
use crate::cli::state::CheckArgs;
use crate::error::{CommandError, ExitStatus};
use crate::names::KeyArn;
use crate::report::{Finding, Problem, Repair, StatesTold, plural};
use crate::state::digest::{Verdict, digest};
use crate::state::document::Document;
use crate::state::timeline::{Reading, timeline};
use crate::state::{S3States, StateKey, StateStore as _, Version};

/// How many states are looked at side by side.
const SIDE_BY_SIDE: usize = 8;
/// What is written into the lock while a state is put right.
const OPERATION: &str = "underpin state check";

pub(super) async fn run(context: &Context<'_>, args: &CheckArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let sites = interrupts.cut_short(Box::pin(sites(context, &config))).await??;
    let (mut left, mut failed, mut total) = (0, false, 0);
    for site in &sites {
        let found = interrupts.cut_short(Box::pin(check(context, site))).await??;
        for mut finding in found {
            total += 1;
            if args.repair && finding.repair == Repair::Possible {
                let repaired =
                    run_to_end(context, &mut interrupts, Box::pin(repair(context, site, &finding))).await;
                finding.repair = match repaired {
                    Ok(()) => Repair::Done,
                    Err(error) => Repair::Failed(with_causes(&error)),
                };
            }
            failed |= matches!(finding.repair, Repair::Failed(_));
            left += usize::from(finding.repair != Repair::Done);
            context.reporter.states(&StatesTold::Finding(&finding)).map_err(CommandError::from)?;
        }
    }
    let note = match (total, left) {
        (0, _) => "Every state is as it should be.".to_owned(),
        (total, 0) => format!("{} put right.", plural(total, "problem")),
        (_, left) => format!("{} left.", plural(left, "problem")),
    };
    context.reporter.note(&note).map_err(CommandError::from)?;
    Ok(match (left, failed) {
        (0, _) => ExitStatus::Success,
        (_, true) => ExitStatus::Failure,
        (_, false) => ExitStatus::Differences,
    })
}

fn with_causes(error: &CommandError) -> String {
    let causes = error.causes.iter().map(String::as_str);
    std::iter::once(error.message.as_str()).chain(causes).collect::<Vec<_>>().join(": ")
}

/// Looks at every state of a backend, and at those that should be there.
async fn check(context: &Context<'_>, site: &Site<'_>) -> Result<Vec<Finding>, Errors> {
    let (stored, key) = tokio::try_join!(stored(site), find_key_or_go_without(context, site))?;
    let mut keys: BTreeSet<StateKey> = stored.into_iter().map(|stored| stored.state).collect();
    keys.extend(site.known.iter().cloned());
    let reading = Reading::default();
    let found: Vec<Vec<Finding>> = stream::iter(keys)
        .map(|state| check_one(site, state, key.as_ref(), &reading))
        .buffered(SIDE_BY_SIDE)
        .try_collect()
        .await
        .map_err(|error: AwsError| site.error("check the states of", &error))?;
    Ok(found.into_iter().flatten().collect())
}

async fn check_one(
    site: &Site<'_>,
    state: StateKey,
    key: Option<&KeyArn>,
    reading: &Reading,
) -> Result<Vec<Finding>, AwsError> {
    let store = states(site);
    let (newest, lineages) = history(&store, &state).await?;
    let mut problems = Vec::new();
    let mut md5 = None;
    if let Some(newest) = newest.filter(|newest| newest.size.is_some()) {
        let looked =
            reading.look(&store, &state, &newest, |bytes| (digest(&bytes), Document::parse(&bytes).err()));
        if let Some((digest, unreadable)) = looked.await? {
            md5 = Some(digest);
            let cure = format!("`underpin state versions {state}` shows which version can be restored.");
            problems
                .extend(unreadable.map(|why| (Problem::Unreadable, why.to_string(), Repair::ByHand(cure))));
        }
        let facts = store.facts(&state, Some(&newest.id)).await?;
        let complaint = facts.and_then(|facts| lies_under(&facts.encryption, key).complaint());
        problems.extend(
            complaint.map(|complaint| (Problem::OtherKey, format!("it is {complaint}"), Repair::Possible)),
        );
    }
    if lineages.len() > 1 {
        let lineages: Vec<String> = lineages.into_iter().map(|lineage| format!("`{lineage}`")).collect();
        let cure =
            "Compare the versions on both sides; `underpin state restore` takes those of the newest lineage.";
        problems.push((Problem::Lineages, lineages.join(", "), Repair::ByHand(cure.to_owned())));
    }
    problems.extend(digest_problem(site.digests.judge(&state, md5.as_deref()).await?, md5.is_some()));
    let finding = |(problem, detail, repair)| Finding {
        backend: site.backend.name.clone(),
        state: state.clone(),
        problem,
        detail,
        repair,
    };
    Ok(problems.into_iter().map(finding).collect())
}

/// Reads the newest thing that happened to a state, and every lineage of its history.
async fn history(
    store: &S3States,
    state: &StateKey,
) -> Result<(Option<Version>, BTreeSet<String>), AwsError> {
    let mut timeline = Box::pin(timeline(store, state));
    let (mut newest, mut lineages) = (None, BTreeSet::new());
    while let Some((version, beginning)) = timeline.try_next().await? {
        newest.get_or_insert(version);
        let lineage = beginning.and_then(|beginning| beginning.lineage);
        lineages.extend(lineage.filter(|lineage| !lineage.is_empty()));
    }
    Ok((newest, lineages))
}

fn digest_problem(verdict: Verdict, is_there: bool) -> Option<(Problem, String, Repair)> {
    let (problem, detail) = match verdict {
        Verdict::Right => return None,
        Verdict::Wrong if is_there => {
            (Problem::WrongDigest, "its digest is that of another content, and every run of Terraform fails")
        }
        Verdict::Wrong => {
            (Problem::WrongDigest, "it is not there, its digest is, and every run of Terraform fails")
        }
        Verdict::Missing => {
            (Problem::NoDigest, "nothing says what its content should be, so nothing checks it")
        }
        Verdict::Unreadable => (Problem::UnreadableDigest, "its digest is none, so nothing checks it"),
        Verdict::Stale => (
            Problem::StaleDigest,
            "a digest is left in the lock table, and stops whoever still locks there, or will again",
        ),
    };
    Some((problem, detail.to_owned(), Repair::Possible))
}

/// Puts one problem right, under the lock, by what is there then.
async fn repair(context: &Context<'_>, site: &Site<'_>, finding: &Finding) -> Result<(), CommandError> {
    let state = &finding.state;
    let store = if finding.problem == Problem::OtherKey { writable(site).await? } else { states(site) };
    let work = Box::pin(async {
        let failed = |error| site.error(&format!("put `{state}` right in"), &error);
        match store.read(state, None).await.map_err(failed)? {
            Some(bytes) => {
                let md5 = digest(&bytes);
                if finding.problem == Problem::OtherKey {
                    store.write(state, bytes).await.map_err(failed)?;
                }
                site.digests.settle(state, &md5).await.map_err(failed)
            }
            None => site.digests.clear(state).await.map_err(failed),
        }
    });
    under_lock(context, site, state, OPERATION, work).await
}
