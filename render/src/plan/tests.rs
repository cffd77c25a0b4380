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

fn fact<'a>(version_id: &'a str, value: &'a Value) -> SecretInput<'a> {
    SecretInput {
        version_id,
        value,
        ended: false,
        offline: false,
    }
}

fn at(group: bool, size: u64) -> PlanTarget<'static> {
    PlanTarget {
        pod: "app-1",
        group,
        size,
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
    let made = plan(&asked, &[fact("v-1", &db)], at(false, SIZE)).unwrap();
    assert_eq!(
        files(&made),
        [("password", 0o444, &b"\xff"[..]), ("username", 0o444, b"u")]
    );
    assert_eq!(
        made.version_file,
        "{\"state\":\"current\",\"secrets\":[{\"name\":\"db\",\"versionId\":\"v-1\"}]}\n"
    );
    let grouped = plan(&asked, &[fact("v-1", &db)], at(true, SIZE)).unwrap();
    assert!(files(&grouped).iter().all(|(_, mode, _)| *mode == 0o440));
}

#[test]
fn templates_and_formats_take_from_any_secret() {
    let (db, mail) = (value(&[("user", b"u")]), value(&[("pass", b"p")]));
    let text = "secrets: {db: a, mail: b}\nfiles:\n- {path: c/x, template: '{{ db.user }}:{{ mail.pass }}'}\n\
                - {path: y.env, format: env, mode: \"0400\"}\n- {path: z, secret: mail, key: pass}\n";
    let asked = attributes("set", text);
    let made = plan(&asked, &[fact("1", &db), fact("2", &mail)], at(false, SIZE)).unwrap();
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
        at(false, SIZE),
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
        ("s", &dotted, SIZE, "path `..x` is not valid"),
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
            "`json` needs UTF-8 text in `a`, `b`",
        ),
        ("s", &large, 131_072, "raise `size`"),
    ] {
        let error = plan(&attributes("secrets", text), &[fact("v", value)], at(false, size)).expect_err(text);
        let said_in_full = format!("{error} {error:?}");
        assert!(said_in_full.contains(said), "{text}: {error}");
        assert!(!said_in_full.contains("MARKER"), "{text}: {error}");
    }
    let twice = attributes("secrets", "[s, t]");
    let error = plan(&twice, &[fact("v", &marked), fact("v", &marked)], at(false, SIZE)).unwrap_err();
    assert_eq!(error, PlanError::PathTwice("a".into()));
    let below = attributes("secrets", "[s, {name: t, directory: a}]");
    let error = plan(&below, &[fact("v", &marked), fact("v", &marked)], at(false, SIZE)).unwrap_err();
    assert!(matches!(error, PlanError::FileAndFolder { .. }), "{error}");
}

