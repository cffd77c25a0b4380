//! What one object can say about itself is refused by a rule of the schema, with a message that says what to
//! do.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests"
)]

use kube::core::cel::Validator;
use serde_json::{Value, json};
use strongroom_model::RECOVERY_WINDOW_DAYS;

/// The errors of the CEL rules as `path: message`.
fn errors(object: &Value, old: Option<&Value>) -> Vec<String> {
    let kind = object["kind"].as_str().expect("a kind");
    let definition = strongroom_crds::all()
        .into_iter()
        .find(|definition| definition.spec.names.kind == kind)
        .expect("one of our kinds");
    let schema = definition.spec.versions[0].schema.as_ref().expect("a schema");
    let schema = serde_json::to_value(&schema.open_api_v3_schema).expect("serializable");
    match Validator::new().validate(&schema, object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .iter()
            .map(|error| format!("{}: {}", error.field_path, error.message))
            .collect(),
    }
}

fn managed_secret(spec: Value) -> Value {
    json!({"apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret", "metadata": {"name": "db"}, "spec": spec})
}

fn generating(keys: Value) -> Value {
    managed_secret(json!({"source": {"generate": {"keys": keys}}}))
}

fn schedule(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": "RotationSchedule", "metadata": {"name": "monthly"},
        "spec": {
            "secrets": {"names": ["db"]}, "schedule": {"every": "30d"},
            "window": {"start": "02:00", "end": "05:00"}, "rotator": {"generate": {}},
        },
    });
    change(&mut object["spec"]);
    object
}

/// Asserts that exactly one rule refuses the object, with this path and a message that starts so.
fn refused(object: &Value, old: Option<&Value>, expected: &str) {
    let errors = errors(object, old);
    assert!(
        errors.len() == 1 && errors[0].starts_with(expected),
        "expected {expected:?}, got {errors:?} for {object}"
    );
}

/// A sealed source whose keys have texts of this many characters.
fn sealed(texts: &[usize]) -> Value {
    let keys: serde_json::Map<_, _> = texts
        .iter()
        .enumerate()
        .map(|(number, length)| {
            let head = "strongroom1.0123456789abcdef.A.";
            let text = format!("{head}{}", "A".repeat(length - head.len()));
            (format!("key-{number}"), json!(text))
        })
        .collect();
    managed_secret(json!({"source": {"sealed": {"keys": keys}}}))
}

#[test]
fn sealed_texts_have_a_bound_in_all_that_every_value_fits_in() {
    let path = "spec.source.sealed.keys: the sealed texts are longer than those of a value";
    for texts in [&[90_000, 50_000][..], &[4_375; 32], &[90_000]] {
        assert_eq!(errors(&sealed(texts), None), Vec::<String>::new());
    }
    refused(&sealed(&[90_000, 50_001]), None, path);
    refused(&sealed(&[90_000; 15]), None, path);
}

#[test]
fn good_objects_pass() {
    for object in [
        generating(json!({"a": {"uuid": {}}})),
        managed_secret(
            json!({"source": {"import": {"secretRef": {"name": "old"}}}, "storeName": "shop/db@1"}),
        ),
        managed_secret(json!({
            "source": {"generate": {"keys": {"tls": {"x509": {"dnsNames": ["a.b"], "ca": {"managedSecret": {"name": "ca"}}}}}}},
            "secret": {"name": "db", "type": "kubernetes.io/tls", "labels": {"a": "b"}},
            "deletion": {"recoveryWindow": "7d"},
        })),
        generating(
            json!({"p": {"password": {"length": 8, "symbolSet": "!", "atLeast": {"symbols": 2}, "upper": false}}}),
        ),
        generating(json!({"ca": {"x509": {"commonName": "ca", "isCA": true, "ca": {"selfSigned": {}}}}})),
        schedule(|_| {}),
        schedule(|spec| spec["schedule"] = json!({"cron": "0 3 * * *", "timeZone": "Europe/Berlin"})),
        schedule(|spec| spec["secrets"] = json!({"selector": {}})),
        managed_secret(json!({"source": {"external": {}}})),
        managed_secret(json!({"source": {"external": {"wait": false}}})),
    ] {
        assert_eq!(errors(&object, None), Vec::<String>::new(), "{object}");
    }
}

