use serde_json::Value;

use super::super::MANAGED_POLICY_LIMIT;
use super::super::tests::pretty;
use super::*;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const BUCKET: &str = "acme-tfstate";
const TABLE: &str = "arn:aws:dynamodb:eu-west-1:111122223333:table/acme-tfstate-locks";
const MODES: [Locking; 3] = [Locking::Table, Locking::Lockfile, Locking::Both];

fn scope(environment: &str, locking: Locking) -> Scope {
    Scope {
        partition: "aws".parse().unwrap(),
        account_id: "111122223333".parse().unwrap(),
        region: "eu-west-1".parse().unwrap(),
        bucket: BUCKET.parse().unwrap(),
        table: "acme-tfstate-locks".parse().unwrap(),
        locking,
        environment: environment.parse().unwrap(),
    }
}

fn policy(level: Level, environment: &str, locking: Locking) -> Document {
    document(level, &scope(environment, locking), &KEY.parse().unwrap())
}

/// One check that AWS makes: an action, on a resource, and what else is known of the request.
#[derive(Debug, Clone, PartialEq)]
struct Check {
    action: &'static str,
    resource: String,
    context: Vec<(&'static str, String)>,
}

impl Check {
    fn bucket(action: &'static str) -> Self {
        Self::s3(action, format!("arn:aws:s3:::{BUCKET}"))
    }

    fn object(action: &'static str, key: &str) -> Self {
        Self::s3(action, format!("arn:aws:s3:::{BUCKET}/{key}"))
    }

    fn s3(action: &'static str, resource: String) -> Self {
        Self { action, resource, context: vec![("aws:ResourceAccount", "111122223333".to_owned())] }
    }

    fn item(action: &'static str, id: &str) -> Self {
        let context = vec![("dynamodb:LeadingKeys", id.to_owned())];
        Self { action, resource: TABLE.to_owned(), context }
    }

    /// Writing a record that is not there.
    fn record(environment: &str) -> Self {
        let mut check = Self::object("s3:PutObject", &format!("underpin/records/{environment}/1.json"));
        check.context.push(("s3:if-none-match", "*".to_owned()));
        check
    }

    fn key(action: &'static str, service: &str) -> Self {
        let context = vec![("kms:ViaService", format!("{service}.eu-west-1.amazonaws.com"))];
        Self { action, resource: KEY.to_owned(), context }
    }

    /// Returns whether `document`, which denies nothing, allows it.
    fn passes(&self, document: &Document) -> bool {
        statements(document).iter().any(|statement| self.meets(statement))
    }

    fn meets(&self, statement: &Value) -> bool {
        assert_eq!(statement["Effect"], "Allow");
        list(&statement["Action"]).iter().any(|action| matches(action, self.action))
            && list(&statement["Resource"]).iter().any(|resource| matches(resource, &self.resource))
            && statement["Condition"].as_object().unwrap().iter().all(|(operator, keys)| {
                keys.as_object()
                    .unwrap()
                    .iter()
                    .all(|(key, wanted)| self.fulfils(operator, key, &list(wanted)))
            })
    }

    fn fulfils(&self, operator: &str, key: &str, wanted: &[String]) -> bool {
        let mut given = self.context.iter().filter(|(name, _)| *name == key).map(|(_, value)| value);
        match operator {
            "StringEquals" => given.any(|value| wanted.contains(value)),
            "Null" => wanted == [given.next().is_none().to_string()],
            "ForAllValues:StringLike" => {
                given.all(|value| wanted.iter().any(|pattern| matches(pattern, value)))
            }
            other => panic!("{other}"),
        }
    }
}

fn statements(document: &Document) -> Vec<Value> {
    document.to_value()["Statement"].as_array().unwrap().clone()
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(many) => many.iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
        one => vec![one.as_str().unwrap().to_owned()],
    }
}

/// Returns whether `text` is like `pattern`, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
            (0..=text.len()).any(|at| text.get(at..).is_some_and(|end| matches(rest, end)))
        }),
    }
}

/// What a person runs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Command {
    Output,
    WorkspaceSelect,
    Init,
    Plan,
    ForceUnlock,
    Apply,
    WorkspaceNew,
    WorkspaceDelete,
    /// `underpin lock release`, and `underpin run`.
    Record,
}

