use super::*;

const SIZE: u64 = 4_194_304;

fn attributes(kind: &str, text: &str) -> Attributes {
    let context = BTreeMap::from([(kind.to_owned(), text.to_owned())]);
    Attributes::parse(&context).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn value(entries: &[(&str, &[u8])]) -> Value {
    let mut value = Value::new();
    for (name, bytes) in entries {
        value.insert(*name, bytes.to_vec());
    }
    value
}

fn fact<'a>(version_id: &'a str, value: &'a Value) -> Fact<'a> {
    Fact {
        version_id,
        value,
        ended: false,
        offline: false,
    }
}

fn files(plan: &Plan) -> Vec<(&str, u32, &[u8])> {
    plan.files
        .iter()
        .map(|(path, file)| (path.as_str(), file.mode.bits(), file.bytes.expose()))
        .collect()
}

#[test]
fn a_whole_secret_is_a_file_for_each_key() {
    let db = value(&[("username", b"u"), ("password", b"\xff")]);
    let asked = attributes("secrets", "db");
    let made = plan(&asked, &[fact("v-1", &db)], false, SIZE).unwrap();
    assert_eq!(
        files(&made),
        [("password", 0o444, &b"\xff"[..]), ("username", 0o444, b"u")]
    );
    assert_eq!(
        made.version_file,
        "{\"state\":\"current\",\"secrets\":[{\"name\":\"db\",\"versionId\":\"v-1\"}]}\n"
    );
    let grouped = plan(&asked, &[fact("v-1", &db)], true, SIZE).unwrap();
    assert!(files(&grouped).iter().all(|(_, mode, _)| *mode == 0o440));
}

#[test]
fn templates_and_formats_take_from_any_secret() {
    let (db, mail) = (value(&[("user", b"u")]), value(&[("pass", b"p")]));
    let text = "secrets: {db: a, mail: b}\nfiles:\n- {path: c/x, template: '{{ db.user }}:{{ mail.pass }}'}\n\
                - {path: y.env, format: env, mode: \"0400\"}\n- {path: z, secret: mail, key: pass}\n";
    let asked = attributes("set", text);
    let made = plan(&asked, &[fact("1", &db), fact("2", &mail)], false, SIZE).unwrap();
    assert_eq!(
        files(&made),
        [
            ("c/x", 0o444, &b"u:p"[..]),
            ("y.env", 0o400, b"pass='p'\nuser='u'\n"),
            ("z", 0o444, b"p")
        ]
    );
    let text = "[{name: a, files: [{path: x, template: '{{ user }}'}]}, {name: b, directory: d}]";
    let made = plan(
        &attributes("secrets", text),
        &[fact("1", &db), fact("2", &mail)],
        false,
        SIZE,
    )
    .unwrap();
    assert_eq!(files(&made), [("d/pass", 0o444, &b"p"[..]), ("x", 0o444, b"u")]);
}

#[test]
fn what_does_not_fit_the_value_is_said_without_it() {
    let marked = value(&[("a", b"MARKER"), ("b", b"\xffMARKER")]);
    let dotted = value(&[("..x", b"MARKER")]);
    let large = value(&[("a", &[b'x'; 50_000])]);
    for (text, value, size, said) in [
        (
            "[{name: s, keys: [c]}]",
            &marked,
            SIZE,
            "secret `s` has no key `c`",
        ),
        ("s", &dotted, SIZE, "path `..x` is not legal"),
        (
            "[{name: s, files: [{path: f, template: '{{ a - 1 }}'}]}]",
            &marked,
            SIZE,
            "template `f`",
        ),
        (
            "[{name: s, files: [{path: f, format: json}]}]",
            &marked,
            SIZE,
            "key `b` is not UTF-8",
        ),
        ("s", &large, 131_072, "raise `size`"),
    ] {
        let error = plan(&attributes("secrets", text), &[fact("v", value)], false, size).expect_err(text);
        let said_in_full = format!("{error} {error:?}");
        assert!(said_in_full.contains(said), "{text}: {error}");
        assert!(!said_in_full.contains("MARKER"), "{text}: {error}");
    }
    let twice = attributes("secrets", "[s, t]");
    let error = plan(&twice, &[fact("v", &marked), fact("v", &marked)], false, SIZE).unwrap_err();
    assert_eq!(error, PlanError::PathTwice("a".into()));
    let below = attributes("secrets", "[s, {name: t, directory: a}]");
    let error = plan(&below, &[fact("v", &marked), fact("v", &marked)], false, SIZE).unwrap_err();
    assert!(matches!(error, PlanError::FileAndFolder { .. }), "{error}");
}

#[test]
fn lost_access_is_said_in_the_volume() {
    let db = value(&[("a", b"1")]);
    let asked = attributes("secrets", "[{name: db, namespace: n}]");
    let ended = Fact {
        ended: true,
        ..fact("v-1", &db)
    };
    let kept = plan(&asked, &[ended], false, SIZE).unwrap();
    assert_eq!(files(&kept).len(), 1);
    assert!(
        kept.version_file.contains("\"state\":\"ended\"") && kept.version_file.contains("\"ended\":true")
    );
    let gone = wiped(&asked);
    assert!(gone.files.is_empty());
    assert_eq!(
        gone.version_file,
        "{\"state\":\"revoked\",\"secrets\":[{\"namespace\":\"n\",\"name\":\"db\",\"ended\":true}]}\n"
    );
}
