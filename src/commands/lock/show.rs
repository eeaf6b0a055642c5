//! `lock show`: all of one lock, and what a release of it would do. Reads only.

use super::super::interrupt::Interrupts;
use super::{CommandResult, Context, Errors, Site, find, sites, warn};
use crate::aws::{AwsError, Class};
use crate::cli::ShowArgs;
use crate::error::{CommandError, ExitStatus};
use crate::report::{LockRow, LocksTold, Shown, StateFacts};
use crate::state::history::{Hold, Reach, States};
use crate::state::judgement::Verdict;
use crate::state::survey::Terms;
use crate::state::{Kind, LockStore as _};

/// How many holdings are shown.
const SHOWN: usize = 5;

pub(super) async fn run(context: &Context<'_>, args: &ShowArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let terms = Terms { now: context.now, stale_after: args.judge.stale_after() };
    let reading = async {
        let sites = sites(context, &config).await?;
        let (site, lock) = find(&config, &sites, &args.state).await?;
        let (row, unseen) = site.judge(lock, terms).await?;
        let shown = read(site, row, terms).await?;
        Ok::<_, Errors>((shown, unseen))
    };
    let (shown, unseen) = interrupts.cut_short(Box::pin(reading)).await??;
    context.reporter.locks(&LocksTold::Show(&shown)).map_err(CommandError::from)?;
    warn(context, &unseen);
    Ok(ExitStatus::Success)
}

/// Reads what else is known of a lock.
async fn read(site: &Site<'_>, row: LockRow, terms: Terms) -> Result<Shown, CommandError> {
    let failed = |error: AwsError| site.error("read the state and the history in", &error);
    let state = match row.surveyed.written {
        Some(written) => {
            let beginning = site.objects.beginning(&row.surveyed.lock.state, written).await;
            Some(StateFacts { written, beginning: beginning.or_else(unless_denied).map_err(failed)? })
        }
        None => None,
    };
    let history = history(site, &row).await.or_else(unless_denied).map_err(failed)?;
    let account_id = site.caller.account_id.to_string();
    let on_release = on_release(&row);
    Ok(Shown { row, account_id, state, history, on_release, now: terms.now })
}

async fn history(site: &Site<'_>, row: &LockRow) -> Result<Vec<Hold>, AwsError> {
    let mut history = Vec::new();
    if site.locks.kinds().contains(&Kind::S3) {
        let states = States::One(row.surveyed.lock.state.clone());
        let reach = Reach { states, since: None, most: Some(SHOWN) };
        site.objects.lockfile_history(&reach, &mut |hold| history.push(hold)).await?;
    }
    Ok(history)
}

/// Goes without what may not be read.
fn unless_denied<T: Default>(error: AwsError) -> Result<T, AwsError> {
    if error.class == Class::AccessDenied { Ok(T::default()) } else { Err(error) }
}

/// Says what a release of a lock would do.
fn on_release(row: &LockRow) -> String {
    let lock = &row.surveyed.lock;
    let places: Vec<&str> = lock
        .parts
        .iter()
        .map(|part| match part.kind {
            Kind::S3 => "the object",
            Kind::DynamoDb => "the item",
        })
        .collect();
    let removes = format!("removes {}, as long as it is what is shown here", places.join(" and then "));
    match (row.surveyed.judgement.verdict, lock.id()) {
        (Verdict::Broken, Some(_)) => format!("with `--id` and `--broken`, {removes}"),
        (Verdict::Broken, None) => format!("with `--broken`, {removes}"),
        (Verdict::Active, _) if row.surveyed.judgement.shown_alive => {
            format!("with `--id` and `--force`, {removes}; its holder is at work")
        }
        (Verdict::Active | Verdict::Finished | Verdict::Stale, _) => format!("with `--id`, {removes}"),
    }
}
