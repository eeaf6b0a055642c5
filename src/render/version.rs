//! The versions of Terraform and OpenTofu: which one a rendered file needs, and which ones a constraint admits.

use std::fmt;

use semver::Version;

use crate::config::{Engine, LockMode};

/// The oldest version that knows everything in a rendered file, and the argument that it is needed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Minimum {
    pub(super) version: Version,
    pub(super) argument: &'static str,
}

impl fmt::Display for Minimum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.version.major, self.version.minor)
    }
}

/// Returns the oldest version for a lock mode. Terraform and OpenTofu agree on these.
///
/// Every argument that is rendered but these two has always been there.
/// <https://github.com/hashicorp/terraform/blob/v1.6/CHANGELOG.md>,
/// <https://github.com/hashicorp/terraform/blob/v1.10/CHANGELOG.md>,
/// <https://opentofu.org/docs/v1.10/language/settings/backends/s3/>
pub(super) fn minimum(lock: LockMode) -> Minimum {
    if lock.uses_lockfile() {
        Minimum { version: Version::new(1, 10, 0), argument: "use_lockfile" }
    } else {
        Minimum { version: Version::new(1, 6, 0), argument: "allowed_account_ids" }
    }
}

/// Returns an engine's name, as its makers write it.
pub(super) fn name_of(engine: Engine) -> &'static str {
    match engine {
        Engine::Terraform => "Terraform",
        Engine::OpenTofu => "OpenTofu",
    }
}

/// A `required_version`: conditions, all of which must hold.
/// <https://developer.hashicorp.com/terraform/language/expressions/version-constraints>
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Constraint(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    operator: Operator,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// `~> 1.2`: the same major version.
    SameMajor,
    /// `~> 1.2.3`: the same minor version.
    SameMinor,
}

impl Constraint {
    /// Parses a constraint. `None` is one that Terraform does not accept either.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.split(',').map(Condition::parse).collect::<Option<_>>().map(Self)
    }

    /// Returns the constraint that holds where all of these hold.
    pub(super) fn all<'a>(constraints: impl IntoIterator<Item = &'a Self>) -> Self {
        Self(constraints.into_iter().flat_map(|constraint| constraint.0.iter().cloned()).collect())
    }

    /// Returns the lowest version from `floor` on that is admitted.
    ///
    /// It is the floor, or one that a condition names, or follows one of them so closely that only exclusions lie
    /// between.
    pub(super) fn lowest(&self, floor: &Version) -> Option<Version> {
        let named = self.0.iter().map(|condition| &condition.version).filter(|version| *version >= floor);
        let after = |version: &Version, steps| {
            Version::new(version.major, version.minor, version.patch.saturating_add(steps))
        };
        let steps = u64::try_from(self.0.len()).unwrap_or(u64::MAX);
        let candidates =
            named.chain([floor]).flat_map(|version| (0..=steps).map(move |step| after(version, step)));
        candidates.filter(|version| self.admits(version)).min()
    }

    fn admits(&self, version: &Version) -> bool {
        self.0.iter().all(|condition| condition.admits(version))
    }
}

impl Condition {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let number = text.trim_start_matches(['=', '!', '<', '>', '~']);
        let (operator, _) = text.split_at(text.len() - number.len());
        let (version, parts) = parse_version(number.trim_start())?;
        let operator = match operator {
            "" | "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            "~>" => match parts {
                // With nothing to the left of it, the only part may grow without end.
                1 => Operator::GreaterOrEqual,
                2 => Operator::SameMajor,
                _ => Operator::SameMinor,
            },
            _ => return None,
        };
        Some(Self { operator, version })
    }

    fn admits(&self, version: &Version) -> bool {
        let Self { operator, version: named } = self;
        match operator {
            Operator::Equal => version == named,
            Operator::NotEqual => version != named,
            Operator::Greater => version > named,
            Operator::GreaterOrEqual => version >= named,
            Operator::Less => version < named,
            Operator::LessOrEqual => version <= named,
            Operator::SameMajor => version >= named && version.major == named.major,
            Operator::SameMinor => {
                version >= named && (version.major, version.minor) == (named.major, named.minor)
            }
        }
    }
}

