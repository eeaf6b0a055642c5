//! What a request is called: service, operation, resource, as AWS names them.

use hyper::Method;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::ground::http::Request;

/// How a service writes its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// S3's XML.
    S3,
    /// `DynamoDB`'s and KMS's JSON.
    Json,
    /// The XML of the query protocol: IAM and STS.
    Query,
}

/// A request by its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// `s3`, `dynamodb`, `kms`, `iam`, `sts`.
    pub(crate) service: String,
    /// Service and operation: `s3:PutBucketVersioning`.
    pub(crate) operation: String,
    /// What it is about: `BUCKET`, `BUCKET/KEY`, a table, a key, an alias, a policy's ARN.
    pub(crate) resource: String,
    /// The region that the request is signed for.
    pub(crate) region: String,
    /// Whether it changes anything.
    pub(crate) mutating: bool,
    /// How its errors are written.
    pub(crate) dialect: Dialect,
}

impl Name {
    /// Names `request`.
    pub(crate) fn of(request: &Request) -> Self {
        let (signed_region, signed_service) = scope(request);
        let target = request.header("x-amz-target");
        let (dialect, operation, resource) = if let Some(target) = target {
            let operation = target.rsplit('.').next().unwrap_or(target).to_owned();
            (Dialect::Json, operation, json_resource(&request.json()))
        } else if let Some(action) = query_action(request) {
            (Dialect::Query, action, query_resource(request))
        } else {
            let (operation, resource) = s3(request);
            (Dialect::S3, operation, resource)
        };
        let mutating = match dialect {
            Dialect::S3 => !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS),
            Dialect::Json | Dialect::Query => !READS.iter().any(|verb| operation.starts_with(verb)),
        };
        let service = match (dialect, signed_service, target) {
            (Dialect::S3, ..) => "s3".to_owned(),
            (_, Some(service), _) => service,
            (_, None, Some(target)) if target.starts_with("DynamoDB") => "dynamodb".to_owned(),
            (_, None, Some(_)) => "kms".to_owned(),
            (_, None, None) if request.field("Version").is_some_and(|version| version == "2011-06-15") => {
                "sts".to_owned()
            }
            (_, None, None) => "iam".to_owned(),
        };
        let operation = format!("{service}:{operation}");
        Self { service, operation, resource, region: signed_region.unwrap_or_default(), mutating, dialect }
    }

    /// The bucket that an S3 call is about.
    pub(crate) fn bucket(&self) -> Option<&str> {
        (self.dialect == Dialect::S3).then(|| self.resource.split('/').next().unwrap_or_default())
    }

    /// The bucket, where the call writes to the bucket itself and not to an object in it.
    pub(crate) fn written_bucket(&self) -> Option<&str> {
        let object = self.resource.contains('/') || self.operation == "s3:DeleteObjects";
        self.bucket().filter(|_| self.mutating && !object)
    }
}

/// How the names of reading operations begin.
const READS: &[&str] = &[
    "AssumeRole",
    "BatchGet",
    "Decrypt",
    "Describe",
    "Encrypt",
    "GenerateDataKey",
    "Get",
    "Head",
    "List",
    "Lookup",
    "Query",
    "Scan",
    "Simulate",
    "TransactGet",
    "Verify",
];

/// Region and service of the credential scope, `AKID/DATE/REGION/SERVICE/aws4_request`.
fn scope(request: &Request) -> (Option<String>, Option<String>) {
    let scope = request
        .header("authorization")
        .and_then(|header| header.split("Credential=").nth(1))
        .and_then(|rest| rest.split([',', ' ']).next())
        .unwrap_or_default();
    let mut parts = scope.split('/').skip(2).map(str::to_owned);
    (parts.next(), parts.next())
}

fn query_action(request: &Request) -> Option<String> {
    let form = request.header("content-type")?.starts_with("application/x-www-form-urlencoded");
    form.then(|| request.field("Action")).flatten()
}

/// The resource in a JSON request, ARNs cut to what they name.
fn json_resource(body: &Value) -> String {
    let named = ["TableName", "AliasName", "KeyId", "ResourceArn", "TableArn"];
    let name = named.into_iter().find_map(|field| body[field].as_str());
    let several = ["RequestItems", "TransactItems"].into_iter().find_map(|field| body[field].as_object());
    let first = several.and_then(|items| items.keys().next()).map(String::as_str);
    let name = name.or(first).unwrap_or_default();
    let in_arn = |arn: &str| arn.splitn(6, ':').nth(5).map(str::to_owned);
    let name = if name.starts_with("arn:") { in_arn(name).unwrap_or_default() } else { name.to_owned() };
    ["table/", "key/"].into_iter().find_map(|kind| name.strip_prefix(kind)).map(str::to_owned).unwrap_or(name)
}

