//! `--json`: every line is an object that `docs/json.md` describes, for whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use serde_json::Value;

use crate::apply::{BUCKET, MINIMAL};
use crate::common::{Output, TestEnv};
use crate::ground::{Account, Fault, On};

/// What `docs/json.md` says of each type: the fields that its objects may have.
fn described() -> BTreeMap<String, Vec<String>> {
    // What follows the first heading below the title is about locks, and is looked at beside them.
    let text = include_str!("../../docs/json.md").split("\n## ").next().unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `type`"));
    let quoted =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let mut described = BTreeMap::new();
    let mut step = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["", types, _, fields, ""] => {
                described.extend(quoted(types).into_iter().map(|name| (name, quoted(fields))));
            }
            ["", fields, _, ""] => step.extend(quoted(fields)),
            _ => panic!("a row of another table: {row}"),
        }
    }
    for (name, fields) in &mut described {
        if name.starts_with("step_") {
            fields.extend(step.clone());
        }
    }
    described.insert("STEP".to_owned(), step);
    described
}

/// Fails unless `docs/json.md` describes every object of `output`.
fn assert_described(output: &Output) {
    let described = described();
    let lines = output.json();
    assert_eq!((&lines[0]["type"], &lines[0]["format"]), (&"begin".into(), &1.into()), "{output}");
    let assert_fields = |name: &str, object: &Value, more: &[&str]| {
        let fields = described.get(name).unwrap_or_else(|| panic!("`{name}` is not described"));
        for field in object.as_object().unwrap().keys() {
            assert!(
                fields.contains(field) || more.contains(&field.as_str()),
                "`{field}` of `{name}` is not described"
            );
        }
    };
    for line in &lines {
        assert_fields(line["type"].as_str().unwrap(), line, &["type"]);
        for steps in ["steps", "done", "not_begun"] {
            for step in line[steps].as_array().into_iter().flatten() {
                assert_fields("STEP", step, &["resource"]);
            }
        }
    }
}

/// A run of `args` with `--json`, every line of it described.
fn described_run(env: &TestEnv, args: &[&str], code: i32) -> Output {
    let output = match *args {
        [command] => env.run([command, "--json"]),
        [command, flag] => env.run([command, flag, "--json"]),
        _ => panic!("a command and a flag at most: {args:?}"),
    };
    assert_described(&output);
    assert_eq!(output.stderr, "");
    output.expect_code(code)
}

fn suspend_versioning(account: &Account) {
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let put = account.s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(suspended);
    account.wait(put.send()).unwrap();
}

#[test]
fn every_line_of_json_is_described() {
    let mut outputs = Vec::new();
    let env = TestEnv::new();
    env.write("underpin.hcl", MINIMAL);
    let mut run = |args: &[&str], code| outputs.push(described_run(&env, args, code));
    for args in [&["validate"][..], &["plan"], &["apply", "--auto-approve"], &["render"], &["plan"]] {
        run(args, 0);
    }
    env.write("environments/dev/backend.tf", "# by hand\n");
    run(&["plan"], 3);
    run(&["render", "--check"], 3);
    std::fs::remove_file(env.path("environments/dev/backend.tf")).unwrap();
    suspend_versioning(env.account());
    env.proxy().inject(On::call("s3:PutBucketVersioning"), Fault::AccessDenied);
    run(&["apply", "--auto-approve"], 1);
    // A mistake, a warning, and a guard that refuses.
    env.write("underpin.hcl", MINIMAL.replace("region", "regoin"));
    run(&["validate"], 1);
    env.write("underpin.hcl", MINIMAL.replace("eu-west-1", "eu-north-9"));
    run(&["validate"], 0);
    let refused = TestEnv::new();
    refused.write("underpin.hcl", MINIMAL);
    refused.proxy().give_bucket_away(BUCKET);
    outputs.push(described_run(&refused, &["plan"], 3));

    let lines = outputs.iter().flat_map(Output::json);
    let told: BTreeSet<String> = lines.map(|line| line["type"].as_str().unwrap().to_owned()).collect();
    // Two runs at once make a `raced`; nothing else does.
    let described = described().into_keys().filter(|name| !["STEP", "raced"].contains(&name.as_str()));
    assert_eq!(told, described.collect());
}
