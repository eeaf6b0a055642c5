//! A bucket and a table in memory, behind the SDK's own HTTP seam: strict, stateful, and able to lose an answer.
//!
//! It knows the calls and the expressions that this room sends, and panics at any other. Lists come in pages of three.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::{DynamoDbLocks, Objects, Pair, S3Locks, S3States, when};
use crate::aws::Clients;

pub(super) const BUCKET: &str = "acme-tfstate";
pub(super) const TABLE: &str = "acme-tfstate-locks";
pub(super) const ACCOUNT: &str = "111122223333";
const PAGE: usize = 3;
const SSE: &str = "x-amz-server-side-encryption";
const SSE_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
pub(super) const KEY: &str = "arn:aws-test:kms:eu-west-1:111122223333:key/1";

/// The account, shared by whoever calls it.
#[derive(Debug, Clone, Default)]
pub(super) struct Fake(Arc<Mutex<World>>);

#[derive(Debug)]
pub(super) struct World {
    /// Every entry of a key, oldest first.
    pub(super) objects: BTreeMap<String, Vec<Entry>>,
    pub(super) items: BTreeMap<String, Map<String, Value>>,
    /// The calls, by the API's name and what they were about.
    pub(super) calls: Vec<String>,
    /// What becomes of the calls with these names, in this order.
    pub(super) faults: VecDeque<(&'static str, Fault)>,
    pub(super) now: u64,
    /// How many entries a page of a list has.
    pub(super) page: usize,
    /// Whether the bucket has no versioning.
    pub(super) keeps_no_versions: bool,
    made: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            items: BTreeMap::new(),
            calls: Vec::new(),
            faults: VecDeque::new(),
            now: 0,
            page: PAGE,
            keeps_no_versions: false,
            made: 0,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) at: u64,
    /// `None` for a delete marker.
    pub(super) content: Option<Vec<u8>>,
    /// The algorithm and the key that it is encrypted with.
    pub(super) encryption: Option<(String, Option<String>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It takes effect, and the connection breaks before the answer.
    LoseAnswer,
    /// AWS denies it.
    Deny,
    /// S3 says that another write of the same object is under way.
    Conflict,
}

impl Fake {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub(super) fn fail(&self, call: &'static str, fault: Fault) {
        self.world().faults.push_back((call, fault));
    }

    pub(super) fn calls(&self, name: &str) -> usize {
        self.world().calls.iter().filter(|call| call.split(' ').next() == Some(name)).count()
    }

    pub(super) fn put_object(&self, key: &str, content: &[u8]) {
        self.world().put(key, Some(content.to_vec()));
    }

    pub(super) fn delete_object(&self, key: &str) {
        self.world().put(key, None);
    }

    pub(super) fn put_item(&self, id: &str, attributes: &Value) {
        let mut item = attributes.as_object().unwrap().clone();
        item.insert("LockID".to_owned(), json!({ "S": id }));
        self.world().items.insert(id.to_owned(), item);
    }

    pub(super) fn clients(&self) -> Clients {
        macro_rules! client {
            ($sdk:ident) => {
                $sdk::Client::from_conf(
                    $sdk::Config::builder()
                        .behavior_version_latest()
                        .region($sdk::config::Region::new("eu-west-1"))
                        .credentials_provider($sdk::config::Credentials::new(
                            "id", "secret", None, None, "fake",
                        ))
                        .http_client(self.clone())
                        .build(),
                )
            };
        }
        let s3 = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .region(aws_sdk_s3::config::Region::new("eu-west-1"))
            .credentials_provider(aws_sdk_s3::config::Credentials::new("id", "secret", None, None, "fake"))
            .http_client(self.clone())
            .force_path_style(true)
            .build();
        Clients {
            s3: aws_sdk_s3::Client::from_conf(s3),
            dynamodb: client!(aws_sdk_dynamodb),
            kms: client!(aws_sdk_kms),
            iam: client!(aws_sdk_iam),
            sts: client!(aws_sdk_sts),
            began: UNIX_EPOCH,
        }
    }

    pub(super) fn objects(&self) -> Objects {
        let (bucket, account_id) = (BUCKET.parse().unwrap(), ACCOUNT.parse().unwrap());
        Objects { aws: self.clients(), bucket, account_id }
    }

    pub(super) fn states(&self) -> S3States {
        S3States { objects: self.objects(), key: Some(KEY.parse().unwrap()) }
    }

