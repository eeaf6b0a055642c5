//! What is kept of a state to tell how many resources differ from those of another: a few bytes for each.
//!
//! A history has thousands of versions, and every two neighbours are compared. Two of them whole would do, but many are
//! read side by side.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::document::State;
use super::Counts;

/// The instances of a state, each by the hashes of its address and of its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<u64, u64>);

impl Fingerprint {
    /// Takes the fingerprint of a state.
    pub fn of(state: &State<'_>) -> Self {
        let instances = state
            .instances()
            .map(|(address, instance)| (hash(&address), hash(&(instance.text(), instance.is_tainted()))));
        Self(instances.collect())
    }

    /// Counts what changed from this state to a later one. What was moved counts as removed and added.
    pub fn changes(&self, later: &Self) -> Counts {
        let mut counts = Counts::default();
        for (address, content) in &later.0 {
            match self.0.get(address) {
                None => counts.added += 1,
                Some(before) if before != content => counts.changed += 1,
                Some(_) => {}
            }
        }
        counts.removed = self.0.keys().filter(|address| !later.0.contains_key(*address)).count();
        counts
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::document::Document;
    use super::*;

    fn fingerprint(resources: &[(&str, Value)]) -> Fingerprint {
        let resources: Vec<Value> = resources
            .iter()
            .map(|(name, attributes)| {
                json!({ "mode": "managed", "type": "t", "name": name, "instances": [{ "attributes": attributes }] })
            })
            .collect();
        let text = json!({ "version": 4, "resources": resources }).to_string();
        Fingerprint::of(Document::parse(text.as_bytes()).unwrap().plain().unwrap())
    }

    #[test]
    fn resources_are_counted_by_what_became_of_them() {
        let before = fingerprint(&[("a", json!({"x": 1})), ("b", json!({"x": 1})), ("c", json!({}))]);
        let after = fingerprint(&[
            ("a", json!({"x": 1})),
            ("b", json!({"x": 2})),
            ("d", json!({})),
            ("e", json!({})),
        ]);

        assert_eq!(before.changes(&after), Counts { added: 2, changed: 1, removed: 1, moved: 0 });
        assert_eq!(after.changes(&after), Counts::default());
    }
}