fn query_resource(request: &Request) -> String {
    let named = ["PolicyArn", "RoleArn", "RoleName", "UserName", "OpenIDConnectProviderArn", "PolicyName"];
    named.into_iter().find_map(|field| request.field(field)).unwrap_or_default()
}

/// Sub-resources of a bucket, by their parameter, with the noun in `Get...`, `Put...` and `Delete...`.
const OF_BUCKET: &[(&str, &str)] = &[
    ("accelerate", "BucketAccelerateConfiguration"),
    ("acl", "BucketAcl"),
    ("analytics", "BucketAnalyticsConfiguration"),
    ("cors", "BucketCors"),
    ("encryption", "BucketEncryption"),
    ("intelligent-tiering", "BucketIntelligentTieringConfiguration"),
    ("inventory", "BucketInventoryConfiguration"),
    ("lifecycle", "BucketLifecycleConfiguration"),
    ("location", "BucketLocation"),
    ("logging", "BucketLogging"),
    ("metrics", "BucketMetricsConfiguration"),
    ("notification", "BucketNotificationConfiguration"),
    ("object-lock", "ObjectLockConfiguration"),
    ("ownershipControls", "BucketOwnershipControls"),
    ("policy", "BucketPolicy"),
    ("policyStatus", "BucketPolicyStatus"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("replication", "BucketReplication"),
    ("requestPayment", "BucketRequestPayment"),
    ("tagging", "BucketTagging"),
    ("versioning", "BucketVersioning"),
    ("website", "BucketWebsite"),
];

/// Sub-resources of an object.
const OF_OBJECT: &[(&str, &str)] = &[
    ("acl", "ObjectAcl"),
    ("attributes", "ObjectAttributes"),
    ("legal-hold", "ObjectLegalHold"),
    ("retention", "ObjectRetention"),
    ("tagging", "ObjectTagging"),
    ("torrent", "ObjectTorrent"),
];

/// Operation and resource of a path-style S3 request.
fn s3(request: &Request) -> (String, String) {
    let path = percent_decode_str(request.uri.path()).decode_utf8_lossy().into_owned();
    let resource = path.trim_start_matches('/').to_owned();
    let operation = match resource.split_once('/') {
        _ if resource.is_empty() => "ListBuckets".to_owned(),
        None | Some((_, "")) => s3_bucket(request),
        Some(_) => s3_object(request),
    };
    (operation, resource.trim_end_matches('/').to_owned())
}

fn s3_bucket(request: &Request) -> String {
    let asks = |name: &str| request.asks(name);
    match request.method.as_str() {
        "HEAD" => "HeadBucket".to_owned(),
        "POST" if asks("delete") => "DeleteObjects".to_owned(),
        "GET" if asks("versions") => "ListObjectVersions".to_owned(),
        "GET" if asks("uploads") => "ListMultipartUploads".to_owned(),
        "GET" if asks("session") => "CreateSession".to_owned(),
        "DELETE" if asks("lifecycle") => "DeleteBucketLifecycle".to_owned(),
        method => match (method, noun(request, OF_BUCKET)) {
            (_, Some(noun)) => format!("{}{noun}", verb(method)),
            ("PUT", None) => "CreateBucket".to_owned(),
            ("DELETE", None) => "DeleteBucket".to_owned(),
            (_, None) if asks("list-type") => "ListObjectsV2".to_owned(),
            (_, None) => "ListObjects".to_owned(),
        },
    }
}

fn s3_object(request: &Request) -> String {
    let asks = |name: &str| request.asks(name);
    let copies = request.headers.contains_key("x-amz-copy-source");
    let operation = match (request.method.as_str(), asks("uploadId")) {
        ("HEAD", _) => "HeadObject",
        ("GET", true) => "ListParts",
        ("PUT", true) if copies => "UploadPartCopy",
        ("PUT", true) => "UploadPart",
        ("PUT", false) if copies => "CopyObject",
        ("POST", true) => "CompleteMultipartUpload",
        ("POST", false) if asks("uploads") => "CreateMultipartUpload",
        ("POST", false) if asks("restore") => "RestoreObject",
        ("POST", false) => "SelectObjectContent",
        ("DELETE", true) => "AbortMultipartUpload",
        (method, _) => return format!("{}{}", verb(method), noun(request, OF_OBJECT).unwrap_or("Object")),
    };
    operation.to_owned()
}

fn noun(request: &Request, nouns: &[(&str, &'static str)]) -> Option<&'static str> {
    nouns.iter().find(|(parameter, _)| request.asks(parameter)).map(|&(_, noun)| noun)
}

fn verb(method: &str) -> &'static str {
    match method {
        "PUT" | "POST" => "Put",
        "DELETE" => "Delete",
        _ => "Get",
    }
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;

    /// A request without a body.
    fn request(method: &str, uri: &str, headers: &[(&'static str, &str)], body: &str) -> Request {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let method = method.parse().unwrap();
        Request { method, uri: uri.parse().unwrap(), headers: map, body: body.to_owned().into() }
    }

    #[test]
    fn s3_calls_are_told_apart_by_method_path_and_query() {
        let named = [
            ("GET", "/?x-id=ListBuckets", "s3:ListBuckets", ""),
            ("PUT", "/acme/", "s3:CreateBucket", "acme"),
            ("HEAD", "/acme", "s3:HeadBucket", "acme"),
            ("PUT", "/acme/?versioning", "s3:PutBucketVersioning", "acme"),
            ("DELETE", "/acme/?lifecycle", "s3:DeleteBucketLifecycle", "acme"),
            ("GET", "/acme?policy=", "s3:GetBucketPolicy", "acme"),
            ("GET", "/acme?list-type=2&prefix=a%2F", "s3:ListObjectsV2", "acme"),
            ("GET", "/acme/?versions", "s3:ListObjectVersions", "acme"),
            ("POST", "/acme/?delete", "s3:DeleteObjects", "acme"),
            ("GET", "/acme/dev/main.tfstate?x-id=GetObject", "s3:GetObject", "acme/dev/main.tfstate"),
            ("GET", "/acme/dev/env%3A/a", "s3:GetObject", "acme/dev/env:/a"),
            ("PUT", "/acme/a?partNumber=1&uploadId=u", "s3:UploadPart", "acme/a"),
            ("POST", "/acme/a?uploads", "s3:CreateMultipartUpload", "acme/a"),
            ("DELETE", "/acme/a?uploadId=u", "s3:AbortMultipartUpload", "acme/a"),
            ("DELETE", "/acme/a?versionId=v", "s3:DeleteObject", "acme/a"),
            ("PUT", "/acme/a?tagging", "s3:PutObjectTagging", "acme/a"),
        ];

        for (method, uri, operation, resource) in named {
            let name = Name::of(&request(method, uri, &[], ""));
            assert_eq!(
                (name.operation.as_str(), name.resource.as_str()),
                (operation, resource),
                "{method} {uri}"
            );
            assert_eq!(name.mutating, !matches!(method, "GET" | "HEAD"), "{method} {uri}");
        }
        let copy = Name::of(&request("PUT", "/acme/a", &[("x-amz-copy-source", "acme/b")], ""));
        assert_eq!(copy.operation, "s3:CopyObject");
    }

    #[test]
    fn json_calls_are_named_by_target_and_scope() {
        let authorization =
            "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/dynamodb/aws4_request, SignedHeaders=host";
        let headers = [("x-amz-target", "DynamoDB_20120810.TagResource"), ("authorization", authorization)];
        let body = r#"{"ResourceArn":"arn:aws:dynamodb:eu-west-1:111122223333:table/acme-tfstate-locks"}"#;

        let name = Name::of(&request("POST", "/", &headers, body));

        assert_eq!(name.operation, "dynamodb:TagResource");
        assert_eq!(name.resource, "acme-tfstate-locks");
        assert_eq!(name.region, "eu-west-1");
        assert!(name.mutating);
        let body = r#"{"KeyId":"alias/acme-tfstate"}"#;
        let name = Name::of(&request("POST", "/", &[("x-amz-target", "TrentService.DescribeKey")], body));
        assert_eq!(
            (name.operation.as_str(), name.resource.as_str()),
            ("kms:DescribeKey", "alias/acme-tfstate")
        );
        assert!(!name.mutating);
    }

    #[test]
    fn query_calls_are_named_by_their_action() {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let named = [
            ("Action=GetCallerIdentity&Version=2011-06-15", "sts:GetCallerIdentity", "", false),
            ("Action=CreatePolicy&Version=2010-05-08&PolicyName=a", "iam:CreatePolicy", "a", true),
            ("Action=GetPolicy&Version=2010-05-08&PolicyArn=arn%3Aaws", "iam:GetPolicy", "arn:aws", false),
        ];

        for (body, operation, resource, mutating) in named {
            let name = Name::of(&request("POST", "/", &form, body));
            let found = (name.operation.as_str(), name.resource.as_str(), name.mutating);
            assert_eq!(found, (operation, resource, mutating));
        }
    }
}
