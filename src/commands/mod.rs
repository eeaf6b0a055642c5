//! What each command does, a verb a file, and the way in.

mod apply;
mod completions;
mod files;
mod init;
mod interrupt;
mod lock;
mod man;
mod plan;
mod prepare;
mod question;
mod render;
mod state;
mod status;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Parser;

use crate::aws::Timeouts;
use crate::cli::{Cli, Command, GlobalArgs};
use crate::config::{self, Config};
use crate::error::{CommandError, ExitStatus};
use crate::report::{Reporter, reporter};
use crate::ui::{self, Ui};

/// Parses a command line, runs its command and returns how the process ends.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return ui::usage(&error).into(),
    };
    let Cli { global, command } = cli;
    let ui = Arc::new(Ui::new(&global));
    let reporter = reporter(&ui, global.json, command.writes());
    let context = Context { ui: &ui, reporter: &*reporter, global: &global, now: SystemTime::now() };
    let result = match command {
        Command::Init(args) => init::run(&context, &args),
        Command::Validate => validate::run(&context),
        Command::Plan(args) => block_on(plan::run(&context, &args)),
        Command::Apply(args) => block_on(apply::run(&context, &args)),
        Command::Render(args) if args.offline => render::run_offline(&context, &args),
        Command::Render(args) => block_on(render::run(&context, &args)),
        Command::Status(args) => block_on(status::run(&context, &args)),
        Command::State(args) => block_on(state::run(&context, &args)),
        Command::Lock(args) => block_on(lock::run(&context, &args)),
        Command::Completions(args) => completions::run(&context, &args),
        Command::Man(args) => man::run(&context, &args),
    };
    match result {
        Ok(status) => status.into(),
        Err(errors) => context.fail(&errors).into(),
    }
}

/// What every command is given.
pub(crate) struct Context<'a> {
    pub(crate) ui: &'a Arc<Ui>,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) global: &'a GlobalArgs,
    /// When the run began.
    pub(crate) now: SystemTime,
}

/// Why a command failed: several backends can fail at once.
#[derive(Debug)]
pub(crate) struct Errors(pub(crate) Vec<CommandError>);

impl<E: Into<CommandError>> From<E> for Errors {
    fn from(error: E) -> Self {
        Self(vec![error.into()])
    }
}

type CommandResult = Result<ExitStatus, Errors>;

impl Context<'_> {
    /// Reads the configuration, says its warnings, and narrows it to what was selected.
    fn config(&self) -> Result<Config, CommandError> {
        let loaded = config::load(&self.global.config)?;
        self.reporter.config_warnings(&loaded);
        Ok(loaded.config.select(&self.global.backends, &self.global.environments)?)
    }

    fn timeouts(&self) -> Timeouts {
        let GlobalArgs { connect_timeout, attempt_timeout, total_timeout, .. } = *self.global;
        Timeouts { connect: connect_timeout, attempt: attempt_timeout, total: total_timeout }
    }

    /// Tells the errors and returns the worst status.
    fn fail(&self, Errors(errors): &Errors) -> ExitStatus {
        for error in errors {
            self.reporter.error(error);
        }
        errors.iter().map(|error| error.status).max().unwrap_or(ExitStatus::Failure)
    }
}

/// Runs what calls AWS. Nothing else needs a runtime.
fn block_on(command: impl Future<Output = CommandResult>) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::caused("failed to begin", &error))?;
    let result = runtime.block_on(command);
    // A question that nobody will answer is still being read from the terminal.
    runtime.shutdown_background();
    result
}
