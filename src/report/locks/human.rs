//! Locks and states, for people.

use std::io;
use std::time::SystemTime;

use super::table::{self, plain};
use super::{
    Ended, Health, HistoryReport, LockEvent, LockRow, LocksTold, Outcome, Shown, StatusRow, Tally, kind_name,
    state_name,
};
use crate::report::plural;
use crate::state::history::{End, Hold};
use crate::state::{Kind, Lock, LockInfo, Part, StateAddress, when};
use crate::ui::{ADDED, CHANGED, FAINT, LOST, STRONG, Ui};

/// What stands where nothing is known.
const UNKNOWN: &str = "-";

/// Tells it.
pub(in crate::report) fn tell(ui: &Ui, told: &LocksTold<'_>) -> io::Result<()> {
    match told {
        LocksTold::List { locks, unseen, now } => list(ui, locks, unseen, *now),
        LocksTold::Show(shown) => show(ui, shown),
        LocksTold::Selected { locks, now } => selected(ui, locks, *now),
        LocksTold::Outcome(outcome) => ended(ui, outcome),
        LocksTold::History { report, now } => history(ui, report, *now),
        LocksTold::Event(event) => watched(ui, event),
        LocksTold::Status { rows, now } => rows.iter().try_for_each(|row| status(ui, row, *now)),
    }
}

fn list(ui: &Ui, locks: &[LockRow], unseen: &[String], now: SystemTime) -> io::Result<()> {
    if locks.is_empty() {
        // What can't be seen may be held.
        let word = if unseen.is_empty() { "No locks are held." } else { "No locks were seen." };
        ui.out(word)?;
    } else {
        let headings = [
            "BACKEND",
            "ENVIRONMENT",
            "COMPONENT",
            "WORKSPACE",
            "KIND",
            "HOLDER",
            "OPERATION",
            "AGE",
            "VERSION",
            "ID",
            "JUDGEMENT",
        ];
        let rows: Vec<_> = locks.iter().map(|row| lock_cells(row, now)).collect();
        table::write(ui, headings, &rows)?;
    }
    for unseen in unseen {
        ui.warn(unseen);
    }
    Ok(())
}

fn lock_cells(row: &LockRow, now: SystemTime) -> [String; 11] {
    let lock = &row.surveyed.lock;
    let state = &lock.state;
    let [environment, component, workspace] = state.address().map_or_else(
        // A key of another making: shown as it is.
        || {
            let environment = state.environment().map(|environment| environment.to_string());
            [environment.unwrap_or_else(|| UNKNOWN.to_owned()), plain(state.as_str()), UNKNOWN.to_owned()]
        },
        |StateAddress { environment, component, workspace }| {
            let workspace = workspace.unwrap_or_else(|| "default".to_owned());
            [environment.to_string(), component.to_string(), workspace]
        },
    );
    let said = |value: fn(&LockInfo) -> &String| {
        let value = lock.info().map(value).filter(|value| !value.is_empty());
        value.map_or_else(|| UNKNOWN.to_owned(), |value| plain(value))
    };
    [
        row.backend.to_string(),
        environment,
        component,
        workspace,
        kind_name(lock, row.kinds),
        said(|info| &info.who),
        said(|info| &info.operation),
        age(lock, now),
        said(|info| &info.version),
        said(|info| &info.id),
        judgement(row),
    ]
}

fn judgement(row: &LockRow) -> String {
    let judgement = &row.surveyed.judgement;
    format!("{} ({})", judgement.verdict, plain(&judgement.evidence))
}

fn age(lock: &Lock, now: SystemTime) -> String {
    lock.taken_at().map_or_else(|| UNKNOWN.to_owned(), |taken| when::span(when::since(taken, now)))
}

