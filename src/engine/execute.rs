//! Performs a plan: each step as soon as what it needs is known.
//!
//! One future for each resource, all at once. The steps of a resource keep their order, but for neighbours that AWS
//! takes together; a step that needs the key waits for the key's ARN, and for nothing else. Execution only ever moves
//! forward: what someone else made in between is read again and decided on anew, never assumed.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Plan, PlannedStep};
use crate::aws::wait::Pauses;
use crate::aws::{AwsError, Class, Clients};
use crate::names::{BackendName, KeyArn};
use crate::resource::{Address, Difference, Known, Outputs, Refusal, Resource, Step};

/// How often one resource may be found changed right before a write. Runs of `underpin` that meet need one or two, since
/// the second finds what the first wrote; more is something that writes all the time.
const MOST_CHANGES: usize = 5;

/// Tells a run to begin nothing more. What is in flight ends.
#[derive(Debug, Clone)]
pub struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stop {
    /// Lets nothing more begin.
    pub fn set(&self) {
        self.0.send_replace(true);
    }

    /// Returns whether nothing more may begin.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns as soon as nothing more may begin.
    async fn wait(&self) {
        // The sender lives in `self`, so the channel can't close while we wait.
        let _still_open = self.0.subscribe().wait_for(|set| *set).await.is_ok();
    }
}

/// What happens while a plan is performed.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// Where.
    pub backend: &'a BackendName,
    /// To which resource.
    pub address: &'a Address,
    /// What.
    pub kind: EventKind<'a>,
}

/// The kinds of events.
#[derive(Debug, Clone)]
pub enum EventKind<'a> {
    /// The call of a step goes out.
    StepBegun(&'a PlannedStep),
    /// A step is done.
    StepDone(&'a PlannedStep, Duration),
    /// A step failed.
    StepFailed(&'a PlannedStep, &'a AwsError),
    /// The resource was made or changed by someone else meanwhile, and is read again.
    Raced,
    /// The resource was read again and is as desired.
    Settled,
}

/// Hears the events of a run.
pub type Listener<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// A step that was performed.
#[derive(Debug, Clone)]
pub struct Done {
    /// The resource.
    pub address: Address,
    /// The step.
    pub step: PlannedStep,
}

/// Something that went wrong with one resource.
#[derive(Debug)]
pub struct Failure {
    /// The resource.
    pub address: Address,
    /// What went wrong.
    pub kind: FailureKind,
}

/// What went wrong with a resource.
#[derive(Debug)]
pub enum FailureKind {
    /// AWS refused a step.
    Step(Box<PlannedStep>, AwsError),
    /// The resource could not be read again.
    Read(AwsError),
    /// The resource turned out to be one that may not be touched.
    Refused(Vec<Refusal>),
    /// These steps were performed, and the resource still does not show it.
    DidNotConverge(Vec<PlannedStep>, Duration),
}

/// What was done, and what was not.
#[derive(Debug, Default)]
pub struct Executed {
    /// The steps that were performed, in the order in which they ended.
    pub done: Vec<Done>,
    /// What went wrong.
    pub failures: Vec<Failure>,
    /// The steps that were planned and never begun.
    pub not_begun: Vec<Done>,
    /// The key that everything is encrypted with.
    pub key: Option<KeyArn>,
}

/// Performs a plan. Ends when every resource was read again and is as desired, or nothing more may begin.
pub async fn execute(plan: &Plan, stop: &Stop, listener: Listener<'_>) -> Executed {
    let Plan { backend, changes, aws, outputs } = plan;
    let run = Run { backend, aws, outputs, stop, listener, result: Mutex::default() };
    join_all(changes.iter().map(|change| change.execute(&run))).await;
    let mut executed = run.result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    executed.key = outputs.key.now();
    executed
}

/// One execution of one plan.
pub struct Run<'a> {
    backend: &'a BackendName,
    aws: &'a Clients,
    outputs: &'a Outputs,
    stop: &'a Stop,
    listener: Listener<'a>,
    result: Mutex<Executed>,
}

/// How the performing of a resource's steps ended.
enum Performed {
    /// All were performed.
    All,
    /// Someone else was faster: what is left has to be decided on anew.
    Raced,
    /// Nothing more may begin, for a failure here or elsewhere.
    Stopped,
}

