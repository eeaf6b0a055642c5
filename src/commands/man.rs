//! `man`: writes a man page, of the program or of one command.

use clap::CommandFactory;
use clap_mangen::Man;

use super::{CommandResult, Context};
use crate::cli::{Cli, ManArgs};
use crate::error::{CommandError, ExitStatus};

pub(super) fn run(context: &Context<'_>, args: &ManArgs) -> CommandResult {
    let mut program = Cli::command();
    // Fills in what subcommands inherit: global options and the version.
    program.build();
    let described = match &args.command {
        None => program,
        Some(name) => program.find_subcommand(name).cloned().ok_or_else(|| {
            let names: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
            CommandError::new(ExitStatus::Usage, format!("there is no command `{name}`"))
                .hinted(format!("The commands are {}.", names.join(", ")))
        })?,
    };
    let mut page = Vec::new();
    Man::new(described).render(&mut page).map_err(CommandError::from)?;
    context.ui.out_bytes(&page).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}
