//! The bare emulator against the repaired one: each test fails once the emulator needs its repair no more.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketLocationConstraint, CreateBucketConfiguration, ExpirationStatus,
    LifecycleRule, LifecycleRuleFilter, NoncurrentVersionExpiration, Tag,
};

use crate::ground::moto::Lease;
use crate::ground::{Account, Proxy};

/// One emulator, bare and repaired. They hold the same: what is made by one is seen by the other.
struct Both {
    bare: Account,
    repaired: Account,
    /// As a program sees it, in the region of a test's choice.
    proxy: Proxy,
    _server: Lease,
}

impl Both {
    fn take() -> Self {
        let server = Lease::take();
        let proxy = Proxy::start(server.address());
        let bare = Account::at(&format!("http://{}", server.address()), "eu-west-1", proxy.runtime());
        Self { bare, repaired: Account::new(&proxy), proxy, _server: server }
    }

    /// Asks both the same.
    fn ask<T>(&self, question: impl Fn(&Account) -> T) -> (T, T) {
        (question(&self.bare), question(&self.repaired))
    }
}

fn create(account: &Account, bucket: &str) {
    let tag = Tag::builder().key("a").value("b").build().unwrap();
    let region =
        CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::EuWest1).tags(tag);
    let call = account.s3.create_bucket().bucket(bucket).create_bucket_configuration(region.build());
    account.wait(call.send()).unwrap();
}

/// The code of a refusal; `None` where there was none.
fn refusal<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>) -> Option<String> {
    result.err().map(|err| err.code().unwrap_or_default().to_owned())
}

/// Makes a bucket of one's own for each of both.
fn bucket_each(both: &Both) -> impl Fn(&Account) -> String {
    create(&both.bare, "bare");
    create(&both.repaired, "repaired");
    let bare = both.bare.clone();
    move |account| if account.is_same(&bare) { "bare".to_owned() } else { "repaired".to_owned() }
}

#[test]
fn tags_of_a_create_are_applied() {
    let both = Both::take();
    let bucket = bucket_each(&both);

    let (bare, repaired) = both.ask(|account| {
        let tagging = account.wait(account.s3.get_bucket_tagging().bucket(bucket(account)).send());
        tagging.map(|tagging| tagging.tag_set()[0].key().to_owned()).ok()
    });

    assert_eq!((bare, repaired.as_deref()), (None, Some("a")));
}

#[test]
fn a_new_bucket_has_its_defaults() {
    let both = Both::take();
    let bucket = bucket_each(&both);

    let (bare, repaired) = both.ask(|account| {
        let bucket = bucket(account);
        let encryption = account.wait(account.s3.get_bucket_encryption().bucket(&bucket).send());
        let access = account.wait(account.s3.get_public_access_block().bucket(&bucket).send());
        let ownership = account.wait(account.s3.get_bucket_ownership_controls().bucket(&bucket).send());
        (encryption, access, ownership)
    });

    assert!(bare.0.is_err() && bare.1.is_err() && bare.2.is_err());
    let rules = repaired.0.unwrap().server_side_encryption_configuration.unwrap().rules;
    let default = rules[0].apply_server_side_encryption_by_default().unwrap();
    assert_eq!(default.sse_algorithm().as_str(), "AES256");
    let access = repaired.1.unwrap().public_access_block_configuration.unwrap();
    let blocks = [
        access.block_public_acls,
        access.ignore_public_acls,
        access.block_public_policy,
        access.restrict_public_buckets,
    ];
    assert_eq!(blocks, [Some(true); 4]);
    let ownership = repaired.2.unwrap().ownership_controls.unwrap();
    assert_eq!(ownership.rules()[0].object_ownership().as_str(), "BucketOwnerEnforced");
}

#[test]
fn objects_say_how_they_are_encrypted_by_default() {
    let both = Both::take();
    let bucket = bucket_each(&both);

    let (bare, repaired) = both.ask(|account| {
        let put = account.s3.put_object().bucket(bucket(account)).key("a").body(b"1".to_vec().into()).send();
        account.wait(put).unwrap().server_side_encryption
    });

    assert_eq!(bare, None);
    assert_eq!(repaired.unwrap().as_str(), "AES256");
}

#[test]
fn encryption_that_is_deleted_goes_back_to_the_default() {
    let both = Both::take();
    let bucket = bucket_each(&both);

    let (bare, repaired) = both.ask(|account| {
        account.wait(account.s3.delete_bucket_encryption().bucket(bucket(account)).send()).unwrap();
        refusal(account.wait(account.s3.get_bucket_encryption().bucket(bucket(account)).send()))
    });

    assert_eq!(bare.as_deref(), Some("ServerSideEncryptionConfigurationNotFoundError"));
    assert_eq!(repaired, None);
}

#[test]
fn creating_a_bucket_again_changes_nothing() {
    let both = Both::take();
    let us = both.repaired.in_region("us-east-1");
    us.wait(us.s3.create_bucket().bucket("acme").send()).unwrap();
    us.wait(us.s3.delete_public_access_block().bucket("acme").send()).unwrap();

    us.wait(us.s3.create_bucket().bucket("acme").send()).unwrap();

    us.wait(us.s3.get_public_access_block().bucket("acme").send()).unwrap_err();
}

