//! What may not be touched: exit 3, what is there and what to do, and nothing written.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, DefaultRetention, ObjectLockConfiguration,
    ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
};

use crate::apply::{BUCKET, MINIMAL, applied};
use crate::common::TestEnv;
use crate::ground::Account;

const TABLE: &str = "acme-tfstate-locks";

/// Fails unless `apply` refuses what is in the account, says all of `told`, and writes nothing.
#[track_caller]
fn assert_refused(env: &TestEnv, told: &[&str]) {
    let (before, files) = (env.account().dump(), env.files());

    let output = env.run(["apply", "--auto-approve"]).expect_code(3);

    for text in told {
        assert!(output.stdout.contains(text) || output.stderr.contains(text), "`{text}` is not in\n{output}");
    }
    assert_eq!(env.writes(), Vec::<String>::new());
    assert_eq!(env.account().dump(), before);
    assert_eq!(env.files(), files);
}

/// An account where something was before us.
fn with(make: impl FnOnce(&Account)) -> TestEnv {
    let env = TestEnv::new();
    env.write("underpin.hcl", MINIMAL);
    make(env.account());
    env
}

fn make_bucket(account: &Account, region: &str) {
    let location = BucketLocationConstraint::from(region);
    let configuration = CreateBucketConfiguration::builder().location_constraint(location).build();
    let create = account.in_region(region).s3.create_bucket().bucket(BUCKET);
    account.wait(create.create_bucket_configuration(configuration).send()).unwrap();
}

fn make_table(account: &Account, key: &str) {
    let attribute = AttributeDefinition::builder().attribute_name(key);
    let element = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash);
    let create = account
        .dynamodb
        .create_table()
        .table_name(TABLE)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute.attribute_type(ScalarAttributeType::S).build().unwrap())
        .key_schema(element.build().unwrap());
    account.wait(create.send()).unwrap();
}

fn make_aliased_key(account: &Account) {
    let key = account.wait(account.kms.create_key().send()).unwrap().key_metadata.unwrap();
    let create = account.kms.create_alias().alias_name("alias/acme-tfstate").target_key_id(key.key_id);
    account.wait(create.send()).unwrap();
}

#[test]
fn another_account_is_refused() {
    let env = TestEnv::new();
    let with_account = "region     = \"eu-west-1\"\n  account_id = \"210987654321\"";
    env.write("underpin.hcl", MINIMAL.replace("region = \"eu-west-1\"", with_account));

    assert_refused(&env, &["is in account 210987654321", "are of account 123456789012", "AWS_PROFILE"]);
}

#[test]
fn a_bucket_name_that_another_account_has_is_refused() {
    let env = with(|_| {});
    env.proxy().give_bucket_away(BUCKET);

    assert_refused(&env, &["is taken", "bucket { name = ... }"]);
}

#[test]
fn a_bucket_in_another_region_is_refused() {
    let env = with(|account| make_bucket(account, "eu-central-1"));

    assert_refused(&env, &["is in eu-central-1, not in eu-west-1", "Set `region = \"eu-central-1\"`"]);
}

#[test]
fn a_table_with_another_key_than_lock_id_is_refused() {
    let env = with(|account| make_table(account, "Id"));

    assert_refused(&env, &["its key is Id (S, HASH), not LockID (S)", "table { name = ... }"]);
}

#[test]
fn a_table_without_our_tags_is_refused() {
    let env = with(|account| make_table(account, "LockID"));

    assert_refused(&env, &["it lacks our tags", "table { name = ... }", "underpin:backend = main"]);
}

#[test]
fn a_key_without_our_tags_is_refused() {
    let env = with(make_aliased_key);

    assert_refused(&env, &["it lacks our tags", "key { alias = ... }", "underpin:project = acme"]);
}

#[test]
fn a_bucket_without_our_tags_is_refused() {
    let env = applied(MINIMAL);
    let account = env.account();
    account.wait(account.s3.delete_bucket_tagging().bucket(BUCKET).send()).unwrap();
    // Empty and just made, it would be one of ours that was cut short.
    let put = account.s3.put_object().bucket(BUCKET).key("theirs");
    account.wait(put.send()).unwrap();

    assert_refused(&env, &["it lacks our tags", "bucket { name = ... }", "underpin:project = acme"]);
}

#[test]
fn object_lock_with_a_default_retention_is_refused() {
    let env = applied(MINIMAL);
    let retention = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(1).build();
    let lock = ObjectLockConfiguration::builder()
        .object_lock_enabled(ObjectLockEnabled::Enabled)
        .rule(ObjectLockRule::builder().default_retention(retention).build())
        .build();
    let account = env.account();
    let put = account.s3.put_object_lock_configuration().bucket(BUCKET).object_lock_configuration(lock);
    account.wait(put.send()).unwrap();

    assert_refused(&env, &["Object Lock with a default retention", "put-object-lock-configuration"]);
}
