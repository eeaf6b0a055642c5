//! The log: one entry for each call, and what can be read from a run's entries.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::body::Bytes;
use serde_json::Value;

use super::name::Name;
use crate::ground::http::Request;

/// One call, from its arrival at the proxy to the last moment before its answer.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// What was asked of whom.
    pub(crate) name: Name,
    /// The request as it came.
    pub(crate) request: Request,
    /// Its place among the calls, in order of arrival.
    pub(crate) number: u64,
    /// The connection that it came by.
    pub(crate) connection: u64,
    /// Since the proxy began.
    pub(crate) started: Duration,
    /// Since the proxy began.
    pub(crate) ended: Duration,
    /// Calls that were under way when it arrived, itself included.
    pub(crate) in_flight: usize,
    /// The status that the client got; `None` where it got no answer.
    pub(crate) status: Option<u16>,
    /// The error's code, where the answer is an error that has one.
    pub(crate) error_code: Option<String>,
    /// The answer's headers.
    pub(crate) answer_headers: HeaderMap,
    /// The answer's body.
    pub(crate) answer_body: Bytes,
    /// Whether a fault was put in its way.
    pub(crate) faulted: bool,
}

impl Call {
    /// `s3:PutBucketVersioning`.
    pub(crate) fn operation(&self) -> &str {
        &self.name.operation
    }

    /// What it is about.
    pub(crate) fn resource(&self) -> &str {
        &self.name.resource
    }

    /// Whether it changes anything.
    pub(crate) fn mutating(&self) -> bool {
        self.name.mutating
    }

    /// Which attempt of an SDK's call this is, from 1.
    pub(crate) fn attempt(&self) -> Option<u32> {
        let attempt = self.request.header("amz-sdk-request")?.split("attempt=").nth(1)?;
        attempt.split(';').next()?.trim().parse().ok()
    }

    /// A header of the request.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    /// The request's body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        self.request.json()
    }

    /// A field of the request's form.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.request.field(name)
    }
}

/// Returns how many round trips in a row the calls took: the longest chain in which each began after the one before had ended.
///
/// It says something where round trips are long against the work between them, so set a delay first; and where a busy machine
/// shall not count, let the proxy answer in rounds.
pub(crate) fn critical_depth(calls: &[Call]) -> usize {
    let mut by_start: Vec<&Call> = calls.iter().collect();
    by_start.sort_by_key(|call| call.started);
    let mut depths: Vec<(Duration, usize)> = Vec::with_capacity(calls.len());
    for call in by_start {
        let before = depths.iter().filter(|(ended, _)| *ended <= call.started).map(|(_, depth)| *depth).max();
        depths.push((call.ended, before.unwrap_or_default() + 1));
    }
    depths.into_iter().map(|(_, depth)| depth).max().unwrap_or_default()
}

/// Returns the most calls that were under way at once.
pub(crate) fn max_in_flight(calls: &[Call]) -> usize {
    calls.iter().map(|call| call.in_flight).max().unwrap_or_default()
}
