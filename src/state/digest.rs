//! The digests of states, which Terraform keeps beside the locks in a table.
//!
//! A digest that is missing is passed over; one that is not the state's makes every run fail for ten seconds and then for
//! good, the first step of a migration included. So a write that Terraform did not make must put it right.

use aws_sdk_dynamodb::types::AttributeValue;
use md5::{Digest as _, Md5};

use super::dynamodb::{DIGEST, DynamoDbLocks, INFO, LOCK_ID};
use super::{LockStore as _, StateKey};
use crate::aws::{AwsError, Class, During};

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

/// The digests of a backend's states.
#[derive(Debug, Clone)]
pub enum Digests {
    /// Terraform writes and checks them.
    Kept(DynamoDbLocks),
    /// Terraform does not look at them any more, and whoever still does, or will again, is stopped by each that is left.
    Left(DynamoDbLocks),
}

/// What is to be thought of the digest of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the state's, or there is none where none is needed.
    Right,
    /// There is none: nothing checks the state.
    Missing,
    /// It is another one, and every run of Terraform fails.
    Wrong,
    /// It is no digest: nothing checks the state.
    Unreadable,
    /// It is left from when locks were kept in the table.
    Stale,
}

impl Digests {
    /// Judges the digest of a state with these bytes, or of one that is not there.
    pub async fn judge(&self, state: &StateKey, digest: Option<&str>) -> Result<Verdict, AwsError> {
        let stored = match self {
            Self::Kept(table) => table.find_digest(state).await?,
            Self::Left(table) => table.find_digest(state).await.or_else(unless_out_of_reach)?,
        };
        Ok(match (self, stored, digest) {
            (Self::Left(_), Some(_), _) => Verdict::Stale,
            (_, Some(StoredDigest::Unreadable), _) => Verdict::Unreadable,
            (_, Some(StoredDigest::Md5(stored)), digest) if Some(stored.as_str()) != digest => Verdict::Wrong,
            (Self::Kept(_), None, Some(_)) => Verdict::Missing,
            (_, _, _) => Verdict::Right,
        })
    }

    /// Removes the digest of a state that is not there.
    pub async fn clear(&self, state: &StateKey) -> Result<(), AwsError> {
        let (Self::Kept(table) | Self::Left(table)) = self;
        table.remove_digest(state).await
    }

    /// Puts the digest of a state right: writes it where Terraform checks it, and removes what is left elsewhere.
    pub async fn settle(&self, state: &StateKey, digest: &str) -> Result<(), AwsError> {
        match self {
            Self::Kept(table) => table.put_digest(state, digest).await,
            Self::Left(table) => match self.judge(state, Some(digest)).await? {
                Verdict::Stale => table.remove_digest(state).await,
                _ => Ok(()),
            },
        }
    }
}

/// Goes without a table that is not there, or may not be read: nobody needs it.
fn unless_out_of_reach(error: AwsError) -> Result<Option<StoredDigest>, AwsError> {
    match error.class {
        Class::NotFound | Class::AccessDenied => Ok(None),
        _ => Err(error),
    }
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

    use super::super::fake::{BUCKET, Fake, Fault};
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
    async fn a_digest_is_judged_and_settled_by_what_terraform_does_with_it() {
        let fake = Fake::default();
        let (kept, left) = (Digests::Kept(fake.dynamodb()), Digests::Left(fake.dynamodb()));
        let (right, wrong) = (digest(b"right"), digest(b"wrong"));
        let judge = async |digests: &Digests| digests.judge(&state(), Some(&right)).await.unwrap();
        assert_eq!((judge(&kept).await, judge(&left).await), (Verdict::Missing, Verdict::Right));
        assert_eq!(kept.judge(&state(), None).await.unwrap(), Verdict::Right);

        fake.dynamodb().put_digest(&state(), &wrong).await.unwrap();
        assert_eq!((judge(&kept).await, judge(&left).await), (Verdict::Wrong, Verdict::Stale));
        assert_eq!(kept.judge(&state(), None).await.unwrap(), Verdict::Wrong);

        kept.settle(&state(), &right).await.unwrap();
        assert_eq!(judge(&kept).await, Verdict::Right);
        left.settle(&state(), &right).await.unwrap();
        assert_eq!((judge(&kept).await, judge(&left).await), (Verdict::Missing, Verdict::Right));
        left.settle(&state(), &right).await.unwrap();
        fake.fail("GetItem", Fault::Deny);
        assert_eq!(judge(&left).await, Verdict::Right);
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
