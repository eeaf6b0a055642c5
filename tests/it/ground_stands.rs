//! The ground itself: a test that stands on it can be believed.

use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use rustix::process::Signal;

use crate::common::{Process, Program, TestEnv, engines_or_skip};
use crate::ground::{Fault, On};

#[test]
fn a_program_has_nothing_but_its_own_environment() {
    let env = TestEnv::new();
    env.write("a/b.txt", "hello");

    let output = env.program(Path::new("/usr/bin/env")).run().expect_code(0);

    let mut names: Vec<&str> = output.stdout.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    let expected = [
        "AWS_ACCESS_KEY_ID",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_ENDPOINT_URL",
        "AWS_SECRET_ACCESS_KEY",
        "HOME",
        "PATH",
    ];
    assert_eq!(names, expected);
    assert_eq!(env.read("a/b.txt"), "hello");
    assert_eq!(env.files(), ["a/b.txt"]);
}

fn bash<'env>(env: &'env TestEnv, script: &str) -> Program<'env> {
    env.program(Path::new("/bin/bash")).args(["-c", script])
}

#[test]
fn output_is_shown_without_what_differs_from_run_to_run() {
    let env = TestEnv::offline();
    let script = r#"read line; echo "$line in $PWD/a"; echo "$AWS_ENDPOINT_URL took 12 ms" >&2
        echo "key 6f1b2c3d-0000-4000-8000-0123456789ab, request ABCDEFGHIJKL1234 at 2026-01-01T00:00:00Z"; exit 3"#;

    let output = bash(&env, script).stdin("hello\n").env("A", "b").without_env("A").run();

    insta::assert_snapshot!(output, @r"
    exit code: 3
    ----- stdout -----
    hello in [DIR]/a
    key [UUID], request [ID] at [TIME]

    ----- stderr -----
    http://127.0.0.1:[PORT] took [DURATION]
    ");
}

#[test]
fn the_built_program_runs() {
    let env = TestEnv::offline();

    let output = env.run(["--version"]).expect_code(0);

    assert_eq!(output.stdout.trim(), format!("underpin {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_read_only_folder_is_read_only_for_nobody() {
    let env = TestEnv::offline();
    env.set_mode("", 0o555);

    let touched = bash(&env, "touch a").by_nobody().run();
    let ran = env.reachable_underpin(["--version"]).by_nobody().run();

    assert_ne!(touched.code, 0, "{touched}");
    assert_eq!(ran.code, 0, "{ran}");
    env.set_mode("", 0o755);
}

fn sleep(env: &TestEnv) -> Process<'_> {
    bash(env, "exec sleep 60").spawn()
}

#[test]
fn a_signal_ends_what_runs() {
    let env = TestEnv::offline();
    let process = sleep(&env);

    process.signal(Signal::TERM);

    assert_eq!(process.wait().code, 128 + 15);
}

#[test]
#[should_panic(expected = "it ran longer than")]
fn what_hangs_fails_the_test() {
    let env = TestEnv::offline();

    bash(&env, "exec sleep 60").longest(Duration::from_millis(50)).run();
}

/// A program without an SDK that creates a bucket and waits for the end of the connection.
fn creates_bucket<'env>(env: &'env TestEnv, bucket: &str) -> Program<'env> {
    let script = format!(
        r#"exec 3<>"/dev/tcp/127.0.0.1/${{AWS_ENDPOINT_URL##*:}}"
        printf 'PUT /{bucket} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n' >&3; cat <&3"#
    );
    bash(env, &script)
}

