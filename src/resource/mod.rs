//! What underpin makes and keeps in shape: one file a kind, all behind the trait [`Resource`].
//!
//! A resource's value is what is desired. It reads what is there (`observe`), decides what to do about it (`diff`, pure)
//! and makes one call for each step of that decision (`perform`). Nothing here knows the configuration, the terminal or
//! another resource; what one resource must know of another comes through [`Outputs`].

mod dynamodb_table;
mod iam_policy;
mod kms_key;
mod s3_bucket;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;

use crate::aws::wait::SETTLED;
use crate::aws::{AwsError, Clients};
use crate::names::{BackendName, KeyArn, ProjectName};

pub use dynamodb_table::DynamoDbTable;
pub use iam_policy::{IamPolicy, PolicyListing};
pub use kms_key::KmsKey;
pub use s3_bucket::S3Bucket;

/// A value that is there only once another step is done.
pub const KNOWN_AFTER_APPLY: &str = "(known after apply)";

/// The tag that names the project which owns a resource.
pub const PROJECT_TAG: &str = "underpin:project";
/// The tag that names the backend which owns a resource.
pub const BACKEND_TAG: &str = "underpin:backend";

/// One kind of thing that underpin brings into being and keeps in shape.
pub trait Resource: fmt::Debug + Send + Sync + 'static {
    /// What was read, as plain data.
    type Observed: fmt::Debug + Send + Sync + 'static;
    /// One call that changes something.
    type Step: Step;

    /// Returns how a plan and a report name this resource.
    fn address(&self) -> Address;

    /// Reads what is there; `None` where nothing is. Never writes.
    fn observe(
        &self,
        aws: &Clients,
        outputs: &Outputs,
    ) -> impl Future<Output = Result<Option<Self::Observed>, AwsError>> + Send;

    /// Tells the other resources what `observe` found, or that it found nothing.
    fn publish(&self, _observed: Option<&Self::Observed>, _outputs: &Outputs) {}

    /// Tells the other resources that nothing more will come from this one.
    fn close(&self, _outputs: &Outputs) {}

    /// Decides what has to be done about what is there. Pure.
    fn diff(&self, observed: Option<&Self::Observed>, known: &Known) -> Difference<Self::Step>;

    /// Makes the call of one step.
    fn perform(
        &self,
        aws: &Clients,
        step: &Self::Step,
        outputs: &Outputs,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;

    /// Returns whether `diff` has to know the key, so that it waits until there is one.
    fn awaits_key(&self) -> bool {
        true
    }

    /// Returns how long a read may still show what was there before a step.
    fn settles_within(&self) -> Duration {
        SETTLED
    }
}

/// One call that changes something, with what was and what will be.
pub trait Step: fmt::Debug + Clone + Send + Sync + 'static {
    /// Returns the call by IAM's prefix and the API's name.
    fn operation(&self) -> &'static str;

    /// Returns the IAM actions that the call needs, where they differ from [`Step::operation`].
    fn permissions(&self) -> Vec<&'static str> {
        vec![self.operation()]
    }

    /// Returns what a person reads of it.
    fn line(&self) -> StepLine;

    /// Returns whether this step makes the resource itself.
    fn creates(&self) -> bool {
        false
    }

    /// Returns whether someone else may make the same thing first, so that AWS answers that it exists.
    fn contends(&self) -> bool {
        self.creates()
    }

    /// Returns whether the step waits for the key's ARN.
    fn needs_key(&self) -> bool {
        false
    }

    /// Returns whether AWS takes the call while others of the same resource are under way.
    fn overlaps(&self) -> bool {
        false
    }
}

/// A step as a plan shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLine {
    /// An infinitive that reads after "will" and after "failed to".
    pub summary: String,
    /// The setting that changes.
    pub setting: &'static str,
    /// What it is now; `None` where there is nothing.
    pub from: Option<String>,
    /// What it will be; `None` where it goes away.
    pub to: Option<String>,
}

/// How a plan and a report name a resource: its kind and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The kind, in Terraform's word without the provider.
    pub kind: &'static str,
    /// The name that AWS knows it by.
    pub name: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.name)
    }
}

/// What `diff` decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference<S> {
    /// The calls to make, in their order; empty where all is as desired.
    pub steps: Vec<S>,
    /// Why nothing may be done about this resource. Any one stops the whole command.
    pub refusals: Vec<Refusal>,
    /// What is not as it should be, and is not ours to change.
    pub warnings: Vec<String>,
}

