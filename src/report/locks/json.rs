//! Locks and states, for programs. `docs/json.md` describes every object.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::{Ended, Health, HistoryReport, LockEvent, LockRow, LocksTold, Outcome, Shown, StatusRow, Tally};
use crate::names::EnvironmentName;
use crate::state::history::{End, Hold};
use crate::state::{Kind, Lock, Part, StateKey, when};

/// Returns what is told as one object.
pub(in crate::report) fn value(told: &LocksTold<'_>) -> Value {
    match told {
        LocksTold::List { locks, unseen, now } => {
            let locks: Vec<Value> = locks.iter().map(|row| row_value(row, *now)).collect();
            json!({ "type": "locks", "locks": locks, "unseen": unseen })
        }
        LocksTold::Show(shown) => show(shown),
        LocksTold::Selected { locks, now } => {
            let locks: Vec<Value> = locks
                .iter()
                .map(|(row, ended)| {
                    let action = if ended.is_some() { "refuse" } else { "release" };
                    joined([row_value(row, *now), json!({ "action": action })])
                })
                .collect();
            json!({ "type": "selected", "locks": locks })
        }
        LocksTold::Outcome(outcome) => ended(outcome),
        LocksTold::History { report, now } => history(report, *now),
        LocksTold::Event(event) => watched(event),
        LocksTold::Status { rows, now } => {
            let backends: Vec<Value> = rows.iter().map(|row| status(row, *now)).collect();
            json!({ "type": "status", "backends": backends })
        }
    }
}

/// Makes one object of several.
pub(in crate::report) fn joined<const N: usize>(objects: [Value; N]) -> Value {
    let mut fields = Map::new();
    for object in objects {
        if let Value::Object(more) = object {
            fields.extend(more);
        }
    }
    Value::Object(fields)
}

/// Returns the fields that name a state; component and workspace are null for a key of another making.
pub(in crate::report) fn state(state: &StateKey) -> Value {
    let address = state.address();
    let address = address.as_ref();
    json!({
        "state": state.as_str(),
        "environment": state.environment().as_ref().map(EnvironmentName::as_str),
        "component": address.map(|address| address.component.as_str()),
        "workspace": address.map(|address| address.workspace.as_deref().unwrap_or("default")),
    })
}

/// Returns the fields of a lock; those of its holder are null where it says nothing.
fn lock(lock: &Lock) -> Value {
    let info = lock.info();
    let holder = json!({
        "id": info.map(|info| &info.id),
        "holder": info.map(|info| &info.who),
        "operation": info.map(|info| &info.operation),
        "info": info.map(|info| &info.info),
        "version": info.map(|info| &info.version),
        "created": info.map(|info| &info.created),
        "path": info.map(|info| &info.path),
    });
    joined([state(&lock.state), holder])
}

fn row_value(row: &LockRow, now: SystemTime) -> Value {
    let LockRow { backend, kinds, surveyed } = row;
    let held = &surveyed.lock;
    let judged = json!({
        "kind": kind(held, kinds),
        "age_seconds": held.taken_at().map(|taken| when::since(taken, now).as_secs()),
        "state_written": time(surveyed.written.map(|written| written.at)),
        "judgement": surveyed.judgement.verdict.to_string(),
        "evidence": surveyed.judgement.evidence,
    });
    joined([json!({ "backend": backend.as_str() }), lock(held), judged])
}

fn kind(lock: &Lock, kinds: &[Kind]) -> &'static str {
    match (lock.parts.as_slice(), kinds) {
        ([Part { kind: Kind::S3, .. }], [_]) => "s3",
        ([Part { kind: Kind::DynamoDb, .. }], [_]) => "dynamodb",
        ([_], _) => "half of both",
        _ => "both",
    }
}

fn show(shown: &Shown) -> Value {
    let Shown { row, account_id, state, history, on_release, now } = shown;
    let parts: Vec<Value> = row
        .surveyed
        .lock
        .parts
        .iter()
        .map(|part| {
            json!({
                "kind": part.kind.to_string(), "content": part.content, "written": time(part.written),
                "error": part.info.as_ref().err().map(ToString::to_string),
            })
        })
        .collect();
    let beginning = state.as_ref().and_then(|facts| facts.beginning.as_ref());
    let more = json!({
        "account_id": account_id,
        "parts": parts,
        "terraform_version": beginning.and_then(|beginning| beginning.terraform_version.as_ref()),
        "serial": beginning.and_then(|beginning| beginning.serial),
        "state_size": state.as_ref().map(|facts| facts.written.size),
        "on_release": on_release,
        "history": history.iter().map(|hold| hold_value(hold, *now)).collect::<Vec<_>>(),
    });
    joined([json!({ "type": "lock" }), row_value(row, *now), more])
}

