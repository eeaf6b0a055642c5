//! Two runs at once, and keys that look alike: there is one of everything in the end.

use aws_sdk_kms::types::{KeyState, Tag};

use crate::common::TestEnv;

const ONE_BACKEND: &str = r#"
project = "acme"

backend "main" {
  region     = "eu-west-1"
  account_id = "123456789012"
}

environment "dev" {}
"#;

const ALIAS: &str = "alias/acme-tfstate";

/// Rounds of two runs at once.
const ROUNDS: usize = 20;

#[test]
fn two_runs_at_once_end_with_one_of_everything() {
    for round in 0..ROUNDS {
        let env = TestEnv::new();
        env.write("underpin.hcl", ONE_BACKEND);

        let first = env.underpin(["apply", "--auto-approve"]).spawn();
        let second = env.underpin(["apply", "--auto-approve"]).spawn();
        let ended = [first.wait(), second.wait()];

        for output in ended {
            assert_eq!(output.code, 0, "round {round}: {output}");
        }
        assert_one_key(&env);
        env.run(["plan", "--detailed-exitcode"]).expect_code(0);
    }
}

#[test]
fn a_key_without_its_alias_is_found_among_three_hundred_foreign_ones() {
    let env = TestEnv::new();
    env.write("underpin.hcl", ONE_BACKEND);
    env.run(["apply", "--auto-approve"]).expect_code(0);
    let ours = key_of_alias(&env).expect("the alias names a key");
    let account = env.account();
    account.wait(account.kms.delete_alias().alias_name(ALIAS).send()).expect("an alias can be deleted");
    // What names the key, beside its tags, goes too.
    account.wait(account.s3.delete_bucket().bucket("acme-tfstate-123456789012-eu-west-1").send()).unwrap();
    let unprotected = account.dynamodb.update_table().table_name("acme-tfstate-locks");
    account.wait(unprotected.deletion_protection_enabled(false).send()).unwrap();
    account.wait(account.dynamodb.delete_table().table_name("acme-tfstate-locks").send()).unwrap();
    let foreign = Tag::builder().tag_key("underpin:project").tag_value("other").build().unwrap();
    for _ in 0..300 {
        account.wait(account.kms.create_key().tags(foreign.clone()).send()).expect("a key");
    }
    env.forget_calls();

    env.run(["apply", "--auto-approve"]).expect_code(0);

    assert_eq!(key_of_alias(&env).as_deref(), Some(ours.as_str()));
    assert!(!env.writes().contains(&"kms:CreateKey".to_owned()));
    let asked = env.calls().iter().filter(|call| call.operation() == "kms:ListResourceTags").count();
    assert!(asked <= 310, "each key is asked for its tags about once, not {asked} times");
    assert!(crate::ground::max_in_flight(&env.calls()) <= 64);
}

/// Fails unless the alias names an enabled key, and every other key of ours waits for its end.
fn assert_one_key(env: &TestEnv) {
    let named = key_of_alias(env).expect("the alias names a key");
    let account = env.account();
    let keys = account.wait(account.kms.list_keys().send()).expect("a list of keys");
    for key in keys.keys() {
        let id = key.key_id().expect("a key has an id");
        let answer = account.wait(account.kms.describe_key().key_id(id).send()).expect("a key");
        let state = answer.key_metadata.expect("metadata").key_state.expect("a state");
        let expected = if id == named { KeyState::Enabled } else { KeyState::PendingDeletion };
        assert_eq!(state, expected, "{id}");
    }
}

fn key_of_alias(env: &TestEnv) -> Option<String> {
    let account = env.account();
    let answer = account.wait(account.kms.describe_key().key_id(ALIAS).send()).ok()?;
    answer.key_metadata.map(|metadata| metadata.key_id)
}
