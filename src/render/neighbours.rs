//! What people wrote beside a rendered file, where it does not go with it.
//!
//! Terraform reads a folder as one module. A `required_version` in it that admits only versions which don't know what
//! we render, or a second backend, would be found out at `terraform init`, by somebody else.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

use hcl_edit::Span;
use hcl_edit::parser::parse_body;
use hcl_edit::structure::{Block, Body};
use semver::Version;

use super::template::BACKEND_TF;
use super::version::{Constraint, Minimum, minimum, name_of};
use crate::config::{Config, Engine, Environment};

/// Blocks in `terraform` that say where the state lives; there can be one.
const BACKEND_BLOCKS: [&str; 2] = ["backend", "cloud"];

/// Something in a file written by hand that does not go with the rendered one beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the configuration's folder.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// What is the matter.
    pub problem: Problem,
}

/// What is the matter with a file beside a rendered one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// `required_version` admits no version that knows what is rendered.
    OnlyTooOld {
        /// The constraint.
        constraint: String,
        /// What it would have to admit.
        needed: Needed,
    },
    /// `required_version` admits versions that don't know what is rendered, among others.
    AlsoTooOld {
        /// The constraint.
        constraint: String,
        /// What it would have to begin with.
        needed: Needed,
    },
    /// `required_version` is nothing that Terraform accepts.
    NoConstraint,
    /// There is a second backend.
    SecondBackend {
        /// `backend` or `cloud`.
        block: &'static str,
    },
    /// The file is not HCL, so nothing in it was looked at.
    Unreadable {
        /// What the parser says.
        reason: String,
    },
}

/// An engine's oldest version for a rendered file, and the argument that needs it: `Terraform 1.10 or later`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    engine: Engine,
    minimum: Minimum,
}

/// A folder or file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read `{}`", path.display())]
pub struct NeighbourError {
    /// The folder or file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Finding {
    /// Returns whether Terraform is sure to fail on it, whatever its version.
    pub fn is_error(&self) -> bool {
        matches!(self.problem, Problem::OnlyTooOld { .. })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.path.display(), self.line)?;
        match &self.problem {
            Problem::OnlyTooOld { constraint, needed } => {
                write!(f, "`required_version = \"{constraint}\"` rules out what is needed: {needed}")
            }
            Problem::AlsoTooOld { constraint, needed } => {
                write!(f, "`required_version = \"{constraint}\"` admits older versions than needed: {needed}")
            }
            Problem::NoConstraint => {
                f.write_str("`required_version` is no version constraint, so it is not checked")
            }
            Problem::SecondBackend { block } => {
                write!(
                    f,
                    "this `{block}` block is a second one beside the rendered `{}`",
                    BACKEND_TF.file_name
                )
            }
            Problem::Unreadable { reason } => write!(f, "not checked, since it is no HCL: {reason}"),
        }
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, minimum } = self;
        write!(f, "{} {minimum} or later, for `{}`", name_of(*engine), minimum.argument)
    }
}

/// Looks at the files beside those that are rendered for some environments.
///
/// # Errors
/// A folder or file is there and can't be read.
pub fn neighbours<'a>(
    config: &Config,
    environments: impl IntoIterator<Item = &'a Environment>,
) -> Result<Vec<Finding>, NeighbourError> {
    let mut findings = Vec::new();
    for environment in environments {
        let Some(backend) = config.backends.iter().find(|backend| backend.name == environment.backend) else {
            continue;
        };
        let needed = Needed { engine: environment.engine, minimum: minimum(backend.lock) };
        for component in &environment.components {
            findings.extend(look_into(&config.root, &component.directory, &needed)?);
        }
    }
    Ok(findings)
}

fn look_into(root: &Path, folder: &Path, needed: &Needed) -> Result<Vec<Finding>, NeighbourError> {
    let mut findings = Vec::new();
    let mut versions = Vec::new();
    for name in files_of_module(&root.join(folder), needed.engine)? {
        let path = folder.join(name);
        let text = match fs::read_to_string(root.join(&path)) {
            Ok(text) => text,
            // Removed in between, or not text.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                let problem = Problem::Unreadable { reason: error.to_string() };
                findings.push(Finding { path, line: 1, problem });
                continue;
            }
            Err(source) => return Err(NeighbourError { path, source }),
        };
        match parse_body(&text) {
            Ok(body) => read_module(&path, &text, &body, &mut findings, &mut versions),
            Err(error) => {
                let problem = Problem::Unreadable { reason: error.message().to_owned() };
                findings.push(Finding { path, line: error.location().line(), problem });
            }
        }
    }
    findings.extend(judge(versions, needed));
    Ok(findings)
}

