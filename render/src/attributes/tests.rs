use super::*;

fn context(attributes: &[(&str, &str)]) -> BTreeMap<String, String> {
    attributes
        .iter()
        .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
        .collect()
}

fn parsed(attributes: &[(&str, &str)]) -> Attributes {
    Attributes::parse(&context(attributes)).unwrap_or_else(|error| panic!("{attributes:?}: {error}"))
}

fn path(text: &str) -> FilePath {
    text.parse().unwrap()
}

fn current(alias: &str, name: &str) -> RequestedSecret {
    RequestedSecret {
        alias: alias.into(),
        namespace: None,
        name: name.into(),
        version: RequestedVersion::Stage("Current".into()),
    }
}

#[test]
fn a_name_alone_is_the_whole_secret() {
    let all = Attributes {
        secrets: vec![current("checkout-db", "checkout-db")],
        files: vec![FileEntry::All {
            secret: 0,
            directory: None,
            mode: None,
        }],
        mode: None,
        size: None,
        socket: false,
        reads: ReadMode::Follows,
        notify: None,
    };
    for text in [
        "checkout-db",
        "[checkout-db]",
        "- checkout-db\n",
        "- name: checkout-db\n",
        "\"checkout-db\"",
    ] {
        assert_eq!(parsed(&[("secrets", text)]), all, "{text}");
    }
}

#[test]
fn a_name_is_a_name_whatever_yaml_makes_of_it() {
    for name in [
        "81111e1",
        "123456",
        "null",
        "true",
        "007",
        "1_000",
        "0x1F",
        ".inf",
        "no",
        "2024-01-01",
    ] {
        let text = name.to_owned();
        assert_eq!(
            parsed(&[("secrets", &text)]).secrets,
            [current(name, name)],
            "{name}"
        );
        let text = format!("[{{name: {name}, keys: [{name}, {{key: {name}, path: p}}]}}]");
        let attributes = parsed(&[("secrets", &text)]);
        let key = |path: &str| FileEntry::One {
            path: path.parse().unwrap(),
            mode: None,
            content: FileContent::Key {
                secret: 0,
                key: name.to_owned(),
            },
        };
        assert_eq!(
            (attributes.secrets, attributes.files),
            (vec![current(name, name)], vec![key(name), key("p")])
        );
        let text = format!(
            "{{secrets: {{{name}: {name}}}, files: [{{path: {name}, secret: {name}, key: {name}}}]}}"
        );
        let attributes = parsed(&[("set", &text)]);
        assert_eq!(
            (attributes.secrets, attributes.files),
            (vec![current(name, name)], vec![key(name)])
        );
    }
}

#[test]
fn secrets_say_versions_keys_and_modes() {
    let text = r#"
- name: mcp!db/main
  namespace: team-b
  stage: Previous
  directory: db
  mode: "0400"
  keys: [username, {key: tls.crt, path: tls/cert.pem, mode: "0444"}]
- name: pinned
  versionId: v-1
  files:
  - {path: url, template: "postgres://{{ username }}"}
  - {path: app.env, format: env, keys: [a, b]}
"#;
    let attributes = parsed(&[("secrets", text), ("mode", "0440"), ("size", "1Mi")]);
    assert_eq!(
        attributes.secrets,
        [
            RequestedSecret {
                alias: "mcp!db/main".into(),
                namespace: Some("team-b".into()),
                name: "mcp!db/main".into(),
                version: RequestedVersion::Stage("Previous".into()),
            },
            RequestedSecret {
                version: RequestedVersion::Id("v-1".into()),
                ..current("pinned", "pinned")
            }
        ]
    );
    let one = |at: &str, mode: Option<&str>, content| FileEntry::One {
        path: path(at),
        mode: mode.map(|mode| mode.parse().unwrap()),
        content,
    };
    let key = |key: &str| FileContent::Key {
        secret: 0,
        key: key.into(),
    };
    assert_eq!(
        attributes.files,
        [
            one("db/username", Some("0400"), key("username")),
            one("db/tls/cert.pem", Some("0444"), key("tls.crt")),
            one(
                "url",
                None,
                FileContent::Template {
                    text: "postgres://{{ username }}".into(),
                    secret: Some(1)
                }
            ),
            one(
                "app.env",
                None,
                FileContent::Format {
                    format: Format::Env,
                    secrets: vec![1],
                    keys: Some(vec!["a".into(), "b".into()]),
                    password: None,
                }
            ),
        ]
    );
    assert_eq!(attributes.mode, Some(FileMode::GROUP));
    assert_eq!(attributes.size, Some(1_048_576));
    let notify = |more: &[(&str, &str)]| {
        let attributes = [&[("secrets", "a"), ("notifyPort", "8080")], more].concat();
        parsed(&attributes)
            .notify
            .map(|notify| (notify.port.get(), notify.path))
    };
    assert_eq!(notify(&[]), Some((8_080, "/".to_owned())));
    assert_eq!(
        notify(&[("notifyPath", "/-/reload")]),
        Some((8_080, "/-/reload".to_owned()))
    );
    let reads = |text| parsed(&[("secrets", "a"), ("reads", text)]).reads;
    assert_eq!(
        (reads("Follows"), reads("AtStart")),
        (ReadMode::Follows, ReadMode::AtStart)
    );
    assert!(!attributes.socket && parsed(&[("secrets", "a"), ("socket", "true")]).socket);
}

