use super::*;

const ORIGIN: Origin<'static> = Origin {
    managed_secret: "checkout-db",
    version_id: "v-1",
};

fn value() -> Value {
    let mut value = Value::new();
    value.insert("username", b"checkout".to_vec());
    value.insert("password", b"pass".to_vec());
    value
}

fn spec() -> NativeSecret {
    NativeSecret {
        name: "db".into(),
        ..NativeSecret::default()
    }
}

fn map(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
    Some(
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    )
}

fn names(spec: &NativeSecret) -> Vec<String> {
    content(spec, &value(), ORIGIN)
        .expect("content")
        .data
        .names()
        .map(str::to_owned)
        .collect()
}

#[test]
fn keys_are_copied_as_the_spec_says() {
    let template = map(&[("url", "db://{{ username }}")]);
    assert_eq!(names(&spec()), ["password", "username"]);
    assert_eq!(
        names(&NativeSecret {
            template: template.clone(),
            ..spec()
        }),
        ["url"]
    );
    assert_eq!(
        names(&NativeSecret {
            template: Some(BTreeMap::new()),
            ..spec()
        }),
        ["password", "username"]
    );
    let keys = Some(vec!["password".to_owned()]);
    assert_eq!(
        names(&NativeSecret {
            keys: keys.clone(),
            ..spec()
        }),
        ["password"]
    );
    assert_eq!(
        names(&NativeSecret {
            keys,
            template,
            ..spec()
        }),
        ["password", "url"]
    );
}

#[test]
fn what_cannot_be_written_is_refused_with_its_reason() {
    let type_ = |type_: &str| NativeSecret {
        type_: Some(type_.into()),
        ..spec()
    };
    for (spec, reason) in [
        (
            type_("kubernetes.io/service-account-token"),
            Reason::NativeSecretInvalid,
        ),
        (
            type_("bootstrap.kubernetes.io/token"),
            Reason::NativeSecretInvalid,
        ),
        (type_("kubernetes.io/tls"), Reason::NativeSecretInvalid),
        (
            NativeSecret {
                keys: Some(vec!["nothing".into()]),
                ..spec()
            },
            Reason::NativeSecretInvalid,
        ),
        (
            NativeSecret {
                labels: map(&[("strongroom.dev/x", "y")]),
                ..spec()
            },
            Reason::NativeSecretInvalid,
        ),
        (
            NativeSecret {
                annotations: map(&[("strongroom.dev/version", "y")]),
                ..spec()
            },
            Reason::NativeSecretInvalid,
        ),
        (
            NativeSecret {
                template: map(&[("a", "{{ nothing }}")]),
                ..spec()
            },
            Reason::TemplateInvalid,
        ),
    ] {
        let error = content(&spec, &value(), ORIGIN).expect_err("refused");
        assert_eq!(error.reason(), reason, "{error}");
    }
    assert!(content(&type_("kubernetes.io/basic-auth"), &value(), ORIGIN).is_ok());
}

#[test]
fn a_value_that_does_not_fit_is_refused_in_the_same_words_whatever_it_is() {
    let template = |text: &str| NativeSecret {
        template: map(&[("a", text)]),
        ..spec()
    };
    let docker = NativeSecret {
        type_: Some("kubernetes.io/dockerconfigjson".into()),
        ..spec()
    };
    for (spec, key, values, reason) in [
        (
            template("{{ password | b64decode }}"),
            "password",
            ["%secret", "12345"],
            Reason::TemplateInvalid,
        ),
        (
            docker,
            ".dockerconfigjson",
            ["{\"a\":\"b\"c\"}", "x"],
            Reason::NativeSecretInvalid,
        ),
    ] {
        let [one, other] = values.map(|text| {
            let mut value = Value::new();
            value.insert(key, text.as_bytes().to_vec());
            let error = content(&spec, &value, ORIGIN).expect_err("refused");
            assert_eq!(error.reason(), reason, "{error}");
            error.to_string()
        });
        assert_eq!(one, other);
        let way = format!(
            "; `kubectl strongroom render {}` says where and why",
            ORIGIN.managed_secret
        );
        assert!(one.ends_with(&way) && one.contains(key), "{one}");
    }
}

#[test]
fn bytes_are_exact_in_a_native_secret() {
    let mut value = Value::new();
    for (key, bytes) in [
        ("nul", &b"a\0b"[..]),
        ("bom", b"\xef\xbb\xbfx"),
        ("crlf", b"a\r\nb\r\n"),
        ("no-newline", b"a\nb"),
        ("empty", b""),
        ("store", b"\x30\x82\xff\x0a"),
    ] {
        value.insert(key, bytes.to_vec());
    }
    for n in 0..150_u8 {
        value.insert(format!("key-{n}"), vec![n]);
    }
    let secret = content(&spec(), &value, ORIGIN)
        .expect("content")
        .to_secret("shop", "db");
    let data = secret.data.expect("data");
    assert_eq!(data.len(), 156);
    for (key, bytes) in value.iter() {
        assert_eq!(
            data.get(key).map(|found| found.0.as_slice()),
            Some(bytes.expose()),
            "{key}"
        );
    }
}

#[test]
fn errors_name_the_keys_there_are() {
    let spec = NativeSecret {
        keys: Some(vec!["pasword".into()]),
        ..spec()
    };
    let error = content(&spec, &value(), ORIGIN).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "`secret.keys` names `pasword`, which the value does not have; it has `password`, `username`"
    );
}

