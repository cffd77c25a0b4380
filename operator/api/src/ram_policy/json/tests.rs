//! Places, and that what is read is what others read.

use proptest::prelude::*;

use super::*;

/// What serde reads of the same text, where that can be compared.
fn plain(node: &JsonNode) -> serde_json::Value {
    match &node.value {
        JsonValue::Other => serde_json::Value::Null,
        JsonValue::Text(text) => text.clone().into(),
        JsonValue::List(nodes) => nodes.iter().map(plain).collect(),
        JsonValue::Object(members) => {
            let members = members.iter();
            members
                .map(|member| (member.name.clone(), plain(&member.node)))
                .collect()
        }
    }
}

fn without_others(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Array(items) => items.into_iter().map(without_others).collect(),
        serde_json::Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, without_others(value)))
            .collect(),
        serde_json::Value::String(text) => text.into(),
        _ => serde_json::Value::Null,
    }
}

fn refusal(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn says_where_and_what_is_wrong() {
    for (text, expected) in [
        (
            "",
            "line 1, column 1, $: it is not JSON: expected a value, and the text ends",
        ),
        (
            "{\"a\": 1} x",
            "line 1, column 10, $: it is not JSON: expected the end of the text",
        ),
        (
            "{\n  \"ü\": [1,\n  }",
            "line 3, column 3, $['ü'][1]: it is not JSON: expected a value",
        ),
        (
            "{\"a\": {\"b\": 1,\n\"b\": 2}}",
            "line 2, column 1, $.a: `b` stands twice in this object; leave one of them",
        ),
        // The same name, written otherwise.
        (
            "{\"a\": 1, \"\\u0061\": 2}",
            "line 1, column 10, $: `a` stands twice",
        ),
        (
            "{a: 1}",
            "line 1, column 2, $: it is not JSON: expected a name in quotes",
        ),
        ("{\"a\" 1}", "line 1, column 6, $: it is not JSON: expected `:`"),
        (
            "[1 2]",
            "line 1, column 4, $: it is not JSON: expected `,` or `]`",
        ),
        (
            "{\"a\": 1,}",
            "line 1, column 9, $: it is not JSON: expected a name",
        ),
        (
            "\"a\nb\"",
            "line 1, column 3, $: it is not JSON: a control character",
        ),
        ("\"a", "line 1, column 3, $: it is not JSON: a text has no end"),
        (
            "\"\\x\"",
            "line 1, column 2, $: it is not JSON: an escape that there is not",
        ),
        ("\"\\ud83d\"", "line 1, column 2, $: it is not JSON: an escape"),
        (
            "\"\\ud83d\\u0041\"",
            "line 1, column 2, $: it is not JSON: an escape",
        ),
        ("01", "line 1, column 1, $: it is not JSON: expected a value"),
        (
            "\u{feff}{}",
            "line 1, column 1, $: it is not JSON: expected a value",
        ),
        ("nul", "line 1, column 1, $: it is not JSON: expected a value"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.starts_with(expected), "{text:?}: {refusal}");
    }
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&deep(MAX_DEPTH)).is_ok());
    assert!(refusal(&deep(MAX_DEPTH + 1)).ends_with("values are nested too deep"));
    assert!(refusal(&"[".repeat(30_000)).ends_with("values are nested too deep"));
}

#[test]
fn escapes_and_numbers_are_those_of_json() {
    let text =
        r#"{"b": "\"\\\/\b\f\n\r\t\u00fc\ud83d\ude00", "a": [0, -1.5e+3, 10E2, true, false, null, {}, []]}"#;
    let read = read(text).unwrap();
    let expected = serde_json::from_str(text).unwrap();
    assert_eq!(plain(&read), without_others(expected));
    let JsonValue::Object(members) = read.value else {
        panic!("{read:?}")
    };
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
}

proptest! {
    #[test]
    fn reads_what_others_read(text in r#"([\[\]{}:,"01ea.\-u\\ ]|"[a-c]":){0,12}"#) {
        // Others take a name twice, and may nest deeper.
        let ours = read(&text);
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(plain(&ours), without_others(theirs)),
            (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => prop_assert!(
                matches!(error.reason, RamPolicyReason::DuplicateName(_)),
                "{}", error
            ),
            (Ok(_), Err(error)) => {
                // A number that is too large is one all the same.
                prop_assert!(error.to_string().contains("number out of range"), "{}", error);
            }
        }
    }
}
