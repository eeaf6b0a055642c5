//! A table of changes and what is told of them, and the search for secrets in what is told.

use serde_json::{Value, json};

use super::super::document::Document;
use super::*;

/// A state with these outputs and resources.
fn state(outputs: &Value, resources: &Value) -> String {
    json!({ "version": 4, "serial": 1, "lineage": "l", "outputs": outputs, "resources": resources })
        .to_string()
}

/// A resource `t.NAME` with one instance.
fn resource(name: &str, attributes: &Value, sensitive: &Value) -> Value {
    json!({
        "mode": "managed", "type": "t", "name": name,
        "instances": [{ "attributes": attributes, "sensitive_attributes": sensitive }],
    })
}

fn between(before: &str, after: &str, shown: bool) -> Difference {
    let (before, after) =
        (Document::parse(before.as_bytes()).unwrap(), Document::parse(after.as_bytes()).unwrap());
    let (before, after) = (before.plain().unwrap(), after.plain().unwrap());
    let secrets = if shown { Secrets::shown() } else { Secrets::of(&[before, after]).unwrap() };
    Difference::between(before, after, &secrets).unwrap()
}

/// Spells changes as a person reads them.
fn spelled(changes: &[Change]) -> Vec<String> {
    let shown = |shown: &Option<Shown>| match shown {
        None => "nothing".to_owned(),
        Some(Shown::Value(value)) => value.to_string(),
        Some(Shown::Sensitive) => "(sensitive)".to_owned(),
        Some(Shown::SensitiveUnchanged) => "(unchanged)".to_owned(),
    };
    let mut lines = Vec::new();
    for Change { name, action, attributes } in changes {
        let symbol = match action {
            Action::Added => "+".to_owned(),
            Action::Changed => "~".to_owned(),
            Action::Removed => "-".to_owned(),
            Action::Moved { from } => format!("{from} ->"),
        };
        lines.push(format!("{symbol} {name}"));
        for AttributeChange { path, before, after } in attributes {
            lines.push(format!("{path}: {} -> {}", shown(before), shown(after)));
        }
    }
    lines
}

/// What is told of a resource whose attributes were these and are those.
fn told(before: &Value, after: &Value, sensitive: &Value) -> Vec<String> {
    let of = |attributes| state(&json!({}), &json!([resource("a", attributes, sensitive)]));
    let mut lines = spelled(&between(&of(before), &of(after), false).resources);
    assert!(lines.is_empty() || lines.remove(0) == "~ t.a");
    lines
}

