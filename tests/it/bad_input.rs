//! What people get wrong, and what is not as it should be around the program: a clear error, and nothing lost.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::TestEnv;
use crate::ground::{Fault, On};

const ONE_BACKEND: &str = r#"
project = "acme"

backend "main" {
  region     = "eu-west-1"
  account_id = "123456789012"
}

environment "dev" {}
"#;

fn env() -> TestEnv {
    let env = TestEnv::new();
    env.write("underpin.hcl", ONE_BACKEND);
    env
}

#[test]
fn every_invalid_configuration_is_an_error_before_any_call() {
    let env = TestEnv::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/invalid");
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let drawn = std::fs::read_to_string(path.with_extension("stderr")).unwrap();
        if path.extension().is_none_or(|extension| extension != "hcl") || !drawn.starts_with("error") {
            continue;
        }
        env.write("underpin.hcl", std::fs::read(&path).unwrap());

        let output = env.run(["apply", "--auto-approve"]).expect_code(1);

        let first = drawn.lines().next().unwrap().replace("VERSION", env!("CARGO_PKG_VERSION"));
        assert!(output.stderr.contains(&first), "{}: {output}", path.display());
        tried += 1;
    }
    assert!(tried > 50, "{tried} configurations");
    assert_eq!(env.calls().len(), 0);
    assert_eq!(env.files(), ["underpin.hcl"]);
}

#[test]
fn no_configuration_names_the_command_that_writes_one() {
    let output = TestEnv::offline().run(["plan"]).expect_code(1);

    assert!(output.stderr.contains("underpin init"), "{output}");
}

#[test]
fn without_credentials_the_hint_says_how_to_check_them() {
    let env = env();

    let program =
        env.underpin(["plan"]).without_env("AWS_ACCESS_KEY_ID").without_env("AWS_SECRET_ACCESS_KEY");
    let output = program.run().expect_code(1);

    assert!(output.stderr.contains("aws sts get-caller-identity"), "{output}");
    assert_eq!(env.calls().len(), 0);
}

#[test]
fn expired_or_unknown_credentials_are_an_error_with_a_hint() {
    for fault in [Fault::ExpiredToken, Fault::InvalidToken] {
        let env = env();
        env.proxy().inject(On::any(), fault);

        let output = env.run(["apply", "--auto-approve"]).expect_code(1);

        assert!(output.stderr.contains("Check the credentials"), "{output}");
        assert_eq!(env.files(), ["underpin.hcl"]);
    }
}

#[test]
fn an_unreachable_endpoint_is_an_error_within_the_limits() {
    let env = TestEnv::offline();
    env.write("underpin.hcl", ONE_BACKEND);
    let began = Instant::now();

    let program = env.underpin(["plan", "--connect-timeout", "1s", "--total-timeout", "3s"]);
    let output = program.run().expect_code(1);

    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(output.stderr.contains("AWS_ENDPOINT_URL"), "{output}");
}

#[test]
fn a_folder_that_may_not_be_written_gets_no_part_of_a_file() {
    let env = env();
    env.run(["apply", "--auto-approve"]).expect_code(0);
    std::fs::remove_dir_all(env.path("environments")).unwrap();
    let touched = env.program(Path::new("/usr/bin/touch")).args(["a-file"]).by_nobody().run();
    assert_ne!(touched.code, 0, "the condition holds: nobody may write here");

    let output = env.reachable_underpin(["render"]).by_nobody().run().expect_code(1);

    assert!(output.stderr.contains("right to write"), "{output}");
    assert_eq!(env.files(), ["underpin.hcl"]);
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    let env = TestEnv::offline();
    for args in [["plan", "--no-such-flag"], ["no-such-command", "-v"], ["plan", "--attempt-timeout=soon"]] {
        env.run(args).expect_code(64);
    }
}

#[test]
fn no_secret_is_ever_printed() {
    const SECRET: &str = "canary-of-a-secret-key-0123456789abcdef";
    const TOKEN: &str = "canary-of-a-session-token-0123456789abcdef";
    let env = env();
    for fault in [None, Some(Fault::AccessDenied), Some(Fault::ExpiredToken)] {
        env.proxy().clear_faults();
        if let Some(fault) = fault {
            env.proxy().inject(On::any().nth(3), fault);
        }
        for args in [["plan", "-v"], ["plan", "--json"], ["apply", "--auto-approve"], ["render", "-v"]] {
            let program =
                env.underpin(args).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_SESSION_TOKEN", TOKEN);
            let output = program.run();
            for canary in [SECRET, TOKEN] {
                assert!(!output.stdout.contains(canary) && !output.stderr.contains(canary), "{args:?}");
            }
        }
    }
}
