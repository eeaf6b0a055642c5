//! A state as Terraform and OpenTofu write it, in format 4.
//!
//! States grow to hundreds of megabytes, and a value for every attribute of one would take many times as much. So what
//! is read here points into the state's own bytes, and attributes stay text until one resource is looked at. Unknown
//! fields are passed over, as Terraform does. No error quotes what it stumbled on: it could be a secret.

mod address;
mod marks;
mod serial;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub use address::{Address, Mode};
pub use marks::Marks;
pub(super) use marks::unwrap_dynamic;
pub use serial::{differ_in_serial_alone, with_serial};

/// The format that Terraform has written since 0.12.
const FORMAT: u64 = 4;
/// What some editors put before a text. Go's JSON, and so Terraform, reads nothing behind it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a state's bytes hold.
#[derive(Debug)]
pub enum Document<'a> {
    /// A state that anyone can read.
    Plain(State<'a>),
    /// A state that OpenTofu has encrypted: only its head is in clear.
    Encrypted(Head),
}

/// What tells one version of a state from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Counts the writes.
    pub serial: u64,
    /// Names the state through all of its versions; empty in a state made by hand.
    pub lineage: String,
    /// What wrote it; an encrypted state does not say it.
    pub terraform_version: Option<String>,
}

/// A state that can be read.
#[derive(Debug, Default)]
pub struct State<'a> {
    /// What tells it from other versions.
    pub head: Head,
    /// The root module's outputs, by name.
    pub outputs: BTreeMap<String, Output<'a>>,
    /// The resources, in the order of the state.
    pub resources: Vec<Resource<'a>>,
}

/// An output of the root module.
#[derive(Debug, Deserialize)]
pub struct Output<'a> {
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    /// Whether the whole of it is marked.
    #[serde(default)]
    pub sensitive: bool,
}

/// A resource with all of its instances.
#[derive(Debug, Deserialize)]
pub struct Resource<'a> {
    #[serde(borrow, default)]
    module: Cow<'a, str>,
    mode: Mode,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    instances: Vec<Instance<'a>>,
}

/// One instance of a resource.
#[derive(Debug, Deserialize)]
pub struct Instance<'a> {
    #[serde(borrow)]
    index_key: Option<&'a RawValue>,
    #[serde(borrow)]
    deposed: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes_flat: Option<&'a RawValue>,
    #[serde(borrow)]
    sensitive_attributes: Option<&'a RawValue>,
}

/// Why bytes are no state that can be read here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There is nothing in it: Terraform takes it for no state.
    #[error("it is empty")]
    Empty,
    /// Something put a mark before it that Terraform does not read over.
    #[error("it begins with a byte-order mark, which Terraform can't read")]
    ByteOrderMark,
    /// It ends before its end.
    #[error("it is cut off: the JSON ends after {0} bytes, before it is complete")]
    Truncated(usize),
    /// It is something else.
    #[error("it is not JSON, from line {line}, column {column} on")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It is JSON, and no state.
    #[error("it is JSON, and no state")]
    NotAState,
    /// Terraform before 0.12 wrote it.
    #[error("it is in format {0}, from before Terraform 0.12; format {FORMAT} is needed")]
    Older(u64),
    /// A version of Terraform that is not known here wrote it.
    #[error("it is in format {0}, and this version of underpin reads format {FORMAT}")]
    Newer(u64),
    /// A part of it is not what format 4 says.
    #[error("its `{0}` are not as format {FORMAT} has them")]
    WrongShape(&'static str),
}

/// The fields that are looked at, of every format.
#[derive(Deserialize)]
struct File<'a> {
    version: Option<u64>,
    terraform_version: Option<String>,
    serial: Option<u64>,
    lineage: Option<String>,
    encryption_version: Option<String>,
    #[serde(borrow)]
    outputs: Option<&'a RawValue>,
    #[serde(borrow)]
    resources: Option<&'a RawValue>,
}

