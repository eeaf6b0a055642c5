//! `lock` and `status` against locks that are put there as Terraform would, or as nobody should.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{Output, TestEnv};
use crate::ground::{Fault, On};

pub(crate) const BUCKET: &str = "acme-tfstate-123456789012-eu-west-1";
pub(crate) const TABLE: &str = "acme-tfstate-locks";

/// Every way to keep locks.
const MODES: [&str; 3] = ["dynamodb", "s3", "both"];

/// A backend that is there, in one lock mode, with the locks that a test puts on its states.
pub(crate) struct Site {
    pub(crate) env: TestEnv,
    pub(crate) mode: &'static str,
}

impl Site {
    pub(crate) fn new(mode: &'static str) -> Self {
        let env = TestEnv::new();
        let config = format!(
            "project = \"acme\"\n\nbackend \"main\" {{\n  region = \"eu-west-1\"\n  lock   = \"{mode}\"\n}}\n\n\
             environment \"dev\" {{}}\nenvironment \"prod\" {{}}\n"
        );
        env.write("underpin.hcl", config);
        env.run(["apply", "--auto-approve"]).expect_code(0);
        env.forget_calls();
        Self { env, mode }
    }

    fn in_table(&self) -> bool {
        self.mode != "s3"
    }

    fn beside(&self) -> bool {
        self.mode != "dynamodb"
    }

    /// Puts content where a lock on `key` is kept, in every place of this mode.
    fn put(&self, key: &str, content: &str) {
        if self.beside() {
            self.put_object(key, content);
        }
        if self.in_table() {
            self.put_item(key, Some(AttributeValue::S(content.to_owned())));
        }
    }

    fn put_object(&self, key: &str, content: &str) {
        let account = self.env.account();
        let body = content.as_bytes().to_vec().into();
        let put = account.s3.put_object().bucket(BUCKET).key(format!("{key}.tflock")).body(body);
        account.wait(put.send()).unwrap();
    }

    fn put_item(&self, key: &str, info: Option<AttributeValue>) {
        let account = self.env.account();
        let put = account.dynamodb.put_item().table_name(TABLE).set_item(Some(
            info.map(|info| ("Info".to_owned(), info))
                .into_iter()
                .chain([("LockID".to_owned(), AttributeValue::S(format!("{BUCKET}/{key}")))])
                .collect(),
        ));
        account.wait(put.send()).unwrap();
    }

    pub(crate) fn delete(&self, key: &str) {
        let account = self.env.account();
        if self.beside() {
            let delete = account.s3.delete_object().bucket(BUCKET).key(format!("{key}.tflock"));
            account.wait(delete.send()).unwrap();
        }
        if self.in_table() {
            let id = AttributeValue::S(format!("{BUCKET}/{key}"));
            let delete = account.dynamodb.delete_item().table_name(TABLE).key("LockID", id);
            account.wait(delete.send()).unwrap();
        }
    }

    /// Takes the lock as Terraform does: each half on the condition that nobody holds it, and the first one back where
    /// the second is held.
    pub(crate) fn try_take(&self, key: &str, content: &str) -> bool {
        let account = self.env.account();
        if self.beside() {
            let body = content.as_bytes().to_vec().into();
            let put = account.s3.put_object().bucket(BUCKET).key(format!("{key}.tflock"));
            if account.wait(put.if_none_match("*").body(body).send()).is_err() {
                return false;
            }
        }
        if self.in_table() {
            let put = account
                .dynamodb
                .put_item()
                .table_name(TABLE)
                .item("LockID", AttributeValue::S(format!("{BUCKET}/{key}")))
                .item("Info", AttributeValue::S(content.to_owned()))
                .condition_expression("attribute_not_exists(LockID)");
            if account.wait(put.send()).is_err() {
                if self.beside() {
                    let delete = account.s3.delete_object().bucket(BUCKET).key(format!("{key}.tflock"));
                    account.wait(delete.send()).unwrap();
                }
                return false;
            }
        }
        true
    }

