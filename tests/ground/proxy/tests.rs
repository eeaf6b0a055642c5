use std::time::{Duration, Instant};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, VersioningConfiguration,
};
use serde_json::json;

use crate::ground::{Account, Fault, Fired, Ground, On, StaleReads, Unless, critical_depth, max_in_flight};

/// The account as a program sees it: by the front door.
fn program(ground: &Ground) -> Account {
    Account::at(&ground.proxy().url(), "eu-west-1", ground.proxy().runtime())
}

fn create(account: &Account, bucket: &str) {
    let region =
        CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::EuWest1).build();
    let call = account.s3.create_bucket().bucket(bucket).create_bucket_configuration(region);
    account.wait(call.send()).unwrap();
}

fn enable_versioning(
    account: &Account,
    bucket: &str,
) -> aws_sdk_s3::operation::put_bucket_versioning::builders::PutBucketVersioningFluentBuilder {
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    account.s3.put_bucket_versioning().bucket(bucket).versioning_configuration(enabled)
}

/// The error's code; `None` where no answer came.
fn code<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>) -> Option<String> {
    result.err().expect("an error").code().map(str::to_owned)
}

fn versioned(ground: &Ground, bucket: &str) -> bool {
    let account = ground.account();
    account.wait(account.s3.get_bucket_versioning().bucket(bucket).send()).unwrap().status.is_some()
}

#[test]
fn every_call_is_written_down_before_its_answer_leaves() {
    let ground = Ground::take();
    let account = program(&ground);

    create(&account, "acme");
    account.wait(account.s3.get_bucket_policy().bucket("acme").send()).unwrap_err();
    account.wait(account.dynamodb.describe_table().table_name("locks").send()).unwrap_err();
    account.wait(account.kms.create_key().description("acme").send()).unwrap();
    account.wait(account.iam.list_policies().send()).unwrap();
    account.wait(account.sts.get_caller_identity().send()).unwrap();

    let calls = ground.proxy().calls();
    let seen: Vec<_> = calls
        .iter()
        .map(|call| {
            (call.operation(), call.resource(), call.mutating(), call.status, call.error_code.as_deref())
        })
        .collect();
    let expected = [
        ("s3:CreateBucket", "acme", true, Some(200), None),
        ("s3:GetBucketPolicy", "acme", false, Some(404), Some("NoSuchBucketPolicy")),
        ("dynamodb:DescribeTable", "locks", false, Some(400), Some("ResourceNotFoundException")),
        ("kms:CreateKey", "", true, Some(200), None),
        ("iam:ListPolicies", "", false, Some(200), None),
        ("sts:GetCallerIdentity", "", false, Some(200), None),
    ];
    assert_eq!(seen, expected);
    assert_eq!(calls[3].json()["Description"], "acme");
    assert_eq!(calls[4].field("Action").as_deref(), Some("ListPolicies"));
    assert_eq!(calls[0].attempt(), Some(1));
    assert!(calls[0].header("authorization").is_some());
    assert!(calls[3].answer_body.starts_with(b"{") && !calls[3].answer_headers.is_empty());
    assert!(calls.iter().all(|call| call.started <= call.ended && call.in_flight == 1 && !call.faulted));
    assert!(calls.windows(2).all(|pair| pair[0].number < pair[1].number));
    ground.proxy().forget_calls();
    assert!(ground.proxy().calls().is_empty());
}

#[test]
fn calls_by_the_back_door_leave_no_trace() {
    let ground = Ground::take();
    ground.proxy().inject(On::any(), Fault::Status500);

    create(ground.account(), "acme");

    assert!(ground.proxy().calls().is_empty());
}

