//! What changed between two versions of a state: resources and outputs, attribute by attribute. Pure.
//!
//! Every secret of a state is in it as plain text, so what is told here was asked first whether it may be: by the
//! state's own marks, and by comparison with every value that is marked anywhere in either version, since a mark does
//! not follow a value that Terraform copies.

mod fingerprint;
mod secrets;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;

use serde_json::Value;

pub use fingerprint::Fingerprint;
pub use secrets::Secrets;

use super::document::{Address, Instance, Marks, Output, State, Unreadable};
use values::{Side, compare};

/// The changes from one version of a state to another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    /// The resources that changed, by address.
    pub resources: Vec<Change>,
    /// The outputs that changed, by name.
    pub outputs: Vec<Change>,
}

/// A resource's instance or an output that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The instance's address, or the output's name.
    pub name: String,
    /// What became of it.
    pub action: Action,
    /// What changed in it. Of something that was only moved, nothing.
    pub attributes: Vec<AttributeChange>,
}

/// What becomes of a resource or an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It was not there before.
    Added,
    /// It is not what it was.
    Changed,
    /// It is not there any more.
    Removed,
    /// It is as it was, at another address.
    Moved {
        /// The address that it had.
        from: String,
    },
}

/// An attribute, or a part of one, before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributeChange {
    /// Where in the attributes it is, as in `tags.Name` or `rule[0].port`; empty for the whole value of an output.
    pub path: String,
    /// What it was; `None` where there was nothing.
    pub before: Option<Shown>,
    /// What it is; `None` where there is nothing.
    pub after: Option<Shown>,
}

/// A value as far as it may be shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// The value.
    Value(Value),
    /// A sensitive value, which is another one on the other side.
    Sensitive,
    /// A sensitive value, which is the same on the other side.
    SensitiveUnchanged,
}

/// How many things changed, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many were added.
    pub added: usize,
    /// How many were changed.
    pub changed: usize,
    /// How many were removed.
    pub removed: usize,
    /// How many were moved.
    pub moved: usize,
}

impl Difference {
    /// Compares two versions; `secrets` is what may not be shown wherever it stands.
    ///
    /// # Errors
    /// A resource's attributes are no object.
    pub fn between(before: &State<'_>, after: &State<'_>, secrets: &Secrets) -> Result<Self, Unreadable> {
        Ok(Self {
            resources: resources(before, after, secrets)?,
            outputs: outputs(&before.outputs, &after.outputs, secrets)?,
        })
    }

    /// Returns the outputs of a state, as if all of them were new.
    ///
    /// # Errors
    /// An output is nested deeper than anything that Terraform writes.
    pub fn of_outputs(state: &State<'_>, secrets: &Secrets) -> Result<Self, Unreadable> {
        let outputs = outputs(&BTreeMap::new(), &state.outputs, secrets)?;
        Ok(Self { resources: Vec::new(), outputs })
    }

    /// Returns whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.outputs.is_empty()
    }
}

impl Counts {
    /// Counts changes.
    pub fn of(changes: &[Change]) -> Self {
        let mut counts = Self::default();
        for change in changes {
            *match change.action {
                Action::Added => &mut counts.added,
                Action::Changed => &mut counts.changed,
                Action::Removed => &mut counts.removed,
                Action::Moved { .. } => &mut counts.moved,
            } += 1;
        }
        counts
    }
}

impl Change {
    /// Returns whether anything in it differs, and not only values that may not be shown and are the same.
    fn is_real(&self) -> bool {
        self.action != Action::Changed
            || self.attributes.iter().any(|attribute| attribute.after != Some(Shown::SensitiveUnchanged))
    }
}

type Instances<'s, 'a> = BTreeMap<Address<'s>, &'s Instance<'a>>;

