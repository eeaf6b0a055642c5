//! The bucket's objects, as locks, records and histories need them: listed a page at a time, read up to a limit,
//! written once. Every call names the account that the bucket must be in.

use std::time::SystemTime;

use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{BucketVersioningStatus, Object};
use futures_util::StreamExt as _;
use futures_util::stream;

use crate::aws::{AwsError, Class, Clients, During, Optional};
use crate::names::{AccountId, BucketName};

/// How many objects are read side by side.
pub(super) const SIDE_BY_SIDE: usize = 16;
/// The folder of what underpin itself keeps in a bucket. Its records can be many.
const OWN: &str = "underpin/";
/// The most that is read of an object that should be a few hundred bytes.
const LONGEST: u64 = 65_536;
/// How much of a state is read for what stands at its beginning.
const BEGINNING: u64 = 2_047;

/// A bucket and the account that it must be in.
#[derive(Debug, Clone)]
pub struct Objects {
    /// The clients.
    pub aws: Clients,
    /// The bucket.
    pub bucket: BucketName,
    /// The account that owns it.
    pub account_id: AccountId,
}

/// A listing, read a page at a time.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    objects: &'a Objects,
    prefix: &'a str,
    after: Option<String>,
    next: Page,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Page {
    First,
    Token(String),
    Behind(String),
    None,
}

/// An object, as a listing tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) etag: String,
    pub(super) written: Option<SystemTime>,
}

/// A small object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) etag: String,
    pub(super) written: Option<SystemTime>,
    /// The content, or the length of one that is too long.
    pub(super) content: Result<Vec<u8>, u64>,
}

/// How writing an object that must not be there ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Create {
    /// It is written, and has this `ETag`.
    Written(String),
    /// There is one already.
    Exists,
}

/// When a state was last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// When.
    pub at: SystemTime,
    /// How long it is.
    pub size: u64,
}

impl Objects {
    /// Lists the objects whose keys begin with `prefix` and come after `after`; without a prefix all but our own.
    pub(super) fn list<'a>(&'a self, prefix: &'a str, after: Option<String>) -> Listing<'a> {
        Listing { objects: self, prefix, after, next: Page::First }
    }

