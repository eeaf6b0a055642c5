//! Plans and their execution, over the trait [`Resource`] alone: no kind of resource is named here.
//!
//! A plan is made in two stages. First every resource of a backend reads what is there, all together, telling the others
//! what they wait for; then each decides, purely, what to do. Execution walks the decisions: every step as soon as what
//! it needs is known, every resource read again after its last step.

mod execute;
mod plan;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::aws::{AwsError, Clients};
use crate::names::BackendName;
use crate::resource::{Address, Difference, Known, Outputs, Refusal, Resource, Step, StepLine};

pub use execute::{Done, Event, EventKind, Executed, Failure, FailureKind, Listener, Stop, execute};
pub use plan::{Plan, PlanDigest, ReadError, plan};

/// Any resource, as the engine sees it.
pub trait Plannable: fmt::Debug + Send + Sync {
    /// Returns how a plan names it.
    fn address(&self) -> Address;

    /// Reads what is there and tells the others.
    fn observe<'a>(
        &'a self,
        aws: &'a Clients,
        outputs: &'a Outputs,
    ) -> BoxFuture<'a, Result<Box<dyn Seen>, AwsError>>;
}

/// A resource and what was read of it.
pub trait Seen: Send {
    /// Decides what to do about it.
    fn decide(self: Box<Self>, known: &Known) -> Box<dyn Change>;
}

/// What will be done about a resource.
pub trait Change: fmt::Debug + Send + Sync {
    /// Returns how a plan names the resource.
    fn address(&self) -> &Address;

    /// Returns what kind of change it is.
    fn action(&self) -> Action;

    /// Returns its steps, in their order.
    fn steps(&self) -> Vec<PlannedStep>;

    /// Returns why nothing may be done about the resource.
    fn refusals(&self) -> &[Refusal];

    /// Returns what is not as it should be and not ours to change.
    fn warnings(&self) -> &[String];

    /// Performs the steps, and reads the resource again until it is as desired.
    fn execute<'a>(&'a self, run: &'a execute::Run<'a>) -> BoxFuture<'a, ()>;
}

/// What a plan does to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Nothing: it is as desired.
    NoOp,
    /// It is made.
    Create,
    /// It is changed.
    Update,
}

/// A step as a plan shows it and a digest covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// The call by IAM's prefix and the API's name.
    pub operation: &'static str,
    /// The IAM actions that it needs.
    pub permissions: Vec<&'static str>,
    /// What a person reads.
    pub line: StepLine,
}

impl PlannedStep {
    fn new(step: &impl Step) -> Self {
        Self { operation: step.operation(), permissions: step.permissions(), line: step.line() }
    }
}

/// A backend's resources and the clients for where they live.
#[derive(Debug)]
pub struct Work {
    /// The backend.
    pub backend: BackendName,
    /// The clients for its account and region.
    pub aws: Clients,
    /// Its resources, in the order in which a reader sees them.
    pub resources: Vec<Box<dyn Plannable>>,
    /// What they tell each other; what none of them tells is closed already.
    pub outputs: Outputs,
}

/// Erases the kind of a resource.
pub fn plannable<R: Resource>(resource: R) -> Box<dyn Plannable> {
    Box::new(Erased(Arc::new(resource)))
}

#[derive(Debug)]
struct Erased<R>(Arc<R>);

struct SeenOf<R: Resource> {
    resource: Arc<R>,
    observed: Option<R::Observed>,
}

#[derive(Debug)]
struct ChangeOf<R: Resource> {
    resource: Arc<R>,
    address: Address,
    difference: Difference<R::Step>,
    /// What was known when the steps were decided on.
    known: Known,
}

impl<R: Resource> Plannable for Erased<R> {
    fn address(&self) -> Address {
        self.0.address()
    }

    fn observe<'a>(
        &'a self,
        aws: &'a Clients,
        outputs: &'a Outputs,
    ) -> BoxFuture<'a, Result<Box<dyn Seen>, AwsError>> {
        Box::pin(async move {
            let observed = self.0.observe(aws, outputs).await;
            match observed {
                Ok(observed) => {
                    self.0.publish(observed.as_ref(), outputs);
                    Ok(Box::new(SeenOf { resource: Arc::clone(&self.0), observed }) as Box<dyn Seen>)
                }
                Err(error) => {
                    self.0.close(outputs);
                    Err(error)
                }
            }
        })
    }
}

impl<R: Resource> Seen for SeenOf<R> {
    fn decide(self: Box<Self>, known: &Known) -> Box<dyn Change> {
        let Self { resource, observed } = *self;
        let difference = resource.diff(observed.as_ref(), known);
        Box::new(ChangeOf { address: resource.address(), resource, difference, known: known.clone() })
    }
}

impl<R: Resource> Change for ChangeOf<R> {
    fn address(&self) -> &Address {
        &self.address
    }

    fn action(&self) -> Action {
        match self.difference.steps.first() {
            None => Action::NoOp,
            Some(step) if step.creates() => Action::Create,
            Some(_) => Action::Update,
        }
    }

    fn steps(&self) -> Vec<PlannedStep> {
        self.difference.steps.iter().map(PlannedStep::new).collect()
    }

    fn refusals(&self) -> &[Refusal] {
        &self.difference.refusals
    }

    fn warnings(&self) -> &[String] {
        &self.difference.warnings
    }

    fn execute<'a>(&'a self, run: &'a execute::Run<'a>) -> BoxFuture<'a, ()> {
        Box::pin(run.converge(&*self.resource, &self.address, &self.difference.steps, &self.known))
    }
}