/// A `required_version`, and where it stands.
struct RequiredVersion {
    path: PathBuf,
    line: usize,
    text: String,
    constraint: Constraint,
}

/// Returns the names of the files that an engine reads in a folder, but for the rendered one.
fn files_of_module(folder: &Path, engine: Engine) -> Result<Vec<PathBuf>, NeighbourError> {
    let unreadable = |source| NeighbourError { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if !path.is_dir() {
            names.extend(path.file_name().map(PathBuf::from));
        }
    }
    names.sort();
    let has_extension = |name: &Path, extension| name.extension() == Some(OsStr::new(extension));
    let is_read = |name: &&PathBuf| match engine {
        Engine::Terraform => has_extension(name, "tf"),
        // `main.tofu` stands in for `main.tf`. <https://opentofu.org/docs/language/files/>
        Engine::OpenTofu => {
            has_extension(name, "tofu")
                || has_extension(name, "tf") && !names.contains(&name.with_extension("tofu"))
        }
    };
    let is_hidden = |name: &Path| name.as_os_str().as_encoded_bytes().starts_with(b".");
    let by_hand = |name: &&PathBuf| !is_hidden(name) && name.as_os_str() != BACKEND_TF.file_name;
    Ok(names.iter().filter(is_read).filter(by_hand).cloned().collect())
}

/// Reads the `terraform` blocks of a file.
fn read_module(
    path: &Path,
    text: &str,
    body: &Body,
    findings: &mut Vec<Finding>,
    versions: &mut Vec<RequiredVersion>,
) {
    for block in body.get_blocks("terraform") {
        for name in BACKEND_BLOCKS {
            findings.extend(block.body.get_blocks(name).map(|second: &Block| Finding {
                path: path.to_owned(),
                line: line_of(text, second.span()),
                problem: Problem::SecondBackend { block: name },
            }));
        }
        if let Some(attribute) = block.body.get_attribute("required_version") {
            let (path, line) = (path.to_owned(), line_of(text, attribute.span()));
            let written = attribute.value.as_str();
            match written.and_then(|text| Some((text.to_owned(), Constraint::parse(text)?))) {
                Some((text, constraint)) => versions.push(RequiredVersion { path, line, text, constraint }),
                None => findings.push(Finding { path, line, problem: Problem::NoConstraint }),
            }
        }
    }
}

/// Judges the constraints of a folder, which must all hold.
fn judge(versions: Vec<RequiredVersion>, needed: &Needed) -> Vec<Finding> {
    let enough = &needed.minimum.version;
    let oldest = |constraint: &Constraint| constraint.lowest(&Version::new(0, 0, 0));
    let is_older = |constraint: &Constraint| oldest(constraint).is_some_and(|version| version < *enough);
    let folder_admits_older = is_older(&Constraint::all(versions.iter().map(|version| &version.constraint)));
    let judge_one = |RequiredVersion { path, line, text, constraint }| {
        let needed = needed.clone();
        let problem = if Constraint::lowest(&constraint, enough).is_none() {
            Problem::OnlyTooOld { constraint: text, needed }
        } else if folder_admits_older && is_older(&constraint) {
            Problem::AlsoTooOld { constraint: text, needed }
        } else {
            return None;
        };
        Some(Finding { path, line, problem })
    };
    versions.into_iter().filter_map(judge_one).collect()
}

