//! What a document changes about the one that is there, in as many words as a line of a plan has room for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::document::{Document, sid_of};
use super::meaning::Meaning;

/// What is there, and what will be, as far as they differ; statements by their Sids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What is there; `None` where there is no document.
    pub from: Option<String>,
    /// What will be.
    pub to: String,
}

type Statements<'a> = BTreeMap<&'a str, Vec<&'a Map<String, Value>>>;

impl Difference {
    /// Compares two documents.
    pub(super) fn between(from: Option<&Document>, to: &Document) -> Self {
        let Some(from) = from else {
            let sids: Vec<&str> = to.statements().iter().filter_map(sid_of).collect();
            return Self { from: None, to: sids.join(", ") };
        };
        let mut parts = Vec::new();
        compare_elements(from, to, &mut parts);
        compare_statements(&by_sid(from), &by_sid(to), &mut parts);
        let (from, to): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        Self { from: Some(from.join(", ")), to: to.join(", ") }
    }
}

fn compare_elements(from: &Document, to: &Document, parts: &mut Vec<(String, String)>) {
    let (before, after) = (Meaning::of_other_elements(from), Meaning::of_other_elements(to));
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let shown = |name, value: Option<&String>| match value {
        Some(value) => format!("{name} {value}"),
        None => format!("no {name}"),
    };
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        if old != new {
            parts.push((shown(name, old), shown(name, new)));
        }
    }
}

fn compare_statements(from: &Statements, to: &Statements, parts: &mut Vec<(String, String)>) {
    let sids: BTreeSet<&str> = from.keys().chain(to.keys()).copied().collect();
    for sid in sids {
        let before = from.get(sid).map(Vec::as_slice).unwrap_or_default();
        let after = to.get(sid).map(Vec::as_slice).unwrap_or_default();
        let (old, new) = (meanings(before), meanings(after));
        if old == new {
            continue;
        }
        parts.push(match (sid, before, after) {
            ("", ..) => {
                let counted = |count: usize| match count {
                    0 => "no further statement".to_owned(),
                    1 => "a statement without Sid".to_owned(),
                    many => format!("{many} statements without Sid"),
                };
                (counted(old.difference(&new).count()), counted(new.difference(&old).count()))
            }
            (sid, [], _) => (format!("no {sid}"), sid.to_owned()),
            (sid, _, []) => (sid.to_owned(), format!("no {sid}")),
            (sid, [old], [new]) => (format!("{sid} with other {}", changed(old, new)), sid.to_owned()),
            (sid, ..) => (format!("{sid} more than once"), sid.to_owned()),
        });
    }
}

/// Returns the names of the elements in which two statements differ.
fn changed(from: &Map<String, Value>, to: &Map<String, Value>) -> String {
    let (old, new) = (Meaning::of_statement(from), Meaning::of_statement(to));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let names = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    names.map(String::as_str).collect::<Vec<_>>().join(" and ")
}

fn by_sid(document: &Document) -> Statements<'_> {
    let mut statements = Statements::new();
    for statement in document.statements() {
        statements.entry(sid_of(statement).unwrap_or_default()).or_default().push(statement);
    }
    statements
}

fn meanings(statements: &[&Map<String, Value>]) -> BTreeSet<BTreeMap<String, Meaning>> {
    statements.iter().map(|statement| Meaning::of_statement(statement)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(from: &str, to: &str) -> String {
        let [from, to]: [Document; 2] = [from, to].map(|text| text.parse().unwrap());
        let difference = to.difference_from(Some(&from));
        assert_eq!(difference.to.is_empty(), from.means_the_same(&to));
        format!("{} -> {}", difference.from.unwrap(), difference.to)
    }

    #[test]
    fn statements_that_come_go_and_change_are_named_by_their_sids() {
        let from = r#"{"Version":"2008-10-17","Statement":[
            {"Sid":"Kept","Action":["a:b","c:d"]},
            {"Sid":"Changed","Effect":"Allow","Action":"s3:*","Resource":"*"},
            {"Sid":"Gone"}]}"#;
        let to = r#"{"Version":"2012-10-17","Statement":[
            {"Sid":"Changed","Effect":"Deny","Action":"s3:*","Resource":"x"},
            {"Sid":"Kept","Action":["C:D","A:B"]},
            {"Sid":"Made"}]}"#;

        insta::assert_snapshot!(difference(from, to), @"Version 2008-10-17, Changed with other Effect and Resource, Gone, no Made -> Version 2012-10-17, Changed, no Gone, Made");
    }

    #[test]
    fn statements_without_sid_are_counted() {
        let from = r#"{"Statement":[{"Action":"a:a"},{"Action":"a:b"},{"Action":"a:c"}]}"#;
        let to = r#"{"Id":"x","Statement":[{"Action":"a:c"}]}"#;

        insta::assert_snapshot!(difference(from, to), @"no Id, 2 statements without Sid -> Id x, no further statement");
    }

    #[test]
    fn what_means_the_same_does_not_differ() {
        let from = r#"{"Statement":{"Action":"A:b"}}"#;
        let to = r#"{"Version":"2008-10-17","Statement":[{"Action":["a:B"]}]}"#;
        assert_eq!(difference(from, to), " -> ");
    }

    #[test]
    fn a_document_where_none_was_is_all_of_its_statements() {
        let document: Document = r#"{"Statement":[{"Sid":"B"},{"Sid":"A"}]}"#.parse().unwrap();

        assert_eq!(document.difference_from(None), Difference { from: None, to: "B, A".to_owned() });
    }
}
