//! All that is in an account, as one value: what two runs left behind can be compared.

use std::collections::BTreeMap;

use hyper::{HeaderMap, Method};
use serde_json::{Map, Value, json};

use super::{Account, xml};
use crate::ground::http::{Answer, Request, Upstream};

/// The regions that tests put things in.
const REGIONS: [&str; 3] = ["eu-central-1", "eu-west-1", "us-east-1"];

/// The settings of a bucket, by their parameter.
const BUCKET_SETTINGS: [&str; 13] = [
    "accelerate",
    "acl",
    "cors",
    "encryption",
    "lifecycle",
    "location",
    "logging",
    "object-lock",
    "ownershipControls",
    "publicAccessBlock",
    "replication",
    "tagging",
    "versioning",
];

/// What differs from moment to moment and says nothing.
const MOMENTARY: [&str; 12] = [
    "CreateDate",
    "CreationDate",
    "CreationDateTime",
    "EarliestRestorableDateTime",
    "LastModified",
    "LastUpdateToPayPerRequestDateTime",
    "LatestRestorableDateTime",
    "RequestId",
    "ResponseMetadata",
    "TableId",
    "UpdateDate",
    "WarmThroughput",
];

/// What is drawn at random for each thing, with what stands for it where two accounts are compared.
const DRAWN: [(&str, &str); 3] = [("PolicyId", "[POLICY]"), ("RoleId", "[ROLE]"), ("VersionId", "[VERSION]")];

impl Account {
    /// Returns everything that the account holds, without moments.
    pub(crate) fn dump(&self) -> Value {
        let asker = Asker { upstream: Upstream::new(self.address()) };
        let mut dump = self.runtime.block_on(asker.everything());
        forget_moments(&mut dump);
        read_documents(&mut dump);
        dump
    }

    /// Returns the dump as it would be in another account where the same was done: what is drawn at random is replaced by
    /// what it stands for.
    pub(crate) fn comparable_dump(&self) -> Value {
        comparable(self.dump())
    }

    /// Returns the ids of the keys, each with what stands for it in a comparable dump.
    pub(crate) fn key_names(&self) -> Vec<(String, String)> {
        key_names(&self.dump())
    }

    fn address(&self) -> std::net::SocketAddr {
        self.url.trim_start_matches("http://").parse().expect("the proxy's address")
    }
}

/// Asks the services in their own protocols, so that nothing a client library does not know is lost.
struct Asker {
    upstream: Upstream,
}

impl Asker {
    async fn everything(&self) -> Value {
        let mut buckets = BTreeMap::new();
        let list = xml::parse(&self.s3("/").await.text());
        for bucket in several(&list["Buckets"]["Bucket"]) {
            let name = text(&bucket["Name"]);
            buckets.insert(name.clone(), self.bucket(&name).await);
        }
        let mut tables = BTreeMap::new();
        let mut keys = BTreeMap::new();
        for region in REGIONS {
            let list = self.dynamodb(region, "ListTables", &json!({})).await;
            for table in several(&list["TableNames"]) {
                tables.insert(format!("{region}/{}", text(table)), self.table(region, &text(table)).await);
            }
            let list = self.kms(region, "ListKeys", &json!({})).await;
            for key in several(&list["Keys"]) {
                let id = text(&key["KeyId"]);
                if let Some(found) = self.key(region, &id).await {
                    keys.insert(id, found);
                }
            }
        }
        json!({ "buckets": buckets, "tables": tables, "keys": keys, "iam": self.iam_everything().await })
    }

    async fn bucket(&self, name: &str) -> Value {
        let mut bucket = Map::new();
        for setting in BUCKET_SETTINGS {
            let answer = self.s3(&format!("/{name}?{setting}")).await;
            let content = if answer.status.is_success() { xml::parse(&answer.text()) } else { Value::Null };
            bucket.insert(setting.to_owned(), content);
        }
        let policy = self.s3(&format!("/{name}?policy")).await;
        let policy = policy.status.is_success().then(|| json_of(&policy));
        bucket.insert("policy".to_owned(), policy.unwrap_or_default());
        bucket.insert("objects".to_owned(), self.objects(name).await);
        let uploads = xml::parse(&self.s3(&format!("/{name}?uploads")).await.text());
        bucket.insert("uploads".to_owned(), uploads["Upload"].clone());
        bucket.into()
    }

