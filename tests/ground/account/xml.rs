//! XML as JSON, so that everything in a dump has one form.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// Returns the root element's content: an object for one with elements, where repeated ones are a list, else a string.
pub(super) fn parse(document: &str) -> Value {
    let mut reader = Reader::from_str(document);
    let content = element(&mut reader);
    content.as_object().and_then(|root| root.values().next()).cloned().unwrap_or_default()
}

/// Reads to the end of the open element.
fn element(reader: &mut Reader<&[u8]>) -> Value {
    let mut children = Map::new();
    let mut text = String::new();
    loop {
        match reader.read_event().expect("well-formed XML") {
            Event::Start(start) => {
                let name = start.local_name().as_ref().to_owned();
                let child = element(reader);
                add(&mut children, name, child);
            }
            Event::Empty(empty) => {
                let name = empty.local_name().as_ref().to_owned();
                add(&mut children, name, Value::Null);
            }
            Event::Text(part) => text.push_str(&part),
            Event::GeneralRef(reference) => {
                let entity = format!("&{};", &*reference);
                text.push_str(&quick_xml::escape::unescape(&entity).expect("a known entity"));
            }
            Event::End(_) | Event::Eof if children.is_empty() => return text.into(),
            Event::End(_) | Event::Eof => return children.into(),
            _ => {}
        }
    }
}

fn add(children: &mut Map<String, Value>, name: String, child: Value) {
    match children.get_mut(&name) {
        None => drop(children.insert(name, child)),
        Some(Value::Array(list)) => list.push(child),
        Some(one) => *one = Value::Array(vec![one.take(), child]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_become_objects_lists_and_strings() {
        let document = r#"<?xml version="1.0"?><A xmlns="x"><B>1 &amp; 2</B><C><D>a</D><D>b</D></C><E/></A>"#;

        let value = parse(document);

        assert_eq!(value, json!({ "B": "1 & 2", "C": { "D": ["a", "b"] }, "E": null }));
    }
}
