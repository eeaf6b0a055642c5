//! The pure half: what is decided about a bucket that was read.

use super::super::tests::{KEY, known, owner};
use super::super::{KNOWN_AFTER_APPLY, Known};
use super::*;

fn desired() -> S3Bucket {
    S3Bucket {
        owner: owner(),
        name: "acme-tfstate-111122223333-eu-west-1".parse().unwrap(),
        has_default_name: true,
        account_id: "111122223333".parse().unwrap(),
        region: "eu-west-1".parse().unwrap(),
        partition: "aws".parse().unwrap(),
        key_alias: "alias/acme-tfstate".parse().unwrap(),
        keep_versions: 50,
        expire_days: 90,
        replace_key: false,
    }
}

fn matching() -> Settings {
    Settings {
        versioning: Versioning::Enabled,
        mfa_delete: false,
        encryption: Encryption {
            algorithm: "aws:kms".to_owned(),
            key: Some(KEY.to_owned()),
            bucket_key: true,
            blocked: None,
        },
        public_access_block: PublicAccessBlock::ALL,
        ownership: Some(OWNERSHIP.to_owned()),
        policy: Some(Document::new(desired().statements())),
        lifecycle: Lifecycle::default().with_rule(50, 90),
        tags: owner().tags(),
        object_lock: ObjectLock::Off,
        unfinished: false,
    }
}

fn diff(desired: &S3Bucket, settings: Settings) -> Difference<BucketStep> {
    desired.diff(Some(&ObservedBucket::Here(Box::new(settings))), &known())
}

fn operations(difference: &Difference<BucketStep>) -> Vec<&'static str> {
    difference.steps.iter().map(Step::operation).collect()
}

#[test]
fn a_matching_bucket_needs_nothing() {
    let difference = diff(&desired(), matching());

    assert_eq!((operations(&difference), difference.refusals, difference.warnings), (vec![], vec![], vec![]));
}

#[test]
fn a_key_is_the_same_by_arn_id_and_alias() {
    let alias_arn = "arn:aws:kms:eu-west-1:111122223333:alias/acme-tfstate";
    for name in [KEY, KEY.rsplit('/').next().unwrap(), "alias/acme-tfstate", alias_arn] {
        let mut settings = matching();
        settings.encryption.key = Some(name.to_owned());

        assert_eq!(operations(&diff(&desired(), settings)), Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn an_alias_of_another_account_or_region_does_not_name_our_key() {
    for place in ["eu-west-1:444455556666", "us-east-1:111122223333"] {
        let mut settings = matching();
        settings.encryption.key = Some(format!("arn:aws:kms:{place}:alias/acme-tfstate"));

        assert_eq!(diff(&desired(), settings).refusals.len(), 1, "{place}");
    }
}

#[test]
fn each_setting_that_drifts_is_one_step() {
    type Drift = (fn(&mut Settings), &'static str);
    let drifts: Vec<Drift> = vec![
        (|bucket| bucket.versioning = Versioning::Suspended, "s3:PutBucketVersioning"),
        (|bucket| bucket.versioning = Versioning::Off, "s3:PutBucketVersioning"),
        (|bucket| bucket.encryption = Encryption::default(), "s3:PutBucketEncryption"),
        (|bucket| bucket.encryption.bucket_key = false, "s3:PutBucketEncryption"),
        (|bucket| bucket.public_access_block.block_acls = false, "s3:PutPublicAccessBlock"),
        (|bucket| bucket.public_access_block.ignore_acls = false, "s3:PutPublicAccessBlock"),
        (|bucket| bucket.public_access_block.block_policy = false, "s3:PutPublicAccessBlock"),
        (|bucket| bucket.public_access_block.restrict_buckets = false, "s3:PutPublicAccessBlock"),
        (|bucket| bucket.ownership = Some("ObjectWriter".to_owned()), "s3:PutBucketOwnershipControls"),
        (|bucket| bucket.ownership = None, "s3:PutBucketOwnershipControls"),
        (|bucket| bucket.policy = None, "s3:PutBucketPolicy"),
        (|bucket| bucket.lifecycle = Lifecycle::default(), "s3:PutBucketLifecycleConfiguration"),
        (|bucket| bucket.lifecycle = bucket.lifecycle.with_rule(5, 90), "s3:PutBucketLifecycleConfiguration"),
        (|bucket| drop(bucket.tags.remove("team")), "s3:PutBucketTagging"),
    ];
    for (drift, operation) in drifts {
        let mut settings = matching();
        drift(&mut settings);

        let difference = diff(&desired(), settings);

        assert_eq!(operations(&difference), [operation]);
        let line = difference.steps[0].line();
        assert_ne!(line.from, line.to, "{line:?}");
    }
}

#[test]
fn a_foreign_statement_stays_beside_ours() {
    let foreign =
        r#"{"Version":"2008-10-17","Statement":{"Sid":"Theirs","Effect":"Deny","Action":"s3:PutObject"}}"#;
    let foreign: Document = foreign.parse().unwrap();
    let mut settings = matching();
    settings.policy = Some(foreign.clone());

    let difference = diff(&desired(), settings);

    let [BucketStep::PutPolicy { to, .. }] = difference.steps.as_slice() else { panic!("{difference:?}") };
    assert_eq!(*to, foreign.with_own(&desired().statements()));
    assert!(to.without_own().means_the_same(&foreign));
}

#[test]
fn what_is_not_ours_is_refused() {
    let other_key = KEY.replace("1234abcd", "9999abcd");
    let mut untagged = matching();
    untagged.tags.clear();
    let mut other_project = matching();
    other_project.tags.insert("underpin:project".to_owned(), "other".to_owned());
    let mut retention = matching();
    retention.object_lock = ObjectLock::WithDefaultRetention;
    let mut encrypted = matching();
    encrypted.encryption.key = Some(other_key);
    for settings in [untagged, other_project, retention, encrypted] {
        let difference = diff(&desired(), settings.clone());

        assert_eq!((operations(&difference), difference.refusals.len()), (vec![], 1), "{settings:?}");
    }
}

#[test]
fn a_bucket_of_another_account_or_region_is_refused() {
    for observed in [ObservedBucket::OtherAccount, ObservedBucket::OtherRegion(Some("eu-west-2".to_owned()))]
    {
        let difference = desired().diff(Some(&observed), &known());

        assert_eq!((operations(&difference), difference.refusals.len()), (vec![], 1), "{observed:?}");
    }
}

#[test]
fn a_bucket_that_was_cut_short_of_its_tags_is_tagged() {
    let settings = Settings { unfinished: true, tags: Tags::new(), ..matching() };

    assert_eq!(operations(&diff(&desired(), settings)), ["s3:PutBucketTagging"]);
}

#[test]
fn object_lock_without_retention_is_warned_of() {
    let difference = diff(&desired(), Settings { object_lock: ObjectLock::Enabled, ..matching() });

    assert_eq!(operations(&difference), Vec::<&str>::new());
    assert!(difference.warnings[0].contains("Object Lock"));
}

#[test]
fn a_new_bucket_is_made_whole_and_encrypted_last() {
    let difference = desired().diff(None, &Known::default());

    assert_eq!(
        operations(&difference),
        [
            "s3:CreateBucket",
            "s3:PutBucketVersioning",
            "s3:PutBucketPolicy",
            "s3:PutBucketLifecycleConfiguration",
            "s3:PutBucketEncryption",
        ]
    );
    let encryption = difference.steps.last().unwrap().line();
    assert!(encryption.to.unwrap().contains(KNOWN_AFTER_APPLY));
}
