//! A folder, a home and an account of one's own.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use super::Output;
use super::engine::Engine;
use super::process::Program;
use crate::ground::{Account, Call, Ground, Proxy};

/// Names a file that the time of each test is added to, in seconds.
const TIMES: &str = "UNDERPIN_TEST_TIMES";

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:1";

/// The services that Terraform's backend calls; OpenTofu knows no variable for all of them.
const ENGINE_SERVICES: [&str; 4] = ["S3", "DYNAMODB", "IAM", "STS"];

/// What a test has to itself. It runs the built program in an environment without anything else, against an empty account.
pub(crate) struct TestEnv {
    root: TempDir,
    ground: Option<Ground>,
    began: Instant,
}

impl TestEnv {
    /// With an account.
    pub(crate) fn new() -> Self {
        Self::on(Some(Ground::take()))
    }

    /// Without an account and without a network: every call fails.
    pub(crate) fn offline() -> Self {
        Self::on(None)
    }

    fn on(ground: Option<Ground>) -> Self {
        let root = TempDir::with_prefix("underpin-").expect("a temporary folder");
        let env = Self { root, ground, began: Instant::now() };
        for folder in [env.root.path(), &env.home(), &env.folder()] {
            fs::create_dir_all(folder).expect("a folder");
            env.set_mode(folder, 0o755);
        }
        env
    }

    /// The project's folder, which programs run in.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().join("project")
    }

    fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// A path in the project's folder.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder().join(path)
    }

    /// Writes a file in the project's folder.
    pub(crate) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
        fs::write(&path, content).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    }

    /// Reads a file in the project's folder.
    #[track_caller]
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.path(path);
        fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
    }

    /// Lists the files in the project's folder, sorted, as paths from there; what begins with a dot is left out.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder can be read") {
                let path = entry.expect("a folder can be read").path();
                let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                if path.is_dir() && !hidden {
                    folders.push(path);
                } else if !hidden {
                    let path = path.strip_prefix(self.folder()).expect("a path in the folder");
                    files.push(path.display().to_string());
                }
            }
        }
        files.sort_unstable();
        files
    }

    /// Sets a file's or a folder's mode.
    pub(crate) fn set_mode(&self, path: impl AsRef<Path>, mode: u32) {
        let path = self.path(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode can be set");
    }

    /// Runs the built program with these arguments.
    #[track_caller]
    pub(crate) fn run<const N: usize>(&self, args: [&str; N]) -> Output {
        self.underpin(args).run()
    }

    /// The built program with these arguments, to be run.
    pub(crate) fn underpin<const N: usize>(&self, args: [&str; N]) -> Program<'_> {
        self.program(Path::new(env!("CARGO_BIN_EXE_underpin"))).args(args)
    }

    /// The built program in a place that everybody can reach: the build's own folder may be closed to others.
    pub(crate) fn reachable_underpin<const N: usize>(&self, args: [&str; N]) -> Program<'_> {
        let (built, reachable) = (env!("CARGO_BIN_EXE_underpin"), self.root.path().join("underpin"));
        if !reachable.exists() && fs::hard_link(built, &reachable).is_err() {
            fs::copy(built, &reachable).expect("the program can be copied");
        }
        self.program(&reachable).args(args)
    }

    /// A program in the project's folder, with credentials and an endpoint and nothing else in its environment.
    pub(crate) fn program(&self, path: &Path) -> Program<'_> {
        let own = vec![
            (self.folder().display().to_string(), "[DIR]"),
            (self.root.path().display().to_string(), "[ROOT]"),
        ];
        let proxy = self.ground.as_ref().map(Ground::proxy);
        Program::new(path, &self.folder(), own, proxy)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", self.url())
    }

    /// Terraform or OpenTofu in a folder of the project, to be run. Nothing that was rendered needs to be changed for it: the
    /// endpoint comes from the environment, and `init` is told there to call buckets by path, since no name leads here.
    pub(crate) fn engine<const N: usize>(
        &self,
        engine: &Engine,
        folder: &str,
        args: [&str; N],
    ) -> Program<'_> {
        let chdir = format!("-chdir={}", self.path(folder).display());
        let program = self
            .program(&engine.path)
            .args([&chdir])
            .args(args)
            .env("TF_CLI_CONFIG_FILE", "/dev/null")
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_CLI_ARGS", "-no-color")
            .env("TF_CLI_ARGS_init", "-backend-config=use_path_style=true")
            .env("CHECKPOINT_DISABLE", "1");
        ENGINE_SERVICES
            .iter()
            .fold(program, |program, service| program.env(&format!("AWS_ENDPOINT_URL_{service}"), self.url()))
    }

    fn url(&self) -> String {
        self.ground.as_ref().map_or_else(|| NOWHERE.to_owned(), |ground| ground.proxy().url())
    }

    fn ground(&self) -> &Ground {
        self.ground.as_ref().expect("a test that has an account")
    }

    /// What stands between programs and the account.
    pub(crate) fn proxy(&self) -> &Proxy {
        self.ground().proxy()
    }

    /// The account, to look at and to meddle with.
    pub(crate) fn account(&self) -> &Account {
        self.ground().account()
    }

    /// The calls that programs made until now.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.proxy().calls()
    }

    /// The operations of the calls that changed something, in order.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.calls().iter().filter(|call| call.mutating()).map(|call| call.operation().to_owned()).collect()
    }

    /// Empties the log of calls.
    pub(crate) fn forget_calls(&self) {
        self.proxy().forget_calls();
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os(TIMES) else { return };
        let thread = std::thread::current();
        let line =
            format!("{:.1} {}\n", self.began.elapsed().as_secs_f32(), thread.name().unwrap_or_default());
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the times can be written down");
    }
}
