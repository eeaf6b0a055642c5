//! The real Terraform in the backend that was made: it locks, writes and reads, and all that it leaves lies where the
//! environment's policies reach.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use md5::{Digest as _, Md5};
use serde_json::Value;

use crate::common::{Engine, Output, Process, TestEnv, engines_or_skip, lockfile_engines_or_skip};

const BUCKET: &str = "acme-tfstate-123456789012-eu-west-1";
const TABLE: &str = "acme-tfstate-locks";

/// A resource that needs no provider, and takes as long as the test wants where it is told so.
const MAIN: &str = r#"
variable "content" {
  default = "small"
}

variable "waits" {
  default = false
}

resource "terraform_data" "content" {
  input            = var.content == "large" ? file("large.txt") : var.content
  triggers_replace = var.content

  provisioner "local-exec" {
    command = var.waits ? "touch begun; until [ -e go ]; do sleep 0.02; done" : "true"
  }
}
"#;

/// Above what Terraform sends in one part, 5 MiB.
const LARGE: usize = 5 * 1024 * 1024 + 1;

#[test]
fn terraform_works_with_locks_in_a_table() {
    for engine in engines_or_skip("terraform_works_with_locks_in_a_table") {
        Backend::new(engine, "dynamodb").works();
    }
}

#[test]
fn terraform_works_with_locks_beside_the_state() {
    for engine in lockfile_engines_or_skip("terraform_works_with_locks_beside_the_state") {
        Backend::new(engine, "s3").works();
    }
}

#[test]
fn terraform_works_with_both_locks() {
    for engine in lockfile_engines_or_skip("terraform_works_with_both_locks") {
        Backend::new(engine, "both").works();
    }
}

/// What `apply` made for two environments, in one lock mode, and a Terraform to try it with.
struct Backend {
    env: TestEnv,
    engine: Engine,
    lock: &'static str,
}

impl Backend {
    fn new(engine: Engine, lock: &'static str) -> Self {
        let env = TestEnv::new();
        let config = format!(
            "project = \"acme\"\n\nbackend \"main\" {{\n  region = \"eu-west-1\"\n  lock   = \"{lock}\"\n}}\n\n\
             environment \"dev\" {{}}\nenvironment \"dev2\" {{}}\n"
        );
        env.write("underpin.hcl", config);
        for name in ["dev", "dev2"] {
            env.write(format!("environments/{name}/main.tf"), MAIN);
        }
        env.write("environments/dev/large.txt", "x".repeat(LARGE));
        env.run(["apply", "--auto-approve"]).expect_code(0);
        Self { env, engine, lock }
    }

    /// One way through everything that a team does with a state, since each call of Terraform takes a second.
    fn works(&self) {
        self.terraform("dev2", ["init"]);
        self.terraform("dev2", ["apply", "-auto-approve"]);
        let neighbour = self.versions("dev2/");

        self.terraform("dev", ["init"]);
        self.a_second_apply_is_refused_while_the_first_holds_the_lock();
        self.left("dev/main.tfstate");

        self.terraform("dev", ["workspace", "new", "try"]);
        self.terraform("dev", ["apply", "-auto-approve"]);
        self.left("dev/env:/try/dev/main.tfstate");
        self.terraform("dev", ["workspace", "select", "default"]);
        self.terraform("dev", ["workspace", "delete", "-force", "try"]);
        assert_eq!(self.digest("dev/env:/try/dev/main.tfstate"), None, "a digest without a state");

        self.a_state_of_several_parts_is_written_and_read();
        self.left("dev/main.tfstate");

        assert_eq!(self.versions("dev2/"), neighbour, "another environment was touched");
        self.left("dev2/main.tfstate");
    }

    fn a_second_apply_is_refused_while_the_first_holds_the_lock(&self) {
        let first = self.begin("dev", ["apply", "-auto-approve", "-var=waits=true"]);
        wait_until_there(&self.env.path("environments/dev/begun"));
        let item = self.locks_in_table().then(|| format!("{BUCKET}/dev/main.tfstate"));
        let object = self.locks_beside().then(|| "dev/main.tfstate.tflock".to_owned());
        assert_eq!(self.locks(), item.into_iter().chain(object).collect::<Vec<_>>());

        let second = self.begin("dev", ["apply", "-auto-approve"]).wait();
        self.env.write("environments/dev/go", "");
        first.wait().expect_code(0);

        let second = second.expect_code(1);
        assert!(second.stderr.contains("Error acquiring the state lock"), "{second}");
    }

