//! The way in: from a path to a configuration that was checked as a whole, or to everything that is wrong with it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::mistake::{Findings, Mistake, Rule, Severity, Source};
use super::{Config, file, resolve};

/// The largest file that is read: far above what anyone writes, far below what could hurt.
const MOST_BYTES: usize = 1 << 20;

/// A configuration, and what is worth a look in it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is worth a look, in the order of the file.
    pub warnings: Vec<Mistake>,
    /// The text that it was read from.
    pub source: Source,
}

impl Loaded {
    /// Draws the warnings as a person reads them.
    pub fn render_warnings(&self, color: bool) -> String {
        self.source.render(Severity::Warning, &self.warnings, color)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("failed to read `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file can be read, and is wrong.
    #[error(transparent)]
    Mistaken(Box<Mistakes>),
}

/// Everything that is wrong in a file.
#[derive(Debug, thiserror::Error)]
#[error("`{}` has {}", file.path.display(), count(list.len()))]
pub struct Mistakes {
    /// The file and its text.
    pub file: Source,
    /// The mistakes, in the order of the file; never empty.
    pub list: Vec<Mistake>,
}

impl Mistakes {
    /// Draws the mistakes as a person reads them, each with the line where it is.
    pub fn render_mistakes(&self, color: bool) -> String {
        self.file.render(Severity::Error, &self.list, color)
    }
}

/// Reads the configuration from a file.
///
/// # Errors
/// The file can't be read, or something in it is wrong.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let bytes = read(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    match String::from_utf8(bytes) {
        Ok(text) => parse(path, &text),
        Err(error) => Err(not_utf8(path, error.as_bytes(), error.utf8_error().valid_up_to())),
    }
}

/// Reads the configuration from a text; `path` is where the text is from.
///
/// # Errors
/// Something in the text is wrong.
pub fn parse(path: &Path, text: &str) -> Result<Loaded, ConfigError> {
    if text.len() > MOST_BYTES {
        return Err(too_large(path));
    }
    // Editors on Windows begin a file with a byte order mark. HCL's own scanner skips it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
    let mut findings = Findings::new(Source::new(path.to_owned(), text));
    let config = file::read(&mut findings).and_then(|file| resolve::resolve(&file, &mut findings));
    let Findings { source, mistakes: mut list, mut warnings } = findings;
    let place = |mistake: &Mistake| (mistake.span.start, mistake.span.end);
    list.sort_by_key(place);
    warnings.sort_by_key(place);
    match config {
        Some(config) if list.is_empty() => Ok(Loaded { config, warnings, source }),
        _ => Err(ConfigError::Mistaken(Box::new(Mistakes { file: source, list }))),
    }
}

/// Reads no more than it takes to know that a file is too large.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn too_large(path: &Path) -> ConfigError {
    let mut findings = Findings::new(Source::new(path.to_owned(), String::new()));
    let hint = "A configuration has a few lines for each environment: is this the right file?".to_owned();
    findings.mistake(Rule::Size, &(0..0), "the file is larger than 1 MiB", hint);
    ConfigError::Mistaken(Box::new(Mistakes { file: findings.source, list: findings.mistakes }))
}

