//! Histories that the real Terraform wrote: told without secrets, and brought back.

use serde_json::{Value, json};

use crate::common::{Engine, Output, engines_or_skip, lockfile_engines_or_skip};
use crate::locks::Site;
use crate::locks_terraform::wait_until_there;
use crate::state::{KEY, assert_no_secret, plain};

const FOLDER: &str = "environments/dev";

/// Resources that need no provider; the second one's secret is marked where it goes in, and comes out in clear.
const MAIN: &str = r#"
variable "n" {}

resource "terraform_data" "content" {
  input = { n = var.n, list = ["a", tostring(var.n)] }
}

resource "terraform_data" "secret" {
  input = { user = "ada", pass = sensitive("planted-secret-${var.n}") }
}

output "n" {
  value = var.n
}

output "secret" {
  value     = "planted-secret-${var.n}"
  sensitive = true
}
"#;

/// A dev environment whose state the engine wrote five times.
fn applied(engine: &Engine, mode: &'static str) -> Site {
    let site = Site::new(mode);
    site.env.write(format!("{FOLDER}/main.tf"), MAIN);
    site.env.engine(engine, FOLDER, ["init"]).run().expect_code(0);
    for n in 1..=5 {
        apply(&site, engine, n).expect_code(0);
    }
    site
}

fn apply(site: &Site, engine: &Engine, n: usize) -> Output {
    let n = format!("-var=n={n}");
    site.env.engine(engine, FOLDER, ["apply", "-auto-approve", &n]).run()
}

#[test]
fn every_version_comes_back_and_terraform_goes_on_from_it_with_locks_in_the_table() {
    for engine in
        engines_or_skip("every_version_comes_back_and_terraform_goes_on_from_it_with_locks_in_the_table")
    {
        comes_back(&engine, "dynamodb");
    }
}

#[test]
fn every_version_comes_back_and_terraform_goes_on_from_it_with_locks_beside_the_state() {
    let test = "every_version_comes_back_and_terraform_goes_on_from_it_with_locks_beside_the_state";
    for engine in lockfile_engines_or_skip(test) {
        comes_back(&engine, "s3");
    }
}

#[test]
fn every_version_comes_back_and_terraform_goes_on_from_it_with_both_locks() {
    let test = "every_version_comes_back_and_terraform_goes_on_from_it_with_both_locks";
    for engine in lockfile_engines_or_skip(test) {
        comes_back(&engine, "both");
    }
}

fn comes_back(engine: &Engine, mode: &'static str) {
    let site = applied(engine, mode);
    let written = site.versions("dev");
    let written: Vec<&Value> = written.iter().filter(|version| version["content"] == "plain").collect();
    assert!(written.len() >= 5, "{written:?}");
    site.env.engine(engine, FOLDER, ["plan", "-var=n=6", "-out=saved"]).run().expect_code(0);
    site.put_state(KEY, "{ broken");
    site.env.engine(engine, FOLDER, ["plan", "-var=n=5"]).run().expect_code(1);

    for (restored, version) in written.iter().take(5).enumerate() {
        let id = version["version"].as_str().unwrap();
        let highest = written[0]["serial"].as_u64().unwrap() + u64::try_from(restored).unwrap();

        let output =
            site.env.run(["state", "restore", "dev", "--version", id, "--auto-approve"]).expect_code(0);

        assert_no_secret(&output);
        assert_eq!(site.serial(KEY), highest + 1, "{output}");
        assert_eq!(site.held(KEY), Vec::<String>::new());
        let n = 5 - restored;
        let plan =
            site.env.engine(engine, FOLDER, ["plan", "-detailed-exitcode", &format!("-var=n={n}")]).run();
        assert_eq!(plan.code, 0, "{plan}");
    }
    let stale = site.env.engine(engine, FOLDER, ["apply", "saved"]).run().expect_code(1);
    assert!(stale.stderr.contains("stale"), "{stale}");
    let before = site.serial(KEY);
    apply(&site, engine, 7).expect_code(0);
    assert!(site.serial(KEY) > before);
    assert_eq!(site.digest(KEY).is_some(), mode != "s3");
    site.env.run(["state", "check"]).expect_code(0);
}