    pub(super) fn s3(&self) -> S3Locks {
        S3Locks(self.objects())
    }

    pub(super) fn dynamodb(&self) -> DynamoDbLocks {
        let (table, bucket) = (TABLE.parse().unwrap(), BUCKET.parse().unwrap());
        DynamoDbLocks { aws: self.clients(), table, bucket }
    }

    pub(super) fn pair(&self) -> Pair<S3Locks, DynamoDbLocks> {
        Pair { first: self.s3(), second: self.dynamodb() }
    }
}

impl HttpClient for Fake {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(self.world().answer(&request))
    }
}

/// A status, an error's code or none, and a body.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
    }

    fn s3_error(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
        Self { status, ..Self::ok(body) }
    }

    fn dynamodb_error(code: &str) -> Self {
        let body = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": code });
        Self { status: 400, ..Self::ok(body.to_string()) }
    }
}

impl World {
    fn answer(&mut self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let target = request.headers().get("x-amz-target").map(str::to_owned);
        let path = request.uri().split_once("amazonaws.com").map_or("/", |(_, path)| path).to_owned();
        let (name, about) = match &target {
            Some(target) => (target.rsplit('.').next().unwrap().to_owned(), String::new()),
            None => s3_call(request.method(), &path),
        };
        self.calls.push(format!("{name} {about}"));
        let fault = self.faults.iter().position(|(call, _)| *call == name);
        let fault = fault.and_then(|index| self.faults.remove(index)).map(|(_, fault)| fault);
        let answer = match (fault, &target) {
            (Some(Fault::Deny), Some(_)) => Answer::dynamodb_error("AccessDeniedException"),
            (Some(Fault::Deny), None) => Answer::s3_error(403, "AccessDenied"),
            (Some(Fault::Conflict), _) => Answer::s3_error(409, "ConditionalRequestConflict"),
            (_, Some(_)) => self.dynamodb(&name, &serde_json::from_slice(&body).unwrap()),
            (_, None) => {
                assert_eq!(request.headers().get("x-amz-expected-bucket-owner"), Some(ACCOUNT), "{name}");
                self.s3(&name, &about, &path, request, &body)
            }
        };
        if fault == Some(Fault::LoseAnswer) {
            return Err(ConnectorError::io("connection reset".into()));
        }
        let mut response = HttpResponse::new(answer.status.try_into().unwrap(), SdkBody::from(answer.body));
        for (name, value) in answer.headers {
            response.headers_mut().insert(name, value);
        }
        Ok(response)
    }

    fn put(&mut self, key: &str, content: Option<Vec<u8>>) -> String {
        self.made += 1;
        let id = format!("v{}", self.made);
        let entry = Entry { id: id.clone(), at: self.now, content, encryption: None };
        self.objects.entry(key.to_owned()).or_default().push(entry);
        id
    }

    fn newest(&self, key: &str) -> Option<&Entry> {
        self.objects.get(key)?.last().filter(|entry| entry.content.is_some())
    }

    fn s3(&mut self, name: &str, key: &str, path: &str, request: &HttpRequest, body: &[u8]) -> Answer {
        match name {
            "GetObject" | "HeadObject" => {
                let version = query(path, "versionId");
                let entry = match &version {
                    Some(id) => {
                        self.objects.get(key).and_then(|all| all.iter().find(|entry| entry.id == *id))
                    }
                    None => self.newest(key),
                };
                let Some(Entry { id, at, content: Some(content), encryption }) = entry else {
                    return Answer::s3_error(404, "NoSuchKey");
                };
                let mut headers = vec![
                    ("etag", etag(id)),
                    ("last-modified", http_date(*at)),
                    ("content-length", content.len().to_string()),
                    ("x-amz-version-id", id.clone()),
                ];
                if let Some((algorithm, key)) = encryption.clone() {
                    headers.push((SSE, algorithm));
                    headers.extend(key.map(|key| (SSE_KEY, key)));
                }
                let body = if name == "GetObject" { content.clone() } else { Vec::new() };
                Answer { headers, ..Answer::ok(body) }
            }
            "PutObject" => {
                if request.headers().get("if-none-match") == Some("*") && self.newest(key).is_some() {
                    return Answer::s3_error(412, "PreconditionFailed");
                }
                let header = |name| request.headers().get(name).map(str::to_owned);
                let id = self.put(key, Some(body.to_vec()));
                let entry = self.objects.get_mut(key).and_then(|entries| entries.last_mut()).unwrap();
                entry.encryption = header(SSE).map(|algorithm| (algorithm, header(SSE_KEY)));
                let mut headers = vec![("etag", etag(&id))];
                if !self.keeps_no_versions {
                    headers.push(("x-amz-version-id", id));
                }
                Answer { headers, ..Answer::ok("") }
            }
            "DeleteObject" => {
                if let Some(wanted) = request.headers().get("if-match") {
                    match self.newest(key) {
                        None => return Answer::s3_error(404, "NoSuchKey"),
                        Some(entry) if etag(&entry.id) != wanted => {
                            return Answer::s3_error(412, "PreconditionFailed");
                        }
                        Some(_) => {}
                    }
                }
                self.put(key, None);
                Answer { status: 204, ..Answer::ok("") }
            }
            "ListObjectsV2" => self.list(path),
            "ListObjectVersions" => self.list_versions(path),
            other => panic!("the fake does not know {other}"),
        }
    }

