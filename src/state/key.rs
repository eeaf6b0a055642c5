//! The names of states: the object's key, as Terraform builds it, and what the key means to us.

use std::fmt;
use std::str::FromStr;

use crate::names::{ComponentName, EnvironmentName, InvalidName};

/// What follows a state's key in the key of its lock object.
const LOCKFILE: &str = ".tflock";
/// What follows a component in the key of its state.
const STATE: &str = ".tfstate";
/// Where underpin keeps what is its own.
const OWN: &str = "underpin/";
/// The folder of an environment's workspaces: its `workspace_key_prefix` without the environment.
const WORKSPACES: &str = "env:";

/// The key of a state's object in its bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey(String);

/// A state as a person names it: `ENV/COMPONENT`, and `@WORKSPACE` where it is not the default one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateAddress {
    /// The environment.
    pub environment: EnvironmentName,
    /// The component.
    pub component: ComponentName,
    /// The workspace; `None` for the default one.
    pub workspace: Option<String>,
}

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no state")]
pub struct InvalidAddress {
    /// The text.
    pub text: String,
    /// The part of it that is no name, where one is.
    pub source: Option<InvalidName>,
}

impl StateKey {
    /// Names a state by its object's key.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// Returns the key as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the key of the state's lock object.
    pub fn lockfile(&self) -> String {
        format!("{}{LOCKFILE}", self.0)
    }

    /// Returns the state whose lock object has this key; `None` where it is no lock object.
    pub fn of_lockfile(key: &str) -> Option<Self> {
        key.strip_suffix(LOCKFILE).filter(|state| !state.is_empty()).map(Self::new)
    }

    /// Returns whether an object with this key is a state: what underpin keeps for itself, and locks, are none.
    pub fn is_state(key: &str) -> bool {
        key.ends_with(STATE) && !key.starts_with(OWN)
    }

    /// Returns the environment whose prefix the key lies under, whether the configuration knows it or not.
    pub fn environment(&self) -> Option<EnvironmentName> {
        self.0.split_once('/').and_then(|(environment, _)| environment.parse().ok())
    }

    /// Returns what the key means; `None` where it is not one that we would give.
    pub fn address(&self) -> Option<StateAddress> {
        let (environment, rest) = self.0.split_once('/')?;
        let (workspace, component) =
            match rest.strip_prefix(WORKSPACES).and_then(|rest| rest.strip_prefix('/')) {
                Some(rest) => {
                    let (workspace, key) = rest.split_once('/')?;
                    let component = key.strip_prefix(environment)?.strip_prefix('/')?;
                    (Some(workspace.to_owned()), component)
                }
                None => (None, rest),
            };
        Some(StateAddress {
            environment: environment.parse().ok()?,
            component: component.strip_suffix(STATE)?.parse().ok()?,
            workspace,
        })
    }
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StateAddress {
    /// Returns the key that Terraform gives this state: `PREFIX/WORKSPACE/KEY` in a workspace.
    pub fn key(&self) -> StateKey {
        let Self { environment, component, workspace } = self;
        let key = format!("{environment}/{component}{STATE}");
        StateKey(match workspace {
            Some(workspace) => format!("{environment}/{WORKSPACES}/{workspace}/{key}"),
            None => key,
        })
    }
}

impl StateAddress {
    /// Returns the state of the same component in the default workspace.
    #[must_use]
    pub fn in_default_workspace(&self) -> Self {
        Self { workspace: None, ..self.clone() }
    }
}

impl fmt::Display for StateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { environment, component, workspace } = self;
        write!(f, "{environment}/{component}")?;
        match workspace {
            Some(workspace) => write!(f, "@{workspace}"),
            None => Ok(()),
        }
    }
}

impl FromStr for StateAddress {
    type Err = InvalidAddress;

    /// Reads `ENV`, `ENV/COMPONENT` or `ENV/COMPONENT@WORKSPACE`; the component is `main` where none is named.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = |source| InvalidAddress { text: text.to_owned(), source };
        let (name, workspace) = match text.split_once('@') {
            Some((_, workspace)) if workspace.is_empty() || workspace.contains('/') => {
                return Err(invalid(None));
            }
            Some((name, "default")) => (name, None),
            Some((name, workspace)) => (name, Some(workspace.to_owned())),
            None => (text, None),
        };
        let (environment, component) = name.split_once('/').unwrap_or((name, "main"));
        Ok(Self {
            environment: environment.parse().map_err(|error| invalid(Some(error)))?,
            component: component.parse().map_err(|error| invalid(Some(error)))?,
            workspace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_its_key_are_two_spellings_of_one_state() {
        for (address, key) in [
            ("dev/main", "dev/main.tfstate"),
            ("dev/network/vpc", "dev/network/vpc.tfstate"),
            ("dev/main@feature-1", "dev/env:/feature-1/dev/main.tfstate"),
            ("dev/network/vpc@a@b", "dev/env:/a@b/dev/network/vpc.tfstate"),
        ] {
            let parsed: StateAddress = address.parse().unwrap();
            assert_eq!(parsed.key().as_str(), key);
            assert_eq!(parsed.key().address(), Some(parsed.clone()));
            assert_eq!(parsed.to_string(), address);
        }
    }

    #[test]
    fn what_is_left_out_is_main_in_the_default_workspace() {
        for text in ["dev", "dev/main", "dev@default", "dev/main@default"] {
            assert_eq!(text.parse::<StateAddress>().unwrap().to_string(), "dev/main", "{text}");
        }
    }

    #[test]
    fn a_text_that_names_no_state_is_refused() {
        for text in ["", "/", "dev/", "Dev/main", "dev/main@", "dev/main@a/b", "underpin/records", "dev//x"] {
            assert!(text.parse::<StateAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_of_another_making_means_nothing_to_us() {
        for key in [
            "main.tfstate",
            "dev/main",
            "dev/env:/w/prod/main.tfstate",
            "dev/env:/w/main.tfstate",
            "underpin/records.tfstate",
            "dev/Main.tfstate",
        ] {
            assert_eq!(StateKey::new(key).address(), None, "{key}");
        }
    }

    #[test]
    fn a_lock_object_lies_beside_its_state() {
        let state = StateKey::new("dev/main.tfstate");
        assert_eq!(state.lockfile(), "dev/main.tfstate.tflock");
        assert_eq!(StateKey::of_lockfile(&state.lockfile()), Some(state));
        assert_eq!(StateKey::of_lockfile("dev/main.tfstate"), None);
        assert_eq!(StateKey::of_lockfile(".tflock"), None);
    }
}
