//! Two values compared, down to the parts that differ.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::document::{Instance, Marks, Unreadable, unwrap_dynamic};
use super::{AttributeChange, Secrets, Shown};

/// How large the table may be that finds what two lists have in common; longer ones are compared place by place.
const LARGEST_TABLE: usize = 1 << 20;
/// Stands for the name of a part that may not be shown.
const HIDDEN_NAME: &str = "(sensitive)";

/// A value on one side, and the marks on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'v> {
    value: &'v Value,
    marks: Option<&'v Marks>,
}

/// Reads an instance's attributes and what of them is marked.
pub(super) fn of_instance(instance: &Instance<'_>, secrets: &Secrets) -> Result<(Value, Marks), Unreadable> {
    let marks = if secrets.are_shown() { Marks::default() } else { instance.marks() };
    Ok((Value::Object(instance.attributes()?), marks))
}

/// Compares two values; at least one of them is there.
pub(super) fn compare(
    before: Option<Side<'_>>,
    after: Option<Side<'_>>,
    secrets: &Secrets,
) -> Vec<AttributeChange> {
    let mut comparison = Comparison { secrets, changes: Vec::new() };
    comparison.values(&Path::default(), before, after);
    comparison.changes
}

impl<'v> Side<'v> {
    pub(super) fn new(value: &'v Value, marks: &'v Marks) -> Self {
        Self { value, marks: Some(marks) }
    }

    fn is_marked(self) -> bool {
        self.marks.is_some_and(Marks::is_whole)
    }

    fn fields(self) -> Option<&'v Map<String, Value>> {
        self.value.as_object()
    }

    fn elements(self) -> &'v [Value] {
        self.value.as_array().map_or(&[], Vec::as_slice)
    }

    fn field(self, name: &str) -> Option<Self> {
        self.value.get(name).map(|value| Self { value, marks: self.marks_at(name) })
    }

    fn element(self, index: usize) -> Option<Self> {
        self.value.get(index).map(|value| Self { value, marks: self.marks_at(&index.to_string()) })
    }

    fn marks_at(self, step: &str) -> Option<&'v Marks> {
        self.marks.and_then(|marks| marks.at(step))
    }

    /// Returns the value and the type in the wrapper of a dynamic type, which the paths of marks pass over.
    fn unwrapped(self) -> Option<(Self, &'v Value)> {
        let (value, kind) = unwrap_dynamic(self.value)?;
        // An object may look like a wrapper, and then a path leads into it.
        let meant = if value.get("value").is_none() { self.marks_at("value") } else { None };
        Some((Self { value, marks: meant.or(self.marks) }, kind))
    }
}

/// Where in a value a part of it is.
#[derive(Debug, Clone, Default)]
struct Path(String);

impl Path {
    fn field(&self, name: &str) -> Self {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        let Self(path) = self;
        if name.is_empty() || !name.chars().all(is_plain) {
            Self(format!("{path}[{}]", Value::from(name)))
        } else if path.is_empty() {
            Self(name.to_owned())
        } else {
            Self(format!("{path}.{name}"))
        }
    }

    fn element(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

struct Comparison<'s> {
    secrets: &'s Secrets,
    changes: Vec<AttributeChange>,
}

impl Comparison<'_> {
    fn values(&mut self, path: &Path, before: Option<Side<'_>>, after: Option<Side<'_>>) {
        // To Terraform, what is null is not there.
        let before = before.filter(|side| !side.value.is_null());
        let after = after.filter(|side| !side.value.is_null());
        let present = || before.iter().chain(&after).copied();
        if present().any(Side::is_marked) {
            return self.marked(path, before, after);
        }
        if let (true, Some(_)) = (present().all(|side| side.unwrapped().is_some()), present().next()) {
            return self.dynamic(path, before, after);
        }
        let is_alone = before.is_some() != after.is_some();
        if present().all(|side| side.fields().is_some_and(|fields| !is_alone || !fields.is_empty())) {
            self.objects(path, before, after);
        } else if present().all(|side| side.value.is_array() && (!is_alone || !side.elements().is_empty())) {
            self.lists(path, before, after);
        } else {
            self.leaf(path, before, after);
        }
    }

    fn objects(&mut self, path: &Path, before: Option<Side<'_>>, after: Option<Side<'_>>) {
        let names = before.iter().chain(&after).filter_map(|side| side.fields()).flat_map(Map::keys);
        for name in names.collect::<BTreeSet<_>>() {
            let told = if self.secrets.cover_text(name) { HIDDEN_NAME } else { name };
            self.values(
                &path.field(told),
                before.and_then(|side| side.field(name)),
                after.and_then(|side| side.field(name)),
            );
        }
    }

    fn lists(&mut self, path: &Path, before: Option<Side<'_>>, after: Option<Side<'_>>) {
        let (was, is) = (before.map_or(&[][..], Side::elements), after.map_or(&[][..], Side::elements));
        for (from, to) in unlike(was, is) {
            let element = path.element(to.or(from).unwrap_or_default());
            self.values(
                &element,
                before.zip(from).and_then(|(side, index)| side.element(index)),
                after.zip(to).and_then(|(side, index)| side.element(index)),
            );
        }
    }

