//! `render`: writes the backend files, or checks them.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::files::{Files, Mode};
use super::interrupt::Interrupts;
use super::prepare::{Located, locate, place};
use super::{CommandResult, Context, Errors};
use crate::cli::RenderArgs;
use crate::error::{CommandError, ExitStatus};
use crate::names::{KeyArn, Partition};
use crate::render::ByHand;
use crate::report::{FileReport, FileState};
use crate::resource::KmsKey;

pub(super) async fn run(context: &Context<'_>, args: &RenderArgs) -> CommandResult {
    let config = context.config()?;
    let files = Files::of(context, &config)?;
    let mut interrupts = Interrupts::listen()?;
    let located = interrupts.cut_short(Box::pin(locate(context, &config))).await??;
    let keys = join_all(located.iter().map(find_key));
    let mut facts = BTreeMap::new();
    for (located, key) in located.iter().zip(interrupts.cut_short(keys).await?) {
        facts.insert(located.backend.name.clone(), located.placed.facts(Some(key?)));
    }
    finish(context, args, &files.settle(context, &facts, args.mode())?)
}

/// Renders without asking AWS: the key by its alias, everything else from the configuration.
pub(super) fn run_offline(context: &Context<'_>, args: &RenderArgs) -> CommandResult {
    let config = context.config()?;
    let files = Files::of(context, &config)?;
    let mut errors = Vec::new();
    let mut facts = BTreeMap::new();
    for backend in &config.backends {
        let Some(account_id) = &backend.account_id else {
            errors.push(
                CommandError::new(
                    ExitStatus::Failure,
                    format!("the account of backend `{}` is not known offline", backend.name),
                )
                .hinted("Set `account_id` in the backend: it is part of what is rendered."),
            );
            continue;
        };
        let placed = place(&config, backend, account_id.clone(), Partition::of_region(&backend.region))?;
        facts.insert(backend.name.clone(), placed.facts(None));
    }
    if !errors.is_empty() {
        return Err(Errors(errors));
    }
    finish(context, args, &files.settle(context, &facts, args.mode())?)
}

impl RenderArgs {
    fn mode(&self) -> Mode {
        match (self.check, self.force) {
            (true, _) => Mode::Check,
            (false, true) => Mode::Write(ByHand::Replace),
            (false, false) => Mode::Write(ByHand::Keep),
        }
    }
}

async fn find_key(located: &Located<'_>) -> Result<KeyArn, CommandError> {
    let alias = located.placed.key_alias();
    let found = KmsKey::find_by_alias(&located.aws, alias)
        .await
        .map_err(|error| CommandError::caused(format!("failed to find the key `{alias}`"), &error))?;
    found.ok_or_else(|| {
        CommandError::new(
            ExitStatus::Failure,
            format!("backend `{}` has no key by its alias `{alias}`", located.backend.name),
        )
        .hinted("Run `underpin apply` first, or `underpin render --offline` to name the key by its alias.")
    })
}

fn finish(context: &Context<'_>, args: &RenderArgs, reports: &[FileReport]) -> CommandResult {
    let count = |wanted: fn(&FileState) -> bool| reports.iter().filter(|file| wanted(&file.state)).count();
    let refused = count(|state| matches!(state, FileState::Refused { .. }));
    let differing = count(|state| matches!(state, FileState::Missing | FileState::Differs));
    let written = count(|state| matches!(state, FileState::Created | FileState::Updated));
    if refused > 0 {
        return Ok(ExitStatus::Refused);
    }
    if differing > 0 {
        return Ok(ExitStatus::Differences);
    }
    let files = crate::report::plural(reports.len(), "file");
    let note = match (args.check, written) {
        (true, _) => format!("{files} as rendered."),
        (false, 0) => format!("No changes. {files} as rendered."),
        (false, written) => format!("{} written.", crate::report::plural(written, "file")),
    };
    context.reporter.note(&note).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}