#[test]
fn readers_have_bounds() {
    let definition = strongroom_crds::all()
        .into_iter()
        .find(|definition| definition.spec.names.kind == "ManagedSecret")
        .expect("the kind");
    let schema = serde_json::to_value(&definition.spec.versions[0].schema).expect("serializable");
    let readers = &schema["openAPIV3Schema"]["properties"]["spec"]["properties"]["readers"];
    assert_eq!(readers["minItems"], 1);
    // docs/limits.md says both.
    assert_eq!(readers["maxItems"], 64);
    assert_eq!(readers["items"]["maxLength"], 253);
    assert_eq!(readers["items"]["minLength"], 1);
    assert_eq!(readers["items"]["pattern"], "^[-a-z0-9.*]+$");
}

#[test]
fn sources_are_exactly_one() {
    let import = json!({"secretRef": {"name": "old"}});
    let generate = json!({"keys": {"a": {"uuid": {}}}});
    let both = managed_secret(json!({"source": {"generate": generate, "import": import}}));
    refused(&both, None, "spec.source: set exactly one of: generate, import");
    refused(
        &managed_secret(json!({"source": {}})),
        None,
        "spec.source: set exactly one of: generate, import",
    );
    // What the API server sees of a source that does not exist yet: it prunes the unknown field.
    refused(
        &schedule(|spec| spec["rotator"] = json!({})),
        None,
        "spec.rotator: set exactly one of: generate",
    );
    for source in [json!({}), json!({"uuid": {}, "literal": "x"})] {
        refused(
            &generating(json!({"a": source})),
            None,
            "spec.source.generate.keys.a: set exactly one of: password, literal, hex, base64, uuid, ed25519, rsa, ecdsa, x509",
        );
    }
    let both = json!({"x509": {"commonName": "a", "ca": {"selfSigned": {}, "managedSecret": {"name": "b"}}}});
    refused(
        &generating(json!({"a": both})),
        None,
        "spec.source.generate.keys.a.x509.ca: set exactly one of: selfSigned",
    );
}

#[test]
fn keys_have_names_that_a_secret_takes() {
    let uuid = json!({"uuid": {}});
    for name in ["", "a b", "a/b", "ü", "!a", &"x".repeat(129)] {
        refused(
            &generating(json!({name: uuid})),
            None,
            "spec.source.generate.keys: a key has 1 to 128 letters",
        );
    }
    let template = managed_secret(json!({
        "source": {"generate": {"keys": {"a": uuid}}}, "secret": {"name": "db", "template": {"a b": "x"}},
    }));
    refused(
        &template,
        None,
        "spec.secret.template: a key of a Secret has 1 to 253 letters",
    );
}

#[test]
fn keys_do_not_hide_each_other() {
    let uuid = json!({"uuid": {}});
    let x509 = json!({"x509": {"commonName": "a"}});
    for (keys, expected) in [
        (
            json!({"a": {"rsa": {}}, "a.pub": uuid}),
            "a key pair `<name>` makes `<name>.pub`",
        ),
        (
            json!({"tls": x509, "tls.key": uuid}),
            "an x509 key `<name>` makes `<name>.key`",
        ),
        (
            json!({"tls": x509, "ca.crt": uuid}),
            "an x509 key `<name>` makes `<name>.key`",
        ),
        (json!({"tls": x509, "other": x509}), "at most one x509 key"),
        (
            json!({"ca": {"x509": {"commonName": "a", "ca": {"managedSecret": {"name": "b"}}}}}),
            "an x509 key named `ca` must sign itself",
        ),
    ] {
        refused(
            &generating(keys),
            None,
            &format!("spec.source.generate.keys: {expected}"),
        );
    }
}

