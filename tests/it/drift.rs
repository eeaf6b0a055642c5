//! Drift: what someone changed in the account, setting by setting. The plan shows exactly it, `apply` repairs exactly it, and
//! what is foreign beside it stays.

use aws_sdk_dynamodb::types::{
    BillingMode, PointInTimeRecoverySpecification, ProvisionedThroughput, Tag as TableTag,
};
use aws_sdk_iam::types::Tag as PolicyTag;
use aws_sdk_kms::types::Tag as KeyTag;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketVersioningStatus, ExpirationStatus, LifecycleExpiration,
    LifecycleRule, LifecycleRuleFilter, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging, VersioningConfiguration,
};
use serde_json::{Value, json};

use crate::apply::{BUCKET, MINIMAL, applied};
use crate::ground::Account;

const ALIAS: &str = "alias/acme-tfstate";
const TABLE: &str = "acme-tfstate-locks";
const TABLE_ARN: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/acme-tfstate-locks";
const POLICY: &str = "arn:aws:iam::123456789012:policy/underpin/acme/main/acme-tfstate-dev-plan";

/// What is changed, how, and the one call that repairs it.
type Drift = (&'static str, fn(&Account), &'static str);

#[test]
fn drift_of_the_bucket_is_shown_and_repaired_alone() {
    assert_repaired(&[
        ("versioning", suspend_versioning, "s3:PutBucketVersioning"),
        ("encryption", encrypt_with_s3s_own_key, "s3:PutBucketEncryption"),
        ("public access block", unblock_public_access, "s3:PutPublicAccessBlock"),
        ("ownership", forget_ownership, "s3:PutBucketOwnershipControls"),
        ("policy", |account| put_bucket_policy(account, &[foreign_statement()]), "s3:PutBucketPolicy"),
        (
            "lifecycle",
            |account| put_lifecycle(account, vec![foreign_rule()]),
            "s3:PutBucketLifecycleConfiguration",
        ),
        ("tags", |account| put_bucket_tags(account, "other"), "s3:PutBucketTagging"),
    ]);
}

#[test]
fn drift_of_the_table_is_shown_and_repaired_alone() {
    assert_repaired(&[
        ("billing", provision_table, "dynamodb:UpdateTable"),
        ("deletion protection", unprotect_table, "dynamodb:UpdateTable"),
        ("point-in-time recovery", turn_recovery_off, "dynamodb:UpdateContinuousBackups"),
        ("tags", untag_table, "dynamodb:TagResource"),
    ]);
}

#[test]
fn drift_of_the_key_is_shown_and_repaired_alone() {
    assert_repaired(&[
        ("state", disable_key, "kms:EnableKey"),
        ("rotation", turn_rotation_off, "kms:EnableKeyRotation"),
        ("rotation", |account| rotate_every(account, 180), "kms:EnableKeyRotation"),
        ("policy", |account| put_key_policy(account, &[foreign_key_statement()]), "kms:PutKeyPolicy"),
        ("tags", |account| tag_key(account, "team", "other"), "kms:TagResource"),
        ("alias", delete_alias, "kms:CreateAlias"),
    ]);
}

#[test]
fn drift_of_a_policy_is_shown_and_repaired_alone() {
    assert_repaired(&[("tags", |account| tag_policy(account, "team", "other"), "iam:TagPolicy")]);
}

/// Fails unless each drift is all that the plan shows, its call all that `apply` makes, and everything then as it was.
#[track_caller]
fn assert_repaired(drifts: &[Drift]) {
    let env = applied(&format!("{MINIMAL}\ntags = {{ team = \"platform\" }}\n"));
    let account = env.account();
    put_foreign_things(account);
    env.run(["plan", "--detailed-exitcode"]).expect_code(0);
    let before = settings(account);
    for (setting, drift, call) in drifts {
        drift(account);
        env.forget_calls();

        let plan = env.run(["plan", "--json"]).expect_code(0);
        env.run(["apply", "--auto-approve"]).expect_code(0);

        let lines = plan.json();
        let changes = lines.iter().filter(|line| line["type"] == "change");
        let steps: Vec<_> = changes
            .flat_map(|change| change["steps"].as_array().unwrap())
            .map(|step| (step["setting"].as_str().unwrap(), step["operation"].as_str().unwrap()))
            .collect();
        assert_eq!(steps, [(*setting, *call)]);
        assert_eq!(env.writes(), [*call], "{setting}");
        assert_eq!(settings(account), before, "{setting}");
    }
}

/// All that the account holds, without what the emulator remembers of a table beyond its settings: a throughput, though it is
/// on demand, and the order in which it was tagged.
fn settings(account: &Account) -> Value {
    let mut dump = account.dump();
    let table = &mut dump["tables"][format!("eu-west-1/{TABLE}")];
    table["ProvisionedThroughput"].take();
    table["Tags"].as_array_mut().unwrap().sort_by_key(|tag| tag["Key"].to_string());
    dump
}

/// A statement, a rule and a tag of someone else's beside ours, wherever there can be one.
fn put_foreign_things(account: &Account) {
    let policy = account.wait(account.s3.get_bucket_policy().bucket(BUCKET).send()).unwrap();
    put_bucket_policy(account, &with_ours(policy.policy().unwrap(), foreign_statement()));
    let get = account.s3.get_bucket_lifecycle_configuration().bucket(BUCKET);
    let rules = account.wait(get.send()).unwrap().rules.unwrap();
    put_lifecycle(account, [vec![foreign_rule()], rules].concat());
    put_bucket_tags(account, "platform");
    let policy = account
        .wait(account.kms.get_key_policy().key_id(key_id(account)).policy_name("default").send())
        .unwrap();
    put_key_policy(account, &with_ours(policy.policy().unwrap(), foreign_key_statement()));
    tag_key(account, "cost", "42");
    tag_table(account, "cost", "42");
    tag_policy(account, "cost", "42");
}

