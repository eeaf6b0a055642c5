//! What a policy document means, whichever of the many ways it is written in.
//!
//! AWS gives documents back otherwise than it took them, and people write one thing in several ways. Where AWS's rules
//! leave a doubt whether two texts mean the same, they don't: the price is one repair, and the other mistake would hide
//! access that nobody meant.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::document::Document;

/// A piece of a document in its one form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meaning {
    /// A text that counts to the letter.
    Text(String),
    /// Things whose order and number do not count.
    Set(BTreeSet<Self>),
    /// Named things.
    Map(BTreeMap<String, Self>),
}

impl Meaning {
    /// Returns what a document means.
    pub(super) fn of_document(document: &Document) -> Self {
        let statements =
            document.statements().iter().map(|statement| Self::Map(Self::of_statement(statement)));
        let mut elements: BTreeMap<String, Self> = Self::of_other_elements(document)
            .into_iter()
            .map(|(name, text)| (name.to_owned(), Self::Text(text)))
            .collect();
        elements.insert("Statement".to_owned(), Self::Set(statements.collect()));
        Self::Map(elements)
    }

    /// Returns the elements beside the statements, as text. A document without a version is of the first.
    pub(super) fn of_other_elements(document: &Document) -> BTreeMap<&str, String> {
        let mut elements: BTreeMap<&str, String> =
            document.other_elements().map(|(name, value)| (name, text_of(value))).collect();
        elements.entry("Version").or_insert_with(|| "2008-10-17".to_owned());
        elements
    }

    /// Returns what each element of a statement means; one that says nothing is left out.
    pub(super) fn of_statement(statement: &Map<String, Value>) -> BTreeMap<String, Self> {
        statement
            .iter()
            .filter_map(|(name, value)| {
                let meaning = match name.as_str() {
                    "Action" | "NotAction" => Self::texts(value, str::to_ascii_lowercase),
                    "Resource" | "NotResource" => Self::texts(value, str::to_owned),
                    "Principal" | "NotPrincipal" => Self::of_principals(value),
                    "Condition" => Self::of_conditions(value)?,
                    "Sid" if value == "" => return None,
                    _ => Self::verbatim(value),
                };
                Some((name.clone(), meaning))
            })
            .collect()
    }

    /// Everyone may be written with the kind of principal or without.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>
    fn of_principals(value: &Value) -> Self {
        match value {
            Value::Object(kinds) => {
                let of_kind = |kind: &str, names| match kind {
                    "AWS" => Self::texts(names, |name| account_of_root(name).unwrap_or(name).to_owned()),
                    _ => Self::texts(names, str::to_owned),
                };
                Self::Map(kinds.iter().map(|(kind, names)| (kind.clone(), of_kind(kind, names))).collect())
            }
            everyone => Self::Map([("AWS".to_owned(), Self::texts(everyone, str::to_owned))].into()),
        }
    }

    /// An operator with nothing to compare says nothing. A key with no value does: it matches no request.
    fn of_conditions(value: &Value) -> Option<Self> {
        let Value::Object(operators) = value else { return Some(Self::verbatim(value)) };
        let operators: BTreeMap<String, Self> = operators
            .iter()
            .filter_map(|(operator, keys)| {
                let meaning = match keys {
                    Value::Object(keys) if keys.is_empty() => return None,
                    Value::Object(keys) => Self::Map(
                        keys.iter()
                            .map(|(key, values)| (key.clone(), Self::texts(values, str::to_owned)))
                            .collect(),
                    ),
                    other => Self::verbatim(other),
                };
                Some((operator.clone(), meaning))
            })
            .collect();
        (!operators.is_empty()).then_some(Self::Map(operators))
    }

    /// One text or several; a bool or a number counts as its text, as AWS stores it.
    fn texts(value: &Value, form: impl Fn(&str) -> String) -> Self {
        let text = |value: &Value| match value {
            Value::String(text) => Self::Text(form(text)),
            other => Self::Text(other.to_string()),
        };
        Self::Set(match value {
            Value::Array(many) => many.iter().map(text).collect(),
            one => [text(one)].into(),
        })
    }

    fn verbatim(value: &Value) -> Self {
        Self::Text(text_of(value))
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the account whose root an ARN names: AWS writes either for the other.
///
/// The partition may go: a policy can name no principal of another one.
fn account_of_root(arn: &str) -> Option<&str> {
    let account = arn.strip_prefix("arn:")?.split_once(":iam::")?.1.strip_suffix(":root")?;
    (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())).then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &str, right: &str) -> bool {
        let [left, right]: [Document; 2] = [left, right].map(|text| text.parse().unwrap());
        assert_eq!(left.means_the_same(&right), right.means_the_same(&left));
        left.means_the_same(&right)
    }

    /// Compares two documents of one statement each, which differ as given.
    fn same_statement(left: &str, right: &str) -> bool {
        let document = |statement| format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#);
        same(&document(left), &document(right))
    }

