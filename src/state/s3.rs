//! Locks as `.tflock` objects beside the states: what Terraform calls `use_lockfile`.
//!
//! Taking rests on `If-None-Match: *`, releasing on `If-Match`; Terraform's own release is unconditional, and the time
//! between its read and its delete is why ours is not.

use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join_all;

use super::lock::{Kind, Lock, Part, Proof, Unread};
use super::objects::{Create, Listed, Objects, Read};
use super::{Elsewhere, Found, LockInfo, LockStore, Malformed, Release, Search, StateKey, Take};
use crate::aws::wait::{BUCKET_FREE, retry_while};
use crate::aws::{AwsError, Class};

/// How often a lock is tried for that was held and, when looked at, was not.
const MOST_TRIES: usize = 5;

/// The lock objects of one bucket.
#[derive(Debug, Clone)]
pub struct S3Locks(pub Objects);

impl LockStore for S3Locks {
    type Error = AwsError;

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::S3]
    }

    fn path(&self, state: &StateKey) -> String {
        format!("{}/{state}", self.0.bucket)
    }

    async fn list<'a>(&'a self, search: Search<'a>, found: Found<'a>) -> Result<Elsewhere, AwsError> {
        let found = Mutex::new(found);
        let tell = |lock| found.lock().unwrap_or_else(PoisonError::into_inner)(lock);
        let listings = search.prefixes.iter().map(async |prefix| {
            let mut pages = self.0.list(prefix, None);
            while let Some(page) = pages.next().await? {
                let mut unknown = Vec::new();
                for object in page {
                    let Some(state) = StateKey::of_lockfile(&object.key) else { continue };
                    match known_part(search, &state, &object) {
                        Some(part) => tell(Lock::of(state, part)),
                        None => unknown.push(object),
                    }
                }
                for (object, read) in self.0.read_all(unknown).await {
                    lock(object, read)?.map(tell);
                }
            }
            Ok(())
        });
        try_join_all(listings).await?;
        Ok(Elsewhere::default())
    }

    async fn find(&self, state: &StateKey) -> Result<Option<Lock>, AwsError> {
        let read = self.0.read(&state.lockfile()).await?;
        Ok(read.map(|read| Lock::of(state.clone(), read_part(read))))
    }

    async fn take(&self, state: &StateKey, info: &LockInfo) -> Result<Take, AwsError> {
        let content = info.to_json();
        for _ in 0..MOST_TRIES {
            // S3 answers 409 while a delete of the same object is under way.
            let busy = |error: &AwsError| error.class == Class::Conflict;
            let key = state.lockfile();
            let created = retry_while(BUCKET_FREE, busy, || self.0.create(&key, &content)).await?;
            if let Create::Written(etag) = created {
                let part = Part::read(Kind::S3, content.as_bytes(), None, Proof::ETag(etag));
                return Ok(Take::Taken(Lock::of(state.clone(), part)));
            }
            match self.find(state).await? {
                // The answer to an earlier attempt was lost.
                Some(lock) if lock.id() == Some(&info.id) => return Ok(Take::Taken(lock)),
                Some(lock) => return Ok(Take::Held(lock)),
                // Released in between.
                None => {}
            }
        }
        let what = format!("the object `{}` is said to be there, and can't be read", state.lockfile());
        Err(AwsError::garbled("s3:PutObject", what))
    }

    async fn release(&self, lock: &Lock) -> Result<Release, AwsError> {
        let Some(Part { proof: Proof::ETag(etag), .. }) = lock.part(Kind::S3) else {
            return Ok(Release::Gone);
        };
        let key = lock.state.lockfile();
        let busy = |error: &AwsError| error.class == Class::Conflict;
        if retry_while(BUCKET_FREE, busy, || self.0.delete(&key, etag)).await? {
            return Ok(Release::Released);
        }
        match self.find(&lock.state).await? {
            Some(other) => Ok(Release::Changed(other)),
            None => Ok(Release::Gone),
        }
    }
}

/// Returns what was read before of a lock object that has not changed since.
fn known_part(search: Search<'_>, state: &StateKey, object: &Listed) -> Option<Part> {
    let part = search.known?.get(state)?.part(Kind::S3)?;
    (part.proof == Proof::ETag(object.etag.clone())).then(|| part.clone())
}

/// Makes a lock of an object that was listed, readable or not.
fn lock(listed: Listed, read: Result<Read, AwsError>) -> Result<Option<Lock>, AwsError> {
    let Some(state) = StateKey::of_lockfile(&listed.key) else { return Ok(None) };
    let part = match read {
        Ok(read) => read_part(read),
        // One that is encrypted out of our reach is held all the same.
        Err(error) if matches!(error.class, Class::AccessDenied | Class::Other) => {
            let why = Unread::Denied(error.to_string());
            Part::unread(Kind::S3, why, listed.written, Proof::ETag(listed.etag))
        }
        Err(error) => return Err(error),
    };
    Ok(Some(Lock::of(state, part)))
}

fn read_part(Read { etag, written, content }: Read) -> Part {
    let proof = Proof::ETag(etag);
    match content {
        Ok(content) => Part::read(Kind::S3, &content, written, proof),
        Err(length) => {
            let why = Unread::Malformed(Malformed::TooLong(length));
            Part::unread(Kind::S3, why, written, proof)
        }
    }
}
