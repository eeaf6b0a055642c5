//! The command line: what may be typed, and what the help says. No behaviour.

mod lock;
pub mod state;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use lock::{
    HistoryArgs, JudgeArgs, ListArgs, LockArgs, LockCommand, ReleaseArgs, ShowArgs, StatusArgs, WatchArgs,
};
use state::StateArgs;

use crate::names::{AccountId, EnvironmentName, ProjectName, Region};

/// The variable that names the configuration's file.
pub const CONFIG_VARIABLE: &str = "UNDERPIN_CONFIG";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes:
  0    done, or nothing to do
  1    error
  2    differences: `plan --detailed-exitcode`, `render --check`
       findings: `state check`, `state backup --verify`
  3    refused, by a guard or by you
  64   usage
  130  interrupted (SIGINT)
  143  terminated (SIGTERM)";

/// A safe place for Terraform and OpenTofu state, and a keeper for it.
#[derive(Debug, Parser)]
#[command(name = "underpin", version, styles = STYLES, after_help = EXIT_CODES, propagate_version = true)]
#[command(infer_long_args = false, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Arguments of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = "underpin.hcl", env = CONFIG_VARIABLE)]
    pub config: PathBuf,
    /// Only this environment; may be given several times
    #[arg(long = "env", global = true, value_name = "NAME")]
    pub environments: Vec<String>,
    /// Only this backend; may be given several times
    #[arg(long = "backend", global = true, value_name = "NAME")]
    pub backends: Vec<String>,
    /// Write JSON: one object a line, the first with the format's number
    #[arg(long, global = true)]
    pub json: bool,
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Leave out progress and summaries; warnings and errors stay
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Show every call to AWS
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Limit for one connection, such as `3s`
    #[arg(long, global = true, value_name = "TIME", default_value = "5s", value_parser = parse_time)]
    pub connect_timeout: Duration,
    /// Limit for one attempt of a call
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    pub attempt_timeout: Duration,
    /// Limit for a call with all its attempts
    #[arg(long, global = true, value_name = "TIME", default_value = "2m", value_parser = parse_time)]
    pub total_timeout: Duration,
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// At a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a configuration for a new project
    Init(InitArgs),
    /// Check the configuration, offline
    Validate,
    /// Show what `apply` would do
    Plan(PlanArgs),
    /// Make what the configuration asks for, and write the backend files
    Apply(ApplyArgs),
    /// Write the backend files
    Render(RenderArgs),
    /// Show backends and environments at a glance
    Status(StatusArgs),
    /// See who holds a lock, release the right one, read the record
    Lock(LockArgs),
    /// Find the good version of a state, see what changed, bring it back
    State(StateArgs),
    /// Write completions for a shell
    Completions(CompletionsArgs),
    /// Write the man page
    Man(ManArgs),
}

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(
    after_help = "What is not given is asked for at a terminal; elsewhere `--project` and `--region` must be given."
)]
pub struct InitArgs {
    /// Name that prefixes everything that is created
    #[arg(long, value_name = "NAME")]
    pub project: Option<ProjectName>,
    /// AWS region of the state
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
    /// Account that everything must be in
    #[arg(long, value_name = "ID")]
    pub account_id: Option<AccountId>,
    /// Environment to begin with; may be given several times [default: dev, staging, prod]
    #[arg(id = "environment", long = "environment", value_name = "NAME")]
    pub environments: Vec<EnvironmentName>,
    /// Environment that may be torn down; may be given several times
    #[arg(long = "sandbox", value_name = "NAME")]
    pub sandboxes: Vec<EnvironmentName>,
    /// How a state is locked
    #[arg(long, value_name = "MODE", default_value = "dynamodb")]
    pub lock: Lock,
    /// What reads the backend files
    #[arg(long, value_name = "NAME", default_value = "terraform")]
    pub engine: EngineName,
}

/// How a state is locked, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lock {
    /// An item in a DynamoDB table.
    Dynamodb,
    /// A file beside the state, from version 1.10 of Terraform and OpenTofu on.
    S3,
    /// Both.
    Both,
}

/// What reads the backend files, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// `HashiCorp`'s Terraform.
    Terraform,
    /// OpenTofu.
    Opentofu,
}

/// What the commands that compare with the account share.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// Put a bucket or table that is encrypted with another key under ours
    #[arg(long)]
    pub replace_key: bool,
}

impl Command {
    /// Returns what the command writes on standard output.
    pub fn writes(&self) -> Writes {
        match self {
            Self::Init(_) | Self::Validate | Self::Plan(_) | Self::Apply(_) | Self::Render(_) => {
                Writes::Events
            }
            Self::Lock(args) => match args.command {
                LockCommand::List(_) | LockCommand::Show(_) | LockCommand::History(_) => Writes::Answer,
                LockCommand::Release(_) | LockCommand::Watch(_) => Writes::Events,
            },
            Self::State(args) => args.command.writes(),
            Self::Status(_) => Writes::Answer,
            Self::Completions(_) | Self::Man(_) => Writes::Document,
        }
    }
}

/// What a command writes on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// What it does, as it does it.
    Events,
    /// What was asked for, at once.
    Answer,
    /// A document, which is the same in words and in JSON.
    Document,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// What is compared how.
    #[command(flatten)]
    pub compare: CompareArgs,
    /// Exit with 2 where there is something to do
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// What is compared how.
    #[command(flatten)]
    pub compare: CompareArgs,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// Refuse any plan but the one with this digest, and do not ask
    #[arg(long, value_name = "DIGEST")]
    pub expect: Option<String>,
    /// Replace files that were written by hand
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `render`.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// Write nothing; exit with 2 where a file differs
    #[arg(long)]
    pub check: bool,
    /// Ask AWS nothing: name the key by its alias; needs `account_id`
    #[arg(long)]
    pub offline: bool,
    /// Replace files that were written by hand
    #[arg(long, conflicts_with = "check")]
    pub force: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Command to describe [default: the program]
    pub command: Option<String>,
}

/// Parses `500ms`, `5s`, `2m` or a number of seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| "a time looks like `500ms`, `5s` or `2m`".to_owned())?;
    let milliseconds = match text.get(digits.len()..) {
        Some("ms") => Some(number),
        Some("s" | "") => number.checked_mul(1_000),
        Some("m") => number.checked_mul(60_000),
        _ => return Err("a time ends in `ms`, `s` or `m`".to_owned()),
    };
    match milliseconds {
        Some(0) => Err("a limit is more than nothing".to_owned()),
        Some(milliseconds) if milliseconds <= 86_400_000 => Ok(Duration::from_millis(milliseconds)),
        _ => Err("a limit is a day at most".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_has_an_argument_by_the_id_of_a_global_one() {
        let cli = Cli::command();
        let global: Vec<_> = cli.get_arguments().map(clap::Arg::get_id).collect();

        for command in cli.get_subcommands() {
            for argument in command.get_arguments() {
                assert!(!global.contains(&argument.get_id()), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }

    #[test]
    fn times_have_units_and_bounds() {
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_time("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["", "s", "5h", "-1s", "1.5s", "0s", "99999999999999999999m", "2000m"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