    /// What the places of this mode hold for `key`.
    pub(crate) fn held(&self, key: &str) -> Vec<String> {
        let account = self.env.account();
        let mut held = Vec::new();
        if self.beside() {
            let get = account.s3.get_object().bucket(BUCKET).key(format!("{key}.tflock"));
            if let Ok(object) = account.wait(get.send()) {
                let bytes = account.wait(object.body.collect()).unwrap().to_vec();
                held.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        if self.in_table() {
            let id = AttributeValue::S(format!("{BUCKET}/{key}"));
            let get = account.dynamodb.get_item().table_name(TABLE).key("LockID", id);
            let item = account.wait(get.send()).unwrap().item;
            held.extend(item.map(|item| format!("{:?}", item.get("Info"))));
        }
        held
    }

    pub(crate) fn json<const N: usize>(&self, args: [&str; N]) -> Value {
        let output = self.env.underpin(args).args(["--json"]).run().expect_code(0);
        assert_eq!(output.stdout.lines().count(), 1, "{output}");
        let value: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(value["format"], 1);
        value
    }

    fn list(&self) -> Vec<Value> {
        self.json(["lock", "list"])["locks"].as_array().unwrap().clone()
    }

    fn records(&self) -> Vec<Value> {
        let account = self.env.account();
        let list = account.s3.list_objects_v2().bucket(BUCKET).prefix("underpin/records/");
        let list = account.wait(list.send()).unwrap();
        list.contents()
            .iter()
            .map(|object| {
                let get = account.s3.get_object().bucket(BUCKET).key(object.key().unwrap());
                let body = account.wait(get.send()).unwrap().body;
                serde_json::from_slice(&account.wait(body.collect()).unwrap().to_vec()).unwrap()
            })
            .collect()
    }
}

fn content(id: &str, created: &str) -> String {
    format!(
        "{{\"ID\":\"{id}\",\"Operation\":\"OperationTypeApply\",\"Info\":\"\",\"Who\":\"ada@host\",\"Version\":\"1.11.4\",\
         \"Created\":\"{created}\",\"Path\":\"\"}}"
    )
}

/// Long ago, so that only the lock's age is judged where its place does not tell the time itself.
const LONG_AGO: &str = "2024-02-29T23:59:59.123456789Z";

fn release<const N: usize>(site: &Site, args: [&str; N]) -> Output {
    site.env.underpin(["lock", "release"]).args(args).run()
}

#[test]
fn a_lock_is_listed_and_released_and_the_release_recorded() {
    for mode in MODES {
        let site = Site::new(mode);
        site.put("dev/main.tfstate", &content("1", LONG_AGO));
        site.put("dev/env:/try/dev/main.tfstate", &content("2", LONG_AGO));
        site.put("elsewhere/Odd Key", &content("3", LONG_AGO));

        let listed = site.list();

        let told: Vec<_> = listed
            .iter()
            .map(|lock| {
                (lock["state"].as_str().unwrap(), lock["workspace"].clone(), lock["id"].as_str().unwrap())
            })
            .collect();
        assert_eq!(
            told,
            [
                ("dev/env:/try/dev/main.tfstate", json!("try"), "2"),
                ("dev/main.tfstate", json!("default"), "1"),
                ("elsewhere/Odd Key", Value::Null, "3"),
            ]
        );
        assert!(listed.iter().all(|lock| lock["kind"] == mode), "{listed:?}");
        assert_eq!(site.env.writes(), Vec::<String>::new());

        let gone = ["dev", "--id", "1", "--reason", "the machine is gone"];
        release(&site, gone).expect_code(0);
        release(&site, ["dev@try", "--id", "2"]).expect_code(0);
        release(&site, ["elsewhere/Odd Key", "--id", "3"]).expect_code(0);

        assert_eq!(site.list(), Vec::<Value>::new());
        let records = site.records();
        assert_eq!(records.len(), 3, "{records:?}");
        let record = records.iter().find(|record| record["state"] == "dev/main.tfstate").unwrap();
        assert_eq!(record["event"], "release");
        assert_eq!(record["reason"], "the machine is gone");
        assert!(record["caller"].as_str().unwrap().starts_with("arn:"));
        assert_eq!(record["lock"][0]["content"], content("1", LONG_AGO));
    }
}

#[test]
fn every_malformed_lock_is_listed_and_released() {
    for mode in MODES {
        let site = Site::new(mode);
        let contents = [
            "{",
            "not json",
            "\"text\"",
            "{}",
            "{\"ID\":1}",
            "{\n  \"ID\": \"9\",\n  \"Created\": \"soon\"\n}",
        ];
        for (number, content) in contents.iter().enumerate() {
            site.put(&format!("dev/c{number}.tfstate"), content);
        }
        let mut count = contents.len();
        if site.beside() && !site.in_table() {
            site.put_object("dev/empty.tfstate", "");
            count += 1;
        }
        if site.in_table() && !site.beside() {
            site.put_item("dev/none.tfstate", None);
            site.put_item("dev/number.tfstate", Some(AttributeValue::N("1".to_owned())));
            count += 2;
        }

        let listed = site.list();

        assert_eq!(listed.len(), count);
        assert!(listed.iter().all(|lock| lock["judgement"] == "broken"), "{listed:?}");
        let refused = release(&site, ["dev/c0"]).expect_code(3);
        assert!(refused.stderr.contains("--broken"), "{refused}");
        release(&site, ["dev/c0", "--broken"]).expect_code(0);
        release(&site, ["--broken", "--auto-approve"]).expect_code(0);
        assert_eq!(site.list(), Vec::<Value>::new());
    }
}

#[test]
fn half_a_lock_is_broken_and_can_be_released() {
    let site = Site::new("both");
    site.put_object("dev/a.tfstate", &content("1", LONG_AGO));
    site.put_item("dev/b.tfstate", Some(AttributeValue::S(content("2", LONG_AGO))));

    for lock in site.list() {
        assert_eq!((&lock["kind"], &lock["judgement"]), (&json!("half of both"), &json!("broken")));
    }
    release(&site, ["dev/a", "--id", "1", "--broken"]).expect_code(0);
    release(&site, ["dev/b", "--id", "2", "--broken"]).expect_code(0);

    assert_eq!(site.list(), Vec::<Value>::new());
}

#[test]
fn only_the_lock_with_the_id_is_released() {
    for mode in MODES {
        let site = Site::new(mode);
        site.put("dev/main.tfstate", &content("1", LONG_AGO));

        let wrong = release(&site, ["dev", "--id", "2"]).expect_code(3);
        assert!(wrong.stderr.contains("has the id 1, held by ada@host"), "{wrong}");
        let none = release(&site, ["prod", "--id", "1"]).expect_code(1);
        assert!(none.stderr.contains("nobody holds the lock on `prod`"), "{none}");
        let unknown = release(&site, ["prd", "--id", "1"]).expect_code(1);
        assert!(unknown.stderr.contains("Did you mean `prod`?"), "{unknown}");
        release(&site, ["Nothing", "--id", "1"]).expect_code(1);
        let unasked = release(&site, ["dev"]).expect_code(1);
        assert!(unasked.stderr.contains("--id"), "{unasked}");
        release(&site, []).expect_code(64);

        assert_eq!(site.env.writes(), Vec::<String>::new());
        assert!(!site.held("dev/main.tfstate").is_empty());
    }
}

#[test]
fn several_are_shown_before_they_are_released_and_active_ones_stay() {
    for mode in MODES {
        let site = Site::new(mode);
        site.put("dev/main.tfstate", &content("1", LONG_AGO));
        site.put("prod/main.tfstate", &content("2", LONG_AGO).replace("ada@", "ci-7@"));

        if site.beside() {
            // The place itself tells that both were taken just now, whatever their holders say.
            let refused = release(&site, ["--all", "--auto-approve"]).expect_code(3);
            assert!(refused.stdout.contains("--force"), "{refused}");
            let young = release(&site, ["--older-than", "1h", "--auto-approve"]).expect_code(0);
            assert!(young.stdout.contains("No lock is held that this selects"), "{young}");
        }
        let dry = release(&site, ["--all", "--force"]).expect_code(1);
        assert!(dry.stdout.contains("dev/main") && dry.stderr.contains("--auto-approve"), "{dry}");
        assert_eq!(site.env.writes(), Vec::<String>::new(), "{dry}");

        release(&site, ["--holder", "ci-?@*", "--force", "--auto-approve"]).expect_code(0);
        assert_eq!(site.list().len(), 1);
        release(&site, ["--all", "--force", "--auto-approve"]).expect_code(0);
        assert_eq!(site.list(), Vec::<Value>::new());
    }
}

#[test]
fn a_lock_that_changes_hands_is_never_taken_from_its_new_holder() {
    for mode in MODES {
        let site = Site::new(mode);
        let key = "dev/main.tfstate";
        let mut taken_over = 0;
        for round in 0..100_u64 {
            let (old, new) = (format!("old-{round}"), format!("new-{round}"));
            site.put(key, &content(&old, LONG_AGO));
            let process =
                site.env.underpin(["lock", "release", "dev", "--force", "--id"]).args([&old]).spawn();
            // The old holder ends by itself, at some moment of the release; the next one takes the lock at once.
            std::thread::sleep(Duration::from_millis(round * 7 % 90));
            if !site.held(key).iter().any(|held| held.contains(&new)) && round % 2 == 0 {
                site.delete(key);
            }
            while !site.try_take(key, &content(&new, LONG_AGO)) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let output = process.wait();

            assert!([0, 1, 3].contains(&output.code), "{output}");
            taken_over += usize::from(output.code == 3);
            let held = site.held(key);
            let halves = if mode == "both" { 2 } else { 1 };
            assert_eq!(held.len(), halves, "{mode}, round {round}: {held:?}\n{output}");
            assert!(held.iter().all(|held| held.contains(&new)), "{mode}, round {round}: {held:?}\n{output}");
            site.delete(key);
        }
        assert!(taken_over > 0, "{mode}: no round met the moment");
    }
}

#[test]
fn a_release_whose_answer_is_lost_is_done_and_recorded_or_gone() {
    for mode in MODES {
        let site = Site::new(mode);
        site.put("dev/main.tfstate", &content("1", LONG_AGO));
        for operation in ["s3:DeleteObject", "dynamodb:DeleteItem"] {
            site.env.proxy().inject(On::call(operation).nth(1), Fault::AnswerLost);
        }

        release(&site, ["dev", "--id", "1"]).expect_code(0);

        assert_eq!(site.list(), Vec::<Value>::new());
    }
}

#[test]
fn a_release_that_can_not_be_recorded_is_a_warning() {
    let site = Site::new("dynamodb");
    site.put("dev/main.tfstate", &content("1", LONG_AGO));
    site.env.proxy().inject(On::call("s3:PutObject"), Fault::AccessDenied);

    let output = release(&site, ["dev", "--id", "1"]).expect_code(0);

    assert!(output.stderr.contains("the release is not recorded"), "{output}");
    assert_eq!(site.list(), Vec::<Value>::new());
}

#[test]
fn a_denied_scan_is_made_up_for_and_said() {
    let site = Site::new("dynamodb");
    site.put("dev/main.tfstate", &content("1", LONG_AGO));
    site.put("dev/unknown.tfstate", &content("2", LONG_AGO));
    site.env.proxy().inject(On::call("dynamodb:Scan"), Fault::AccessDenied);

    let value = site.json(["lock", "list"]);

    let ids: Vec<_> = value["locks"].as_array().unwrap().iter().map(|lock| &lock["id"]).collect();
    assert_eq!(ids, ["1"]);
    assert!(value["unseen"][0].as_str().unwrap().contains("a lock on another state is not seen"), "{value}");
    let human = site.env.run(["lock", "list"]).expect_code(0);
    assert!(human.stderr.contains("dynamodb:Scan"), "{human}");
}

#[test]
fn a_table_that_is_no_lock_table_is_said_to_be_none() {
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    };

    for filled in [true, false] {
        let site = Site::new("dynamodb");
        let account = site.env.account();
        let attribute =
            AttributeDefinition::builder().attribute_name("Id").attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name("Id").key_type(KeyType::Hash);
        let create = account
            .dynamodb
            .create_table()
            .table_name("other")
            .attribute_definitions(attribute.build().unwrap())
            .key_schema(key.build().unwrap())
            .billing_mode(BillingMode::PayPerRequest);
        account.wait(create.send()).unwrap();
        if filled {
            let id = AttributeValue::S("1".to_owned());
            account.wait(account.dynamodb.put_item().table_name("other").item("Id", id).send()).unwrap();
        }
        let config =
            site.env.read("underpin.hcl").replace("lock   =", "table { name = \"other\" }\n  lock   =");
        site.env.write("underpin.hcl", config);

        let output = site.env.run(["lock", "list"]).expect_code(1);

        assert!(output.stderr.contains("failed to list the locks of backend `main`"), "{output}");
        assert!(!filled || output.stderr.contains("`other` is no lock table"), "{output}");
    }
}

#[test]
fn nothing_that_a_lock_says_reaches_a_terminal_as_a_command() {
    let site = Site::new("s3");
    site.put("dev/main.tfstate", &content("1", LONG_AGO).replace("ada@host", "\\u001b[2J\\u0007ada"));

    for args in [vec!["lock", "list"], vec!["lock", "show", "dev"], vec!["lock", "history"]] {
        let program =
            args.iter().fold(site.env.underpin(["--color", "always"]), |program, arg| program.args([*arg]));
        let output = program.run().expect_code(0);
        assert!(output.stdout.contains("\\u{1b}[2J\\u{7}ada"), "{output}");
        assert!(!output.stdout.contains("\u{1b}[2J"), "{output}");
    }
}

#[test]
fn history_tells_what_a_script_did() {
    let site = Site::new("s3");
    for id in ["1", "2", "3"] {
        assert!(site.try_take("dev/main.tfstate", &content(id, LONG_AGO)));
        site.delete("dev/main.tfstate");
    }
    site.put("dev/main.tfstate", &content("4", LONG_AGO));
    release(&site, ["dev", "--id", "4", "--reason", "stuck"]).expect_code(0);
    site.put("dev/main.tfstate", &content("5", LONG_AGO));

    let value = site.json(["lock", "history", "dev"]);

    let holds = value["holds"].as_array().unwrap();
    let mut told: Vec<_> =
        holds.iter().map(|hold| (hold["id"].as_str().unwrap(), hold["end"].as_str().unwrap())).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [("1", "removed"), ("2", "removed"), ("3", "removed"), ("4", "released"), ("5", "held")]
    );
    let released = holds.iter().find(|hold| hold["id"] == "4").unwrap();
    assert_eq!(released["reason"], "stuck");
    assert_eq!(value["summary"]["count"], 5);
    assert_eq!(value["summary"]["holders"]["ada@host"], 5);
    assert_eq!(site.json(["lock", "history", "prod"])["holds"], json!([]));
}

