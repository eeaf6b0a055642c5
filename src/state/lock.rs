//! A lock as it was read: its parts, what they say, and what a release of it is conditional on.

use std::fmt;
use std::time::SystemTime;

use aws_sdk_dynamodb::types::AttributeValue;

use super::{LockInfo, Malformed, StateKey};

/// The kinds of locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A `.tflock` object beside the state.
    S3,
    /// An item in a DynamoDB table.
    DynamoDb,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "s3",
            Self::DynamoDb => "dynamodb",
        })
    }
}

/// A lock on one state: one part for each place where it is held.
#[derive(Debug, Clone, PartialEq)]
pub struct Lock {
    /// The state.
    pub state: StateKey,
    /// The parts, never none, in the order in which Terraform takes them.
    pub parts: Vec<Part>,
}

/// What one place holds of a lock.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The kind of the place.
    pub kind: Kind,
    /// The content, as it is.
    pub content: String,
    /// What the content says.
    pub info: Result<LockInfo, Unread>,
    /// When the place says that it was written, where it says so.
    pub written: Option<SystemTime>,
    /// What a release is conditional on.
    pub(super) proof: Proof,
}

/// Why what a lock says is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It can't be understood.
    #[error(transparent)]
    Malformed(Malformed),
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Denied(String),
}

/// What was read, as far as a place can compare it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Proof {
    /// The whole `Info`; `None` where the item has none.
    Info(Option<AttributeValue>),
    /// The object's `ETag`.
    ETag(String),
}

impl Part {
    /// Makes a part of content that was read.
    pub(super) fn read(kind: Kind, content: &[u8], written: Option<SystemTime>, proof: Proof) -> Self {
        let info = LockInfo::parse(content).map_err(Unread::Malformed);
        Self { kind, content: String::from_utf8_lossy(content).into_owned(), info, written, proof }
    }

    /// Makes a part of content that says nothing.
    pub(super) fn unread(kind: Kind, why: Unread, written: Option<SystemTime>, proof: Proof) -> Self {
        Self { kind, content: String::new(), info: Err(why), written, proof }
    }
}

impl Lock {
    /// Makes a lock of one part.
    pub(super) fn of(state: StateKey, part: Part) -> Self {
        Self { state, parts: vec![part] }
    }

    /// Returns what the lock says of its holder, by the first part that says anything.
    pub fn info(&self) -> Option<&LockInfo> {
        self.parts.iter().find_map(|part| part.info.as_ref().ok())
    }

    /// Returns the lock's id.
    pub fn id(&self) -> Option<&str> {
        self.info().map(|info| info.id.as_str())
    }

    /// Returns when it was taken: by the place's clock where that is known, else by the holder's.
    pub fn taken_at(&self) -> Option<SystemTime> {
        let written = self.parts.iter().find_map(|part| part.written);
        written.or_else(|| self.info().and_then(LockInfo::created_at))
    }

    /// Returns the part of this kind.
    pub fn part(&self, kind: Kind) -> Option<&Part> {
        self.parts.iter().find(|part| part.kind == kind)
    }

    /// Returns whether `other` is this very lock, as far as the places can tell.
    pub fn is_same(&self, other: &Self) -> bool {
        self.state == other.state
            && self.parts.len() == other.parts.len()
            && self
                .parts
                .iter()
                .all(|part| other.part(part.kind).is_some_and(|other| other.proof == part.proof))
    }

    /// Adds what another place holds of the lock on the same state.
    pub(super) fn join(&mut self, other: Self) {
        self.parts.extend(other.parts);
        self.parts.sort_by_key(|part| part.kind);
    }
}