#[test]
fn attributes_are_compared_part_by_part() {
    let cases: Vec<(Value, Value, &[&str])> = vec![
        (json!({"a": 1, "b": "x"}), json!({"b": "x", "a": 1}), &[]),
        (json!({"a": "x"}), json!({"a": "y"}), &[r#"a: "x" -> "y""#]),
        (json!({"a": null}), json!({}), &[]),
        (json!({"a": null}), json!({"a": false}), &["a: nothing -> false"]),
        (json!({"a": 1}), json!({"a": "1"}), &[r#"a: 1 -> "1""#]),
        // Maps: by key, whatever a key looks like.
        (
            json!({"tags": {"Name": "x", "a b": "1", "gone": "z"}}),
            json!({"tags": {"Name": "y", "a b": "2", "new.er": "z"}}),
            &[
                r#"tags.Name: "x" -> "y""#,
                r#"tags["a b"]: "1" -> "2""#,
                r#"tags.gone: "z" -> nothing"#,
                r#"tags["new.er"]: nothing -> "z""#,
            ],
        ),
        (json!({"tags": null}), json!({"tags": {"a": "1"}}), &[r#"tags.a: nothing -> "1""#]),
        (json!({"tags": null}), json!({"tags": {}}), &["tags: nothing -> {}"]),
        (json!({"tags": {"a": "1"}}), json!({"tags": {}}), &[r#"tags.a: "1" -> nothing"#]),
        // Sets and lists: an element that only moved did not change.
        (
            json!({"s": ["a", "b", "c"]}),
            json!({"s": ["b", "c", "d"]}),
            &[r#"s[0]: "a" -> nothing"#, r#"s[2]: nothing -> "d""#],
        ),
        (json!({"s": ["a", "b", "c"]}), json!({"s": ["a", "x", "c"]}), &[r#"s[1]: "b" -> "x""#]),
        (json!({"s": []}), json!({"s": ["a"]}), &[r#"s[0]: nothing -> "a""#]),
        (
            json!({"rule": [{"port": 22, "from": ["a"]}, {"port": 80, "from": []}]}),
            json!({"rule": [{"port": 22, "from": ["a", "b"]}, {"port": 80, "from": []}]}),
            &[r#"rule[0].from[1]: nothing -> "b""#],
        ),
        (json!({"a": [1]}), json!({"a": {"b": 1}}), &[r#"a: [1] -> {"b":1}"#]),
        // Dynamic types: without their wrapper, unless only the type differs.
        (
            json!({"input": {"value": {"a": 1}, "type": ["object", {"a": "number"}]}}),
            json!({"input": {"value": {"a": 2, "b": "x"}, "type": ["object", {"a": "number", "b": "string"}]}}),
            &["input.a: 1 -> 2", r#"input.b: nothing -> "x""#],
        ),
        (
            json!({"input": {"value": ["a"], "type": ["set", "string"]}}),
            json!({"input": {"value": ["a"], "type": ["list", "string"]}}),
            &[
                r#"input: {"value":["a"],"type":["set","string"]} -> {"value":["a"],"type":["list","string"]}"#,
            ],
        ),
        (
            json!({"record": {"value": "10.0.0.1", "type": "A"}}),
            json!({"record": {"value": "10.0.0.2", "type": "A"}}),
            &[r#"record.value: "10.0.0.1" -> "10.0.0.2""#],
        ),
    ];
    for (before, after, lines) in cases {
        assert_eq!(told(&before, &after, &json!([])), lines, "{before} {after}");
    }
}

fn name(name: &str) -> Value {
    json!({ "type": "get_attr", "value": name })
}

fn index(value: &Value) -> Value {
    let kind = if value.is_string() { "string" } else { "number" };
    json!({ "type": "index", "value": { "value": value, "type": kind } })
}

#[test]
fn what_is_marked_is_told_as_changed_or_unchanged_and_never_shown() {
    let cases: Vec<(Value, Value, Value, &[&str])> = vec![
        (
            json!({"password": "first-secret", "size": 1}),
            json!({"password": "second-secret", "size": 1}),
            json!([[name("password")]]),
            &["password: (sensitive) -> (sensitive)"],
        ),
        (
            json!({"password": "first-secret", "size": 1}),
            json!({"password": "first-secret", "size": 2}),
            json!([[name("password")]]),
            &["password: (unchanged) -> (unchanged)", "size: 1 -> 2"],
        ),
        (
            json!({"password": "first-secret"}),
            json!({"password": "first-secret"}),
            json!([[name("password")]]),
            &[],
        ),
        // A nested path, and its neighbours in clear.
        (
            json!({"a": [{"b": {"k": "first-secret", "l": 1}}]}),
            json!({"a": [{"b": {"k": "second-secret", "l": 2}}]}),
            json!([[name("a"), index(&json!(0)), name("b"), index(&json!("k"))]]),
            &["a[0].b.k: (sensitive) -> (sensitive)", "a[0].b.l: 1 -> 2"],
        ),
        // The path stops at a set.
        (
            json!({"set": [{"key": "first-secret", "id": 1}]}),
            json!({"set": [{"key": "second-secret", "id": 1}]}),
            json!([[name("set")]]),
            &["set: (sensitive) -> (sensitive)"],
        ),
        // The path passes over the wrapper of a dynamic type, and into what only looks like one.
        (
            json!({"input": {"value": {"pass": "first-secret", "n": 1}, "type": ["object", {"pass": "string", "n": "number"}]}}),
            json!({"input": {"value": {"pass": "second-secret", "n": 2}, "type": ["object", {"pass": "string", "n": "number"}]}}),
            json!([[name("input"), name("pass")]]),
            &["input.n: 1 -> 2", "input.pass: (sensitive) -> (sensitive)"],
        ),
        (
            json!({"a": {"value": "first-secret", "type": "string"}}),
            json!({"a": {"value": "second-secret", "type": "string"}}),
            json!([[name("a"), name("value")]]),
            &["a: (sensitive) -> (sensitive)"],
        ),
        // Marks that can't be understood mark everything.
        (
            json!({"a": "first-secret"}),
            json!({"a": "second-secret"}),
            json!([["a"]]),
            &[": (sensitive) -> (sensitive)"],
        ),
        // A copy elsewhere, alone, within other text, in JSON and as a name.
        (
            json!({"password": "first-secret", "copy": "first-secret", "url": "db://u:first-secret@h", "m": {}}),
            json!({
                "password": "first-secret", "copy": "x", "url": "db://u:x@h",
                "m": {"a first-secret": 1}, "json": "{\"p\":\"first-secret\"}",
            }),
            json!([[name("password")]]),
            &[
                "copy: (sensitive) -> (sensitive)",
                "json: nothing -> (sensitive)",
                r#"m["(sensitive)"]: nothing -> 1"#,
                "password: (unchanged) -> (unchanged)",
                "url: (sensitive) -> (sensitive)",
            ],
        ),
        (
            json!({"document": "{\"p\": \"first-\\\"secret\"}", "p": "x", "q": 1}),
            json!({"document": "{\"p\": \"first-\\\"secret\"}", "p": "first-\"secret", "q": 2}),
            json!([[name("document")]]),
            &["document: (unchanged) -> (unchanged)", "p: (sensitive) -> (sensitive)", "q: 1 -> 2"],
        ),
        // A short value hides its equals and nothing else.
        (
            json!({"pin": "ab", "copy": "ab", "word": "about"}),
            json!({"pin": "ab", "copy": "cd", "word": "above"}),
            json!([[name("pin")]]),
            &[
                "copy: (sensitive) -> (sensitive)",
                "pin: (unchanged) -> (unchanged)",
                r#"word: "about" -> "above""#,
            ],
        ),
    ];
    for (before, after, sensitive, lines) in cases {
        let told = told(&before, &after, &sensitive);

        assert_eq!(told, lines, "{before} {after}");
        assert!(!told.join("\n").contains("secret-") && !told.join("\n").contains("-secret"));
    }
}

#[test]
fn a_mark_of_either_version_holds_for_both() {
    let of = |value: &str, sensitive: Value| {
        state(&json!({}), &json!([resource("a", &json!({"p": value}), &sensitive)]))
    };
    let (plain, marked) = (of("hunter2", json!([])), of("hunter3", json!([[name("p")]])));

    for difference in [between(&plain, &marked, false), between(&marked, &plain, false)] {
        assert_eq!(spelled(&difference.resources), ["~ t.a", "p: (sensitive) -> (sensitive)"]);
    }
    let shown = between(&plain, &marked, true);
    assert_eq!(spelled(&shown.resources), ["~ t.a", r#"p: "hunter2" -> "hunter3""#]);
}

#[test]
fn resources_are_added_removed_moved_and_tainted() {
    let instance = |key: Value, id: &str| json!({ "index_key": key, "attributes": { "id": id } });
    let of = |name: &str, instances: Value| json!({ "mode": "managed", "type": "t", "name": name, "instances": instances });
    let before = state(
        &json!({}),
        &json!([
            of("counted", json!([instance(json!(0), "a"), instance(json!(1), "b"), instance(json!(2), "c")])),
            of("gone", json!([{ "attributes": { "id": "g" } }])),
            of("old", json!([{ "attributes": { "id": "tainted" } }])),
        ]),
    );
    let after = state(
        &json!({}),
        &json!([
            of(
                "counted",
                json!([instance(json!("a"), "a"), instance(json!(1), "b"), instance(json!(10), "d")])
            ),
            of("new", json!([{ "attributes": { "id": "n", "none": null } }])),
            of("old", json!([{ "attributes": { "id": "tainted" }, "status": "tainted" }])),
        ]),
    );

    let difference = between(&before, &after, false);

    insta::assert_snapshot!(spelled(&difference.resources).join("\n"), @r#"
    - t.counted[2]
    id: "c" -> nothing
    + t.counted[10]
    id: nothing -> "d"
    t.counted[0] -> t.counted["a"]
    - t.gone
    id: "g" -> nothing
    + t.new
    id: nothing -> "n"
    ~ t.old
    (tainted): false -> true
    "#);
    assert_eq!(Counts::of(&difference.resources), Counts { added: 2, changed: 1, removed: 2, moved: 1 });
}

#[test]
fn outputs_are_hidden_whole_where_they_are_sensitive() {
    let before = state(
        &json!({
            "a": { "value": "x" }, "b": { "value": { "p": "first-secret" }, "sensitive": true },
            "c": { "value": [1] }, "same": { "value": "first-secret", "sensitive": true },
        }),
        &json!([]),
    );
    let after = state(
        &json!({
            "a": { "value": "y" }, "b": { "value": { "p": "second-secret" } }, "copy": { "value": "second-secret!" },
            "same": { "value": "first-secret", "sensitive": true }, "d": { "value": "first-secret" },
        }),
        &json!([]),
    );

    let difference = between(&before, &after, false);

    insta::assert_snapshot!(spelled(&difference.outputs).join("\n"), @r#"
    ~ a
    : "x" -> "y"
    ~ b
    : (sensitive) -> (sensitive)
    - c
    [0]: 1 -> nothing
    + copy
    : nothing -> (sensitive)
    + d
    : nothing -> (sensitive)
    "#);
}

#[test]
fn nothing_that_holds_secrets_tells_them_when_it_is_debugged() {
    let state = state(&json!({ "a": { "value": "hunter2", "sensitive": true } }), &json!([]));
    let document = Document::parse(state.as_bytes()).unwrap();

    let secrets = Secrets::of(&[document.plain().unwrap()]).unwrap();

    assert!(secrets.cover(&json!("hunter2")));
    assert!(!format!("{secrets:?}").contains("hunter2"));
}
