//! `render`: files that Terraform would not format otherwise, the same bytes each time, and nobody's work lost.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use insta::assert_snapshot;

use crate::common::{TestEnv, engines_or_skip};

const BACKEND: &str = "environments/dev/backend.tf";

const BY_HAND: &str = "terraform {\n  backend \"local\" {}\n}\n";

/// The account that the emulator is.
const ACCOUNT: &str = "  account_id = \"123456789012\"\n";

/// Two environments, in one lock mode.
fn config(account: &str, lock: &str) -> String {
    format!(
        "project = \"acme\"\n\nbackend \"main\" {{\n  region = \"eu-west-1\"\n  lock = \"{lock}\"\n{account}}}\n\n\
         environment \"dev\" {{}}\nenvironment \"prod\" {{}}\n"
    )
}

/// A project that knows its account and can reach nothing.
fn offline(lock: &str) -> TestEnv {
    let env = TestEnv::offline();
    env.write("underpin.hcl", config(ACCOUNT, lock));
    env
}

/// A project whose backend is there, with its files.
fn applied() -> TestEnv {
    let env = TestEnv::new();
    env.write("underpin.hcl", config(ACCOUNT, "dynamodb"));
    env.run(["apply", "--auto-approve"]).expect_code(0);
    env
}

/// What changes with every write of a file.
fn inode(env: &TestEnv, path: &str) -> u64 {
    fs::metadata(env.path(path)).unwrap().ino()
}

#[test]
fn terraform_would_format_nothing_otherwise() {
    for engine in engines_or_skip("terraform_would_format_nothing_otherwise") {
        for lock in ["dynamodb", "s3", "both"] {
            let env = offline(lock);

            env.run(["render", "--offline"]).expect_code(0);

            env.engine(&engine, "environments/dev", ["fmt", "-check", "-diff", "backend.tf"])
                .run()
                .expect_code(0);
        }
    }
}

