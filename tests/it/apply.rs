//! `apply` and `plan`: from an empty account to one that is as the configuration asks for, and no call more.

use std::collections::BTreeMap;

use aws_sdk_kms::types::{KeySpec, KeyUsageType, Tag as KeyTag};
use serde_json::Value;

use crate::common::{Output, TestEnv};
use crate::ground::{Account, Call, Fault, On};

/// The bucket of `MINIMAL`.
pub(crate) const BUCKET: &str = "acme-tfstate-123456789012-eu-west-1";

/// One backend, one environment, any account.
pub(crate) const MINIMAL: &str = r#"
project = "acme"

backend "main" {
  region = "eu-west-1"
}

environment "dev" {}
"#;

/// One environment under each way to lock.
const LOCK_MODES: [&str; 3] = ["dynamodb", "s3", "both"];

/// A configuration with one environment that locks as `mode` says.
fn locking(mode: &str) -> String {
    MINIMAL.replace("\"eu-west-1\"", &format!("\"eu-west-1\"\n  lock   = \"{mode}\""))
}

/// One backend with so many environments.
pub(crate) fn with_environments(count: usize) -> String {
    let environments = (1..=count).map(|number| format!("environment \"e{number}\" {{}}\n"));
    let (head, _) = MINIMAL.split_once("environment").unwrap();
    environments.fold(head.to_owned(), |config, environment| config + &environment)
}

/// An account as `config` asks for, and an empty log.
pub(crate) fn applied(config: &str) -> TestEnv {
    let env = applied_with_log(config);
    env.forget_calls();
    env
}

/// An account as `config` asks for, with the log of how it became so.
pub(crate) fn applied_with_log(config: &str) -> TestEnv {
    let env = TestEnv::new();
    env.write("underpin.hcl", config);
    env.run(["apply", "--auto-approve"]).expect_code(0);
    env
}

/// How often each operation was called.
pub(crate) fn counted<'a>(calls: impl IntoIterator<Item = &'a Call>) -> BTreeMap<String, usize> {
    calls.into_iter().fold(BTreeMap::new(), |mut counts, call| {
        *counts.entry(call.operation().to_owned()).or_default() += 1;
        counts
    })
}

fn counted_writes(env: &TestEnv) -> BTreeMap<String, usize> {
    counted(env.calls().iter().filter(|call| call.mutating()))
}

fn digest_of(plan: &Output) -> String {
    let lines = plan.json();
    let line = lines.iter().find(|line| line["type"] == "plan").unwrap();
    line["digest"].as_str().unwrap().to_owned()
}

#[test]
fn apply_twice_writes_once() {
    for mode in LOCK_MODES {
        let env = applied(&locking(mode));
        let (made, files) = (env.account().dump(), env.read("environments/dev/backend.tf"));

        let again = env.run(["apply", "--auto-approve"]).expect_code(0);

        assert_eq!(env.writes(), Vec::<String>::new(), "lock = {mode}");
        assert_eq!(env.account().dump(), made, "lock = {mode}");
        assert_eq!(env.read("environments/dev/backend.tf"), files);
        assert_eq!(again.stdout, "No changes. Everything is as the configuration asks for.\n");
    }
}

#[test]
fn after_apply_the_plan_is_empty() {
    for mode in LOCK_MODES {
        let env = applied(&locking(mode));

        let plan = env.run(["plan", "--detailed-exitcode"]).expect_code(0);

        assert_eq!(plan.stdout, "No changes. Everything is as the configuration asks for.\n");
        assert_eq!(plan.stderr, "");
    }
}