/// A reality that underpin will not touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is there.
    pub found: String,
    /// What to do about it.
    pub cure: String,
}

impl<S> Difference<S> {
    /// Returns the decision to do nothing.
    pub fn none() -> Self {
        Self { steps: Vec::new(), refusals: Vec::new(), warnings: Vec::new() }
    }

    /// Returns the decision to make these calls.
    pub fn steps(steps: Vec<S>) -> Self {
        Self { steps, ..Self::none() }
    }

    /// Returns the decision to touch nothing.
    pub fn refused(found: String, cure: String) -> Self {
        Self { refusals: vec![Refusal { found, cure }], ..Self::none() }
    }
}

/// What a step replaces that others may write to as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced<T> {
    /// Nothing: the resource is made in the same run.
    Nothing,
    /// What was read when the plan was made. If it is no longer there, the step is not performed.
    Read(T),
}

/// What other resources know when a decision is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The key; `None` while there is none.
    pub key: Option<KeyArn>,
}

impl Known {
    /// Returns the key's ARN, or the words for one that is not there yet.
    pub fn key_text(&self) -> String {
        self.key.as_ref().map_or_else(|| KNOWN_AFTER_APPLY.to_owned(), ToString::to_string)
    }
}

/// What the resources of one backend tell each other while they work.
#[derive(Debug, Default)]
pub struct Outputs {
    /// The key that was found or made, whether its alias names it or not.
    pub(crate) found_key: Slot<KeyArn>,
    /// The key that its alias names: the one that everything is encrypted with.
    pub(crate) key: Slot<KeyArn>,
    /// The key that this very run made: the only one that it may give back.
    pub(crate) made_key: Slot<KeyArn>,
    /// What the bucket's encryption names: an ARN, an id or an alias.
    pub(crate) bucket_key: Slot<String>,
    /// The key that the table is encrypted with.
    pub(crate) table_key: Slot<String>,
    /// All policies of the account in one reading, where there are many of ours.
    pub(crate) policies: Option<PolicyListing>,
}

/// A fact that is not known yet, is known, or will not come.
#[derive(Debug)]
pub(crate) struct Slot<T>(watch::Sender<Fact<T>>);

#[derive(Debug, Clone)]
enum Fact<T> {
    Pending,
    Known(T),
    Absent,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(watch::Sender::new(Fact::Pending))
    }
}

impl<T: Clone + Send + Sync> Slot<T> {
    /// Says what it is, or that it will not come; wakes who waits.
    pub(crate) fn publish(&self, value: Option<T>) {
        self.0.send_replace(value.map_or(Fact::Absent, Fact::Known));
    }

    /// Says that it will not come, unless it is known already.
    pub(crate) fn close(&self) {
        self.0.send_if_modified(|fact| match fact {
            Fact::Pending => {
                *fact = Fact::Absent;
                true
            }
            Fact::Known(_) | Fact::Absent => false,
        });
    }

    /// Returns it as soon as it is known, and `None` as soon as it is known not to come.
    pub(crate) async fn wait(&self) -> Option<T> {
        let mut receiver = self.0.subscribe();
        let fact = receiver.wait_for(|fact| !matches!(fact, Fact::Pending)).await;
        match fact.as_deref() {
            Ok(Fact::Known(value)) => Some(value.clone()),
            // The sender lives in `self`, so it can't be gone while we wait.
            Ok(Fact::Absent | Fact::Pending) | Err(_) => None,
        }
    }

    /// Returns it if it is known now.
    pub(crate) fn now(&self) -> Option<T> {
        match &*self.0.borrow() {
            Fact::Known(value) => Some(value.clone()),
            Fact::Pending | Fact::Absent => None,
        }
    }
}

/// Tags by their keys.
pub type Tags = BTreeMap<String, String>;

/// Whose things these are: the project and the backend, as our tags say it, and the tags that everything carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    project: ProjectName,
    backend: BackendName,
    tags: Tags,
}

impl Owner {
    /// Names the owner, and the tags of the configuration.
    pub fn new(project: &ProjectName, backend: &BackendName, tags: &Tags) -> Self {
        Self { project: project.clone(), backend: backend.clone(), tags: tags.clone() }
    }

