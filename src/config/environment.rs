//! What an environment means.

use std::path::PathBuf;

use super::file::{BackendBlock, EnvironmentBlock};
use super::mistake::{Findings, Rule, quoted};
use super::reader::Written;
use super::resolve::{name, unique};
use super::{Component, Engine, Environment, likeliest, paths, there_is};
use crate::names::{BackendName, ComponentName, EnvironmentName};

/// The component of an environment that names none.
const ONLY_COMPONENT: &str = "main";

/// Resolves an environment; `None` where a mistake leaves nothing to mean.
pub(super) fn resolve(
    block: &EnvironmentBlock,
    backends: &[BackendBlock],
    findings: &mut Findings,
) -> Option<Environment> {
    let EnvironmentBlock { at: _, name: label, backend: _, sandbox, components, directory, engine } = block;
    let environment: Option<EnvironmentName> = name(label.as_ref(), "an environment's name", findings);
    let backend = resolve_backend(block, backends, findings);
    let names = resolve_components(components.as_ref(), findings);
    let directory = match directory {
        Some(directory) => paths::directory(directory, findings).map(Some),
        None => Some(None),
    };
    let environment = environment?;
    let base = directory?.unwrap_or_else(|| PathBuf::from(format!("environments/{environment}")));
    let components = names.into_iter().map(|name| {
        let directory = match name.as_str() {
            ONLY_COMPONENT => base.clone(),
            name => paths::normal(&base.join(name)),
        };
        Component { name, directory }
    });
    Some(Environment {
        components: components.collect(),
        backend: backend?,
        sandbox: sandbox.as_ref().is_some_and(|sandbox| sandbox.value),
        engine: engine.unwrap_or(Engine::Terraform),
        name: environment,
    })
}

/// Resolves the backend: the one that is named, or the only one there is.
fn resolve_backend(
    block: &EnvironmentBlock,
    backends: &[BackendBlock],
    findings: &mut Findings,
) -> Option<BackendName> {
    let labels: Vec<&str> =
        backends.iter().filter_map(|backend| Some(backend.name.as_ref()?.value.as_str())).collect();
    match (&block.backend, backends) {
        (Some(Written { value, span }), _) => {
            if !labels.contains(&value.as_str()) && !labels.is_empty() {
                let what = format!("there is no backend {}", quoted(value));
                let hint = match likeliest(value, labels.iter().copied()) {
                    Some(likeliest) => format!("Did you mean `{likeliest}`?"),
                    None => there_is(&labels),
                };
                findings.mistake(Rule::UnknownBackend, span, what, hint);
                return None;
            }
            // A backend's own name is checked where it stands.
            value.parse().ok()
        }
        (None, [backend]) => backend.name.as_ref()?.value.parse().ok(),
        (None, []) => None,
        (None, _) => {
            let what = "this environment does not say which backend it lives on".to_owned();
            let hint = format!("Add `backend = ...`. {}", there_is(&labels));
            findings.mistake(Rule::WhichBackend, &block.at, what, hint);
            None
        }
    }
}

fn resolve_components(
    written: Option<&Written<Vec<Written<String>>>>,
    findings: &mut Findings,
) -> Vec<ComponentName> {
    let Some(Written { value, span }) = written else {
        return ONLY_COMPONENT.parse().into_iter().collect();
    };
    if value.is_empty() {
        let hint = "Leave it out for a single component, `main`.".to_owned();
        findings.mistake(Rule::Missing, span, "`components` is empty", hint);
    }
    unique("component", value.iter(), findings);
    value.iter().filter_map(|written| name(Some(written), "a component's name", findings)).collect()
}