#[test]
fn render_writes_what_apply_wrote_and_only_once() {
    let env = applied();
    let written = env.read(BACKEND);
    fs::remove_file(env.path(BACKEND)).unwrap();
    env.forget_calls();

    env.run(["render"]).expect_code(0);
    let inode_before = inode(&env, BACKEND);
    let again = env.run(["render"]).expect_code(0);

    assert_eq!(env.read(BACKEND), written);
    assert_eq!(inode(&env, BACKEND), inode_before, "it was written again");
    assert_eq!(env.writes(), Vec::<String>::new());
    assert_snapshot!(again, @r"
    exit code: 0
    ----- stdout -----
    No changes. 2 files as rendered.

    ----- stderr -----
    ");
}

#[test]
fn check_tells_what_differs_and_writes_nothing() {
    let env = applied();
    env.run(["render", "--check"]).expect_code(0);
    let changed = env.read(BACKEND).replace("dev/main.tfstate", "prod/main.tfstate");
    env.write(BACKEND, &changed);
    fs::remove_file(env.path("environments/prod/backend.tf")).unwrap();

    let output = env.run(["render", "--check"]).expect_code(2);

    assert_eq!(env.read(BACKEND), changed);
    assert!(!env.files().contains(&"environments/prod/backend.tf".to_owned()));
    assert_snapshot!(output, @r"
    exit code: 2
    ----- stdout -----
      differs environments/dev/backend.tf
      missing environments/prod/backend.tf

    ----- stderr -----
    ");
}

#[test]
fn a_key_by_its_alias_is_as_good_as_by_its_arn() {
    let env = applied();
    let by_arn = env.read(BACKEND);
    env.run(["render", "--offline", "--check"]).expect_code(2);
    fs::remove_file(env.path(BACKEND)).unwrap();
    env.run(["render", "--offline"]).expect_code(0);
    let by_alias = env.read(BACKEND);
    assert_ne!(by_alias, by_arn);

    env.run(["render", "--check"]).expect_code(0);
    env.run(["render"]).expect_code(0);
    assert_eq!(env.read(BACKEND), by_alias, "everyone would have to run `terraform init` again");

    env.write(BACKEND, by_alias.replace("alias/acme-tfstate", "alias/acme-other"));
    env.run(["render", "--check"]).expect_code(2);
}

#[test]
fn offline_needs_the_account_and_nothing_else() {
    let env = offline("dynamodb");

    let output = env.run(["render", "--offline"]).expect_code(0);

    assert_snapshot!(output, @r"
    exit code: 0
    ----- stdout -----
    2 files written.

    ----- stderr -----
      wrote environments/dev/backend.tf
      wrote environments/prod/backend.tf
    ");
    assert_snapshot!(env.read(BACKEND), @r#"
    # Made by underpin from underpin.hcl, for dev/main.
    # Edit that file and run `underpin render`: what is changed here is lost.
    # Needs Terraform 1.6 or later, for `allowed_account_ids`.
    terraform {
      backend "s3" {
        bucket               = "acme-tfstate-123456789012-eu-west-1"
        key                  = "dev/main.tfstate"
        region               = "eu-west-1"
        encrypt              = true
        kms_key_id           = "arn:aws:kms:eu-west-1:123456789012:alias/acme-tfstate"
        allowed_account_ids  = ["123456789012"]
        workspace_key_prefix = "dev/env:"
        dynamodb_table       = "acme-tfstate-locks"
      }
    }
    "#);

    env.write("underpin.hcl", config("", "dynamodb"));
    assert_snapshot!(env.run(["render", "--offline"]).expect_code(1), @r"
    exit code: 1
    ----- stdout -----

    ----- stderr -----
    error: the account of backend `main` is not known offline

    hint: Set `account_id` in the backend: it is part of what is rendered.
    ");
}

#[test]
fn before_the_first_apply_there_is_no_key_to_name() {
    let env = TestEnv::new();
    env.write("underpin.hcl", config("", "dynamodb"));

    let output = env.run(["render"]).expect_code(1);

    assert_eq!(env.files(), ["underpin.hcl"]);
    assert_snapshot!(output, @r"
    exit code: 1
    ----- stdout -----

    ----- stderr -----
    error: backend `main` has no key by its alias `alias/acme-tfstate`

    hint: Run `underpin apply` first, or `underpin render --offline` to name the key by its alias.
    ");
}

#[test]
fn what_was_written_by_hand_is_replaced_by_force_alone() {
    let env = offline("dynamodb");
    env.write(BACKEND, BY_HAND);

    let refused = env.run(["render", "--offline"]).expect_code(3);
    env.run(["render", "--offline", "--check"]).expect_code(3);

    assert_eq!(env.read(BACKEND), BY_HAND);
    assert_eq!(env.files(), [BACKEND, "underpin.hcl"], "all or nothing is written");
    assert_snapshot!(refused, @r"
    exit code: 3
    ----- stdout -----
      missing environments/prod/backend.tf
      refused environments/dev/backend.tf: `environments/dev/backend.tf` was not made by underpin
          Remove it, or give `--force` to replace it; what it says belongs into the configuration.

    ----- stderr -----
    ");

    env.run(["render", "--offline", "--force"]).expect_code(0);
    env.run(["render", "--offline", "--check"]).expect_code(0);
    assert!(env.read(BACKEND).contains(r#"backend "s3""#));
}

#[test]
fn a_required_version_that_is_too_old_is_an_error() {
    let env = offline("s3");
    env.write("environments/dev/main.tf", "terraform {\n  required_version = \"~> 1.9.0\"\n}\n");

    let output = env.run(["render", "--offline"]).expect_code(1);

    assert_eq!(env.files(), ["environments/dev/main.tf", "underpin.hcl"]);
    assert_snapshot!(output, @r#"
    exit code: 1
    ----- stdout -----

    ----- stderr -----
    error: the files beside the rendered ones do not go with them
      caused by: environments/dev/main.tf:2: `required_version = "~> 1.9.0"` rules out what is needed: Terraform 1.10 or later, for `use_lockfile`

    hint: Widen `required_version` there, or choose another `lock` for the backend.
    "#);
}

#[test]
fn a_required_version_that_also_admits_older_ones_is_a_warning() {
    let env = offline("s3");
    env.write("environments/dev/main.tf", "terraform {\n  required_version = \">= 1.6\"\n}\n");

    let output = env.run(["render", "--offline"]).expect_code(0);

    assert_snapshot!(output.filtered(&output.stderr), @r#"
    warning: environments/dev/main.tf:2: `required_version = ">= 1.6"` admits older versions than needed: Terraform 1.10 or later, for `use_lockfile`
      wrote environments/dev/backend.tf
      wrote environments/prod/backend.tf
    "#);
}

#[test]
fn a_link_out_of_the_project_is_not_followed() {
    let env = offline("dynamodb");
    let outside = env.path("../outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(env.path("environments")).unwrap();
    symlink(&outside, env.path("environments/dev")).unwrap();

    let output = env.run(["render", "--offline"]).expect_code(3);
    env.run(["render", "--offline", "--force"]).expect_code(3);

    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(env.files(), ["underpin.hcl"], "all or nothing is written");
    assert_snapshot!(output, @r"
    exit code: 3
    ----- stdout -----
      missing environments/prod/backend.tf
      refused environments/dev/backend.tf: `environments/dev/backend.tf` lies outside the project, at `[ROOT]/outside`
          Files are written inside the project alone. Remove the link, or set another `directory`.

    ----- stderr -----
    ");
}