    fn list(&self, path: &str) -> Answer {
        let prefix = query(path, "prefix").unwrap_or_default();
        let after =
            query(path, "continuation-token").or_else(|| query(path, "start-after")).unwrap_or_default();
        let current = self.objects.keys().filter(|key| key.starts_with(&prefix) && **key > after);
        let current: Vec<_> = current.filter_map(|key| self.newest(key).map(|entry| (key, entry))).collect();
        let mut xml = String::from("<ListBucketResult>");
        if query(path, "delimiter").is_some() {
            let mut prefixes: Vec<_> =
                current.iter().filter_map(|(key, _)| key.split_once('/').map(|(top, _)| top)).collect();
            prefixes.dedup();
            for prefix in prefixes {
                write!(xml, "<CommonPrefixes><Prefix>{prefix}/</Prefix></CommonPrefixes>").unwrap();
            }
            return Answer::ok(xml + "</ListBucketResult>");
        }
        for (key, entry) in current.iter().take(self.page) {
            let (etag, at) = (etag(&entry.id), when::to_the_second(moment(entry.at)));
            write!(
                xml,
                "<Contents><Key>{key}</Key><LastModified>{at}</LastModified><ETag>{etag}</ETag></Contents>"
            )
            .unwrap();
        }
        if current.len() > self.page {
            let (last, _) = current[self.page - 1];
            write!(
                xml,
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{last}</NextContinuationToken>"
            )
            .unwrap();
        }
        Answer::ok(xml + "</ListBucketResult>")
    }

    fn list_versions(&self, path: &str) -> Answer {
        let prefix = query(path, "prefix").unwrap_or_default();
        let marker = query(path, "key-marker").zip(query(path, "version-id-marker"));
        let all = self.objects.iter().filter(|(key, _)| key.starts_with(&prefix));
        let mut all: VecDeque<_> = all
            .flat_map(|(key, entries)| {
                entries.iter().rev().enumerate().map(move |(index, entry)| (key, index == 0, entry))
            })
            .collect();
        if let Some((key, id)) = marker {
            while all
                .pop_front()
                .is_some_and(|(at, _, entry)| (at.as_str(), &entry.id) != (key.as_str(), &id))
            {}
        }
        let mut xml = String::from("<ListVersionsResult>");
        for (key, latest, entry) in all.iter().take(self.page) {
            let tag = if entry.content.is_some() { "Version" } else { "DeleteMarker" };
            let size = entry.content.as_ref().map_or(0, Vec::len);
            let at = when::to_the_second(moment(entry.at));
            write!(
                xml,
                "<{tag}><Key>{key}</Key><VersionId>{}</VersionId><IsLatest>{latest}</IsLatest>\
                 <LastModified>{at}</LastModified><Size>{size}</Size></{tag}>",
                entry.id
            )
            .unwrap();
        }
        if all.len() > self.page {
            let (key, _, entry) = all[self.page - 1];
            write!(
                xml,
                "<IsTruncated>true</IsTruncated><NextKeyMarker>{key}</NextKeyMarker>\
                 <NextVersionIdMarker>{}</NextVersionIdMarker>",
                entry.id
            )
            .unwrap();
        }
        Answer::ok(xml + "</ListVersionsResult>")
    }