const COMMANDS: [(Command, Level); 9] = [
    (Command::Output, Level::Read),
    (Command::WorkspaceSelect, Level::Read),
    (Command::Init, Level::Read),
    (Command::Plan, Level::Plan),
    (Command::ForceUnlock, Level::Plan),
    (Command::Apply, Level::Apply),
    (Command::WorkspaceNew, Level::Apply),
    (Command::WorkspaceDelete, Level::Apply),
    (Command::Record, Level::Plan),
];

/// Returns every check that AWS makes for what Terraform sends on a command, as its wire log has it.
///
/// The state is above 5 MiB, so it is written in parts.
fn checks(command: Command, locking: Locking, state: &str) -> Vec<Check> {
    let list = || vec![Check::bucket("s3:ListBucket")];
    let get = |key: &str| vec![Check::object("s3:GetObject", key), Check::key("kms:Decrypt", "s3")];
    let put = |key: &str| vec![Check::object("s3:PutObject", key), Check::key("kms:GenerateDataKey", "s3")];
    let item = |action, id: &str| vec![Check::item(action, id), Check::key("kms:Decrypt", "dynamodb")];
    let (lock_object, lock_item) = (format!("{state}.tflock"), format!("{BUCKET}/{state}"));
    let digest_item = format!("{lock_item}-md5");

    let read_digest =
        || if locking.uses_table() { item("dynamodb:GetItem", &digest_item) } else { Vec::new() };
    let read = || [get(state), read_digest()].concat();
    let unlock = || {
        let mut checks = Vec::new();
        if locking.uses_lockfile() {
            checks.extend(get(&lock_object));
            checks.push(Check::object("s3:DeleteObject", &lock_object));
        }
        if locking.uses_table() {
            checks.extend(item("dynamodb:GetItem", &lock_item));
            checks.extend(item("dynamodb:DeleteItem", &lock_item));
        }
        checks
    };
    let hold = || {
        let mut checks = unlock();
        if locking.uses_lockfile() {
            checks.extend(put(&lock_object));
        }
        if locking.uses_table() {
            checks.extend(item("dynamodb:PutItem", &lock_item));
        }
        checks
    };
    let write = || {
        let mut checks = [put(state), get(state)].concat();
        checks.push(Check::object("s3:AbortMultipartUpload", state));
        if locking.uses_table() {
            checks.extend(item("dynamodb:PutItem", &digest_item));
        }
        checks
    };
    let delete = || {
        let mut checks = vec![Check::object("s3:DeleteObject", state)];
        if locking.uses_table() {
            checks.extend(item("dynamodb:DeleteItem", &digest_item));
        }
        checks
    };
    match command {
        // A reader has no right to the digest; Terraform goes on without it.
        Command::Output | Command::Init => [list(), get(state)].concat(),
        Command::WorkspaceSelect => list(),
        Command::Plan => [list(), hold(), read()].concat(),
        Command::ForceUnlock => [list(), unlock()].concat(),
        Command::Apply | Command::WorkspaceNew => [list(), hold(), read(), write()].concat(),
        Command::WorkspaceDelete => [list(), hold(), read(), delete()].concat(),
        Command::Record => {
            let environment = state.split('/').next().unwrap();
            vec![Check::record(environment), Check::key("kms:GenerateDataKey", "s3")]
        }
    }
}

/// Returns the state that a command is about: one of a workspace where it has to be.
fn state(command: Command, environment: &str) -> String {
    match command {
        Command::WorkspaceNew | Command::WorkspaceDelete => {
            format!("{environment}/env:/blue/{environment}/network/vpc.tfstate")
        }
        _ => format!("{environment}/network/vpc.tfstate"),
    }
}

#[test]
fn each_command_works_at_its_level_and_above_and_at_none_below() {
    for locking in MODES {
        for (command, needed) in COMMANDS {
            for level in Level::ALL {
                let policy = policy(level, "dev", locking);
                let denied: Vec<_> = checks(command, locking, &state(command, "dev"))
                    .into_iter()
                    .filter(|check| !check.passes(&policy))
                    .collect();

                assert_eq!(
                    denied.is_empty(),
                    level >= needed,
                    "{level} {command:?} {locking:?}: {denied:#?}"
                );
            }
        }
    }
}