    /// Returns every tag that a resource of this owner carries.
    pub fn tags(&self) -> Tags {
        let mut tags = self.tags.clone();
        tags.insert(PROJECT_TAG.to_owned(), self.project.to_string());
        tags.insert(BACKEND_TAG.to_owned(), self.backend.to_string());
        tags
    }

    /// Returns the IAM path that everything of this owner lies under.
    pub fn iam_path(&self) -> String {
        format!("/underpin/{}/{}/", self.project, self.backend)
    }

    /// Returns whether `tags` say that a resource is ours.
    pub fn owns(&self, tags: &Tags) -> bool {
        tags.get(PROJECT_TAG).map(String::as_str) == Some(self.project.as_str())
            && tags.get(BACKEND_TAG).map(String::as_str) == Some(self.backend.as_str())
    }

    /// Returns the tags to put on a resource that carries `tags`: those that it lacks, or has with another value.
    pub fn missing_tags(&self, tags: &Tags) -> Tags {
        self.tags().into_iter().filter(|(key, value)| tags.get(key) != Some(value)).collect()
    }

    /// Returns the refusal for a resource that is there and not ours.
    pub fn foreign<S>(&self, what: &str, tags: &Tags, other_name: &str) -> Difference<S> {
        let found = match (tags.get(PROJECT_TAG), tags.get(BACKEND_TAG)) {
            (Some(project), Some(backend)) => {
                format!("{what} is there, and belongs to the backend `{backend}` of the project `{project}`")
            }
            _ => format!("{what} is there, and was not made by `underpin`: it lacks our tags"),
        };
        let cure = format!(
            "Choose another name ({other_name}), or hand it over by tagging it `{PROJECT_TAG} = {}` and \
             `{BACKEND_TAG} = {}`: `underpin plan` then shows what would change.",
            self.project, self.backend
        );
        Difference::refused(found, cure)
    }
}

/// Writes tags as a plan shows them.
pub(crate) fn tags_text(tags: &Tags) -> String {
    tags.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
}

/// Returns the part of `observed` that `wanted` is about to change, as a plan shows it.
pub(crate) fn replaced_tags(observed: &Tags, wanted: &Tags) -> Option<String> {
    let replaced: Tags = observed
        .iter()
        .filter(|(key, _)| wanted.contains_key(*key))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    (!replaced.is_empty()).then(|| tags_text(&replaced))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key that the tests of all resources know.
    pub(super) const KEY: &str =
        "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    pub(super) fn owner() -> Owner {
        let tags = Tags::from([("team".to_owned(), "platform".to_owned())]);
        Owner::new(&"acme".parse().unwrap(), &"main".parse().unwrap(), &tags)
    }

    pub(super) fn known() -> Known {
        Known { key: Some(KEY.parse().unwrap()) }
    }

    #[test]
    fn ours_is_what_carries_both_tags_with_our_values() {
        let ours = owner().tags();
        let mut other = ours.clone();
        other.insert(BACKEND_TAG.to_owned(), "second".to_owned());

        assert!(owner().owns(&ours));
        assert!(!owner().owns(&other));
        assert!(!owner().owns(&Tags::new()));
    }

    #[test]
    fn a_foreign_tag_is_not_missed_and_a_changed_one_is() {
        let mut tags = owner().tags();
        tags.insert("theirs".to_owned(), "kept".to_owned());
        assert_eq!(owner().missing_tags(&tags), Tags::new());

        tags.insert("team".to_owned(), "other".to_owned());
        assert_eq!(tags_text(&owner().missing_tags(&tags)), "team = platform");
        assert_eq!(replaced_tags(&tags, &owner().missing_tags(&tags)).unwrap(), "team = other");
    }

    #[tokio::test]
    async fn a_slot_wakes_who_waits_and_keeps_what_is_known_when_closed() {
        let slot = Slot::default();
        let (seen, ()) = tokio::join!(slot.wait(), async { slot.publish(Some(1)) });
        slot.close();

        assert_eq!((seen, slot.now(), slot.wait().await), (Some(1), Some(1), Some(1)));
    }

    #[tokio::test]
    async fn a_closed_slot_says_that_nothing_comes() {
        let slot = Slot::<u8>::default();
        slot.close();

        assert_eq!(slot.wait().await, None);
    }
}
