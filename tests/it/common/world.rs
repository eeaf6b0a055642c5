//! All that a run leaves behind, in the account and in the project's folder, as one value.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::TestEnv;

impl TestEnv {
    /// Returns what is in the account and in every file, as it would be in another account where the same was done.
    pub(crate) fn world(&self) -> Value {
        let mut files = BTreeMap::new();
        read_files(&self.folder(), &mut files);
        let names = self.account().key_names();
        for content in files.values_mut() {
            for (id, name) in &names {
                *content = content.replace(id, name);
            }
        }
        let files: BTreeMap<String, String> = files
            .into_iter()
            .map(|(path, content)| (path.replace(&self.folder().display().to_string(), ""), content))
            .collect();
        json!({ "account": self.account().comparable_dump(), "files": files })
    }
}

/// Reads every file, hidden ones too: what was half written would have such a name.
fn read_files(folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            read_files(&path, files);
        } else {
            let content = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
            files.insert(path.display().to_string(), content);
        }
    }
}

/// Returns the places where two worlds differ, each with what is here and what is there.
pub(crate) fn differences(here: &Value, there: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", here, there, &mut found);
    found
}

fn compare(place: &str, here: &Value, there: &Value, found: &mut Vec<String>) {
    match (here, there) {
        (Value::Object(these), Value::Object(those)) => {
            for name in these.keys().chain(those.keys().filter(|name| !these.contains_key(*name))) {
                let of = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                compare(&format!("{place}/{name}"), &of(these), &of(those), found);
            }
        }
        (Value::Array(these), Value::Array(those)) if these.len() == those.len() => {
            for (at, (this, that)) in these.iter().zip(those).enumerate() {
                compare(&format!("{place}/{at}"), this, that, found);
            }
        }
        _ if here == there => {}
        _ => found.push(format!("{place}: {here} and {there}")),
    }
}
