//! What may be written in a configuration: its names, their types and where they stand. What they mean is not looked
//! at here.

use hcl_edit::structure::Block;

use super::mistake::{Findings, Rule, Span};
use super::reader::{Place, Section, Written, span_of_heading};
use super::unsupported::{FORMS, KINDS};
use super::{Engine, LockMode, syntax, version};

const LOCKS: [(&str, LockMode); 3] =
    [("dynamodb", LockMode::DynamoDb), ("s3", LockMode::S3), ("both", LockMode::Both)];
const ENGINES: [(&str, Engine); 2] = [("terraform", Engine::Terraform), ("opentofu", Engine::OpenTofu)];

/// The file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) project: Option<Written<String>>,
    pub(super) tags: Vec<(Written<String>, Written<String>)>,
    pub(super) templates: Option<Written<String>>,
    pub(super) backends: Vec<BackendBlock>,
    pub(super) environments: Vec<EnvironmentBlock>,
}

/// `backend "NAME"`.
#[derive(Debug, Default)]
pub(super) struct BackendBlock {
    /// Where its first line is.
    pub(super) at: Span,
    pub(super) name: Option<Written<String>>,
    pub(super) region: Option<Written<String>>,
    pub(super) account_id: Option<Written<String>>,
    pub(super) profile: Option<Written<String>>,
    pub(super) lock: Option<LockMode>,
    pub(super) bucket: BucketBlock,
    pub(super) table: Option<Written<String>>,
    pub(super) key: KeyBlock,
}

/// `bucket` of a backend.
#[derive(Debug, Default)]
pub(super) struct BucketBlock {
    pub(super) name: Option<Written<String>>,
    pub(super) keep_versions: Option<Written<i64>>,
    pub(super) expire_days: Option<Written<i64>>,
}

/// `key` of a backend.
#[derive(Debug, Default)]
pub(super) struct KeyBlock {
    pub(super) alias: Option<Written<String>>,
    pub(super) rotation_days: Option<Written<i64>>,
    pub(super) deletion_window_days: Option<Written<i64>>,
}

/// `environment "NAME"`.
#[derive(Debug)]
pub(super) struct EnvironmentBlock {
    /// Where its first line is.
    pub(super) at: Span,
    pub(super) name: Option<Written<String>>,
    pub(super) backend: Option<Written<String>>,
    pub(super) sandbox: Option<Written<bool>>,
    pub(super) components: Option<Written<Vec<Written<String>>>>,
    pub(super) directory: Option<Written<String>>,
    pub(super) engine: Option<Engine>,
}

/// Reads the file; `None` where its text is no HCL, or is meant for another version.
pub(super) fn read(findings: &mut Findings) -> Option<File> {
    let body = syntax::parse(findings)?;
    let mut section = Section::new(Place::Top, 0..0, &body, findings);
    if let Some(required) = section.string("required_version")
        && !version::check(&required, section.findings)
    {
        // Whatever else looks wrong may be right in the version that this file is meant for.
        section.findings.mistakes.retain(|mistake| mistake.rule == Rule::RequiredVersion);
        return None;
    }
    let file = File {
        project: section.required_string("project", "acme"),
        tags: section.map("tags"),
        templates: section.string("templates"),
        backends: section
            .blocks("backend")
            .into_iter()
            .map(|block| read_backend(&mut section, block))
            .collect(),
        environments: section
            .blocks("environment")
            .into_iter()
            .map(|block| read_environment(&mut section, block))
            .collect(),
    };
    section.finish();
    Some(file)
}

fn read_backend(file: &mut Section<'_>, block: &Block) -> BackendBlock {
    let at = span_of_heading(block);
    let name = file.label(block, "main");
    let mut section = Section::new(Place::Backend, at.clone(), &block.body, file.findings);
    let kind = section.string("kind");
    if let Some(kind) = kind {
        section.choose("kind", &kind, &[("s3", ())], KINDS);
        if KINDS.contains(&kind.value.as_str()) {
            // The rest of it has names of its own.
            return BackendBlock { at, name, ..BackendBlock::default() };
        }
    }
    let backend = BackendBlock {
        at,
        name,
        region: section.required_string("region", "eu-west-1"),
        account_id: section.string("account_id"),
        profile: section.string("profile"),
        lock: section.choice("lock", &LOCKS, &[]),
        bucket: section.block("bucket", Place::Bucket, read_bucket).unwrap_or_default(),
        table: section.block("table", Place::Table, |table| table.string("name")).flatten(),
        key: section.block("key", Place::Key, read_key).unwrap_or_default(),
    };
    section.finish();
    backend
}

fn read_bucket(section: &mut Section<'_>) -> BucketBlock {
    BucketBlock {
        name: section.string("name"),
        keep_versions: section.integer("keep_versions"),
        expire_days: section.integer("expire_days"),
    }
}

fn read_key(section: &mut Section<'_>) -> KeyBlock {
    KeyBlock {
        alias: section.string("alias"),
        rotation_days: section.integer("rotation_days"),
        deletion_window_days: section.integer("deletion_window_days"),
    }
}

fn read_environment(file: &mut Section<'_>, block: &Block) -> EnvironmentBlock {
    let at = span_of_heading(block);
    let name = file.label(block, "dev");
    let mut section = Section::new(Place::Environment, at.clone(), &block.body, file.findings);
    let environment = EnvironmentBlock {
        at,
        name,
        backend: section.string("backend"),
        sandbox: section.boolean("sandbox"),
        components: section.strings("components"),
        directory: section.string("directory"),
        engine: section.block("render", Place::Render, read_render).flatten(),
    };
    section.finish();
    environment
}

fn read_render(section: &mut Section<'_>) -> Option<Engine> {
    section.choice("form", &[("backend.tf", ())], FORMS);
    section.choice("engine", &ENGINES, &[])
}
