//! SecretProducts.

use serde_json::{Value, json};

use super::{accepted, object, refused};

/// A product whose spec is as usual but for these fields.
fn product(name: &str, changes: Value) -> Value {
    let mut spec = json!({
        "managers": [{"namespace": "pg-operator", "name": "controller"}],
        "namespaces": {}, "hosting": ["Free"], "quota": {"free": {"perNamespace": 20, "total": 500}},
    });
    for (field, value) in changes.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    object("SecretProduct", name, spec)
}

#[test]
fn the_name_of_a_product_is_a_code() {
    for name in ["pg", "ai-gateway", "1"] {
        accepted(&product(name, json!({})));
    }
    for name in ["p.g", "PG", &"a".repeat(64)] {
        refused(
            &product(name, json!({})),
            ": the name of a SecretProduct is its code",
        );
    }
    refused(
        &product("strongroom", json!({})),
        ": the code `strongroom` is reserved",
    );
}

#[test]
fn a_product_has_options_of_what_it_offers() {
    accepted(&product(
        "pg",
        json!({"hosting": ["Free", "Paid"], "paid": {"gateway": "pg"}, "quota": {"paid": {"perNamespace": 1, "total": 1}}}),
    ));
    refused(
        &product("pg", json!({"paid": {"gateway": "pg"}})),
        "spec: paid has options of paid hosting",
    );
    refused(
        &product("pg", json!({"quota": {"paid": {"perNamespace": 1, "total": 1}}})),
        "spec: quota names a hosting that the product does not offer",
    );
    refused(
        &product("pg", json!({"quota": {"free": {"perNamespace": 2, "total": 1}}})),
        "spec.quota.free: perNamespace is more than total",
    );
}