#[test]
fn a_set_makes_files_of_several_secrets() {
    let text = r#"
secrets: {db: checkout-db, smtp: {name: mail, namespace: infra}}
files:
- {path: password, secret: db, key: password, mode: "0400"}
- {path: app.ini, template: "{{ db.username }} {{ smtp.host }}"}
- {path: all.json, format: json}
- {path: smtp.yaml, format: yaml, secret: smtp}
"#;
    let attributes = parsed(&[("set", text)]);
    assert_eq!(attributes.secrets.len(), 2);
    assert_eq!(attributes.secrets[1].name, "mail");
    let formatted = |format, secrets: &[usize]| FileContent::Format {
        format,
        secrets: secrets.to_vec(),
        keys: None,
        password: None,
    };
    let contents: Vec<FileContent> = attributes
        .files
        .into_iter()
        .map(|files| match files {
            FileEntry::One { content, .. } => content,
            FileEntry::All { .. } => panic!("a set has no whole secrets"),
        })
        .collect();
    assert_eq!(
        contents[1..],
        [
            FileContent::Template {
                text: "{{ db.username }} {{ smtp.host }}".into(),
                secret: None
            },
            formatted(Format::Json, &[0, 1]),
            formatted(Format::Yaml, &[1]),
        ]
    );
}

#[test]
fn a_key_store_names_the_key_of_its_password() {
    let password = |attributes: &Attributes| match &attributes.files[..] {
        [
            FileEntry::One {
                content: FileContent::Format { format, password, .. },
                ..
            },
        ] => (*format, password.clone()),
        other => panic!("{other:?}"),
    };
    let text = "[{name: a, files: [{path: k.p12, format: pkcs12, password: storepass}]}]";
    let expected = (Format::Pkcs12, Some((0, "storepass".to_owned())));
    assert_eq!(password(&parsed(&[("secrets", text)])), expected);
    for (of, secret) in [("storepass", 1), ("{secret: a, key: storepass}", 0)] {
        let text = format!(
            "{{secrets: {{a: x, tls: web}}, files: [{{path: t.p12, format: pkcs12-truststore, secret: tls, password: {of}}}]}}"
        );
        let expected = (Format::Pkcs12Truststore, Some((secret, "storepass".to_owned())));
        assert_eq!(password(&parsed(&[("set", &text)])), expected);
    }
}

