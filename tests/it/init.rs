//! `init`: a first configuration from flags or answers, that holds, and is never written over another.

use std::os::unix::fs::symlink;
use std::path::Path;

use insta::assert_snapshot;

use crate::common::{Output, TestEnv, engines_or_skip};

const FLAGS: [&str; 5] = ["init", "--project", "acme", "--region", "eu-west-1"];

/// Runs `init` at a terminal, where `typed` is typed. What it says is in its standard output, as on the screen.
fn init_at_terminal(env: &TestEnv, typed: &str) -> Output {
    env.program(Path::new("script"))
        .args(["--quiet", "--return", "--command", "\"$UNDERPIN\" init", "/dev/null"])
        .env("UNDERPIN", env!("CARGO_BIN_EXE_underpin"))
        .env("SHELL", "/bin/sh")
        .env("NO_COLOR", "1")
        .stdin(typed)
        .run()
}

#[test]
fn flags_are_all_it_takes() {
    let env = TestEnv::offline();

    let output = env
        .underpin(FLAGS)
        .args(["--account-id", "111122223333", "--lock", "both", "--engine", "opentofu"])
        .args(["--environment", "dev", "--environment", "prod", "--sandbox", "dev"])
        .run()
        .expect_code(0);

    assert_snapshot!(output, @r"
    exit code: 0
    ----- stdout -----
    Wrote `underpin.hcl`. `underpin plan` shows what has to be made.

    ----- stderr -----
    ");
    assert_snapshot!(env.read("underpin.hcl"), @r#"
    # Where OpenTofu keeps its state.
    # `underpin plan` shows what has to be made, `underpin apply` makes it.

    # The name of everything that is made begins with it.
    project = "acme"

    backend "main" {
      region = "eu-west-1"

      # With credentials of any other account, nothing is done.
      account_id = "111122223333"

      # "dynamodb" locks in a table and works with every version; "s3" needs no table, and
      # version 1.10 or later; "both" is for the way from one to the other.
      lock = "both"
    }

    # A sandbox may be torn down.
    environment "dev" {
      sandbox = true

      render {
        engine = "opentofu"
      }
    }

    environment "prod" {
      render {
        engine = "opentofu"
      }
    }
    "#);
    assert_snapshot!(env.run(["validate"]).expect_code(0), @r"
    exit code: 0
    ----- stdout -----
    `underpin.hcl` is valid: project `acme`, 1 backend and 2 environments.

    ----- stderr -----
    ");
}

#[test]
fn two_flags_are_enough() {
    let env = TestEnv::offline();

    env.run(FLAGS).expect_code(0);

    assert_snapshot!(env.read("underpin.hcl"), @r#"
    # Where Terraform keeps its state.
    # `underpin plan` shows what has to be made, `underpin apply` makes it.

    # The name of everything that is made begins with it.
    project = "acme"

    backend "main" {
      region = "eu-west-1"

      # With credentials of any other account, nothing is done.
      # account_id = "111122223333"

      # "dynamodb" locks in a table and works with every version; "s3" needs no table, and
      # version 1.10 or later; "both" is for the way from one to the other.
      lock = "dynamodb"
    }

    # With `sandbox = true`, an environment may be torn down.
    environment "dev" {}

    environment "staging" {}

    environment "prod" {}
    "#);
    env.run(["validate"]).expect_code(0);
}

#[test]
fn what_is_written_validates_and_is_formatted_in_every_variety() {
    let engines = engines_or_skip("what_is_written_validates_and_is_formatted_in_every_variety");
    for lock in ["dynamodb", "s3", "both"] {
        for name in ["terraform", "opentofu"] {
            let env = TestEnv::offline();

            env.underpin(FLAGS)
                .args(["--lock", lock, "--engine", name, "--sandbox", "try"])
                .run()
                .expect_code(0);

            env.run(["validate"]).expect_code(0);
            for engine in &engines {
                let written = env.read("underpin.hcl");
                env.engine(engine, ".", ["fmt", "-check", "-"]).stdin(&written).run().expect_code(0);
            }
        }
    }
}

#[test]
fn a_configuration_that_is_there_is_never_overwritten() {
    let env = TestEnv::offline();
    env.write("underpin.hcl", "# mine\n");

    let output = env.run(FLAGS).expect_code(3);

    assert_eq!(env.read("underpin.hcl"), "# mine\n");
    assert_snapshot!(output, @r"
    exit code: 3
    ----- stdout -----

    ----- stderr -----
    error: `underpin.hcl` is there already; nothing was written

    hint: Edit it, or name another file with `--config`.
    ");
    init_at_terminal(&env, "acme\neu-west-1\n\n\n").expect_code(3);
    assert_eq!(env.read("underpin.hcl"), "# mine\n");
}

#[test]
fn a_link_to_nothing_is_not_overwritten_either() {
    let env = TestEnv::offline();
    symlink("elsewhere.hcl", env.path("underpin.hcl")).unwrap();

    env.run(FLAGS).expect_code(3);

    assert!(env.path("underpin.hcl").is_symlink());
    assert!(!env.path("elsewhere.hcl").exists());
}

#[test]
fn without_a_terminal_what_cannot_be_guessed_must_be_given() {
    let env = TestEnv::offline();

    let neither = env.underpin(["init"]).stdin("acme\neu-west-1\n").run().expect_code(64);
    env.run(["init", "--region", "eu-west-1"]).expect_code(64);
    let project_alone = env.run(["init", "--project", "acme"]).expect_code(64);
    env.run(["init", "--project", "Acme!", "--region", "eu-west-1"]).expect_code(64);

    assert_eq!(env.files(), Vec::<String>::new());
    assert_snapshot!(neither, @r"
    exit code: 64
    ----- stdout -----

    ----- stderr -----
    error: `--project` is not given

    hint: There is no terminal to ask at: give `--project` and `--region`.
    ");
    assert_snapshot!(project_alone.stderr.lines().next().unwrap(), @"error: `--region` is not given");
}

#[test]
fn at_a_terminal_it_asks_until_it_knows() {
    let env = TestEnv::offline();

    let output = init_at_terminal(&env, "Acme!\nacme\neu-west-1\n111122223333\none, two\n").expect_code(0);

    let asked = output.stdout.matches("Name of the project:").count();
    assert_eq!(asked, 2, "{output}");
    assert_snapshot!(env.read("underpin.hcl"), @r#"
    # Where Terraform keeps its state.
    # `underpin plan` shows what has to be made, `underpin apply` makes it.

    # The name of everything that is made begins with it.
    project = "acme"

    backend "main" {
      region = "eu-west-1"

      # With credentials of any other account, nothing is done.
      account_id = "111122223333"

      # "dynamodb" locks in a table and works with every version; "s3" needs no table, and
      # version 1.10 or later; "both" is for the way from one to the other.
      lock = "dynamodb"
    }

    # With `sandbox = true`, an environment may be torn down.
    environment "one" {}

    environment "two" {}
    "#);
    env.run(["validate"]).expect_code(0);
}

#[test]
fn whoever_leaves_without_an_answer_leaves_nothing_behind() {
    let env = TestEnv::offline();

    let output = init_at_terminal(&env, "acme\n").expect_code(3);

    assert!(output.stdout.contains("not answered; nothing was written"), "{output}");
    assert_eq!(env.files(), Vec::<String>::new());
}
