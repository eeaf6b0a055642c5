//! Every rule has a file that breaks it, `tests/fixtures/invalid/RULE.hcl` or `RULE-CASE.hcl`, and beside it what a
//! person then reads. `UNDERPIN_BLESS=1` writes what is read now, to be looked at before it is committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{ConfigError, Mistake, Rule, load};

#[test]
fn every_rule_has_a_fixture_that_breaks_it_and_reads_well() {
    let bless = std::env::var_os("UNDERPIN_BLESS").is_some();
    let mut broken = BTreeSet::new();
    let mut wrong = Vec::new();
    for path in fixtures("invalid") {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (rendered, rules) = read(&path);
        let named = rules.iter().filter(|rule| {
            name == rule.name() || name.strip_prefix(rule.name()).is_some_and(|rest| rest.starts_with('-'))
        });
        let named: Vec<Rule> = named.copied().collect();
        assert!(!named.is_empty(), "`{name}` breaks {rules:?}, and none of them is what its name says");
        broken.extend(named);

        let expected = path.with_extension("stderr");
        if bless {
            fs::write(&expected, &rendered).unwrap();
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(&rendered) {
            wrong.push(format!("{name} reads:\n{rendered}"));
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing: Vec<&str> =
        Rule::ALL.iter().filter(|rule| !broken.contains(rule)).map(|rule| rule.name()).collect();
    // A file above the limit has no place in a repository; `load` has a test that makes one.
    assert_eq!(missing, [Rule::Size.name()], "rules without a fixture");
}

#[test]
fn every_expectation_has_a_fixture() {
    for entry in fs::read_dir(folder().join("invalid")).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.with_extension("hcl").exists(), "{} belongs to nothing", path.display());
    }
}

#[test]
fn the_valid_fixtures_are_valid() {
    let paths = fixtures(".");
    assert!(paths.len() >= 2);
    for path in paths {
        let loaded = load(&path).unwrap();
        assert_eq!(loaded.warnings, [], "{}", path.display());
    }
}

/// Returns what is read about a file, without what differs from one checkout or version to the next, and the rules that
/// it breaks.
fn read(path: &Path) -> (String, BTreeSet<Rule>) {
    let file_name = PathBuf::from(path.file_name().unwrap());
    let rules = |mistakes: &[Mistake]| mistakes.iter().map(|mistake| mistake.rule).collect();
    let (rendered, rules) = match load(path) {
        Ok(mut loaded) => {
            loaded.source.path = file_name;
            (loaded.render_warnings(false), rules(&loaded.warnings))
        }
        Err(ConfigError::Mistaken(mut mistakes)) => {
            mistakes.file.path = file_name;
            (mistakes.render_mistakes(false), rules(&mistakes.list))
        }
        Err(error) => panic!("{error}"),
    };
    (rendered.replace(env!("CARGO_PKG_VERSION"), "VERSION") + "\n", rules)
}

fn fixtures(below: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join(below)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "hcl")).collect();
    paths.sort();
    paths
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}
