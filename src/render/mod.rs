//! Renders the files that tell Terraform where its state lives.
//!
//! What a file says is decided here, purely: the same configuration and the same account give the same bytes on any
//! machine. What stands beside it is looked at in `neighbours`, and the disk is written to in `write`.

mod neighbours;
mod template;
mod version;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::config::{Component, Config, Environment, S3Backend};
use crate::names::{BackendName, BucketName, ComponentName, EnvironmentName, KeyArn, Place};

pub use neighbours::{Finding, NeighbourError, Problem, neighbours};
pub use template::{TemplateError, Templates};
pub use write::{
    ByHand, FileAction, FileChange, FileError, FilePlan, FileRefusal, Reason, plan_files, write,
};

use template::Variables;

/// What the first line of every rendered file says, and of no other.
///
/// It names no version of ours: an upgrade of underpin alone changes no file, so nobody has to run `terraform init`
/// again for it.
const MARK: &str = "Made by underpin";

/// What is rendered of a backend beside its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendFacts {
    /// Where it lives.
    pub place: Place,
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key. Where that is not known, as offline, the alias stands in for it.
    pub key: Option<KeyArn>,
}

/// A rendered file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The environment that it is for.
    pub environment: EnvironmentName,
    /// The component that it is for.
    pub component: ComponentName,
    /// Where it goes, relative to the configuration's folder.
    pub path: PathBuf,
    /// What it says.
    pub content: String,
    /// All that its key may be called and still be the same key.
    pub key_references: BTreeSet<String>,
}

/// Why nothing could be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The facts of a backend are missing.
    #[error(
        "failed to render environment `{environment}`: its backend `{backend}` is not among those looked up"
    )]
    UnknownBackend {
        /// The environment.
        environment: EnvironmentName,
        /// Its backend.
        backend: BackendName,
    },
    /// A template is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Renders the backend files of some environments of a configuration, in the order of the file.
///
/// # Errors
/// A template is wrong, or `facts` lacks the backend of one of the environments.
pub fn render<'a>(
    config: &Config,
    templates: &Templates,
    facts: &BTreeMap<BackendName, BackendFacts>,
    environments: impl IntoIterator<Item = &'a Environment>,
) -> Result<Vec<Rendered>, RenderError> {
    let mut rendered = Vec::new();
    for environment in environments {
        let backend = config.backends.iter().find(|backend| backend.name == environment.backend);
        let (Some(backend), Some(facts)) = (backend, facts.get(&environment.backend)) else {
            return Err(RenderError::UnknownBackend {
                environment: environment.name.clone(),
                backend: environment.backend.clone(),
            });
        };
        for component in &environment.components {
            rendered.push(render_component(config, templates, backend, facts, environment, component)?);
        }
    }
    Ok(rendered)
}

fn render_component(
    config: &Config,
    templates: &Templates,
    backend: &S3Backend,
    facts: &BackendFacts,
    environment: &Environment,
    component: &Component,
) -> Result<Rendered, TemplateError> {
    let BackendFacts { place, bucket, key } = facts;
    let alias_arn = place.alias_arn(&backend.key.alias);
    let key_arn = key.as_ref().map(ToString::to_string);
    let minimum = version::minimum(backend.lock);
    let variables = Variables {
        mark: format!("{MARK} from {}", source_of(config)),
        project: config.project.as_str(),
        backend: backend.name.as_str(),
        environment: environment.name.as_str(),
        component: component.name.as_str(),
        engine: version::name_of(environment.engine),
        minimum_version: minimum.to_string(),
        minimum_for: minimum.argument,
        bucket: bucket.as_str(),
        key: component.state_key(&environment.name),
        region: place.region.as_str(),
        kms_key_id: key_arn.as_deref().unwrap_or(&alias_arn),
        account_id: place.account.as_str(),
        workspace_key_prefix: format!("{}/env:", environment.name),
        dynamodb_table: backend.lock.uses_table().then(|| backend.table.as_str()),
        use_lockfile: backend.lock.uses_lockfile(),
    };
    let form = &template::BACKEND_TF;
    Ok(Rendered {
        environment: environment.name.clone(),
        component: component.name.clone(),
        path: component.directory.join(form.file_name),
        content: templates.render(form, &variables)?,
        key_references: key_arn.into_iter().chain([alias_arn]).collect(),
    })
}

