//! `plan`: shows what `apply` would do. Never writes.

use super::files::Files;
use super::interrupt::Interrupts;
use super::prepare::{Prepared, prepare};
use super::{CommandResult, Context};
use crate::backend::s3::OtherKey;
use crate::cli::{CompareArgs, PlanArgs};
use crate::engine::PlanDigest;
use crate::error::{CommandError, ExitStatus};
use crate::render::ByHand;
use crate::report::{BackendReport, FileReport, FileState, PlanReport};

pub(super) async fn run(context: &Context<'_>, args: &PlanArgs) -> CommandResult {
    let config = context.config()?;
    let files = Files::of(context, &config)?;
    let mut interrupts = Interrupts::listen()?;
    let prepared =
        interrupts.cut_short(Box::pin(prepare(context, &config, args.compare.other_key()))).await??;
    let files = files.compare(&prepared, ByHand::Keep)?;

    let digest = digest(&prepared, &files);
    let report = report(&prepared, &files, &digest);
    context.reporter.plan(&report).map_err(CommandError::from)?;

    if report.refusals().next().is_some() {
        return Ok(ExitStatus::Refused);
    }
    let differs = report.files_to_write() > 0 || prepared.iter().any(|prepared| !prepared.plan.is_empty());
    Ok(if differs && args.detailed_exitcode { ExitStatus::Differences } else { ExitStatus::Success })
}

impl CompareArgs {
    pub(super) fn other_key(&self) -> OtherKey {
        if self.replace_key { OtherKey::Replace } else { OtherKey::Refuse }
    }
}

/// Returns the digest of everything that `apply` would do.
pub(super) fn digest(prepared: &[Prepared<'_>], files: &[FileReport]) -> String {
    let mut digest = PlanDigest::default();
    for prepared in prepared {
        prepared.plan.digest_into(&mut digest);
    }
    for file in files.iter().filter(|file| matches!(file.state, FileState::Missing | FileState::Differs)) {
        digest.part("file");
        digest.part(&file.path.to_string_lossy());
    }
    digest.finish()
}

/// Puts together what is told of a plan.
pub(super) fn report<'a>(
    prepared: &'a [Prepared<'_>],
    files: &'a [FileReport],
    digest: &'a str,
) -> PlanReport<'a> {
    let backends = prepared
        .iter()
        .map(|prepared| BackendReport {
            plan: &prepared.plan,
            account_id: &prepared.caller.account_id,
            region: &prepared.backend.region,
        })
        .collect();
    PlanReport { backends, files, digest }
}
