//! `status`: backends and environments at a glance. Reads only.

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures_util::future::join_all;

use super::interrupt::Interrupts;
use super::lock::{Site, sites, warn};
use super::prepare::{Prepared, prepare};
use super::{CommandResult, Context, Errors};
use crate::aws::{AwsError, Class};
use crate::backend::s3::OtherKey;
use crate::cli::StatusArgs;
use crate::config::Config;
use crate::engine::Action;
use crate::error::{CommandError, ExitStatus};
use crate::report::{Health, LocksTold, StatusRow, Tally};
use crate::state::history::{Reach, States};
use crate::state::survey::Terms;
use crate::state::versions::EntryKind;
use crate::state::{StateKey, when};

/// The folder of what underpin itself keeps in a bucket.
const OWN: &str = "underpin/";

pub(super) async fn run(context: &Context<'_>, args: &StatusArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let terms = Terms { now: context.now, stale_after: args.judge.stale_after() };
    let reading = async {
        let (prepared, sites) =
            tokio::join!(Box::pin(prepare(context, &config, OtherKey::Refuse)), sites(context, &config));
        let (prepared, sites) = (prepared?, sites?);
        let read = prepared.iter().zip(&sites).map(|(prepared, site)| read(&config, prepared, site, terms));
        let (mut rows, mut unseen, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for read in join_all(read).await {
            match read {
                Ok((row, missed)) => {
                    rows.push(row);
                    unseen.extend(missed);
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok((rows, unseen)) } else { Err(Errors(errors)) }
    };
    let (rows, unseen) = interrupts.cut_short(Box::pin(reading)).await??;
    let told = LocksTold::Status { rows: &rows, now: context.now };
    context.reporter.locks(&told).map_err(CommandError::from)?;
    warn(context, &unseen);
    Ok(ExitStatus::Success)
}

async fn read(
    config: &Config,
    prepared: &Prepared<'_>,
    site: &Site<'_>,
    terms: Terms,
) -> Result<(StatusRow, Vec<String>), CommandError> {
    let health = health(prepared);
    let mut environments: BTreeMap<String, Tally> = config
        .environments_on(&site.backend.name)
        .map(|environment| (environment.name.to_string(), Tally { is_known: true, ..Tally::default() }))
        .collect();
    let (mut locks, mut unseen) = (Vec::new(), Vec::new());
    if health != Health::Missing {
        let (survey, counted) = tokio::join!(site.survey(terms), count(site, &mut environments));
        let (rows, sight) = survey?;
        locks = rows;
        unseen = site.unseen(&sight);
        match counted {
            Err(error) if error.class == Class::AccessDenied => {
                unseen.push(format!("backend `{}`: states are not seen: {error}", site.backend.name));
            }
            counted => counted.map_err(|error| site.error("count the states of", &error))?,
        }
    }
    let row = StatusRow {
        backend: site.backend.name.clone(),
        account_id: site.caller.account_id.to_string(),
        region: site.backend.region.to_string(),
        health,
        locks,
        environments: environments.into_iter().collect(),
    };
    Ok((row, unseen))
}

/// Compares a backend with its configuration.
fn health(prepared: &Prepared<'_>) -> Health {
    let changes = &prepared.plan.changes;
    let refused = changes.iter().map(|change| change.refusals().len()).sum();
    let is_bucket = |kind: &str| kind == "s3_bucket";
    let bucket_is_missing =
        changes.iter().any(|change| is_bucket(change.address().kind) && change.action() == Action::Create);
    match (refused, changes.iter().filter(|change| change.action() != Action::NoOp).count()) {
        (0, _) if bucket_is_missing => Health::Missing,
        (0, 0) => Health::AsDesired,
        (0, differing) => Health::Differs(differing),
        (refused, _) => Health::Refused(refused),
    }
}

/// Counts states and versions by environment, a page at a time, and finds who wrote the latest.
async fn count(site: &Site<'_>, environments: &mut BTreeMap<String, Tally>) -> Result<(), AwsError> {
    for prefix in &site.prefixes {
        let mut pages = site.objects.versions(prefix);
        while let Some(page) = pages.next().await? {
            for entry in page {
                let EntryKind::Written(size) = entry.kind else { continue };
                let Some((environment, _)) = entry.key.split_once('/') else { continue };
                if entry.key.starts_with(OWN) || StateKey::of_lockfile(&entry.key).is_some() {
                    continue;
                }
                let tally = environments.entry(environment.to_owned()).or_default();
                tally.versions += 1;
                tally.version_bytes += size;
                if entry.is_latest {
                    tally.states += 1;
                    tally.bytes += size;
                }
                if entry.is_latest && tally.last.as_ref().is_none_or(|(_, at)| *at < entry.at) {
                    tally.last = Some((StateKey::new(entry.key), entry.at));
                }
            }
        }
    }
    let latest = environments.values_mut().map(async |tally| {
        let Some((state, at)) = tally.last.clone() else { return Ok(()) };
        tally.writer = writer(site, &state, at).await?;
        Ok(())
    });
    join_all(latest).await.into_iter().collect()
}

/// Returns who held the lock of a state when it was written, where lock objects tell.
async fn writer(site: &Site<'_>, state: &StateKey, at: SystemTime) -> Result<Option<String>, AwsError> {
    let reach = Reach { states: States::One(state.clone()), since: Some(at), most: None };
    let mut writer = None;
    let mut tell = |hold: crate::state::history::Hold| {
        // Both times are S3's own, to the second.
        if hold.from <= at && hold.until.is_none_or(|until| when::since(until, at).is_zero()) {
            writer = hold.info.map(|info| info.who);
        }
    };
    match site.objects.lockfile_history(&reach, &mut tell).await {
        Err(error) if error.class != Class::AccessDenied => Err(error),
        _ => Ok(writer),
    }
}