fn not_utf8(path: &Path, bytes: &[u8], valid_up_to: usize) -> ConfigError {
    if bytes.len() > MOST_BYTES {
        return too_large(path);
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut findings = Findings::new(Source::new(path.to_owned(), text));
    let span = valid_up_to..valid_up_to + char::REPLACEMENT_CHARACTER.len_utf8();
    let hint = "Save the file as UTF-8.".to_owned();
    findings.mistake(Rule::Utf8, &span, "the file is not UTF-8 from here on", hint);
    ConfigError::Mistaken(Box::new(Mistakes { file: findings.source, list: findings.mistakes }))
}

/// Says how many mistakes there are.
fn count(mistakes: usize) -> String {
    match mistakes {
        1 => "a mistake".to_owned(),
        _ => format!("{mistakes} mistakes"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::paths::normal;
    use super::super::{Engine, Environment, LockMode};
    use super::*;

    const MINIMAL: &str = include_str!("../../tests/fixtures/minimal.hcl");
    const THREE: &str = include_str!("../../tests/fixtures/three-environments.hcl");

    fn rules(text: &str) -> Vec<Rule> {
        match parse(Path::new("underpin.hcl"), text) {
            Ok(_) => Vec::new(),
            Err(ConfigError::Mistaken(mistakes)) => {
                mistakes.list.iter().map(|mistake| mistake.rule).collect()
            }
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_is_left_out_gets_its_default() {
        let Loaded { config, .. } = parse(Path::new("infra/underpin.hcl"), MINIMAL).unwrap();

        let backend = &config.backends[0];
        assert_eq!(
            (config.root.as_path(), config.file_name().as_str()),
            (Path::new("infra"), "underpin.hcl")
        );
        assert_eq!((backend.lock, backend.sandbox, &backend.account_id), (LockMode::DynamoDb, true, &None));
        assert_eq!(backend.table.as_str(), "acme-tfstate-locks");
        assert_eq!(backend.key.alias.as_str(), "alias/acme-tfstate");
        assert_eq!((backend.bucket.keep_versions, backend.bucket.expire_days), (50, 90));
        assert_eq!((backend.key.rotation_days, backend.key.deletion_window_days), (365, 30));
        let account = "111122223333".parse().unwrap();
        let bucket = config.bucket_name(backend, &account).unwrap();
        assert_eq!(bucket.as_str(), "acme-tfstate-111122223333-eu-west-1");
        let environment = &config.environments[0];
        assert_eq!((environment.backend.as_str(), environment.engine), ("main", Engine::Terraform));
        assert_eq!(environment.components[0].directory, Path::new("environments/dev"));
        assert_eq!(environment.components[0].state_key(&environment.name), "dev/main.tfstate");
    }

    #[test]
    fn what_is_given_is_meant() {
        let Loaded { config, .. } = parse(Path::new("underpin.hcl"), THREE).unwrap();

        let backend = &config.backends[0];
        assert_eq!(config.tags["cost-center"], "4711");
        assert_eq!((backend.lock, backend.sandbox), (LockMode::Both, false));
        assert_eq!((backend.bucket.keep_versions, backend.key.deletion_window_days), (20, 14));
        let directories = |environment: &Environment| -> Vec<PathBuf> {
            environment.components.iter().map(|component| component.directory.clone()).collect()
        };
        assert_eq!(
            config.environments.iter().map(directories).collect::<Vec<_>>(),
            [
                vec![PathBuf::from("environments/dev")],
                ["", "network/vpc", "network/dns"]
                    .map(|name| normal(&Path::new("environments/staging").join(name)))
                    .to_vec(),
                ["network/vpc", "database"].map(|name| Path::new("live/prod").join(name)).to_vec(),
            ]
        );
        assert_eq!(config.environments[2].engine, Engine::OpenTofu);
    }

    #[test]
    fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
        let text = format!("\u{feff}{}", THREE.replace('\n', "\r\n"));

        let plain = parse(Path::new("underpin.hcl"), THREE).unwrap();
        let loaded = parse(Path::new("underpin.hcl"), &text).unwrap();

        assert_eq!(format!("{:?}", loaded.config), format!("{:?}", plain.config));
    }

    #[test]
    fn mistakes_are_in_the_order_of_the_file_and_know_their_place() {
        let text = "environment \"dev\" {\n  sandbox = 1\n}\nbackend \"é\" { regoin = \"eu-west-1\" }\nproject = 1\n";

        let Err(ConfigError::Mistaken(mistakes)) = parse(Path::new("x.hcl"), text) else {
            panic!("no mistakes")
        };

        let places: Vec<_> =
            mistakes.list.iter().map(|mistake| (mistake.rule, mistake.line, mistake.column)).collect();
        let expected =
            [(Rule::Type, 2, 13), (Rule::Name, 4, 9), (Rule::UnknownName, 4, 15), (Rule::Type, 5, 11)];
        assert_eq!(places, expected);
        assert_eq!(mistakes.to_string(), "`x.hcl` has 4 mistakes");
    }

    #[test]
    fn a_file_above_the_limit_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("underpin.hcl");
        for bytes in [vec![b' '; 10 << 20], vec![0xff; 10 << 20]] {
            fs::write(&path, bytes).unwrap();

            let Err(ConfigError::Mistaken(mistakes)) = load(&path) else { panic!("no mistakes") };

            assert_eq!(mistakes.list.iter().map(|mistake| mistake.rule).collect::<Vec<_>>(), [Rule::Size]);
            assert!(mistakes.render_mistakes(false).contains("larger than 1 MiB"));
        }
        assert_eq!(rules(&" ".repeat(MOST_BYTES + 1)), [Rule::Size]);
        assert_eq!(rules(&format!("{MINIMAL}{}", " ".repeat(MOST_BYTES - MINIMAL.len()))), []);
    }

    #[test]
    fn a_large_file_full_of_mistakes_is_read_and_drawn() {
        let text = "unknown {}\n".repeat(40_000);

        let Err(ConfigError::Mistaken(mistakes)) = parse(Path::new("main.tf"), &text) else {
            panic!("no mistakes")
        };

        assert_eq!(mistakes.list.len(), 40_002);
        assert_eq!((mistakes.list[40_001].line, mistakes.list[40_001].column), (40_000, 1));
        assert!(mistakes.render_mistakes(false).contains("main.tf:40000:1"));
    }

    #[test]
    fn what_is_no_file_is_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("missing.hcl")] {
            let error = load(&path).unwrap_err();

            assert!(matches!(&error, ConfigError::Unreadable { .. }), "{error}");
            assert_eq!(error.to_string(), format!("failed to read `{}`", path.display()));
        }
    }

    #[test]
    fn no_depth_exhausts_the_stack() {
        let pairs = [
            ("[", "]"),
            ("{a=", "}"),
            ("(", ")"),
            ("!", ""),
            ("-", ""),
            ("\"${", "}\""),
            ("f(", ")"),
            ("a[", "]"),
        ];
        for (open, close) in
            pairs.into_iter().chain([("true ? 1 : ", ""), ("[for x in ", "]"), ("1 + ", ""), ("a.b", "")])
        {
            for depth in [10, 60, 64, 65, 50_000] {
                let text = format!("project = {}1{}\n", open.repeat(depth), close.repeat(depth));

                assert_ne!(rules(&text), [], "{open} {depth}");
            }
        }
        assert_eq!(rules(&"a {\n".repeat(50_000)), [Rule::Syntax]);
    }

    #[test]
    fn no_text_brings_the_parser_down() {
        for cut in (0..THREE.len()).step_by(3) {
            let (before, after) = THREE.split_at(cut);
            for inserted in
                ["", "\"", "{", "}", "=", "\\", "${", "é", "\r", "\r\n", "\u{2028}", "<<", "#", "/*"]
            {
                for text in [format!("{before}{inserted}"), format!("{before}{inserted}{after}")] {
                    if let Err(ConfigError::Mistaken(mistakes)) = parse(Path::new("underpin.hcl"), &text) {
                        assert_ne!(mistakes.list, []);
                        assert_ne!(mistakes.render_mistakes(true), "");
                    }
                }
            }
        }
    }
}