#[test]
fn history_in_a_table_is_what_records_tell() {
    let site = Site::new("dynamodb");
    site.put("dev/main.tfstate", &content("1", LONG_AGO));
    release(&site, ["dev", "--id", "1", "--reason", "stuck"]).expect_code(0);
    site.put("dev/main.tfstate", &content("2", LONG_AGO));

    let value = site.json(["lock", "history"]);

    let ends: Vec<_> =
        value["holds"].as_array().unwrap().iter().map(|hold| (&hold["id"], &hold["end"])).collect();
    assert_eq!(ends.len(), 2, "{value}");
    assert!(ends.contains(&(&json!("1"), &json!("released"))));
    assert!(ends.contains(&(&json!("2"), &json!("held"))));
}

#[test]
fn watching_tells_what_happens_and_costs_one_query_each_time() {
    for mode in ["dynamodb", "s3"] {
        let site = Site::new(mode);
        for number in 0..20 {
            let account = site.env.account();
            let put = account.s3.put_object().bucket(BUCKET).key(format!("dev/c{number}.tfstate"));
            account.wait(put.send()).unwrap();
        }
        site.put("dev/c1.tfstate", &content("0", LONG_AGO));
        let watch = site.env.underpin(["lock", "watch", "--interval", "1s", "--json"]).spawn();
        let query = if mode == "s3" { "s3:ListObjectsV2" } else { "dynamodb:Scan" };
        let queries = || site.env.calls().iter().filter(|call| call.operation() == query).count();
        let wait = |count: usize| {
            let began = std::time::Instant::now();
            while queries() < count {
                assert!(began.elapsed() < Duration::from_mins(1), "no query");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        wait(1);
        std::thread::sleep(Duration::from_millis(300));
        site.put("dev/main.tfstate", &content("1", LONG_AGO));
        wait(queries() + 2);
        site.delete("dev/main.tfstate");
        wait(queries() + 2);
        std::thread::sleep(Duration::from_millis(300));
        watch.signal(Signal::INT);
        let output = watch.wait().expect_code(130);

        let lines: Vec<Value> =
            output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line["type"].as_str().unwrap(), line["id"].as_str().unwrap_or("-")))
            .collect();
        assert_eq!(told, [("begin", "-"), ("taken", "0"), ("taken", "1"), ("released", "1")], "{output}");
        let reads = site.env.calls().iter().filter(|call| call.operation() == "s3:GetObject").count();
        assert_eq!(reads, if mode == "s3" { 2 } else { 0 }, "a lock is read once");
        assert_eq!(site.env.writes(), Vec::<String>::new());
    }
}