/// Denies what comes over plain HTTP, which is every call of these tests.
fn tls_only(bucket: &str) -> String {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TlsOnly",
            "Condition": { "NumericLessThan": { "s3:TlsVersion": "1.2" } },
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
        }],
    })
    .to_string()
}

#[test]
fn a_denial_with_a_condition_denies_not_everything() {
    let both = Both::take();
    let bucket = bucket_each(&both);

    let (bare, repaired) = both.ask(|account| {
        let bucket = bucket(account);
        let put = account.s3.put_bucket_policy().bucket(&bucket).policy(tls_only(&bucket)).send();
        account.wait(put).unwrap();
        let read =
            account.wait(account.s3.get_bucket_policy().bucket(&bucket).send()).unwrap().policy.unwrap();
        assert_eq!(read, tls_only(&bucket));
        refusal(account.wait(account.s3.put_object().bucket(&bucket).key("a").send()))
    });

    assert!(bare.is_some());
    assert_eq!(repaired, None);
    both.repaired.wait(both.repaired.s3.delete_bucket_policy().bucket("repaired").send()).unwrap();
    let gone = both.repaired.wait(both.repaired.s3.get_bucket_policy().bucket("repaired").send());
    assert_eq!(refusal(gone).unwrap(), "NoSuchBucketPolicy");
    let nowhere = both.repaired.wait(both.repaired.s3.get_bucket_policy().bucket("nowhere").send());
    assert_eq!(refusal(nowhere).unwrap(), "NoSuchBucket");
}

#[test]
fn bucket_policies_that_make_no_sense_are_refused() {
    let both = Both::take();
    let bucket = bucket_each(&both);
    let spoiled = [
        ("MalformedPolicy", "2012-10-17", "2012"),
        ("MalformedPolicy", "Deny", "Refuse"),
        ("MalformedPolicy", "s3:*", "ec2:*"),
        ("MalformedPolicy", "\"Principal\"", "\"Everyone\""),
        ("MalformedPolicy", ":::", ":::elsewhere-"),
        (
            "AccessDenied",
            "\"Condition\":{\"NumericLessThan\":{\"s3:TlsVersion\":\"1.2\"}},\"Effect\":\"Deny\"",
            "\"Effect\":\"Allow\"",
        ),
    ];

    for (expected, from, to) in spoiled {
        let (bare, repaired) = both.ask(|account| {
            let bucket = bucket(account);
            let policy = tls_only(&bucket).replace(from, to);
            assert_ne!(policy, tls_only(&bucket));
            refusal(account.wait(account.s3.put_bucket_policy().bucket(&bucket).policy(policy).send()))
        });
        assert_eq!((bare, repaired.as_deref()), (None, Some(expected)));
    }
    let long = tls_only("repaired").replace("TlsOnly", &"T".repeat(20_480));
    let put = both.repaired.s3.put_bucket_policy().bucket("repaired").policy(long).send();
    assert_eq!(refusal(both.repaired.wait(put)).unwrap(), "PolicyTooLarge");
}

fn rule(newer: Option<i32>, acts: bool) -> BucketLifecycleConfiguration {
    let expiration =
        NoncurrentVersionExpiration::builder().noncurrent_days(90).set_newer_noncurrent_versions(newer);
    let rule = LifecycleRule::builder()
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .set_noncurrent_version_expiration(acts.then(|| expiration.build()));
    BucketLifecycleConfiguration::builder().rules(rule.build().unwrap()).build().unwrap()
}

#[test]
fn lifecycle_rules_come_back_whole() {
    let both = Both::take();
    let bucket = bucket_each(&both);

    let (bare, repaired) = both.ask(|account| {
        let put = account.s3.put_bucket_lifecycle_configuration().bucket(bucket(account));
        account.wait(put.lifecycle_configuration(rule(Some(50), true)).send()).unwrap();
        let read = account.s3.get_bucket_lifecycle_configuration().bucket(bucket(account)).send();
        account.wait(read).unwrap().rules.unwrap().remove(0)
    });

    let newer = |rule: &LifecycleRule| rule.noncurrent_version_expiration()?.newer_noncurrent_versions();
    assert_eq!((newer(&bare), newer(&repaired)), (None, Some(50)));
    assert!(repaired.id().is_some());
    let deleted = both.repaired.s3.delete_bucket_lifecycle().bucket("repaired").send();
    both.repaired.wait(deleted).unwrap();
    let read = both.repaired.s3.get_bucket_lifecycle_configuration().bucket("repaired").send();
    assert_eq!(refusal(both.repaired.wait(read)).unwrap(), "NoSuchLifecycleConfiguration");
}

#[test]
fn lifecycle_rules_that_do_nothing_are_refused() {
    let both = Both::take();
    let bucket = bucket_each(&both);

    let (bare, repaired) = both.ask(|account| {
        let put = account.s3.put_bucket_lifecycle_configuration().bucket(bucket(account));
        refusal(account.wait(put.lifecycle_configuration(rule(None, false)).send()))
    });

    assert_eq!((bare, repaired.as_deref()), (None, Some("MalformedXML")));
}