#[test]
fn a_fresh_apply_makes_exactly_the_calls_that_it_needs() {
    let key = [("kms:CreateAlias", 1), ("kms:CreateKey", 1), ("kms:EnableKeyRotation", 1)];
    let bucket = [
        ("s3:CreateBucket", 1),
        ("s3:PutBucketEncryption", 1),
        ("s3:PutBucketLifecycleConfiguration", 1),
        ("s3:PutBucketPolicy", 1),
        ("s3:PutBucketVersioning", 1),
    ];
    let table = [("dynamodb:CreateTable", 1), ("dynamodb:UpdateContinuousBackups", 1)];
    let policies = [("iam:CreatePolicy", 3)];
    for mode in LOCK_MODES {
        let env = applied_with_log(&locking(mode));

        let table = if mode == "s3" { &[][..] } else { &table[..] };
        let expected: BTreeMap<String, usize> = [&key[..], &bucket, table, &policies]
            .concat()
            .into_iter()
            .map(|(operation, times)| (operation.to_owned(), times))
            .collect();
        assert_eq!(counted_writes(&env), expected, "lock = {mode}");
        let succeeded = |call: &Call| call.status.is_some_and(|status| status < 300);
        assert!(env.calls().iter().filter(|call| call.mutating()).all(succeeded));
    }
}

#[test]
fn tags_ride_on_the_create_calls() {
    let env = applied_with_log(&format!("{MINIMAL}\ntags = {{ team = \"platform\" }}\n"));

    let calls = env.calls();
    let tags_of = |operation: &str| -> BTreeMap<String, String> {
        let call = calls.iter().find(|call| call.operation() == operation).unwrap();
        tags_in(call)
    };
    let expected = [("team", "platform"), ("underpin:backend", "main"), ("underpin:project", "acme")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    for operation in ["kms:CreateKey", "s3:CreateBucket", "dynamodb:CreateTable", "iam:CreatePolicy"] {
        assert_eq!(tags_of(operation), BTreeMap::from(expected.clone()), "{operation}");
    }
    let tagging = calls.iter().filter(|call| call.operation().contains("Tag") && call.mutating());
    assert_eq!(tagging.count(), 0);
}

/// The tags that a create call carries, in whichever of the services' ways.
fn tags_in(call: &Call) -> BTreeMap<String, String> {
    if let Value::Array(tags) = call.json()["Tags"].take() {
        let text = |tag: &Value, names: [&str; 2]| {
            names.iter().find_map(|name| tag[*name].as_str()).unwrap().to_owned()
        };
        return tags
            .iter()
            .map(|tag| (text(tag, ["Key", "TagKey"]), text(tag, ["Value", "TagValue"])))
            .collect();
    }
    if call.operation().starts_with("iam:") {
        let field = |number: usize, name: &str| call.field(&format!("Tags.member.{number}.{name}"));
        return (1..).map_while(|number| Some((field(number, "Key")?, field(number, "Value")?))).collect();
    }
    let body = String::from_utf8(call.request.body.to_vec()).unwrap();
    let inner = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>")).unwrap();
        rest.split_once(&format!("</{name}>")).unwrap().0.to_owned()
    };
    body.split("<Tag>").skip(1).map(|tag| (inner(tag, "Key"), inner(tag, "Value"))).collect()
}

#[test]
fn plan_never_writes() {
    let fresh = TestEnv::new();
    fresh.write("underpin.hcl", MINIMAL);
    let drifted = applied(MINIMAL);
    let account = drifted.account();
    account.wait(account.s3.delete_bucket_policy().bucket(BUCKET).send()).unwrap();
    account.wait(account.s3.delete_bucket_lifecycle().bucket(BUCKET).send()).unwrap();
    let refused = TestEnv::new();
    refused.write("underpin.hcl", MINIMAL);
    refused.proxy().give_bucket_away(BUCKET);

    for (env, code) in [(&fresh, 2), (&drifted, 2), (&refused, 3)] {
        let (before, files) = (env.account().dump(), env.files());

        env.run(["plan", "--detailed-exitcode"]).expect_code(code);

        assert_eq!(env.writes(), Vec::<String>::new());
        assert_eq!(env.account().dump(), before);
        assert_eq!(env.files(), files);
    }
}

#[test]
fn detailed_exitcode_tells_whether_there_is_something_to_do() {
    let env = TestEnv::new();
    env.write("underpin.hcl", MINIMAL);

    env.run(["plan"]).expect_code(0);
    env.run(["plan", "--detailed-exitcode"]).expect_code(2);
    env.run(["apply", "--auto-approve"]).expect_code(0);
    env.run(["plan", "--detailed-exitcode"]).expect_code(0);

    // A file that is not there is something to do as well.
    std::fs::remove_file(env.path("environments/dev/backend.tf")).unwrap();
    env.run(["plan", "--detailed-exitcode"]).expect_code(2);
}

