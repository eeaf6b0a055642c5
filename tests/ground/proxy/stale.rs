//! Reads that do not know yet of a write that was answered: eventual consistency, on demand.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use serde_json::Value;

use super::fault::error;
use super::name::{Dialect, Name};
use crate::ground::http::{Answer, Request};

/// For how long after its creation a thing is not seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StaleReads {
    /// A bucket: 404 to what reads it.
    pub(crate) bucket: Duration,
    /// An alias: not found, not listed.
    pub(crate) alias: Duration,
    /// A policy: `NoSuchEntity`, not listed.
    pub(crate) policy: Duration,
    /// A table: `CREATING`, and its settings can't be changed.
    pub(crate) table: Duration,
}

/// What is too young to be seen.
#[derive(Debug, Default)]
pub(crate) struct Staleness {
    reads: StaleReads,
    /// Until when, by kind and name.
    hidden: BTreeMap<(Kind, String), Instant>,
}

/// What can be stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Bucket,
    Alias,
    Policy,
    Table,
}

impl Staleness {
    /// Sets for how long what is created from now on stays unseen.
    pub(crate) fn set(&mut self, reads: StaleReads) {
        self.reads = reads;
    }

    /// Answers a call about something that is too young, where the answer needs no emulator.
    pub(crate) fn answer(&self, name: &Name) -> Option<Answer> {
        let dialect = name.dialect;
        if name.bucket().is_some_and(|bucket| !name.mutating && self.hides(Kind::Bucket, bucket)) {
            return Some(error(dialect, 404, "NoSuchBucket", "The specified bucket does not exist"));
        }
        if name.service == "kms" && !name.mutating && self.hides(Kind::Alias, &name.resource) {
            let message =
                format!("Alias arn:aws:kms:{}:123456789012:{} is not found.", name.region, name.resource);
            return Some(error(dialect, 400, "NotFoundException", &message));
        }
        if name.service == "iam" && !name.mutating && self.hides(Kind::Policy, &name.resource) {
            let message = format!("Policy {} was not found.", name.resource);
            return Some(error(dialect, 404, "NoSuchEntity", &message));
        }
        if name.service == "dynamodb" && self.hides(Kind::Table, &name.resource) {
            return creating_table(name);
        }
        None
    }

    /// Takes what is too young out of an answer of the emulator, and notes what this answer created.
    pub(crate) fn revise(&mut self, name: &Name, request: &Request, answer: &mut Answer) {
        if !answer.status.is_success() {
            return;
        }
        let (kind, created, lasts) = match name.operation.as_str() {
            "s3:CreateBucket" => (Kind::Bucket, Some(name.resource.clone()), self.reads.bucket),
            "kms:CreateAlias" => (Kind::Alias, Some(name.resource.clone()), self.reads.alias),
            "iam:CreatePolicy" => {
                (Kind::Policy, between(&answer.text(), "<Arn>", "</Arn>"), self.reads.policy)
            }
            "dynamodb:CreateTable" => (Kind::Table, Some(name.resource.clone()), self.reads.table),
            "kms:ListAliases" => return self.unlist_aliases(answer),
            "iam:ListPolicies" | "iam:GetAccountAuthorizationDetails" => return self.unlist_policies(answer),
            "dynamodb:DescribeTable" => return self.describe_as_creating(request, answer),
            _ => return,
        };
        if let Some(created) = created.filter(|_| !lasts.is_zero()) {
            self.hidden.insert((kind, created), Instant::now() + lasts);
        }
        if kind == Kind::Table {
            self.describe_as_creating(request, answer);
        }
    }

    fn hides(&self, kind: Kind, name: &str) -> bool {
        self.hidden.get(&(kind, name.to_owned())).is_some_and(|until| *until > Instant::now())
    }

    fn unlist_aliases(&self, answer: &mut Answer) {
        let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return };
        if let Some(aliases) = body["Aliases"].as_array_mut() {
            aliases.retain(|alias| {
                !alias["AliasName"].as_str().is_some_and(|name| self.hides(Kind::Alias, name))
            });
        }
        answer.body = Bytes::from(body.to_string());
    }

    fn unlist_policies(&self, answer: &mut Answer) {
        let mut text = answer.text();
        for (kind, arn) in self.hidden.keys() {
            if *kind != Kind::Policy || !self.hides(*kind, arn) {
                continue;
            }
            // The policy's own element is the innermost one that begins before its ARN.
            let Some(at) = text.find(&format!("<Arn>{arn}</Arn>")) else { continue };
            let begin = text[..at].rfind("<member>").expect("a listed policy is a member");
            let end = closing(&text[begin..]).expect("a member is closed") + begin;
            text.replace_range(begin..end, "");
        }
        answer.body = Bytes::from(text);
    }

    fn describe_as_creating(&self, request: &Request, answer: &mut Answer) {
        let body = request.json();
        let table = body["TableName"].as_str().and_then(|name| name.rsplit('/').next()).unwrap_or_default();
        let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return };
        if !self.hides(Kind::Table, table) {
            return;
        }
        for part in ["Table", "TableDescription"] {
            if let Some(status) = body.get_mut(part).and_then(|part| part.get_mut("TableStatus")) {
                *status = "CREATING".into();
            }
        }
        answer.body = Bytes::from(body.to_string());
    }
}

/// What a table that is being created answers; describing it is left to the emulator.
fn creating_table(name: &Name) -> Option<Answer> {
    let table = &name.resource;
    let (code, message) = match name.operation.as_str() {
        "dynamodb:DescribeTable" | "dynamodb:CreateTable" | "dynamodb:ListTagsOfResource" => return None,
        "dynamodb:UpdateContinuousBackups" => (
            "ContinuousBackupsUnavailableException",
            format!("Backups are being enabled for the table: {table}."),
        ),
        "dynamodb:DescribeContinuousBackups" => {
            ("TableNotFoundException", format!("Table not found: {table}"))
        }
        _ if name.mutating && !name.operation.ends_with("Item") => {
            ("ResourceInUseException", format!("Attempt to change a resource which is still in use: {table}"))
        }
        _ => ("ResourceNotFoundException", "Requested resource not found".to_owned()),
    };
    Some(error(Dialect::Json, 400, code, &message))
}

/// The text between two marks.
fn between(text: &str, begin: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(begin)?;
    rest.split_once(end).map(|(inner, _)| inner.to_owned())
}

/// Where the `<member>` that `text` begins with is closed.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, _) in text.match_indices('<') {
        if text[at..].starts_with("<member>") {
            open += 1;
        } else if text[at..].starts_with("</member>") {
            open -= 1;
            if open == 0 {
                return Some(at + "</member>".len());
            }
        }
    }
    None
}
