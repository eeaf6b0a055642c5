//! Locks as items of a DynamoDB table, beside the digests of the states.
//!
//! A lock and a digest share the table's only key, and a state may be called `foo-md5`: what an item is, its attributes
//! tell and never its name. Every read is consistent, as Terraform's are.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_dynamodb::operation::scan::ScanOutput;
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;

use super::lock::{Kind, Lock, Part, Proof, Unread};
use super::{Elsewhere, Found, LockInfo, LockStore, Malformed, Release, Search, StateKey, Take};
use crate::aws::{AwsError, Clients, During};
use crate::names::{BucketName, TableName};

/// The attribute that Terraform keeps its items under: the table's only key.
pub(super) const LOCK_ID: &str = "LockID";
/// The attribute that makes an item a lock.
pub(super) const INFO: &str = "Info";
/// The attribute that makes an item a digest.
pub(super) const DIGEST: &str = "Digest";
/// The call that finds locks.
const SCAN: &str = "dynamodb:Scan";
/// How many parts of a table with more than one page are read side by side.
const SEGMENTS: i32 = 4;
/// How often a lock is tried for that was held and, when looked at, was not.
const MOST_TRIES: usize = 5;

/// A table of locks on the states of one bucket.
#[derive(Debug, Clone)]
pub struct DynamoDbLocks {
    /// The clients.
    pub aws: Clients,
    /// The table.
    pub table: TableName,
    /// The bucket whose states are locked: every item's key begins with it.
    pub bucket: BucketName,
}

type Item = HashMap<String, AttributeValue>;

impl LockStore for DynamoDbLocks {
    type Error = AwsError;

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::DynamoDb]
    }

    fn path(&self, state: &StateKey) -> String {
        format!("{}/{state}", self.bucket)
    }

    async fn list<'a>(&'a self, search: Search<'a>, found: Found<'a>) -> Result<Elsewhere, AwsError> {
        let telling = Mutex::new(Telling { search, found, elsewhere: 0 });
        let tell = |page: ScanOutput| {
            let mut telling = telling.lock().unwrap_or_else(PoisonError::into_inner);
            for item in page.items.unwrap_or_default() {
                telling.tell(self.read(&item)?);
            }
            Ok(())
        };
        let first = self.scan().send().await.during(SCAN)?;
        if first.scanned_count == 0 {
            // Nothing in it tells what kind of table it is: one with another key refuses this.
            self.find(&StateKey::new("")).await?;
        }
        if first.last_evaluated_key.is_none() {
            tell(first)?;
        } else {
            // More than a page: read it anew, in parts side by side.
            try_join_all((0..SEGMENTS).map(|segment| self.scan_segment(segment, &tell))).await?;
        }
        let telling = telling.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Elsewhere(telling.elsewhere))
    }

    async fn find(&self, state: &StateKey) -> Result<Option<Lock>, AwsError> {
        let answer = self
            .aws
            .dynamodb
            .get_item()
            .table_name(self.table.as_str())
            .key(LOCK_ID, self.lock_id(state))
            .consistent_read(true)
            .projection_expression("#id, #info, #digest")
            .expression_attribute_names("#id", LOCK_ID)
            .expression_attribute_names("#info", INFO)
            .expression_attribute_names("#digest", DIGEST)
            .send()
            .await
            .during("dynamodb:GetItem")?;
        let lock = answer.item.filter(is_lock).map(|item| Lock::of(state.clone(), read_part(&item)));
        Ok(lock)
    }

    async fn take(&self, state: &StateKey, info: &LockInfo) -> Result<Take, AwsError> {
        let content = info.to_json();
        for _ in 0..MOST_TRIES {
            let refused = match self.put(state, &content).await {
                Ok(()) => {
                    let proof = Proof::Info(Some(AttributeValue::S(content.clone())));
                    let part = Part::read(Kind::DynamoDb, content.as_bytes(), None, proof);
                    return Ok(Take::Taken(Lock::of(state.clone(), part)));
                }
                Err(error) => error,
            };
            if !is_condition(&refused) {
                return Err(refused);
            }
            match self.find(state).await? {
                // The answer to an earlier attempt was lost.
                Some(lock) if lock.id() == Some(&info.id) => return Ok(Take::Taken(lock)),
                Some(lock) => return Ok(Take::Held(lock)),
                // Released in between.
                None => {}
            }
        }
        let what = format!("the item `{}` is there, and is no lock", self.path(state));
        Err(AwsError::garbled("dynamodb:PutItem", what))
    }

    async fn release(&self, lock: &Lock) -> Result<Release, AwsError> {
        let Some(Part { proof: Proof::Info(info), .. }) = lock.part(Kind::DynamoDb) else {
            return Ok(Release::Gone);
        };
        match self.delete(&lock.state, info.as_ref()).await {
            Ok(()) => Ok(Release::Released),
            Err(error) if is_condition(&error) => match self.find(&lock.state).await? {
                Some(other) => Ok(Release::Changed(other)),
                None => Ok(Release::Gone),
            },
            Err(error) => Err(error),
        }
    }
}

