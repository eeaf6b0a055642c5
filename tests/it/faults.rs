//! Every call, every fault: whatever happens to one call of a run, the account ends as if nothing had, at the latest with
//! the next run.
//!
//! A scenario is run once undisturbed: its calls are the places where things can go wrong, and what it leaves behind is
//! what every disturbed run must end in. `make test` strikes each place with one fault, in turn; `make soak` with all.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use serde_json::Value;

use crate::common::{Output, TestEnv, differences};
use crate::ground::{Call, Fault, On};

/// Makes the whole matrix be tried.
const SOAK: &str = "UNDERPIN_TEST_SOAK";

/// How many cases are tried at once.
const AT_ONCE: usize = 3;

/// A command and what it finds.
struct Scenario {
    name: &'static str,
    /// Makes the account and the folder that the command finds.
    prepare: fn(&TestEnv),
    command: &'static [&'static str],
    /// The calls whose first answer may be "denied" without harm: they ask for parts of what is not there.
    needless: &'static [&'static str],
}

const FRESH_APPLY: Scenario = Scenario {
    name: "fresh apply",
    prepare: |env| env.write("underpin.hcl", BACKEND),
    command: &["apply", "--auto-approve"],
    needless: &[
        "dynamodb:DescribeContinuousBackups",
        "dynamodb:DescribeTimeToLive",
        "dynamodb:ListTagsOfResource",
        "s3:GetBucketEncryption",
        "s3:GetBucketLifecycleConfiguration",
        "s3:GetBucketOwnershipControls",
        "s3:GetBucketPolicy",
        "s3:GetBucketTagging",
        "s3:GetBucketVersioning",
        "s3:GetObjectLockConfiguration",
        "s3:GetPublicAccessBlock",
    ],
};

#[test]
fn a_fresh_apply_ends_in_the_same_world_whatever_happens_to_one_call() {
    hold(&FRESH_APPLY);
}

const REPAIRING_APPLY: Scenario = Scenario {
    name: "drift-repairing apply",
    prepare: drifted,
    command: &["apply", "--auto-approve"],
    needless: &[],
};

#[test]
fn a_repairing_apply_ends_in_the_same_world_whatever_happens_to_one_call() {
    hold(&REPAIRING_APPLY);
}

/// Makes a backend, and changes something of every kind of resource by hand.
fn drifted(env: &TestEnv) {
    env.write("underpin.hcl", BACKEND);
    env.run(["apply", "--auto-approve"]).expect_code(0);
    env.forget_calls();
    let account = env.account();
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let versioning = account.s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(suspended);
    account.wait(versioning.send()).unwrap();
    account.wait(account.s3.delete_bucket_policy().bucket(BUCKET).send()).unwrap();
    account.wait(account.s3.delete_bucket_lifecycle().bucket(BUCKET).send()).unwrap();
    let table = account.dynamodb.update_table().table_name("acme-tfstate-locks");
    account.wait(table.deletion_protection_enabled(false).send()).unwrap();
    let key = account.wait(account.kms.describe_key().key_id("alias/acme-tfstate").send()).unwrap();
    let key = key.key_metadata.expect("a key has metadata").key_id;
    account.wait(account.kms.disable_key_rotation().key_id(key).send()).unwrap();
    // As many versions as a policy can have: one has to go before another can come.
    for _ in 0..4 {
        let version = account.iam.create_policy_version().policy_arn(POLICY).policy_document(FOREIGN);
        account.wait(version.set_as_default(true).send()).unwrap();
    }
}

const BUCKET: &str = "acme-tfstate-123456789012-eu-west-1";
const POLICY: &str = "arn:aws:iam::123456789012:policy/underpin/acme/main/acme-tfstate-dev-plan";
const FOREIGN: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}"#;

/// A backend with one environment: each kind of resource, and a file.
const BACKEND: &str = r#"
project = "acme"

backend "main" {
  region     = "eu-west-1"
  account_id = "123456789012"
}

environment "dev" {}
"#;

/// What must come of a run that was struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It is killed.
    Killed,
    /// It goes on and ends well.
    Recovers,
    /// It says which action was denied, begins nothing more, and fails.
    Denied,
}

/// The limit for one attempt of a call, and how late an answer comes that is too late.
const ATTEMPT_TIMEOUT: &str = "1500ms";
const TOO_LATE: Duration = Duration::from_millis(1_800);

const FAULTS: [(Fault, Outcome); 10] = [
    (Fault::KillBefore, Outcome::Killed),
    (Fault::KillAfter, Outcome::Killed),
    (Fault::AnswerLost, Outcome::Recovers),
    (Fault::Status500, Outcome::Recovers),
    (Fault::SlowDown503, Outcome::Recovers),
    (Fault::Throttle, Outcome::Recovers),
    (Fault::S3ErrorIn200, Outcome::Recovers),
    (Fault::ResetMidBody, Outcome::Recovers),
    (Fault::Late(TOO_LATE), Outcome::Recovers),
    (Fault::AccessDenied, Outcome::Denied),
];

/// One call of a run, as it can be found again in another: the `nth` of its operation on its resource.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    operation: String,
    resource: String,
    nth: usize,
}

impl Place {
    /// Returns the places of a run's calls.
    fn all(calls: &[Call]) -> Vec<Self> {
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut places = Vec::new();
        for call in calls {
            // A key's id is drawn anew in every run.
            let resource = if is_drawn(call.resource()) { "" } else { call.resource() };
            let nth = seen.entry((call.operation().to_owned(), resource.to_owned())).or_default();
            *nth += 1;
            let operation = call.operation().to_owned();
            places.push(Self { operation, resource: resource.to_owned(), nth: *nth });
        }
        places
    }

