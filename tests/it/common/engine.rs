//! The real Terraform, and whatever else speaks its language here.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use semver::Version;
use serde_json::Value;

/// Further binaries for the same tests, separated as in PATH.
const FURTHER: &str = "UNDERPIN_TEST_ENGINES";

/// The first version of Terraform, and of OpenTofu, that knows `use_lockfile`.
const LOCKFILE: Version = Version::new(1, 10, 0);

/// A binary of Terraform or OpenTofu.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl Engine {
    fn version(&self) -> Version {
        let output =
            Command::new(&self.path).args(["version", "-json"]).env("CHECKPOINT_DISABLE", "1").output();
        let output = output.expect("an engine tells its version").stdout;
        let version: Value = serde_json::from_slice(&output).expect("JSON");
        version["terraform_version"].as_str().and_then(|version| version.parse().ok()).expect("a version")
    }
}

/// Returns `terraform` of the PATH and what `UNDERPIN_TEST_ENGINES` names. Where there is nothing, says so past the test
/// harness, which hides what passing tests print: `.ci/run` looks for it.
pub(crate) fn engines_or_skip(test: &str) -> Vec<Engine> {
    let engines = engines();
    if engines.is_empty() {
        say_skipped("no terraform on PATH", test);
    }
    engines
}

/// Returns those that can lock with a file beside the state.
pub(crate) fn lockfile_engines_or_skip(test: &str) -> Vec<Engine> {
    let (engines, older): (Vec<_>, Vec<_>) =
        engines_or_skip(test).into_iter().partition(|engine| engine.version() >= LOCKFILE);
    for engine in older {
        say_skipped(&format!("{} is older than {LOCKFILE}", engine.path.display()), test);
    }
    engines
}

fn say_skipped(why: &str, test: &str) {
    let line = format!("SKIPPED ({why}): {test}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error can be written to");
}

fn engines() -> Vec<Engine> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let further = std::env::var_os(FURTHER).unwrap_or_default();
    let on_path =
        std::env::split_paths(&path).map(|folder| folder.join("terraform")).find(|path| path.is_file());
    let further = std::env::split_paths(&further).filter(|path| !path.as_os_str().is_empty());
    on_path.into_iter().chain(further).inspect(|path| assert_runs(path)).map(|path| Engine { path }).collect()
}

/// A binary that was named must be one.
fn assert_runs(path: &Path) {
    let status = Command::new(path).arg("version").env("CHECKPOINT_DISABLE", "1").output();
    let runs = status.as_ref().is_ok_and(|output| output.status.success());
    assert!(runs, "`{} version` fails: {status:?}", path.display());
}
