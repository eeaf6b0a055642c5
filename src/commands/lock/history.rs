//! `lock history`: who held which lock, and for how long. Reads only.

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures_util::future::join_all;

use super::super::interrupt::Interrupts;
use super::{CommandResult, Context, Errors, Site, keys, sites, warn};
use crate::aws::{AwsError, Class};
use crate::cli::HistoryArgs;
use crate::error::{CommandError, ExitStatus};
use crate::names::BackendName;
use crate::report::{HistoryReport, LocksTold};
use crate::state::history::{End, Hold, Reach, States, Summary};
use crate::state::record::{RECORDS, Record, Unreadable, folder};
use crate::state::{Kind, LockStore as _, Search, StateKey};

pub(super) async fn run(context: &Context<'_>, args: &HistoryArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let since = args.since.map(|since| since.moment(context.now));
    let states = args.state.as_deref().map(keys).transpose()?;
    let reading = async {
        let sites = sites(context, &config).await?;
        let told = join_all(sites.iter().map(|site| read(site, states.as_deref(), since))).await;
        let (mut holds, mut errors): (Vec<(BackendName, Hold)>, Vec<_>) = (Vec::new(), Vec::new());
        for (site, told) in sites.iter().zip(told) {
            match told {
                Ok((told, warnings)) => {
                    holds.extend(told.into_iter().map(|hold| (site.backend.name.clone(), hold)));
                    warn(context, &warnings);
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(holds) } else { Err(Errors(errors)) }
    };
    let mut holds = interrupts.cut_short(Box::pin(reading)).await??;
    holds.sort_by_key(|(_, hold)| std::cmp::Reverse(hold.from));
    let mut summary = Summary::default();
    for (_, hold) in &holds {
        summary.add(hold);
    }
    let report = HistoryReport { holds, summary };
    let told = LocksTold::History { report: &report, now: context.now };
    context.reporter.locks(&told).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}

/// Reads the holdings on one backend, and what is to be warned of.
async fn read(
    site: &Site<'_>,
    states: Option<&[StateKey]>,
    since: Option<SystemTime>,
) -> Result<(Vec<Hold>, Vec<String>), CommandError> {
    let failed = |error: AwsError| site.error("read the history of the locks of", &error);
    let reaches: Vec<Reach> = match states {
        Some(states) => {
            states.iter().map(|state| States::One(state.clone())).map(|states| reach(states, since)).collect()
        }
        None => site
            .prefixes
            .iter()
            .map(|prefix| States::Below(prefix.clone()))
            .map(|states| reach(states, since))
            .collect(),
    };
    let mut found = Found::default();
    if site.locks.kinds().contains(&Kind::S3) {
        found.warnings.extend(unversioned(site).await.map_err(failed)?);
        for reach in &reaches {
            site.objects.lockfile_history(reach, &mut |hold| found.add(hold)).await.map_err(failed)?;
        }
    } else {
        for hold in held(site, states).await.map_err(failed)? {
            found.add(hold);
        }
    }
    for folder in folders(site, states).await.map_err(failed)? {
        let mut tell = |record| found.add_record(record, &reaches);
        site.objects.records(&folder, since, &mut tell).await.or_else(|error| {
            if error.class == Class::AccessDenied {
                found
                    .warnings
                    .push(format!("backend `{}`: records are not seen: {error}", site.backend.name));
                return Ok(());
            }
            Err(failed(error))
        })?;
    }
    Ok((found.holds, found.warnings))
}

fn reach(states: States, since: Option<SystemTime>) -> Reach {
    Reach { states, since, most: None }
}

/// Says that a bucket keeps no versions, so that its lock objects leave no trace.
async fn unversioned(site: &Site<'_>) -> Result<Option<String>, AwsError> {
    match site.objects.keeps_versions().await {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(format!(
            "the bucket `{}` keeps no versions: only locks that are held and records tell of the past",
            site.objects.bucket
        ))),
        Err(error) if error.class == Class::AccessDenied => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the locks that are held where they leave no versions.
async fn held(site: &Site<'_>, states: Option<&[StateKey]>) -> Result<Vec<Hold>, AwsError> {
    let mut locks = Vec::new();
    match states {
        Some(states) => {
            for state in states {
                locks.extend(site.locks.find(state).await?);
            }
        }
        None => {
            site.locks.list(Search::below(&site.prefixes), &mut |lock| locks.push(lock)).await?;
        }
    }
    let holds = locks.into_iter().filter_map(|lock| {
        let from = lock.taken_at()?;
        Some(Hold { info: lock.info().cloned(), state: lock.state, from, until: None, end: End::Held })
    });
    Ok(holds.collect())
}

/// Returns the folders of the records that may tell of these states.
async fn folders(site: &Site<'_>, states: Option<&[StateKey]>) -> Result<Vec<String>, AwsError> {
    let mut folders = match states {
        Some(states) => states.iter().map(folder).collect(),
        None if site.prefixes.iter().any(String::is_empty) => site.objects.folders(RECORDS).await?,
        None => site.prefixes.iter().map(|prefix| format!("{RECORDS}{prefix}")).collect::<Vec<_>>(),
    };
    folders.sort_unstable();
    folders.dedup();
    Ok(folders)
}

/// What was found, each holding once: a lock object's version and a record may tell of the same.
#[derive(Default)]
struct Found {
    holds: Vec<Hold>,
    /// Where the holding with this id is.
    by_id: BTreeMap<String, usize>,
    warnings: Vec<String>,
}

impl Found {
    fn add(&mut self, hold: Hold) {
        if let Some(info) = &hold.info {
            self.by_id.insert(info.id.clone(), self.holds.len());
        }
        self.holds.push(hold);
    }

    fn add_record(&mut self, record: Result<Record, Unreadable>, reaches: &[Reach]) {
        let record = match record {
            Ok(record) => record,
            Err(error) => return self.warnings.push(error.to_string()),
        };
        let Some(hold) =
            Hold::of_record(&record).filter(|hold| reaches.iter().any(|reach| reach.has(&hold.state)))
        else {
            return;
        };
        let known = hold.info.as_ref().and_then(|info| self.by_id.get(&info.id));
        match known.and_then(|index| self.holds.get_mut(*index)) {
            // The version knows the times, the record knows who ended it.
            Some(known) if known.end == End::Removed || known.end == End::RunEnded => known.end = hold.end,
            Some(_) => {}
            None => self.add(hold),
        }
    }
}
