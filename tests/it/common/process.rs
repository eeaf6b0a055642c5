//! A program that runs: made with care, watched, and never left behind.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::Output;
use crate::ground::Proxy;

/// Long enough for anything that a test runs, on a busy machine.
const LONGEST: Duration = Duration::from_mins(2);

/// How often it is looked whether a program has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The user without rights of any kind.
const NOBODY: u32 = 65_534;

/// A program that is about to run.
pub(crate) struct Program<'env> {
    command: Command,
    stdin: Vec<u8>,
    longest: Duration,
    own: Vec<(String, &'static str)>,
    proxy: Option<&'env Proxy>,
}

impl<'env> Program<'env> {
    /// `path` in `directory`, with nothing in its environment. `own` is what its output is shown without; the faults of
    /// `proxy` that kill are for the program that started last.
    pub(super) fn new(
        path: &Path,
        directory: &Path,
        own: Vec<(String, &'static str)>,
        proxy: Option<&'env Proxy>,
    ) -> Self {
        let mut command = Command::new(path);
        command.current_dir(directory).env_clear();
        Self { command, stdin: Vec::new(), longest: LONGEST, own, proxy }
    }

    /// With these arguments after those that it has.
    pub(crate) fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.command.args(args);
        self
    }

    /// With a variable in its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without a variable.
    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// With `text` on its standard input, which then ends.
    pub(crate) fn stdin(mut self, text: &str) -> Self {
        text.as_bytes().clone_into(&mut self.stdin);
        self
    }

    /// Run by the user `nobody`, where we are root. Anyone else has no more rights than that already.
    pub(crate) fn by_nobody(mut self) -> Self {
        if geteuid().is_root() {
            self.command.uid(NOBODY).gid(NOBODY);
        }
        self
    }

    /// Killed, with the test failed, where it takes longer.
    pub(crate) fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Lets it run.
    #[track_caller]
    pub(crate) fn spawn(mut self) -> Process<'env> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap_or_else(|err| panic!("{:?}: {err}", self.command));
        if let Some(proxy) = self.proxy {
            proxy.set_victim(child.id());
        }
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        let input = self.stdin;
        // A program may end without having read its input.
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = reader(child.stdout.take().expect("standard output is a pipe"));
        let stderr = reader(child.stderr.take().expect("standard error is a pipe"));
        let Self { longest, own, proxy, .. } = self;
        Process { child, feeder, stdout, stderr, longest, own, proxy }
    }
}

/// A program that runs.
pub(crate) struct Process<'env> {
    child: Child,
    feeder: JoinHandle<()>,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
    longest: Duration,
    own: Vec<(String, &'static str)>,
    proxy: Option<&'env Proxy>,
}

impl Process<'_> {
    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a child takes a signal");
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Output {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if began.elapsed() > self.longest {
                self.child.kill().expect("a child can be killed");
                self.child.wait().expect("a child can be waited for");
                let text = |stream: JoinHandle<Vec<u8>>| {
                    String::from_utf8_lossy(&stream.join().expect("a reader ends")).into_owned()
                };
                panic!("it ran longer than {:?}\n{}\n{}", self.longest, text(self.stdout), text(self.stderr));
            }
            std::thread::sleep(LOOK_AGAIN);
        };
        if let Some(proxy) = self.proxy {
            proxy.forget_victim(self.child.id());
        }
        self.feeder.join().expect("a feeder ends");
        let stdout = self.stdout.join().expect("a reader ends");
        let stderr = self.stderr.join().expect("a reader ends");
        Output::new(status, &stdout, &stderr, self.own)
    }
}

/// Reads a stream to its end, beside everything else: a full pipe would stop the program.
fn reader(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}
