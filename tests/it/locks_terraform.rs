//! Locks that the real Terraform takes: seen while it works, released when it was killed.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Engine, engines_or_skip, lockfile_engines_or_skip};
use crate::locks::Site;

/// A resource that needs no provider, and waits where it is told so.
const MAIN: &str = r#"
variable "waits" {
  default = false
}

resource "terraform_data" "content" {
  triggers_replace = var.waits

  provisioner "local-exec" {
    command = var.waits ? "touch begun; until [ -e go ]; do sleep 0.02; done" : "true"
  }
}
"#;

#[test]
fn a_killed_apply_leaves_a_lock_in_the_table_that_can_be_released() {
    for engine in engines_or_skip("a_killed_apply_leaves_a_lock_in_the_table_that_can_be_released") {
        is_seen_and_released(&engine, "dynamodb");
    }
}

#[test]
fn a_killed_apply_leaves_a_lock_beside_the_state_that_can_be_released() {
    for engine in
        lockfile_engines_or_skip("a_killed_apply_leaves_a_lock_beside_the_state_that_can_be_released")
    {
        is_seen_and_released(&engine, "s3");
    }
}

#[test]
fn a_killed_apply_leaves_both_locks_that_can_be_released() {
    for engine in lockfile_engines_or_skip("a_killed_apply_leaves_both_locks_that_can_be_released") {
        is_seen_and_released(&engine, "both");
    }
}

fn is_seen_and_released(engine: &Engine, mode: &'static str) {
    let site = Site::new(mode);
    let folder = "environments/dev";
    site.env.write(format!("{folder}/main.tf"), MAIN);
    site.env.engine(engine, folder, ["init"]).run().expect_code(0);
    site.env.engine(engine, folder, ["apply", "-auto-approve"]).run().expect_code(0);
    let apply = site.env.engine(engine, folder, ["apply", "-auto-approve", "-var=waits=true"]).spawn();
    wait_until_there(&site.env.path(format!("{folder}/begun")));

    let listed = site.json(["lock", "list"])["locks"].as_array().unwrap().clone();
    let [lock] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(lock["operation"], "OperationTypeApply");
    assert_eq!((&lock["environment"], &lock["component"]), (&Value::from("dev"), &Value::from("main")));
    assert_eq!((&lock["kind"], &lock["judgement"]), (&Value::from(mode), &Value::from("active")));
    let id = lock["id"].as_str().unwrap();
    let shown = site.json(["lock", "show", "dev"]);
    assert_eq!((&shown["id"], &shown["terraform_version"]), (&lock["id"], &lock["version"]));
    let human = site.env.run(["lock", "show", "dev/main"]).expect_code(0);
    assert!(human.stdout.contains(id), "{human}");

    apply.signal(Signal::KILL);
    apply.wait();
    site.env.write(format!("{folder}/go"), "");
    let blocked = site.env.engine(engine, folder, ["plan"]).run().expect_code(1);
    assert!(blocked.stderr.contains(id), "{blocked}");
    site.env.run(["lock", "release", "dev", "--id", id, "--reason", "killed"]).expect_code(0);

    assert_eq!(site.held("dev/main.tfstate"), Vec::<String>::new());
    site.env.engine(engine, folder, ["plan"]).run().expect_code(0);
    let history = site.json(["lock", "history", "dev"]);
    let holds = history["holds"].as_array().unwrap();
    let hold = holds.iter().find(|hold| hold["id"] == id).unwrap();
    assert_eq!((&hold["end"], &hold["reason"]), (&Value::from("released"), &Value::from("killed")));
    // Versions tell of every holding: two applies, the plan. Records tell of our release alone.
    assert_eq!(holds.len(), if mode == "dynamodb" { 1 } else { 3 }, "{history}");
}

pub(crate) fn wait_until_there(path: &Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < Duration::from_mins(1), "{} is not there", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}