fn resources(before: &State<'_>, after: &State<'_>, secrets: &Secrets) -> Result<Vec<Change>, Unreadable> {
    let mut gone: Instances<'_, '_> = before.instances().collect();
    let mut new: Instances<'_, '_> = BTreeMap::new();
    let mut changes = Vec::new();
    for (address, instance) in after.instances() {
        match gone.remove(&address) {
            Some(was) => changes.extend(changed(&address, was, instance, secrets)?),
            None => drop(new.insert(address, instance)),
        }
    }
    for (from, to) in moves(&gone, &new) {
        gone.remove(&from);
        new.remove(&to);
        let action = Action::Moved { from: from.to_string() };
        changes.push((to, Change { name: to.to_string(), action, attributes: Vec::new() }));
    }
    for (address, instance) in new {
        let (attributes, marks) = values::of_instance(instance, secrets)?;
        let attributes = compare(None, Some(Side::new(&attributes, &marks)), secrets);
        changes.push((address, Change { name: address.to_string(), action: Action::Added, attributes }));
    }
    for (address, instance) in gone {
        let (attributes, marks) = values::of_instance(instance, secrets)?;
        let attributes = compare(Some(Side::new(&attributes, &marks)), None, secrets);
        changes.push((address, Change { name: address.to_string(), action: Action::Removed, attributes }));
    }
    changes.sort_by_key(|(address, _)| *address);
    Ok(changes.into_iter().map(|(_, change)| change).collect())
}

fn changed<'s>(
    address: &Address<'s>,
    before: &Instance<'_>,
    after: &Instance<'_>,
    secrets: &Secrets,
) -> Result<Option<(Address<'s>, Change)>, Unreadable> {
    // Equal attributes are spelled equally: nearly all of a state is passed over here.
    if before.text() == after.text() && before.is_tainted() == after.is_tainted() {
        return Ok(None);
    }
    let (was, was_marked) = values::of_instance(before, secrets)?;
    let (is, is_marked) = values::of_instance(after, secrets)?;
    // What either version marks is marked: a value does not become public by an upgrade of Terraform.
    let marks = was_marked.joined(is_marked);
    let mut attributes = compare(Some(Side::new(&was, &marks)), Some(Side::new(&is, &marks)), secrets);
    if before.is_tainted() != after.is_tainted() {
        let shown = |tainted| Some(Shown::Value(Value::Bool(tainted)));
        attributes.push(AttributeChange {
            path: "(tainted)".to_owned(),
            before: shown(before.is_tainted()),
            after: shown(after.is_tainted()),
        });
    }
    let change = Change { name: address.to_string(), action: Action::Changed, attributes };
    Ok(change.is_real().then_some((*address, change)))
}

/// Finds the instances that are gone from one address and stand, word for word, at another one of the same type.
fn moves<'b, 'a>(gone: &Instances<'b, '_>, new: &Instances<'a, '_>) -> Vec<(Address<'b>, Address<'a>)> {
    let content = |address: &Address<'_>, text| (address.mode, address.kind.to_owned(), text);
    let mut by_content: BTreeMap<_, Vec<Address<'b>>> = BTreeMap::new();
    for (address, instance) in gone.iter().rev().filter(|(address, _)| address.deposed.is_none()) {
        by_content.entry(content(address, instance.text())).or_default().push(*address);
    }
    let mut moves = Vec::new();
    for (address, instance) in new.iter().filter(|(address, _)| address.deposed.is_none()) {
        let from = by_content.get_mut(&content(address, instance.text())).and_then(Vec::pop);
        moves.extend(from.map(|from| (from, *address)));
    }
    moves
}

fn outputs(
    before: &BTreeMap<String, Output<'_>>,
    after: &BTreeMap<String, Output<'_>>,
    secrets: &Secrets,
) -> Result<Vec<Change>, Unreadable> {
    let mut changes = Vec::new();
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let mut names: Vec<&String> = names.collect();
    names.sort_unstable();
    for name in names {
        let (was, is) = (before.get(name), after.get(name));
        let is_marked = [was, is].into_iter().flatten().any(|output| output.sensitive);
        let marks = if is_marked && !secrets.are_shown() { Marks::whole() } else { Marks::default() };
        let value = |output: Option<&Output<'_>>| output.map(Output::value).transpose();
        let (was, is) = (value(was)?, value(is)?);
        let action = match (&was, &is) {
            (None, _) => Action::Added,
            (_, None) => Action::Removed,
            _ => Action::Changed,
        };
        let before = was.as_ref().map(|value| Side::new(value, &marks));
        let after = is.as_ref().map(|value| Side::new(value, &marks));
        let change = Change { name: name.clone(), action, attributes: compare(before, after, secrets) };
        let differs = change.action != Action::Changed || !change.attributes.is_empty();
        changes.extend((differs && change.is_real()).then_some(change));
    }
    Ok(changes)
}
