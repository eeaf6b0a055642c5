//! States, for people, in Terraform's words and symbols.

use std::io;
use std::time::SystemTime;

use anstyle::Style;

use super::super::human::{plural, shortened};
use super::super::locks::state_name;
use super::super::locks::table::{self, plain};
use super::{
    Content, Copied, DiffReport, ExcessRow, Finding, Kept, Labelled, ListRow, Proposal, Repair, Restored,
    ShownState, StatesTold, VersionRow,
};
use crate::state::diff::{Action, AttributeChange, Change, Counts, Difference, Shown};
use crate::state::{StateAddress, StateKey, when};
use crate::ui::{ADDED, CHANGED, FAINT, LOST, STRONG, Ui};

/// What stands where nothing is known.
const UNKNOWN: &str = "-";

/// Tells it.
pub(in crate::report) fn tell(ui: &Ui, told: &StatesTold<'_>) -> io::Result<()> {
    match told {
        StatesTold::List { rows, now } => list(ui, rows, *now),
        StatesTold::Version(row) => version(ui, row),
        StatesTold::Show(shown) => show(ui, shown),
        StatesTold::Diff(report) => diff(ui, report),
        StatesTold::Proposal(proposal) => propose(ui, proposal),
        StatesTold::Restored(restored) => restore(ui, restored),
        StatesTold::Finding(finding) => find(ui, finding),
        StatesTold::Copied(copied) => copy(ui, copied),
        StatesTold::Excess(ExcessRow { backend, state, versions, locks, bytes }) => ui.out(format_args!(
            "  {LOST}-{LOST:#} {STRONG}{}{STRONG:#} on `{backend}`: {}, {} of its locks, {}",
            name(state),
            plural(*versions, "version"),
            plural(*locks, "entry").replace("entrys", "entries"),
            size(*bytes)
        )),
        StatesTold::Kept(Kept { state, version, is_pinned }) => {
            let word = if *is_pinned { "is kept for good" } else { "is kept no longer than others" };
            ui.out(format_args!("Version `{}` of `{}` {word}.", plain(version), name(state)))
        }
    }
}

fn name(state: &StateKey) -> String {
    plain(&state_name(state))
}

fn list(ui: &Ui, rows: &[ListRow], now: SystemTime) -> io::Result<()> {
    if rows.is_empty() {
        return ui.out("There are no states.");
    }
    let headings = [
        "BACKEND",
        "ENVIRONMENT",
        "COMPONENT",
        "WORKSPACE",
        "SERIAL",
        "RESOURCES",
        "SIZE",
        "WRITTEN",
        "VERSIONS",
        "TERRAFORM",
        "REMARKS",
    ];
    let cells: Vec<_> = rows.iter().map(|row| row_cells(row, now)).collect();
    table::write(ui, headings, &cells)?;
    for row in rows {
        if let Some(complaint) = row.lies_under.complaint() {
            ui.warn(format_args!("`{}` is {complaint}", name(&row.stored.state)));
        }
    }
    Ok(())
}

fn row_cells(row: &ListRow, now: SystemTime) -> [String; 11] {
    let ListRow { backend, stored, content, lies_under, is_known } = row;
    let [environment, component, workspace] = stored.state.address().map_or_else(
        || [UNKNOWN.to_owned(), plain(stored.state.as_str()), UNKNOWN.to_owned()],
        |StateAddress { environment, component, workspace }| {
            let workspace = workspace.unwrap_or_else(|| "default".to_owned());
            [environment.to_string(), component.to_string(), plain(&workspace)]
        },
    );
    let (serial, resources, terraform) = match content {
        Content::Plain { head, resources } => (head.serial.to_string(), resources.to_string(), head),
        Content::Encrypted(head) => (head.serial.to_string(), UNKNOWN.to_owned(), head),
        Content::Unreadable(_) | Content::Gone => {
            (UNKNOWN.to_owned(), UNKNOWN.to_owned(), &crate::state::document::Head::default())
        }
    };
    let terraform = terraform.terraform_version.as_deref().map_or_else(|| UNKNOWN.to_owned(), plain);
    let remarks = [
        (!is_known).then(|| "not in the configuration".to_owned()),
        stored.is_deleted().then(|| "deleted".to_owned()),
        match content {
            Content::Plain { resources: 0, .. } => Some("empty".to_owned()),
            Content::Encrypted(_) => Some("encrypted by OpenTofu".to_owned()),
            Content::Unreadable(why) => Some(format!("unreadable: {why}")),
            Content::Plain { .. } | Content::Gone => None,
        },
        lies_under.complaint().map(|_| "not under our key".to_owned()),
    ];
    [
        backend.to_string(),
        environment,
        component,
        workspace,
        serial,
        resources,
        stored.newest.size.map_or_else(|| UNKNOWN.to_owned(), size),
        format!("{} ago", when::span(when::since(stored.newest.at, now))),
        stored.versions.to_string(),
        terraform,
        remarks.into_iter().flatten().collect::<Vec<_>>().join(", "),
    ]
}