impl<'a> Document<'a> {
    /// Reads a state.
    ///
    /// # Errors
    /// It is no state in format 4, and no encrypted one.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        if bytes.starts_with(BYTE_ORDER_MARK) {
            return Err(Unreadable::ByteOrderMark);
        }
        if bytes.trim_ascii().is_empty() {
            return Err(Unreadable::Empty);
        }
        let file: File<'a> = serde_json::from_slice(bytes).map_err(|error| unreadable(&error, bytes))?;
        let File { version, terraform_version, serial, lineage, encryption_version, outputs, resources } =
            file;
        let head = Head {
            serial: serial.unwrap_or_default(),
            lineage: lineage.unwrap_or_default(),
            terraform_version,
        };
        if encryption_version.is_some_and(|version| !version.is_empty()) {
            return Ok(Self::Encrypted(head));
        }
        match version {
            None => return Err(Unreadable::NotAState),
            Some(FORMAT) => {}
            Some(version) if version < FORMAT => return Err(Unreadable::Older(version)),
            Some(version) => return Err(Unreadable::Newer(version)),
        }
        let outputs = part(outputs).map_err(|_| Unreadable::WrongShape("outputs"))?;
        let resources = part(resources).map_err(|_| Unreadable::WrongShape("resources"))?;
        Ok(Self::Plain(State { head, outputs, resources }))
    }

    /// Returns what tells it from other versions.
    pub fn head(&self) -> &Head {
        match self {
            Self::Plain(state) => &state.head,
            Self::Encrypted(head) => head,
        }
    }

    /// Returns the state, unless it is encrypted.
    pub fn plain(&self) -> Option<&State<'a>> {
        match self {
            Self::Plain(state) => Some(state),
            Self::Encrypted(_) => None,
        }
    }
}

impl<'a> State<'a> {
    /// Returns every instance of every resource with its address, in the order of the state.
    pub fn instances<'s>(&'s self) -> impl Iterator<Item = (Address<'s>, &'s Instance<'a>)> {
        self.resources.iter().flat_map(|resource| {
            resource.instances.iter().map(|instance| {
                let address = Address {
                    module: &resource.module,
                    mode: resource.mode,
                    kind: &resource.kind,
                    name: &resource.name,
                    key: instance.index_key.map(RawValue::get),
                    deposed: instance.deposed.as_deref(),
                };
                (address, instance)
            })
        })
    }

    /// Returns how many instances of managed resources there are.
    pub fn count(&self) -> usize {
        let managed = self.resources.iter().filter(|resource| resource.mode == Mode::Managed);
        managed.map(|resource| resource.instances.len()).sum()
    }
}

impl Instance<'_> {
    /// Returns the attributes as they are written.
    pub fn text(&self) -> &str {
        self.attributes.or(self.attributes_flat).map_or("{}", RawValue::get)
    }

    /// Returns the attributes.
    ///
    /// # Errors
    /// They are no object.
    pub fn attributes(&self) -> Result<Map<String, Value>, Unreadable> {
        serde_json::from_str(self.text()).map_err(|_| Unreadable::WrongShape("attributes"))
    }

    /// Returns whether Terraform means to replace it.
    pub fn is_tainted(&self) -> bool {
        self.status.as_deref() == Some("tainted")
    }

    /// Returns what of the attributes is marked as sensitive. Marks that can't be understood mark everything.
    pub fn marks(&self) -> Marks {
        Marks::parse(self.sensitive_attributes.map(RawValue::get))
    }
}

impl Output<'_> {
    /// Returns the value as it is written.
    pub fn text(&self) -> &str {
        self.value.map_or("null", RawValue::get)
    }

    /// Returns the value.
    ///
    /// # Errors
    /// It is nested deeper than anything that Terraform writes.
    pub fn value(&self) -> Result<Value, Unreadable> {
        serde_json::from_str(self.text()).map_err(|_| Unreadable::WrongShape("outputs"))
    }
}

/// Reads a part of a state; one that is missing, or `null`, is empty.
fn part<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> serde_json::Result<T> {
    let part = raw.map(|raw| serde_json::from_str::<Option<T>>(raw.get())).transpose()?;
    Ok(part.flatten().unwrap_or_default())
}

