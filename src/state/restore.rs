//! Bringing an earlier version back: as the newest version, with everything that Terraform will look at put right.
//!
//! Three traps wait here. The digest beside the locks must be that of what was written, or nobody's next run gets past
//! it. The serial must be above every earlier one: a plan that was saved at a serial becomes applicable again when the
//! state goes back to it. And whoever wrote meanwhile must not be written over.

use futures_util::TryStreamExt as _;

use super::StateKey;
use super::digest::{Digests, digest};
use super::document::{Document, Head, Unreadable, differ_in_serial_alone, with_serial};
use super::states::{StateStore, Version};
use super::timeline::timeline;
use crate::aws::AwsError;

/// What a state's history says about what may be written next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The newest thing that happened; `None` where nothing ever did.
    pub newest: Option<Version>,
    /// The lineage of the newest version that says one.
    pub lineage: Option<String>,
    /// The highest serial of all versions.
    pub highest: u64,
}

/// A version that can be brought back, and what would be written.
#[derive(Debug)]
pub struct Restoration {
    state: StateKey,
    content: Vec<u8>,
    newest: Option<Version>,
    /// What the version itself says.
    pub head: Head,
    /// The serial that it will have; `None` for one that is encrypted, where it stays as it is.
    pub serial: Option<u64>,
}

/// Why a version can't be brought back.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It can't be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It belongs to another state.
    #[error("it has the lineage `{found}`, and the state has `{expected}`")]
    OtherLineage {
        /// Its lineage.
        found: String,
        /// The state's.
        expected: String,
    },
}

