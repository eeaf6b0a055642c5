//! What a program said, and how it looks without what differs from run to run.

use std::fmt;
use std::process::ExitStatus;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// What a program left behind when it ended.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// The exit code; 128 and the signal's number for one that was killed, as shells have it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// What is replaced by a word where it is shown: this run's own paths and addresses.
    own: Vec<(String, &'static str)>,
}

/// What differs from run to run, wherever it comes from.
static DIFFERING: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "[UUID]"),
        (r"\brequest [0-9A-Za-z/+=-]{12,}", "request [ID]"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?UTC|Z)?", "[TIME]"),
        (r"\b\d+(\.\d+)? ?(ms|s)\b", "[DURATION]"),
    ]
    .map(|(pattern, word)| (Regex::new(pattern).expect("a pattern of our own"), word))
    .into()
});

impl Output {
    /// Takes what a process wrote; `own` is this run's own, with the words that stand for it.
    pub(super) fn new(
        status: ExitStatus,
        stdout: &[u8],
        stderr: &[u8],
        own: Vec<(String, &'static str)>,
    ) -> Self {
        use std::os::unix::process::ExitStatusExt as _;

        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: code.expect("an ended process"), stdout: text(stdout), stderr: text(stderr), own }
    }

    /// Fails the test unless the program ended with `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Standard output as JSON, one object a line.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err} in {line}\n{self}"));
        self.stdout.lines().map(parse).collect()
    }

    /// `text` without what differs from run to run.
    pub(crate) fn filtered(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (own, word) in &self.own {
            text = text.replace(own, word);
        }
        for (pattern, word) in DIFFERING.iter() {
            text = pattern.replace_all(&text, *word).into_owned();
        }
        text
    }
}

/// For snapshots: exit code and both streams, without what differs from run to run.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr, own: _ } = self;
        writeln!(f, "exit code: {code}")?;
        writeln!(f, "----- stdout -----\n{}", self.filtered(stdout))?;
        write!(f, "----- stderr -----\n{}", self.filtered(stderr))
    }
}
