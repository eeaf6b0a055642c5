//! `lock list`: every lock that is held. Reads only.

use futures_util::future::join_all;

use super::super::interrupt::Interrupts;
use super::{CommandResult, Context, Errors, Site, sites};
use crate::cli::ListArgs;
use crate::error::{CommandError, ExitStatus};
use crate::report::{LockRow, LocksTold};
use crate::state::survey::Terms;

pub(super) async fn run(context: &Context<'_>, args: &ListArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let reading = async {
        let sites = sites(context, &config).await?;
        survey(&sites, Terms { now: context.now, stale_after: args.judge.stale_after() }).await
    };
    let (locks, unseen) = interrupts.cut_short(Box::pin(reading)).await??;
    let told = LocksTold::List { locks: &locks, unseen: &unseen, now: context.now };
    context.reporter.locks(&told).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}

/// Finds and judges the locks of all backends, all at once.
pub(super) async fn survey(sites: &[Site<'_>], terms: Terms) -> Result<(Vec<LockRow>, Vec<String>), Errors> {
    let surveys = join_all(sites.iter().map(|site| site.survey(terms))).await;
    let (mut locks, mut unseen, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for (site, survey) in sites.iter().zip(surveys) {
        match survey {
            Ok((rows, sight)) => {
                locks.extend(rows);
                unseen.extend(site.unseen(&sight));
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok((locks, unseen)) } else { Err(Errors(errors)) }
}
