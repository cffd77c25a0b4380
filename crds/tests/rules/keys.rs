//! The keys of a generated value.

use serde_json::json;

use super::{accepted, generating, managed_secret, refused};

#[test]
fn keys_have_names_that_a_secret_takes() {
    let uuid = json!({"uuid": {}});
    for name in ["", "a b", "a/b", "ü", "!a", &"x".repeat(129)] {
        refused(
            &generating(json!({name: uuid})),
            "spec.source.generate.keys: a key has 1 to 128 letters",
        );
    }
    let template = managed_secret(json!({
        "source": {"generate": {"keys": {"a": uuid}}}, "secret": {"name": "db", "template": {"a b": "x"}},
    }));
    refused(
        &template,
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
                "spec.source.generate.keys.tls.x509.renewBefore: renewBefore must be shorter than validFor",
            );
        } else {
            accepted(&object);
        }
    }
}

#[test]
fn literals_have_a_limit_in_all() {
    let half = json!({"literal": "x".repeat(32_769)});
    refused(
        &generating(json!({"a": half, "b": half})),
        "spec.source.generate.keys: the literals are larger than 64 KiB in all",
    );
    accepted(&generating(json!({"a": half})));
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
        refused(
            &generating(json!({"p": {"password": password}})),
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
            &format!("spec.source.generate.keys.tls.x509{expected}"),
        );
    }
}