#[test]
fn a_call_that_is_reset_takes_no_effect_and_one_whose_answer_is_lost_does() {
    let ground = Ground::take();
    let account = program(&ground);
    create(&account, "reset");
    create(&account, "lost");
    ground.proxy().inject(On::writes().resource("reset"), Fault::Reset);
    ground.proxy().inject(On::call("s3:PutBucket*").resource("lost"), Fault::AnswerLost);

    let reset = account.wait(enable_versioning(&account, "reset").send());
    let lost = account.wait(enable_versioning(&account, "lost").send());

    assert!(matches!(reset, Err(SdkError::DispatchFailure(_))), "{reset:?}");
    assert!(matches!(lost, Err(SdkError::DispatchFailure(_))), "{lost:?}");
    assert!(!versioned(&ground, "reset"));
    assert!(versioned(&ground, "lost"));
    let calls = ground.proxy().calls();
    assert!(calls[2..].iter().all(|call| call.status.is_none() && call.faulted));
}

#[test]
fn an_answer_can_break_off_in_the_middle() {
    let ground = Ground::take();
    let account = program(&ground);
    create(&account, "acme");
    ground.proxy().inject(On::call("s3:GetBucketEncryption"), Fault::ResetMidBody);
    ground.proxy().inject(On::call("s3:HeadBucket"), Fault::ResetMidBody);

    let body = account.wait(account.s3.get_bucket_encryption().bucket("acme").send());
    let without_body = account.wait(account.s3.head_bucket().bucket("acme").send());

    assert!(matches!(body, Err(SdkError::ResponseError(_))), "{body:?}");
    assert!(matches!(without_body, Err(SdkError::DispatchFailure(_))), "{without_body:?}");
}

#[test]
fn errors_are_written_in_the_dialect_of_their_service() {
    let ground = Ground::take();
    let account = program(&ground);
    let faults = [
        (Fault::Status500, ["InternalError", "InternalServerError", "ServiceFailure"]),
        (Fault::SlowDown503, ["SlowDown", "ServiceUnavailableException", "ServiceUnavailable"]),
        (Fault::Throttle, ["SlowDown", "ThrottlingException", "Throttling"]),
        (Fault::AccessDenied, ["AccessDenied", "AccessDeniedException", "AccessDenied"]),
        (Fault::ExpiredToken, ["ExpiredToken", "ExpiredTokenException", "ExpiredToken"]),
        (Fault::InvalidToken, ["InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId"]),
        (Fault::OperationAborted, ["OperationAborted"; 3]),
        (Fault::Code { status: 400, code: "Acme", message: "no" }, ["Acme"; 3]),
        (Fault::Body { status: 400, body: b"{<".to_vec() }, [""; 3]),
    ];

    for (fault, [s3, dynamodb, iam]) in faults {
        ground.proxy().clear_faults();
        let fired: Fired = ground.proxy().inject(On::any(), fault.clone());
        let found = [
            code(account.wait(account.s3.get_bucket_encryption().bucket("acme").send())),
            code(account.wait(account.dynamodb.list_tables().send())),
            code(account.wait(account.iam.list_policies().send())),
        ];
        let found = found.map(Option::unwrap_or_default);
        assert_eq!(found, [s3, dynamodb, iam], "{fault:?}");
        assert_eq!(fired.times(), 3);
    }
    let codes: Vec<_> =
        ground.proxy().calls().into_iter().take(3).map(|call| call.error_code.unwrap()).collect();
    assert_eq!(codes, ["InternalError", "InternalServerError", "ServiceFailure"]);
}

#[test]
fn s3_can_say_200_and_mean_an_error() {
    let ground = Ground::take();
    let account = program(&ground);
    create(&account, "acme");
    account.wait(account.s3.put_object().bucket("acme").key("a").send()).unwrap();
    ground.proxy().inject(On::call("s3:CopyObject"), Fault::S3ErrorIn200);

    let copied = account.wait(account.s3.copy_object().bucket("acme").key("b").copy_source("acme/a").send());

    assert_eq!(code(copied).as_deref(), Some("InternalError"));
    assert_eq!(ground.proxy().calls().last().unwrap().status, Some(200));
}

