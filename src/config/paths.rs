//! The two paths of a configuration: the folder of the templates, and where backend files go.

use std::path::{Component, Path, PathBuf};

use super::mistake::{Findings, Rule, quoted};
use super::reader::Written;

/// Resolves `templates`: any folder will do, since nothing is written to it.
pub(super) fn templates(written: &Written<String>, findings: &mut Findings) -> Option<PathBuf> {
    let fault = unusable(&written.value)?;
    complain(written, "templates", fault, findings)
}

/// Resolves `directory`: files are written to it, so it lies below the configuration's own folder.
pub(super) fn directory(written: &Written<String>, findings: &mut Findings) -> Option<PathBuf> {
    let path = Path::new(&written.value);
    let fault = unusable(&written.value).or_else(|| {
        let begins_at_root = written.value.starts_with(['/', '~']) || written.value.get(1..2) == Some(":");
        if begins_at_root {
            Some("is not relative to the configuration's folder")
        } else if path.components().any(|part| part == Component::ParentDir) {
            Some("leads out of the configuration's folder")
        } else {
            None
        }
    });
    match fault {
        None => Some(normal(path)),
        Some(fault) => complain(written, "directory", fault, findings),
    }
}

/// Writes a path in the one way that it has: without `.`, doubled or trailing slashes.
pub(super) fn normal(path: &Path) -> PathBuf {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
    let normal: PathBuf = parts.collect();
    if normal.as_os_str().is_empty() { PathBuf::from(".") } else { normal }
}

fn unusable(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("is empty")
    } else if path.contains(char::is_control) {
        Some("has a control character or a line end")
    } else if path.contains('\\') {
        Some("has a backslash; `/` divides folders on every system")
    } else {
        None
    }
}

fn complain(written: &Written<String>, name: &str, fault: &str, findings: &mut Findings) -> Option<PathBuf> {
    let what = match written.value.as_str() {
        "" => format!("`{name}` is empty"),
        value => format!("`{name}` can't be {}: it {fault}", quoted(value)),
    };
    findings.mistake(Rule::Path, &written.span, what, None);
    None
}