fn with_ours(document: &str, foreign: Value) -> Vec<Value> {
    let ours: Value = serde_json::from_str(document).unwrap();
    [vec![foreign], ours["Statement"].as_array().unwrap().clone()].concat()
}

fn document(statements: &[Value]) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

fn foreign_statement() -> Value {
    let object = format!("arn:aws:s3:::{BUCKET}/private/*");
    json!({ "Sid": "Foreign", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": object })
}

fn foreign_key_statement() -> Value {
    let root = json!({ "AWS": "arn:aws:iam::123456789012:root" });
    json!({ "Sid": "Foreign", "Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*" })
}

fn foreign_rule() -> LifecycleRule {
    LifecycleRule::builder()
        .id("foreign")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("logs/").build())
        .expiration(LifecycleExpiration::builder().days(30).build())
        .build()
        .unwrap()
}

fn suspend_versioning(account: &Account) {
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let put = account.s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(suspended);
    account.wait(put.send()).unwrap();
}

fn encrypt_with_s3s_own_key(account: &Account) {
    let default = ServerSideEncryptionByDefault::builder().sse_algorithm(ServerSideEncryption::Aes256);
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default.build().unwrap())
        .build();
    let configuration = ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
    let put = account.s3.put_bucket_encryption().bucket(BUCKET);
    account.wait(put.server_side_encryption_configuration(configuration).send()).unwrap();
}

fn unblock_public_access(account: &Account) {
    account.wait(account.s3.delete_public_access_block().bucket(BUCKET).send()).unwrap();
}

fn forget_ownership(account: &Account) {
    account.wait(account.s3.delete_bucket_ownership_controls().bucket(BUCKET).send()).unwrap();
}

fn put_bucket_policy(account: &Account, statements: &[Value]) {
    let put = account.s3.put_bucket_policy().bucket(BUCKET).policy(document(statements));
    account.wait(put.send()).unwrap();
}

fn put_lifecycle(account: &Account, rules: Vec<LifecycleRule>) {
    let configuration = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().unwrap();
    let put = account.s3.put_bucket_lifecycle_configuration().bucket(BUCKET);
    account.wait(put.lifecycle_configuration(configuration).send()).unwrap();
}

fn put_bucket_tags(account: &Account, team: &str) {
    let tags = [("cost", "42"), ("team", team), ("underpin:backend", "main"), ("underpin:project", "acme")]
        .map(|(key, value)| Tag::builder().key(key).value(value).build().unwrap());
    let tagging = Tagging::builder().set_tag_set(Some(tags.into())).build().unwrap();
    account.wait(account.s3.put_bucket_tagging().bucket(BUCKET).tagging(tagging).send()).unwrap();
}

fn provision_table(account: &Account) {
    let throughput =
        ProvisionedThroughput::builder().read_capacity_units(1).write_capacity_units(1).build().unwrap();
    let update = account.dynamodb.update_table().table_name(TABLE).billing_mode(BillingMode::Provisioned);
    account.wait(update.provisioned_throughput(throughput).send()).unwrap();
}

fn unprotect_table(account: &Account) {
    let update = account.dynamodb.update_table().table_name(TABLE).deletion_protection_enabled(false);
    account.wait(update.send()).unwrap();
}

fn turn_recovery_off(account: &Account) {
    let off =
        PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(false).build().unwrap();
    let update = account.dynamodb.update_continuous_backups().table_name(TABLE);
    account.wait(update.point_in_time_recovery_specification(off).send()).unwrap();
}

fn untag_table(account: &Account) {
    let untag = account.dynamodb.untag_resource().resource_arn(TABLE_ARN).tag_keys("team");
    account.wait(untag.send()).unwrap();
}

fn tag_table(account: &Account, key: &str, value: &str) {
    let tag = TableTag::builder().key(key).value(value).build().unwrap();
    account.wait(account.dynamodb.tag_resource().resource_arn(TABLE_ARN).tags(tag).send()).unwrap();
}

fn key_id(account: &Account) -> String {
    let answer = account.wait(account.kms.describe_key().key_id(ALIAS).send()).unwrap();
    answer.key_metadata.unwrap().key_id
}

fn disable_key(account: &Account) {
    account.wait(account.kms.disable_key().key_id(key_id(account)).send()).unwrap();
}

fn turn_rotation_off(account: &Account) {
    account.wait(account.kms.disable_key_rotation().key_id(key_id(account)).send()).unwrap();
}

fn rotate_every(account: &Account, days: i32) {
    let enable = account.kms.enable_key_rotation().key_id(key_id(account)).rotation_period_in_days(days);
    account.wait(enable.send()).unwrap();
}

fn put_key_policy(account: &Account, statements: &[Value]) {
    let put = account.kms.put_key_policy().key_id(key_id(account)).policy(document(statements));
    account.wait(put.policy_name("default").send()).unwrap();
}

fn tag_key(account: &Account, key: &str, value: &str) {
    let tag = KeyTag::builder().tag_key(key).tag_value(value).build().unwrap();
    account.wait(account.kms.tag_resource().key_id(key_id(account)).tags(tag).send()).unwrap();
}

fn delete_alias(account: &Account) {
    account.wait(account.kms.delete_alias().alias_name(ALIAS).send()).unwrap();
}

fn tag_policy(account: &Account, key: &str, value: &str) {
    let tag = PolicyTag::builder().key(key).value(value).build().unwrap();
    account.wait(account.iam.tag_policy().policy_arn(POLICY).tags(tag).send()).unwrap();
}