/// Parses one to three numbers, and counts them. A pre-release is none: Terraform refuses it in `required_version`.
fn parse_version(text: &str) -> Option<(Version, usize)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Option<Vec<u64>> =
        text.split('.').map(|part| part.parse().ok().filter(|_| digits(part))).collect();
    let parts = parts?;
    let version = match parts.as_slice() {
        [major] => Version::new(*major, 0, 0),
        [major, minor] => Version::new(*major, *minor, 0),
        [major, minor, patch] => Version::new(*major, *minor, *patch),
        _ => return None,
    };
    Some((version, parts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lowest(constraint: &str, floor: &str) -> Option<String> {
        let constraint = Constraint::parse(constraint).unwrap();
        constraint.lowest(&floor.parse().unwrap()).map(|version| version.to_string())
    }

    #[test]
    fn the_lowest_admitted_version_is_found() {
        for (constraint, from_the_start, from_1_10) in [
            (">= 1.5, < 2.0", Some("1.5.0"), Some("1.10.0")),
            (">= 1.5, < 1.10", Some("1.5.0"), None),
            (">= 1.5, <= 1.10", Some("1.5.0"), Some("1.10.0")),
            (">= 1.12", Some("1.12.0"), Some("1.12.0")),
            ("> 1.12", Some("1.12.1"), Some("1.12.1")),
            ("> 1.9.8", Some("1.9.9"), Some("1.10.0")),
            ("< 1.10.0", Some("0.0.0"), None),
            ("< 1.10.1", Some("0.0.0"), Some("1.10.0")),
            ("< 1.10.3, != 1.10.0, != 1.10.1", Some("0.0.0"), Some("1.10.2")),
            ("< 1.10.2, != 1.10.0, != 1.10.1", Some("0.0.0"), None),
            (">= 1.10, != 1.10.0, != 1.10.1", Some("1.10.2"), Some("1.10.2")),
            ("!= 1.9.0", Some("0.0.0"), Some("1.10.0")),
            ("1.9.8", Some("1.9.8"), None),
            ("= 1.11.4", Some("1.11.4"), Some("1.11.4")),
            ("=1.11", Some("1.11.0"), Some("1.11.0")),
            ("~> 1", Some("1.0.0"), Some("1.10.0")),
            ("~> 1.9", Some("1.9.0"), Some("1.10.0")),
            ("~> 1.9.0", Some("1.9.0"), None),
            ("~> 1.10.2", Some("1.10.2"), Some("1.10.2")),
            ("~> 0.15", Some("0.15.0"), None),
            ("~>1.11,!=1.11.0", Some("1.11.1"), Some("1.11.1")),
            (">= v1.5", Some("1.5.0"), Some("1.10.0")),
            (">= 01.05", Some("1.5.0"), Some("1.10.0")),
            (">= 2.0, < 1.0", None, None),
        ] {
            assert_eq!(lowest(constraint, "0.0.0").as_deref(), from_the_start, "{constraint}");
            assert_eq!(lowest(constraint, "1.10.0").as_deref(), from_1_10, "{constraint}");
        }
    }

    #[test]
    fn what_terraform_refuses_is_no_constraint() {
        for wrong in [
            "",
            ">= 1.5,",
            ",",
            "=> 1.5",
            ">= 1.5.x",
            ">= 1.5 < 2",
            ">= 1.10.0-beta1",
            "latest",
            ">=",
            "~ 1.5",
            ">= +1.5",
            "1..2",
            ">= 99999999999999999999",
        ] {
            assert_eq!(Constraint::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn constraints_hold_together() {
        let constraints = [">= 1.5", ">= 1.11, < 2"].map(|text| Constraint::parse(text).unwrap());

        let lowest = Constraint::all(&constraints).lowest(&Version::new(0, 0, 0));

        assert_eq!(lowest, Some(Version::new(1, 11, 0)));
    }

    #[test]
    fn only_the_lockfile_needs_a_recent_engine() {
        for (lock, version) in [(LockMode::DynamoDb, "1.6"), (LockMode::S3, "1.10"), (LockMode::Both, "1.10")]
        {
            assert_eq!(minimum(lock).to_string(), version);
        }
    }
}