#[test]
fn a_late_answer_is_that_late_and_the_call_takes_effect() {
    let ground = Ground::take();
    let account = program(&ground);
    create(&account, "acme");
    ground.proxy().inject(On::call("s3:PutBucketVersioning"), Fault::Late(Duration::from_millis(150)));
    let began = Instant::now();

    account.wait(enable_versioning(&account, "acme").send()).unwrap();

    assert!(began.elapsed() >= Duration::from_millis(150));
    assert!(versioned(&ground, "acme"));
}

#[test]
fn a_fault_strikes_the_nth_every_nth_or_the_first_few() {
    let ground = Ground::take();
    let account = program(&ground);
    let struck = |on: On| {
        ground.proxy().clear_faults();
        ground.proxy().forget_calls();
        ground.proxy().inject(on, Fault::Throttle);
        for _ in 0..6 {
            drop(account.wait(account.dynamodb.list_tables().send()));
        }
        ground.proxy().calls().iter().map(|call| call.faulted).collect::<Vec<_>>()
    };

    assert_eq!(struck(On::call("dynamodb:ListTables").nth(2)), [false, true, false, false, false, false]);
    assert_eq!(struck(On::any().every(3)), [false, false, true, false, false, true]);
    assert_eq!(struck(On::any().limit(2)), [true, true, false, false, false, false]);
    assert_eq!(struck(On::writes()), [false; 6]);
    assert_eq!(struck(On::call("dynamodb:List")), [false; 6]);
}

#[test]
fn depth_and_width_are_read_from_the_log() {
    let ground = Ground::take();
    let account = program(&ground);
    ground.proxy().set_round_trip(Duration::from_millis(60));

    account.wait(account.sts.get_caller_identity().send()).unwrap();
    account.wait(async {
        let tables = account.dynamodb.list_tables().send();
        let keys = account.kms.list_keys().send();
        let (tables, keys) = tokio::join!(tables, keys);
        tables.unwrap();
        keys.unwrap();
    });

    let calls = ground.proxy().calls();
    assert_eq!(critical_depth(&calls), 2);
    assert_eq!(max_in_flight(&calls), 2);
    assert!(calls.iter().all(|call| call.ended >= call.started + Duration::from_millis(60)));
    assert!(calls[1].connection != calls[2].connection);
    assert_eq!((critical_depth(&[]), max_in_flight(&[])), (0, 0));
}

#[test]
fn in_rounds_a_late_answer_makes_nothing_look_deeper() {
    let ground = Ground::take();
    let account = program(&ground);
    ground.proxy().answer_in_rounds(Duration::from_millis(40));
    ground.proxy().inject(On::call("sts:GetCallerIdentity"), Fault::Late(Duration::from_millis(100)));

    account.wait(async {
        let one_after_another = async {
            account.dynamodb.list_tables().send().await.unwrap();
            account.kms.list_keys().send().await.unwrap();
        };
        let (caller, ()) = tokio::join!(account.sts.get_caller_identity().send(), one_after_another);
        caller.unwrap();
    });

    let calls = ground.proxy().calls();
    assert_eq!((calls[0].ended, critical_depth(&calls)), (calls[1].ended, 2));
}