#[test]
fn a_victim_dies_before_its_call_or_after_it() {
    let env = TestEnv::new();
    let call = |bucket: &str| creates_bucket(&env, bucket).run().code;
    env.proxy().inject(On::call("s3:CreateBucket").resource("before"), Fault::KillBefore);
    env.proxy().inject(On::call("s3:CreateBucket").resource("after"), Fault::KillAfter);

    let codes = [call("before"), call("after")];

    assert_eq!(codes, [128 + 9; 2]);
    let account = env.account();
    let buckets = account.wait(account.s3.list_buckets().send()).unwrap().buckets.unwrap_or_default();
    assert_eq!(buckets.iter().filter_map(|bucket| bucket.name()).collect::<Vec<_>>(), ["after"]);
    assert_eq!(env.writes(), ["s3:CreateBucket"; 2]);
    env.forget_calls();
    assert!(env.calls().is_empty());
}

#[test]
fn a_victim_can_be_chosen() {
    let env = TestEnv::new();
    env.proxy().inject(On::any(), Fault::KillBefore);
    // The call is on its way for longer than it takes to choose.
    env.proxy().set_round_trip(Duration::from_secs(1));
    let victim = sleep(&env);
    let caller = creates_bucket(&env, "acme").spawn();

    env.proxy().set_victim(victim.id());

    assert_eq!(victim.wait().code, 128 + 9);
    caller.signal(Signal::KILL);
    caller.wait();
}

#[test]
fn a_server_is_empty_when_it_is_taken_again() {
    for _ in 0..4 {
        let env = TestEnv::new();
        let empty = env.account().dump();
        assert_eq!(empty["buckets"], serde_json::json!({}));
        make_backend(&env);
    }
}

/// A bucket and a lock table, as somebody else would have made them.
fn make_backend(env: &TestEnv) {
    let account = env.account();
    let region = CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::EuWest1);
    let bucket = account.s3.create_bucket().bucket("acme").create_bucket_configuration(region.build());
    account.wait(bucket.send()).unwrap();
    let key = KeySchemaElement::builder().attribute_name("LockID").key_type(KeyType::Hash);
    let attribute =
        AttributeDefinition::builder().attribute_name("LockID").attribute_type(ScalarAttributeType::S);
    let table = account
        .dynamodb
        .create_table()
        .table_name("locks")
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key.build().unwrap())
        .attribute_definitions(attribute.build().unwrap());
    account.wait(table.send()).unwrap();
}

#[test]
fn terraform_reaches_the_account_without_a_word_in_its_files() {
    for engine in engines_or_skip("terraform_reaches_the_account_without_a_word_in_its_files") {
        let env = TestEnv::new();
        make_backend(&env);
        let backend = r#"
            terraform {
              backend "s3" {
                bucket               = "acme"
                key                  = "dev/main.tfstate"
                region               = "eu-west-1"
                encrypt              = true
                allowed_account_ids  = ["123456789012"]
                workspace_key_prefix = "dev/env:"
                dynamodb_table       = "locks"
                use_lockfile         = true
              }
            }
            resource "terraform_data" "a" {}
        "#;
        env.write("dev/main.tf", backend);

        env.engine(&engine, "dev", ["init", "-input=false"]).run().expect_code(0);
        env.engine(&engine, "dev", ["apply", "-auto-approve", "-input=false"]).run().expect_code(0);
        env.engine(&engine, "dev", ["workspace", "new", "a"]).run().expect_code(0);
        env.engine(&engine, "dev", ["workspace", "select", "default"]).run().expect_code(0);
        env.engine(&engine, "dev", ["workspace", "delete", "a"]).run().expect_code(0);

        let account = env.account();
        let state = account.s3.get_object().bucket("acme").key("dev/main.tfstate").send();
        assert_eq!(account.wait(state).unwrap().server_side_encryption.unwrap().as_str(), "AES256");
        assert!(env.writes().contains(&"dynamodb:PutItem".to_owned()), "{:?}", env.writes());
        assert!(env.calls().iter().any(|call| call.operation() == "sts:GetCallerIdentity"));
        assert_eq!(env.read("dev/main.tf"), backend);
    }
}

#[test]
fn tests_do_not_wait_for_an_emulator_of_their_own() {
    let began = Instant::now();

    drop(TestEnv::offline());

    assert!(began.elapsed() < Duration::from_secs(1));
}