#[test]
fn nothing_in_a_policy_can_be_spared() {
    for locking in MODES {
        for level in Level::ALL {
            let policy = policy(level, "dev", locking);
            let needed: Vec<Check> = COMMANDS
                .iter()
                .filter(|(_, needed)| *needed <= level)
                .flat_map(|(command, _)| checks(*command, locking, &state(*command, "dev")))
                .collect();
            let all = statements(&policy);
            for (at, statement) in all.iter().enumerate() {
                for action in list(&statement["Action"]) {
                    let mut less = all.clone();
                    let rest: Vec<String> =
                        list(&statement["Action"]).into_iter().filter(|other| *other != action).collect();
                    less[at]["Action"] = rest.into();
                    let still_passes = |check: &Check| less.iter().any(|statement| check.meets(statement));

                    let spared = needed.iter().all(still_passes);
                    assert!(!spared, "{level} {locking:?}: {action} in {}", statement["Sid"]);
                }
            }
        }
    }
}

#[test]
fn an_environment_gives_nothing_on_another_whose_name_is_like_its_own() {
    for locking in MODES {
        let mine = policy(Level::Apply, "dev", locking);
        for other in ["dev2", "dev-eu", "dev.tfstate", "de", "prod"] {
            for (command, _) in COMMANDS {
                let theirs = state(command, other);
                // Bucket and key are common to all; theirs are the objects and the items.
                let about_theirs = |check: &Check| {
                    check.resource.contains(&theirs)
                        || check.context.iter().any(|(_, value)| value.contains(&theirs))
                };
                let checks = checks(command, locking, &theirs);

                let passed: Vec<_> =
                    checks.iter().filter(|check| about_theirs(check) && check.passes(&mine)).collect();
                assert!(passed.is_empty(), "{passed:#?}");
            }
        }
    }
}

#[test]
fn who_plans_writes_neither_state_nor_digest() {
    let state = "dev/main.tfstate";
    let digest = format!("{BUCKET}/{state}-md5");
    for locking in MODES {
        let policy = policy(Level::Plan, "dev", locking);
        for check in [
            Check::object("s3:PutObject", state),
            Check::object("s3:DeleteObject", state),
            Check::object("s3:AbortMultipartUpload", state),
            Check::object("s3:DeleteObject", "dev/env:/blue/dev/main.tfstate"),
            Check::item("dynamodb:PutItem", &digest),
            Check::item("dynamodb:DeleteItem", &digest),
        ] {
            assert!(!check.passes(&policy), "{check:?}");
        }
    }
}

#[test]
fn who_reads_takes_no_lock_and_touches_no_table() {
    for locking in MODES {
        let policy = policy(Level::Read, "dev", locking);
        for check in [
            Check::object("s3:PutObject", "dev/main.tfstate.tflock"),
            Check::object("s3:DeleteObject", "dev/main.tfstate.tflock"),
            Check::item("dynamodb:PutItem", "acme-tfstate/dev/main.tfstate"),
            Check::item("dynamodb:DeleteItem", "acme-tfstate/dev/main.tfstate"),
            Check::key("kms:Decrypt", "dynamodb"),
            Check::key("kms:GenerateDataKey", "s3"),
        ] {
            assert!(!check.passes(&policy), "{check:?}");
        }
    }
}

#[test]
fn who_applies_deletes_no_version_no_default_state_and_nothing_of_the_bucket() {
    for locking in MODES {
        let policy = policy(Level::Apply, "dev", locking);
        for check in [
            Check::object("s3:DeleteObject", "dev/main.tfstate"),
            Check::object("s3:DeleteObjectVersion", "dev/env:/blue/dev/main.tfstate"),
            Check::object("s3:PutObject", "underpin/records/dev/1.json"),
            Check::object("s3:DeleteObject", "underpin/records/dev/1.json"),
            Check::object("s3:GetObject", "underpin/records/dev/1.json"),
            Check::record("dev2"),
            Check::object("s3:PutObject", "dev/main.txt"),
            Check::item("dynamodb:DeleteItem", "acme-tfstate/dev/main.tfstate-md5"),
            Check::item("dynamodb:UpdateItem", "acme-tfstate/dev/main.tfstate"),
            Check::item("dynamodb:BatchWriteItem", "acme-tfstate/dev/main.tfstate"),
            Check::bucket("s3:PutBucketPolicy"),
            Check::bucket("s3:ListBucketVersions"),
            Check::key("kms:Decrypt", "ec2"),
            Check { context: Vec::new(), ..Check::key("kms:Decrypt", "s3") },
            Check::key("kms:ScheduleKeyDeletion", "s3"),
        ] {
            assert!(!check.passes(&policy), "{check:?}");
        }
    }
}