/// What tells two steps of one resource and one run apart. What is desired does not change in a run, but for the key.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    operation: &'static str,
    setting: &'static str,
    key: Option<KeyArn>,
}

/// What a run remembers of one resource.
#[derive(Debug, Default)]
struct Memory {
    /// What was performed: never again in this run, for a read may be late.
    performed: Vec<Target>,
    /// What was found to be there already when it was to be made.
    existing: Vec<(Target, PlannedStep, AwsError)>,
    /// How often a write was not made, since what it replaces had changed.
    changes: usize,
}

impl Run<'_> {
    /// Performs the steps of one resource, and reads it again until it is as desired.
    pub(super) async fn converge<R: Resource>(
        &self,
        resource: &R,
        address: &Address,
        steps: &[R::Step],
        planned_with: &Known,
    ) {
        if let Err(kind) = self.try_converge(resource, address, steps, planned_with).await {
            self.fail(address, kind);
        }
        // Whoever waits for something from here waits no longer.
        resource.close(self.outputs);
    }

    async fn try_converge<R: Resource>(
        &self,
        resource: &R,
        address: &Address,
        steps: &[R::Step],
        planned_with: &Known,
    ) -> Result<(), FailureKind> {
        let mut queue: VecDeque<R::Step> = steps.iter().cloned().collect();
        if queue.is_empty() && !self.key_has_changed(resource, planned_with).await {
            return Ok(());
        }
        let limit = resource.settles_within();
        let mut memory = Memory::default();
        let mut pauses = Pauses::until(limit);
        loop {
            if !queue.is_empty() {
                match self.perform_all(resource, address, &mut queue, &mut memory).await {
                    Performed::All => {}
                    Performed::Raced => self.tell(address, EventKind::Raced),
                    Performed::Stopped => return Ok(()),
                }
                pauses = Pauses::until(limit);
            }
            let Some(difference) = self.look_again(resource).await? else { return Ok(()) };
            let Difference { steps, refusals, warnings: _ } = difference;
            if steps.is_empty() && refusals.is_empty() {
                self.tell(address, EventKind::Settled);
                return Ok(());
            }
            let (late, new): (Vec<_>, Vec<_>) =
                steps.into_iter().partition(|step| memory.knows(&self.target(step)));
            queue = new.into();
            if !queue.is_empty() {
                continue;
            }
            // What is refused may be late too: a thing that was made a moment ago is read without its tags.
            let in_time = tokio::select! {
                in_time = pauses.pause() => in_time,
                () = self.stop.wait() => return Ok(()),
            };
            if !in_time && !refusals.is_empty() {
                return Err(FailureKind::Refused(refusals));
            }
            if !in_time {
                return Err(memory.unsettled(&late, limit));
            }
        }
    }

    /// Returns whether a resource without steps was compared with another key than the one in the end.
    async fn key_has_changed<R: Resource>(&self, resource: &R, planned_with: &Known) -> bool {
        if !resource.awaits_key() {
            return false;
        }
        let key = self.outputs.key.wait().await;
        key.is_some() && key != planned_with.key
    }

    /// Performs steps until none is left, one fails or nothing more may begin.
    async fn perform_all<R: Resource>(
        &self,
        resource: &R,
        address: &Address,
        queue: &mut VecDeque<R::Step>,
        memory: &mut Memory,
    ) -> Performed {
        while let Some(batch) = next_batch(queue) {
            if !self.may_begin(&batch).await {
                self.leave(address, batch.iter().chain(queue.iter()));
                return Performed::Stopped;
            }
            let answers = join_all(batch.iter().map(|step| self.perform(resource, address, step))).await;
            let mut raced = false;
            let mut failures = Vec::new();
            for (step, (target, answer)) in batch.iter().zip(answers) {
                let planned = PlannedStep::new(step);
                match answer {
                    Ok(()) => memory.performed.push(target),
                    Err(error) if error.class == Class::AlreadyExists && step.contends() => {
                        memory.existing.push((target, planned, error));
                        raced = true;
                    }
                    Err(error) if error.class == Class::ChangedMeanwhile && memory.may_look_again() => {
                        raced = true;
                    }
                    Err(error) => failures.push(FailureKind::Step(Box::new(planned), error)),
                }
            }
            if raced {
                // What was done may have been done to a thing that lost: all is decided on anew.
                queue.clear();
                memory.performed.clear();
                return Performed::Raced;
            }
            if !failures.is_empty() {
                self.leave(address, queue.iter());
                for kind in failures {
                    self.fail(address, kind);
                }
                return Performed::Stopped;
            }
        }
        Performed::All
    }

    /// Returns whether these steps may go out: once the key is known, if they need it, and unless nothing more may.
    async fn may_begin<S: Step>(&self, batch: &[S]) -> bool {
        if batch.iter().any(Step::needs_key) {
            let key_is_known = tokio::select! {
                key = self.outputs.key.wait() => key.is_some(),
                () = self.stop.wait() => false,
            };
            if !key_is_known {
                return false;
            }
        }
        !self.stop.is_set()
    }

    async fn perform<R: Resource>(
        &self,
        resource: &R,
        address: &Address,
        step: &R::Step,
    ) -> (Target, Result<(), AwsError>) {
        let planned = PlannedStep::new(step);
        let target = self.target(step);
        self.tell(address, EventKind::StepBegun(&planned));
        let begun = Instant::now();
        let answer = resource.perform(self.aws, step, self.outputs).await;
        match &answer {
            Ok(()) => {
                self.tell(address, EventKind::StepDone(&planned, begun.elapsed()));
                self.record(|result| {
                    result.done.push(Done { address: address.clone(), step: planned.clone() });
                });
            }
            Err(error) => self.tell(address, EventKind::StepFailed(&planned, error)),
        }
        (target, answer)
    }

    /// Reads the resource again and decides on it; `None` where the key that decides will not come.
    async fn look_again<R: Resource>(
        &self,
        resource: &R,
    ) -> Result<Option<Difference<R::Step>>, FailureKind> {
        let observed = resource.observe(self.aws, self.outputs).await.map_err(FailureKind::Read)?;
        resource.publish(observed.as_ref(), self.outputs);
        let mut known = Known::default();
        if resource.awaits_key() {
            known.key = self.outputs.key.wait().await;
            if known.key.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(resource.diff(observed.as_ref(), &known)))
    }

    fn target<S: Step>(&self, step: &S) -> Target {
        let key = if step.needs_key() { self.outputs.key.now() } else { None };
        Target { operation: step.operation(), setting: step.line().setting, key }
    }

    fn tell(&self, address: &Address, kind: EventKind<'_>) {
        (self.listener)(Event { backend: self.backend, address, kind });
    }

    /// Lets nothing more begin, and says why.
    fn fail(&self, address: &Address, kind: FailureKind) {
        self.stop.set();
        self.record(|result| result.failures.push(Failure { address: address.clone(), kind }));
    }

    /// Says that steps were planned and are not begun.
    fn leave<'s, S: Step>(&self, address: &Address, steps: impl Iterator<Item = &'s S>) {
        let steps = steps.map(|step| Done { address: address.clone(), step: PlannedStep::new(step) });
        self.record(|result| result.not_begun.extend(steps));
    }

    fn record(&self, change: impl FnOnce(&mut Executed)) {
        // A panic elsewhere does not make what was recorded untrue.
        change(&mut self.result.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl Memory {
    fn knows(&self, target: &Target) -> bool {
        self.performed.contains(target) || self.existing.iter().any(|(existing, ..)| existing == target)
    }

    /// Returns whether a resource that somebody changes while it is written to is looked at once more.
    fn may_look_again(&mut self) -> bool {
        self.changes += 1;
        self.changes <= MOST_CHANGES
    }

    /// Says why the wait for a resource ended in vain.
    fn unsettled<S: Step>(mut self, left: &[S], limit: Duration) -> FailureKind {
        match self.existing.pop() {
            // It is said to be there, and can't be seen: its name is taken by something else.
            Some((target, step, error)) if left.iter().any(|step| step.operation() == target.operation) => {
                FailureKind::Step(Box::new(step), error)
            }
            _ => FailureKind::DidNotConverge(left.iter().map(PlannedStep::new).collect(), limit),
        }
    }
}

/// Takes the next step, and those after it that AWS takes together with it.
fn next_batch<S: Step>(queue: &mut VecDeque<S>) -> Option<Vec<S>> {
    let first = queue.pop_front()?;
    let overlaps = first.overlaps();
    let mut batch = vec![first];
    while overlaps && queue.front().is_some_and(Step::overlaps) {
        batch.extend(queue.pop_front());
    }
    Some(batch)
}