#[test]
fn a_certificate_is_renewed_within_its_life() {
    for (renew_before, valid_for, is_ca, refuses) in [
        (json!("7d"), json!("30d"), json!(null), false),
        (json!("720h"), json!("30d"), json!(null), true),
        (json!("31d"), json!("30d"), json!(null), true),
        (json!("never"), json!("30d"), json!(null), false),
        (json!("89d"), json!(null), json!(null), false),
        (json!("90d"), json!(null), json!(null), true),
        (json!("90d"), json!(null), json!(true), false),
        (json!("3650d"), json!(null), json!(true), true),
        (json!("2w"), json!("20160m"), json!(null), true),
        (json!("20s"), json!("30s"), json!(null), false),
    ] {
        let mut x509 = json!({"commonName": "a", "renewBefore": renew_before});
        for (field, value) in [("validFor", valid_for), ("isCA", is_ca)] {
            if !value.is_null() {
                x509[field] = value;
            }
        }
        let object = generating(json!({"tls": {"x509": x509}}));
        if refuses {
            refused(
                &object,
                None,
                "spec.source.generate.keys.tls.x509.renewBefore: renewBefore must be shorter than validFor",
            );
        } else {
            assert_eq!(errors(&object, None), Vec::<String>::new(), "{object}");
        }
    }
}

#[test]
fn literals_have_a_limit_in_all() {
    let half = json!({"literal": "x".repeat(32_769)});
    refused(
        &generating(json!({"a": half, "b": half})),
        None,
        "spec.source.generate.keys: the literals are larger than 64 KiB in all",
    );
    assert_eq!(
        errors(&generating(json!({"a": half})), None),
        Vec::<String>::new()
    );
}

#[test]
fn passwords_do_not_contradict_themselves() {
    for (password, expected) in [
        (
            json!({"upper": false, "lower": false, "digits": false}),
            ": at least one of upper, lower, digits, symbols",
        ),
        (
            json!({"symbols": false, "symbolSet": "!"}),
            ".symbolSet: symbolSet needs symbols",
        ),
        (
            json!({"length": 8, "atLeast": {"upper": 5, "digits": 4}}),
            ".atLeast: the characters that atLeast asks for",
        ),
        (
            json!({"digits": false, "atLeast": {"digits": 1}}),
            ".atLeast: atLeast asks for a class that is off",
        ),
        (
            json!({"atLeast": {"symbols": 1}}),
            ".atLeast: atLeast asks for a class that is off",
        ),
    ] {
        let object = generating(json!({"p": {"password": password}}));
        refused(
            &object,
            None,
            &format!("spec.source.generate.keys.p.password{expected}"),
        );
    }
}

#[test]
fn certificates_do_not_contradict_themselves() {
    for (x509, expected) in [
        (json!({}), ": name the subject"),
        (json!({"dnsNames": []}), ": name the subject"),
        (
            json!({"dnsNames": ["a.b"], "isCA": true}),
            ".commonName: a certificate authority needs commonName",
        ),
        (
            json!({"commonName": "a", "isCA": true, "usages": ["ServerAuth"]}),
            ".usages: a certificate authority has no usages",
        ),
    ] {
        refused(
            &generating(json!({"tls": {"x509": x509}})),
            None,
            &format!("spec.source.generate.keys.tls.x509{expected}"),
        );
    }
}

#[test]
fn names_of_the_store_are_checked_and_stay() {
    let named = |name: Option<&str>| {
        let mut object = generating(json!({"a": {"uuid": {}}}));
        if let Some(name) = name {
            object["spec"]["storeName"] = json!(name);
        }
        object
    };
    refused(
        &named(Some("mcp!db")),
        None,
        "spec.storeName: a name with `!` belongs to a product",
    );
    refused(
        &named(Some("a b")),
        None,
        "spec.storeName: a name in the store has letters",
    );
    let changed = ".spec.storeName: storeName cannot be changed";
    refused(&named(Some("other")), Some(&named(Some("first"))), changed);
    refused(&named(None), Some(&named(Some("first"))), changed);
    refused(&named(Some("first")), Some(&named(None)), changed);
    // The name it has anyway.
    assert_eq!(
        errors(&named(Some("db")), Some(&named(None))),
        Vec::<String>::new()
    );
}