/// Writes a size as people say it.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes >> 10) & 1_023) * 10 / 1_024),
    }
}

fn version(ui: &Ui, row: &VersionRow) -> io::Result<()> {
    let VersionRow { state: _, version, content, changes, is_pinned, remarks } = row;
    let serial = match content {
        Content::Plain { head, .. } | Content::Encrypted(head) => head.serial.to_string(),
        Content::Unreadable(_) | Content::Gone => UNKNOWN.to_owned(),
    };
    let what = match content {
        Content::Plain { resources, .. } => plural(*resources, "resource"),
        Content::Encrypted(_) => "encrypted by OpenTofu".to_owned(),
        Content::Unreadable(why) => format!("{LOST}unreadable:{LOST:#} {why}"),
        Content::Gone if version.size.is_none() => format!("{LOST}deleted{LOST:#}"),
        Content::Gone => "gone meanwhile".to_owned(),
    };
    let newest = if version.is_newest { "  newest" } else { "" };
    let pinned = if *is_pinned { "  pinned" } else { "" };
    let changes = changes.as_ref().filter(|counts| **counts != Counts::default());
    let changes = changes.map(|counts| format!("  {}", counts_text(counts))).unwrap_or_default();
    let size = version.size.map_or_else(|| UNKNOWN.to_owned(), size);
    ui.out(format_args!(
        "{STRONG}{serial:>6}{STRONG:#}  {}  {size:>9}  {FAINT}{}{FAINT:#}  {what}{changes}{newest}{pinned}",
        when::to_the_second(version.at),
        plain(&version.id)
    ))?;
    remarks
        .iter()
        .try_for_each(|remark| ui.out(format_args!("        {CHANGED}{}{CHANGED:#}", plain(remark))))
}