#[test]
fn what_was_just_created_can_stay_unseen() {
    let ground = Ground::take();
    let account = program(&ground);
    let long = Duration::from_mins(10);
    ground.proxy().set_stale_reads(StaleReads { bucket: long, alias: long, policy: long, table: long });

    create(&account, "acme");
    let key = account.wait(account.kms.create_key().send()).unwrap().key_metadata.unwrap().key_id;
    account.wait(account.kms.create_alias().alias_name("alias/acme").target_key_id(key).send()).unwrap();
    let document =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
    let policy = account.iam.create_policy().policy_name("acme").policy_document(document).send();
    let arn = account.wait(policy).unwrap().policy.unwrap().arn.unwrap();
    let created = account.wait(table(&account).send()).unwrap();

    assert_eq!(
        code(account.wait(account.s3.get_bucket_encryption().bucket("acme").send())).unwrap(),
        "NoSuchBucket"
    );
    let described = account.wait(account.kms.describe_key().key_id("alias/acme").send());
    assert_eq!(code(described).unwrap(), "NotFoundException");
    let aliases = account.wait(account.kms.list_aliases().send()).unwrap();
    assert!(!aliases.aliases().iter().any(|alias| alias.alias_name() == Some("alias/acme")));
    assert_eq!(code(account.wait(account.iam.get_policy().policy_arn(&arn).send())).unwrap(), "NoSuchEntity");
    assert!(account.wait(account.iam.list_policies().send()).unwrap().policies().is_empty());
    let details = account.wait(account.iam.get_account_authorization_details().send()).unwrap();
    assert!(!details.policies().iter().any(|policy| policy.arn() == Some(&arn)));
    assert_eq!(created.table_description.unwrap().table_status.unwrap().as_str(), "CREATING");
    let described = account.wait(account.dynamodb.describe_table().table_name("acme").send()).unwrap();
    assert_eq!(described.table.unwrap().table_status.unwrap().as_str(), "CREATING");
    let updated = account.dynamodb.update_table().table_name("acme").deletion_protection_enabled(true).send();
    assert_eq!(code(account.wait(updated)).unwrap(), "ResourceInUseException");
    let scanned = account.dynamodb.scan().table_name("acme").send();
    assert_eq!(code(account.wait(scanned)).unwrap(), "ResourceNotFoundException");
}

#[test]
fn what_was_unseen_is_seen_later() {
    let ground = Ground::take();
    let account = program(&ground);
    let bucket = Duration::from_millis(50);
    ground.proxy().set_stale_reads(StaleReads { bucket, ..StaleReads::default() });
    create(&account, "acme");
    let began = Instant::now();

    while account.wait(account.s3.head_bucket().bucket("acme").send()).is_err() {
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    let statuses: Vec<_> = ground.proxy().calls()[1..].iter().filter_map(|call| call.status).collect();
    assert!(statuses.len() > 1 && statuses[0] == 404 && statuses.last() == Some(&200), "{statuses:?}");
}

fn table(account: &Account) -> aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder {
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    };

    let key = KeySchemaElement::builder().attribute_name("LockID").key_type(KeyType::Hash).build().unwrap();
    let attribute =
        AttributeDefinition::builder().attribute_name("LockID").attribute_type(ScalarAttributeType::S);
    account
        .dynamodb
        .create_table()
        .table_name("acme")
        .key_schema(key)
        .attribute_definitions(attribute.build().unwrap())
        .billing_mode(BillingMode::PayPerRequest)
}

#[test]
fn overlapping_writes_to_one_bucket_are_refused_on_demand() {
    let ground = Ground::take();
    let account = program(&ground);
    create(&account, "acme");
    create(&account, "other");
    ground.proxy().set_round_trip(Duration::from_millis(100));
    ground.proxy().refuse_overlapping_bucket_writes();

    let (first, second, elsewhere) = account.wait(async {
        tokio::join!(
            enable_versioning(&account, "acme").send(),
            enable_versioning(&account, "acme").send(),
            enable_versioning(&account, "other").send(),
        )
    });

    assert!(first.is_ok() != second.is_ok());
    assert_eq!(code(first.and(second)).unwrap(), "OperationAborted");
    elsewhere.unwrap();
    account.wait(enable_versioning(&account, "acme").send()).unwrap();
}

#[test]
fn another_accounts_bucket_is_taken_and_closed() {
    let ground = Ground::take();
    let account = program(&ground);
    ground.proxy().give_bucket_away("acme");

    let region =
        CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::EuWest1).build();
    let created = account.s3.create_bucket().bucket("acme").create_bucket_configuration(region).send();

    assert_eq!(code(account.wait(created)).unwrap(), "BucketAlreadyExists");
    account.wait(account.s3.head_bucket().bucket("acme").send()).unwrap_err();
    assert_eq!(ground.proxy().calls().last().unwrap().status, Some(403));
}