#[test]
fn a_generated_secret_is_not_imported_later() {
    let generated = generating(json!({"a": {"uuid": {}}}));
    let imported = managed_secret(json!({"source": {"import": {"secretRef": {"name": "old"}}}}));
    refused(
        &imported,
        Some(&generated),
        "spec.source: a secret of another source cannot become an imported one",
    );
    assert_eq!(errors(&generated, Some(&imported)), Vec::<String>::new());
}

#[test]
fn native_secrets_are_no_cluster_credentials() {
    let with = |secret: Value| {
        managed_secret(json!({"source": {"generate": {"keys": {"a": {"uuid": {}}}}}, "secret": secret}))
    };
    for type_ in [
        "kubernetes.io/service-account-token",
        "bootstrap.kubernetes.io/token",
    ] {
        let object = with(json!({"name": "db", "type": type_}));
        refused(
            &object,
            None,
            "spec.secret.type: Secrets of this type are credentials for the cluster itself",
        );
    }
    for field in ["labels", "annotations"] {
        let object = with(json!({"name": "db", field: {"strongroom.dev/version": "x"}}));
        refused(
            &object,
            None,
            &format!("spec.secret.{field}: keys that start with `strongroom.dev/`"),
        );
    }
}

#[test]
fn labels_and_annotations_are_such_as_the_api_server_takes() {
    let native = |field: &str, map: Value| {
        managed_secret(
            json!({"source": {"generate": {"keys": {"a": {"uuid": {}}}}}, "secret": {"name": "db", field: map}}),
        )
    };
    let long = "a".repeat(63);
    for map in [
        json!({"team": "a", "example.com/x": "a.b_c-D9", "empty": "", (long.as_str()): long}),
        json!({"app.kubernetes.io/name": "shop"}),
    ] {
        assert_eq!(errors(&native("labels", map.clone()), None), Vec::<String>::new());
        assert_eq!(errors(&native("annotations", map), None), Vec::<String>::new());
    }
    let prose = json!({"example.com/note": "any text: ü \n", "Example.COM/x": "y"});
    assert_eq!(errors(&native("annotations", prose), None), Vec::<String>::new());
    for value in ["a b", "-x", "x-", "ü", "a/b"] {
        refused(
            &native("labels", json!({"team": value})),
            None,
            "spec.secret.labels: the value of a label has",
        );
    }
    let longer = "a".repeat(64);
    for key in [
        "bad key!",
        "a/b/c",
        "-x",
        "x-",
        "",
        "/x",
        "x/",
        "EXAMPLE.com!/x",
        "a..b/x",
        longer.as_str(),
    ] {
        refused(
            &native("labels", json!({ (key): "v" })),
            None,
            "spec.secret.labels: the key of a label has",
        );
        refused(
            &native("annotations", json!({ (key): "v" })),
            None,
            "spec.secret.annotations: the key of an annotation has",
        );
    }
}

#[test]
fn a_name_in_the_store_has_at_most_192_characters_wherever_it_comes_from() {
    let named = |length: usize, store_name: Option<&str>| {
        let mut object = generating(json!({"a": {"uuid": {}}}));
        object["metadata"]["name"] = json!("a".repeat(length));
        if let Some(name) = store_name {
            object["spec"]["storeName"] = json!(name);
        }
        object
    };
    assert_eq!(errors(&named(192, None), None), Vec::<String>::new());
    assert_eq!(errors(&named(253, Some("db")), None), Vec::<String>::new());
    let errors = errors(&named(193, None), None);
    assert!(
        errors.len() == 1 && errors[0].contains("at most 192 characters"),
        "{errors:?}"
    );
}

