//! What an object declares: its spec, its labels, and its annotations that are ours. A digest of that is made
//! where the object is admitted and where it is seen afterwards, so it is made of the JSON itself: a type of
//! this program would drop fields that it does not know.
//!
//! INVARIANT: a spec may hold a value, so the digest is a hash of one. It is compared, and never logged, told
//! or kept as it is.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// What labels and annotations of ours begin with.
pub const PREFIX: &str = "strongroom.dev/";

/// What of an object is in its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclarationScope {
    /// One of our kinds: everything but its status.
    All,
    /// A Namespace: its labels and annotations that are ours.
    Marks,
}

/// A digest of what an object declares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest").finish_non_exhaustive()
    }
}

impl Digest {
    /// The digest of an object with this spec, and with these labels and annotations of its metadata.
    #[must_use]
    pub fn from_parts<'a>(
        declares: DeclarationScope,
        spec: Option<&Value>,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        annotations: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let ours = |(key, _): &(&str, &str)| key.starts_with(PREFIX);
        let labels: BTreeMap<&str, &str> = labels
            .filter(|label| declares == DeclarationScope::All || ours(label))
            .collect();
        let annotations: BTreeMap<&str, &str> = annotations.filter(ours).collect();
        let mut hash = Sha256::new_with_prefix(b"sr/declaration/1");
        let spec = spec.filter(|_| declares == DeclarationScope::All);
        absorb(&mut hash, spec.unwrap_or(&Value::Null));
        for texts in [labels, annotations] {
            count(&mut hash, b't', texts.len());
            for (key, value) in texts {
                text(&mut hash, key);
                text(&mut hash, value);
            }
        }
        Self(hash.finalize().into())
    }

    /// The digest of an object as the API server shows it.
    #[must_use]
    pub fn from_object(declares: DeclarationScope, object: &Value) -> Self {
        let texts = |field: &str| {
            let found = object.get("metadata").and_then(|metadata| metadata.get(field));
            let found = found.and_then(Value::as_object).into_iter().flat_map(Map::iter);
            found.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        };
        Self::from_parts(
            declares,
            object.get("spec"),
            texts("labels"),
            texts("annotations"),
        )
    }

    /// From bytes that [`Self::bytes`] gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for whoever compares it.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Whether labels or annotations of an object are ours.
#[must_use]
pub fn is_marked<'a>(keys: impl IntoIterator<Item = &'a str>) -> bool {
    keys.into_iter().any(|key| key.starts_with(PREFIX))
}

/// Whatever the order of its keys. Two values that are not the same are never the same bytes: each part says
/// what it is, and how long.
fn absorb(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update(b"n"),
        Value::Bool(false) => hash.update(b"f"),
        Value::Bool(true) => hash.update(b"y"),
        Value::Number(number) => {
            hash.update(b"#");
            text(hash, &number.to_string());
        }
        Value::String(string) => text(hash, string),
        Value::Array(items) => {
            count(hash, b'[', items.len());
            for item in items {
                absorb(hash, item);
            }
        }
        Value::Object(fields) => {
            count(hash, b'{', fields.len());
            let fields: BTreeMap<&String, &Value> = fields.iter().collect();
            for (key, value) in fields {
                text(hash, key);
                absorb(hash, value);
            }
        }
    }
}

fn text(hash: &mut Sha256, text: &str) {
    count(hash, b'"', text.len());
    hash.update(text.as_bytes());
}

fn count(hash: &mut Sha256, what: u8, count: usize) {
    hash.update([what]);
    hash.update((count as u64).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn all(object: &Value) -> Digest {
        Digest::from_object(DeclarationScope::All, object)
    }

    #[test]
    fn what_an_object_declares_tells_it_apart_and_nothing_else_does() {
        let object = json!({
            "apiVersion": "strongroom.dev/v1alpha1",
            "metadata": {
                "name": "db", "uid": "u-1", "generation": 1, "labels": {"team": "shop"},
                "annotations": {"strongroom.dev/rotate-now": "a", "other.dev/x": "1"},
            },
            "spec": {"source": {"generate": {"keys": {"a": {"literal": "x"}, "b": {"uuid": {}}}}}, "futureField": [1, 2.5, null]},
            "status": {"observedGeneration": 1},
        });
        let changed = |path: &str, value: Value| {
            let mut object = object.clone();
            *object.pointer_mut(path).unwrap() = value;
            all(&object)
        };
        for (path, value) in [
            ("/status/observedGeneration", json!(2)),
            ("/metadata/generation", json!(2)),
            ("/metadata/uid", json!("u-2")),
            ("/metadata/annotations/other.dev~1x", json!("2")),
        ] {
            assert!(changed(path, value) == all(&object), "{path}");
        }
        for (path, value) in [
            ("/spec/futureField/0", json!(2)),
            ("/spec/futureField/0", json!("1")),
            ("/spec/futureField/2", json!(false)),
            ("/spec/futureField", json!([1, 2.5])),
            ("/spec/source/generate/keys/a/literal", json!("y")),
            ("/metadata/labels/team", json!("other")),
            ("/metadata/annotations/strongroom.dev~1rotate-now", json!("b")),
        ] {
            assert!(changed(path, value) != all(&object), "{path}");
        }
    }

    #[test]
    fn what_is_empty_and_what_is_not_there_are_the_same() {
        let bare = all(&json!({"metadata": {"name": "db"}, "spec": {"a": 1}}));
        let empty = json!({"metadata": {"labels": {}, "annotations": null}, "spec": {"a": 1}});
        assert!(all(&empty) == bare);
        assert!(all(&json!({"metadata": {}})) == all(&json!({"spec": null})));
    }

    #[test]
    fn of_a_namespace_only_our_marks_count() {
        let namespace = |labels: Value, annotations: Value| {
            let object = json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": {"finalizers": ["kubernetes"]}});
            Digest::from_object(DeclarationScope::Marks, &object)
        };
        let none = namespace(json!({"kubernetes.io/metadata.name": "shop"}), json!({}));
        assert!(none == Digest::from_object(DeclarationScope::Marks, &json!({})));
        let kept = namespace(json!({"strongroom.dev/recovery": "none"}), json!({}));
        assert!(kept != none);
        assert!(
            kept == namespace(
                json!({"strongroom.dev/recovery": "none", "team": "a"}),
                json!({"x": "y"})
            )
        );
        // A label is no annotation.
        assert!(kept != namespace(json!({}), json!({"strongroom.dev/recovery": "none"})));
    }

    #[test]
    fn a_digest_shows_nothing() {
        let digest = all(&json!({"spec": {"a": 1}}));
        assert_eq!(format!("{digest:?}"), "Digest { .. }");
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            // Neither a zero with a sign nor what is rounded as text.
            (-1_000..1_000_i32).prop_map(|number| Value::from(f64::from(number) / 8.0 + 0.0625)),
            "[a-c\"{]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-c]{0,2}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn two_specs_have_the_same_digest_exactly_if_they_are_the_same(one in json_value(), other in json_value()) {
            let digest = |spec: &Value| all(&json!({"spec": spec}));
            prop_assert_eq!(digest(&one) == digest(&other), one == other);
        }

        #[test]
        fn a_text_that_is_read_again_has_the_same_digest(spec in json_value()) {
            let object = json!({"spec": spec});
            let again: Value = serde_json::from_slice(&serde_json::to_vec(&object).unwrap()).unwrap();
            prop_assert!(all(&again) == all(&object));
        }
    }
}
