use std::collections::BTreeMap;
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn value(entries: &[(&str, &[u8])]) -> Value {
    let mut value = Value::new();
    for (name, bytes) in entries {
        value.insert(*name, bytes.to_vec());
    }
    value
}

fn written(format: Format, value: &Value) -> Result<String, FormatError> {
    let bytes = Entries::select(&[value], None)?.write(format)?;
    Ok(String::from_utf8(bytes.expose().to_vec()).unwrap())
}

#[test]
fn texts_are_written_without_loss() {
    let plain = value(&[("A", b"it's \"x\" $HOME\nno\\"), ("b", "ä\u{1F600}".as_bytes())]);
    for (format, expected) in [
        (Format::Env, "A='it'\\''s \"x\" $HOME\nno\\'\nb='ä\u{1F600}'\n"),
        (
            Format::Json,
            "{\n  \"A\": \"it's \\\"x\\\" $HOME\\nno\\\\\",\n  \"b\": \"ä\u{1F600}\"\n}\n",
        ),
        (
            Format::Yaml,
            "\"A\": \"it's \\\"x\\\" $HOME\\nno\\\\\"\n\"b\": \"ä\u{1F600}\"\n",
        ),
        (
            Format::Properties,
            "A=it's \"x\" $HOME\\nno\\\\\nb=\\u00E4\\uD83D\\uDE00\n",
        ),
    ] {
        assert_eq!(written(format, &plain).as_deref(), Ok(expected), "{format:?}");
    }
    let odd = value(&[("a b=c", b" x #!: y ")]);
    assert_eq!(
        written(Format::Properties, &odd).as_deref(),
        Ok("a\\ b\\=c=\\ x \\#\\!\\: y \n")
    );
    assert_eq!(written(Format::Yaml, &Value::new()).as_deref(), Ok("{}\n"));
    assert_eq!(written(Format::Json, &Value::new()).as_deref(), Ok("{\n}\n"));
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let binary = value(&[("a", &[0xff])]);
    for format in [Format::Env, Format::Json, Format::Yaml, Format::Properties] {
        assert_eq!(
            written(format, &binary),
            Err(FormatError::NotText("a".into())),
            "{format:?}"
        );
    }
    let env = |name: &str, bytes: &[u8]| written(Format::Env, &value(&[(name, bytes)]));
    assert_eq!(
        env("tls.crt", b""),
        Err(FormatError::NotVariable("tls.crt".into()))
    );
    assert_eq!(env("1a", b""), Err(FormatError::NotVariable("1a".into())));
    assert_eq!(env("a", b"x\0"), Err(FormatError::Nul("a".into())));
    assert!(matches!(
        written(Format::Pem, &value(&[("a", b"x")])),
        Err(FormatError::NotPem { key, .. }) if key == "a"
    ));
    let (one, two) = (
        value(&[("a", b"1"), ("b", b"2")]),
        value(&[("a", b"3"), ("c", b"4")]),
    );
    let entries = |keys: Option<&[String]>| Entries::select(&[&one, &two], keys).map(|_| ());
    assert_eq!(entries(None), Err(FormatError::KeyTwice("a".into())));
    assert_eq!(entries(Some(&["b".into(), "c".into()])), Ok(()));
    assert_eq!(entries(Some(&["d".into()])), Err(FormatError::NoKey("d".into())));
}

#[test]
fn pem_texts_stand_on_lines_of_their_own_whatever_stood_around_them() {
    let text = |name: &str| format!("-----BEGIN {name}-----\nAA==\n-----END {name}-----\n");
    let (a, b, c) = (text("A"), text("B"), text("C"));
    let several = format!(
        "Bag Attributes\r\n{}\r\n{}",
        a.replace('\n', "\r\n"),
        c.trim_end()
    );
    let value = value(&[("a", several.as_bytes()), ("b", b.as_bytes())]);
    let keys = ["b".to_owned(), "a".to_owned()];
    let bundle = Entries::select(&[&value], Some(&keys))
        .unwrap()
        .write(Format::Pem)
        .unwrap();
    assert_eq!(bundle.expose(), format!("{b}{a}{c}").as_bytes());
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    let character = prop_oneof![
        any::<char>(),
        prop::sample::select(vec![
            '\'', '"', '\\', '\n', '\r', '\t', ' ', '$', '#', '\u{7f}', '\u{85}', '\u{2028}', '\u{feff}'
        ])
    ];
    let text = prop::collection::vec(character, 0..12).prop_map(|c| c.into_iter().collect::<String>());
    prop::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,6}", text, 0..4)
}

fn value_of(texts: &BTreeMap<String, String>) -> Value {
    let mut value = Value::new();
    for (name, text) in texts {
        value.insert(name.clone(), text.clone().into_bytes());
    }
    value
}

proptest! {
    #[test]
    fn json_and_yaml_read_back(texts in texts()) {
        let value = value_of(&texts);
        let json = written(Format::Json, &value).unwrap();
        prop_assert_eq!(&serde_json::from_str::<BTreeMap<String, String>>(&json).unwrap(), &texts);
        let yaml = written(Format::Yaml, &value).unwrap();
        prop_assert_eq!(&serde_saphyr::from_str::<BTreeMap<String, String>>(&yaml).unwrap(), &texts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A shell is the judge of what a shell reads.
    #[test]
    fn a_shell_reads_env_files(texts in texts()) {
        prop_assume!(!texts.values().any(|text| text.contains('\0')));
        let names: Vec<&str> = texts.keys().map(String::as_str).filter(|name| *name != "_").collect();
        // Those that a shell has for itself cannot be set or mean something.
        prop_assume!(!names.iter().any(|name| name.bytes().all(|c| c.is_ascii_uppercase() || c == b'_')));
        let mut script = written(Format::Env, &value_of(&texts)).unwrap();
        for name in &names {
            script.push_str(&format!("printf '%s\\0' \"${{{name}}}\"\n"));
        }
        let output = Command::new("/bin/sh").args(["-c", &script]).env_clear().output().unwrap();
        let expected: Vec<u8> = names.iter().flat_map(|name| [texts[*name].as_bytes(), b"\0"].concat()).collect();
        prop_assert_eq!(output.stdout, expected);
    }
}