#[test]
fn a_deleted_buckets_name_starts_afresh() {
    let both = Both::take();
    let account = &both.repaired;
    create(account, "acme");
    account.wait(account.s3.put_bucket_policy().bucket("acme").policy(tls_only("acme")).send()).unwrap();

    account.wait(account.s3.delete_bucket().bucket("acme").send()).unwrap();
    create(account, "acme");

    let policy = account.wait(account.s3.get_bucket_policy().bucket("acme").send());
    assert_eq!(refusal(policy).unwrap(), "NoSuchBucketPolicy");
}

#[test]
fn a_bucket_answers_in_its_own_region() {
    let both = Both::take();
    create(&both.repaired, "acme");
    let bare = both.bare.in_region("us-east-1");
    let here = Account::at(&both.proxy.url(), "eu-west-1", both.proxy.runtime());
    let elsewhere = here.in_region("us-east-1");
    let head = |account: &Account| account.wait(account.s3.head_bucket().bucket("acme").send()).is_ok();

    assert!(head(&bare) && head(&here) && !head(&elsewhere));

    let last = both.proxy.calls().pop().unwrap();
    assert_eq!(last.status, Some(301));
    assert_eq!(last.answer_headers["x-amz-bucket-region"], "eu-west-1");
    let location = elsewhere.s3.get_bucket_location().bucket("acme").send();
    assert_eq!(elsewhere.wait(location).unwrap().location_constraint.unwrap().as_str(), "eu-west-1");
    let policy = elsewhere.s3.get_bucket_policy().bucket("acme").send();
    assert_eq!(refusal(elsewhere.wait(policy)).unwrap(), "PermanentRedirect");
}

#[test]
fn answers_have_the_roots_that_s3_gives_them() {
    let both = Both::take();
    let bucket = bucket_each(&both);

    let (bare, repaired) = both.ask(|account| {
        let bucket = bucket(account);
        let upload = account.s3.create_multipart_upload().bucket(&bucket).key("a").send();
        let upload = account.wait(upload).unwrap().upload_id.unwrap();
        let parts = account.s3.list_parts().bucket(&bucket).key("a").upload_id(upload).send();
        [
            account.wait(account.s3.get_bucket_versioning().bucket(&bucket).send()).is_ok(),
            account.wait(account.s3.get_bucket_notification_configuration().bucket(&bucket).send()).is_ok(),
            account.wait(account.s3.get_bucket_accelerate_configuration().bucket(&bucket).send()).is_ok(),
            account.wait(parts).is_ok(),
        ]
    });

    assert_eq!((bare, repaired), ([false; 4], [true; 4]));
}

#[test]
fn the_rotation_period_of_a_key_is_kept() {
    let both = Both::take();

    let (bare, repaired) = both.ask(|account| {
        let key = account.wait(account.kms.create_key().send()).unwrap().key_metadata.unwrap().key_id;
        let enable = account.kms.enable_key_rotation().key_id(&key);
        account.wait(enable.clone().rotation_period_in_days(200).send()).unwrap();
        let status =
            |key: &str| account.wait(account.kms.get_key_rotation_status().key_id(key).send()).unwrap();
        let chosen = status(&key).rotation_period_in_days;
        account.wait(enable.send()).unwrap();
        let default = status(&key).rotation_period_in_days;
        account.wait(account.kms.disable_key_rotation().key_id(&key).send()).unwrap();
        (chosen, default, status(&key).rotation_period_in_days)
    });

    assert_eq!(bare, (None, None, None));
    assert_eq!(repaired, (Some(200), Some(365), None));
}

#[test]
fn a_missing_table_is_missing_in_every_call() {
    let both = Both::take();

    let (bare, repaired) = both.ask(|account| {
        refusal(account.wait(account.dynamodb.describe_time_to_live().table_name("acme").send()))
    });

    assert_eq!(bare.as_deref(), Some("ResourceNotFound"));
    assert_eq!(repaired.as_deref(), Some("ResourceNotFoundException"));
}

#[test]
fn iam_policies_have_a_limit_and_go_after_their_versions() {
    let both = Both::take();
    let document = |action: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"s3:{action}","Resource":"*"}}]}}"#
        )
    };

    let (bare, repaired) = both.ask(|account| {
        let name = if account.is_same(&both.bare) { "bare" } else { "repaired" };
        let create = account.iam.create_policy().policy_name(name).policy_document(document("Get*")).send();
        let arn = account.wait(create).unwrap().policy.unwrap().arn.unwrap();
        let version = account.iam.create_policy_version().policy_arn(&arn).set_as_default(true);
        let long = account.wait(version.clone().policy_document(document(&"G".repeat(6_144))).send());
        account.wait(version.policy_document(document("List*")).send()).unwrap();
        [refusal(long), refusal(account.wait(account.iam.delete_policy().policy_arn(&arn).send()))]
    });

    assert_eq!(bare, [None, None]);
    assert_eq!(repaired.map(Option::unwrap), ["LimitExceeded", "DeleteConflict"]);
}
