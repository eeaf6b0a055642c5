//! Which backends and environments a command is about.

use std::collections::BTreeSet;

use super::Config;

/// A name that was selected and is not in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has no {kind} `{name}`")]
pub struct UnknownName {
    /// `backend` or `environment`.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// The names that there are.
    pub known: Vec<String>,
}

impl UnknownName {
    /// Returns the name that was probably meant.
    pub fn likeliest(&self) -> Option<&str> {
        super::likeliest(&self.name, self.known.iter().map(String::as_str))
    }
}

impl Config {
    /// Narrows the configuration to some backends and environments; an empty list selects all.
    ///
    /// An environment brings the backend that it lives on, a backend all of its environments.
    ///
    /// # Errors
    /// A name is not in the configuration.
    pub fn select(mut self, backends: &[String], environments: &[String]) -> Result<Self, UnknownName> {
        let known = self.backends.iter().map(|backend| backend.name.to_string());
        check("backend", backends, known.collect())?;
        let known = self.environments.iter().map(|environment| environment.name.to_string());
        check("environment", environments, known.collect())?;

        if !environments.is_empty() {
            self.environments
                .retain(|environment| environments.iter().any(|name| name == environment.name.as_str()));
            let homes: BTreeSet<_> =
                self.environments.iter().map(|environment| environment.backend.clone()).collect();
            self.backends.retain(|backend| homes.contains(&backend.name));
        }
        if !backends.is_empty() {
            self.backends.retain(|backend| backends.iter().any(|name| name == backend.name.as_str()));
            self.environments.retain(|environment| {
                self.backends.iter().any(|backend| backend.name == environment.backend)
            });
        }
        Ok(self)
    }
}

fn check(kind: &'static str, wanted: &[String], known: Vec<String>) -> Result<(), UnknownName> {
    match wanted.iter().find(|name| !known.contains(name)) {
        Some(name) => Err(UnknownName { kind, name: name.clone(), known }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;

    const TWO_BACKENDS: &str = r#"
        project = "acme"
        backend "main" { region = "eu-west-1" }
        backend "second" { region = "eu-west-1" }
        environment "dev" { backend = "main" }
        environment "staging" { backend = "second" }
        environment "prod" { backend = "second" }
    "#;

    fn select(backends: &[&str], environments: &[&str]) -> Result<(Vec<String>, Vec<String>), UnknownName> {
        let config = parse(Path::new("underpin.hcl"), TWO_BACKENDS).unwrap().config;
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let config = config.select(&owned(backends), &owned(environments))?;
        Ok((
            config.backends.iter().map(|backend| backend.name.to_string()).collect(),
            config.environments.iter().map(|environment| environment.name.to_string()).collect(),
        ))
    }

    #[test]
    fn nothing_selected_is_everything() {
        let (backends, environments) = select(&[], &[]).unwrap();
        assert_eq!((backends.len(), environments.len()), (2, 3));
    }

    #[test]
    fn an_environment_brings_its_backend_and_a_backend_its_environments() {
        let (backends, environments) = select(&[], &["dev"]).unwrap();
        assert_eq!((backends, environments), (vec!["main".to_owned()], vec!["dev".to_owned()]));
        let (backends, environments) = select(&["second"], &[]).unwrap();
        assert_eq!(
            (backends, environments),
            (vec!["second".to_owned()], vec!["staging".to_owned(), "prod".to_owned()])
        );
    }

    #[test]
    fn an_unknown_name_is_an_error_that_knows_the_likeliest() {
        let error = select(&[], &["pord"]).unwrap_err();
        assert_eq!(error.to_string(), "the configuration has no environment `pord`");
        assert_eq!(error.likeliest(), Some("prod"));
    }
}