#[test]
fn an_expected_owner_who_is_not_is_refused() {
    let ground = Ground::take();
    let account = program(&ground);
    create(&account, "acme");
    let read = |owner| account.s3.get_bucket_encryption().bucket("acme").expected_bucket_owner(owner).send();

    account.wait(read("123456789012")).unwrap();

    assert_eq!(code(account.wait(read("111122223333"))).unwrap(), "AccessDenied");
}

#[test]
fn a_call_of_ours_that_breaks_a_rule_is_refused_and_remembered() {
    let ground = Ground::take();
    let ours = program(&ground).named("underpin");

    let created = code(ours.wait(ours.s3.create_bucket().bucket("acme").send()));
    let headed = ours.wait(ours.s3.head_bucket().bucket("acme").send());
    let key = code(ours.wait(ours.kms.create_key().send()));
    let made = code(ours.wait(table(&ours).send()));
    let policy = code(ours.wait(ours.iam.create_policy().policy_name("acme").policy_document("{}").send()));

    assert_eq!([created, key, made, policy].map(Option::unwrap), ["StrictlyRefused"; 4]);
    headed.unwrap_err();
    let violations = ground.proxy().take_violations();
    let expected = [
        "s3:CreateBucket on `acme` carries no tags",
        "s3:HeadBucket on `acme` carries no expected bucket owner",
        "kms:CreateKey on `` carries no tags",
        "dynamodb:CreateTable on `acme` carries no tags",
        "iam:CreatePolicy on `acme` carries no tags",
    ];
    assert_eq!(violations, expected);
}

#[test]
fn a_rule_can_be_lifted_and_does_not_bind_others() {
    let ground = Ground::take();
    let ours = program(&ground).named("underpin");
    ground.proxy().permit(Unless::UntaggedCreate);
    ground.proxy().permit(Unless::NoExpectedOwner);

    create(&ours, "acme");
    ours.wait(ours.s3.head_bucket().bucket("acme").send()).unwrap();

    assert!(ground.proxy().take_violations().is_empty());
}

#[test]
#[should_panic(expected = "calls of ours that must not be")]
fn a_violation_fails_the_test() {
    let ground = Ground::take();
    let ours = program(&ground).named("underpin");

    drop(ours.wait(ours.kms.create_key().send()));
}

#[test]
fn comparable_dumps_of_the_same_deeds_are_equal() {
    let deeds = || {
        let ground = Ground::take();
        let account = ground.account();
        create(account, "acme");
        account.wait(enable_versioning(account, "acme").send()).unwrap();
        account
            .wait(account.s3.put_object().bucket("acme").key("dev/a b").body(b"1".to_vec().into()).send())
            .unwrap();
        account.wait(account.s3.delete_object().bucket("acme").key("dev/a b").send()).unwrap();
        let key = account.wait(account.kms.create_key().send()).unwrap().key_metadata.unwrap();
        let alias = account.kms.create_alias().alias_name("alias/acme").target_key_id(key.key_id());
        account.wait(alias.send()).unwrap();
        account.wait(table(account).send()).unwrap();
        (account.dump(), account.comparable_dump(), key.key_id)
    };

    let (first, first_comparable, key) = deeds();
    let (second, second_comparable, _) = deeds();

    assert_ne!(first, second);
    assert_eq!(first_comparable, second_comparable);
    assert_eq!(first["keys"][&key]["Aliases"], json!(["alias/acme"]));
    assert_eq!(first["buckets"]["acme"]["versioning"]["Status"], "Enabled");
    assert_eq!(first["buckets"]["acme"]["objects"]["dev/a b"].as_array().unwrap().len(), 2);
    assert_eq!(first["tables"]["eu-west-1/acme"]["TableStatus"], "ACTIVE");
    assert_eq!(second_comparable["keys"][0]["KeyId"], "alias/acme");
}
