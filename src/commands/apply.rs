//! `apply`: plans, asks, performs the plan, reads again what was written, and writes the backend files.

use std::collections::BTreeSet;
use std::pin::pin;

use futures_util::future::join_all;

use super::files::Files;
use super::interrupt::Interrupts;
use super::plan::{digest, report};
use super::prepare::{Prepared, prepare};
use super::{CommandResult, Context, Errors, question};
use crate::cli::ApplyArgs;
use crate::engine::{self, Action, Executed, Stop};
use crate::error::{CommandError, ExitStatus};
use crate::render::ByHand;
use crate::report::{AppliedReport, FileState, PlanReport};

pub(super) async fn run(context: &Context<'_>, args: &ApplyArgs) -> CommandResult {
    let config = context.config()?;
    let files = Files::of(context, &config)?;
    let by_hand = if args.force { ByHand::Replace } else { ByHand::Keep };
    let mut interrupts = Interrupts::listen()?;
    let prepared =
        interrupts.cut_short(Box::pin(prepare(context, &config, args.compare.other_key()))).await??;
    let planned_files = files.compare(&prepared, by_hand)?;

    let digest = digest(&prepared, &planned_files);
    let report = report(&prepared, &planned_files, &digest);
    context.reporter.plan(&report).map_err(CommandError::from)?;
    if report.refusals().next().is_some() {
        return Ok(ExitStatus::Refused);
    }
    if report.files_to_write() == 0 && prepared.iter().all(|prepared| prepared.plan.is_empty()) {
        return Ok(ExitStatus::Success);
    }
    approve(context, args, &report, &mut interrupts).await?;

    let (executed, interrupted) = execute(context, &prepared, &mut interrupts).await?;
    let mut errors: Vec<CommandError> = prepared
        .iter()
        .zip(&executed)
        .filter(|(_, executed)| !executed.failures.is_empty())
        .map(|(prepared, executed)| {
            CommandError::of_execution(&prepared.backend.name, executed, Some(&prepared.caller))
        })
        .collect();
    let mut files_written = 0;
    if interrupted.is_none() {
        for (prepared, executed) in prepared.iter().zip(&executed) {
            if !executed.failures.is_empty() {
                continue;
            }
            match files.write(context, prepared, executed.key.clone(), by_hand) {
                Ok(reports) => {
                    let written =
                        |state: &FileState| matches!(state, FileState::Created | FileState::Updated);
                    files_written += reports.iter().filter(|file| written(&file.state)).count();
                }
                Err(error) => errors.push(error),
            }
        }
    }
    let count = |action| prepared.iter().zip(&executed).map(|(p, e)| count_done(p, e, action)).sum();
    let applied = AppliedReport {
        executed: &executed.iter().collect::<Vec<_>>(),
        added: count(Action::Create),
        changed: count(Action::Update),
        files_written,
        failed: !errors.is_empty(),
        interrupted: interrupted.is_some(),
    };
    context.reporter.applied(&applied).map_err(CommandError::from)?;
    if !errors.is_empty() {
        return Err(Errors(errors));
    }
    Ok(interrupted.unwrap_or(ExitStatus::Success))
}

/// Returns once the plan may be performed.
async fn approve(
    context: &Context<'_>,
    args: &ApplyArgs,
    report: &PlanReport<'_>,
    interrupts: &mut Interrupts,
) -> Result<(), CommandError> {
    if let Some(expected) = &args.expect {
        if *expected == report.digest {
            return Ok(());
        }
        return Err(CommandError::refused(format!(
            "the plan has the digest {}, and {expected} was expected: the configuration or the account is not what it was",
            report.digest
        ))
        .hinted("Review the plan above, then give its digest to `--expect`."));
    }
    if args.auto_approve {
        return Ok(());
    }
    let places: Vec<String> = report
        .backends
        .iter()
        .map(|backend| format!("account {} in {}", backend.account_id, backend.region))
        .collect();
    let question = format!("Apply this plan to {}? Only `yes` does it:", places.join(" and "));
    let otherwise =
        "Give `--auto-approve`, or `--expect DIGEST` with the digest of a plan that was reviewed.";
    question::approve(context, question, otherwise, interrupts).await
}

/// Performs the plans of all backends side by side.
async fn execute(
    context: &Context<'_>,
    prepared: &[Prepared<'_>],
    interrupts: &mut Interrupts,
) -> Result<(Vec<Executed>, Option<ExitStatus>), CommandError> {
    let stop = Stop::default();
    let listener = |event: engine::Event<'_>| context.reporter.event(&event);
    let plans = prepared.iter().map(|prepared| engine::execute(&prepared.plan, &stop, &listener));
    let mut running = pin!(join_all(plans));
    let status = tokio::select! {
        executed = &mut running => return Ok((executed, None)),
        status = interrupts.next() => status,
    };
    stop.set();
    context.ui.status("Interrupted: waiting for the calls in flight. Once more ends at once.");
    tokio::select! {
        executed = &mut running => Ok((executed, Some(status))),
        status = interrupts.next() => Err(CommandError::new(status, "interrupted with calls in flight")
            .hinted("`underpin plan` shows what they did; `underpin apply` goes on from there.")),
    }
}

/// Returns how many resources this action was done to, whole.
fn count_done(prepared: &Prepared<'_>, executed: &Executed, action: Action) -> usize {
    let failed = executed.failures.iter().map(|failure| &failure.address);
    let not_begun = executed.not_begun.iter().map(|step| &step.address);
    let unfinished: BTreeSet<_> = failed.chain(not_begun).collect();
    let done: BTreeSet<_> = executed.done.iter().map(|step| &step.address).collect();
    prepared
        .plan
        .changes
        .iter()
        .filter(|change| change.action() == action)
        .filter(|change| done.contains(change.address()) && !unfinished.contains(change.address()))
        .count()
}
