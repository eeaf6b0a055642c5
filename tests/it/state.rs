//! `state` against histories that the real Terraform wrote, and against states that nobody should have written.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use underpin::state::digest::digest;

use crate::common::{Engine, Output, TestEnv, engines_or_skip, lockfile_engines_or_skip};
use crate::ground::{Call, Fault, On};
use crate::locks::{BUCKET, Site, TABLE};

const FOLDER: &str = "environments/dev";
const KEY: &str = "dev/main.tfstate";

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

impl Site {
    /// The bytes of the state.
    fn state(&self, key: &str) -> Vec<u8> {
        let account = self.env.account();
        let object = account.wait(account.s3.get_object().bucket(BUCKET).key(key).send()).unwrap();
        account.wait(object.body.collect()).unwrap().to_vec()
    }

    /// Writes a state behind everybody's back, and returns the id of the version.
    fn put_state(&self, key: &str, content: impl AsRef<[u8]>) -> String {
        let account = self.env.account();
        let body = content.as_ref().to_vec().into();
        let put = account.s3.put_object().bucket(BUCKET).key(key).body(body);
        account.wait(put.send()).unwrap().version_id.unwrap()
    }

    fn digest(&self, key: &str) -> Option<String> {
        let account = self.env.account();
        let id = AttributeValue::S(format!("{BUCKET}/{key}-md5"));
        let get = account.dynamodb.get_item().table_name(TABLE).key("LockID", id);
        let item = account.wait(get.send()).ok()?.item?;
        item.get("Digest").and_then(|digest| digest.as_s().ok()).cloned()
    }

    fn serial(&self, key: &str) -> u64 {
        let state: Value = serde_json::from_slice(&self.state(key)).unwrap();
        state["serial"].as_u64().unwrap()
    }

    /// The versions that `state versions` tells, newest first.
    fn versions(&self, name: &str) -> Vec<Value> {
        let output = self.env.run(["state", "versions", name, "--json"]).expect_code(0);
        let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["type"] == "version").collect()
    }
}

