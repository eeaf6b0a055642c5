//! What the reference has and this version does not: refused by its name, so that nobody looks for a slip of the pen.

use super::reader::Place;

/// Returns the names that are refused in a place.
pub(super) fn unsupported(place: Place) -> &'static [&'static str] {
    match place {
        Place::Top => &["moved"],
        Place::Backend => &[
            "endpoint",
            "assume_role",
            "managed",
            "key_prefix",
            "permissions_boundary",
            "address",
            "lock_address",
            "unlock_address",
            "lock_method",
            "unlock_method",
            "update_method",
            "scheme",
            "path",
            "datacenter",
            "moved",
        ],
        Place::Key => &["arn"],
        Place::Environment => {
            &["protected", "expires", "component", "terraform", "access", "break_glass", "moved"]
        }
        Place::Render => &["encryption", "ci"],
        Place::Bucket | Place::Table => &[],
    }
}

/// The kinds of backends that are refused.
pub(super) const KINDS: &[&str] = &["http", "consul"];

/// The forms of backend files that are refused.
pub(super) const FORMS: &[&str] = &["backend.tf.json", "tfbackend", "terragrunt"];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{ConfigError, Rule, parse};
    use super::*;

    /// Returns a configuration with a line in a place.
    fn with(place: Place, line: &str) -> String {
        let at = |here: Place, block: &str| match (here == place, block) {
            (true, "") => format!("{line}\n"),
            (true, block) => format!("{block} {{\n{line}\n}}\n"),
            (false, _) => String::new(),
        };
        let in_backend =
            [(Place::Backend, ""), (Place::Bucket, "bucket"), (Place::Table, "table"), (Place::Key, "key")];
        let in_environment = [(Place::Environment, ""), (Place::Render, "render")];
        format!(
            "project = \"acme\"\n{}backend \"main\" {{\nregion = \"eu-west-1\"\n{}}}\nenvironment \"dev\" {{\n{}}}\n",
            at(Place::Top, ""),
            in_backend.map(|(place, block)| at(place, block)).concat(),
            in_environment.map(|(place, block)| at(place, block)).concat(),
        )
    }

    #[test]
    fn every_refused_name_is_refused_as_attribute_and_as_block() {
        let places = [Place::Top, Place::Backend, Place::Key, Place::Environment, Place::Render];
        for (place, name) in
            places.iter().flat_map(|place| unsupported(*place).iter().map(move |name| (*place, name)))
        {
            for line in [format!("{name} = 1"), format!("{name} {{\n}}"), format!("{name} \"x\" {{\n}}")] {
                let Err(ConfigError::Mistaken(mistakes)) = parse(Path::new("x.hcl"), &with(place, &line))
                else {
                    panic!("{place:?} takes `{line}`")
                };

                assert_eq!(mistakes.list.len(), 1, "{line}");
                assert_eq!(mistakes.list[0].rule, Rule::Unsupported, "{line}");
            }
        }
    }
}
