//! The command line of `state`.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{ArgGroup, Args, Subcommand};

use super::Writes;
use super::lock::Since;
use crate::state::timeline::Pick;

/// Arguments of `state`.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// What to do with states.
    #[command(subcommand)]
    pub command: StateCommand,
}

/// What can be done with states.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// Show every state
    List,
    /// Show the versions of a state, newest first, and what changed with each
    Versions(VersionsArgs),
    /// Show what is in a state
    Show(ShowArgs),
    /// Write a state as it is to standard output, or to a file
    Pull(PullArgs),
    /// Show what changed between two versions of a state
    Diff(DiffArgs),
    /// Bring an earlier version back
    Restore(RestoreArgs),
    /// Look for what would stop Terraform, or is not as safe as it should be
    Check(CheckArgs),
    /// Copy states to a folder, with what is needed to bring them back
    Backup(BackupArgs),
    /// Remove versions that nothing needs any more, and no lifecycle rule can select
    Prune(PruneArgs),
    /// Keep a version for good
    Pin(PinArgs),
    /// Keep a version no longer than others
    Unpin(PinArgs),
}

impl StateCommand {
    /// Returns what the command writes on standard output.
    pub fn writes(&self) -> Writes {
        match self {
            Self::List | Self::Show(_) | Self::Diff(_) => Writes::Answer,
            Self::Pull(_) => Writes::Document,
            Self::Versions(_)
            | Self::Restore(_)
            | Self::Check(_)
            | Self::Backup(_)
            | Self::Prune(_)
            | Self::Pin(_)
            | Self::Unpin(_) => Writes::Events,
        }
    }
}

/// Which state.
#[derive(Debug, Clone, Args)]
pub struct WhichArgs {
    /// State: ENV, ENV/COMPONENT, ENV/COMPONENT@WORKSPACE, or the key of its object
    pub state: String,
}

/// Arguments of `state versions`.
#[derive(Debug, Args)]
pub struct VersionsArgs {
    /// Which state.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Leave out what was written before: a time such as `2026-01-31T12:00:00Z`, or how long ago, such as `7d`
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub since: Option<Since>,
}

/// Arguments of `state show`.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub struct ShowArgs {
    /// Which state.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Version: its id, or its serial [default: the newest]
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    pub version: Option<Pick>,
    /// Show sensitive values, at a terminal
    #[arg(long)]
    pub show_sensitive: bool,
}

/// Arguments of `state pull`.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub struct PullArgs {
    /// Which state.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Version: its id, or its serial [default: the newest]
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    pub version: Option<Pick>,
    /// File to write, readable for nobody else; one that is there is not replaced
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `state diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Which state.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Version before: its id, or its serial
    #[arg(value_parser = parse_version)]
    pub before: Pick,
    /// Version after [default: the newest]
    #[arg(value_parser = parse_version)]
    pub after: Option<Pick>,
    /// Show sensitive values, at a terminal
    #[arg(long)]
    pub show_sensitive: bool,
}

/// Arguments of `state restore`.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
#[command(group = ArgGroup::new("candidate").args(["version", "serial", "before", "from_archive"]).required(true))]
#[command(
    after_help = "With `--before` and no STATE, every state of the environments that `--env` names goes back to that \
                  moment. The serial of what is written is above every earlier one, so a plan that was saved before is \
                  refused by Terraform."
)]
pub struct RestoreArgs {
    /// State: ENV, ENV/COMPONENT, ENV/COMPONENT@WORKSPACE, or the key of its object
    #[arg(required_unless_present = "before")]
    pub state: Option<String>,
    /// Version with this id; a pinned one too
    #[arg(long, value_name = "ID")]
    pub version: Option<String>,
    /// Newest version with this serial
    #[arg(long, value_name = "N")]
    pub serial: Option<u64>,
    /// What the state was then: a time such as `2026-01-31T12:00:00Z`, or how long ago, such as `2h`
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub before: Option<Since>,
    /// Newest copy in a folder that `state backup` wrote
    #[arg(long, value_name = "DIR")]
    pub from_archive: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
    /// Show sensitive values, at a terminal
    #[arg(long)]
    pub show_sensitive: bool,
}

impl RestoreArgs {
    /// Returns which version is meant, unless it is one of an archive.
    pub fn pick(&self, now: SystemTime) -> Option<Pick> {
        let id = self.version.clone().map(Pick::Id);
        let serial = self.serial.map(Pick::Serial);
        id.or(serial).or(self.before.map(|before| Pick::At(before.moment(now))))
    }
}

/// Arguments of `state check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Put right, under the lock, what can be put right without a choice
    #[arg(long)]
    pub repair: bool,
}

/// Arguments of `state backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Folder; it is made where it is missing
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Every version, and not the newest alone
    #[arg(long, conflicts_with = "verify")]
    pub all_versions: bool,
    /// Copy nothing: read back what is there, and compare
    #[arg(long)]
    pub verify: bool,
}

/// Arguments of `state prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Keep the history of locks from here on: a time such as `2026-01-31T12:00:00Z`, or how long ago
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = Since::parse)]
    pub locks_since: Since,
    /// Do not ask
    #[arg(long)]
    pub auto_approve: bool,
}

/// Arguments of `state pin` and `state unpin`.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub struct PinArgs {
    /// Which state.
    #[command(flatten)]
    pub which: WhichArgs,
    /// Version: its id, or its serial
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    pub version: Pick,
}

/// Reads `latest`, a serial or the id of a version. Ids of S3 are never so short a number.
#[expect(clippy::unnecessary_wraps, reason = "clap calls it so")]
fn parse_version(text: &str) -> Result<Pick, String> {
    Ok(match text.parse() {
        Ok(serial) => Pick::Serial(serial),
        Err(_) if text == "latest" => Pick::Newest,
        Err(_) => Pick::Id(text.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_newest_a_serial_or_an_id() {
        assert_eq!(parse_version("latest"), Ok(Pick::Newest));
        assert_eq!(parse_version("12"), Ok(Pick::Serial(12)));
        let id = "3L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY";
        assert_eq!(parse_version(id), Ok(Pick::Id(id.to_owned())));
    }
}
