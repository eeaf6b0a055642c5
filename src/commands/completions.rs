//! `completions`: writes what a shell needs to complete our commands.

use clap::CommandFactory;

use super::{CommandResult, Context};
use crate::cli::{Cli, CompletionsArgs};
use crate::error::{CommandError, ExitStatus};

pub(super) fn run(context: &Context<'_>, args: &CompletionsArgs) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "underpin", &mut script);
    context.ui.out_bytes(&script).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}
