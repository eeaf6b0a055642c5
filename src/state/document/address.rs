//! How Terraform names an instance of a resource.

use std::cmp::Ordering;
use std::fmt;

use serde::Deserialize;

/// Whether Terraform manages a resource or only reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It manages it.
    Managed,
    /// It reads it.
    Data,
}

/// The address of an instance. Sorted as a state is: by resource, then by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address<'a> {
    /// The module, as in `module.a["k"]`; empty for the root module.
    pub module: &'a str,
    /// Whether it is managed.
    pub mode: Mode,
    /// The resource's type.
    pub kind: &'a str,
    /// The resource's name.
    pub name: &'a str,
    /// The key of `count` or `for_each`, as JSON spells it.
    pub key: Option<&'a str>,
    /// The key of an object that waits to be destroyed.
    pub deposed: Option<&'a str>,
}

impl Address<'_> {
    /// Returns what an address without its key is about.
    pub fn resource(&self) -> (&str, Mode, &str, &str) {
        (self.module, self.mode, self.kind, self.name)
    }

    /// Returns the key as a number, where it is one.
    fn number(&self) -> Option<u64> {
        self.key.and_then(|key| key.parse().ok())
    }
}

impl Ord for Address<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |address: &Self| (address.key.is_some(), address.number().is_none(), address.number());
        (self.resource().cmp(&other.resource()))
            .then_with(|| place(self).cmp(&place(other)))
            .then_with(|| (self.key, self.deposed).cmp(&(other.key, other.deposed)))
    }
}

impl PartialOrd for Address<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { module, mode, kind, name, key, deposed } = self;
        if !module.is_empty() {
            write!(f, "{module}.")?;
        }
        if *mode == Mode::Data {
            f.write_str("data.")?;
        }
        write!(f, "{kind}.{name}")?;
        if let Some(key) = key {
            write!(f, "[{key}]")?;
        }
        match deposed {
            Some(deposed) => write!(f, " (deposed object {deposed})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_sort_as_terraform_sorts_them() {
        let address =
            |name, key, deposed| Address { module: "", mode: Mode::Managed, kind: "t", name, key, deposed };
        let sorted = [
            address("a", None, None),
            address("a", None, Some("0a")),
            address("a", Some("2"), None),
            address("a", Some("10"), None),
            address("a", Some("\"b\""), None),
            address("b", None, None),
            Address { mode: Mode::Data, ..address("a", None, None) },
            Address { module: "module.m", ..address("a", None, None) },
        ];

        assert!(sorted.is_sorted());
    }
}
