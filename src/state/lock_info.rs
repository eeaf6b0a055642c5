//! What a lock says of its holder: Terraform's `LockInfo`, byte for byte as Go's `json.Marshal` writes it.
//!
//! OpenTofu releases a DynamoDB lock on the condition that its content equals the `LockInfo` that it read and encoded
//! again. A lock of ours that differs in one escape could never be released by it. Reading is as lenient as Go is:
//! names in any case, `null` for nothing, bytes that are no UTF-8 replaced.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::when;

/// The holder of a lock, in Terraform's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockInfo {
    /// The lock's own id: what `force-unlock` asks for.
    pub id: String,
    /// What the holder does, such as `OperationTypeApply`.
    pub operation: String,
    /// What the holder adds; mostly nothing.
    pub info: String,
    /// `user@host`.
    pub who: String,
    /// The version of Terraform.
    pub version: String,
    /// When the lock was taken, by the holder's clock, as it is written.
    pub created: String,
    /// What is locked: `BUCKET/KEY`.
    pub path: String,
}

/// Why a lock's content says nothing that can be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is too long to be a lock.
    #[error("it has {0} bytes, and a lock has a few hundred")]
    TooLong(u64),
    /// A DynamoDB item lacks the attribute, or has it with another type.
    #[error("the item has no `Info` that is a string")]
    NoInfo,
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// It is JSON of another shape.
    #[error("{0}")]
    WrongShape(String),
}

impl LockInfo {
    /// Returns when the lock was taken, by the holder's clock.
    pub fn created_at(&self) -> Option<SystemTime> {
        when::parse(&self.created)
    }

    /// Reads a lock's content as Go would.
    ///
    /// # Errors
    /// Neither Terraform nor OpenTofu could read it, or it has no id.
    pub fn parse(content: &[u8]) -> Result<Self, Malformed> {
        let text = String::from_utf8_lossy(content);
        if text.trim().is_empty() {
            return Err(Malformed::Empty);
        }
        let value: Value =
            serde_json::from_str(&text).map_err(|error| Malformed::NotJson(error.to_string()))?;
        let Value::Object(fields) = value else {
            return Err(Malformed::WrongShape("it is JSON, and no object".to_owned()));
        };
        let info = Self {
            id: field(&fields, "ID")?,
            operation: field(&fields, "Operation")?,
            info: field(&fields, "Info")?,
            who: field(&fields, "Who")?,
            version: field(&fields, "Version")?,
            created: field(&fields, "Created")?,
            path: field(&fields, "Path")?,
        };
        if info.id.is_empty() {
            return Err(Malformed::WrongShape("it has no `ID`".to_owned()));
        }
        if !info.created.is_empty() && info.created_at().is_none() {
            return Err(Malformed::WrongShape(format!("its `Created` is no time: `{}`", info.created)));
        }
        Ok(info)
    }

    /// Writes it as Go's `json.Marshal` does: no spaces, the fields in the order of the struct.
    pub fn to_json(&self) -> String {
        let Self { id, operation, info, who, version, created, path } = self;
        let fields = [
            ("ID", id),
            ("Operation", operation),
            ("Info", info),
            ("Who", who),
            ("Version", version),
            ("Created", created),
            ("Path", path),
        ];
        let mut json = String::from("{");
        for (index, (name, value)) in fields.into_iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            push_quoted(&mut json, name);
            json.push(':');
            push_quoted(&mut json, value);
        }
        json.push('}');
        json
    }
}

/// Returns a field by its name in any case, as Go does; the last of several counts.
fn field(fields: &Map<String, Value>, name: &str) -> Result<String, Malformed> {
    let value = fields.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        None | Some(Value::Null) => Ok(String::new()),
        Some(_) => Err(Malformed::WrongShape(format!("its `{name}` is no string"))),
    }
}

