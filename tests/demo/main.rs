//! Shows the whole of it, against an emulator of AWS: what `make demo` runs.
//!
//! Every command below is the built program, or the real Terraform; nothing is prepared but an empty account.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    unused_imports,
    reason = "a demonstration ends where something is not as it should be, and uses a part of the ground"
)]

#[path = "../ground/mod.rs"]
mod ground;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use ground::{Ground, critical_depth};
use tempfile::TempDir;

const CONFIGURATION: &str = r#"project = "acme"

backend "main" {
  region     = "eu-west-1"
  account_id = "123456789012"
}

environment "dev" {
  sandbox = true
}
environment "staging" {}
environment "prod" {
  components = ["main", "network"]
}
"#;

const MODULE: &str = r#"resource "terraform_data" "greeting" {
  input = "hello"
}
"#;

const BUCKET: &str = "acme-tfstate-123456789012-eu-west-1";
const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const COMMAND: Style = Style::new().bold();
const ASIDE: Style = Style::new().dimmed();

fn main() {
    let stage = Stage::set();
    stage.a_new_project();
    stage.nothing_to_do();
    stage.drift();
    match find_engine() {
        Some(engine) => stage.terraform(&engine),
        None => title("There is no `terraform` or `tofu` on the PATH, so that part is left out."),
    }
    title("Done. The account, the server and all files are gone.");
}

/// An account, a folder and a home of their own.
struct Stage {
    folder: TempDir,
    ground: Ground,
}

impl Stage {
    fn set() -> Self {
        let stage = Self { folder: TempDir::with_prefix("underpin-demo-").unwrap(), ground: Ground::take() };
        std::fs::write(stage.folder.path().join("underpin.hcl"), CONFIGURATION).unwrap();
        stage
    }

    fn a_new_project(&self) {
        title("A new project: three environments on one backend.");
        anstream::println!("{COMMAND}$ cat underpin.hcl{COMMAND:#}\n{CONFIGURATION}");
        self.underpin(["apply", "--auto-approve"]);
    }

    fn nothing_to_do(&self) {
        title("Once more: nothing to do.");
        self.underpin(["apply", "--auto-approve"]);
        assert!(!self.writes_something(), "the second run changes something");
    }

    fn drift(&self) {
        title("Somebody suspends versioning by hand. A plan shows it, and an apply repairs just that.");
        let account = self.ground.account();
        let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
        let call = account.s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(suspended);
        account.wait(call.send()).expect("versioning can be suspended");
        self.underpin(["plan"]);
        self.underpin(["apply", "--auto-approve"]);
    }

    fn terraform(&self, engine: &Path) {
        title("The real thing reads what was written, and keeps its state in what was made.");
        let module = self.folder.path().join("environments/dev");
        std::fs::write(module.join("main.tf"), MODULE).unwrap();
        // The emulator has an address and no name, so buckets are not part of a host's name there.
        let init = ["init", "-no-color", "-backend-config=use_path_style=true"];
        for args in [&init[..], &["apply", "-no-color", "-auto-approve"]] {
            let name = engine.file_name().unwrap_or_default().to_string_lossy();
            self.shown(
                &format!("{name} {}", args.join(" ")),
                Command::new(engine).args(args).current_dir(&module),
            );
        }
        let account = self.ground.account();
        let objects = account.wait(account.s3.list_objects_v2().bucket(BUCKET).send()).expect("a list");
        for object in objects.contents() {
            let key = object.key().unwrap_or_default();
            let head =
                account.wait(account.s3.head_object().bucket(BUCKET).key(key).send()).expect("an object");
            let encrypted = head.ssekms_key_id().unwrap_or("no key of ours");
            anstream::println!("{ASIDE}s3://{BUCKET}/{key} is encrypted with {encrypted}{ASIDE:#}");
        }
    }

    /// Runs the built program and says what it cost.
    fn underpin<const N: usize>(&self, args: [&str; N]) {
        self.ground.proxy().forget_calls();
        let began = Instant::now();
        let mut command = Command::new(built_program());
        self.shown(
            &format!("underpin {}", args.join(" ")),
            command.args(args).current_dir(self.folder.path()),
        );
        let calls = self.ground.proxy().calls();
        let writes = calls.iter().filter(|call| call.mutating()).count();
        anstream::println!(
            "{ASIDE}{} calls to AWS, {writes} of them writes, {} deep, in {:.2} s{ASIDE:#}",
            calls.len(),
            critical_depth(&calls),
            began.elapsed().as_secs_f32()
        );
    }

    fn writes_something(&self) -> bool {
        self.ground.proxy().calls().iter().any(ground::Call::mutating)
    }

    fn shown(&self, line: &str, command: &mut Command) {
        anstream::println!("{COMMAND}$ {line}{COMMAND:#}");
        let url = self.ground.proxy().url();
        command
            .env("HOME", self.folder.path())
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_CLI_CONFIG_FILE", "/dev/null")
            .env("AWS_ENDPOINT_URL", &url);
        for name in
            ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "UNDERPIN_CONFIG"]
        {
            command.env_remove(name);
        }
        for service in ["S3", "DYNAMODB", "IAM", "STS"] {
            command.env(format!("AWS_ENDPOINT_URL_{service}"), &url);
        }
        let status = command.status().unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(status.success(), "{line}: {status}");
    }
}

fn title(text: &str) {
    anstream::println!("\n{TITLE}# {text}{TITLE:#}\n");
}

/// Returns the program that lies beside this one in the build's folder.
fn built_program() -> PathBuf {
    let own = std::env::current_exe().expect("the path of this program");
    let folder = own.parent().and_then(Path::parent).expect("the folder of examples is in that of programs");
    folder.join("underpin")
}

fn find_engine() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        |name: &str| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    on_path("terraform").or_else(|| on_path("tofu"))
}
