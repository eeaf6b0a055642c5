//! The walls inside the library, and the tests that nobody would miss: what a compiler can't see, a search can.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::ground::EMULATOR_WORDS;

/// A source file: its path from the package's root, and its code without comments and tests.
struct Source {
    path: String,
    code: Vec<(usize, String)>,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder of the package, sorted.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    files
}

/// The library and the program, without modules of tests.
fn sources() -> Vec<Source> {
    let texts: Vec<(PathBuf, String)> = files("src")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    let for_tests: Vec<PathBuf> =
        texts.iter().flat_map(|(path, text)| modules_of_tests(path, text)).collect();
    let sources: Vec<Source> = texts
        .into_iter()
        .filter(|(path, _)| !for_tests.contains(path))
        .map(|(path, text)| {
            let path = path.strip_prefix(root()).unwrap().display().to_string();
            Source { path, code: code(&text), text }
        })
        .collect();
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the sources are where they were");
    sources
}

/// The files that the module in `path` declares for tests alone.
fn modules_of_tests(path: &Path, text: &str) -> Vec<PathBuf> {
    let declaration = Regex::new(r"#\[cfg\(test\)\]\s*mod (\w+);").unwrap();
    let holds_its_folder =
        matches!(path.file_name().unwrap().to_str(), Some("mod.rs" | "lib.rs" | "main.rs"));
    let folder = if holds_its_folder { path.parent().unwrap().to_owned() } else { path.with_extension("") };
    declaration.captures_iter(text).map(|found| folder.join(format!("{}.rs", &found[1]))).collect()
}

/// The lines of code, numbered: no comments, and no tests, which stand at a file's end.
fn code(text: &str) -> Vec<(usize, String)> {
    let before_tests = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let numbered = before_tests.lines().enumerate().map(|(number, line)| (number + 1, line.to_owned()));
    numbered.filter(|(_, line)| !line.trim_start().starts_with("//")).collect()
}

/// Fails where code outside `allowed` (paths, or folders with a slash at their end) matches `pattern`.
#[track_caller]
fn assert_only_in(allowed: &[&str], pattern: &str) {
    let pattern = Regex::new(pattern).unwrap();
    let may = |path: &str| {
        allowed.iter().any(|place| path == *place || place.ends_with('/') && path.starts_with(place))
    };
    let found: Vec<String> = sources()
        .iter()
        .filter(|source| !may(&source.path))
        .flat_map(|source| source.code.iter().map(move |(number, line)| (&source.path, number, line)))
        .filter(|(_, _, line)| pattern.is_match(line))
        .map(|(path, number, line)| format!("{path}:{number}: {}", line.trim()))
        .collect();
    assert!(found.is_empty(), "`{pattern}` belongs in {allowed:?} only:\n{}", found.join("\n"));
}

#[test]
fn only_the_ui_prints() {
    assert_only_in(&["src/ui.rs"], r"\be?println?!|\be?print!|\bdbg!|\bstdout\(\)|\bstderr\(\)");
}

#[test]
fn the_sdk_is_named_at_the_edge_only() {
    assert_only_in(&["src/aws/", "src/resource/", "src/state/"], r"\baws_sdk_|\baws_config\b");
}

#[test]
fn the_engine_knows_no_kind_of_resource() {
    let pattern = Regex::new(r"resource::[a-z]|\b(KmsKey|S3Bucket|DynamodbTable|IamPolicy)\b").unwrap();
    for source in sources().iter().filter(|source| source.path.starts_with("src/engine/")) {
        for (number, line) in &source.code {
            assert!(!pattern.is_match(line), "{}:{number}: {line}", source.path);
        }
    }
}

#[test]
fn the_environment_is_read_in_one_place() {
    assert_only_in(&["src/cli.rs", "src/lib.rs", "src/main.rs"], r"\benv::|\bstd::env\b");
}

#[test]
fn nothing_starts_another_program() {
    assert_only_in(&[], r"\bCommand::new\(");
}

#[test]
fn no_partition_is_spelled_out() {
    assert_only_in(&[], r"\barn:aws:");
}

#[test]
fn the_product_knows_no_emulator() {
    let pattern = Regex::new(&format!(r"(?i)\b({})", EMULATOR_WORDS.join("|"))).unwrap();
    for source in sources() {
        assert!(!pattern.is_match(&source.text), "`{pattern}` in {}", source.path);
    }
    for path in ["templates", "tests/it", "tests/demo"].into_iter().flat_map(files) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(!pattern.is_match(&text), "`{pattern}` in {}", path.display());
    }
}

#[test]
fn every_file_of_tests_is_compiled() {
    let main = fs::read_to_string(root().join("tests/it/main.rs")).unwrap();
    for entry in fs::read_dir(root().join("tests/it")).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let declared = main.lines().any(|line| line == format!("mod {module};"));
        assert!(declared || module == "main", "`mod {module};` is missing from tests/it/main.rs");
    }
}
