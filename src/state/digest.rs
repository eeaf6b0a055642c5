//! The digests of states, which Terraform keeps beside the locks in a table.
//!
//! A digest that is missing is passed over; one that is not the state's makes every run fail for ten seconds and then for
//! good, the first step of a migration included. So a write that Terraform did not make must put it right.

use aws_sdk_dynamodb::types::AttributeValue;
use md5::{Digest as _, Md5};

use super::dynamodb::{DIGEST, DynamoDbLocks, INFO, LOCK_ID};
use super::{LockStore as _, StateKey};
use crate::aws::{AwsError, During};

/// What a state's digest item says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredDigest {
    /// This MD5, in small letters.
    Md5(String),
    /// Something that is no MD5: Terraform passes over it.
    Unreadable,
}

/// Returns the digest of a state's bytes as Terraform spells it.
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(32);
    for byte in Md5::digest(bytes) {
        // Writing to a string can't fail.
        let _written = write!(text, "{byte:02x}").is_ok();
    }
    text
}

impl DynamoDbLocks {
    /// Reads the digest of a state; `None` where there is none.
    pub async fn find_digest(&self, state: &StateKey) -> Result<Option<StoredDigest>, AwsError> {
        let answer = self
            .aws
            .dynamodb
            .get_item()
            .table_name(self.table.as_str())
            .key(LOCK_ID, self.digest_id(state))
            .consistent_read(true)
            .projection_expression("#id, #digest")
            .expression_attribute_names("#id", LOCK_ID)
            .expression_attribute_names("#digest", DIGEST)
            .send()
            .await
            .during("dynamodb:GetItem")?;
        let stored = answer.item.and_then(|mut item| item.remove(DIGEST));
        Ok(stored.map(|stored| match stored {
            AttributeValue::S(text) if is_md5(&text) => StoredDigest::Md5(text.to_ascii_lowercase()),
            _ => StoredDigest::Unreadable,
        }))
    }

    /// Writes the digest of a state; never over a lock, as the item may be that of a state called `foo-md5`.
    pub async fn put_digest(&self, state: &StateKey, digest: &str) -> Result<(), AwsError> {
        self.aws
            .dynamodb
            .put_item()
            .table_name(self.table.as_str())
            .item(LOCK_ID, self.digest_id(state))
            .item(DIGEST, AttributeValue::S(digest.to_owned()))
            .condition_expression("attribute_not_exists(#info)")
            .expression_attribute_names("#info", INFO)
            .send()
            .await
            .during("dynamodb:PutItem")
            .map(drop)
    }

    /// Removes the digest of a state; a lock never.
    pub async fn remove_digest(&self, state: &StateKey) -> Result<(), AwsError> {
        self.aws
            .dynamodb
            .delete_item()
            .table_name(self.table.as_str())
            .key(LOCK_ID, self.digest_id(state))
            .condition_expression("attribute_not_exists(#info)")
            .expression_attribute_names("#info", INFO)
            .send()
            .await
            .during("dynamodb:DeleteItem")
            .map(drop)
    }

    fn digest_id(&self, state: &StateKey) -> AttributeValue {
        AttributeValue::S(format!("{}-md5", self.path(state)))
    }
}

fn is_md5(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fake::{BUCKET, Fake};
    use super::*;

    fn state() -> StateKey {
        StateKey::new("dev/main.tfstate")
    }

    #[test]
    fn a_digest_is_spelled_as_terraform_spells_it() {
        assert_eq!(digest(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(digest(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[tokio::test]
    async fn a_digest_that_is_put_is_found_and_removed() {
        let fake = Fake::default();
        let table = fake.dynamodb();
        assert_eq!(table.find_digest(&state()).await.unwrap(), None);

        table.put_digest(&state(), &digest(b"abc")).await.unwrap();

        assert_eq!(table.find_digest(&state()).await.unwrap(), Some(StoredDigest::Md5(digest(b"abc"))));
        assert!(fake.world().items.contains_key(&format!("{BUCKET}/dev/main.tfstate-md5")));
        table.remove_digest(&state()).await.unwrap();
        assert!(fake.world().items.is_empty());
        table.remove_digest(&state()).await.unwrap();
    }

    #[tokio::test]
    async fn what_terraform_can_not_read_is_said_and_large_letters_are_read() {
        let fake = Fake::default();
        let id = format!("{BUCKET}/{}-md5", state());
        for (stored, expected) in [
            (json!({ "S": "900150983CD24FB0D6963F7D28E17F72" }), StoredDigest::Md5(digest(b"abc"))),
            (json!({ "S": "none" }), StoredDigest::Unreadable),
            (json!({ "N": "1" }), StoredDigest::Unreadable),
        ] {
            fake.put_item(&id, &json!({ "Digest": stored }));
            assert_eq!(fake.dynamodb().find_digest(&state()).await.unwrap(), Some(expected));
        }
    }

    #[tokio::test]
    async fn a_lock_in_the_place_of_a_digest_stays() {
        let fake = Fake::default();
        let id = format!("{BUCKET}/{}-md5", state());
        fake.put_item(&id, &json!({ "Info": { "S": "{}" } }));
        let table = fake.dynamodb();

        assert_eq!(table.find_digest(&state()).await.unwrap(), None);
        assert!(table.put_digest(&state(), &digest(b"")).await.is_err());
        assert!(table.remove_digest(&state()).await.is_err());

        assert!(fake.world().items[&id].contains_key("Info"));
    }
}
