//! Ctrl-C and SIGTERM: what is in flight ends, what is done is said, and the next run goes on.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::TestEnv;

const ONE_BACKEND: &str = r#"
project = "acme"

backend "main" {
  region     = "eu-west-1"
  account_id = "123456789012"
}

environment "dev" {}
"#;

/// Long enough to hit the middle of a run.
const ROUND_TRIP: Duration = Duration::from_millis(150);

fn interrupted_after(write: &str, signal: Signal) -> (TestEnv, crate::common::Output) {
    let env = TestEnv::new();
    env.write("underpin.hcl", ONE_BACKEND);
    env.proxy().set_round_trip(ROUND_TRIP);
    let running = env.underpin(["apply", "--auto-approve"]).spawn();
    let began = Instant::now();
    while !env.writes().iter().any(|done| done == write) {
        assert!(began.elapsed() < Duration::from_secs(30), "{write} is never called");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.signal(signal);
    let output = running.wait();
    env.proxy().set_round_trip(Duration::ZERO);
    (env, output)
}

#[test]
fn an_interrupted_apply_says_what_is_done_and_the_next_one_goes_on() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (env, output) = interrupted_after("s3:CreateBucket", signal);

        assert_eq!(output.code, code, "{output}");
        assert!(output.stdout.contains("Interrupted:"), "{output}");
        assert!(output.stdout.contains("not begun:"), "{output}");
        assert!(!env.files().contains(&"environments/dev/backend.tf".to_owned()));
        env.run(["apply", "--auto-approve"]).expect_code(0);
        env.run(["plan", "--detailed-exitcode"]).expect_code(0);
    }
}

#[test]
fn an_interrupted_plan_ends_at_once() {
    let env = TestEnv::new();
    env.write("underpin.hcl", ONE_BACKEND);
    env.proxy().set_round_trip(Duration::from_secs(5));
    let running = env.underpin(["plan"]).spawn();
    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(300));
    running.signal(Signal::INT);

    running.wait().expect_code(130);

    assert!(began.elapsed() < Duration::from_secs(3));
}