#[test]
fn recovery_windows_are_7_to_30_days() {
    let with = |deletion: Value| {
        managed_secret(json!({"source": {"generate": {"keys": {"a": {"uuid": {}}}}}, "deletion": deletion}))
    };
    for window in ["31d", "6d", "1d", "300d", "168h", "2w"] {
        let object = with(json!({"recoveryWindow": window}));
        refused(
            &object,
            None,
            "spec.deletion.recoveryWindow: recoveryWindow must be 7d to 30d",
        );
    }
    for days in 1..=60 {
        let said = errors(&with(json!({"recoveryWindow": format!("{days}d")})), None);
        assert_eq!(
            said.is_empty(),
            RECOVERY_WINDOW_DAYS.contains(&days),
            "{days}: {said:?}"
        );
    }
    refused(
        &with(json!({"recoveryWindow": "7d", "policy": "Retain"})),
        None,
        "spec.deletion: a retained secret has no recovery window",
    );
}

#[test]
fn schedules_do_not_contradict_themselves() {
    let spec = "spec.schedule: set exactly one of every, cron";
    refused(&schedule(|spec| spec["schedule"] = json!({})), None, spec);
    refused(
        &schedule(|spec| spec["schedule"] = json!({"every": "1d", "cron": "0 3 * * *"})),
        None,
        spec,
    );
    refused(
        &schedule(|spec| spec["schedule"] = json!({"every": "1d", "timeZone": "UTC"})),
        None,
        "spec.schedule.timeZone: timeZone belongs to cron",
    );
    for every in ["30s", "3651d", "9999d", "522w", "99999w", "10000h"] {
        let object = schedule(|spec| spec["schedule"] = json!({"every": every}));
        refused(&object, None, "spec.schedule.every: every must be 1m to 3650d");
    }
    for every in ["1m", "99999m", "9999h", "1d", "3650d", "3599d", "521w"] {
        let object = schedule(|spec| spec["schedule"] = json!({"every": every}));
        assert_eq!(errors(&object, None), Vec::<String>::new(), "{every}");
    }
    let choose = "spec.secrets: set exactly one of names, selector";
    refused(&schedule(|spec| spec["secrets"] = json!({})), None, choose);
    refused(
        &schedule(|spec| spec["secrets"] = json!({"names": ["a"], "selector": {}})),
        None,
        choose,
    );
    refused(
        &schedule(|spec| spec["window"] = json!({"start": "02:00", "end": "02:00"})),
        None,
        "spec.window: start and end are equal",
    );
}

#[test]
fn jitter_is_no_longer_than_the_interval() {
    let with = |every: &str, jitter: &str| {
        schedule(|spec| {
            spec["schedule"] = json!({"every": every});
            spec["jitter"] = json!(jitter);
        })
    };
    for (every, jitter) in [
        ("1h", "30d"),
        ("1d", "25h"),
        ("59m", "1h"),
        ("1w", "8d"),
        ("90m", "5401s"),
    ] {
        let object = with(every, jitter);
        refused(&object, None, "spec.jitter: jitter is longer than schedule.every");
    }
    for (every, jitter) in [
        ("30d", "1h"),
        ("1d", "24h"),
        ("1w", "7d"),
        ("90m", "5400s"),
        ("3650d", "521w"),
    ] {
        assert_eq!(
            errors(&with(every, jitter), None),
            Vec::<String>::new(),
            "{every} {jitter}"
        );
    }
}