    /// Every version and marker by key, the latest first, with what its head says.
    async fn objects(&self, bucket: &str) -> Value {
        let mut objects: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut marker = String::new();
        loop {
            let page = xml::parse(&self.s3(&format!("/{bucket}?versions{marker}")).await.text());
            for version in several(&page["Version"]) {
                let (key, id) = (text(&version["Key"]), text(&version["VersionId"]));
                let mut version = version.clone();
                let head =
                    self.s3_with(Method::HEAD, &format!("/{bucket}/{}?versionId={id}", encoded(&key))).await;
                for header in ["x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"]
                {
                    version[header] = head.headers.get(header).and_then(|value| value.to_str().ok()).into();
                }
                objects.entry(key).or_default().push(version);
            }
            for deleted in several(&page["DeleteMarker"]) {
                objects.entry(text(&deleted["Key"])).or_default().push(deleted.clone());
            }
            if page["IsTruncated"] != "true" {
                return json!(objects);
            }
            let (key, version) = (text(&page["NextKeyMarker"]), text(&page["NextVersionIdMarker"]));
            marker = format!("&key-marker={}&version-id-marker={version}", encoded(&key));
        }
    }

    async fn table(&self, region: &str, name: &str) -> Value {
        let named = json!({ "TableName": name });
        let mut table = self.dynamodb(region, "DescribeTable", &named).await["Table"].take();
        let arn = json!({ "ResourceArn": table["TableArn"] });
        table["Tags"] = self.dynamodb(region, "ListTagsOfResource", &arn).await["Tags"].take();
        for (operation, part) in [
            ("DescribeContinuousBackups", "ContinuousBackupsDescription"),
            ("DescribeTimeToLive", "TimeToLiveDescription"),
            ("Scan", "Items"),
        ] {
            table[part] = self.dynamodb(region, operation, &named).await[part].take();
        }
        table
    }

    /// A key of the account's own; AWS's come and go by themselves.
    async fn key(&self, region: &str, id: &str) -> Option<Value> {
        let named = json!({ "KeyId": id });
        let mut key = self.kms(region, "DescribeKey", &named).await["KeyMetadata"].take();
        if key["KeyManager"] != "CUSTOMER" {
            return None;
        }
        let policy = self.kms(region, "GetKeyPolicy", &json!({ "KeyId": id, "PolicyName": "default" })).await;
        key["Policy"] = serde_json::from_str(&text(&policy["Policy"])).unwrap_or_default();
        key["Tags"] = self.kms(region, "ListResourceTags", &named).await["Tags"].take();
        key["Rotation"] = self.kms(region, "GetKeyRotationStatus", &named).await;
        let aliases = self.kms(region, "ListAliases", &named).await;
        let mut alias_names: Vec<String> =
            several(&aliases["Aliases"]).map(|alias| text(&alias["AliasName"])).collect();
        alias_names.sort_unstable();
        key["Aliases"] = alias_names.into();
        Some(key)
    }

    async fn iam_everything(&self) -> Value {
        let details = "Action=GetAccountAuthorizationDetails&MaxItems=1000";
        let local = "&Filter.member.1=LocalManagedPolicy&Filter.member.2=Role&Filter.member.3=User";
        let mut answer =
            self.iam(&format!("{details}{local}")).await["GetAccountAuthorizationDetailsResult"].take();
        let mut policies = BTreeMap::new();
        for policy in several(&answer["Policies"]["member"]) {
            let arn = text(&policy["Arn"]);
            let mut policy = policy.clone();
            let tags = format!("Action=ListPolicyTags&PolicyArn={}", encoded(&arn));
            policy["Tags"] = self.iam(&tags).await["ListPolicyTagsResult"]["Tags"].take();
            policies.insert(arn, policy);
        }
        json!({ "policies": policies, "roles": answer["RoleDetailList"].take(), "users": answer["UserDetailList"].take() })
    }

    async fn s3(&self, path: &str) -> Answer {
        self.s3_with(Method::GET, path).await
    }

    async fn s3_with(&self, method: Method, path: &str) -> Answer {
        self.ask("s3", "us-east-1", method, path, &[], String::new()).await
    }