    fn dynamic(&mut self, path: &Path, before: Option<Side<'_>>, after: Option<Side<'_>>) {
        let (was, is) = (before.and_then(Side::unwrapped), after.and_then(Side::unwrapped));
        let told = self.changes.len();
        self.values(path, was.map(|(side, _)| side), is.map(|(side, _)| side));
        let types = (was.map(|(_, kind)| kind), is.map(|(_, kind)| kind));
        if self.changes.len() == told && types.0 != types.1 {
            self.leaf(path, before, after);
        }
    }

    fn marked(&mut self, path: &Path, before: Option<Side<'_>>, after: Option<Side<'_>>) {
        let is_same = before.map(|side| side.value) == after.map(|side| side.value);
        let shown = if is_same { Shown::SensitiveUnchanged } else { Shown::Sensitive };
        self.changes.push(AttributeChange {
            path: path.0.clone(),
            before: before.map(|_| shown.clone()),
            after: after.map(|_| shown.clone()),
        });
    }

    fn leaf(&mut self, path: &Path, before: Option<Side<'_>>, after: Option<Side<'_>>) {
        let (was, is) = (before.map(|side| side.value), after.map(|side| side.value));
        if was == is {
            return;
        }
        // What stands where a secret stood, or will stand, is most likely one.
        let is_secret = was.into_iter().chain(is).any(|value| self.secrets.cover(value));
        let shown = |value: &Value| if is_secret { Shown::Sensitive } else { Shown::Value(value.clone()) };
        self.changes.push(AttributeChange {
            path: path.0.clone(),
            before: was.map(shown),
            after: is.map(shown),
        });
    }
}

/// A place in a list, on one side or on both.
type Pair = (Option<usize>, Option<usize>);

/// Returns the places where two lists differ: elements that are in both, in the same order, are left out, wherever they
/// stand.
fn unlike(was: &[Value], is: &[Value]) -> Vec<Pair> {
    let head = was.iter().zip(is).take_while(|(one, other)| one == other).count();
    let (was_rest, is_rest) = (was.get(head..).unwrap_or_default(), is.get(head..).unwrap_or_default());
    let tail =
        was_rest.iter().rev().zip(is_rest.iter().rev()).take_while(|(one, other)| one == other).count();
    let was_rest = was_rest.get(..was_rest.len() - tail).unwrap_or_default();
    let is_rest = is_rest.get(..is_rest.len() - tail).unwrap_or_default();
    let mut pairs = Vec::new();
    let mut gap = (head, head);
    let ends = std::iter::once((was_rest.len(), is_rest.len()));
    for (from, to) in common(was_rest, is_rest).into_iter().chain(ends) {
        fill(gap, (head + from, head + to), &mut pairs);
        gap = (head + from + 1, head + to + 1);
    }
    pairs
}

/// Pairs what stands between two common elements: one to one where there are as many, else what is gone, then what is new.
fn fill(from: (usize, usize), to: (usize, usize), pairs: &mut Vec<Pair>) {
    let (gone, new) = (from.0..to.0, from.1..to.1);
    if gone.len() == new.len() {
        pairs.extend(gone.map(Some).zip(new.map(Some)));
    } else {
        pairs.extend(gone.map(|index| (Some(index), None)));
        pairs.extend(new.map(|index| (None, Some(index))));
    }
}

/// Returns the places of a longest common subsequence.
fn common(was: &[Value], is: &[Value]) -> Vec<(usize, usize)> {
    let width = is.len() + 1;
    let Some(size) = width.checked_mul(was.len() + 1).filter(|size| *size <= LARGEST_TABLE) else {
        return Vec::new();
    };
    // At a row and a column: how many elements the rests of both lists have in common.
    let mut lengths = vec![0_usize; size];
    let length = |lengths: &[usize], row: usize, column: usize| {
        lengths.get(row * width + column).copied().unwrap_or_default()
    };
    for (row, one) in was.iter().enumerate().rev() {
        for (column, other) in is.iter().enumerate().rev() {
            let best = if one == other {
                length(&lengths, row + 1, column + 1) + 1
            } else {
                length(&lengths, row + 1, column).max(length(&lengths, row, column + 1))
            };
            if let Some(cell) = lengths.get_mut(row * width + column) {
                *cell = best;
            }
        }
    }
    let (mut row, mut column, mut places) = (0, 0, Vec::new());
    while let (Some(one), Some(other)) = (was.get(row), is.get(column)) {
        if one == other {
            places.push((row, column));
            (row, column) = (row + 1, column + 1);
        } else if length(&lengths, row + 1, column) >= length(&lengths, row, column + 1) {
            row += 1;
        } else {
            column += 1;
        }
    }
    places
}