#[test]
fn jitter_is_no_longer_than_the_time_between_two_times_of_the_calendar() {
    let with = |cron: &str, jitter: &str| {
        schedule(|spec| {
            spec["schedule"] = json!({"cron": cron});
            spec["jitter"] = json!(jitter);
        })
    };
    for (cron, fits, long) in [
        ("* * * * *", "60s", "61s"),
        ("*/15 * * * *", "15m", "16m"),
        ("30 * * * *", "1h", "61m"),
        ("*/5 3 * * *", "5m", "6m"),
        ("0 3 * * *", "24h", "25h"),
        ("0 3 * * MON", "1w", "30d"),
        ("0 3 * * 1", "7d", "8d"),
        ("0 3 1 * *", "31d", "32d"),
    ] {
        assert_eq!(
            errors(&with(cron, fits), None),
            Vec::<String>::new(),
            "{cron} {fits}"
        );
        refused(
            &with(cron, long),
            None,
            "spec.jitter: jitter is longer than the time from one time of schedule.cron to the next",
        );
    }
    // What the text does not tell at a glance is the controller's to say.
    for cron in [
        "0 1,13 * * *",
        "5 */6 * * *",
        "0 3 * * MON-FRI",
        "0 3 * * MON#1",
        "0 3 1 1 *",
    ] {
        assert_eq!(errors(&with(cron, "30d"), None), Vec::<String>::new(), "{cron}");
    }
}

#[test]
fn an_immutable_native_secret_keeps_its_literals_and_keys() {
    let object = |keys: Value, immutable: Value, name: &str| {
        let mut object = generating(keys);
        object["spec"]["secret"] = json!({"name": name, "immutable": immutable});
        object
    };
    let before = json!({"user": {"literal": "one"}, "password": {"password": {}}});
    let old = object(before.clone(), json!(true), "db");
    for keys in [
        json!({"user": {"literal": "two"}, "password": {"password": {}}}),
        json!({"user": {"literal": "one"}}),
        json!({"user": {"literal": "one"}, "password": {"password": {}}, "more": {"uuid": {}}}),
        json!({"user": {"literal": "one"}, "password": {"literal": "x"}}),
    ] {
        let new = object(keys.clone(), json!(true), "db");
        refused(
            &new,
            Some(&old),
            ".spec.source.generate.keys: the native Secret is immutable",
        );
        // A Secret that is not immutable any more, or another one, or one that only becomes immutable.
        for (new, old) in [
            (object(keys.clone(), json!(false), "db"), &old),
            (object(keys.clone(), json!(true), "db-2"), &old),
            (
                object(keys.clone(), json!(true), "db"),
                &object(before.clone(), json!(false), "db"),
            ),
        ] {
            assert_eq!(errors(&new, Some(old)), Vec::<String>::new(), "{new}");
        }
    }
    let generator = json!({"user": {"literal": "one"}, "password": {"password": {"length": 40}}});
    assert_eq!(
        errors(&object(generator, json!(true), "db"), Some(&old)),
        Vec::<String>::new()
    );
}

fn policy(spec: Value) -> Value {
    json!({"apiVersion": "strongroom.dev/v1alpha1", "kind": "SecretPolicy", "metadata": {"name": "p"}, "spec": spec})
}

#[test]
fn a_policy_is_about_identities_or_about_secrets() {
    let of_identities = json!({"effect": "Allow", "actions": ["*"], "resources": ["secret/db"]});
    let of_secrets = json!({"effect": "Allow", "actions": ["*"], "principals": [{"serviceAccount": "app"}]});
    let identities = json!({"serviceAccounts": ["app"]});
    assert!(
        errors(
            &policy(json!({"identities": identities, "statements": [of_identities]})),
            None
        )
        .is_empty()
    );
    assert!(
        errors(
            &policy(json!({"secrets": ["db"], "statements": [of_secrets]})),
            None
        )
        .is_empty()
    );
    refused(
        &policy(json!({"statements": []})),
        None,
        "spec: set exactly one of identities, secrets",
    );
    refused(
        &policy(json!({"identities": identities, "statements": [of_secrets]})),
        None,
        "spec: a statement for identities has resources and no principals",
    );
    refused(
        &policy(json!({"secrets": ["db"], "statements": [of_identities]})),
        None,
        "spec: a statement for secrets has principals and no resources",
    );
    refused(
        &policy(json!({"secrets": ["db"], "statements": [
            {"effect": "Deny", "actions": ["*"], "principals": [{"user": "a", "group": "b"}]}]})),
        None,
        "spec.statements[0].principals[0]: set exactly one of: serviceAccount, user, group",
    );
    refused(
        &policy(
            json!({"secrets": ["db"], "statements": [{"effect": "Deny", "actions": ["*"], "principals": [{"user": "a"}],
            "conditions": {"notBefore": "2026-02-01T00:00:00Z", "notAfter": "2026-01-01T00:00:00Z"}}]}),
        ),
        None,
        "spec.statements[0].conditions: notBefore must be earlier than notAfter",
    );
}

