//! What a configuration means: names become what they name, what is left out gets its default, and what would fail in
//! AWS is said here.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use super::file::File;
use super::mistake::{Findings, Rule, quoted};
use super::reader::Written;
use super::{Config, Environment, S3Backend, backend, collision, environment, paths, tags};
use crate::names::{InvalidName, ProjectName};

/// Resolves a file; `None` where a mistake leaves nothing to mean.
pub(super) fn resolve(file: &File, findings: &mut Findings) -> Option<Config> {
    let project: Option<ProjectName> = name(file.project.as_ref(), "the project's name", findings);
    let tags = tags::resolve(&file.tags, findings);
    let templates = file.templates.as_ref().and_then(|templates| paths::templates(templates, findings));
    unique("backend", file.backends.iter().filter_map(|block| block.name.as_ref()), findings);
    unique("environment", file.environments.iter().filter_map(|block| block.name.as_ref()), findings);
    let backends: Vec<_> = file
        .backends
        .iter()
        .filter_map(|block| Some((block, backend::resolve(block, project.as_ref(), findings)?)))
        .collect();
    let environments: Vec<_> = file
        .environments
        .iter()
        .filter_map(|block| Some((block, environment::resolve(block, &file.backends, findings)?)))
        .collect();
    presence(file, findings);
    collision::directories(&environments, findings);
    if let Some(project) = &project {
        collision::resources(project, &backends, findings);
        collision::policies(project, &backends, &environments, findings);
    }

    let path = findings.source.path.clone();
    let root = path.parent().filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let environments: Vec<Environment> =
        environments.into_iter().map(|(_, environment)| environment).collect();
    Some(Config {
        root: root.to_owned(),
        path,
        project: project?,
        tags,
        templates,
        backends: backends.into_iter().map(|(_, backend)| with_sandbox(backend, &environments)).collect(),
        environments,
    })
}

/// Checks that there is something to look after.
fn presence(file: &File, findings: &mut Findings) {
    let hint = |example: &str| format!("Add one: `{example}`.");
    if file.backends.is_empty() {
        let hint = hint("backend \"main\" { region = \"eu-west-1\" }");
        findings.mistake(Rule::NoBackend, &(0..0), "there is no backend", hint);
    }
    if file.environments.is_empty() {
        let what = "there is no environment, so no policy is made and no backend file is rendered";
        findings.warning(Rule::NoEnvironment, &(0..0), what, hint("environment \"dev\" {}"));
    }
}

fn with_sandbox(backend: S3Backend, environments: &[Environment]) -> S3Backend {
    let mut own = environments.iter().filter(|environment| environment.backend == backend.name).peekable();
    let sandbox = own.peek().is_some() && own.all(|environment| environment.sandbox);
    S3Backend { sandbox, ..backend }
}

/// Resolves a name by the rules of its type; `role` says what it would be the name of.
pub(super) fn name<T: FromStr<Err = InvalidName>>(
    written: Option<&Written<String>>,
    role: &str,
    findings: &mut Findings,
) -> Option<T> {
    let Written { value, span } = written?;
    match value.parse() {
        Ok(name) => Some(name),
        Err(InvalidName { rule }) => {
            let what = format!("{} can't be {role}", quoted(value));
            findings.mistake(Rule::Name, span, what, sentence(rule));
            None
        }
    }
}

/// A number that may be set.
#[derive(Debug)]
pub(super) struct Number {
    /// The attribute.
    pub(super) name: &'static str,
    /// What it can be.
    pub(super) range: RangeInclusive<i32>,
    /// What it is unless it is set.
    pub(super) default: i32,
}

/// Resolves a number.
pub(super) fn number(written: Option<&Written<i64>>, number: &Number, findings: &mut Findings) -> i32 {
    let Number { name, range, default } = number;
    let Some(Written { value, span }) = written else { return *default };
    match i32::try_from(*value) {
        Ok(value) if range.contains(&value) => value,
        _ => {
            let what = match (range.start(), range.end()) {
                (least, &i32::MAX) => format!("`{name}` must be {least} or more"),
                (least, most) => format!("`{name}` must be {least} to {most}"),
            };
            findings.mistake(Rule::Range, span, what, None);
            *default
        }
    }
}

/// Checks that no two things of a kind have one name.
pub(super) fn unique<'a>(
    kind: &str,
    names: impl Iterator<Item = &'a Written<String>>,
    findings: &mut Findings,
) {
    let mut first: BTreeMap<&str, &Written<String>> = BTreeMap::new();
    for written in names {
        if let Some(first) = first.get(written.value.as_str()) {
            let what = format!("there is a second {kind} called {}", quoted(&written.value));
            let hint = format!("The first is in line {}.", findings.line(&first.span));
            findings.mistake(Rule::DuplicateName, &written.span, what, hint);
        } else {
            first.insert(&written.value, written);
        }
    }
}

/// Makes a sentence of a rule.
pub(super) fn sentence(rule: &str) -> String {
    let mut letters = rule.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
