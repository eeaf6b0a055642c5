//! One HTTP exchange as plain values, and a client for the emulator.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Method, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// What a client asked for, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// Reads the whole of `request`.
    pub(crate) async fn read(request: hyper::Request<Incoming>) -> Result<Self, hyper::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Self { method: parts.method, uri: parts.uri, headers: parts.headers, body })
    }

    /// The same caller asking for something else.
    pub(crate) fn instead(&self, method: Method, path_and_query: &str, body: impl Into<Bytes>) -> Self {
        let kept = ["host", "authorization", "x-amz-date", "x-amz-security-token"];
        let headers = kept
            .into_iter()
            .filter_map(|name| Some((HeaderName::from_static(name), self.headers.get(name)?.clone())))
            .collect();
        let uri = path_and_query.parse().expect("a path and query of our own");
        Self { method, uri, headers, body: body.into() }
    }

    /// A header's value, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The parameters of the query, decoded, in order.
    pub(crate) fn query(&self) -> Vec<(String, String)> {
        pairs(self.uri.query().unwrap_or_default())
    }

    /// Whether the query has the parameter `name`, with or without a value.
    pub(crate) fn asks(&self, name: &str) -> bool {
        self.query().iter().any(|(key, _)| key == name)
    }

    /// A field of a form's body.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let body = std::str::from_utf8(&self.body).ok()?;
        pairs(body).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What was answered, whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// An answer of our own.
    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status: StatusCode::from_u16(status).expect("a status"), headers, body: body.into() }
    }

    /// Sets a header.
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, value.parse().expect("a header's value"));
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The emulator as a client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Upstream {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Upstream {
    /// The server at `address`.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { address, client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Passes `request` on and reads the whole answer.
    pub(crate) async fn send(&self, request: &Request) -> Answer {
        let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = format!("http://{}{path}", self.address);
        let mut onward = hyper::Request::builder().method(&request.method).uri(uri);
        let headers = onward.headers_mut().expect("a request of our own");
        headers.clone_from(&request.headers);
        forget_framing(headers);
        let onward = onward.body(Full::new(request.body.clone())).expect("a request of our own");
        let answer = self.client.request(onward).await.expect("the emulator answers");
        let (mut parts, body) = answer.into_parts();
        let body = body.collect().await.expect("the emulator ends its answers").to_bytes();
        let length = parts.headers.get(CONTENT_LENGTH).cloned();
        forget_framing(&mut parts.headers);
        // The length of what a HEAD did not send is all that there is to know of it.
        if let (&Method::HEAD, Some(length)) = (&request.method, length) {
            parts.headers.insert(CONTENT_LENGTH, length);
        }
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// Drops what belongs to one connection: the next hop frames its own messages.
fn forget_framing(headers: &mut HeaderMap) {
    for name in [CONNECTION, EXPECT, TRANSFER_ENCODING, CONTENT_LENGTH] {
        headers.remove(name);
    }
}

/// Splits and decodes `a=1&b`.
fn pairs(text: &str) -> Vec<(String, String)> {
    let decoded = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect()
}
