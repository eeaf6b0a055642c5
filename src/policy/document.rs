//! A policy document as AWS accepts it, and what of it is ours.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::difference::Difference;
use super::meaning::Meaning;
use super::statement::{OWN_SID_PREFIX, Statement};

/// A policy document. What underpin does not touch stays as it was read, whatever it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// `Version`, `Id` and whatever else stands beside the statements, in their order; `Statement` is among them, for
    /// its place alone.
    elements: Map<String, Value>,
    statements: Vec<Map<String, Value>>,
}

/// Why a text is no policy document.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDocument {
    /// It is no JSON.
    #[error("the policy document is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// It is JSON of another shape.
    #[error("the policy document has no statements: {found}")]
    NoStatements {
        /// What is there in their place.
        found: &'static str,
    },
}

impl Document {
    /// Makes a document of these statements alone.
    pub fn new(statements: Vec<Statement>) -> Self {
        let mut elements = Map::new();
        elements.insert("Version".to_owned(), json!("2012-10-17"));
        elements.insert("Statement".to_owned(), Value::Null);
        Self { elements, statements: statements.into_iter().map(|statement| statement.to_map()).collect() }
    }

    /// Returns whether both allow and deny the same, and name their statements alike.
    ///
    /// The order of statements and of lists does not count, nor does one value against a list of one, the case of an
    /// action, `true` against `"true"` in a condition, or an account's id against the ARN of its root.
    pub fn means_the_same(&self, other: &Self) -> bool {
        Meaning::of_document(self) == Meaning::of_document(other)
    }

    /// Says in a few words what this document changes about the one that is there; `None` where there is none.
    pub fn difference_from(&self, observed: Option<&Self>) -> Difference {
        Difference::between(observed, self)
    }

    /// Returns this document with `own` in it: each in the place of the statement with its Sid, else at the end.
    ///
    /// Everything else stays, statements of ours that are not in `own` too: whether they may go is for the caller to say.
    #[must_use]
    pub fn with_own(&self, own: &[Statement]) -> Self {
        let mut missing: BTreeMap<&str, &Statement> =
            own.iter().map(|statement| (statement.sid(), statement)).collect();
        let mut statements = Vec::new();
        for statement in &self.statements {
            let sid = sid_of(statement).unwrap_or_default();
            if let Some(ours) = missing.remove(sid) {
                statements.push(ours.to_map());
            } else if !own.iter().any(|ours| ours.sid() == sid) {
                // A second statement with a Sid of ours is neither ours nor anybody else's, and goes.
                statements.push(statement.clone());
            }
        }
        statements.extend(own.iter().filter(|ours| missing.contains_key(ours.sid())).map(Statement::to_map));
        Self { elements: self.elements.clone(), statements }
    }

    /// Returns the document that has `own` in it; `None` where the one that is there means the same already.
    pub fn repair(observed: Option<&Self>, own: &[Statement]) -> Option<Self> {
        let Some(observed) = observed else { return Some(Self::new(own.to_vec())) };
        let repaired = observed.with_own(own);
        (!observed.means_the_same(&repaired)).then_some(repaired)
    }

    /// Returns this document without any statement of ours. AWS takes none that [is empty](Self::is_empty).
    #[must_use]
    pub fn without_own(&self) -> Self {
        let statements = self.statements.iter().filter(|statement| !is_own(statement)).cloned().collect();
        Self { elements: self.elements.clone(), statements }
    }

    /// Returns the Sids of the statements of ours that are here.
    pub fn own_sids(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().filter(|statement| is_own(statement)).filter_map(sid_of)
    }

    /// Returns whether there is no statement.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Returns its size as AWS counts it against a limit.
    pub fn size(&self) -> usize {
        self.to_string().len()
    }

    /// Returns it as JSON.
    pub(super) fn to_value(&self) -> Value {
        let mut elements = self.elements.clone();
        elements.insert("Statement".to_owned(), self.statements.iter().cloned().collect());
        elements.into()
    }

    /// Returns the elements beside the statements.
    pub(super) fn other_elements(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.elements
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .filter(|(name, _)| *name != "Statement")
    }

    /// Returns the statements.
    pub(super) fn statements(&self) -> &[Map<String, Value>] {
        &self.statements
    }
}

impl FromStr for Document {
    type Err = InvalidDocument;

    fn from_str(text: &str) -> Result<Self, InvalidDocument> {
        let wrong = |found| InvalidDocument::NoStatements { found };
        let value = serde_json::from_str(text).map_err(InvalidDocument::NotJson)?;
        let Value::Object(mut elements) = value else { return Err(wrong("it is no object")) };
        let statements = match elements.get_mut("Statement").map(Value::take) {
            None => return Err(wrong("`Statement` is missing")),
            Some(Value::Object(one)) => vec![one],
            Some(Value::Array(many)) => many
                .into_iter()
                .map(|statement| match statement {
                    Value::Object(statement) => Ok(statement),
                    _ => Err(wrong("a statement is no object")),
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(wrong("`Statement` is neither a list nor an object")),
        };
        Ok(Self { elements, statements })
    }
}

/// Writes it as it is sent, without white space.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().fmt(f)
    }
}