    /// Returns the folders right below `prefix`, each with its `/`.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>, AwsError> {
        let request = self.aws.s3.list_objects_v2().bucket(self.bucket.as_str()).prefix(prefix);
        let request = request.expected_bucket_owner(self.account_id.as_str());
        let mut pages = request.delimiter("/").into_paginator().send();
        let mut folders = Vec::new();
        while let Some(answer) = pages.next().await {
            let common = answer.during("s3:ListObjectsV2")?.common_prefixes.unwrap_or_default();
            folders.extend(common.into_iter().filter_map(|common| common.prefix));
        }
        Ok(folders)
    }

    /// Reads a small object; `None` where there is none.
    pub(super) async fn read(&self, key: &str) -> Result<Option<Read>, AwsError> {
        read(self.get(key)).await
    }

    /// Reads one version of a small object; `None` where it is gone.
    pub(super) async fn read_version(&self, key: &str, version: &str) -> Result<Option<Read>, AwsError> {
        read(self.get(key).version_id(version)).await
    }

    /// Reads many small objects side by side; those that are gone by now are left out.
    pub(super) async fn read_all(&self, listed: Vec<Listed>) -> Vec<(Listed, Result<Read, AwsError>)> {
        stream::iter(listed)
            .map(async |listed| {
                let read = self.read(&listed.key).await;
                (listed, read)
            })
            .buffer_unordered(SIDE_BY_SIDE)
            .filter_map(async |(listed, read)| read.transpose().map(|read| (listed, read)))
            .collect()
            .await
    }

    /// Returns when an object was last written; `None` where there is none.
    pub async fn written(&self, key: &str) -> Result<Option<Written>, AwsError> {
        const CALL: &str = "s3:HeadObject";
        let request = self.aws.s3.head_object().bucket(self.bucket.as_str()).key(key);
        let request = request.expected_bucket_owner(self.account_id.as_str());
        let Some(answer) = request.send().await.during(CALL).optional()? else { return Ok(None) };
        let at =
            answer.last_modified.and_then(moment).ok_or_else(|| AwsError::missing(CALL, "Last-Modified"))?;
        Ok(Some(Written { at, size: length(answer.content_length) }))
    }

    /// Reads the beginning of a version of a state that is `size` bytes long; `None` where it is gone.
    pub(super) async fn read_beginning(
        &self,
        key: &str,
        version: Option<&str>,
        size: u64,
    ) -> Result<Option<String>, AwsError> {
        const CALL: &str = "s3:GetObject";
        // An empty object has no range that can be asked for.
        let request = self.get(key).set_version_id(version.map(str::to_owned));
        let request = if size == 0 { request } else { request.range(format!("bytes=0-{BEGINNING}")) };
        let Some(answer) = request.send().await.during(CALL).optional()? else { return Ok(None) };
        let body = answer.body.collect().await.map_err(|error| AwsError::garbled(CALL, error.to_string()))?;
        Ok(Some(String::from_utf8_lossy(&body.into_bytes()).into_owned()))
    }

    /// Returns whether the bucket keeps the versions of its objects.
    pub async fn keeps_versions(&self) -> Result<bool, AwsError> {
        let request = self.aws.s3.get_bucket_versioning().bucket(self.bucket.as_str());
        let request = request.expected_bucket_owner(self.account_id.as_str());
        let answer = request.send().await.during("s3:GetBucketVersioning")?;
        Ok(answer.status == Some(BucketVersioningStatus::Enabled))
    }

    /// Writes an object that must not be there.
    pub(super) async fn create(&self, key: &str, content: &str) -> Result<Create, AwsError> {
        self.create_bytes(key, content.as_bytes().to_vec(), "application/json").await
    }

    /// Writes an object of any kind that must not be there.
    pub(super) async fn create_bytes(
        &self,
        key: &str,
        content: Vec<u8>,
        content_type: &str,
    ) -> Result<Create, AwsError> {
        const CALL: &str = "s3:PutObject";
        let request = self.aws.s3.put_object().bucket(self.bucket.as_str()).key(key);
        let request = request.expected_bucket_owner(self.account_id.as_str()).if_none_match("*");
        let request = request.content_type(content_type).body(ByteStream::from(content));
        match request.send().await.during(CALL) {
            Ok(answer) => answer.e_tag.map(Create::Written).ok_or_else(|| AwsError::missing(CALL, "ETag")),
            Err(error) if failed_condition(&error) => Ok(Create::Exists),
            Err(error) => Err(error),
        }
    }

    /// Deletes an object while its `ETag` is this one; returns whether it did.
    pub(super) async fn delete(&self, key: &str, etag: &str) -> Result<bool, AwsError> {
        let request = self.aws.s3.delete_object().bucket(self.bucket.as_str()).key(key);
        let request = request.expected_bucket_owner(self.account_id.as_str()).if_match(etag);
        match request.send().await.during("s3:DeleteObject") {
            Ok(_) => Ok(true),
            Err(error) if failed_condition(&error) || error.class == Class::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn get(&self, key: &str) -> GetObjectFluentBuilder {
        let request = self.aws.s3.get_object().bucket(self.bucket.as_str()).key(key);
        request.expected_bucket_owner(self.account_id.as_str())
    }
}

impl Listing<'_> {
    /// Reads the next page; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Listed>>, AwsError> {
        const CALL: &str = "s3:ListObjectsV2";
        let Objects { aws, bucket, account_id } = self.objects;
        let request = aws.s3.list_objects_v2().bucket(bucket.as_str()).prefix(self.prefix);
        let request = request.expected_bucket_owner(account_id.as_str());
        let request = match &self.next {
            Page::First => request.set_start_after(self.after.take()),
            Page::Token(token) => request.continuation_token(token),
            Page::Behind(key) => request.start_after(key),
            Page::None => return Ok(None),
        };
        let answer = request.send().await.during(CALL)?;
        let mut objects = answer.contents.unwrap_or_default();
        let mut next = answer.next_continuation_token.map_or(Page::None, Page::Token);
        let is_own = |object: &Object| object.key().is_some_and(|key| key.starts_with(OWN));
        if self.prefix.is_empty() && objects.last().is_some_and(is_own) && next != Page::None {
            next = Page::Behind(format!("{OWN}{}", char::MAX));
        }
        if next != Page::None && next == self.next {
            return Err(AwsError::garbled(CALL, "the listing does not go on".to_owned()));
        }
        self.next = next;
        if self.prefix.is_empty() {
            objects.retain(|object| !is_own(object));
        }
        let listed = objects.into_iter().map(|object| {
            Ok(Listed {
                key: object.key.ok_or_else(|| AwsError::missing(CALL, "Key"))?,
                etag: object.e_tag.ok_or_else(|| AwsError::missing(CALL, "ETag"))?,
                written: object.last_modified.and_then(moment),
            })
        });
        listed.collect::<Result<_, _>>().map(Some)
    }
}

async fn read(request: GetObjectFluentBuilder) -> Result<Option<Read>, AwsError> {
    const CALL: &str = "s3:GetObject";
    let Some(answer) = request.send().await.during(CALL).optional()? else { return Ok(None) };
    let length = length(answer.content_length);
    let content = if length > LONGEST {
        Err(length)
    } else {
        let body = answer.body.collect().await.map_err(|error| AwsError::garbled(CALL, error.to_string()))?;
        Ok(body.to_vec())
    };
    Ok(Some(Read {
        etag: answer.e_tag.ok_or_else(|| AwsError::missing(CALL, "ETag"))?,
        written: answer.last_modified.and_then(moment),
        content,
    }))
}

/// Returns a moment of the SDK's as one of the standard library's; `None` where that has no room for it.
pub(super) fn moment(moment: DateTime) -> Option<SystemTime> {
    SystemTime::try_from(moment).ok()
}

pub(super) fn length(told: Option<i64>) -> u64 {
    told.and_then(|length| u64::try_from(length).ok()).unwrap_or_default()
}

fn failed_condition(error: &AwsError) -> bool {
    error.has_code("PreconditionFailed") || error.status == Some(412)
}
