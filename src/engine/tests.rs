//! Execution against a resource whose answers are written down beforehand.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::aws::wait::SETTLED;
use crate::aws::{AwsError, Class};

/// Something that is read and written as the test says.
#[derive(Debug)]
struct Thing {
    /// What each reading leads to; the last one stays.
    readings: Mutex<VecDeque<Difference<Write>>>,
    /// What each write is answered; none left, it is done.
    answers: Mutex<VecDeque<AwsError>>,
}

/// A write of one setting.
#[derive(Debug, Clone, PartialEq)]
struct Write(&'static str);

impl Step for Write {
    fn operation(&self) -> &'static str {
        "test:Write"
    }

    fn line(&self) -> StepLine {
        StepLine { summary: format!("write {}", self.0), setting: self.0, from: None, to: None }
    }

    fn overlaps(&self) -> bool {
        true
    }
}

impl Resource for Thing {
    type Observed = Difference<Write>;
    type Step = Write;

    fn address(&self) -> Address {
        Address { kind: "test", name: "thing".to_owned() }
    }

    async fn observe(&self, _: &Clients, _: &Outputs) -> Result<Option<Difference<Write>>, AwsError> {
        let mut readings = self.readings.lock().unwrap();
        Ok(if readings.len() > 1 { readings.pop_front() } else { readings.front().cloned() })
    }

    fn diff(&self, observed: Option<&Difference<Write>>, _: &Known) -> Difference<Write> {
        observed.unwrap().clone()
    }

    async fn perform(&self, _: &Clients, _: &Write, _: &Outputs) -> Result<(), AwsError> {
        self.answers.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }

    fn awaits_key(&self) -> bool {
        false
    }
}

fn writes(settings: &[&'static str]) -> Difference<Write> {
    Difference::steps(settings.iter().copied().map(Write).collect())
}

fn refused() -> Difference<Write> {
    Difference::refused("it is not ours".to_owned(), "Choose another.".to_owned())
}

fn changed() -> AwsError {
    AwsError::changed_meanwhile("test:Write", "the thing")
}

/// Plans for the first reading and performs the plan.
async fn run(readings: Vec<Difference<Write>>, answers: Vec<AwsError>, stop: &Stop) -> Executed {
    let thing = Thing { readings: Mutex::new(readings.into()), answers: Mutex::new(answers.into()) };
    let work = Work {
        backend: "main".parse().unwrap(),
        aws: Clients::unconnected(),
        resources: vec![plannable(thing)],
        outputs: Outputs::default(),
    };
    let plan = plan(work).await.unwrap();
    execute(&plan, stop, &|_| ()).await
}

fn settings(done: &[Done]) -> Vec<&'static str> {
    done.iter().map(|done| done.step.line.setting).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_waited_for_and_not_written_again() {
    let late = writes(&["a"]);
    let executed = run(vec![late.clone(), late.clone(), late, writes(&[])], vec![], &Stop::default()).await;

    assert_eq!(settings(&executed.done), ["a"]);
    assert!(executed.failures.is_empty(), "{executed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_show_within_its_limit_is_listed() {
    let begun = Instant::now();
    let executed = run(vec![writes(&["a", "b"]), writes(&["b"])], vec![], &Stop::default()).await;

    let [Failure { kind: FailureKind::DidNotConverge(steps, limit), .. }] = executed.failures.as_slice()
    else {
        panic!("{executed:?}")
    };
    assert_eq!((steps.len(), steps[0].line.setting), (1, "b"));
    assert_eq!((*limit, begun.elapsed()), (SETTLED, SETTLED));
}

#[tokio::test(start_paused = true)]
async fn a_drift_that_shows_only_after_a_write_is_repaired_too() {
    let readings = vec![writes(&["a"]), writes(&["b"]), writes(&[])];
    let executed = run(readings, vec![], &Stop::default()).await;

    assert_eq!(settings(&executed.done), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_thing_that_is_read_without_its_tags_at_first_is_not_refused() {
    let executed = run(vec![writes(&["a"]), refused(), writes(&[])], vec![], &Stop::default()).await;

    assert!(executed.failures.is_empty(), "{executed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thing_that_turns_out_not_to_be_ours_is_refused() {
    let executed = run(vec![writes(&["a"]), refused()], vec![], &Stop::default()).await;

    assert!(matches!(executed.failures[0].kind, FailureKind::Refused(_)), "{executed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_changed_meanwhile_is_decided_on_anew() {
    let readings = vec![writes(&["a"]), writes(&["b"]), writes(&[])];
    let executed = run(readings, vec![changed()], &Stop::default()).await;

    assert_eq!(settings(&executed.done), ["b"]);
    assert!(executed.failures.is_empty(), "{executed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_changes_all_the_time_is_given_up() {
    let executed = run(vec![writes(&["a"])], vec![changed(); 100], &Stop::default()).await;

    let [Failure { kind: FailureKind::Step(_, error), .. }] = executed.failures.as_slice() else {
        panic!("{executed:?}")
    };
    assert_eq!(error.class, Class::ChangedMeanwhile);
}

#[tokio::test(start_paused = true)]
async fn every_failure_is_told_and_what_would_follow_is_not_begun() {
    let broken = |word: &str| AwsError::garbled("test:Write", word.to_owned());
    let answers = vec![broken("one"), broken("two")];
    let stop = Stop::default();
    let executed = run(vec![writes(&["a", "b"])], answers, &stop).await;

    assert_eq!(executed.failures.len(), 2, "{executed:?}");
    assert!(stop.is_set());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_wait_for_what_was_written() {
    let stop = Stop::default();
    let begun = Instant::now();
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.set();
    };
    let (executed, ()) = tokio::join!(run(vec![writes(&["a"])], vec![], &stop), stopping);

    assert_eq!((settings(&executed.done), begun.elapsed().as_secs()), (vec!["a"], 1));
    assert!(executed.failures.is_empty(), "{executed:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_after_a_stop() {
    let stop = Stop::default();
    stop.set();
    let executed = run(vec![writes(&["a", "b"])], vec![], &stop).await;

    assert_eq!((settings(&executed.done), settings(&executed.not_begun)), (vec![], vec!["a", "b"]));
}