/// Quotes text as Go's encoder does, which escapes what HTML would read, too.
///
/// <https://pkg.go.dev/encoding/json#Marshal>
fn push_quoted(json: &mut String, text: &str) {
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            // By name since Go 1.22, which every engine that knows `use_lockfile` is built with.
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string can't fail.
                let _written = write!(json, "\\u{:04x}", u32::from(letter)).is_ok();
            }
            plain => json.push(plain),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> LockInfo {
        LockInfo {
            id: "8a7b5b3e-0c0d-5e6f-8a9b-0c1d2e3f4a5b".to_owned(),
            operation: "OperationTypeApply".to_owned(),
            info: String::new(),
            who: "ada@host".to_owned(),
            version: "1.11.4".to_owned(),
            created: "2024-02-29T23:59:59.123456789Z".to_owned(),
            path: "acme/dev/main.tfstate".to_owned(),
        }
    }

    #[test]
    fn a_lock_is_written_as_terraform_writes_it() {
        assert_eq!(
            info().to_json(),
            "{\"ID\":\"8a7b5b3e-0c0d-5e6f-8a9b-0c1d2e3f4a5b\",\"Operation\":\"OperationTypeApply\",\"Info\":\"\",\
             \"Who\":\"ada@host\",\"Version\":\"1.11.4\",\"Created\":\"2024-02-29T23:59:59.123456789Z\",\
             \"Path\":\"acme/dev/main.tfstate\"}"
        );
    }

    #[test]
    fn awkward_names_are_escaped_as_go_escapes_them() {
        for (name, quoted) in [
            ("", r#""""#),
            ("plain", r#""plain""#),
            ("say \"hi\"", r#""say \"hi\"""#),
            (r"DOMAIN\user", r#""DOMAIN\\user""#),
            ("a/b", r#""a/b""#),
            ("<script>&co", r#""\u003cscript\u003e\u0026co""#),
            ("it's = + `x`", r#""it's = + `x`""#),
            ("tab\tline\nreturn\r", r#""tab\tline\nreturn\r""#),
            ("\u{8}\u{c}", r#""\b\f""#),
            ("\0\u{1}\u{b}\u{1f}", r#""\u0000\u0001\u000b\u001f""#),
            ("\u{7f}", "\"\u{7f}\""),
            ("\u{2028}\u{2029}", r#""\u2028\u2029""#),
            ("Jürgen@büro", "\"Jürgen@büro\""),
            ("山田@東京", "\"山田@東京\""),
            ("🦀\u{fffd}\u{ffff}", "\"🦀\u{fffd}\u{ffff}\""),
        ] {
            let mut json = String::new();
            push_quoted(&mut json, name);
            assert_eq!(json, quoted, "{name:?}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), name);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let awkward = LockInfo { who: "Jürgen \"<&>\" \u{2028}\\@host\n".to_owned(), ..info() };
        assert_eq!(LockInfo::parse(awkward.to_json().as_bytes()), Ok(awkward));
    }

    #[test]
    fn what_go_can_read_is_no_less_a_lock() {
        let spaced = b" {\n \"id\": \"1\", \"WHO\": null, \"Extra\": [1], \"ID\": \"2\" }\n";
        let read = LockInfo::parse(spaced).unwrap();
        assert_eq!((read.id.as_str(), read.who.as_str(), read.created.as_str()), ("2", "", ""));

        let not_utf8 = b"{\"ID\":\"1\",\"Who\":\"\xff\"}";
        assert_eq!(LockInfo::parse(not_utf8).unwrap().who, "\u{fffd}");
    }

    #[test]
    fn malformed_content_is_told_and_never_a_panic() {
        let deep = "[".repeat(100_000);
        let cases: &[(&[u8], &str)] = &[
            (b"", "it is empty"),
            (b" \n", "it is empty"),
            (b"not json", "it is not JSON"),
            (b"{\"ID\":\"1\"", "it is not JSON"),
            (deep.as_bytes(), "it is not JSON"),
            (b"\"text\"", "no object"),
            (b"{}", "no `ID`"),
            (b"{\"ID\":1}", "its `ID` is no string"),
            (b"{\"ID\":\"1\",\"Created\":\"yesterday\"}", "its `Created` is no time"),
            (b"\xef\xbb\xbf{\"ID\":\"1\"}", "it is not JSON"),
        ];
        for (content, reason) in cases {
            let malformed = LockInfo::parse(content).unwrap_err();
            assert!(malformed.to_string().contains(reason), "{malformed}");
        }
    }
}