#[test]
fn what_changed_is_told_and_no_secret_anywhere() {
    for engine in engines_or_skip("what_changed_is_told_and_no_secret_anywhere") {
        let site = applied(&engine, "dynamodb");
        let versions = site.versions("dev");
        let [newest, before, ..] = versions.as_slice() else { panic!("{versions:?}") };
        assert_eq!(newest["changes"], json!({ "added": 0, "changed": 2, "removed": 0, "moved": 0 }));
        let serial = before["serial"].to_string();

        let diff = site.env.run(["state", "diff", "dev", &serial]).expect_code(0);

        insta::with_settings!({ filters => vec![(r"\([0-9a-zA-Z._-]{20,}\)", "([VERSION])"), (r"serial \d+", "serial [N]")] }, {
            insta::assert_snapshot!(diff, @r#"
            exit code: 0
            ----- stdout -----
            dev/main: from serial [N] of [TIME] ([UUID]) to serial [N] of [TIME] ([UUID])

              ~ terraform_data.content was changed
                  ~ input.list[1] = "4" -> "5"
                  ~ input.n = "4" -> "5"
                  ~ output.list[1] = "4" -> "5"
                  ~ output.n = "4" -> "5"

              ~ terraform_data.secret was changed
                  ~ input.pass = (sensitive value, changed)
                  ~ output.pass = (sensitive value, changed)

            Changes to Outputs:
              ~ n = "4" -> "5"
              ~ secret = (sensitive value, changed)

            Resources: 2 changed. Outputs: 2 changed.

            ----- stderr -----
            "#);
        });
        let commands: [&[&str]; 7] = [
            &["state", "diff", "dev", &serial, "latest", "--json"],
            &["state", "list"],
            &["state", "list", "--json"],
            &["state", "show", "dev"],
            &["state", "show", "dev", "--version", &serial, "--json"],
            &["state", "versions", "dev", "-v"],
            &["state", "check", "-v"],
        ];
        for command in commands {
            let output = commands_of(&site, command).expect_code(0);
            assert_no_secret(&output);
        }
        let refused = site.env.run(["state", "show", "dev", "--show-sensitive"]).expect_code(3);
        assert_no_secret(&refused);
    }
}

/// Runs underpin with as many arguments as there are.
fn commands_of(site: &Site, arguments: &[&str]) -> Output {
    arguments.iter().fold(site.env.underpin([]), |program, argument| program.args([argument])).run()
}

#[test]
fn a_state_of_13_mb_comes_back_and_can_be_read() {
    for engine in engines_or_skip("a_state_of_13_mb_comes_back_and_can_be_read") {
        let site = Site::new("dynamodb");
        let main = r#"
            variable "n" {}
            resource "terraform_data" "large" {
              input = [for part in range(7): join("", [for _ in range(1000): format("%01000d", var.n)])]
            }
        "#;
        site.env.write(format!("{FOLDER}/main.tf"), main);
        site.env.engine(&engine, FOLDER, ["init"]).run().expect_code(0);
        apply(&site, &engine, 1).expect_code(0);
        let first = site.versions("dev")[0]["version"].as_str().unwrap().to_owned();
        apply(&site, &engine, 2).expect_code(0);
        assert!(site.state(KEY).len() > 13_000_000);

        site.env.run(["state", "restore", "dev", "--version", &first, "--auto-approve"]).expect_code(0);

        let plan = ["plan", "-detailed-exitcode", "-var=n=1"];
        site.env.engine(&engine, FOLDER, plan).run().expect_code(0);
    }
}

#[test]
fn a_restore_is_refused_while_terraform_holds_the_lock() {
    for engine in engines_or_skip("a_restore_is_refused_while_terraform_holds_the_lock") {
        let site = Site::new("dynamodb");
        let main = r#"
            resource "terraform_data" "waits" {
              provisioner "local-exec" {
                command = "touch begun; until [ -e go ]; do sleep 0.02; done"
              }
            }
        "#;
        site.env.write(format!("{FOLDER}/main.tf"), main);
        let first = site.put_state(KEY, plain(1, "l"));
        site.put_state(KEY, plain(2, "l"));
        site.env.engine(&engine, FOLDER, ["init"]).run().expect_code(0);
        let apply = site.env.engine(&engine, FOLDER, ["apply", "-auto-approve"]).spawn();
        wait_until_there(&site.env.path(format!("{FOLDER}/begun")));

        let refused =
            site.env.run(["state", "restore", "dev", "--version", &first, "--auto-approve"]).expect_code(3);

        assert!(refused.stderr.contains("OperationTypeApply"), "{refused}");
        site.env.write(format!("{FOLDER}/go"), "");
        assert_eq!(apply.wait().code, 0);
        assert_eq!(site.serial(KEY), 3);
    }
}
