//! What has to be done: the ordered steps of one backend, decided and not yet performed.

use futures_util::future::join_all;
use sha2::{Digest, Sha256};

use super::{Action, Change, Work};
use crate::aws::{AwsError, Clients};
use crate::names::{BackendName, KeyArn};
use crate::resource::{Address, Known, Outputs};

/// What has to be done in one backend.
#[derive(Debug)]
pub struct Plan {
    /// The backend.
    pub backend: BackendName,
    /// What happens to each resource, unchanged ones included, in the order in which a reader sees them.
    pub changes: Vec<Box<dyn Change>>,
    pub(super) aws: Clients,
    pub(super) outputs: Outputs,
}

/// A resource that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read {address}")]
pub struct ReadError {
    /// The resource.
    pub address: Address,
    /// What AWS answered.
    pub source: AwsError,
}

/// Reads every resource and decides what to do about each. Never writes.
///
/// # Errors
/// Every resource that could not be read, in the order of the resources.
pub async fn plan(work: Work) -> Result<Plan, Vec<ReadError>> {
    let Work { backend, aws, resources, mut outputs } = work;
    let answers = join_all(resources.iter().map(|resource| resource.observe(&aws, &outputs))).await;
    let mut seen = Vec::new();
    let mut errors = Vec::new();
    for (resource, answer) in resources.iter().zip(answers) {
        match answer {
            Ok(answer) => seen.push(answer),
            Err(source) => errors.push(ReadError { address: resource.address(), source }),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let known = Known { key: outputs.found_key.now() };
    let changes = seen.into_iter().map(|seen| seen.decide(&known)).collect();
    // A listing of all policies shows what was there when the plan was made, and nothing that is written from here on.
    outputs.policies = None;
    Ok(Plan { backend, changes, aws, outputs })
}

impl Plan {
    /// Returns whether every resource is as desired and none is refused.
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|change| change.action() == Action::NoOp && change.refusals().is_empty())
    }

    /// Returns how many resources this action meets.
    pub fn count(&self, action: Action) -> usize {
        self.changes.iter().filter(|change| change.action() == action).count()
    }

    /// Returns the key's ARN, where there is a key.
    pub fn key(&self) -> Option<KeyArn> {
        self.outputs.key.now().or_else(|| self.outputs.found_key.now())
    }

    /// Feeds every step to `digest`: two plans with one digest do the same things in the same order.
    pub fn digest_into(&self, digest: &mut PlanDigest) {
        for change in &self.changes {
            for step in change.steps() {
                let line = step.line;
                digest.part(self.backend.as_str());
                digest.part(&change.address().to_string());
                digest.part(step.operation);
                digest.part(line.setting);
                digest.part(line.from.as_deref().unwrap_or_default());
                digest.part(line.to.as_deref().unwrap_or_default());
            }
        }
    }
}

/// A digest of steps, made part by part.
#[derive(Debug, Default)]
pub struct PlanDigest(Sha256);

impl PlanDigest {
    /// Adds one part. Its length goes first, so that no two lists of parts read the same.
    pub fn part(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
    }

    /// Returns the digest as 16 hexadecimal digits: enough to tell plans apart, short enough to copy.
    pub fn finish(self) -> String {
        let beginning =
            self.0.finalize().into_iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(byte));
        format!("{beginning:016x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(parts: &[&str]) -> String {
        let mut digest = PlanDigest::default();
        for part in parts {
            digest.part(part);
        }
        digest.finish()
    }

    #[test]
    fn a_digest_tells_where_one_part_ends() {
        assert_eq!(digest(&["ab", "c"]), digest(&["ab", "c"]));
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_eq!(digest(&[]).len(), 16);
    }
}