#[test]
fn a_key_rotates_and_goes_within_bounds() {
    let key = |name: &str, spec: Value| json!({"apiVersion": "strongroom.dev/v1alpha1", "kind": "EncryptionKey", "metadata": {"name": name}, "spec": spec});
    for spec in [
        json!({}),
        json!({"enabled": false, "rotation": {"every": "7d"}, "deletion": {"window": "7d"}}),
        json!({"rotation": {"every": "365d"}, "deletion": {"window": "30d"}}),
    ] {
        assert_eq!(errors(&key("payments", spec), None), Vec::<String>::new());
    }
    for every in ["6d", "366d", "1w", "90m"] {
        refused(
            &key("payments", json!({"rotation": {"every": every}})),
            None,
            "spec.rotation.every: every must be 7d to 365d",
        );
    }
    for window in ["6d", "31d", "1w"] {
        refused(
            &key("payments", json!({"deletion": {"window": window}})),
            None,
            "spec.deletion.window: window must be 7d to 30d",
        );
    }
    for name in ["a.b", &"a".repeat(64)] {
        refused(
            &key(name, json!({})),
            None,
            ": the name of an EncryptionKey has up to 63",
        );
    }
}

#[test]
fn an_immutable_secret_and_a_certificate_that_renews_are_refused_together() {
    let object = |renew_before: Option<&str>, immutable: bool| {
        let mut x509 = json!({"dnsNames": ["web.shop.svc"]});
        if let Some(renew_before) = renew_before {
            x509["renewBefore"] = json!(renew_before);
        }
        managed_secret(json!({
            "source": {"generate": {"keys": {"tls": {"x509": x509}, "password": {"password": {}}}}},
            "secret": {"name": "web", "immutable": immutable},
        }))
    };
    let never = Some("never");
    for renews in [None, Some("30d")] {
        let both = object(renews, true);
        let expected = "spec.secret.immutable: an immutable Secret keeps its value, so its certificate cannot be renewed: remove \
                        secret.immutable, or set renewBefore of the x509 key to never";
        for old in [None, Some(object(renews, false)), Some(object(never, true))] {
            refused(&both, old.as_ref(), expected);
        }
        // It is mended by either.
        for new in [&object(never, true), &object(renews, false)] {
            assert_eq!(errors(new, Some(&both)), Vec::<String>::new(), "{new}");
        }
        assert_eq!(errors(&object(renews, false), None), Vec::<String>::new());
    }
    // The rule stands at the spec and asks for nothing of before, so the API server leaves it out where the
    // spec stays as it is.
    let definition = strongroom_crds::all()
        .into_iter()
        .find(|definition| definition.spec.names.kind == "ManagedSecret")
        .expect("the kind");
    let schema = serde_json::to_value(&definition.spec.versions[0].schema).expect("serializable");
    let rules = schema["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"].clone();
    let of_spec = rules.as_array().expect("rules").iter();
    let mut found = of_spec.filter(|rule| rule["fieldPath"] == ".secret.immutable");
    let text = found.next().expect("the rule")["rule"].to_string();
    assert!(!text.contains("oldSelf"), "{text}");
    assert_eq!(errors(&object(never, true), None), Vec::<String>::new());
    let mut external = object(None, true);
    external["spec"]["source"] = json!({"external": {}});
    assert_eq!(errors(&external, None), Vec::<String>::new());
}