/// Why a restoration did not come to its end, and what stands now.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nothing was written: the state is not what it was when the restoration was shown.
    #[error("the state was written by someone else meanwhile; nothing was changed")]
    Changed,
    /// Nothing was written.
    #[error("failed to read the state under its lock; nothing was changed")]
    Look(#[source] AwsError),
    /// It is not known whether anything was written.
    #[error("failed to write the state")]
    Write(#[source] AwsError),
    /// The state is written, and Terraform does not get past its digest.
    #[error("the state is written as version `{version}`, and its digest is not")]
    Digest {
        /// The id of what was written.
        version: String,
        /// What AWS answered.
        source: AwsError,
    },
    /// The state is written, and could not be read back.
    #[error("the state is written as version `{version}`, and can't be read back")]
    ReadBack {
        /// The id of what was written.
        version: String,
        /// What AWS answered.
        source: AwsError,
    },
    /// What is there is not what was written.
    #[error("the state was written as version `{version}`, and something else is there now")]
    Differs {
        /// The id of what was written.
        version: String,
    },
}

/// Reads a state's history: the beginning of every version.
pub async fn history<S: StateStore>(store: &S, state: &StateKey) -> Result<History, S::Error> {
    let mut timeline = Box::pin(timeline(store, state));
    let mut history = History::default();
    while let Some((version, beginning)) = timeline.try_next().await? {
        let beginning = beginning.unwrap_or_default();
        history.newest.get_or_insert(version);
        history.highest = history.highest.max(beginning.serial.unwrap_or_default());
        history.lineage = history.lineage.or(beginning.lineage.filter(|lineage| !lineage.is_empty()));
    }
    Ok(history)
}

impl Restoration {
    /// Makes what is to be written of a version's bytes, as the state's history demands it.
    ///
    /// # Errors
    /// The version can't be brought back.
    pub fn new(state: StateKey, candidate: Vec<u8>, history: &History) -> Result<Self, Unfit> {
        let document = Document::parse(&candidate)?;
        let (head, is_encrypted) = (document.head().clone(), document.plain().is_none());
        if let Some(expected) = history.lineage.as_ref().filter(|lineage| **lineage != head.lineage)
            && !head.lineage.is_empty()
        {
            return Err(Unfit::OtherLineage { found: head.lineage, expected: expected.clone() });
        }
        let serial = (!is_encrypted).then(|| history.highest.max(head.serial).saturating_add(1));
        let content = match serial {
            Some(serial) => with_serial(candidate, serial)?,
            // What is encrypted says its serial twice, and OpenTofu refuses where the two differ.
            None => candidate,
        };
        Ok(Self { state, content, newest: history.newest.clone(), head, serial })
    }

    /// Returns the state that is restored.
    pub fn state(&self) -> &StateKey {
        &self.state
    }

    /// Returns what would be written.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Returns whether the state is that already, but for its serial.
    pub fn is_done(&self, current: &[u8]) -> bool {
        self.content == current || (self.serial.is_some() && differ_in_serial_alone(&self.content, current))
    }

    /// Writes the state, puts its digest right, and reads it back. The lock on it is ours.
    ///
    /// # Errors
    /// It did not come to its end; the error says what stands.
    pub async fn perform<S: StateStore<Error = AwsError>>(
        self,
        store: &S,
        digests: &Digests,
    ) -> Result<String, RestoreError> {
        let Self { state, content, newest, .. } = self;
        let now = Box::pin(store.versions(&state)).try_next().await.map_err(RestoreError::Look)?;
        if now != newest {
            return Err(RestoreError::Changed);
        }
        let md5 = digest(&content);
        let version = store.write(&state, content).await.map_err(RestoreError::Write)?;
        let settled = digests.settle(&state, &md5).await;
        settled.map_err(|source| RestoreError::Digest { version: version.clone(), source })?;
        let read = store.read(&state, None).await;
        let read = read.map_err(|source| RestoreError::ReadBack { version: version.clone(), source })?;
        match read {
            Some(bytes) if digest(&bytes) == md5 => Ok(version),
            _ => Err(RestoreError::Differs { version }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{BUCKET, Fake, Fault};
    use super::*;

    fn state() -> StateKey {
        StateKey::new("dev/main.tfstate")
    }

    fn content(serial: u64, lineage: &str, rest: &str) -> Vec<u8> {
        format!("{{\"version\":4,\"serial\":{serial},\"lineage\":\"{lineage}\",\"x\":\"{rest}\"}}\n")
            .into_bytes()
    }

    /// A state with the serials 1, 2, 9 and 3: someone pushed by force.
    async fn written(fake: &Fake) {
        for serial in [1, 2, 9, 3] {
            fake.states().write(&state(), content(serial, "l", "kept \\u003c")).await.unwrap();
        }
    }

    async fn restoration(fake: &Fake, candidate: Vec<u8>) -> Result<Restoration, Unfit> {
        let history = history(&fake.states(), &state()).await.unwrap();
        Restoration::new(state(), candidate, &history)
    }

    #[tokio::test]
    async fn what_is_restored_differs_in_its_serial_alone_which_is_above_all() {
        let fake = Fake::default();
        written(&fake).await;
        let digests = Digests::Kept(fake.dynamodb());

        let restoration = restoration(&fake, content(1, "l", "kept \\u003c")).await.unwrap();
        restoration.perform(&fake.states(), &digests).await.unwrap();

        let bytes = fake.states().read(&state(), None).await.unwrap().unwrap();
        assert_eq!(bytes, content(10, "l", "kept \\u003c"));
        let item = &fake.world().items[&format!("{BUCKET}/dev/main.tfstate-md5")];
        assert_eq!(item["Digest"]["S"], digest(&bytes));
    }

    #[tokio::test]
    async fn another_lineage_is_unfit_and_one_that_is_missing_is_not() {
        let fake = Fake::default();
        written(&fake).await;

        let other = restoration(&fake, content(1, "other", "")).await.unwrap_err();
        assert_eq!(other.to_string(), "it has the lineage `other`, and the state has `l`");
        assert!(restoration(&fake, content(1, "", "")).await.is_ok());
        fake.delete_object("dev/main.tfstate");
        assert!(restoration(&fake, content(1, "other", "")).await.is_err());
    }

    #[tokio::test]
    async fn an_encrypted_state_stays_as_it_is() {
        let fake = Fake::default();
        written(&fake).await;
        let encrypted =
            br#"{"serial":2,"lineage":"l","meta":{},"encrypted_data":"AA","encryption_version":"v0"}"#;

        let restoration = restoration(&fake, encrypted.to_vec()).await.unwrap();

        assert_eq!((restoration.serial, restoration.content()), (None, encrypted.as_slice()));
    }

    #[tokio::test]
    async fn what_was_written_meanwhile_is_not_written_over() {
        let fake = Fake::default();
        written(&fake).await;
        let restoration = restoration(&fake, content(1, "l", "")).await.unwrap();
        fake.states().write(&state(), content(4, "l", "by someone else")).await.unwrap();

        let error = restoration.perform(&fake.states(), &Digests::Kept(fake.dynamodb())).await.unwrap_err();

        assert!(matches!(error, RestoreError::Changed), "{error}");
        assert!(fake.world().items.is_empty());
        assert_eq!(fake.calls("PutObject"), 5);
    }

    #[tokio::test]
    async fn a_digest_that_could_not_be_written_is_told_with_what_stands() {
        let fake = Fake::default();
        written(&fake).await;
        let restoration = restoration(&fake, content(1, "l", "")).await.unwrap();
        fake.fail("PutItem", Fault::Deny);

        let error = restoration.perform(&fake.states(), &Digests::Kept(fake.dynamodb())).await.unwrap_err();

        assert_eq!(error.to_string(), "the state is written as version `v5`, and its digest is not");
    }

    #[tokio::test]
    async fn what_is_there_already_is_done() {
        let fake = Fake::default();
        written(&fake).await;

        let restoration = restoration(&fake, content(2, "l", "same")).await.unwrap();

        assert!(restoration.is_done(&content(55, "l", "same")));
        assert!(!restoration.is_done(&content(55, "l", "another")));
    }
}
