//! The key policy's statements: who may administer the key, and through which services it may be used.
//!
//! The principal of each is the account's root, which gives nobody anything: it lets IAM policies decide, within what
//! the statement allows. So an administrator can't read a state by way of the key, and nobody uses it directly.

use crate::names::{AccountId, Partition, Region};

use super::statement::{Principal, Statement};
use super::{VIA_SERVICE, via_service};

/// The administrators' actions of AWS's own default policy, without those that use the key or hand its use on.
///
/// `PutKeyPolicy` is among them, so the account can't lock itself out. `CreateGrant` is not: who may create any grant may
/// decrypt.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html>
const ADMINISTRATION: [&str; 15] = [
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:Describe*",
    "kms:Disable*",
    "kms:Enable*",
    "kms:Get*",
    "kms:List*",
    "kms:Put*",
    "kms:Revoke*",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:Update*",
];

/// With `CreateGrant`, what `DynamoDB` needs of a customer managed key; S3 needs less.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html>
const USE: [&str; 5] =
    ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"];

/// Returns the statements of the key's policy.
pub fn statements(partition: &Partition, account_id: &AccountId, region: &Region) -> Vec<Statement> {
    let root = format!("arn:{partition}:iam::{account_id}:root");
    let allow = |name| {
        Statement::allow(name).principal(Principal::Arns(vec![root.clone()])).resources(["*".to_owned()])
    };
    let s3 = via_service(partition, region, "s3");
    let dynamodb = via_service(partition, region, "dynamodb");
    vec![
        allow("Administration").actions(ADMINISTRATION),
        allow("UseThroughServices").actions(USE).when(
            "StringEquals",
            VIA_SERVICE,
            s3.into_iter().chain(dynamodb.clone()),
        ),
        allow("GrantsThroughDynamoDb")
            .actions(["kms:CreateGrant"])
            .when("StringEquals", VIA_SERVICE, dynamodb)
            .when("Bool", "kms:GrantIsForAWSResource", ["true".to_owned()]),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::pretty;
    use super::super::{Document, KEY_POLICY_LIMIT};
    use super::*;

    #[test]
    fn the_account_administers_the_key_and_its_services_use_it() {
        let account_id = "111122223333".parse().unwrap();
        let statements = statements(&"aws".parse().unwrap(), &account_id, &"eu-west-1".parse().unwrap());
        let document = Document::new(statements);

        insta::assert_snapshot!(pretty(&document), @r#"
        {
          "Version": "2012-10-17",
          "Statement": [
            {
              "Sid": "UnderpinAdministration",
              "Effect": "Allow",
              "Principal": {
                "AWS": "arn:aws:iam::111122223333:root"
              },
              "Action": [
                "kms:CancelKeyDeletion",
                "kms:CreateAlias",
                "kms:DeleteAlias",
                "kms:Describe*",
                "kms:Disable*",
                "kms:Enable*",
                "kms:Get*",
                "kms:List*",
                "kms:Put*",
                "kms:Revoke*",
                "kms:RotateKeyOnDemand",
                "kms:ScheduleKeyDeletion",
                "kms:TagResource",
                "kms:UntagResource",
                "kms:Update*"
              ],
              "Resource": "*"
            },
            {
              "Sid": "UnderpinUseThroughServices",
              "Effect": "Allow",
              "Principal": {
                "AWS": "arn:aws:iam::111122223333:root"
              },
              "Action": [
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:Encrypt",
                "kms:GenerateDataKey*",
                "kms:ReEncrypt*"
              ],
              "Resource": "*",
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
              "Sid": "UnderpinGrantsThroughDynamoDb",
              "Effect": "Allow",
              "Principal": {
                "AWS": "arn:aws:iam::111122223333:root"
              },
              "Action": "kms:CreateGrant",
              "Resource": "*",
              "Condition": {
                "Bool": {
                  "kms:GrantIsForAWSResource": "true"
                },
                "StringEquals": {
                  "kms:ViaService": "dynamodb.eu-west-1.amazonaws.com"
                }
              }
            }
          ]
        }
        "#);
        assert!(document.size() < KEY_POLICY_LIMIT);
    }

    #[test]
    fn who_administers_the_key_can_neither_use_it_nor_hand_its_use_on() {
        let uses = [
            "CreateGrant",
            "Decrypt",
            "DeriveSharedSecret",
            "Encrypt",
            "GenerateDataKey",
            "GenerateDataKeyWithoutPlaintext",
            "GenerateMac",
            "ReEncryptFrom",
            "ReEncryptTo",
            "Sign",
            "Verify",
        ];
        for action in ADMINISTRATION {
            let action = action.strip_prefix("kms:").unwrap();
            let verb = action.strip_suffix('*').unwrap_or(action);
            assert!(!uses.iter().any(|used| used.starts_with(verb)), "{action}");
        }
        assert!("PutKeyPolicy".starts_with("Put") && ADMINISTRATION.contains(&"kms:Put*"));
    }
}