#[test]
fn expect_applies_the_plan_that_was_reviewed_and_no_other() {
    let env = TestEnv::new();
    env.write("underpin.hcl", MINIMAL);
    let digest = digest_of(&env.run(["plan", "--json"]).expect_code(0));
    assert_eq!(digest_of(&env.run(["plan", "--json"])), digest);
    assert!(env.run(["plan"]).stdout.contains(&format!("Digest {digest}")));

    // A run that was cut short leaves a key of ours without an alias.
    make_key_of_ours(env.account());
    let refused = env.run(["apply", "--expect", &digest]).expect_code(3);
    assert!(refused.stderr.contains(&format!("and {digest} was expected")), "{refused}");
    assert_eq!(env.writes(), Vec::<String>::new());

    let digest = digest_of(&env.run(["plan", "--json"]));
    env.run(["apply", "--expect", &digest]).expect_code(0);
    assert_eq!(counted_writes(&env).get("kms:CreateKey"), None);
    env.run(["plan", "--detailed-exitcode"]).expect_code(0);
}

/// A key with our tags and nothing else.
fn make_key_of_ours(account: &Account) {
    let tag = |key: &str, value: &str| KeyTag::builder().tag_key(key).tag_value(value).build().unwrap();
    let create = account
        .kms
        .create_key()
        .key_usage(KeyUsageType::EncryptDecrypt)
        .key_spec(KeySpec::SymmetricDefault)
        .tags(tag("underpin:project", "acme"))
        .tags(tag("underpin:backend", "main"));
    account.wait(create.send()).unwrap();
}

#[test]
fn without_a_terminal_nothing_is_asked_and_nothing_done() {
    let env = TestEnv::new();
    env.write("underpin.hcl", MINIMAL);

    let output = env.underpin(["apply"]).stdin("yes\n").run().expect_code(1);
    let json = env.underpin(["apply", "--json"]).stdin("yes\n").run().expect_code(1);

    assert!(output.stdout.contains("Plan: "), "{output}");
    assert!(output.stderr.contains("hint: Give `--auto-approve`"), "{output}");
    let error = json.json().pop().unwrap();
    assert_eq!((error["type"].as_str(), error["exit_code"].as_i64()), (Some("error"), Some(1)));
    assert_eq!(env.writes(), Vec::<String>::new());
    assert_eq!(env.files(), ["underpin.hcl"]);
}

/// Two backends in two regions, three environments.
const TWO_BACKENDS: &str = r#"
project = "acme"

backend "main" {
  region = "eu-west-1"
}
backend "second" {
  region = "us-east-1"
  lock   = "s3"
}

environment "dev" {
  backend    = "main"
  components = ["main", "network/vpc"]
}
environment "staging" {
  backend = "main"
}
environment "prod" {
  backend = "second"
}
"#;

/// The names of all policies in the account.
fn policy_names(env: &TestEnv) -> Vec<String> {
    let dump = env.account().dump();
    let policies = dump["iam"]["policies"].as_object().unwrap();
    policies.keys().map(|arn| arn.split_once(":policy").unwrap().1.to_owned()).collect()
}

