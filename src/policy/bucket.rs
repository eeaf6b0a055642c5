//! The bucket policy's statements: nothing comes in over a line that others can read.
//!
//! Denials alone: an `Allow` here would let principals in past their own policies. No demand for encryption headers
//! either: OpenTofu 1.10.0 sends none with its lock, and the bucket's default encrypts what comes without.

use crate::names::{BucketName, Partition};

use super::statement::{Principal, Statement};

/// Returns the statements that every bucket of ours has in its policy.
pub fn statements(partition: &Partition, bucket: &BucketName) -> Vec<Statement> {
    let arn = format!("arn:{partition}:s3:::{bucket}");
    let deny = |name| {
        Statement::deny(name)
            .principal(Principal::Everyone)
            .actions(["s3:*"])
            .resources([arn.clone(), format!("{arn}/*")])
    };
    vec![
        deny("DenyPlainHttp").when("Bool", "aws:SecureTransport", ["false".to_owned()]),
        deny("DenyOldTls").when("NumericLessThan", "s3:TlsVersion", ["1.2".to_owned()]),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::super::tests::pretty;
    use super::*;

    #[test]
    fn the_bucket_takes_no_plain_http_and_no_old_tls() {
        let statements = statements(&"aws-cn".parse().unwrap(), &"acme-tfstate".parse().unwrap());

        insta::assert_snapshot!(pretty(&Document::new(statements)), @r#"
        {
          "Version": "2012-10-17",
          "Statement": [
            {
              "Sid": "UnderpinDenyPlainHttp",
              "Effect": "Deny",
              "Principal": "*",
              "Action": "s3:*",
              "Resource": [
                "arn:aws-cn:s3:::acme-tfstate",
                "arn:aws-cn:s3:::acme-tfstate/*"
              ],
              "Condition": {
                "Bool": {
                  "aws:SecureTransport": "false"
                }
              }
            },
            {
              "Sid": "UnderpinDenyOldTls",
              "Effect": "Deny",
              "Principal": "*",
              "Action": "s3:*",
              "Resource": [
                "arn:aws-cn:s3:::acme-tfstate",
                "arn:aws-cn:s3:::acme-tfstate/*"
              ],
              "Condition": {
                "NumericLessThan": {
                  "s3:TlsVersion": "1.2"
                }
              }
            }
          ]
        }
        "#);
    }
}