impl DynamoDbLocks {
    fn lock_id(&self, state: &StateKey) -> AttributeValue {
        AttributeValue::S(self.path(state))
    }

    /// Returns the request for every item that is no digest.
    fn scan(&self) -> ScanFluentBuilder {
        self.aws
            .dynamodb
            .scan()
            .table_name(self.table.as_str())
            .consistent_read(true)
            .filter_expression("attribute_exists(#info) OR attribute_not_exists(#digest)")
            .projection_expression("#id, #info")
            .expression_attribute_names("#id", LOCK_ID)
            .expression_attribute_names("#info", INFO)
            .expression_attribute_names("#digest", DIGEST)
    }

    async fn scan_segment(
        &self,
        segment: i32,
        tell: &(impl Fn(ScanOutput) -> Result<(), AwsError> + Sync),
    ) -> Result<(), AwsError> {
        let mut pages = self.scan().total_segments(SEGMENTS).segment(segment).into_paginator().send();
        while let Some(page) = pages.next().await {
            tell(page.during(SCAN)?)?;
        }
        Ok(())
    }

    /// Reads an item; `None` where it is on another bucket's state.
    fn read(&self, item: &Item) -> Result<Option<Lock>, AwsError> {
        let Some(AttributeValue::S(id)) = item.get(LOCK_ID) else {
            let what =
                format!("`{}` is no lock table: an item has no `{LOCK_ID}` that is a string", self.table);
            return Err(AwsError::garbled(SCAN, what));
        };
        let key = id.strip_prefix(self.bucket.as_str()).and_then(|rest| rest.strip_prefix('/'));
        Ok(key.map(|key| Lock::of(StateKey::new(key), read_part(item))))
    }

    async fn put(&self, state: &StateKey, content: &str) -> Result<(), AwsError> {
        self.aws
            .dynamodb
            .put_item()
            .table_name(self.table.as_str())
            .item(LOCK_ID, self.lock_id(state))
            .item(INFO, AttributeValue::S(content.to_owned()))
            .condition_expression("attribute_not_exists(#id)")
            .expression_attribute_names("#id", LOCK_ID)
            .send()
            .await
            .during("dynamodb:PutItem")
            .map(drop)
    }

    /// Deletes the item while its `Info` is what was read; a digest never.
    async fn delete(&self, state: &StateKey, info: Option<&AttributeValue>) -> Result<(), AwsError> {
        let request = self
            .aws
            .dynamodb
            .delete_item()
            .table_name(self.table.as_str())
            .key(LOCK_ID, self.lock_id(state))
            .expression_attribute_names("#info", INFO);
        let request = match info {
            Some(info) => request
                .condition_expression("#info = :info")
                .expression_attribute_values(":info", info.clone()),
            None => request
                .condition_expression(
                    "attribute_exists(#id) AND attribute_not_exists(#info) AND attribute_not_exists(#digest)",
                )
                .expression_attribute_names("#id", LOCK_ID)
                .expression_attribute_names("#digest", DIGEST),
        };
        request.send().await.during("dynamodb:DeleteItem").map(drop)
    }
}

/// Tells what is asked for, and counts what is not on states of this bucket.
struct Telling<'a> {
    search: Search<'a>,
    found: Found<'a>,
    elsewhere: usize,
}

impl Telling<'_> {
    fn tell(&mut self, lock: Option<Lock>) {
        match lock {
            Some(lock) if self.search.wants(&lock.state) => (self.found)(lock),
            Some(_) => {}
            None => self.elsewhere += 1,
        }
    }
}

fn is_lock(item: &Item) -> bool {
    item.contains_key(INFO) || !item.contains_key(DIGEST)
}

fn read_part(item: &Item) -> Part {
    let info = item.get(INFO);
    let proof = Proof::Info(info.cloned());
    match info {
        Some(AttributeValue::S(content)) => Part::read(Kind::DynamoDb, content.as_bytes(), None, proof),
        _ => Part::unread(Kind::DynamoDb, Unread::Malformed(Malformed::NoInfo), None, proof),
    }
}

fn is_condition(error: &AwsError) -> bool {
    error.has_code("ConditionalCheckFailedException")
}
