//! What a secret is called, who reads it, and how long it can be restored.

use serde_json::{Value, json};
use strongroom_model::RECOVERY_WINDOW_DAYS;

use super::{accepted, accepted_change, errors, generated_with, generating, refused, refused_change, schema};

/// One with this name in the store.
fn named(name: Option<&str>) -> Value {
    match name {
        Some(name) => generated_with("storeName", json!(name)),
        None => generating(json!({"a": {"uuid": {}}})),
    }
}

#[test]
fn readers_have_bounds() {
    let schema = schema("ManagedSecret");
    let readers = &schema["properties"]["spec"]["properties"]["readers"];
    assert_eq!(readers["minItems"], 1);
    // docs/limits.md says both.
    assert_eq!(readers["maxItems"], 64);
    assert_eq!(readers["items"]["maxLength"], 253);
    assert_eq!(readers["items"]["minLength"], 1);
    assert_eq!(readers["items"]["pattern"], "^[-a-z0-9.*]+$");
}

#[test]
fn names_of_the_store_are_checked_and_stay() {
    refused(
        &named(Some("a b")),
        "spec.storeName: a name in the store has letters",
    );
    for (old, new) in [
        (Some("first"), Some("other")),
        (Some("first"), None),
        (None, Some("first")),
    ] {
        let changed = ".spec.storeName: storeName cannot be changed";
        refused_change(&named(old), &named(new), changed);
    }
    // The name it has anyway.
    accepted_change(&named(None), &named(Some("db")));
}

#[test]
fn a_name_with_a_code_is_of_one_that_a_product_can_have() {
    for name in [
        "mcp!db",
        "ai-gateway!orders/admin@1",
        "1!x",
        &format!("pg!{}", "a".repeat(189)),
    ] {
        accepted(&named(Some(name)));
    }
    for name in [
        "a!b!c",
        "!x",
        "x!",
        "strongroom!x",
        "PG!x",
        "-pg!x",
        "p.g!x",
        &format!("{}!x", "a".repeat(64)),
    ] {
        refused(
            &named(Some(name)),
            "spec.storeName: a name with `!` is the code of a SecretProduct",
        );
    }
    refused(
        &named(Some("pg!../x")),
        "spec.storeName: a part of a name in the store is not",
    );
    refused(
        &named(Some("pg!a b")),
        "spec.storeName: a name in the store has letters",
    );
}

#[test]
fn the_object_of_a_products_secret_says_neither_who_reads_it_nor_whose_value_it_is() {
    let of_product = |field: &str, value: Value| {
        let mut object = named(Some("pg!db"));
        object["spec"][field] = value;
        object
    };
    refused(
        &of_product("readers", json!(["app"])),
        "spec.readers: the secret belongs to a product, and policies alone say who reads it",
    );
    refused(
        &of_product("source", json!({"import": {"secretRef": {"name": "old"}}})),
        "spec.source: the secret belongs to a product, which makes its value",
    );
    refused(
        &of_product("deletion", json!({"policy": "Retain"})),
        "spec.deletion.policy: the secret of a product has no life without its object",
    );
    accepted(&of_product("deletion", json!({"recoveryWindow": "7d"})));
    accepted(&of_product("source", json!({"external": {}})));
}

#[test]
fn a_name_in_the_store_has_at_most_192_characters_wherever_it_comes_from() {
    let long = |length: usize, store_name: Option<&str>| {
        let mut object = named(store_name);
        object["metadata"]["name"] = json!("a".repeat(length));
        object
    };
    accepted(&long(192, None));
    accepted(&long(253, Some("db")));
    let errors = errors(&long(193, None), None);
    assert!(
        errors.len() == 1 && errors[0].contains("at most 192 characters"),
        "{errors:?}"
    );
}

#[test]
fn recovery_windows_are_7_to_30_days() {
    let with = |deletion: Value| generated_with("deletion", deletion);
    for window in ["31d", "6d", "1d", "300d", "168h", "2w"] {
        refused(
            &with(json!({"recoveryWindow": window})),
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
        "spec.deletion: a retained secret has no recovery window",
    );
}
