//! Time is round trips: how many follow one another, read from the log of a run that is answered in rounds.

use std::fmt::Write as _;
use std::time::Duration;

use crate::common::TestEnv;
use crate::ground::{Call, critical_depth};

/// Long against all the work between two calls.
const QUIET: Duration = Duration::from_millis(100);

/// A program that gets no time for longer than that begins a call a round late, and looks deeper than it is; never less deep.
const ATTEMPTS: usize = 3;

/// So many backends with an environment each, with `account_id` or without.
fn backends(count: usize, account_id: bool) -> String {
    let account_id = if account_id { "account_id = \"123456789012\"".to_owned() } else { String::new() };
    (1..=count).fold("project = \"acme\"\n".to_owned(), |mut config, number| {
        write!(
            config,
            r#"
backend "b{number}" {{
  region = "eu-west-1"
  {account_id}
}}

environment "e{number}" {{
  backend = "b{number}"
}}
"#
        )
        .unwrap();
        config
    })
}

/// What an `apply` of `config` in an empty account calls, and what the next one calls.
fn fresh_and_again(config: &str) -> [Vec<Call>; 2] {
    let env = TestEnv::new();
    env.write("underpin.hcl", config);
    env.proxy().answer_in_rounds(QUIET);
    [(), ()].map(|()| {
        env.forget_calls();
        env.run(["apply", "--auto-approve"]).expect_code(0);
        env.calls()
    })
}

/// Fails unless an `apply` is no deeper than `fresh` in an empty account, and no deeper than `again` afterwards.
#[track_caller]
fn assert_no_deeper(config: &str, fresh: usize, again: usize) {
    let mut least = [usize::MAX; 2];
    let mut timetables = String::new();
    for _ in 0..ATTEMPTS {
        let [first, second] = fresh_and_again(config);
        least = [least[0].min(critical_depth(&first)), least[1].min(critical_depth(&second))];
        if least[0] <= fresh && least[1] <= again {
            return;
        }
        write!(timetables, "{}\n{}\n", timetable(&first), timetable(&second)).unwrap();
    }
    panic!("{least:?} is deeper than {fresh} and {again}:\n{timetables}");
}

/// When each call began and ended, in milliseconds.
fn timetable(calls: &[Call]) -> String {
    calls.iter().fold(String::new(), |mut lines, call| {
        let (started, ended) = (call.started.as_millis(), call.ended.as_millis());
        writeln!(lines, "{started:>6} {ended:>6} {} {}", call.operation(), call.resource()).unwrap();
        lines
    })
}

#[test]
fn a_backend_in_a_known_account_is_eight_round_trips_deep_and_two_when_it_is_there() {
    assert_no_deeper(&backends(1, true), 8, 2);
}

#[test]
fn a_backend_in_an_account_to_be_found_out_is_one_round_trip_deeper() {
    assert_no_deeper(&backends(1, false), 9, 3);
}

#[test]
fn three_backends_are_no_deeper_than_one() {
    assert_no_deeper(&backends(3, true), 8, 2);
    assert_no_deeper(&backends(3, false), 9, 3);
}