/// Returns the line, counted from 1, at which a span begins.
fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    before.matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::config::LockMode;
    use crate::render::tests::{config, environment};

    /// Returns what is found in `environments/dev` beside a file for this lock mode.
    fn found(lock: LockMode, engine: Engine, files: &[(&str, &str)]) -> Vec<String> {
        let root = TempDir::new().unwrap();
        let folder = root.path().join("environments/dev");
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        let mut config = config(lock, vec![environment("dev", engine, &["main"])]);
        config.root = root.path().to_owned();
        let findings = neighbours(&config, &config.environments).unwrap();
        findings.iter().map(|finding| format!("{} {finding}", finding.is_error())).collect()
    }

    fn required(constraint: &str) -> String {
        format!("# Versions\nterraform {{\n  required_version = \"{constraint}\"\n}}\n")
    }

    #[test]
    fn a_constraint_without_a_version_that_knows_the_arguments_is_an_error() {
        for (lock, constraint, needed) in [
            (LockMode::S3, "~> 1.9.0", "1.10 or later, for `use_lockfile`"),
            (LockMode::Both, ">= 1.5, < 1.10", "1.10 or later, for `use_lockfile`"),
            (LockMode::DynamoDb, "1.5.7", "1.6 or later, for `allowed_account_ids`"),
        ] {
            assert_eq!(
                found(lock, Engine::Terraform, &[("versions.tf", &required(constraint))]),
                [format!(
                    "true environments/dev/versions.tf:3: `required_version = \"{constraint}\"` rules out what is \
                     needed: Terraform {needed}"
                )]
            );
        }
    }

    #[test]
    fn a_constraint_that_also_admits_older_versions_is_a_warning() {
        assert_eq!(
            found(LockMode::S3, Engine::OpenTofu, &[("versions.tf", &required(">= 1.7"))]),
            [
                "false environments/dev/versions.tf:3: `required_version = \">= 1.7\"` admits older versions than needed: \
              OpenTofu 1.10 or later, for `use_lockfile`"
            ]
        );
    }

    #[test]
    fn what_goes_with_the_file_is_not_mentioned() {
        let cases: [&[(&str, &str)]; 6] = [
            &[],
            &[("main.tf", "resource \"terraform_data\" \"this\" {}\n")],
            &[("versions.tf", &required(">= 1.10"))],
            // Together they admit no older one.
            &[("a.tf", &required(">= 1.5")), ("b.tf", &required("~> 1.11"))],
            // Not Terraform's.
            &[("notes.txt", "}"), (".#main.tf", "}"), ("old.tf.bak", "}"), ("main.tofu", "}")],
            // Ours, which is about to be written.
            &[("backend.tf", "terraform {\n  backend \"s3\" {}\n}\n")],
        ];
        for files in cases {
            assert_eq!(found(LockMode::S3, Engine::Terraform, files), [""; 0], "{files:?}");
        }
    }

    #[test]
    fn a_folder_with_the_name_of_a_file_is_none_of_the_module() {
        let mut config = config(LockMode::S3, vec![environment("dev", Engine::Terraform, &["main"])]);
        let root = TempDir::new().unwrap();
        fs::create_dir_all(root.path().join("environments/dev/main.tf")).unwrap();
        config.root = root.path().to_owned();

        assert_eq!(neighbours(&config, &config.environments).unwrap(), []);
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_neighbours() {
        let mut config = config(LockMode::S3, vec![environment("dev", Engine::Terraform, &["main"])]);
        config.root = TempDir::new().unwrap().path().join("gone");

        assert_eq!(neighbours(&config, &config.environments).unwrap(), []);
    }

    #[test]
    fn a_second_backend_is_a_warning() {
        for (block, text) in [("backend", "backend \"s3\" {}"), ("cloud", "cloud {}")] {
            let text = format!("terraform {{\n\n  {text}\n}}\n");
            assert_eq!(
                found(LockMode::DynamoDb, Engine::Terraform, &[("main.tf", &text)]),
                [format!(
                    "false environments/dev/main.tf:3: this `{block}` block is a second one beside the rendered \
                     `backend.tf`"
                )]
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, said) in [
            (&required("latest"), "3: `required_version` is no version constraint, so it is not checked"),
            (
                &required(">= 1.10.0-rc1"),
                "3: `required_version` is no version constraint, so it is not checked",
            ),
            (&"a = 1\nterraform {".to_owned(), "2: not checked, since it is no HCL: invalid block body"),
        ] {
            let found = found(LockMode::S3, Engine::Terraform, &[("main.tf", text)]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("false environments/dev/main.tf:{said}")), "{found:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_text_is_said() {
        let root = TempDir::new().unwrap();
        fs::create_dir_all(root.path().join("environments/dev")).unwrap();
        fs::write(root.path().join("environments/dev/main.tf"), [0xff, 0xfe]).unwrap();
        let mut config = config(LockMode::S3, vec![environment("dev", Engine::Terraform, &["main"])]);
        config.root = root.path().to_owned();

        let findings = neighbours(&config, &config.environments).unwrap();

        assert!(matches!(
            findings.as_slice(),
            [Finding { line: 1, problem: Problem::Unreadable { .. }, .. }]
        ));
    }

    #[test]
    fn opentofu_reads_its_own_files_in_place_of_terraforms() {
        let files = [("versions.tf", required("~> 1.9.0")), ("versions.tofu", required("~> 1.10"))];
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();

        assert_eq!(found(LockMode::S3, Engine::OpenTofu, &files), [""; 0]);
        assert_eq!(found(LockMode::S3, Engine::Terraform, &files).len(), 1);
    }
}