    fn a_state_of_several_parts_is_written_and_read(&self) {
        self.env.forget_calls();
        self.terraform("dev", ["apply", "-auto-approve", "-var=content=large"]);
        let parts = self.env.calls().iter().filter(|call| call.operation() == "s3:UploadPart").count();
        assert!(parts > 1, "the state is too small to be sent in parts");
        let pulled = self.terraform("dev", ["state", "pull"]).stdout;
        assert!(pulled.len() > LARGE, "{} bytes", pulled.len());
    }

    /// Asserts on what is there once Terraform has ended: the state under our key, its digest, no lock, nothing elsewhere.
    #[track_caller]
    fn left(&self, key: &str) {
        let md5 = self.md5(key);
        assert_eq!(self.digest(key), self.locks_in_table().then_some(md5), "{key}");
        assert_eq!(self.locks(), Vec::<String>::new(), "a lock was left");
        let dump = self.env.account().dump();
        assert_eq!(dump["tables"].as_object().unwrap().is_empty(), !self.locks_in_table());
        let arn = dump["keys"].as_object().unwrap().values().next().unwrap()["Arn"].clone();
        for (key, versions) in dump["buckets"][BUCKET]["objects"].as_object().unwrap() {
            assert!(is_within(key), "{key}");
            for version in versions.as_array().unwrap().iter().filter(|version| version["Size"].is_string()) {
                assert_eq!(version["x-amz-server-side-encryption"], "aws:kms", "{key}");
                assert_eq!(version["x-amz-server-side-encryption-aws-kms-key-id"], arn, "{key}");
            }
        }
        for id in self.items().iter().map(lock_id) {
            assert!(id.strip_prefix(&format!("{BUCKET}/")).is_some_and(is_within), "{id}");
        }
        assert_eq!(dump["buckets"][BUCKET]["uploads"], Value::Null, "an upload was left");
    }

    fn locks_in_table(&self) -> bool {
        self.lock != "s3"
    }

    fn locks_beside(&self) -> bool {
        self.lock != "dynamodb"
    }

    /// Where locks are held: items of the table, then objects of the bucket.
    fn locks(&self) -> Vec<String> {
        let items = self.items();
        let items = items.iter().filter(|item| item.contains_key("Info")).map(lock_id);
        let account = self.env.account();
        let list = account.wait(account.s3.list_objects_v2().bucket(BUCKET).send()).unwrap();
        let keys = list.contents().iter().filter_map(|object| object.key()).map(str::to_owned);
        items.chain(keys.filter(|key| key.ends_with(".tflock"))).collect()
    }

    fn items(&self) -> Vec<HashMap<String, AttributeValue>> {
        if !self.locks_in_table() {
            return Vec::new();
        }
        let account = self.env.account();
        account.wait(account.dynamodb.scan().table_name(TABLE).send()).unwrap().items().to_vec()
    }

    fn digest(&self, key: &str) -> Option<String> {
        let items = self.items();
        let item = items.iter().find(|item| lock_id(item) == format!("{BUCKET}/{key}-md5"))?;
        Some(item["Digest"].as_s().unwrap().clone())
    }

    fn md5(&self, key: &str) -> String {
        let account = self.env.account();
        let state = account.wait(account.s3.get_object().bucket(BUCKET).key(key).send()).unwrap();
        let bytes = account.wait(state.body.collect()).unwrap().to_vec();
        format!("{:032x}", u128::from_be_bytes(Md5::digest(bytes).into()))
    }

    /// Every version of what lies under `prefix`.
    fn versions(&self, prefix: &str) -> BTreeMap<String, Value> {
        let dump = self.env.account().dump();
        let objects = dump["buckets"][BUCKET]["objects"].as_object().unwrap().clone();
        objects.into_iter().filter(|(key, _)| key.starts_with(prefix)).collect()
    }

    fn begin<const N: usize>(&self, environment: &str, args: [&str; N]) -> Process<'_> {
        self.env.engine(&self.engine, &format!("environments/{environment}"), args).spawn()
    }

    #[track_caller]
    fn terraform<const N: usize>(&self, environment: &str, args: [&str; N]) -> Output {
        self.begin(environment, args).wait().expect_code(0)
    }
}

fn lock_id(item: &HashMap<String, AttributeValue>) -> String {
    item["LockID"].as_s().unwrap().clone()
}

/// Whether a key belongs to one of the two environments.
fn is_within(key: &str) -> bool {
    key.starts_with("dev/") || key.starts_with("dev2/")
}

fn wait_until_there(path: &Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < Duration::from_mins(1), "{} is not there", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}