/// Says where the reading stopped, and nothing of what was read.
fn unreadable(error: &serde_json::Error, bytes: &[u8]) -> Unreadable {
    if error.is_eof() {
        Unreadable::Truncated(bytes.len())
    } else if error.is_data() {
        Unreadable::NotAState
    } else {
        Unreadable::NotJson { line: error.line(), column: error.column() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = r#"{
  "version": 4, "terraform_version": "1.11.4", "serial": 7, "lineage": "11111111-2222-3333-4444-555555555555",
  "outputs": {"b": {"value": 1, "type": "number"}, "a": {"value": "s", "type": "string", "sensitive": true}},
  "resources": [
    {"mode": "managed", "type": "aws_instance", "name": "web", "provider": "p", "instances": [
      {"index_key": 0, "schema_version": 1, "attributes": {"id": "i-0"}, "private": "bnVsbA=="},
      {"index_key": "a b", "attributes": {"id": "i-1"}, "status": "tainted"},
      {"index_key": 1, "deposed": "0a1b2c3d", "attributes_flat": {"id": "i-2"}}]},
    {"module": "module.m[\"k\"]", "mode": "data", "type": "aws_ami", "name": "it", "instances": [{}], "x": {}}
  ],
  "check_results": null, "unknown": [1, {"deep": true}]
}"#;

    fn parse_error(text: &str) -> Unreadable {
        Document::parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_a_state_holds_is_read_and_what_is_unknown_is_passed_over() {
        let document = Document::parse(STATE.as_bytes()).unwrap();
        let state = document.plain().unwrap();

        assert_eq!((state.head.serial, state.count()), (7, 3));
        assert_eq!(state.head.terraform_version.as_deref(), Some("1.11.4"));
        assert_eq!(state.outputs.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(state.outputs["a"].sensitive && !state.outputs["b"].sensitive);
        let addresses: Vec<String> = state.instances().map(|(address, _)| address.to_string()).collect();
        assert_eq!(
            addresses,
            [
                "aws_instance.web[0]",
                "aws_instance.web[\"a b\"]",
                "aws_instance.web[1] (deposed object 0a1b2c3d)",
                "module.m[\"k\"].data.aws_ami.it",
            ]
        );
        let ids = state.instances().map(|(_, instance)| instance.attributes().unwrap().remove("id"));
        assert_eq!(ids.flatten().collect::<Vec<_>>(), ["i-0", "i-1", "i-2"]);
        assert_eq!(state.instances().filter(|(_, instance)| instance.is_tainted()).count(), 1);
    }

    #[test]
    fn parts_that_are_missing_or_null_are_empty() {
        for text in [r#"{"version": 4}"#, r#"{"version": 4, "outputs": null, "resources": null}"#] {
            let document = Document::parse(text.as_bytes()).unwrap();
            let state = document.plain().unwrap();
            assert_eq!((state.count(), state.outputs.len(), &state.head), (0, 0, &Head::default()));
        }
    }

    #[test]
    fn an_encrypted_state_shows_its_head() {
        let text = r#"{"serial":3,"lineage":"x","meta":{"k":"e30="},"encrypted_data":"AAAA","encryption_version":"v0"}"#;

        let document = Document::parse(text.as_bytes()).unwrap();

        assert!(document.plain().is_none());
        let head = Head { serial: 3, lineage: "x".to_owned(), terraform_version: None };
        assert_eq!(*document.head(), head);
    }

    #[test]
    fn every_kind_of_damage_has_an_error_of_its_own() {
        assert_eq!(parse_error(""), Unreadable::Empty);
        assert_eq!(parse_error(" \n"), Unreadable::Empty);
        assert_eq!(parse_error("\u{feff}{\"version\": 4}"), Unreadable::ByteOrderMark);
        assert_eq!(parse_error(&STATE[..400]), Unreadable::Truncated(400));
        assert_eq!(parse_error("<html>"), Unreadable::NotJson { line: 1, column: 1 });
        assert_eq!(parse_error("{}"), Unreadable::NotAState);
        assert_eq!(parse_error("[4]"), Unreadable::NotAState);
        for version in 1..=3 {
            let text = format!(r#"{{"version": {version}, "serial": 1, "modules": []}}"#);
            assert_eq!(parse_error(&text), Unreadable::Older(version));
        }
        assert_eq!(parse_error(r#"{"version": 5, "resources": 1}"#), Unreadable::Newer(5));
        assert_eq!(parse_error(r#"{"version": 4, "resources": {}}"#), Unreadable::WrongShape("resources"));
    }

    #[test]
    fn no_error_quotes_the_state() {
        for text in [
            r#"{"version": "hunter2"}"#,
            r#"{"version": 4, "outputs": {"a": "hunter2"}}"#,
            r#"{"version": 4, "resources": ["hunter2"]}"#,
            r#"{"version": 4, "serial": "hunter2"}"#,
            r#"{"version": 4 hunter2"#,
        ] {
            let error = parse_error(text);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