fn counts_text(counts: &Counts) -> String {
    let Counts { added, changed, removed, moved } = counts;
    let parts = [(added, "added"), (changed, "changed"), (removed, "removed"), (moved, "moved")];
    let told = parts.into_iter().filter(|(count, _)| **count > 0);
    told.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

fn show(ui: &Ui, shown: &ShownState) -> io::Result<()> {
    let ShownState { backend, state, facts, lies_under, content, resources, outputs } = shown;
    ui.out(format_args!("{STRONG}{}{STRONG:#} on backend `{backend}`\n", name(state)))?;
    let line = |name: &str, value: &str| ui.out(format_args!("  {FAINT}{name:<10}{FAINT:#} {value}"));
    let (head, what) = match content {
        Content::Plain { head, resources } => (Some(head), plural(*resources, "resource")),
        Content::Encrypted(head) => (Some(head), "encrypted by OpenTofu".to_owned()),
        Content::Unreadable(why) => (None, format!("unreadable: {why}")),
        Content::Gone => (None, "gone".to_owned()),
    };
    line("version", &plain(&facts.version))?;
    line("written", &when::to_the_second(facts.at))?;
    line("size", &size(facts.size))?;
    if let Some(head) = head {
        line("serial", &head.serial.to_string())?;
        line("lineage", &plain(&head.lineage))?;
        line("terraform", &head.terraform_version.as_deref().map_or_else(|| UNKNOWN.to_owned(), plain))?;
    }
    line("encryption", &lies_under.complaint().unwrap_or_else(|| "our key".to_owned()))?;
    line("content", &what)?;
    if !resources.is_empty() {
        ui.out(format_args!("\n  {STRONG}Resources{STRONG:#}"))?;
        resources.iter().try_for_each(|address| ui.out(format_args!("    {}", plain(address))))?;
    }
    if !outputs.outputs.is_empty() {
        ui.out(format_args!("\n  {STRONG}Outputs{STRONG:#}"))?;
        for Change { name, attributes, .. } in &outputs.outputs {
            for AttributeChange { path, after, .. } in attributes {
                ui.out(format_args!("    {} = {}", plain(&joined(name, path)), value(after.as_ref())))?;
            }
        }
    }
    Ok(())
}

/// Returns an output's name with the path into its value.
fn joined(name: &str, path: &str) -> String {
    if path.is_empty() || path.starts_with('[') { format!("{name}{path}") } else { format!("{name}.{path}") }
}

fn diff(ui: &Ui, report: &DiffReport) -> io::Result<()> {
    let DiffReport { state, before, after, difference } = report;
    ui.out(format_args!("{STRONG}{}{STRONG:#}: from {} to {}\n", name(state), label(before), label(after)))?;
    differences(ui, difference)
}

fn label(label: &Labelled) -> String {
    let at = label.at.map(|at| format!(" of {}", when::to_the_second(at))).unwrap_or_default();
    format!("serial {}{at} ({})", label.serial, plain(&label.version))
}

fn differences(ui: &Ui, difference: &Difference) -> io::Result<()> {
    if difference.is_empty() {
        return ui.out("No changes. Resources and outputs are the same.");
    }
    difference.resources.iter().try_for_each(|resource| change(ui, resource))?;
    if !difference.outputs.is_empty() {
        ui.out(format_args!("{STRONG}Changes to Outputs:{STRONG:#}"))?;
        for Change { name, attributes, .. } in &difference.outputs {
            attributes
                .iter()
                .try_for_each(|attribute| line(ui, "  ", &joined(name, &attribute.path), attribute))?;
        }
        ui.out("")?;
    }
    let told = |changes| match counts_text(&Counts::of(changes)) {
        nothing if nothing.is_empty() => "no changes".to_owned(),
        told => told,
    };
    ui.out(format_args!(
        "{STRONG}Resources:{STRONG:#} {}. {STRONG}Outputs:{STRONG:#} {}.",
        told(&difference.resources),
        told(&difference.outputs)
    ))
}

fn change(ui: &Ui, change: &Change) -> io::Result<()> {
    let Change { name, action, attributes } = change;
    let name = plain(name);
    let became = |style: Style, symbol: char, word: &str| {
        ui.out(format_args!("  {style}{symbol}{style:#} {STRONG}{name}{STRONG:#} was {word}"))
    };
    match action {
        Action::Added => became(ADDED, '+', "added")?,
        Action::Changed => became(CHANGED, '~', "changed")?,
        Action::Removed => became(LOST, '-', "removed")?,
        Action::Moved { from } => {
            ui.out(format_args!(
                "    {STRONG}{}{STRONG:#} has moved to {STRONG}{name}{STRONG:#}",
                plain(from)
            ))?;
        }
    }
    attributes.iter().try_for_each(|attribute| line(ui, "      ", &attribute.path, attribute))?;
    ui.out("")
}

fn line(ui: &Ui, indent: &str, path: &str, attribute: &AttributeChange) -> io::Result<()> {
    let AttributeChange { path: _, before, after } = attribute;
    let path = plain(path);
    match (before, after) {
        (_, Some(Shown::SensitiveUnchanged)) => {
            ui.out(format_args!("{indent}  {path} = (sensitive value, unchanged)"))
        }
        (Some(Shown::Sensitive), Some(Shown::Sensitive)) => {
            ui.out(format_args!("{indent}{CHANGED}~{CHANGED:#} {path} = (sensitive value, changed)"))
        }
        (None, after) => ui.out(format_args!("{indent}{ADDED}+{ADDED:#} {path} = {}", value(after.as_ref()))),
        (before, None) => {
            ui.out(format_args!("{indent}{LOST}-{LOST:#} {path} = {} -> null", value(before.as_ref())))
        }
        (before, after) => ui.out(format_args!(
            "{indent}{CHANGED}~{CHANGED:#} {path} = {} -> {}",
            value(before.as_ref()),
            value(after.as_ref())
        )),
    }
}

/// Returns a value as far as it may be shown, on one line.
fn value(shown: Option<&Shown>) -> String {
    match shown {
        None => "null".to_owned(),
        Some(Shown::Value(value)) => shortened(&plain(&value.to_string())),
        Some(Shown::Sensitive | Shown::SensitiveUnchanged) => "(sensitive value)".to_owned(),
    }
}

fn propose(ui: &Ui, proposal: &Proposal) -> io::Result<()> {
    let Proposal { backend, state, candidate, serial, difference, is_done } = proposal;
    ui.out(format_args!(
        "{STRONG}{}{STRONG:#} on backend `{backend}`: back to {}\n",
        name(state),
        label(candidate)
    ))?;
    match difference {
        _ if *is_done => ui.out("The state is that already. Its digest is looked after.")?,
        Ok(difference) => differences(ui, difference)?,
        Err(why) => ui.out(format_args!("What would change can't be shown: {why}"))?,
    }
    match serial {
        _ if *is_done => {}
        Some(serial) => ui.out(format_args!("It is written with serial {serial}, above every earlier one."))?,
        None => ui.warn(format_args!(
            "`{}` is encrypted by OpenTofu and written byte for byte, so its serial goes back to {}: a plan that was \
             saved at that serial can be applied again; destroy such plans",
            name(state),
            candidate.serial
        )),
    }
    ui.out("")
}

fn restore(ui: &Ui, restored: &Restored) -> io::Result<()> {
    let Restored { state, version, serial } = restored;
    let serial = serial.map(|serial| format!(", serial {serial}")).unwrap_or_default();
    match version {
        Some(version) => ui.out(format_args!(
            "{STRONG}Restored:{STRONG:#} `{}` is version `{}`{serial}.",
            name(state),
            plain(version)
        )),
        None => ui.out(format_args!("`{}` was restored already; its digest is right.", name(state))),
    }
}

fn find(ui: &Ui, finding: &Finding) -> io::Result<()> {
    let Finding { backend, state, problem, detail, repair } = finding;
    let (style, symbol) = if *repair == Repair::Done { (ADDED, '+') } else { (LOST, '!') };
    ui.out(format_args!(
        "  {style}{symbol}{style:#} {STRONG}{}{STRONG:#} on `{backend}`: {}: {}",
        name(state),
        problem.name(),
        plain(detail)
    ))?;
    match repair {
        Repair::Possible => ui.out("      `underpin state check --repair` puts it right."),
        Repair::ByHand(how) => ui.out(format_args!("      {how}")),
        Repair::Done => ui.out("      put right"),
        Repair::Failed(why) => ui.out(format_args!("      {LOST}not put right:{LOST:#} {}", plain(why))),
    }
}

fn copy(ui: &Ui, copied: &Copied) -> io::Result<()> {
    let Copied { state, version, path, outcome } = copied;
    let path = path.display();
    match outcome {
        Ok(()) => ui.out(format_args!("  {ADDED}+{ADDED:#} {} ({})  {path}", name(state), plain(version))),
        Err(why) => {
            ui.out(format_args!("  {LOST}!{LOST:#} {} ({})  {path}: {why}", name(state), plain(version)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_the_unit_that_fits() {
        assert_eq!([size(0), size(1_023), size(2_048)], ["0 B", "1023 B", "2 KiB"]);
        assert_eq!([size(13_631_488), size(1_048_576)], ["13.0 MiB", "1.0 MiB"]);
    }
}