    #[test]
    fn one_meaning_in_two_ways_is_the_same() {
        for (left, right) in [
            (r#"[{"Effect":"Deny","Sid":"a"}]"#, r#"{"Sid":"a","Effect":"Deny"}"#),
            (r#"[{"Sid":"a"},{"Sid":"b"}]"#, r#"[{"Sid":"b"},{"Sid":"a"}]"#),
            (r#"{"Action":"s3:GetObject"}"#, r#"{"Action":["S3:getobject"]}"#),
            (r#"{"NotAction":["a:B","c:D"]}"#, r#"{"NotAction":["c:d","a:b","a:b"]}"#),
            (r#"{"Resource":["x","y"]}"#, r#"{"Resource":["y","x"]}"#),
            (r#"{"Principal":"*"}"#, r#"{"Principal":{"AWS":["*"]}}"#),
            (
                r#"{"Principal":{"AWS":"111122223333","Service":"a"}}"#,
                r#"{"Principal":{"Service":["a"],"AWS":["arn:aws-cn:iam::111122223333:root"]}}"#,
            ),
            (
                r#"{"Condition":{"Bool":{"aws:SecureTransport":false},"NumericLessThan":{"s3:TlsVersion":[1.2]}}}"#,
                r#"{"Condition":{"NumericLessThan":{"s3:TlsVersion":"1.2"},"Bool":{"aws:SecureTransport":["false"]}}}"#,
            ),
            (
                r#"{"Condition":{"StringLike":{"k":["b","a"]}}}"#,
                r#"{"Condition":{"StringLike":{"k":["a","b"]}}}"#,
            ),
            (r#"{"Sid":"","Condition":{}}"#, r"{}"),
            (r#"{"Condition":{"Bool":{}}}"#, r"{}"),
        ] {
            assert!(same_statement(left, right), "{left} {right}");
        }
    }

    #[test]
    fn two_meanings_are_not_the_same() {
        for (left, right) in [
            (r#"{"Sid":"a"}"#, r#"{"Sid":"A"}"#),
            (r#"{"Sid":"a"}"#, r"{}"),
            (r#"[{"Sid":"a"},{"Sid":"b"}]"#, r#"[{"Sid":"a"}]"#),
            (r#"{"Effect":"Allow"}"#, r#"{"Effect":"Deny"}"#),
            (r#"{"Action":"s3:GetObject"}"#, r#"{"NotAction":"s3:GetObject"}"#),
            (r#"{"Action":"s3:GetObject"}"#, r#"{"Action":"s3:GetObject*"}"#),
            (r#"{"Action":["a:b"]}"#, r#"{"Action":["a:b","c:d"]}"#),
            (r#"{"Action":[]}"#, r"{}"),
            (r#"{"Resource":"arn:aws:s3:::b/Dev"}"#, r#"{"Resource":"arn:aws:s3:::b/dev"}"#),
            (r#"{"Principal":"*"}"#, r#"{"NotPrincipal":"*"}"#),
            (r#"{"Principal":"*"}"#, r#"{"Principal":{"Service":"*"}}"#),
            (r#"{"Principal":"*"}"#, r"{}"),
            (r#"{"Principal":{"AWS":"111122223333"}}"#, r#"{"Principal":{"Federated":"111122223333"}}"#),
            (r#"{"Principal":{"AWS":"111122223333"}}"#, r#"{"Principal":{"AWS":"444455556666"}}"#),
            (
                r#"{"Principal":{"AWS":"arn:aws:iam::111122223333:root"}}"#,
                r#"{"Principal":{"AWS":"arn:aws:iam::111122223333:role/root"}}"#,
            ),
            // A principal that was deleted shows as its id; one that was made again under its name is another.
            (
                r#"{"Principal":{"AWS":"AROAEXAMPLE"}}"#,
                r#"{"Principal":{"AWS":"arn:aws:iam::111122223333:role/a"}}"#,
            ),
            (r#"{"Condition":{"StringEquals":{"k":"a"}}}"#, r#"{"Condition":{"StringLike":{"k":"a"}}}"#),
            (r#"{"Condition":{"StringEquals":{"k":"a"}}}"#, r#"{"Condition":{"StringEquals":{"k":"A"}}}"#),
            (
                r#"{"Condition":{"StringEquals":{"k":"a"}}}"#,
                r#"{"Condition":{"StringEqualsIfExists":{"k":"a"}}}"#,
            ),
            (r#"{"Condition":{"StringEquals":{"k":[]}}}"#, r"{}"),
            (r#"{"Condition":{"Bool":{"k":true}}}"#, r#"{"Condition":{"Bool":{"k":"false"}}}"#),
            (r#"{"Condition":{"Bool":{"k":true}}}"#, r#"{"Condition":{"Null":{"k":true}}}"#),
            (r#"{"Unheard":"of"}"#, r"{}"),
        ] {
            assert!(!same_statement(left, right), "{left} {right}");
        }
    }

    #[test]
    fn a_document_without_version_is_of_the_first() {
        assert!(same(r#"{"Statement":[]}"#, r#"{"Version":"2008-10-17","Statement":[]}"#));
        assert!(!same(r#"{"Statement":[]}"#, r#"{"Version":"2012-10-17","Statement":[]}"#));
        assert!(!same(r#"{"Statement":[]}"#, r#"{"Id":"x","Statement":[]}"#));
    }
}