    fn on(&self) -> On {
        On::call(&self.operation).resource(&self.resource).nth(self.nth)
    }

    /// Returns whether `fault` can happen to a call of this kind.
    fn admits(&self, fault: &Fault) -> bool {
        let head = self.operation == "s3:HeadBucket";
        match fault {
            // The answer to HEAD has no body that an error could be in.
            Fault::S3ErrorIn200 => self.operation.starts_with("s3:") && !head,
            // S3 denies HEAD on a bucket of another account as well, and is believed: a refusal, and no error.
            Fault::AccessDenied => !head,
            _ => true,
        }
    }
}

/// One thing that goes wrong, and what must come of it.
#[derive(Debug)]
struct Case<'a> {
    place: &'a Place,
    fault: &'a Fault,
    outcome: Outcome,
}

impl Scenario {
    /// Returns every fault at every place, or as many as strike each place once and every fault in turn.
    fn cases<'a>(&self, places: &'a [Place]) -> Vec<Case<'a>> {
        if std::env::var_os(SOAK).is_some() {
            let of_place = |place| FAULTS.iter().filter_map(move |fault| self.case(place, fault));
            return places.iter().flat_map(of_place).collect();
        }
        let mut turn = FAULTS.iter().cycle();
        places.iter().filter_map(|place| turn.find_map(|fault| self.case(place, fault))).collect()
    }

    /// Returns what must come of a fault at a place, where it can happen there.
    fn case<'a>(&self, place: &'a Place, (fault, outcome): &'a (Fault, Outcome)) -> Option<Case<'a>> {
        let needless = place.nth == 1 && self.needless.contains(&place.operation.as_str());
        let outcome = if *outcome == Outcome::Denied && needless { Outcome::Recovers } else { *outcome };
        place.admits(fault).then_some(Case { place, fault, outcome })
    }

    fn run(&self, env: &TestEnv) -> Output {
        let program =
            self.command.iter().fold(env.underpin([]), |program, argument| program.args([argument]));
        program.args(["--attempt-timeout", ATTEMPT_TIMEOUT]).run()
    }

    /// Strikes one call of a run, runs the command again, and compares.
    fn try_case(&self, Case { place, fault, outcome }: &Case<'_>, world: &Value) -> Result<(), String> {
        let env = TestEnv::new();
        (self.prepare)(&env);
        let fired = env.proxy().inject(place.on(), (*fault).clone());
        if *outcome == Outcome::Denied {
            // What was begun before the answer came can be told from what was begun after it.
            env.proxy().set_round_trip(ROUND_TRIP);
        }
        let struck = self.run(&env);
        ensure(fired.times() == 1, || format!("it struck {} times\n{struck}", fired.times()))?;
        match outcome {
            Outcome::Killed => ensure(struck.code == 137, || format!("it was not killed\n{struck}"))?,
            Outcome::Recovers => ensure(struck.code == 0, || format!("it did not recover\n{struck}"))?,
            Outcome::Denied => denied(place, &struck, &env.calls())?,
        }
        if *outcome != Outcome::Recovers {
            env.proxy().clear_faults();
            env.proxy().set_round_trip(Duration::ZERO);
            let again = self.run(&env);
            ensure(again.code == 0, || format!("the next run failed\n{again}\nafter\n{struck}"))?;
        }
        let different = differences(&env.world(), world);
        ensure(different.is_empty(), || format!("another world: {different:#?}\n{struck}"))
    }
}

/// Whether a resource's name is a key's id.
fn is_drawn(resource: &str) -> bool {
    resource.len() == 36 && resource.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Tries the scenario's cases, tells how many there were, and fails if one did.
fn hold(scenario: &Scenario) {
    let env = TestEnv::new();
    (scenario.prepare)(&env);
    scenario.run(&env).expect_code(0);
    let places = Place::all(&env.calls());
    let world = env.world();
    drop(env);

    let cases = scenario.cases(&places);
    let next = AtomicUsize::new(0);
    let failed: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if let Err(what) = scenario.try_case(case, &world) {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push(format!("{case:?}: {what}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let passed = cases.len() - failed.len();
    say(&format!(
        "{}: {} faults at {} calls tried, {passed} passed",
        scenario.name,
        cases.len(),
        places.len()
    ));
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// Says something past the test harness, which hides what passing tests print.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("standard error can be written to");
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// Between a program and the account where order is looked at, and how long the program may take to see an answer.
const ROUND_TRIP: Duration = Duration::from_millis(60);
const SEEN_WITHIN: Duration = Duration::from_millis(40);

fn denied(place: &Place, struck: &Output, calls: &[Call]) -> Result<(), String> {
    ensure(struck.code == 1, || format!("it did not fail\n{struck}"))?;
    ensure(struck.stderr.contains(&place.operation), || format!("the action is not named\n{struck}"))?;
    let answered = calls.iter().find(|call| call.faulted).map(|call| call.ended).unwrap_or_default();
    let later = calls.iter().filter(|call| call.mutating() && call.started > answered + SEEN_WITHIN);
    let later: Vec<&str> = later.map(Call::operation).collect();
    ensure(later.is_empty(), || format!("begun afterwards: {later:?}\n{struck}"))
}
