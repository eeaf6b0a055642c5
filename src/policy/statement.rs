//! One statement of ours: typed, with a Sid by which it is found again.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// What every Sid of ours begins with. A Sid has letters and digits alone.
pub const OWN_SID_PREFIX: &str = "Underpin";

/// A statement that underpin writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    sid: String,
    effect: Effect,
    principal: Option<Principal>,
    actions: Vec<&'static str>,
    resources: Vec<String>,
    /// By operator, then by key.
    conditions: BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>,
}

/// What a statement does with the requests that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It allows them.
    Allow,
    /// It denies them, whatever else allows them.
    Deny,
}

/// Whose requests a statement of a resource's own policy is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Principal {
    /// Everyone's.
    Everyone,
    /// Those of the principals with these ARNs.
    Arns(Vec<String>),
}

impl Statement {
    /// Begins a statement that allows; `name` is its Sid without our prefix.
    pub(super) fn allow(name: &str) -> Self {
        Self::new(Effect::Allow, name)
    }

    /// Begins a statement that denies; `name` is its Sid without our prefix.
    pub(super) fn deny(name: &str) -> Self {
        Self::new(Effect::Deny, name)
    }

    fn new(effect: Effect, name: &str) -> Self {
        Self {
            sid: format!("{OWN_SID_PREFIX}{name}"),
            effect,
            principal: None,
            actions: Vec::new(),
            resources: Vec::new(),
            conditions: BTreeMap::new(),
        }
    }

    /// Names whose requests it is about; for the policies of buckets, keys and roles.
    pub(super) fn principal(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// Adds actions.
    pub(super) fn actions(mut self, actions: impl IntoIterator<Item = &'static str>) -> Self {
        self.actions.extend(actions);
        self
    }

    /// Adds resources, as ARNs.
    pub(super) fn resources(mut self, resources: impl IntoIterator<Item = String>) -> Self {
        self.resources.extend(resources);
        self
    }

    /// Adds a condition: `key` must compare with one of `values` by `operator`.
    pub(super) fn when(
        mut self,
        operator: &'static str,
        key: &'static str,
        values: impl IntoIterator<Item = String>,
    ) -> Self {
        self.conditions.entry(operator).or_default().entry(key).or_default().extend(values);
        self
    }

    /// Returns the Sid.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// Returns the statement as it is sent: a list of one is written as that one.
    pub(super) fn to_map(&self) -> Map<String, Value> {
        let Self { sid, effect, principal, actions, resources, conditions } = self;
        let mut value = Map::new();
        value.insert("Sid".to_owned(), json!(sid));
        value.insert("Effect".to_owned(), json!(effect.as_str()));
        if let Some(principal) = principal {
            value.insert("Principal".to_owned(), principal.to_value());
        }
        value.insert("Action".to_owned(), one_or_many(actions));
        value.insert("Resource".to_owned(), one_or_many(resources));
        if !conditions.is_empty() {
            let tests = |keys: &BTreeMap<&str, Vec<String>>| -> Map<String, Value> {
                keys.iter().map(|(key, values)| ((*key).to_owned(), one_or_many(values))).collect()
            };
            let conditions: Map<String, Value> = conditions
                .iter()
                .map(|(operator, keys)| ((*operator).to_owned(), tests(keys).into()))
                .collect();
            value.insert("Condition".to_owned(), conditions.into());
        }
        value
    }
}

impl Effect {
    fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        }
    }
}

impl Principal {
    fn to_value(&self) -> Value {
        match self {
            Self::Everyone => json!("*"),
            Self::Arns(arns) => json!({ "AWS": one_or_many(arns) }),
        }
    }
}

fn one_or_many<T: AsRef<str>>(items: &[T]) -> Value {
    match items {
        [one] => json!(one.as_ref()),
        many => many.iter().map(AsRef::as_ref).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_written_in_a_fixed_order_and_no_longer_than_it_must_be() {
        let statement = Statement::deny("Example")
            .principal(Principal::Arns(vec!["arn:aws:iam::111122223333:role/a".to_owned()]))
            .actions(["s3:GetObject", "s3:PutObject"])
            .resources(["arn:aws:s3:::acme/*".to_owned()])
            .when("StringLike", "aws:PrincipalArn", ["b".to_owned(), "c".to_owned()])
            .when("Bool", "aws:SecureTransport", ["false".to_owned()]);

        assert_eq!(statement.sid(), "UnderpinExample");
        insta::assert_snapshot!(Value::from(statement.to_map()), @r#"{"Sid":"UnderpinExample","Effect":"Deny","Principal":{"AWS":"arn:aws:iam::111122223333:role/a"},"Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::acme/*","Condition":{"Bool":{"aws:SecureTransport":"false"},"StringLike":{"aws:PrincipalArn":["b","c"]}}}"#);
    }
}