#[test]
fn drift_is_what_we_set_and_others_changed() {
    let wanted = content(
        &NativeSecret {
            labels: map(&[("team", "shop")]),
            ..spec()
        },
        &value(),
        ORIGIN,
    )
    .expect("content");
    let written = wanted.to_secret("shop", "db");
    assert_eq!(wanted.drift(&written), None);
    let changed = |change: fn(&mut Secret)| {
        let mut found = written.clone();
        change(&mut found);
        wanted.drift(&found)
    };
    let data = |secret: &mut Secret| {
        secret
            .data
            .as_mut()
            .expect("data")
            .insert("password".into(), ByteString(b"other".to_vec()));
    };
    assert_eq!(changed(data), Some(Drift::Content));
    assert_eq!(changed(|s| s.data = None), Some(Drift::Content));
    assert_eq!(
        changed(|s| drop(
            s.data
                .as_mut()
                .expect("data")
                .insert("more".into(), ByteString(vec![]))
        )),
        Some(Drift::Content)
    );
    assert_eq!(changed(|s| s.metadata.labels = None), Some(Drift::Content));
    assert_eq!(
        changed(|s| drop(
            s.metadata
                .labels
                .as_mut()
                .expect("labels")
                .insert("other".into(), "x".into())
        )),
        None
    );
    assert_eq!(changed(|s| s.type_ = Some("other".into())), Some(Drift::Replace));
    assert_eq!(
        changed(|s| s.immutable = Some(true)),
        Some(Drift::Replace),
        "it cannot become mutable again"
    );

    let immutable = content(
        &NativeSecret {
            immutable: Some(true),
            ..spec()
        },
        &value(),
        ORIGIN,
    )
    .expect("content");
    let mut found = immutable.to_secret("shop", "db");
    assert_eq!(immutable.drift(&found), None);
    data(&mut found);
    assert_eq!(immutable.drift(&found), Some(Drift::Replace));
    assert_eq!(
        immutable.drift(&written),
        Some(Drift::Content),
        "marking it needs no new Secret"
    );
}

#[test]
fn the_origin_is_written_for_people() {
    let secret = content(&spec(), &value(), ORIGIN)
        .expect("content")
        .to_secret("shop", "db");
    let annotations = secret.metadata.annotations.expect("annotations");
    assert_eq!(
        annotations.get(VERSION_ANNOTATION).map(String::as_str),
        Some("v-1")
    );
    assert_eq!(
        annotations.get(SOURCE_ANNOTATION).map(String::as_str),
        Some("checkout-db")
    );
    let labels = secret.metadata.labels.expect("labels");
    assert_eq!(
        labels.get("app.kubernetes.io/managed-by").map(String::as_str),
        Some("strongroom")
    );
}

/// A Secret as somebody else made it, with this value.
fn theirs() -> Secret {
    let mut made = content(&spec(), &value(), ORIGIN)
        .expect("content")
        .to_secret("shop", "db");
    made.type_ = Some("example.com/theirs".to_owned());
    made.immutable = Some(true);
    made.metadata.labels = map(&[("app.kubernetes.io/managed-by", "Helm"), ("team", "shop")]);
    made.metadata.annotations = map(&[("note", "theirs")]);
    made
}

#[test]
fn what_the_spec_leaves_open_of_an_adopted_secret_stays() {
    let adopted = |spec: &NativeSecret| {
        let mut content = content(spec, &value(), ORIGIN).expect("content");
        content.adopt(spec, &theirs());
        content
    };
    let open = adopted(&spec());
    assert_eq!(open.type_, "example.com/theirs");
    assert!(open.immutable);
    assert!(!open.labels.contains_key("app.kubernetes.io/managed-by"));
    assert_eq!(open.annotations[ADOPTED_ANNOTATION], "true");
    assert_eq!(open.immutable_fields(&theirs()), []);
    assert_eq!(
        open.drift(&theirs()),
        Some(Drift::Content),
        "our annotations are to come"
    );

    let mut asks = spec();
    asks.type_ = Some("Opaque".to_owned());
    asks.immutable = Some(false);
    asks.keys = Some(vec!["password".to_owned()]);
    asks.labels = map(&[("app.kubernetes.io/managed-by", "us")]);
    let asked = adopted(&asks);
    assert_eq!(asked.labels["app.kubernetes.io/managed-by"], "us");
    let found = "example.com/theirs".to_owned();
    let all = [
        ImmutableField::Type { found },
        ImmutableField::Immutable,
        ImmutableField::Data,
    ];
    assert_eq!(asked.immutable_fields(&theirs()), all);
    assert_eq!(asked.drift(&theirs()), Some(Drift::Replace));
}

#[test]
fn a_copy_of_a_value_is_drift_unless_the_spec_asks_for_it() {
    for key in owners::COPIES {
        let copied = |spec: &NativeSecret| {
            let content = content(spec, &value(), ORIGIN).expect("content");
            let mut found = content.to_secret("shop", "db");
            found
                .metadata
                .annotations
                .get_or_insert_default()
                .insert(key.to_owned(), "{}".to_owned());
            (content.copies(&found).collect::<Vec<_>>(), content.drift(&found))
        };
        assert_eq!(copied(&spec()), (vec![key], Some(Drift::Content)));
        let mut asks = spec();
        asks.annotations = map(&[(key, "{}")]);
        assert_eq!(copied(&asks), (vec![], None));
    }
}
