//! The outline of an object, which is cached if there is no room for the whole. That of a ManagedSecret has
//! all that decisions need, with a placeholder for each long text: sealed texts, literals and templates are
//! long, names are not. Must not be used to make or render a value: for that the object is read again.

use data_encoding::HEXLOWER;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

/// Longest text that stays, in bytes: as long as the name of an object may be.
const MAX_TEXT_BYTES: usize = 253;
/// Largest outline of one object, in bytes.
pub(super) const MAX_OUTLINE_BYTES: usize = 64 << 10;
/// The field of an outline of a SecretPolicy that says how many statements it has.
pub(super) const STATEMENTS: &str = "statements";
/// What our annotations begin with; nobody here reads others.
const OURS: &str = "strongroom.dev/";

/// Leaves of a ManagedSecret what decides. Its status stays: it is ours.
pub(super) fn outline_managed_secret(object: &mut Json) {
    if let Some(annotations) = object
        .pointer_mut("/metadata/annotations")
        .and_then(Json::as_object_mut)
    {
        annotations.retain(|key, _| key.starts_with(OURS));
        annotations.values_mut().for_each(shorten);
    }
    if let Some(spec) = object.get_mut("spec") {
        shorten(spec);
    }
}

/// Leaves of a SecretPolicy what its status is made of: what is in force is kept where it is decided by.
pub(super) fn outline_secret_policy(object: &mut Json) {
    let statements = object.pointer("/spec/statements").and_then(Json::as_array);
    let count = statements.map_or(0, Vec::len);
    let Some(object) = object.as_object_mut() else {
        return;
    };
    object.retain(|field, _| field == "status");
    object.insert(STATEMENTS.to_owned(), count.into());
}

/// Puts marks into the place of long texts.
fn shorten(value: &mut Json) {
    match value {
        Json::String(text) if text.len() > MAX_TEXT_BYTES => *text = mark(text),
        Json::Array(values) => values.iter_mut().for_each(shorten),
        Json::Object(fields) => fields.values_mut().for_each(shorten),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// Stands for a text: two that differ have different ones.
fn mark(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let digest = HEXLOWER.encode(digest.get(..16).unwrap_or_default());
    format!("{} bytes, sha256 {digest}", text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_texts_of_the_spec_become_marks_and_names_stay() {
        let long = |letter: &str| letter.repeat(MAX_TEXT_BYTES + 1);
        let name = "n".repeat(MAX_TEXT_BYTES);
        let mut object = json!({
            "metadata": {"annotations": {"strongroom.dev/rotate-now": "word", "strongroom.dev/restore": long("r"), "other": "text"}},
            "spec": {
                "storeName": name,
                "source": {"generate": {"keys": {"a": {"literal": long("a")}, "b": {"literal": long("b")}, "c": {"password": {"length": 32}}}}},
                "secret": {"name": "db", "template": {"file": long("t")}},
            },
            "status": {"conditions": [{"message": long("m")}]},
        });
        outline_managed_secret(&mut object);
        let text = object.to_string();
        assert!(
            !text.contains("aaaa")
                && !text.contains("bbbb")
                && !text.contains("tttt")
                && !text.contains("rrrr")
        );
        assert!(!text.contains("other"), "{text}");
        assert!(text.contains(&long("m")) && text.contains(&name));
        let keys = &object["spec"]["source"]["generate"]["keys"];
        assert_ne!(keys["a"], keys["b"]);
        assert!(
            keys["a"]["literal"]
                .as_str()
                .unwrap()
                .starts_with("254 bytes, sha256 ")
        );
        assert_eq!(keys["c"], json!({"password": {"length": 32}}));
    }
}
