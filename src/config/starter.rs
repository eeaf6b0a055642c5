//! The first configuration of a project, as `init` writes it: no more than it takes, and a word on what can't be
//! guessed.

use std::fmt;

use super::{Engine, LockMode};
use crate::names::{AccountId, EnvironmentName, ProjectName, Region};

/// The text of a new configuration, formatted as `terraform fmt` leaves it.
#[derive(Debug, Clone)]
pub struct Starter {
    /// The name that prefixes everything we create.
    pub project: ProjectName,
    /// Where the backend lives.
    pub region: Region,
    /// The account that it must be in.
    pub account_id: Option<AccountId>,
    /// How Terraform locks a state.
    pub lock: LockMode,
    /// The environments, and whether each is a sandbox.
    pub environments: Vec<(EnvironmentName, bool)>,
    /// What the rendered files are for.
    pub engine: Engine,
}

impl fmt::Display for Starter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, region, account_id, lock, environments, engine } = self;
        let terraform = match engine {
            Engine::Terraform => "Terraform",
            Engine::OpenTofu => "OpenTofu",
        };
        writeln!(f, "# Where {terraform} keeps its state.")?;
        writeln!(f, "# `underpin plan` shows what has to be made, `underpin apply` makes it.\n")?;
        writeln!(f, "# The name of everything that is made begins with it.")?;
        writeln!(f, "project = \"{project}\"\n")?;
        writeln!(f, "backend \"main\" {{")?;
        writeln!(f, "  region = \"{region}\"\n")?;
        writeln!(f, "  # With credentials of any other account, nothing is done.")?;
        match account_id {
            Some(account_id) => writeln!(f, "  account_id = \"{account_id}\"\n")?,
            None => writeln!(f, "  # account_id = \"111122223333\"\n")?,
        }
        write_lock(f, *lock)?;
        writeln!(f, "}}")?;
        if environments.iter().any(|(_, sandbox)| *sandbox) {
            writeln!(f, "\n# A sandbox may be torn down.")?;
        } else if !environments.is_empty() {
            writeln!(f, "\n# With `sandbox = true`, an environment may be torn down.")?;
        }
        for (index, (name, sandbox)) in environments.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write_environment(f, name, *sandbox, *engine)?;
        }
        Ok(())
    }
}

fn write_lock(f: &mut fmt::Formatter<'_>, lock: LockMode) -> fmt::Result {
    let lock = match lock {
        LockMode::DynamoDb => "dynamodb",
        LockMode::S3 => "s3",
        LockMode::Both => "both",
    };
    writeln!(
        f,
        "  # \"dynamodb\" locks in a table and works with every version; \"s3\" needs no table, and"
    )?;
    writeln!(f, "  # version 1.10 or later; \"both\" is for the way from one to the other.")?;
    writeln!(f, "  lock = \"{lock}\"")
}

fn write_environment(
    f: &mut fmt::Formatter<'_>,
    name: &EnvironmentName,
    sandbox: bool,
    engine: Engine,
) -> fmt::Result {
    let sandbox = if sandbox { "  sandbox = true\n" } else { "" };
    let render = match engine {
        Engine::Terraform => "",
        Engine::OpenTofu => "  render {\n    engine = \"opentofu\"\n  }\n",
    };
    let between = if sandbox.is_empty() || render.is_empty() { "" } else { "\n" };
    match [sandbox, between, render].concat().as_str() {
        "" => writeln!(f, "environment \"{name}\" {{}}"),
        body => writeln!(f, "environment \"{name}\" {{\n{body}}}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;

    fn starter() -> Starter {
        Starter {
            project: "acme".parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
            account_id: Some("111122223333".parse().unwrap()),
            lock: LockMode::DynamoDb,
            environments: vec![("dev".parse().unwrap(), true), ("prod".parse().unwrap(), false)],
            engine: Engine::Terraform,
        }
    }

    #[test]
    fn the_text_means_what_was_answered() {
        for lock in [LockMode::DynamoDb, LockMode::S3, LockMode::Both] {
            for engine in [Engine::Terraform, Engine::OpenTofu] {
                for account_id in [None, starter().account_id] {
                    let starter = Starter { account_id, lock, engine, ..starter() };

                    let loaded = parse(Path::new("underpin.hcl"), &starter.to_string()).unwrap();

                    assert_eq!(loaded.warnings, []);
                    let backend = &loaded.config.backends[0];
                    assert_eq!((&loaded.config.project, backend.name.as_str()), (&starter.project, "main"));
                    assert_eq!((&backend.region, backend.lock), (&starter.region, starter.lock));
                    assert_eq!(backend.account_id, starter.account_id);
                    let environments = loaded.config.environments.into_iter();
                    let environments = environments.map(|environment| {
                        assert_eq!(environment.engine, engine);
                        (environment.name, environment.sandbox)
                    });
                    assert_eq!(environments.collect::<Vec<_>>(), starter.environments);
                }
            }
        }
    }

    #[test]
    fn the_text_is_short_and_tells_what_cannot_be_guessed() {
        insta::assert_snapshot!(starter(), @r#"
        # Where Terraform keeps its state.
        # `underpin plan` shows what has to be made, `underpin apply` makes it.

        # The name of everything that is made begins with it.
        project = "acme"

        backend "main" {
          region = "eu-west-1"

          # With credentials of any other account, nothing is done.
          account_id = "111122223333"

          # "dynamodb" locks in a table and works with every version; "s3" needs no table, and
          # version 1.10 or later; "both" is for the way from one to the other.
          lock = "dynamodb"
        }

        # A sandbox may be torn down.
        environment "dev" {
          sandbox = true
        }

        environment "prod" {}
        "#);
        insta::assert_snapshot!(Starter { engine: Engine::OpenTofu, account_id: None, ..starter() }, @r#"
        # Where OpenTofu keeps its state.
        # `underpin plan` shows what has to be made, `underpin apply` makes it.

        # The name of everything that is made begins with it.
        project = "acme"

        backend "main" {
          region = "eu-west-1"

          # With credentials of any other account, nothing is done.
          # account_id = "111122223333"

          # "dynamodb" locks in a table and works with every version; "s3" needs no table, and
          # version 1.10 or later; "both" is for the way from one to the other.
          lock = "dynamodb"
        }

        # A sandbox may be torn down.
        environment "dev" {
          sandbox = true

          render {
            engine = "opentofu"
          }
        }

        environment "prod" {
          render {
            engine = "opentofu"
          }
        }
        "#);
    }
}
