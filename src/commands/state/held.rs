//! What is done under a lock of our own: finished once begun.

use std::pin::pin;
use std::time::SystemTime;

use uuid::Uuid;

use super::super::interrupt::Interrupts;
use super::{Context, Site};
use crate::aws::AwsError;
use crate::error::CommandError;
use crate::state::{HoldError, Lock, LockInfo, LockStore as _, StateKey, hold, when};

/// Runs what must not be left halfway: the first signal is heard and waits, the second one ends at once.
pub(super) async fn run_to_end<T>(
    context: &Context<'_>,
    interrupts: &mut Interrupts,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return done,
        _ = interrupts.next() => {}
    }
    context.ui.status("Interrupted: finishing what was begun. Once more ends at once.");
    tokio::select! {
        done = &mut work => done,
        status = interrupts.next() => Err(CommandError::new(status, "interrupted with the lock held")
            .hinted("`underpin lock list` shows the lock that is left.")),
    }
}

/// Takes the lock on a state as Terraform would, does the work, and gives the lock back.
pub(super) async fn under_lock<T>(
    context: &Context<'_>,
    site: &Site<'_>,
    state: &StateKey,
    operation: &str,
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let info = LockInfo {
        id: Uuid::new_v4().to_string(),
        operation: operation.to_owned(),
        info: String::new(),
        who: site.caller.arn.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created: when::rfc3339(SystemTime::now()),
        path: site.locks.path(state),
    };
    context.ui.detail(format_args!("taking the lock on `{state}` with the id {}", info.id));
    Box::pin(hold(&site.locks, state, &info, work)).await.map_err(|error| failed(site, state, error))
}

fn failed(site: &Site<'_>, state: &StateKey, error: HoldError<AwsError, CommandError>) -> CommandError {
    match error {
        HoldError::Take { source, .. } => site.error(&format!("take the lock on `{state}` in"), &source),
        HoldError::Held(lock) => held(state, &lock),
        HoldError::Work(error) => error,
        HoldError::Lost(lock) => {
            CommandError::refused(format!("our lock on `{state}` was taken from us meanwhile"))
                .hinted(format!("`underpin lock show {state}` shows who holds it: {}.", holder(&lock)))
        }
        HoldError::Release { id, source, work, .. } => {
            let mut error = site.error(&format!("release our lock `{id}` on `{state}` in"), &source);
            error.causes.extend(work.map(|work| work.message));
            error.hinted(format!("`underpin lock release {state} --id {id}` releases it."))
        }
    }
}

/// Makes the refusal for a state that someone works on.
fn held(state: &StateKey, lock: &Lock) -> CommandError {
    let error = CommandError::refused(format!("the lock on `{state}` is held: {}", holder(lock)));
    error.hinted(match lock.id() {
        Some(id) => format!(
            "Wait until it is released. If nobody works on the state, `underpin lock release {state} --id {id}` \
             releases it."
        ),
        None => format!("`underpin lock show {state}` shows what is wrong with it."),
    })
}

fn holder(lock: &Lock) -> String {
    lock.info().map_or_else(
        || "by a lock that can't be read".to_owned(),
        |info| format!("{} by {} since {}", info.operation, info.who, info.created),
    )
}