fn bucket_names(env: &TestEnv) -> Vec<String> {
    env.account().dump()["buckets"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn backends_are_made_side_by_side_with_all_their_environments() {
    let env = applied(TWO_BACKENDS);

    assert_eq!(
        bucket_names(&env),
        ["acme-second-tfstate-123456789012-us-east-1", "acme-tfstate-123456789012-eu-west-1"]
    );
    let levels = |path: &str| ["apply", "plan", "read"].map(|level| format!("{path}-{level}"));
    let expected = [
        levels("/underpin/acme/main/acme-tfstate-dev"),
        levels("/underpin/acme/main/acme-tfstate-staging"),
        levels("/underpin/acme/second/acme-second-tfstate-prod"),
    ];
    assert_eq!(policy_names(&env), expected.concat());
    let dump = env.account().dump();
    let tables: Vec<&String> = dump["tables"].as_object().unwrap().keys().collect();
    assert_eq!(tables, ["eu-west-1/acme-tfstate-locks"]);
    assert_eq!(dump["keys"].as_object().unwrap().len(), 2);
    assert_eq!(
        env.files(),
        [
            "environments/dev/backend.tf",
            "environments/dev/network/vpc/backend.tf",
            "environments/prod/backend.tf",
            "environments/staging/backend.tf",
            "underpin.hcl",
        ]
    );
    env.run(["plan", "--detailed-exitcode"]).expect_code(0);
}

#[test]
fn a_selected_backend_is_the_only_one_that_is_touched() {
    let env = TestEnv::new();
    env.write("underpin.hcl", TWO_BACKENDS);

    env.run(["apply", "--auto-approve", "--backend", "second"]).expect_code(0);

    assert_eq!(bucket_names(&env), ["acme-second-tfstate-123456789012-us-east-1"]);
    assert_eq!(env.files(), ["environments/prod/backend.tf", "underpin.hcl"]);
    assert!(env.calls().iter().all(|call| !call.resource().contains("acme-tfstate")), "{:#?}", env.calls());
}

#[test]
fn a_selected_environment_brings_its_backend_and_no_other_environment() {
    let env = TestEnv::new();
    env.write("underpin.hcl", TWO_BACKENDS);

    env.run(["apply", "--auto-approve", "--env", "staging"]).expect_code(0);

    assert_eq!(bucket_names(&env), ["acme-tfstate-123456789012-eu-west-1"]);
    let levels = ["apply", "plan", "read"];
    assert_eq!(
        policy_names(&env),
        levels.map(|level| format!("/underpin/acme/main/acme-tfstate-staging-{level}"))
    );
    assert_eq!(env.files(), ["environments/staging/backend.tf", "underpin.hcl"]);
    env.run(["plan", "--detailed-exitcode", "--env", "staging"]).expect_code(0);
    env.run(["plan", "--detailed-exitcode"]).expect_code(2);
}

#[test]
fn a_name_that_is_not_in_the_configuration_is_an_error_before_any_call() {
    let env = TestEnv::new();
    env.write("underpin.hcl", TWO_BACKENDS);

    let environment = env.run(["plan", "--env", "stagin"]).expect_code(1);
    let backend = env.run(["plan", "--backend", "third"]).expect_code(1);

    assert!(environment.stderr.contains("Did you mean `staging`?"), "{environment}");
    assert!(backend.stderr.contains("main, second"), "{backend}");
    assert!(env.calls().is_empty());
}

#[test]
fn many_environments_are_read_in_one_call() {
    let env = applied(&with_environments(11));

    env.run(["plan", "--detailed-exitcode"]).expect_code(0);

    let counts = counted(&env.calls());
    let of_iam: Vec<_> = counts.iter().filter(|(operation, _)| operation.starts_with("iam:")).collect();
    assert_eq!(of_iam, [(&"iam:GetAccountAuthorizationDetails".to_owned(), &1)]);
}

#[test]
fn who_may_not_list_all_policies_reads_them_one_by_one() {
    let env = applied(&with_environments(11));
    let denied = env.proxy().inject(On::call("iam:GetAccountAuthorizationDetails"), Fault::AccessDenied);

    let plan = env.run(["plan", "--detailed-exitcode"]).expect_code(0);

    assert_eq!(plan.stderr, "");
    assert_eq!(denied.times(), 1);
    let counts = counted(&env.calls());
    assert_eq!(counts["iam:GetPolicy"], 33);
    assert_eq!(counts["iam:GetPolicyVersion"], 33);
}

#[test]
fn an_environment_costs_a_bounded_number_of_calls() {
    /// Each of three policies is looked for, made, and read again in two calls.
    const EACH: usize = 3 * 4;
    let calls = |environments| applied_with_log(&with_environments(environments)).calls().len();

    let (one, four) = (calls(1), calls(4));

    assert_eq!(four - one, 3 * EACH);
}