    fn dynamodb(&mut self, name: &str, body: &Value) -> Answer {
        assert_eq!(body["TableName"], TABLE);
        let key = body["Key"]["LockID"]["S"].as_str().unwrap_or_default();
        match name {
            "GetItem" => {
                assert_eq!(body["ConsistentRead"], true);
                let item = self.items.get(key).map_or_else(|| json!({}), |item| json!({ "Item": item }));
                Answer::ok(item.to_string())
            }
            "PutItem" => {
                let item = body["Item"].as_object().unwrap().clone();
                let id = item["LockID"]["S"].as_str().unwrap().to_owned();
                let is_held = match body["ConditionExpression"].as_str().unwrap() {
                    "attribute_not_exists(#id)" => self.items.contains_key(&id),
                    "attribute_not_exists(#info)" => {
                        self.items.get(&id).is_some_and(|item| item.contains_key("Info"))
                    }
                    other => panic!("the fake does not know {other}"),
                };
                if is_held {
                    return Answer::dynamodb_error("ConditionalCheckFailedException");
                }
                self.items.insert(id, item);
                Answer::ok("{}")
            }
            "DeleteItem" => {
                let item = self.items.get(key);
                let holds = match body["ConditionExpression"].as_str().unwrap() {
                    "#info = :info" => item
                        .and_then(|item| item.get("Info"))
                        .is_some_and(|info| *info == body["ExpressionAttributeValues"][":info"]),
                    "attribute_exists(#id) AND attribute_not_exists(#info) AND attribute_not_exists(#digest)" => {
                        item.is_some_and(|item| !item.contains_key("Info") && !item.contains_key("Digest"))
                    }
                    "attribute_not_exists(#info)" => item.is_none_or(|item| !item.contains_key("Info")),
                    other => panic!("the fake does not know {other}"),
                };
                if !holds {
                    return Answer::dynamodb_error("ConditionalCheckFailedException");
                }
                self.items.remove(key);
                Answer::ok("{}")
            }
            "Scan" => self.scan(body),
            other => panic!("the fake does not know {other}"),
        }
    }

    fn scan(&self, body: &Value) -> Answer {
        assert_eq!(body["ConsistentRead"], true);
        assert_eq!(body["FilterExpression"], "attribute_exists(#info) OR attribute_not_exists(#digest)");
        let segments = number(body, "TotalSegments").unwrap_or(1);
        let segment = number(body, "Segment").unwrap_or(0);
        let after = body["ExclusiveStartKey"]["LockID"]["S"].as_str().unwrap_or_default();
        let own = self.items.iter().enumerate().filter(|(index, _)| index % segments == segment);
        let left: Vec<_> = own.map(|(_, item)| item).filter(|(id, _)| id.as_str() > after).collect();
        let page = left.iter().take(self.page).map(|(_, item)| *item);
        let page: Vec<_> =
            page.filter(|item| item.contains_key("Info") || !item.contains_key("Digest")).collect();
        let mut answer = json!({ "Items": page, "ScannedCount": left.len().min(self.page) });
        if left.len() > self.page {
            answer["LastEvaluatedKey"] = json!({ "LockID": { "S": left[self.page - 1].0 } });
        }
        Answer::ok(answer.to_string())
    }
}

/// Returns the name of an S3 call and the key that it is about.
fn s3_call(method: &str, path: &str) -> (String, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let key =
        path.strip_prefix('/').and_then(|path| path.strip_prefix(BUCKET)).expect("a path in the bucket");
    let key = percent_decode_str(key.trim_start_matches('/')).decode_utf8().unwrap().into_owned();
    let name = match (method, key.is_empty()) {
        ("GET", true) if query.contains("list-type=2") => "ListObjectsV2",
        ("GET", true) if query.split('&').any(|part| part == "versions") => "ListObjectVersions",
        ("GET", false) => "GetObject",
        ("HEAD", false) => "HeadObject",
        ("PUT", false) => "PutObject",
        ("DELETE", false) => "DeleteObject",
        _ => panic!("the fake does not know {method} {path}?{query}"),
    };
    (name.to_owned(), key)
}

fn query(path: &str, name: &str) -> Option<String> {
    let (_, query) = path.split_once('?')?;
    let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
    Some(percent_decode_str(value).decode_utf8().unwrap().into_owned())
}

fn number(body: &Value, name: &str) -> Option<usize> {
    body[name].as_u64().map(|number| number.try_into().unwrap())
}

fn etag(id: &str) -> String {
    format!("\"{id}\"")
}

pub(super) fn moment(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn http_date(seconds: u64) -> String {
    let date = aws_smithy_types::DateTime::from(moment(seconds));
    date.fmt(aws_smithy_types::date_time::Format::HttpDate).unwrap()
}