    async fn dynamodb(&self, region: &str, operation: &str, body: &Value) -> Value {
        let headers = [
            ("x-amz-target", format!("DynamoDB_20120810.{operation}")),
            ("content-type", "application/x-amz-json-1.0".to_owned()),
        ];
        json_of(&self.ask("dynamodb", region, Method::POST, "/", &headers, body.to_string()).await)
    }

    async fn kms(&self, region: &str, operation: &str, body: &Value) -> Value {
        let headers = [
            ("x-amz-target", format!("TrentService.{operation}")),
            ("content-type", "application/x-amz-json-1.1".to_owned()),
        ];
        json_of(&self.ask("kms", region, Method::POST, "/", &headers, body.to_string()).await)
    }

    async fn iam(&self, form: &str) -> Value {
        let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        let body = format!("{form}&Version=2010-05-08");
        xml::parse(&self.ask("iam", "us-east-1", Method::POST, "/", &headers, body).await.text())
    }

    async fn ask(
        &self,
        service: &str,
        region: &str,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Answer {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let mut map = HeaderMap::new();
        map.insert("host", "localhost".parse().expect("a header's value"));
        map.insert("authorization", scope.parse().expect("a header's value"));
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header's value"));
        }
        let uri = path.parse().expect("a path and query");
        self.upstream.send(&Request { method, uri, headers: map, body: body.into() }).await
    }
}

/// Replaces what is drawn at random: a key's id by its alias, the others by a word.
fn comparable(mut dump: Value) -> Value {
    let names = key_names(&dump);
    let keys = dump["keys"].take();
    dump["keys"] = keys.as_object().into_iter().flatten().map(|(_, key)| key.clone()).collect();
    replace_drawn(&mut dump);
    let mut text = dump.to_string();
    for (id, name) in names {
        text = text.replace(&id, &name);
    }
    let mut dump: Value = serde_json::from_str(&text).expect("names keep JSON well-formed");
    let keys = dump["keys"].as_array_mut().expect("a list of keys");
    keys.sort_by_cached_key(Value::to_string);
    sort_tags(&mut dump);
    dump
}

/// The ids of all keys, each with its alias.
fn key_names(dump: &Value) -> Vec<(String, String)> {
    let keys = dump["keys"].as_object().into_iter().flatten();
    keys.map(|(id, key)| (id.clone(), key["Aliases"][0].as_str().unwrap_or("[KEY WITHOUT ALIAS]").to_owned()))
        .collect()
}

/// Sorts lists of tags, which no service promises an order of.
fn sort_tags(value: &mut Value) {
    walk(value, &|map| {
        for list in map.values_mut().filter_map(Value::as_array_mut) {
            if list.iter().all(|tag| tag.get("Value").or_else(|| tag.get("TagValue")).is_some()) {
                list.sort_by_cached_key(Value::to_string);
            }
        }
    });
}

/// Reads the documents that IAM writes percent-encoded.
fn read_documents(value: &mut Value) {
    walk(value, &|map| {
        for name in ["AssumeRolePolicyDocument", "Document", "PolicyDocument"] {
            let Some(Value::String(encoded)) = map.get(name) else { continue };
            let document = percent_encoding::percent_decode_str(encoded).decode_utf8_lossy();
            if let Ok(document) = serde_json::from_str(&document) {
                map.insert(name.to_owned(), document);
            }
        }
    });
}

fn replace_drawn(value: &mut Value) {
    walk(value, &|map| {
        for (name, word) in DRAWN {
            // The versions of an IAM policy are counted, not drawn.
            if let Some(drawn) =
                map.get_mut(name).filter(|drawn| drawn.as_str().is_some_and(|id| id.len() > 4))
            {
                *drawn = word.into();
            }
        }
    });
}

fn forget_moments(value: &mut Value) {
    walk(value, &|map| map.retain(|name, _| !MOMENTARY.contains(&name.as_str())));
}

/// Changes every object in `value`.
fn walk(value: &mut Value, change: &impl Fn(&mut Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            change(map);
            map.values_mut().for_each(|value| walk(value, change));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| walk(value, change)),
        _ => {}
    }
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A list that XML may have shortened to its only element.
fn several(value: &Value) -> std::slice::Iter<'_, Value> {
    match value {
        Value::Null => [].iter(),
        Value::Array(list) => list.iter(),
        one => std::slice::from_ref(one).iter(),
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
