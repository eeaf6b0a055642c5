//! The lifecycle configuration: one rule of ours, beside whatever rules others put there.

use aws_sdk_s3::error::BuildError;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, NoncurrentVersionExpiration, TransitionDefaultMinimumObjectSize,
};

/// The id by which our rule is known.
const RULE_ID: &str = "underpin";
/// After how many days the parts of an upload that was never finished go.
const ABORT_UPLOADS_DAYS: i32 = 7;

/// All rules of a bucket, ours among them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lifecycle {
    rules: Vec<Rule>,
    /// A setting of the whole configuration that a write without it would reset.
    minimum_object_size: Option<TransitionDefaultMinimumObjectSize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Ours(OwnRule),
    /// Somebody else's rule, or one under our id that does something else: kept as it was read.
    Foreign(Box<LifecycleRule>),
}

/// What our rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OwnRule {
    keep_versions: i32,
    expire_days: i32,
}

impl Lifecycle {
    /// Sorts what was read into our rule and the others.
    pub(super) fn new(
        rules: Vec<LifecycleRule>,
        minimum_object_size: Option<TransitionDefaultMinimumObjectSize>,
    ) -> Self {
        let rules = rules
            .into_iter()
            .map(|rule| OwnRule::read(&rule).map_or_else(|| Rule::Foreign(Box::new(rule)), Rule::Ours))
            .collect();
        Self { rules, minimum_object_size }
    }

    /// Returns the configuration with our rule in it, in the place where it was or at the end.
    pub(super) fn with_rule(&self, keep_versions: i32, expire_days: i32) -> Self {
        let own = Rule::Ours(OwnRule { keep_versions, expire_days });
        let mut wanted = self.clone();
        match wanted.rules.iter_mut().find(|rule| rule.has_our_id()) {
            Some(rule) => *rule = own,
            None => wanted.rules.push(own),
        }
        wanted
    }

    /// Returns our rule as a plan shows it, if there is one.
    pub(super) fn own_rule_text(&self) -> Option<String> {
        self.rules.iter().find(|rule| rule.has_our_id()).map(|rule| match rule {
            Rule::Ours(own) => own.text(),
            Rule::Foreign(_) => format!("another rule with the id `{RULE_ID}`"),
        })
    }

    /// Returns our rule as a plan shows it, empty where there is none.
    pub(super) fn text(&self) -> String {
        self.own_rule_text().unwrap_or_default()
    }

    /// Returns the setting of the whole configuration that has to be sent back as it was.
    pub(super) fn minimum_object_size(&self) -> Option<TransitionDefaultMinimumObjectSize> {
        self.minimum_object_size.clone()
    }

    /// Returns all rules as S3 takes them.
    pub(super) fn to_rules(&self) -> Result<Vec<LifecycleRule>, BuildError> {
        self.rules
            .iter()
            .map(|rule| match rule {
                Rule::Ours(own) => own.to_rule(),
                Rule::Foreign(rule) => Ok((**rule).clone()),
            })
            .collect()
    }
}

impl Rule {
    fn has_our_id(&self) -> bool {
        match self {
            Self::Ours(_) => true,
            Self::Foreign(rule) => rule.id() == Some(RULE_ID),
        }
    }
}

impl OwnRule {
    /// Returns the rule as ours if it is exactly one that we would write.
    fn read(rule: &LifecycleRule) -> Option<Self> {
        let noncurrent = rule.noncurrent_version_expiration()?;
        let own = Self {
            keep_versions: noncurrent.newer_noncurrent_versions()?,
            expire_days: noncurrent.noncurrent_days()?,
        };
        (own.to_rule().ok()? == normalized(rule)).then_some(own)
    }

    fn to_rule(self) -> Result<LifecycleRule, BuildError> {
        LifecycleRule::builder()
            .id(RULE_ID)
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("").build())
            .noncurrent_version_expiration(
                NoncurrentVersionExpiration::builder()
                    .noncurrent_days(self.expire_days)
                    .newer_noncurrent_versions(self.keep_versions)
                    .build(),
            )
            .expiration(LifecycleExpiration::builder().expired_object_delete_marker(true).build())
            .abort_incomplete_multipart_upload(
                AbortIncompleteMultipartUpload::builder().days_after_initiation(ABORT_UPLOADS_DAYS).build(),
            )
            .build()
    }

    fn text(self) -> String {
        let Self { keep_versions, expire_days } = self;
        format!(
            "keep {keep_versions} noncurrent versions, expire the others after {expire_days} days, \
             abort uploads after {ABORT_UPLOADS_DAYS} days"
        )
    }
}

/// An empty filter and a filter for the empty prefix select the same objects: all.
fn normalized(rule: &LifecycleRule) -> LifecycleRule {
    let mut rule = rule.clone();
    if let Some(filter) = &mut rule.filter
        && *filter == LifecycleRuleFilter::builder().build()
    {
        filter.prefix = Some(String::new());
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(id: &str) -> LifecycleRule {
        LifecycleRule::builder()
            .id(id)
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("logs/").build())
            .expiration(LifecycleExpiration::builder().days(30).build())
            .build()
            .unwrap()
    }

    #[test]
    fn our_rule_is_known_again_whatever_its_figures() {
        let rule = OwnRule { keep_versions: 7, expire_days: 1 }.to_rule().unwrap();

        let lifecycle = Lifecycle::new(vec![rule], None);

        assert_eq!(lifecycle, Lifecycle::default().with_rule(7, 1));
        assert_ne!(lifecycle, lifecycle.with_rule(50, 90));
    }

    #[test]
    fn foreign_rules_stay_in_their_places() {
        let ours = OwnRule { keep_versions: 50, expire_days: 90 }.to_rule().unwrap();
        let lifecycle = Lifecycle::new(vec![foreign("a"), ours, foreign("b")], None);

        let rules = lifecycle.with_rule(10, 5).to_rules().unwrap();

        let ids: Vec<_> = rules.iter().map(|rule| rule.id().unwrap()).collect();
        assert_eq!(ids, ["a", "underpin", "b"]);
        assert_eq!(rules[0], foreign("a"));
    }

    #[test]
    fn a_rule_of_ours_that_was_changed_by_hand_is_put_right() {
        let mut disabled = OwnRule { keep_versions: 50, expire_days: 90 }.to_rule().unwrap();
        disabled.status = ExpirationStatus::Disabled;

        for changed in [disabled, foreign("underpin")] {
            let lifecycle = Lifecycle::new(vec![changed], None);
            let wanted = lifecycle.with_rule(50, 90);

            assert_ne!(lifecycle, wanted);
            assert_eq!(wanted, Lifecycle::default().with_rule(50, 90));
        }
    }
}
