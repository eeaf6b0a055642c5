//! From text to HCL, and the parser's complaint as a mistake like any other.
//!
//! hcl-edit limits how deep a text may nest, so no text can exhaust the stack here.

use hcl_edit::structure::Body;

use super::mistake::{Findings, Rule};

/// Parses the text; `None` where it is no HCL.
pub(super) fn parse(findings: &mut Findings) -> Option<Body> {
    let text = &findings.source.text;
    if let Some((at, character)) = text.char_indices().find(|(_, character)| is_control(*character)) {
        let what =
            format!("the control character U+{:04X} can't be in a configuration", u32::from(character));
        let hint = "Is this a text file?".to_owned();
        findings.mistake(Rule::ControlCharacter, &(at..at + character.len_utf8()), what, hint);
        return None;
    }
    match hcl_edit::parser::parse_body(text) {
        Ok(body) => Some(body),
        Err(error) => {
            let start = text.floor_char_boundary(error.location().offset());
            let found = text.get(start..).unwrap_or_default();
            let Complaint { rule, length, what, hint } = explain(error.message(), found);
            findings.mistake(rule, &(start..start + length), what, hint);
            None
        }
    }
}

struct Complaint {
    rule: Rule,
    length: usize,
    what: String,
    hint: Option<String>,
}

/// Puts the parser's complaint, known by its words alone, about what it found into the words of a mistake.
fn explain(message: &str, found: &str) -> Complaint {
    let name: &str =
        found.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').next().unwrap_or_default();
    if message.contains("redefined") && !name.is_empty() {
        let hint = Some("Keep one of them.".to_owned());
        return Complaint {
            rule: Rule::Repeated,
            length: name.len(),
            what: format!("`{name}` is set twice"),
            hint,
        };
    }
    let length = found.chars().next().filter(|first| !first.is_whitespace()).map_or(0, char::len_utf8);
    let hint = hint_for(message, found).map(str::to_owned);
    Complaint {
        rule: Rule::Syntax,
        length,
        what: format!("this is not HCL: {}", message.replace("eof", "end of file")),
        hint,
    }
}

fn hint_for(message: &str, found: &str) -> Option<&'static str> {
    if found.starts_with('\'') {
        Some("Strings stand in double quotes.")
    } else if found.starts_with(':') {
        Some("Write `=`.")
    } else if message.contains("invalid expression") {
        Some("A value belongs here.")
    } else if message.contains("escape sequence") {
        Some("Write a backslash as `\\\\`.")
    } else if message.contains("expected newline") {
        Some("Every attribute has a line of its own. Is a quotation mark missing further up?")
    } else if message.contains("block body") {
        Some("A block of several attributes begins and ends with a line of its own. Is a `}` missing?")
    } else if message == "unexpected token" {
        // The parser goes back to where the attribute or block begins that it can't read.
        Some("Is a quotation mark, a bracket or a brace missing, here or further down?")
    } else {
        None
    }
}

fn is_control(character: char) -> bool {
    character.is_control() && !matches!(character, '\t' | '\n' | '\r')
}
