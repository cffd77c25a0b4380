//! The native Secret that an object asks for.

use serde_json::{Value, json};

use super::{
    accepted, accepted_change, generated_with, generating, managed_secret, refused, refused_change, refuses,
    schema,
};

#[test]
fn native_secrets_are_no_cluster_credentials() {
    for type_ in [
        "kubernetes.io/service-account-token",
        "bootstrap.kubernetes.io/token",
    ] {
        refused(
            &generated_with("secret", json!({"name": "db", "type": type_})),
            "spec.secret.type: Secrets of this type are credentials for the cluster itself",
        );
    }
    for field in ["labels", "annotations"] {
        let ours = json!({"strongroom.dev/version": "x"});
        refused(
            &generated_with("secret", json!({"name": "db", field: ours})),
            &format!("spec.secret.{field}: keys that start with `strongroom.dev/`"),
        );
    }
}

#[test]
fn labels_and_annotations_are_such_as_the_api_server_takes() {
    let native = |field: &str, map: Value| generated_with("secret", json!({"name": "db", field: map}));
    let long = "a".repeat(63);
    for map in [
        json!({"team": "a", "example.com/x": "a.b_c-D9", "empty": "", (long.as_str()): long}),
        json!({"app.kubernetes.io/name": "shop"}),
    ] {
        accepted(&native("labels", map.clone()));
        accepted(&native("annotations", map));
    }
    let prose = json!({"example.com/note": "any text: ü \n", "Example.COM/x": "y"});
    accepted(&native("annotations", prose));
    for value in ["a b", "-x", "x-", "ü", "a/b"] {
        refused(
            &native("labels", json!({"team": value})),
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
        for (field, of_what) in [("labels", "a label"), ("annotations", "an annotation")] {
            refused(
                &native(field, json!({ (key): "v" })),
                &format!("spec.secret.{field}: the key of {of_what} has"),
            );
        }
    }
}

#[test]
fn an_immutable_native_secret_keeps_its_literals_and_keys() {
    let object = |keys: &Value, immutable: bool, name: &str| {
        let mut object = generating(keys.clone());
        object["spec"]["secret"] = json!({"name": name, "immutable": immutable});
        object
    };
    let before = json!({"user": {"literal": "one"}, "password": {"password": {}}});
    let old = object(&before, true, "db");
    for keys in [
        json!({"user": {"literal": "two"}, "password": {"password": {}}}),
        json!({"user": {"literal": "one"}}),
        json!({"user": {"literal": "one"}, "password": {"password": {}}, "more": {"uuid": {}}}),
        json!({"user": {"literal": "one"}, "password": {"literal": "x"}}),
    ] {
        let new = object(&keys, true, "db");
        refused_change(
            &old,
            &new,
            ".spec.source.generate.keys: the native Secret is immutable",
        );
        // A Secret that is not immutable any more, or another one, or one that only becomes immutable.
        accepted_change(&old, &object(&keys, false, "db"));
        accepted_change(&old, &object(&keys, true, "db-2"));
        accepted_change(&object(&before, false, "db"), &new);
    }
    let generator = json!({"user": {"literal": "one"}, "password": {"password": {"length": 40}}});
    accepted_change(&old, &object(&generator, true, "db"));
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
            refuses(&both, old.as_ref(), expected);
        }
        // It is mended by either.
        accepted_change(&both, &object(never, true));
        accepted_change(&both, &object(renews, false));
        accepted(&object(renews, false));
    }
    // The rule stands at the spec and asks for nothing of before, so the API server leaves it out where the
    // spec stays as it is.
    let schema = schema("ManagedSecret");
    let rules = &schema["properties"]["spec"]["x-kubernetes-validations"];
    let of_spec = rules.as_array().expect("rules").iter();
    let mut found = of_spec.filter(|rule| rule["fieldPath"] == ".secret.immutable");
    let text = found.next().expect("the rule")["rule"].to_string();
    assert!(!text.contains("oldSelf"), "{text}");
    accepted(&object(never, true));
    let mut external = object(None, true);
    external["spec"]["source"] = json!({"external": {}});
    accepted(&external);
}
