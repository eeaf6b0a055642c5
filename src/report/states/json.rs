//! States, for programs. `docs/json.md` describes every object.

use serde_json::{Value, json};

use super::super::locks::json::{joined, state, time};
use super::{
    Content, Copied, DiffReport, ExcessRow, Finding, Kept, Labelled, LiesUnder, ListRow, Proposal, Repair,
    Restored, ShownState, StatesTold, VersionRow,
};
use crate::state::diff::{Action, AttributeChange, Change, Counts, Difference, Shown};

/// Returns what is told as one object.
pub(in crate::report) fn value(told: &StatesTold<'_>) -> Value {
    match told {
        StatesTold::List { rows, now: _ } => {
            json!({ "type": "states", "states": rows.iter().map(row).collect::<Vec<_>>() })
        }
        StatesTold::Version(row) => version(row),
        StatesTold::Show(shown) => show(shown),
        StatesTold::Diff(report) => diff(report),
        StatesTold::Proposal(proposal) => propose(proposal),
        StatesTold::Restored(Restored { state: key, version, serial }) => {
            joined([json!({ "type": "restored", "version": version, "serial": serial }), state(key)])
        }
        StatesTold::Finding(finding) => find(finding),
        StatesTold::Copied(Copied { state: key, version, path, outcome }) => joined([
            json!({
                "type": "copy", "version": version, "path": path.display().to_string(),
                "error": outcome.as_ref().err(),
            }),
            state(key),
        ]),
        StatesTold::Excess(ExcessRow { backend, state: key, versions, locks, bytes }) => joined([
            json!({
                "type": "excess", "backend": backend.as_str(), "versions": versions, "lock_entries": locks,
                "bytes": bytes,
            }),
            state(key),
        ]),
        StatesTold::Kept(Kept { state: key, version, is_pinned }) => joined([
            json!({ "type": if *is_pinned { "pinned" } else { "unpinned" }, "version": version }),
            state(key),
        ]),
    }
}

fn row(row: &ListRow) -> Value {
    let ListRow { backend, stored, content, lies_under, is_known } = row;
    joined([
        json!({ "backend": backend.as_str() }),
        state(&stored.state),
        json!({
            "written": time(Some(stored.newest.at)), "size": stored.newest.size, "deleted": stored.is_deleted(),
            "versions": stored.versions, "version_bytes": stored.bytes, "in_configuration": is_known,
        }),
        held(content),
        kept_under(lies_under),
    ])
}

/// Returns the fields of what a version holds; null where it does not say.
fn held(content: &Content) -> Value {
    let (kind, head, resources, error) = match content {
        Content::Plain { head, resources } => ("plain", Some(head), Some(resources), None),
        Content::Encrypted(head) => ("encrypted", Some(head), None, None),
        Content::Unreadable(why) => ("unreadable", None, None, Some(why)),
        Content::Gone => ("gone", None, None, None),
    };
    json!({
        "content": kind, "serial": head.map(|head| head.serial), "lineage": head.map(|head| &head.lineage),
        "terraform_version": head.and_then(|head| head.terraform_version.as_ref()),
        "resources": resources, "error": error,
    })
}

fn kept_under(lies_under: &LiesUnder) -> Value {
    let (kind, key) = match lies_under {
        LiesUnder::OurKey => ("our key", None),
        LiesUnder::AnotherKey(key) => ("another key", Some(key)),
        LiesUnder::TheStores => ("AES256", None),
        LiesUnder::Nothing => ("none", None),
        LiesUnder::Unknown => ("unknown", None),
    };
    json!({ "encryption": kind, "key": key })
}

fn version(row: &VersionRow) -> Value {
    let VersionRow { state: key, version, content, changes, is_pinned, remarks } = row;
    joined([
        json!({
            "type": "version", "version": version.id, "written": time(Some(version.at)), "size": version.size,
            "newest": version.is_newest, "deletion": version.size.is_none(), "pinned": is_pinned,
            "changes": changes.as_ref().map(counts), "remarks": remarks,
        }),
        state(key),
        held(content),
    ])
}

fn counts(counts: &Counts) -> Value {
    let Counts { added, changed, removed, moved } = counts;
    json!({ "added": added, "changed": changed, "removed": removed, "moved": moved })
}

fn show(shown: &ShownState) -> Value {
    let ShownState { backend, state: key, facts, lies_under, content, resources, outputs } = shown;
    joined([
        json!({ "type": "state", "backend": backend.as_str() }),
        state(key),
        json!({ "version": facts.version, "written": time(Some(facts.at)), "size": facts.size }),
        held(content),
        kept_under(lies_under),
        json!({
            "addresses": resources,
            "outputs": outputs.outputs.iter().map(change).collect::<Vec<_>>(),
        }),
    ])
}

fn diff(report: &DiffReport) -> Value {
    let DiffReport { state: key, before, after, difference } = report;
    joined([
        json!({ "type": "diff", "before": labelled(before), "after": labelled(after) }),
        state(key),
        differences(difference),
    ])
}

fn labelled(label: &Labelled) -> Value {
    let Labelled { version, at, serial } = label;
    json!({ "version": version, "written": time(*at), "serial": serial })
}

fn differences(difference: &Difference) -> Value {
    let Difference { resources, outputs } = difference;
    json!({
        "resources": resources.iter().map(change).collect::<Vec<_>>(),
        "outputs": outputs.iter().map(change).collect::<Vec<_>>(),
        "resource_changes": counts(&Counts::of(resources)), "output_changes": counts(&Counts::of(outputs)),
    })
}

fn change(change: &Change) -> Value {
    let Change { name, action, attributes } = change;
    let (action, from) = match action {
        Action::Added => ("add", None),
        Action::Changed => ("change", None),
        Action::Removed => ("remove", None),
        Action::Moved { from } => ("move", Some(from)),
    };
    let attributes: Vec<Value> = attributes.iter().map(attribute).collect();
    json!({ "name": name, "action": action, "moved_from": from, "attributes": attributes })
}

fn attribute(change: &AttributeChange) -> Value {
    let AttributeChange { path, before, after } = change;
    let value = |shown: &Option<Shown>| match shown {
        Some(Shown::Value(value)) => value.clone(),
        _ => Value::Null,
    };
    let sides = || [before, after].into_iter().flatten();
    json!({
        "path": path, "before": value(before), "after": value(after),
        "sensitive": sides().any(|shown| !matches!(shown, Shown::Value(_))),
        "changed": !sides().any(|shown| *shown == Shown::SensitiveUnchanged),
    })
}

fn propose(proposal: &Proposal) -> Value {
    let Proposal { backend, state: key, candidate, serial, difference, is_done } = proposal;
    joined([
        json!({
            "type": "restore", "backend": backend.as_str(), "candidate": labelled(candidate), "serial": serial,
            "done": is_done, "error": difference.as_ref().err(),
        }),
        state(key),
        difference.as_ref().map(differences).unwrap_or_default(),
    ])
}

fn find(finding: &Finding) -> Value {
    let Finding { backend, state: key, problem, detail, repair } = finding;
    let (word, why) = match repair {
        Repair::Possible => ("possible", None),
        Repair::ByHand(how) => ("by hand", Some(how)),
        Repair::Done => ("done", None),
        Repair::Failed(why) => ("failed", Some(why)),
    };
    joined([
        json!({
            "type": "finding", "backend": backend.as_str(), "problem": problem.name(), "detail": detail,
            "repair": word, "why": why,
        }),
        state(key),
    ])
}