#[test]
fn a_bucket_of_the_same_name_in_another_account_gets_no_state() {
    let mut check = Check::object("s3:PutObject", "dev/main.tfstate");
    assert!(check.passes(&policy(Level::Apply, "dev", Locking::Lockfile)));

    check.context = vec![("aws:ResourceAccount", "444455556666".to_owned())];
    assert!(!check.passes(&policy(Level::Apply, "dev", Locking::Lockfile)));
}

#[test]
fn a_policy_with_the_longest_names_is_within_the_limit() {
    let scope = Scope {
        partition: "aws-us-gov".parse().unwrap(),
        account_id: "111122223333".parse().unwrap(),
        region: "us-gov-northeastern-region-1".parse().unwrap(),
        bucket: "b".repeat(63).parse().unwrap(),
        table: "t".repeat(255).parse().unwrap(),
        locking: Locking::Both,
        environment: "e".repeat(63).parse().unwrap(),
    };
    let key = format!("arn:aws-us-gov:kms:{}:111122223333:key/mrk-{}", scope.region, "a".repeat(32));

    for level in Level::ALL {
        let size = document(level, &scope, &key.parse().unwrap()).size();
        assert!(size <= MANAGED_POLICY_LIMIT, "{level}: {size}");
    }
}

#[test]
fn no_part_of_a_scope_can_hold_a_wildcard_or_a_variable() {
    use crate::names::{AccountId, Partition, Region};
    for hostile in ["*", "?", "${aws:username}", "\""] {
        let near = |name: &str| format!("{name}{hostile}");
        assert!(near("dev").parse::<EnvironmentName>().is_err());
        assert!(near("acme").parse::<BucketName>().is_err());
        assert!(near("acme").parse::<TableName>().is_err());
        assert!(near(KEY).parse::<KeyArn>().is_err());
        assert!(near("11112222333").parse::<AccountId>().is_err());
        assert!(near("eu-west-1").parse::<Region>().is_err());
        assert!(near("aws-cn").parse::<Partition>().is_err());
    }
}

#[test]
fn a_reader_reads() {
    insta::assert_snapshot!(pretty(&policy(Level::Read, "dev", Locking::Table)), @r#"
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Sid": "UnderpinListBucket",
          "Effect": "Allow",
          "Action": "s3:ListBucket",
          "Resource": "arn:aws:s3:::acme-tfstate",
          "Condition": {
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinReadState",
          "Effect": "Allow",
          "Action": "s3:GetObject",
          "Resource": "arn:aws:s3:::acme-tfstate/dev/*.tfstate",
          "Condition": {
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinDecrypt",
          "Effect": "Allow",
          "Action": "kms:Decrypt",
          "Resource": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
          "Condition": {
            "StringEquals": {
              "kms:ViaService": "s3.eu-west-1.amazonaws.com"
            }
          }
        }
      ]
    }
    "#);
}