fn show(ui: &Ui, shown: &Shown) -> io::Result<()> {
    let Shown { row, account_id, state, history, on_release, now } = shown;
    let lock = &row.surveyed.lock;
    ui.out(format_args!(
        "{STRONG}{}{STRONG:#} on backend `{}`, account {account_id}\n",
        plain(&state_name(&lock.state)),
        row.backend
    ))?;
    let line = |name: &str, value: &str| ui.out(format_args!("  {FAINT}{name:<10}{FAINT:#} {value}"));
    if let Some(LockInfo { id, operation, info, who, version, created, path }) = lock.info() {
        line("holder", &plain(who))?;
        line("operation", &plain(operation))?;
        line("taken", &format!("{} ({} ago)", plain(created), age(lock, *now)))?;
        line("version", &plain(version))?;
        line("id", &plain(id))?;
        for (name, value) in
            [("info", info), ("path", path)].into_iter().filter(|(_, value)| !value.is_empty())
        {
            line(name, &plain(value))?;
        }
    }
    line("kind", &kind_name(lock, row.kinds))?;
    for part in &lock.parts {
        line("", &part_text(part))?;
    }
    line("judgement", &judgement(row))?;
    let state = state.as_ref().map_or_else(
        || "not there, or not to be read".to_owned(),
        |facts| {
            let beginning = facts.beginning.clone().unwrap_or_default();
            let by = beginning.terraform_version.map(|version| format!(" by {}", plain(&version)));
            let serial = beginning.serial.map(|serial| format!(", serial {serial}"));
            let relation = lock.taken_at().map(|taken| {
                let word = if facts.written.at < taken { "before" } else { "after" };
                format!(", {word} the lock was taken")
            });
            let parts = [by, serial, relation].into_iter().flatten().collect::<String>();
            format!("written {}{parts}", when::to_the_second(facts.written.at))
        },
    );
    line("state", &state)?;
    line("release", on_release)?;
    if !history.is_empty() {
        ui.out(format_args!("\n  {STRONG}History{STRONG:#}"))?;
        history.iter().try_for_each(|hold| ui.out(format_args!("    {}", hold_text(hold, *now))))?;
    }
    Ok(())
}

fn part_text(part: &Part) -> String {
    let place = match part.kind {
        Kind::S3 => "object",
        Kind::DynamoDb => "item",
    };
    let written = part.written.map(|at| format!(", written {}", when::to_the_second(at))).unwrap_or_default();
    match &part.info {
        Ok(info) => format!("{} {place}{written}, id {}", part.kind, plain(&info.id)),
        Err(why) => format!("{} {place}{written}: {}", part.kind, plain(&why.to_string())),
    }
}

fn hold_text(hold: &Hold, now: SystemTime) -> String {
    let who = hold.info.as_ref().map_or_else(|| "unknown".to_owned(), |info| plain(&info.who));
    let operation = hold.info.as_ref().map(|info| plain(&info.operation)).unwrap_or_default();
    let duration = when::span(hold.duration().unwrap_or_else(|| when::since(hold.from, now)));
    format!("{}  {duration}  {who}  {operation}  {}", when::to_the_second(hold.from), end_text(&hold.end))
}

fn end_text(end: &End) -> String {
    match end {
        End::Held => "held".to_owned(),
        End::Removed => "released".to_owned(),
        End::Replaced => "written over".to_owned(),
        End::Released { caller, reason } => {
            let reason = reason.as_ref().map(|reason| format!(": {}", plain(reason))).unwrap_or_default();
            format!("released by {}{reason}", plain(caller))
        }
        End::RunEnded => "ended".to_owned(),
    }
}

fn selected(ui: &Ui, locks: &[(LockRow, Option<Ended>)], now: SystemTime) -> io::Result<()> {
    let headings = ["", "STATE", "KIND", "HOLDER", "AGE", "ID", "JUDGEMENT"];
    let rows: Vec<_> = locks
        .iter()
        .map(|(row, ended)| {
            let lock = &row.surveyed.lock;
            let info = lock.info();
            let said =
                |value: Option<&String>| value.map_or_else(|| UNKNOWN.to_owned(), |value| plain(value));
            [
                if ended.is_some() { "refused" } else { "release" }.to_owned(),
                plain(&state_name(&lock.state)),
                kind_name(lock, row.kinds),
                said(info.map(|info| &info.who)),
                age(lock, now),
                said(info.map(|info| &info.id)),
                judgement(row),
            ]
        })
        .collect();
    table::write(ui, headings, &rows)
}

fn ended(ui: &Ui, outcome: &Outcome) -> io::Result<()> {
    let Outcome { backend: _, lock, ended } = outcome;
    let state = plain(&state_name(&lock.state));
    match ended {
        Ended::Released => ui.out(format_args!("{ADDED}Released{ADDED:#} the lock on {state}.")),
        Ended::Gone => ui.out(format_args!("The lock on {state} was gone already; nothing was touched.")),
        Ended::Changed(other) => {
            let holder = other.info().map_or_else(|| "another holder".to_owned(), |info| plain(&info.who));
            ui.out(format_args!(
                "{LOST}Refused:{LOST:#} the lock on {state} is {holder}'s by now; nothing was touched."
            ))
        }
        Ended::Refused(why) => ui.out(format_args!("{LOST}Refused:{LOST:#} {state}: {}", plain(why))),
        Ended::Failed(why) => ui.out(format_args!("{LOST}Failed:{LOST:#} {state}: {}", plain(why))),
    }
}

