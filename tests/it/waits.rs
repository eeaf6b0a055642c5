//! What AWS has promised and not yet done, and answers that never came: waited for or made up for, never done twice.

use std::time::Duration;

use aws_sdk_kms::types::KeyState;

use crate::common::TestEnv;
use crate::ground::{Fault, On, StaleReads};

const ONE_BACKEND: &str = r#"
project = "acme"

backend "main" {
  region = "eu-west-1"
}

environment "dev" {}
"#;

const ALIAS: &str = "alias/acme-tfstate";

fn env() -> TestEnv {
    let env = TestEnv::new();
    env.write("underpin.hcl", ONE_BACKEND);
    env
}

fn count(env: &TestEnv, operation: &str) -> usize {
    env.writes().iter().filter(|write| *write == operation).count()
}

#[test]
fn what_is_not_seen_yet_is_waited_for_and_made_once() {
    let env = env();
    let a_while = Duration::from_millis(1_500);
    env.proxy().set_stale_reads(StaleReads {
        bucket: a_while,
        alias: a_while,
        policy: a_while,
        table: a_while,
    });

    env.run(["apply", "--auto-approve"]).expect_code(0);

    for (operation, times) in [
        ("s3:CreateBucket", 1),
        ("kms:CreateKey", 1),
        ("kms:CreateAlias", 1),
        ("dynamodb:CreateTable", 1),
        ("iam:CreatePolicy", 3),
    ] {
        assert_eq!(count(&env, operation), times, "{operation}");
    }
}

#[test]
fn a_create_whose_answer_is_lost_is_made_up_for() {
    for operation in
        ["kms:CreateKey", "kms:CreateAlias", "s3:CreateBucket", "dynamodb:CreateTable", "iam:CreatePolicy"]
    {
        let env = env();
        let lost = env.proxy().inject(On::call(operation).nth(1), Fault::AnswerLost);

        env.run(["apply", "--auto-approve"]).expect_code(0);

        assert_eq!(lost.times(), 1, "{operation}");
        let account = env.account();
        let keys = account.wait(account.kms.list_keys().send()).expect("a list of keys");
        assert_eq!(keys.keys().len(), 1, "{operation}: a second key");
        env.run(["plan", "--detailed-exitcode"]).expect_code(0);
    }
}

#[test]
fn writes_to_one_bucket_never_overlap() {
    let env = env();
    env.proxy().refuse_overlapping_bucket_writes();
    env.proxy().set_round_trip(Duration::from_millis(20));

    env.run(["apply", "--auto-approve"]).expect_code(0);

    let aborted =
        env.calls().iter().filter(|call| call.error_code.as_deref() == Some("OperationAborted")).count();
    assert_eq!(aborted, 0);
}

#[test]
fn a_bucket_that_is_busy_with_a_change_of_others_is_waited_for() {
    let env = env();
    let busy = env.proxy().inject(On::call("s3:Put*").limit(2), Fault::OperationAborted);

    env.run(["apply", "--auto-approve"]).expect_code(0);

    assert_eq!(busy.times(), 2);
}

#[test]
fn what_others_do_not_know_yet_is_waited_for() {
    for (operation, status, code, message) in [
        (
            "dynamodb:UpdateContinuousBackups",
            400,
            "ContinuousBackupsUnavailableException",
            "Backups are being enabled",
        ),
        (
            "dynamodb:CreateTable",
            400,
            "LimitExceededException",
            "Subscriber limit exceeded: too many at once",
        ),
        ("s3:PutBucketPolicy", 400, "MalformedPolicy", "Invalid principal in policy"),
        ("kms:EnableKeyRotation", 400, "NotFoundException", "Key does not exist"),
    ] {
        let env = env();
        let unknown = env.proxy().inject(On::call(operation).limit(2), Fault::Code { status, code, message });

        env.run(["apply", "--auto-approve"]).expect_code(0);

        assert_eq!(unknown.times(), 2, "{operation}");
    }
}

#[test]
fn throttling_of_every_third_call_costs_time_and_nothing_else() {
    let env = env();
    let throttled = env.proxy().inject(On::any().every(3), Fault::Throttle);

    env.run(["apply", "--auto-approve"]).expect_code(0);

    assert!(throttled.times() > 10);
    env.proxy().clear_faults();
    env.run(["plan", "--detailed-exitcode"]).expect_code(0);
}

#[test]
fn a_key_that_waits_for_its_deletion_is_rescued() {
    let env = env();
    env.run(["apply", "--auto-approve"]).expect_code(0);
    let account = env.account();
    let described = account.wait(account.kms.describe_key().key_id(ALIAS).send()).expect("a key");
    let id = described.key_metadata.expect("metadata").key_id;
    account
        .wait(account.kms.schedule_key_deletion().key_id(&id).send())
        .expect("a deletion can be scheduled");
    env.forget_calls();

    env.run(["apply", "--auto-approve"]).expect_code(0);

    assert_eq!(env.writes().iter().take(2).collect::<Vec<_>>(), ["kms:CancelKeyDeletion", "kms:EnableKey"]);
    let described = account.wait(account.kms.describe_key().key_id(ALIAS).send()).expect("a key");
    let metadata = described.key_metadata.expect("metadata");
    assert_eq!((metadata.key_id, metadata.key_state), (id, Some(KeyState::Enabled)));
    env.run(["plan", "--detailed-exitcode"]).expect_code(0);
}
