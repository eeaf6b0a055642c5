//! `state` against states that are put there as Terraform would, or as nobody should.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use underpin::state::digest::digest;

use crate::common::{Output, TestEnv};
use crate::ground::{Call, Fault, On};
use crate::locks::{BUCKET, Site, TABLE};

pub(crate) const KEY: &str = "dev/main.tfstate";

impl Site {
    /// The bytes of the state.
    pub(crate) fn state(&self, key: &str) -> Vec<u8> {
        let account = self.env.account();
        let object = account.wait(account.s3.get_object().bucket(BUCKET).key(key).send()).unwrap();
        account.wait(object.body.collect()).unwrap().to_vec()
    }

    /// Writes a state behind everybody's back, and returns the id of the version.
    pub(crate) fn put_state(&self, key: &str, content: impl AsRef<[u8]>) -> String {
        let account = self.env.account();
        let body = content.as_ref().to_vec().into();
        let put = account.s3.put_object().bucket(BUCKET).key(key).body(body);
        account.wait(put.send()).unwrap().version_id.unwrap()
    }

    pub(crate) fn digest(&self, key: &str) -> Option<String> {
        let account = self.env.account();
        let id = AttributeValue::S(format!("{BUCKET}/{key}-md5"));
        let get = account.dynamodb.get_item().table_name(TABLE).key("LockID", id);
        let item = account.wait(get.send()).ok()?.item?;
        item.get("Digest").and_then(|digest| digest.as_s().ok()).cloned()
    }

    pub(crate) fn serial(&self, key: &str) -> u64 {
        let state: Value = serde_json::from_slice(&self.state(key)).unwrap();
        state["serial"].as_u64().unwrap()
    }

    /// The versions that `state versions` tells, newest first.
    pub(crate) fn versions(&self, name: &str) -> Vec<Value> {
        let output = self.env.run(["state", "versions", name, "--json"]).expect_code(0);
        let lines = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["type"] == "version").collect()
    }
}

/// Fails where a program told what is secret.
#[track_caller]
pub(crate) fn assert_no_secret(output: &Output) {
    assert!(
        !output.stdout.contains("planted-secret") && !output.stderr.contains("planted-secret"),
        "{output}"
    );
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
pub(crate) fn plain(serial: u64, lineage: &str) -> String {
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

/// A state of so many bytes and a little more.
fn large(serial: u64, bytes: usize) -> String {
    let mut resources: Vec<String> = Vec::new();
    let mut length = 0;
    while length < bytes {
        let attributes = json!({ "id": resources.len(), "text": "x".repeat(300) });
        let instances =
            json!([{ "schema_version": 0, "attributes": attributes, "sensitive_attributes": [] }]);
        let name = format!("r{}", resources.len());
        let resource =
            json!({ "mode": "managed", "type": "t", "name": name, "provider": "p", "instances": instances });
        resources.push(resource.to_string());
        length += resources.last().map_or(0, String::len);
    }
    format!("{{\"version\":4,\"serial\":{serial},\"lineage\":\"l\",\"resources\":[{}]}}", resources.join(","))
}

#[test]
fn a_large_state_takes_less_than_three_times_its_size_in_memory() {
    const SIZE: usize = 40 << 20;
    let site = Site::new("s3");
    site.put_state(KEY, large(1, SIZE));

    for command in [["state", "list"], ["state", "check"], ["state", "versions"]] {
        let state: &[&str] = if command[1] == "versions" { &["dev"] } else { &[] };
        let program = state.iter().fold(site.env.underpin(command), |program, name| program.args([name]));
        let process = program.spawn();
        let mut peak_kib = 0;
        // The highest mark stays until the end, and a program that has ended has none.
        while let Some(mark) = high_water_mark(process.id()) {
            peak_kib = mark;
            std::thread::sleep(Duration::from_millis(2));
        }
        process.wait();

        // A program that reads nothing takes some 20 MiB.
        assert!(
            peak_kib * 1_024 > SIZE && peak_kib * 1_024 < 3 * SIZE + (20 << 20),
            "{command:?}: {peak_kib} KiB"
        );
    }
}

/// Returns the most memory that a process had at once, in KiB.
fn high_water_mark(process: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn what_is_pruned_was_archived_and_nothing_current_or_kept_goes() {
    let site = Site::new("s3");
    let config = site.env.read("underpin.hcl");
    let kept = "lock   = \"s3\"\n  bucket {\n    keep_versions = 2\n  }\n";
    site.env.write("underpin.hcl", config.replace("lock   = \"s3\"\n", kept));
    for serial in 1..=5 {
        site.put_state(KEY, plain(serial, "l"));
        assert!(site.try_take(KEY, "{\"ID\":\"1\"}"));
        site.delete(KEY);
    }
    let entries = || {
        let account = site.env.account();
        let list =
            account.wait(account.s3.list_object_versions().bucket(BUCKET).prefix("dev/").send()).unwrap();
        (list.versions.unwrap_or_default().len(), list.delete_markers.unwrap_or_default().len())
    };
    assert_eq!(entries(), (10, 5));

    site.env.run(["state", "prune", "--locks-since", "1s"]).expect_code(1);
    assert_eq!(entries(), (10, 5));
    site.env.run(["state", "prune", "--auto-approve"]).expect_code(0);
    assert_eq!(entries(), (8, 5));
    std::thread::sleep(Duration::from_millis(2_100));
    site.env.run(["state", "prune", "--locks-since", "1s", "--auto-approve"]).expect_code(0);

    assert_eq!(entries(), (3, 1));
    assert_eq!(site.serial(KEY), 5);
    let account = site.env.account();
    let archived = account.s3.list_objects_v2().bucket(BUCKET).prefix("underpin/pruned/");
    assert_eq!(account.wait(archived.send()).unwrap().key_count, Some(1));
    let nothing = site.env.run(["state", "prune", "--locks-since", "1s", "--auto-approve"]).expect_code(0);
    assert!(nothing.stdout.contains("Nothing is to be removed"), "{nothing}");
}
