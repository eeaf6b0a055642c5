//! What of a resource's attributes is marked as sensitive, by the state's own paths.
//!
//! A path is a list of names and keys. It stops at a set, whose elements can't be indexed, and it passes over the
//! `{value, type}` that an attribute of a dynamic type is wrapped in.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The marks on a value and on what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Whether the whole value is marked.
    whole: bool,
    /// The marks further in, by name, key or position.
    below: BTreeMap<String, Self>,
}

/// One step of a path.
#[derive(Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
enum Step {
    GetAttr(String),
    Index(Key),
}

/// The key of a map, or the position in a list; `type` says which, and the value says it too.
#[derive(Deserialize)]
struct Key {
    value: Value,
}

impl Marks {
    /// Everything is marked.
    pub fn whole() -> Self {
        Self { whole: true, below: BTreeMap::new() }
    }

    /// Reads the paths of a state. What can't be understood marks everything, as it may hide anything.
    pub fn parse(paths: Option<&str>) -> Self {
        let Some(paths) = paths else { return Self::default() };
        let Ok(paths) = serde_json::from_str::<Option<Vec<Vec<Step>>>>(paths) else { return Self::whole() };
        let mut marks = Self::default();
        for path in paths.unwrap_or_default() {
            let mut at = &mut marks;
            for step in path {
                let step = match step {
                    Step::GetAttr(name) | Step::Index(Key { value: Value::String(name) }) => name,
                    Step::Index(Key { value }) => value.to_string(),
                };
                at = at.below.entry(step).or_default();
            }
            at.whole = true;
        }
        marks
    }

    /// Returns the marks of both.
    #[must_use]
    pub fn joined(mut self, other: Self) -> Self {
        let Self { whole, below } = other;
        self.whole |= whole;
        for (step, marks) in below {
            let known = self.below.remove(&step).unwrap_or_default();
            self.below.insert(step, known.joined(marks));
        }
        self
    }

    /// Returns whether nothing is marked.
    pub fn is_empty(&self) -> bool {
        !self.whole && self.below.is_empty()
    }

    /// Returns whether the whole value is marked.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Returns the marks on what is in the value at `step`.
    pub fn at(&self, step: &str) -> Option<&Self> {
        if self.whole { Some(self) } else { self.below.get(step) }
    }
}

/// Returns what is wrapped where a value is the `{value, type}` of an attribute with a dynamic type, and the type.
pub(in crate::state) fn unwrap_dynamic(value: &Value) -> Option<(&Value, &Value)> {
    let wrapper = value.as_object().filter(|wrapper| wrapper.len() == 2)?;
    let (value, kind) = (wrapper.get("value")?, wrapper.get("type")?);
    is_type(kind).then_some((value, kind))
}

/// Returns whether JSON spells a type of Terraform's: a name, or an array of a kind and what it holds.
fn is_type(value: &Value) -> bool {
    match value {
        Value::String(name) => matches!(name.as_str(), "string" | "number" | "bool" | "dynamic"),
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(kind), of] => match kind.as_str() {
                "list" | "set" | "map" => is_type(of),
                "tuple" => of.as_array().is_some_and(|types| types.iter().all(is_type)),
                "object" => is_object_type(of),
                _ => false,
            },
            [Value::String(kind), of, Value::Array(_)] if kind == "object" => is_object_type(of),
            _ => false,
        },
        _ => false,
    }
}

fn is_object_type(value: &Value) -> bool {
    value.as_object().is_some_and(|fields: &Map<_, _>| fields.values().all(is_type))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_names_keys_and_positions_are_followed() {
        let marks = Marks::parse(Some(
            r#"[[{"type":"get_attr","value":"password"}],
                [{"type":"get_attr","value":"list"},{"type":"index","value":{"value":1,"type":"number"}}],
                [{"type":"get_attr","value":"map"},{"type":"index","value":{"value":"k","type":"string"}},
                 {"type":"get_attr","value":"deep"}]]"#,
        ));

        let at = |path: &[&str]| path.iter().try_fold(&marks, |marks, step| marks.at(step));
        for marked in
            [&["password"] as &[_], &["password", "in", "it"], &["list", "1"], &["map", "k", "deep"]]
        {
            assert!(at(marked).is_some_and(Marks::is_whole), "{marked:?}");
        }
        for plain in [&["user"] as &[_], &["list"], &["list", "0"], &["map", "k"]] {
            assert!(!at(plain).is_some_and(Marks::is_whole), "{plain:?}");
        }
    }

    #[test]
    fn no_paths_mark_nothing_and_strange_ones_everything() {
        for nothing in [None, Some("null"), Some("[]")] {
            assert!(Marks::parse(nothing).is_empty());
        }
        for strange in ["{}", "[[{\"type\":\"splat\"}]]", "[\"password\"]", "[[{\"type\":\"get_attr\"}]]"] {
            assert!(Marks::parse(Some(strange)).is_whole(), "{strange}");
        }
        assert!(Marks::parse(Some("[[]]")).is_whole());
    }

    #[test]
    fn only_the_wrapper_of_a_dynamic_value_is_unwrapped() {
        let object = json!({"value": {"a": 1}, "type": ["object", {"a": "number"}]});
        assert_eq!(unwrap_dynamic(&object).map(|(value, _)| value), Some(&json!({"a": 1})));
        assert!(unwrap_dynamic(&json!({"value": "x", "type": "string"})).is_some());
        assert!(unwrap_dynamic(&json!({"value": [1], "type": ["tuple", ["number"]]})).is_some());

        for other in [
            json!({"value": "10.0.0.1", "type": "A"}),
            json!({"value": "x", "type": "string", "ttl": 1}),
            json!({"value": "x", "type": ["list", "of", "words"]}),
            json!("text"),
        ] {
            assert!(unwrap_dynamic(&other).is_none(), "{other}");
        }
    }
}