/// Fails where a program told what is secret.
#[track_caller]
fn assert_no_secret(output: &Output) {
    assert!(
        !output.stdout.contains("planted-secret") && !output.stderr.contains("planted-secret"),
        "{output}"
    );
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
fn a_state_is_pulled_as_it_is_and_for_its_owner_alone() {
    let site = Site::new("s3");
    let content = "{\"version\": 4, \"serial\": 1, \"lineage\": \"l\", \"odd\": \"\\u003c\" }\n\n";
    site.put_state(KEY, content);

    let piped = site.env.run(["state", "pull", "dev"]).expect_code(0);
    site.env.run(["state", "pull", "dev", "--out", "copy.tfstate"]).expect_code(0);

    assert_eq!(piped.stdout, content);
    assert_eq!(site.env.read("copy.tfstate"), content);
    let mode = site.env.path("copy.tfstate").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    site.env.run(["state", "pull", "dev", "--out", "copy.tfstate"]).expect_code(1);
}

/// A state of format 4.
fn plain(serial: u64, lineage: &str) -> String {
    let outputs = json!({ "n": { "value": serial, "type": "number" } });
    json!({ "version": 4, "serial": serial, "lineage": lineage, "outputs": outputs }).to_string()
}

#[test]
fn what_is_no_state_is_called_what_it_is_and_nothing_is_written() {
    let site = Site::new("both");
    let large = vec![b'a'; 100];
    let cases: [(&[u8], i32, &str); 9] = [
        (b"", 1, "it is empty"),
        (b"\xef\xbb\xbf{\"version\": 4}", 1, "byte-order mark"),
        (b"<html>planted-secret</html>", 1, "it is not JSON"),
        (&large, 1, "it is not JSON"),
        (b"{\"version\": 4, \"serial\": 1, \"lineage\": \"l\", \"planted-secret\": ", 1, "it is cut off"),
        (b"{\"version\": 5, \"serial\": 1}", 1, "it is in format 5"),
        (b"{\"version\": 1, \"serial\": 1}", 1, "it is in format 1"),
        (b"{\"version\": 3, \"serial\": 1}", 1, "it is in format 3"),
        (b"{\"version\": 4, \"serial\": 1, \"lineage\": \"other\"}", 3, "it has the lineage `other`"),
    ];
    let ids: Vec<String> = cases.iter().map(|(content, ..)| site.put_state(KEY, content)).collect();
    site.put_state(KEY, plain(7, "l"));
    site.env.forget_calls();

    for ((_, code, reason), id) in cases.iter().zip(&ids) {
        let output = site.env.run(["state", "restore", "dev", "--version", id, "--auto-approve"]);
        assert_eq!(output.code, *code, "{output}");
        assert!(output.stderr.contains(reason), "{output}");
        assert_no_secret(&output);
    }
    let unknown =
        site.env.run(["state", "restore", "dev", "--version", "none", "--auto-approve"]).expect_code(1);
    assert!(unknown.stderr.contains("has no version `none`"), "{unknown}");
    assert_eq!(site.env.writes(), Vec::<String>::new());
    assert_eq!(site.versions("dev").len(), cases.len() + 1);
}

#[test]
fn a_restore_waits_for_nobody_who_holds_the_lock() {
    for mode in ["dynamodb", "s3", "both"] {
        let site = Site::new(mode);
        let first = site.put_state(KEY, plain(1, "l"));
        site.put_state(KEY, plain(2, "l"));
        let holder = r#"{"ID":"1","Operation":"OperationTypeApply","Info":"","Who":"ada@host","Version":"1.11.4","Created":"2026-01-01T00:00:00Z","Path":"x"}"#;
        assert!(site.try_take(KEY, holder));
        site.env.forget_calls();

        let refused =
            site.env.run(["state", "restore", "dev", "--version", &first, "--auto-approve"]).expect_code(3);

        assert!(refused.stderr.contains("ada@host"), "{refused}");
        assert_eq!(site.state(KEY), plain(2, "l").as_bytes());
        assert_eq!(site.held(KEY).len(), if mode == "both" { 2 } else { 1 });
    }
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

/// Writes a state with its digest, as Terraform would.
fn put_whole(site: &Site, content: &str) -> String {
    let id = site.put_state(KEY, content);
    site.env.run(["state", "check", "--repair"]).expect_code(0);
    id
}

#[test]
fn a_restore_that_is_killed_at_any_call_is_finished_by_the_next() {
    let site = Site::new("both");
    let (good, bad) = (put_whole(&site, &plain(1, "l")), put_whole(&site, &plain(2, "l")));
    let restore = ["state", "restore", "dev", "--version", &good, "--auto-approve"];
    let restore_bad = ["state", "restore", "dev", "--version", &bad, "--auto-approve"];
    site.env.forget_calls();
    site.env.run(restore).expect_code(0);
    let calls: Vec<bool> = site.env.calls().iter().map(Call::mutating).collect();
    assert!(calls.iter().filter(|mutating| **mutating).count() >= 6, "{:?}", site.env.writes());

    for (at, mutating) in calls.iter().enumerate() {
        for fault in [Fault::KillBefore, Fault::KillAfter] {
            // A read that was answered leaves as little behind as one that was not.
            if fault == Fault::KillAfter && !mutating {
                continue;
            }
            site.env.run(restore_bad).expect_code(0);
            site.env.proxy().inject(On::any().nth(at + 1), fault);
            site.env.run(restore).expect_code(128 + 9);
            site.env.proxy().clear_faults();

            let mut again = site.env.run(restore);
            if again.code == 3 {
                let locks = site.json(["lock", "list"]);
                let id = locks["locks"][0]["id"].as_str().unwrap();
                assert!(again.stderr.contains(&format!("lock release {KEY} --id {id}")), "{again}");
                site.env.run(["lock", "release", KEY, "--id", id, "--broken"]).expect_code(0);
                again = site.env.run(restore);
            }

            assert_eq!(again.code, 0, "call {at}: {again}");
            let state: Value = serde_json::from_slice(&site.state(KEY)).unwrap();
            assert_eq!(state["outputs"]["n"]["value"], 1, "call {at}");
            assert_eq!(site.held(KEY), Vec::<String>::new());
            assert_eq!(site.digest(KEY), Some(digest(&site.state(KEY))), "call {at}");
        }
    }
}

#[test]
fn what_would_stop_terraform_is_found_and_put_right() {
    let site = Site::new("dynamodb");
    site.put_state(KEY, plain(1, "l"));
    site.put_state("prod/main.tfstate", plain(1, "m"));
    site.put_state("prod/main.tfstate", plain(1, "n"));
    let found = |output: &Output| -> Vec<(String, String, String)> {
        let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let findings = lines.filter(|line| line["type"] == "finding");
        findings.map(|it| (text(&it["state"]), text(&it["problem"]), text(&it["repair"]))).collect()
    };
    let finding =
        |state: &str, problem: &str, repair: &str| (state.to_owned(), problem.to_owned(), repair.to_owned());
    let prod = "prod/main.tfstate";

    let checked = site.env.run(["state", "check", "--json"]).expect_code(2);
    assert_eq!(
        found(&checked),
        [
            finding(KEY, "no digest", "possible"),
            finding(prod, "two lineages", "by hand"),
            finding(prod, "no digest", "possible"),
        ]
    );
    site.env.run(["state", "check", "--repair"]).expect_code(2);
    let md5 = site.digest(KEY).unwrap();
    site.put_state(KEY, plain(2, "l"));
    let wrong = site.env.run(["state", "check", "--env", "dev", "--json"]).expect_code(2);
    assert_eq!(found(&wrong), [finding(KEY, "wrong digest", "possible")]);
    let repaired = site.env.run(["state", "check", "--env", "dev", "--repair", "--json"]).expect_code(0);

    assert_eq!(found(&repaired), [finding(KEY, "wrong digest", "done")]);
    assert_ne!(site.digest(KEY).unwrap(), md5);
    assert_eq!(site.held(KEY), Vec::<String>::new());
    site.env.run(["state", "check", "--env", "dev"]).expect_code(0);
}

#[test]
fn a_state_under_another_key_is_warned_of_and_put_under_ours() {
    let site = Site::new("s3");
    let account = site.env.account();
    let put = account.s3.put_object().bucket(BUCKET).key(KEY).body(plain(1, "l").into_bytes().into());
    account.wait(put.server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::Aes256).send()).unwrap();

    let listed = site.env.run(["state", "list"]).expect_code(0);
    site.env.run(["state", "check"]).expect_code(2);
    site.env.run(["state", "check", "--repair"]).expect_code(0);

    assert!(listed.stderr.contains("AES256"), "{listed}");
    assert_eq!(site.json(["state", "list"])["states"][0]["encryption"], "our key");
    assert_eq!(site.state(KEY), plain(1, "l").as_bytes());
}

#[test]
fn a_deleted_state_comes_back_and_so_does_a_whole_environment() {
    let site = Site::new("s3");
    site.put_state(KEY, plain(1, "l"));
    site.put_state("dev/vpc.tfstate", plain(4, "v"));
    std::thread::sleep(Duration::from_millis(1_100));
    let good = SystemTime::now();
    std::thread::sleep(Duration::from_millis(1_100));
    let account = site.env.account();
    account.wait(account.s3.delete_object().bucket(BUCKET).key(KEY).send()).unwrap();
    site.put_state("dev/vpc.tfstate", plain(5, "v"));
    site.put_state("dev/new.tfstate", plain(1, "w"));
    let before = aws_smithy_types::DateTime::from(good).to_string();

    let refused = site.env.run(["state", "restore", "--before", &before, "--env", "dev"]).expect_code(1);
    let restored = site
        .env
        .run(["state", "restore", "--before", &before, "--env", "dev", "--auto-approve"])
        .expect_code(0);

    assert!(refused.stdout.contains("dev/vpc") && refused.stderr.contains("--auto-approve"), "{refused}");
    assert_eq!(site.serial(KEY), 2, "{restored}");
    assert_eq!(site.serial("dev/vpc.tfstate"), 6);
    assert_eq!(site.serial("dev/new.tfstate"), 1);
    assert!(restored.stderr.contains("was not there at"), "{restored}");
}

#[test]
fn a_backup_copies_only_what_is_new_is_verified_and_brings_states_back() {
    let site = Site::new("s3");
    site.put_state(KEY, plain(1, "l"));
    site.put_state(KEY, plain(2, "l"));
    let backup = ["state", "backup", "--to", "backup"];
    let count = |env: &TestEnv| env.files().iter().filter(|path| path.ends_with(".tfstate")).count();

    site.env.run(backup).expect_code(0);
    assert_eq!(count(&site.env), 1);
    let again = site.env.run(backup).expect_code(0);
    assert!(again.stdout.contains("0 new"), "{again}");
    site.env.underpin(backup).args(["--all-versions"]).run().expect_code(0);
    assert_eq!(count(&site.env), 2);
    site.env.underpin(backup).args(["--verify"]).run().expect_code(0);

    let account = site.env.account();
    account.wait(account.s3.delete_object().bucket(BUCKET).key(KEY).send()).unwrap();
    site.env.run(["state", "restore", "dev", "--from-archive", "backup", "--auto-approve"]).expect_code(0);
    assert_eq!(site.serial(KEY), 3);

    let copy = site.env.files().into_iter().find(|path| path.ends_with(".tfstate")).unwrap();
    site.env.write(&copy, "damaged");
    site.env.underpin(backup).args(["--verify"]).run().expect_code(2);
}

#[test]
fn a_pinned_version_outlives_its_bucket_and_can_be_restored() {
    let site = Site::new("s3");
    let good = site.put_state(KEY, plain(1, "l"));
    site.put_state(KEY, plain(2, "l"));
    site.env.run(["state", "pin", "dev", "--version", "1"]).expect_code(0);
    assert_eq!(site.versions("dev")[1]["pinned"], true);
    let account = site.env.account();
    account.wait(account.s3.delete_object().bucket(BUCKET).key(KEY).version_id(&good).send()).unwrap();

    site.env.run(["state", "restore", "dev", "--version", &good, "--auto-approve"]).expect_code(0);

    let state: Value = serde_json::from_slice(&site.state(KEY)).unwrap();
    assert_eq!((&state["outputs"]["n"]["value"], &state["serial"]), (&json!(1), &json!(3)));
    assert_eq!(site.json(["state", "list"])["states"].as_array().unwrap().len(), 1);
    site.env.run(["state", "unpin", "dev", "--version", &good]).expect_code(0);
    site.env.run(["state", "unpin", "dev", "--version", &good]).expect_code(1);
}