#[test]
fn lost_access_is_said_in_the_volume() {
    let db = value(&[("a", b"1")]);
    let asked = attributes("secrets", "[{name: db, namespace: n}]");
    let ended = SecretInput {
        ended: true,
        ..fact("v-1", &db)
    };
    let kept = plan(&asked, &[ended], at(false, SIZE)).unwrap();
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

#[test]
fn modes_are_what_kubernetes_makes_of_them_for_its_own_volumes() {
    let db = value(&[("a", b"1")]);
    let text = "[{name: s, keys: [{key: a, path: x, mode: \"0400\"}, {key: a, path: y, mode: \"0600\"}]}]";
    let modes = |group| {
        let made = plan(&attributes("secrets", text), &[fact("v", &db)], at(group, SIZE)).unwrap();
        files(&made).iter().map(|(_, mode, _)| *mode).collect::<Vec<_>>()
    };
    assert_eq!(
        (modes(false), modes(true)),
        (vec![0o400, 0o600], vec![0o440, 0o640])
    );
}

#[test]
fn bytes_are_exact_in_files_and_an_empty_key_is_an_empty_file() {
    let odd: [(&str, &[u8]); 6] = [
        ("nul", b"a\0b"),
        ("bom", b"\xef\xbb\xbfx"),
        ("crlf", b"a\r\nb\r\n"),
        ("no-newline", b"a\nb"),
        ("empty", b""),
        ("store", b"\x30\x82\xff\x0a"),
    ];
    let mut db = value(&odd);
    for n in 0..150 {
        db.insert(format!("key-{n}"), vec![u8::try_from(n).unwrap()]);
    }
    let made = plan(&attributes("secrets", "db"), &[fact("v", &db)], at(false, SIZE)).unwrap();
    assert_eq!(made.files.len(), 156);
    for (key, bytes) in db.iter() {
        let path: FilePath = key.parse().unwrap();
        assert_eq!(made.files[&path].bytes.expose(), bytes.expose(), "{key}");
    }
    let large = value(&[("a", &vec![0x0a; strongroom_model::VALUE_BYTES - 1])]);
    let made = plan(
        &attributes("secrets", "db"),
        &[fact("v", &large)],
        at(false, SIZE),
    )
    .unwrap();
    assert_eq!(files(&made)[0].2, large.key("a").unwrap().expose());
}

#[test]
fn where_a_value_does_not_fit_is_told_to_whoever_has_it() {
    let text = "[{name: s, files: [{path: x, format: json}, {path: y, template: 'a\n{{ b | b64decode }}'}]}]";
    let told = |value: &Value| match plan(&attributes("secrets", text), &[fact("v", value)], at(false, SIZE))
    {
        Err(PlanError::Mismatch { mismatch, .. }) => mismatch.detail().expose().to_owned(),
        other => panic!("{other:?}"),
    };
    assert!(told(&value(&[("a", b"\xff"), ("b", b"")])).contains("key `a` is not UTF-8"));
    assert!(told(&value(&[("a", b""), ("b", b"a%")])).contains("character 2 is '%'"));
}

mod same_words {
    use proptest::prelude::*;

    use super::*;

    const ASKED: &[&str] = &[
        "[{name: s, files: [{path: x, format: env}]}]",
        "[{name: s, files: [{path: x, format: json}]}]",
        "[{name: s, files: [{path: x, format: yaml}]}]",
        "[{name: s, files: [{path: x, format: properties}]}]",
        "[{name: s, files: [{path: x, format: pem, keys: [a, b]}]}]",
        "[{name: s, files: [{path: x, format: pkcs12, password: a}]}]",
        "[{name: s, files: [{path: x, format: pkcs12-truststore, password: a}]}]",
        "[{name: s, files: [{path: x, format: json}, {path: y, template: '{{ a | b64decode }}x'}]}]",
        "[{name: s, files: [{path: x, format: env}, {path: y, format: pem, keys: [b]}]}]",
        "[{name: s, keys: [a, b]}]",
    ];

    fn contents() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..16),
            "\\PC{0,12}".prop_map(String::into_bytes),
            Just(Vec::new()),
            Just(b"-----BEGIN X-----\nAA==\n-----END X-----\n".to_vec()),
            Just(vec![b'x'; 30_000]),
        ]
    }

    proptest! {
        /// What a pod's FailedMount says, and the log of its node: the same for every two values, whichever
        /// file or size it was.
        #[test]
        fn every_two_values_that_do_not_fit_are_refused_in_the_same_words(
            text in proptest::sample::select(ASKED), size in proptest::sample::select(vec![SIZE, 65_536]),
            certificate: bool, a in contents(), b in contents(), c in contents(), d in contents(),
        ) {
            let certificate = if certificate { include_str!("../pem/testdata/text.pem") } else { "no" };
            let refused = |a: &[u8], b: &[u8], certificate: &str| {
                let keys: [(&str, &[u8]); 5] = [("a", a), ("b", b), ("tls_key", b), ("c", b""), ("d", b"")];
                let mut value = value(&keys);
                for key in ["tls.key", "tls.crt", "ca.crt"] {
                    if text.contains("pkcs12") {
                        value.insert(key, certificate.as_bytes().to_vec());
                    }
                }
                let made = plan(&attributes("secrets", text), &[fact("v", &value)], at(false, size));
                made.map(drop).map_err(|error| format!("{error} {error:?}"))
            };
            if let (Err(one), Err(other)) = (refused(&a, &b, certificate), refused(&c, &d, "no")) {
                prop_assert_eq!(one, other);
            }
        }
    }
}