#[test]
fn what_is_wrong_is_said_with_its_field() {
    let many = format!("[{}]", "a,".repeat(65));
    for (attributes, said) in [
        (&[][..], "exactly one of `secrets` and `set`"),
        (&[("secrets", "a"), ("set", "b")], "exactly one"),
        (&[("secrets", "a"), ("secret", "b")], "unknown attribute `secret`"),
        (
            &[("secrets", "a"), (TOKENS_ATTRIBUTE, "{}")],
            "accepted only from kubelet",
        ),
        (&[("secrets", "")], "`secrets`"),
        (&[("secrets", "[]")], "names no secret"),
        (&[("secrets", "{name: a}")], "`secrets`"),
        (&[("secrets", "[{name: a, sauce: b}]")], "sauce"),
        (&[("secrets", "[{nam: a}]")], "nam"),
        (&[("secrets", "[{name: a, name: b}]")], "name"),
        (&[("secrets", "a b")], "secret name `a b`"),
        (&[("secrets", "[{name: a, namespace: A_b}]")], "namespace `A_b`"),
        (
            &[("secrets", "[{name: a, stage: x, versionId: y}]")],
            "both `stage` and `versionId`",
        ),
        (&[("secrets", "[{name: a, stage: 'x y'}]")], "stage `x y`"),
        (
            &[("secrets", "[{name: a, keys: [{key: k, path: ../x}]}]")],
            "`../x`",
        ),
        (&[("secrets", "[{name: a, keys: [..x]}]")], "`..x`"),
        (
            &[("secrets", "[{name: a, keys: [{key: k, mode: '0999'}]}]")],
            "0999",
        ),
        (
            &[("secrets", "[{name: a, keys: [k, k]}]")],
            "two files have the path `k`",
        ),
        (
            &[("secrets", "[{name: a, keys: [k, {key: l, path: k/l}]}]")],
            "`k` is both a file",
        ),
        (&[("secrets", "[{name: a, files: [{path: x}]}]")], "file `x`"),
        (
            &[(
                "secrets",
                "[{name: a, files: [{path: x, template: t, format: env}]}]",
            )],
            "file `x`",
        ),
        (
            &[("secrets", "[{name: a, files: [{path: x, format: xml}]}]")],
            "xml",
        ),
        (&[("secrets", &many)], "65 are too many"),
        (&[("secrets", "a"), ("mode", "rw")], "mode `rw`"),
        (&[("secrets", "a"), ("size", "1Gi")], "`size` is `1Gi`"),
        (&[("secrets", "a"), ("size", "1")], "`size` is `1`"),
        (&[("secrets", "a"), ("socket", "yes")], "`socket` is `yes`"),
        (
            &[("secrets", "a"), ("reads", "once")],
            "`reads` is `once`: write `Follows` or `AtStart`",
        ),
        (&[("secrets", "a"), ("notifyPort", "0")], "`notifyPort` is `0`"),
        (
            &[("secrets", "a"), ("notifyPort", "+80")],
            "`notifyPort` is `+80`",
        ),
        (
            &[("secrets", "a"), ("notifyPort", "65536")],
            "`notifyPort` is `65536`",
        ),
        (
            &[("secrets", "a"), ("notifyPort", "80"), ("notifyPath", "reload")],
            "`notifyPath` is `reload`",
        ),
        (
            &[("secrets", "a"), ("notifyPort", "80"), ("notifyPath", "/a b")],
            "`notifyPath` is `/a b`",
        ),
        (
            &[("secrets", "a"), ("notifyPath", "/")],
            "`notifyPath` needs `notifyPort`",
        ),
        (
            &[("secrets", "[{name: a, files: [{path: p, format: pkcs12}]}]")],
            "a key store has a `password`",
        ),
        (
            &[(
                "secrets",
                "[{name: a, files: [{path: p, format: json, password: b}]}]",
            )],
            "`password` goes with a key store",
        ),
        (
            &[(
                "secrets",
                "[{name: a, files: [{path: p, template: t, password: b}]}]",
            )],
            "`keys` and `password` go with `format`",
        ),
        (
            &[(
                "secrets",
                "[{name: a, files: [{path: p, format: pkcs12, password: b, keys: [c]}]}]",
            )],
            "`keys` does not go with it",
        ),
        (
            &[(
                "secrets",
                "[{name: a, files: [{path: p, format: pkcs12, password: {secret: b, key: c}}]}]",
            )],
            "that of another goes with `set`",
        ),
        (
            &[(
                "set",
                "{secrets: {a: x, b: web}, files: [{path: p, format: pkcs12, secrets: [a], password: c}]}",
            )],
            "name the secret of the `password`",
        ),
        (
            &[(
                "set",
                "{secrets: {a: x}, files: [{path: p, secret: a, key: k, password: c}]}",
            )],
            "`secrets`, `keys` and `password` go with `format`",
        ),
        (&[("set", "{secrets: {a: b}, files: []}")], "`files` is empty"),
        (
            &[("set", "{secrets: {}, files: [{path: x, template: y}]}")],
            "names no secret",
        ),
        (
            &[("set", "{secrets: {a: b}, files: [{path: x, secret: c, key: d}]}")],
            "`secrets` has no `c`",
        ),
        (
            &[("set", "{secrets: {a: b}, files: [{path: x, secret: a}]}")],
            "file `x`",
        ),
        (
            &[(
                "set",
                "{secrets: {a: b}, files: [{path: x, template: t, keys: [a]}]}",
            )],
            "go with `format`",
        ),
    ] {
        let error = Attributes::parse(&context(attributes)).expect_err(&format!("{attributes:?}"));
        assert!(error.to_string().contains(said), "{attributes:?}: {error}");
    }
}

#[test]
fn what_kubelet_adds_is_left_alone() {
    let context = context(&[
        ("secrets", "a"),
        ("csi.storage.k8s.io/pod.name", "p"),
        ("csi.storage.k8s.io/pod.namespace", "n"),
        ("csi.storage.k8s.io/pod.uid", "u"),
        ("csi.storage.k8s.io/serviceAccount.name", "s"),
        ("csi.storage.k8s.io/ephemeral", "true"),
        ("csi.storage.k8s.io/of.a.later.kubelet", "x"),
    ]);
    assert!(Attributes::parse(&context).is_ok());
}

proptest::proptest! {
    /// A pod's author writes them: any text gives an answer, none a panic, and no error is longer than it
    /// needs to be.
    #[test]
    fn any_text_gives_an_answer(
        key in proptest::sample::select(vec!["secrets", "set", "mode", "size", "socket", "reads", "notifyPort", "notifyPath"]),
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "- ", "name", ": ", "a", "\n", "  ", "[", "]", "{", "}", ", ", "keys", "files", "path", "key", "template", "format", "env", "'",
            "\"", "&x ", "*x", "!!str ", "..", "/", "secrets", "0440", "1Mi", "\u{0}", "é", "|", "<<",
        ]), 0..40),
    ) {
        let text = parts.concat();
        let context = BTreeMap::from([(key.to_owned(), text)]);
        if let Err(error) = Attributes::parse(&context) {
            proptest::prop_assert!(error.to_string().len() < 2_000);
        }
    }
}