fn history(ui: &Ui, report: &HistoryReport, now: SystemTime) -> io::Result<()> {
    let HistoryReport { holds, summary } = report;
    if holds.is_empty() {
        return ui.out("No lock was held in that time, as far as anything tells.");
    }
    let headings = ["TAKEN", "HELD", "STATE", "HOLDER", "OPERATION", "ID", "END"];
    let rows: Vec<_> = holds
        .iter()
        .map(|(_, hold)| {
            let said = |value: fn(&LockInfo) -> &String| {
                hold.info.as_ref().map_or_else(|| UNKNOWN.to_owned(), |info| plain(value(info)))
            };
            [
                when::to_the_second(hold.from),
                when::span(hold.duration().unwrap_or_else(|| when::since(hold.from, now))),
                plain(&state_name(&hold.state)),
                said(|info| &info.who),
                said(|info| &info.operation),
                said(|info| &info.id),
                end_text(&hold.end),
            ]
        })
        .collect();
    table::write(ui, headings, &rows)?;
    let spans = summary.median().zip(summary.longest()).map(|(median, longest)| {
        format!(", half of them for {} or less, the longest for {}", when::span(median), when::span(longest))
    });
    let holders = summary.holders.iter().map(|(who, count)| format!("{} {count}", plain(who)));
    ui.out(format_args!(
        "\n{STRONG}{}{STRONG:#}{}. By holder: {}.",
        plural(summary.count(), "holding"),
        spans.unwrap_or_default(),
        holders.collect::<Vec<_>>().join(", ")
    ))
}

fn watched(ui: &Ui, event: &LockEvent) -> io::Result<()> {
    let LockEvent { at, backend, lock, released_after } = event;
    let who = lock.info().map_or_else(|| "unknown".to_owned(), |info| plain(&info.who));
    let operation = lock.info().map(|info| plain(&info.operation)).unwrap_or_default();
    let what = match released_after {
        None => format!("{CHANGED}taken{CHANGED:#}   "),
        Some(_) => format!("{ADDED}released{ADDED:#}"),
    };
    let after = released_after.map(|after| format!(" after {}", when::span(after))).unwrap_or_default();
    let state = plain(&state_name(&lock.state));
    ui.out(format_args!(
        "{} {what} {state} by {who} {operation}{after} ({backend})",
        when::to_the_second(*at)
    ))
}

fn status(ui: &Ui, row: &StatusRow, now: SystemTime) -> io::Result<()> {
    let StatusRow { backend, account_id, region, health, locks, environments } = row;
    ui.out(format_args!("{STRONG}Backend `{backend}`{STRONG:#} in {region}, account {account_id}"))?;
    let health = match health {
        Health::AsDesired => format!("{ADDED}as the configuration asks for{ADDED:#}"),
        Health::Differs(count) => {
            format!(
                "{CHANGED}{} to change{CHANGED:#}; `underpin plan` shows what",
                plural(*count, "resource")
            )
        }
        Health::Refused(count) => {
            format!("{LOST}{} in the way{LOST:#}; `underpin plan` shows what", plural(*count, "thing"))
        }
        Health::Missing => "not there; `underpin apply` makes it".to_owned(),
    };
    ui.out(format_args!("  health  {health}"))?;
    ui.out(format_args!("  locks   {} held\n", locks.len()))?;
    let headings = ["  ENVIRONMENT", "STATES", "SIZE", "VERSIONS", "SIZE", "LOCKS", "LAST WRITTEN", "BY"];
    let rows: Vec<_> = environments
        .iter()
        .map(|(environment, tally)| environment_cells(environment, tally, locks, now))
        .collect();
    table::write(ui, headings, &rows)?;
    ui.out("")
}

fn environment_cells(environment: &str, tally: &Tally, locks: &[LockRow], now: SystemTime) -> [String; 8] {
    let Tally { states, bytes, versions, version_bytes, last, writer, is_known } = tally;
    let held =
        locks.iter().filter(|row| row.surveyed.lock.state.as_str().starts_with(&format!("{environment}/")));
    let known = if *is_known { "" } else { " (not in the configuration)" };
    [
        format!("  {}{known}", plain(environment)),
        states.to_string(),
        size(*bytes),
        versions.to_string(),
        size(*version_bytes),
        held.count().to_string(),
        last.as_ref().map_or_else(
            || UNKNOWN.to_owned(),
            |(state, at)| {
                format!("{} ({} ago)", plain(&state_name(state)), when::span(when::since(*at, now)))
            },
        ),
        writer.as_ref().map_or_else(|| UNKNOWN.to_owned(), |writer| plain(writer)),
    ]
}

/// Writes a number of bytes, rounded, in a unit that leaves two digits or more.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while value >= 10 * 1_024
        && let Some(next) = units.next()
    {
        value = value.saturating_add(512) / 1_024;
        unit = next;
    }
    format!("{value} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_never_nothing_for_something() {
        for (bytes, text) in [
            (0, "0 B"),
            (10_239, "10239 B"),
            (10_240, "10 KiB"),
            (20_000_000, "19 MiB"),
            (u64::MAX, "17179869184 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
