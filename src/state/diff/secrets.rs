//! Every value that is marked as sensitive anywhere in some versions of a state.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::super::document::{Address, Marks, State, Unreadable, unwrap_dynamic};

/// How long a marked text is at least for others to be searched for it: a shorter one is in many words by chance.
const SHORTEST_SEARCHED: usize = 4;

/// What may not be shown wherever it stands.
#[derive(Clone, Default)]
pub struct Secrets {
    texts: BTreeSet<String>,
    shown: bool,
}

impl Secrets {
    /// Everything may be shown, by the wish of a person at a terminal.
    pub fn shown() -> Self {
        Self { texts: BTreeSet::new(), shown: true }
    }

    /// Gathers what is marked in versions of one state: what one of them marks is marked in all.
    ///
    /// # Errors
    /// A resource's attributes are no object.
    pub fn of<'s, 'a: 's>(versions: &[&'s State<'a>]) -> Result<Self, Unreadable> {
        let mut marks: BTreeMap<Address<'s>, Marks> = BTreeMap::new();
        for (address, instance) in versions.iter().flat_map(|state| state.instances()) {
            let more = instance.marks();
            if !more.is_empty() {
                let known = marks.remove(&address).unwrap_or_default();
                marks.insert(address, known.joined(more));
            }
        }
        let outputs = || versions.iter().flat_map(|state| &state.outputs);
        let sensitive: BTreeSet<&String> =
            outputs().filter(|(_, output)| output.sensitive).map(|(name, _)| name).collect();

        let mut secrets = Self::default();
        for (address, instance) in versions.iter().flat_map(|state| state.instances()) {
            if let Some(marks) = marks.get(&address) {
                secrets.gather(&Value::Object(instance.attributes()?), marks);
            }
        }
        for (_, output) in outputs().filter(|(name, _)| sensitive.contains(name)) {
            secrets.gather(&output.value()?, &Marks::whole());
        }
        Ok(secrets)
    }

    /// Returns whether everything may be shown.
    pub fn are_shown(&self) -> bool {
        self.shown
    }

    /// Returns whether a value is, or has in it, one that is marked somewhere.
    pub fn cover(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.cover_text(text),
            Value::Number(number) => self.texts.contains(&number.to_string()),
            Value::Null | Value::Bool(_) => false,
            Value::Array(values) => values.iter().any(|value| self.cover(value)),
            Value::Object(fields) => {
                fields.iter().any(|(name, value)| self.cover_text(name) || self.cover(value))
            }
        }
    }

    /// Returns whether a text is, or has in it, one that is marked somewhere.
    pub fn cover_text(&self, text: &str) -> bool {
        let searched = self.texts.iter().filter(|secret| secret.len() >= SHORTEST_SEARCHED);
        self.texts.contains(text) || searched.into_iter().any(|secret| text.contains(secret.as_str()))
    }

    fn gather(&mut self, value: &Value, marks: &Marks) {
        if let (false, Some((inner, _))) = (marks.is_whole(), unwrap_dynamic(value)) {
            self.gather(inner, marks);
        }
        match value {
            Value::String(text) if marks.is_whole() => self.add(text),
            Value::Number(number) if marks.is_whole() => self.add(&number.to_string()),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Number(_) => {}
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    if let Some(marks) = marks.at(&index.to_string()) {
                        self.gather(value, marks);
                    }
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    if let Some(marks) = marks.at(name) {
                        self.gather(value, marks);
                    }
                }
            }
        }
    }

    /// Adds a text, how it is spelled within JSON, and what is in it where it is JSON itself.
    fn add(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let spelled = Value::from(text).to_string();
        self.texts.insert(spelled.trim_matches('"').to_owned());
        self.texts.insert(text.to_owned());
        if text.starts_with(['{', '['])
            && let Ok(inner) = serde_json::from_str::<Value>(text)
        {
            self.gather(&inner, &Marks::whole());
        }
    }
}

/// Tells how many there are, and none of them.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("count", &self.texts.len()).field("shown", &self.shown).finish()
    }
}