#[test]
fn status_tells_health_locks_and_states() {
    let site = Site::new("s3");
    let account = site.env.account();
    site.put("dev/main.tfstate", &content("1", LONG_AGO));
    for _ in 0..2 {
        let put = account.s3.put_object().bucket(BUCKET).key("dev/main.tfstate").body(b"{}".to_vec().into());
        account.wait(put.send()).unwrap();
    }

    let value = site.json(["status"]);

    let backend = &value["backends"][0];
    assert_eq!(backend["health"], "as desired", "{value}");
    assert_eq!(backend["locks"][0]["id"], "1");
    let environments = backend["environments"].as_array().unwrap();
    assert_eq!(environments.len(), 2, "{value}");
    assert_eq!(environments[0]["environment"], "dev");
    let counts = ["states", "bytes", "versions", "version_bytes"].map(|name| environments[0][name].clone());
    assert_eq!(counts, [json!(1), json!(2), json!(2), json!(4)]);
    assert_eq!(environments[0]["last_writer"], "ada@host");
    assert_eq!(environments[1]["states"], 0);
    site.env.run(["status"]).expect_code(0);
}

#[test]
fn what_is_not_there_yet_is_said() {
    let env = TestEnv::new();
    env.write("underpin.hcl", crate::apply::MINIMAL);

    let list = env.run(["lock", "list"]).expect_code(1);
    let status = env.run(["status"]).expect_code(0);

    assert!(list.stderr.contains("`underpin apply` makes it"), "{list}");
    assert!(status.stdout.contains("not there"), "{status}");
}