fn ended(outcome: &Outcome) -> Value {
    let Outcome { backend, lock: of, ended } = outcome;
    let (word, why, held_by_id) = match ended {
        Ended::Released => ("released", None, None),
        Ended::Gone => ("gone", None, None),
        Ended::Changed(other) => ("changed", None, other.id()),
        Ended::Refused(why) => ("refused", Some(why), None),
        Ended::Failed(why) => ("failed", Some(why), None),
    };
    let begin = json!({ "type": "release", "outcome": word, "backend": backend.as_str() });
    joined([begin, lock(of), json!({ "why": why, "held_by_id": held_by_id })])
}

fn hold_value(hold: &Hold, now: SystemTime) -> Value {
    let info = hold.info.as_ref();
    let (end, caller, reason) = match &hold.end {
        End::Held => ("held", None, None),
        End::Removed => ("removed", None, None),
        End::Replaced => ("replaced", None, None),
        End::Released { caller, reason } => ("released", Some(caller), reason.as_ref()),
        End::RunEnded => ("run-ended", None, None),
    };
    let held = hold.duration().unwrap_or_else(|| when::since(hold.from, now));
    let fields = json!({
        "id": info.map(|info| &info.id),
        "holder": info.map(|info| &info.who),
        "operation": info.map(|info| &info.operation),
        "version": info.map(|info| &info.version),
        "taken": time(Some(hold.from)),
        "ended": time(hold.until),
        "held_seconds": held.as_secs_f64(),
        "end": end,
        "caller": caller,
        "reason": reason,
    });
    joined([state(&hold.state), fields])
}

fn history(report: &HistoryReport, now: SystemTime) -> Value {
    let HistoryReport { holds, summary } = report;
    let hold = |(backend, hold): &(crate::names::BackendName, Hold)| {
        joined([json!({ "backend": backend.as_str() }), hold_value(hold, now)])
    };
    let seconds = |span: Option<Duration>| span.map(|span| span.as_secs_f64());
    json!({
        "type": "history", "holds": holds.iter().map(hold).collect::<Vec<_>>(),
        "summary": {
            "count": summary.count(), "median_seconds": seconds(summary.median()),
            "longest_seconds": seconds(summary.longest()), "holders": summary.holders,
        },
    })
}

fn watched(event: &LockEvent) -> Value {
    let LockEvent { at, backend, lock: of, released_after } = event;
    let kind = if released_after.is_some() { "released" } else { "taken" };
    let begin = json!({ "type": kind, "time": when::rfc3339(*at), "backend": backend.as_str() });
    joined([begin, lock(of), json!({ "held_seconds": released_after.map(|after| after.as_secs_f64()) })])
}

fn status(row: &StatusRow, now: SystemTime) -> Value {
    let StatusRow { backend, account_id, region, health, locks, environments } = row;
    let (health, count) = match health {
        Health::AsDesired => ("as desired", None),
        Health::Differs(count) => ("differs", Some(count)),
        Health::Refused(count) => ("refused", Some(count)),
        Health::Missing => ("missing", None),
    };
    let environments: Vec<Value> = environments
        .iter()
        .map(|(environment, tally)| {
            let Tally { states, bytes, versions, version_bytes, last, writer, is_known } = tally;
            json!({
                "environment": environment, "in_configuration": is_known, "states": states, "bytes": bytes,
                "versions": versions, "version_bytes": version_bytes,
                "last_written_state": last.as_ref().map(|(state, _)| state.as_str()),
                "last_written": time(last.as_ref().map(|(_, at)| *at)), "last_writer": writer,
            })
        })
        .collect();
    let locks: Vec<Value> = locks.iter().map(|row| row_value(row, now)).collect();
    json!({
        "backend": backend.as_str(), "account_id": account_id, "region": region, "health": health,
        "resources": count, "locks": locks, "environments": environments,
    })
}

pub(in crate::report) fn time(moment: Option<SystemTime>) -> Value {
    json!(moment.map(when::rfc3339))
}
