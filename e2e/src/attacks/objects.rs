//! Custom resources of an attacker who may write them in a namespace of their own, as JSON.

use serde_json::{Map, Value, json};

/// The attacker's namespace.
pub(super) const NAMESPACE: &str = "evil";
/// A secret that they may read.
pub(super) const OWN: &str = "own";
/// What is made and deleted again and again.
pub(super) const ROOM: &str = "room";

fn managed(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
        "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
    })
}

/// A value of almost 64 KiB, from half a KB of text.
fn largest_value() -> Value {
    let keys: Map<String, Value> = (0..11_u8)
        .map(|number| (format!("k{number}"), json!({"base64": {"bytes": 4096}})))
        .collect();
    json!({"generate": {"keys": keys}})
}

/// A secret with the largest value, which this account may read.
pub(super) fn own(account: &str) -> Value {
    managed(OWN, &json!({"source": largest_value(), "readers": [account]}))
}

/// A secret of a password.
pub(super) fn small(name: &str) -> Value {
    managed(
        name,
        &json!({"source": {"generate": {"keys": {"password": {"password": {}}}}}}),
    )
}

/// A secret of so many RSA keys of 4,096 bits: 15 fit into a value, 32 don't.
pub(super) fn keys(name: &str, count: usize) -> Value {
    let keys: Map<String, Value> = (0..count)
        .map(|number| (format!("key-{number}"), json!({"rsa": {"bits": 4096}})))
        .collect();
    managed(name, &json!({"source": {"generate": {"keys": keys}}}))
}

/// This secret, with a word that asks for a rotation: each new word asks for another one.
pub(super) fn rotating(mut secret: Value, word: &str) -> Value {
    if let Some(metadata) = secret.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert(
            "annotations".to_owned(),
            json!({"strongroom.dev/rotate-now": word}),
        );
    }
    secret
}

/// A secret of 1.35 MB of sealed text that means nothing, which the API server keeps.
pub(super) fn large(name: &str) -> Value {
    let keys: Map<String, Value> = (0..15_u8)
        .map(|number| {
            let letter = char::from(b'A' + number);
            (format!("key-{number}"), letter.to_string().repeat(90_000).into())
        })
        .collect();
    managed(name, &json!({"source": {"sealed": {"keys": keys}}}))
}

/// A secret with the largest value, under another name in the store each round, and a window as long as there
/// is.
pub(super) fn room(round: usize) -> Value {
    managed(
        ROOM,
        &json!({
            "storeName": format!("{ROOM}-{round}"), "source": largest_value(), "deletion": {"recoveryWindow": "30d"},
        }),
    )
}

/// The largest policy that the kind admits: 64 patterns that fail at their last character, and 64 statements
/// of 64 principals. Each round changes it.
pub(super) fn largest_policy(round: usize) -> Value {
    let vain = (0..63).map(|number| format!("*{}{number:02}b", "a".repeat(180)));
    let secrets: Vec<String> = vain.chain([format!("round-{round}")]).collect();
    let statements: Vec<Value> = (0..64)
        .map(|number| {
            let principals: Vec<Value> = (0..64)
                .map(|other| json!({"serviceAccount": format!("{}-{number}-{other}", "r".repeat(150))}))
                .collect();
            json!({"effect": "Allow", "principals": principals, "actions": ["secrets:*"]})
        })
        .collect();
    json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": "SecretPolicy",
        "metadata": {"name": "largest", "namespace": NAMESPACE},
        "spec": {"secrets": secrets, "statements": statements},
    })
}