/// Returns the configuration's file name. Where the file lies differs between machines, so it is not told.
fn source_of(config: &Config) -> String {
    let name = config.path.file_name().unwrap_or(config.path.as_os_str());
    // A line break in a file name would end the comment that it stands in.
    name.to_string_lossy().replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::config::{Bucket, Engine, Key, LockMode};

    /// Returns a configuration with one backend, `main`.
    pub(super) fn config(lock: LockMode, environments: Vec<Environment>) -> Config {
        let backend = S3Backend {
            name: "main".parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
            account_id: None,
            profile: None,
            lock,
            bucket: Bucket { name: None, keep_versions: 50, expire_days: 90 },
            table: "acme-tfstate-locks".parse().unwrap(),
            key: Key {
                alias: "alias/acme-tfstate".parse().unwrap(),
                rotation_days: 365,
                deletion_window_days: 30,
            },
            sandbox: false,
        };
        Config {
            path: "infra/underpin.hcl".into(),
            root: "infra".into(),
            project: "acme".parse().unwrap(),
            tags: BTreeMap::new(),
            templates: None,
            backends: vec![backend],
            environments,
        }
    }

    /// Returns an environment on the backend `main`, its components in the default folders.
    pub(super) fn environment(name: &str, engine: Engine, components: &[&str]) -> Environment {
        let component = |component: &&str| Component {
            name: component.parse().unwrap(),
            directory: match *component {
                "main" => format!("environments/{name}").into(),
                other => format!("environments/{name}/{other}").into(),
            },
        };
        Environment {
            name: name.parse().unwrap(),
            backend: "main".parse().unwrap(),
            sandbox: false,
            engine,
            components: components.iter().map(component).collect(),
        }
    }

    /// Returns the facts of the backend `main`.
    pub(super) fn facts(key: Option<&str>) -> BTreeMap<BackendName, BackendFacts> {
        let facts = BackendFacts {
            place: Place {
                partition: "aws".parse().unwrap(),
                region: "eu-west-1".parse().unwrap(),
                account: "111122223333".parse().unwrap(),
            },
            bucket: "acme-tfstate-111122223333-eu-west-1".parse().unwrap(),
            key: key.map(|arn| arn.parse().unwrap()),
        };
        BTreeMap::from([("main".parse().unwrap(), facts)])
    }

    /// The ARN of the key.
    pub(super) const KEY_ARN: &str =
        "arn:aws:kms:eu-west-1:111122223333:key/1a2b3c4d-0000-4000-8000-000000000000";

    /// Renders one environment with our own templates.
    pub(super) fn rendered(lock: LockMode, engine: Engine, key: Option<&str>) -> Rendered {
        let config = config(lock, vec![environment("dev", engine, &["main"])]);
        let templates = Templates::load(None).unwrap();
        render(&config, &templates, &facts(key), &config.environments).unwrap().remove(0)
    }

    #[test]
    fn a_table_locks_where_the_mode_is_dynamodb() {
        assert_snapshot!(rendered(LockMode::DynamoDb, Engine::Terraform, Some(KEY_ARN)).content, @r#"
        # Made by underpin from underpin.hcl, for dev/main.
        # Edit that file and run `underpin render`: what is changed here is lost.
        # Needs Terraform 1.6 or later, for `allowed_account_ids`.
        terraform {
          backend "s3" {
            bucket               = "acme-tfstate-111122223333-eu-west-1"
            key                  = "dev/main.tfstate"
            region               = "eu-west-1"
            encrypt              = true
            kms_key_id           = "arn:aws:kms:eu-west-1:111122223333:key/1a2b3c4d-0000-4000-8000-000000000000"
            allowed_account_ids  = ["111122223333"]
            workspace_key_prefix = "dev/env:"
            dynamodb_table       = "acme-tfstate-locks"
          }
        }
        "#);
        assert_snapshot!(rendered(LockMode::DynamoDb, Engine::OpenTofu, Some(KEY_ARN)).content, @r#"
        # Made by underpin from underpin.hcl, for dev/main.
        # Edit that file and run `underpin render`: what is changed here is lost.
        # Needs OpenTofu 1.6 or later, for `allowed_account_ids`.
        terraform {
          backend "s3" {
            bucket               = "acme-tfstate-111122223333-eu-west-1"
            key                  = "dev/main.tfstate"
            region               = "eu-west-1"
            encrypt              = true
            kms_key_id           = "arn:aws:kms:eu-west-1:111122223333:key/1a2b3c4d-0000-4000-8000-000000000000"
            allowed_account_ids  = ["111122223333"]
            workspace_key_prefix = "dev/env:"
            dynamodb_table       = "acme-tfstate-locks"
          }
        }
        "#);
    }

    #[test]
    fn an_object_locks_where_the_mode_is_s3() {
        assert_snapshot!(rendered(LockMode::S3, Engine::Terraform, Some(KEY_ARN)).content, @r#"
        # Made by underpin from underpin.hcl, for dev/main.
        # Edit that file and run `underpin render`: what is changed here is lost.
        # Needs Terraform 1.10 or later, for `use_lockfile`.
        terraform {
          backend "s3" {
            bucket               = "acme-tfstate-111122223333-eu-west-1"
            key                  = "dev/main.tfstate"
            region               = "eu-west-1"
            encrypt              = true
            kms_key_id           = "arn:aws:kms:eu-west-1:111122223333:key/1a2b3c4d-0000-4000-8000-000000000000"
            allowed_account_ids  = ["111122223333"]
            workspace_key_prefix = "dev/env:"
            use_lockfile         = true
          }
        }
        "#);
        assert_snapshot!(rendered(LockMode::S3, Engine::OpenTofu, Some(KEY_ARN)).content, @r#"
        # Made by underpin from underpin.hcl, for dev/main.
        # Edit that file and run `underpin render`: what is changed here is lost.
        # Needs OpenTofu 1.10 or later, for `use_lockfile`.
        terraform {
          backend "s3" {
            bucket               = "acme-tfstate-111122223333-eu-west-1"
            key                  = "dev/main.tfstate"
            region               = "eu-west-1"
            encrypt              = true
            kms_key_id           = "arn:aws:kms:eu-west-1:111122223333:key/1a2b3c4d-0000-4000-8000-000000000000"
            allowed_account_ids  = ["111122223333"]
            workspace_key_prefix = "dev/env:"
            use_lockfile         = true
          }
        }
        "#);
    }

    #[test]
    fn table_and_object_lock_where_the_mode_is_both() {
        assert_snapshot!(rendered(LockMode::Both, Engine::Terraform, Some(KEY_ARN)).content, @r#"
        # Made by underpin from underpin.hcl, for dev/main.
        # Edit that file and run `underpin render`: what is changed here is lost.
        # Needs Terraform 1.10 or later, for `use_lockfile`.
        terraform {
          backend "s3" {
            bucket               = "acme-tfstate-111122223333-eu-west-1"
            key                  = "dev/main.tfstate"
            region               = "eu-west-1"
            encrypt              = true
            kms_key_id           = "arn:aws:kms:eu-west-1:111122223333:key/1a2b3c4d-0000-4000-8000-000000000000"
            allowed_account_ids  = ["111122223333"]
            workspace_key_prefix = "dev/env:"
            dynamodb_table       = "acme-tfstate-locks"
            use_lockfile         = true
          }
        }
        "#);
        assert_snapshot!(rendered(LockMode::Both, Engine::OpenTofu, Some(KEY_ARN)).content, @r#"
        # Made by underpin from underpin.hcl, for dev/main.
        # Edit that file and run `underpin render`: what is changed here is lost.
        # Needs OpenTofu 1.10 or later, for `use_lockfile`.
        terraform {
          backend "s3" {
            bucket               = "acme-tfstate-111122223333-eu-west-1"
            key                  = "dev/main.tfstate"
            region               = "eu-west-1"
            encrypt              = true
            kms_key_id           = "arn:aws:kms:eu-west-1:111122223333:key/1a2b3c4d-0000-4000-8000-000000000000"
            allowed_account_ids  = ["111122223333"]
            workspace_key_prefix = "dev/env:"
            dynamodb_table       = "acme-tfstate-locks"
            use_lockfile         = true
          }
        }
        "#);
    }

    #[test]
    fn an_unknown_key_is_named_by_the_arn_of_its_alias() {
        let online = rendered(LockMode::S3, Engine::Terraform, Some(KEY_ARN));
        let offline = rendered(LockMode::S3, Engine::Terraform, None);

        let alias_arn = "arn:aws:kms:eu-west-1:111122223333:alias/acme-tfstate";
        assert_eq!(offline.content, online.content.replace(KEY_ARN, alias_arn));
        assert_eq!(offline.key_references, BTreeSet::from([alias_arn.to_owned()]));
        assert_eq!(online.key_references, BTreeSet::from([alias_arn.to_owned(), KEY_ARN.to_owned()]));
    }

    #[test]
    fn every_component_of_the_selected_environments_has_a_file() {
        let dev = environment("dev", Engine::Terraform, &["main", "network/vpc"]);
        let prod = environment("prod", Engine::Terraform, &["data"]);
        let config = config(LockMode::DynamoDb, vec![dev, prod]);
        let templates = Templates::load(None).unwrap();
        let paths = |environments: &[Environment]| -> Vec<(String, bool)> {
            let rendered = render(&config, &templates, &facts(None), environments).unwrap();
            let path_and_key = |file: Rendered| {
                let key = format!("\"{}/{}.tfstate\"", file.environment, file.component);
                (file.path.display().to_string(), file.content.contains(&key))
            };
            rendered.into_iter().map(path_and_key).collect()
        };

        assert_eq!(
            paths(&config.environments),
            [
                ("environments/dev/backend.tf".to_owned(), true),
                ("environments/dev/network/vpc/backend.tf".to_owned(), true),
                ("environments/prod/data/backend.tf".to_owned(), true),
            ]
        );
        assert_eq!(
            paths(&config.environments[1..]),
            [("environments/prod/data/backend.tf".to_owned(), true)]
        );
    }

    #[test]
    fn rendering_twice_is_byte_equal() {
        let one = rendered(LockMode::Both, Engine::OpenTofu, Some(KEY_ARN));
        let two = rendered(LockMode::Both, Engine::OpenTofu, Some(KEY_ARN));
        assert_eq!(one, two);
    }

    #[test]
    fn a_backend_that_was_not_looked_up_is_an_error() {
        let config = config(LockMode::S3, vec![environment("dev", Engine::Terraform, &["main"])]);
        let templates = Templates::load(None).unwrap();

        let error = render(&config, &templates, &BTreeMap::new(), &config.environments).unwrap_err();

        assert_eq!(
            error.to_string(),
            "failed to render environment `dev`: its backend `main` is not among those looked up"
        );
    }

    #[test]
    fn no_file_name_can_leave_the_comment() {
        let mut config = config(LockMode::S3, vec![]);
        config.path = "under\npin.hcl".into();
        assert_eq!(source_of(&config), "under\u{fffd}pin.hcl");
    }
}
