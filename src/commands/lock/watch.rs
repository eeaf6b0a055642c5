//! `lock watch`: tells locks as they are taken and released, until it is stopped. Reads only.
//!
//! One search for each interval, however many states there are: a lock that did not change is not read again.

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures_util::future::join_all;

use super::super::interrupt::Interrupts;
use super::{CommandResult, Context, Site, sites};
use crate::aws::{AwsError, Class};
use crate::cli::WatchArgs;
use crate::report::{LockEvent, LocksTold};
use crate::state::{Lock, LockStore as _, Search, StateKey, when};

type Seen = BTreeMap<StateKey, Lock>;

pub(super) async fn run(context: &Context<'_>, args: &WatchArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let sites = tokio::select! {
        sites = sites(context, &config) => sites?,
        status = interrupts.next() => return Ok(status),
    };
    let watching = async {
        let mut seen: Vec<Seen> = sites.iter().map(|_| Seen::new()).collect();
        loop {
            let looks = join_all(sites.iter().zip(&seen).map(|(site, known)| look(site, known))).await;
            let now = SystemTime::now();
            let mut next = Vec::with_capacity(seen.len());
            for ((site, look), known) in sites.iter().zip(looks).zip(seen) {
                match look {
                    Ok(locks) => {
                        for event in events(site, &known, &locks, now) {
                            context.reporter.locks(&LocksTold::Event(&event))?;
                        }
                        next.push(locks);
                    }
                    // What passes is waited for: the next look tells what happened meanwhile.
                    Err(error) if passes(&error) => {
                        context
                            .reporter
                            .warn(&format!("backend `{}` did not answer: {error}", site.backend.name));
                        next.push(known);
                    }
                    Err(error) => return Err(site.error("watch the locks of", &error)),
                }
            }
            seen = next;
            tokio::time::sleep(args.interval).await;
        }
    };
    tokio::select! {
        failed = Box::pin(watching) => failed.map_err(Into::into),
        status = interrupts.next() => Ok(status),
    }
}

async fn look(site: &Site<'_>, known: &Seen) -> Result<Seen, AwsError> {
    let mut seen = Seen::new();
    let search = Search { known: Some(known), ..Search::below(&site.prefixes) };
    let mut found = |lock: Lock| {
        seen.insert(lock.state.clone(), lock);
    };
    site.locks.list(search, &mut found).await?;
    Ok(seen)
}

fn passes(error: &AwsError) -> bool {
    matches!(error.class, Class::Throttled | Class::Unreachable | Class::Conflict | Class::TimedOut)
}

/// Returns what happened between two looks, releases first: what was released may have been taken again.
fn events(site: &Site<'_>, before: &Seen, after: &Seen, now: SystemTime) -> Vec<LockEvent> {
    let event = |lock: &Lock, released_after| LockEvent {
        at: now,
        backend: site.backend.name.clone(),
        lock: lock.clone(),
        released_after,
    };
    let same =
        |lock: &Lock, others: &Seen| others.get(&lock.state).is_some_and(|other| is_same_hold(lock, other));
    let released = before.values().filter(|lock| !same(lock, after)).map(|lock| {
        let held = lock.taken_at().map(|taken| when::since(taken, now)).unwrap_or_default();
        event(lock, Some(held))
    });
    let taken = after.values().filter(|lock| !same(lock, before)).map(|lock| event(lock, None));
    released.chain(taken).collect()
}

/// Returns whether two locks are one holding: a pair that is seen half first is the same holder's.
fn is_same_hold(one: &Lock, other: &Lock) -> bool {
    match (one.id(), other.id()) {
        (Some(one), Some(other)) => one == other,
        _ => one.is_same(other),
    }
}
