//! The command line of `lock` and `status`.

use std::time::{Duration, SystemTime};

use clap::{ArgGroup, Args, Subcommand};

use crate::state::judgement::STALE_AFTER;
use crate::state::when;

/// Arguments of `lock`.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// What to do with locks.
    #[command(subcommand)]
    pub command: LockCommand,
}

/// What can be done with locks.
#[derive(Debug, Subcommand)]
pub enum LockCommand {
    /// Show every lock that is held, and what is to be thought of it
    List(ListArgs),
    /// Show all of one lock
    Show(ShowArgs),
    /// Release one lock, or several
    Release(ReleaseArgs),
    /// Show who held which lock, and for how long
    History(HistoryArgs),
    /// Show locks as they are taken and released, until stopped
    Watch(WatchArgs),
}

/// How locks are judged.
#[derive(Debug, Clone, Copy, Args)]
pub struct JudgeArgs {
    /// Age from which a lock counts as stale where nothing else is known, such as `90m`, `2h` or `1d` [default: 2h]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    stale_after: Option<Duration>,
}

impl JudgeArgs {
    /// Returns the age from which a lock counts as stale.
    pub fn stale_after(self) -> Duration {
        self.stale_after.unwrap_or(STALE_AFTER)
    }
}

/// Arguments of `lock list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How locks are judged.
    #[command(flatten)]
    pub judge: JudgeArgs,
}

/// Arguments of `lock show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// State: ENV, ENV/COMPONENT, ENV/COMPONENT@WORKSPACE, or the key of its object
    pub state: String,
    /// How locks are judged.
    #[command(flatten)]
    pub judge: JudgeArgs,
}

/// Arguments of `lock release`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["state", "all", "older_than", "holder", "broken"]).required(true).multiple(true))]
#[command(
    after_help = "One lock is released by its STATE and its `--id`, which is asked for at a terminal. Several are \
                  chosen by `--all`, `--older-than`, `--holder` or `--broken`, shown first, and released after a \
                  `yes` or with `--auto-approve`."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct ReleaseArgs {
    /// State: ENV, ENV/COMPONENT, ENV/COMPONENT@WORKSPACE, or the key of its object
    #[arg(conflicts_with_all = ["all", "older_than", "holder"])]
    pub state: Option<String>,
    /// Id of the lock
    #[arg(long, value_name = "ID", requires = "state")]
    pub id: Option<String>,
    /// Broken ones too: malformed, empty, or half of a pair
    #[arg(long)]
    pub broken: bool,
    /// Every lock
    #[arg(long)]
    pub all: bool,
    /// Locks that are older, such as `90m`, `2h` or `1d`
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    pub older_than: Option<Duration>,
    /// Locks of holders like this; `*` and `?` stand for anything
    #[arg(long, value_name = "GLOB")]
    pub holder: Option<String>,
    /// Active ones too
    #[arg(long)]
    pub force: bool,
    /// Why; kept in the record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask
    #[arg(long, conflicts_with = "state")]
    pub auto_approve: bool,
    /// How locks are judged.
    #[command(flatten)]
    pub judge: JudgeArgs,
}

/// Arguments of `lock history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// State: ENV, ENV/COMPONENT, ENV/COMPONENT@WORKSPACE, or the key of its object [default: all]
    pub state: Option<String>,
    /// Leave out what ended before: a time such as `2026-01-31T12:00:00Z`, or how long ago, such as `7d`
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub since: Option<Since>,
}

/// Arguments of `lock watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_span)]
    pub interval: Duration,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// How locks are judged.
    #[command(flatten)]
    pub judge: JudgeArgs,
}

/// A moment, as a person says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(SystemTime),
}

impl Since {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        when::parse(text)
            .map(Self::At)
            .or_else(|| parse_span(text).ok().map(Self::Ago))
            .ok_or_else(|| "a time looks like `2026-01-31T12:00:00Z`, `7d` or `2h`".to_owned())
    }

    /// Returns the moment that is meant.
    pub fn moment(self, now: SystemTime) -> SystemTime {
        match self {
            Self::At(moment) => moment,
            // Nothing happened before.
            Self::Ago(ago) => {
                now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::UNIX_EPOCH)
            }
        }
    }
}

/// Parses `30s`, `90m`, `2h` or `1d`.
fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || "a time span looks like `30s`, `90m`, `2h` or `1d`".to_owned();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = match text.get(digits.len()..) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3_600,
        Some("d") => 86_400,
        _ => return Err(wrong()),
    };
    match number.checked_mul(unit) {
        Some(0) | None => Err(wrong()),
        Some(seconds) => Ok(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit_and_are_more_than_nothing() {
        assert_eq!(parse_span("90m"), Ok(Duration::from_mins(90)));
        assert_eq!(parse_span("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(parse_span("1d"), Ok(Duration::from_hours(24)));
        for wrong in
            ["", "2", "0s", "-1h", "1.5h", "h", "2w", "99999999999999999999d", "9999999999999999999d"]
        {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_a_span_before_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(100);
        assert_eq!(Since::parse("2h").unwrap().moment(now), now - Duration::from_hours(2));
        let then = Since::parse("1970-01-01T01:00:00Z").unwrap();
        assert_eq!(then.moment(now), SystemTime::UNIX_EPOCH + Duration::from_hours(1));
        assert_eq!(Since::parse("900d").unwrap().moment(now), SystemTime::UNIX_EPOCH);
        assert!(Since::parse("yesterday").is_err());
    }
}
