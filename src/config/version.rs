//! `required_version`: which versions of underpin a configuration is meant for, in the words of Terraform's own
//! `required_version`. <https://developer.hashicorp.com/terraform/language/expressions/version-constraints>

use semver::Version;

use super::mistake::{Findings, Rule};
use super::reader::Written;

/// Checks that this version is one of those that are required; a requirement that can't be read is a mistake, but no
/// reason to stop reading.
pub(super) fn check(required: &Written<String>, findings: &mut Findings) -> bool {
    let ours = env!("CARGO_PKG_VERSION");
    match admits(&required.value, ours) {
        Some(true) => true,
        Some(false) => {
            let what =
                format!("this is underpin {ours}, and the configuration requires `{}`", required.value);
            let hint = "Use a version of underpin that it admits, or change `required_version`.".to_owned();
            findings.mistake(Rule::RequiredVersion, &required.span, what, hint);
            false
        }
        None => {
            let what = format!("`{}` is no requirement of a version", required.value);
            let hint = "Write it as Terraform does: `>= 0.1`, `~> 0.1`, `>= 0.1, < 2.0`.".to_owned();
            findings.mistake(Rule::RequiredVersion, &required.span, what, hint);
            true
        }
    }
}

/// Returns whether every part of a requirement admits a version; `None` where one can't be read.
fn admits(requirement: &str, version: &str) -> Option<bool> {
    let version = Version::parse(version).ok()?;
    let parts: Option<Vec<bool>> =
        requirement.split(',').map(|part| part_admits(part.trim(), &version)).collect();
    parts.map(|parts| parts.into_iter().all(|admitted| admitted))
}

fn part_admits(part: &str, version: &Version) -> Option<bool> {
    const OPERATORS: [&str; 7] = [">=", "<=", "!=", "~>", ">", "<", "="];
    let operator = OPERATORS.into_iter().find(|operator| part.starts_with(operator)).unwrap_or_default();
    let numbers = part.strip_prefix(operator)?.trim();
    let dots = numbers.split(['-', '+']).next()?.matches('.').count();
    let bound = Version::parse(&match dots {
        0 => format!("{numbers}.0.0"),
        1 => format!("{numbers}.0"),
        _ => numbers.to_owned(),
    })
    .ok()?;
    Some(match operator {
        ">=" => *version >= bound,
        "<=" => *version <= bound,
        "!=" => *version != bound,
        ">" => *version > bound,
        "<" => *version < bound,
        // Only the last number that is written may grow.
        "~>" => {
            let same_major = dots == 0 || version.major == bound.major;
            let same_minor = dots < 2 || version.minor == bound.minor;
            *version >= bound && same_major && same_minor
        }
        _ => *version == bound,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_mean_what_they_mean_to_terraform() {
        for (requirement, admitted) in [
            ("0.1.0", true),
            ("= 0.1", true),
            (">= 0.1, < 2.0", true),
            (">=0.1.0", true),
            ("> 0.1.0", false),
            ("!= 0.1.0", false),
            ("<= 0.1", true),
            ("~> 0.1", true),
            ("~> 0.0", true),
            ("~> 0.1.0", true),
            ("~> 0.0.9", false),
            ("~> 1.0", false),
            ("~> 0", true),
        ] {
            assert_eq!(admits(requirement, "0.1.0"), Some(admitted), "{requirement}");
        }
    }

    #[test]
    fn a_requirement_that_cannot_be_read_is_none() {
        for requirement in ["", "latest", ">= ", "^0.1", "1.2.3.4", ">= 0.1,", "*"] {
            assert_eq!(admits(requirement, "0.1.0"), None, "{requirement}");
        }
    }
}
