//! `validate`: checks the configuration, offline.

use super::{CommandResult, Context};
use crate::error::{CommandError, ExitStatus};

pub(super) fn run(context: &Context<'_>) -> CommandResult {
    let config = context.config()?;
    let note = format!(
        "`{}` is valid: project `{}`, {} and {}.",
        context.global.config.display(),
        config.project,
        crate::report::plural(config.backends.len(), "backend"),
        crate::report::plural(config.environments.len(), "environment"),
    );
    context.reporter.note(&note).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}