#[test]
fn a_planner_locks_by_an_object() {
    insta::assert_snapshot!(pretty(&policy(Level::Plan, "dev", Locking::Lockfile)), @r#"
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Sid": "UnderpinListBucket",
          "Effect": "Allow",
          "Action": "s3:ListBucket",
          "Resource": "arn:aws:s3:::acme-tfstate",
          "Condition": {
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinReadState",
          "Effect": "Allow",
          "Action": "s3:GetObject",
          "Resource": "arn:aws:s3:::acme-tfstate/dev/*.tfstate",
          "Condition": {
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinLockObject",
          "Effect": "Allow",
          "Action": [
            "s3:GetObject",
            "s3:PutObject",
            "s3:DeleteObject"
          ],
          "Resource": "arn:aws:s3:::acme-tfstate/dev/*.tfstate.tflock",
          "Condition": {
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinWriteRecord",
          "Effect": "Allow",
          "Action": "s3:PutObject",
          "Resource": "arn:aws:s3:::acme-tfstate/underpin/records/dev/*",
          "Condition": {
            "Null": {
              "s3:if-none-match": "false"
            },
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinDecrypt",
          "Effect": "Allow",
          "Action": "kms:Decrypt",
          "Resource": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
          "Condition": {
            "StringEquals": {
              "kms:ViaService": "s3.eu-west-1.amazonaws.com"
            }
          }
        },
        {
          "Sid": "UnderpinEncrypt",
          "Effect": "Allow",
          "Action": "kms:GenerateDataKey",
          "Resource": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
          "Condition": {
            "StringEquals": {
              "kms:ViaService": "s3.eu-west-1.amazonaws.com"
            }
          }
        }
      ]
    }
    "#);
}

#[test]
fn an_applier_writes_state_and_digest() {
    insta::assert_snapshot!(pretty(&policy(Level::Apply, "dev", Locking::Both)), @r#"
    {
      "Version": "2012-10-17",
      "Statement": [
        {
          "Sid": "UnderpinListBucket",
          "Effect": "Allow",
          "Action": "s3:ListBucket",
          "Resource": "arn:aws:s3:::acme-tfstate",
          "Condition": {
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinReadState",
          "Effect": "Allow",
          "Action": "s3:GetObject",
          "Resource": "arn:aws:s3:::acme-tfstate/dev/*.tfstate",
          "Condition": {
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinLockObject",
          "Effect": "Allow",
          "Action": [
            "s3:GetObject",
            "s3:PutObject",
            "s3:DeleteObject"
          ],
          "Resource": "arn:aws:s3:::acme-tfstate/dev/*.tfstate.tflock",
          "Condition": {
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinLockItem",
          "Effect": "Allow",
          "Action": [
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:DeleteItem"
          ],
          "Resource": "arn:aws:dynamodb:eu-west-1:111122223333:table/acme-tfstate-locks",
          "Condition": {
            "ForAllValues:StringLike": {
              "dynamodb:LeadingKeys": "acme-tfstate/dev/*.tfstate"
            }
          }
        },
        {
          "Sid": "UnderpinReadDigest",
          "Effect": "Allow",
          "Action": "dynamodb:GetItem",
          "Resource": "arn:aws:dynamodb:eu-west-1:111122223333:table/acme-tfstate-locks",
          "Condition": {
            "ForAllValues:StringLike": {
              "dynamodb:LeadingKeys": "acme-tfstate/dev/*.tfstate-md5"
            }
          }
        },
        {
          "Sid": "UnderpinWriteRecord",
          "Effect": "Allow",
          "Action": "s3:PutObject",
          "Resource": "arn:aws:s3:::acme-tfstate/underpin/records/dev/*",
          "Condition": {
            "Null": {
              "s3:if-none-match": "false"
            },
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinWriteState",
          "Effect": "Allow",
          "Action": [
            "s3:PutObject",
            "s3:AbortMultipartUpload"
          ],
          "Resource": "arn:aws:s3:::acme-tfstate/dev/*.tfstate",
          "Condition": {
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinDeleteWorkspaceState",
          "Effect": "Allow",
          "Action": "s3:DeleteObject",
          "Resource": "arn:aws:s3:::acme-tfstate/dev/env:/*/dev/*.tfstate",
          "Condition": {
            "StringEquals": {
              "aws:ResourceAccount": "111122223333"
            }
          }
        },
        {
          "Sid": "UnderpinWriteDigest",
          "Effect": "Allow",
          "Action": "dynamodb:PutItem",
          "Resource": "arn:aws:dynamodb:eu-west-1:111122223333:table/acme-tfstate-locks",
          "Condition": {
            "ForAllValues:StringLike": {
              "dynamodb:LeadingKeys": "acme-tfstate/dev/*.tfstate-md5"
            }
          }
        },
        {
          "Sid": "UnderpinDeleteWorkspaceDigest",
          "Effect": "Allow",
          "Action": "dynamodb:DeleteItem",
          "Resource": "arn:aws:dynamodb:eu-west-1:111122223333:table/acme-tfstate-locks",
          "Condition": {
            "ForAllValues:StringLike": {
              "dynamodb:LeadingKeys": "acme-tfstate/dev/env:/*/dev/*.tfstate-md5"
            }
          }
        },
        {
          "Sid": "UnderpinDecrypt",
          "Effect": "Allow",
          "Action": "kms:Decrypt",
          "Resource": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
          "Condition": {
            "StringEquals": {
              "kms:ViaService": [
                "s3.eu-west-1.amazonaws.com",
                "dynamodb.eu-west-1.amazonaws.com"
              ]
            }
          }
        },
        {
          "Sid": "UnderpinEncrypt",
          "Effect": "Allow",
          "Action": "kms:GenerateDataKey",
          "Resource": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
          "Condition": {
            "StringEquals": {
              "kms:ViaService": "s3.eu-west-1.amazonaws.com"
            }
          }
        }
      ]
    }
    "#);
}