/// Returns a statement's Sid.
pub(super) fn sid_of(statement: &Map<String, Value>) -> Option<&str> {
    statement.get("Sid").and_then(Value::as_str)
}

fn is_own(statement: &Map<String, Value>) -> bool {
    sid_of(statement).is_some_and(|sid| sid.starts_with(OWN_SID_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy with all that others may have written, and one statement of ours that somebody edited.
    const FOREIGN: &str = concat!(
        r#"{"Id":"theirs","Version":"2008-10-17","Future":{"b":1,"a":2},"Statement":["#,
        r#"{"Effect":"Allow","NotPrincipal":{"AWS":["x","y"]},"NotAction":"s3:*","NotResource":"*"},"#,
        r#"{"Sid":"UnderpinA","Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"},"#,
        r#"{"Condition":{"NumericLessThan":{"k":[1.5,2]},"Bool":{"j":true}},"Sid":"Theirs","Effect":"Deny"}]}"#
    );

    fn parsed(text: &str) -> Document {
        text.parse().unwrap()
    }

    fn ours(name: &str) -> Statement {
        Statement::deny(name).actions(["a:b"]).resources(["*".to_owned()])
    }

    #[test]
    fn what_was_read_is_written_as_it_was() {
        assert_eq!(parsed(FOREIGN).to_string(), FOREIGN);
        let own = Document::new(vec![ours("A")]);
        assert_eq!(parsed(&own.to_string()), own);
    }

    #[test]
    fn own_statements_come_into_place_and_foreign_ones_stay_as_they_were() {
        let merged = parsed(FOREIGN).with_own(&[ours("B"), ours("A")]);

        let edited = r#"{"Sid":"UnderpinA","Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}"#;
        let a = r#"{"Sid":"UnderpinA","Effect":"Deny","Action":"a:b","Resource":"*"}"#;
        let b = r#"{"Sid":"UnderpinB","Effect":"Deny","Action":"a:b","Resource":"*"}"#;
        let wanted = FOREIGN.replace(edited, a).strip_suffix("]}").map(|text| format!("{text},{b}]}}"));
        assert_eq!(Some(merged.to_string()), wanted);
        assert_eq!(merged.with_own(&[ours("A"), ours("B")]), merged);
    }

    #[test]
    fn a_repair_is_made_once_and_sees_more_than_the_sid() {
        let repaired = Document::repair(Some(&parsed(FOREIGN)), &[ours("A")]).unwrap();

        assert_eq!(repaired, parsed(FOREIGN).with_own(&[ours("A")]));
        assert_eq!(Document::repair(Some(&repaired), &[ours("A")]), None);
        assert_eq!(Document::repair(None, &[ours("A")]), Some(Document::new(vec![ours("A")])));
    }

    #[test]
    fn a_single_statement_becomes_a_list_only_when_there_is_something_to_add() {
        let single = parsed(r#"{"Statement":{"Sid":"Theirs"}}"#);

        assert_eq!(
            single.with_own(&[ours("A")]).to_string(),
            r#"{"Statement":[{"Sid":"Theirs"},{"Sid":"UnderpinA","Effect":"Deny","Action":"a:b","Resource":"*"}]}"#
        );
        assert!(single.means_the_same(&single.with_own(&[])));
    }

    #[test]
    fn a_second_statement_under_a_sid_of_ours_goes() {
        let twice = parsed(r#"{"Statement":[{"Sid":"UnderpinA","Effect":"Allow"},{"Sid":"UnderpinA"}]}"#);

        assert_eq!(twice.with_own(&[ours("A")]).own_sids().collect::<Vec<_>>(), ["UnderpinA"]);
    }

    #[test]
    fn what_is_left_over_of_ours_stays_until_it_is_taken_out() {
        let both = Document::new(vec![ours("A"), ours("B")]);

        assert_eq!(both.with_own(&[ours("A")]).own_sids().collect::<Vec<_>>(), ["UnderpinA", "UnderpinB"]);
        assert!(both.without_own().is_empty());
        assert_eq!(parsed(FOREIGN).without_own().own_sids().count(), 0);
        assert!(!parsed(FOREIGN).without_own().is_empty());
    }

    #[test]
    fn what_is_no_policy_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "the policy document is not JSON"),
            ("[]", "the policy document has no statements: it is no object"),
            ("{}", "the policy document has no statements: `Statement` is missing"),
            (
                r#"{"Statement":"x"}"#,
                "the policy document has no statements: `Statement` is neither a list nor an object",
            ),
            (r#"{"Statement":["x"]}"#, "the policy document has no statements: a statement is no object"),
        ] {
            assert_eq!(text.parse::<Document>().unwrap_err().to_string(), reason);
        }
    }
}
