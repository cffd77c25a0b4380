//! Watched objects of ours, as they are kept in memory: their identity, and the rest as the JSON text it came in, packed.
//!
//! A parsed object with its maps takes several times the memory of its text, and ten thousand of them are kept. The text is parsed when its
//! turn comes. That also means that an object which does not fit our types stops no watch: it becomes a condition on that one object.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use strongroom_rules::declaration::{Declares, Digest};

use super::packed::Packed;

/// The annotation in which `kubectl apply` keeps a copy of the object; nobody here reads it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object of kind `K`, kept small.
pub(crate) struct Kept<K> {
    /// Identity, generation and labels; annotations are only in the text.
    meta: ObjectMeta,
    text: Packed,
    kind: PhantomData<fn() -> K>,
}

/// An object does not fit its type at this path: an older definition let it in. What stands there is not told, since it may be a value in
/// the wrong place, or a number where text belongs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not fit its type; apply the object anew")]
pub(crate) struct Misfit(String);

impl<K: DeserializeOwned + Resource> Kept<K> {
    /// The object, parsed.
    ///
    /// # Errors
    /// The object does not fit the type.
    pub(crate) fn parse(&self) -> Result<K, Misfit> {
        let text = self.text.text();
        let text = &mut serde_json::Deserializer::from_slice(&text);
        let mut object: K = serde_path_to_error::deserialize(text).map_err(
            |error: serde_path_to_error::Error<serde_json::Error>| Misfit(error.path().to_string()),
        )?;
        // The text has only those annotations.
        let annotations = object.meta_mut().annotations.take();
        *object.meta_mut() = ObjectMeta {
            annotations,
            ..self.meta.clone()
        };
        Ok(object)
    }
}

impl<K> Kept<K> {
    /// The status, where there is one and it fits, also of an object that does not fit its type.
    pub(crate) fn status<T: DeserializeOwned>(&self) -> Option<T> {
        #[derive(Deserialize)]
        struct OnlyStatus<T> {
            // Without a default: serde would ask one of `T`.
            status: Option<T>,
        }
        self.parse_as::<OnlyStatus<T>>().ok()?.status
    }

    /// A digest of what it declares, of the JSON that it came in: what it does not fit counts too.
    pub(crate) fn declared(&self) -> Digest {
        fn texts(field: Option<&serde_json::Value>) -> impl Iterator<Item = (&str, &str)> {
            let found = field.and_then(serde_json::Value::as_object).into_iter().flatten();
            found.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        }
        let object = self.parse_as::<serde_json::Value>().unwrap_or_default();
        let labels = self.meta.labels.iter().flatten();
        Digest::of(
            Declares::All,
            object.get("spec"),
            labels.map(|(key, value)| (key.as_str(), value.as_str())),
            texts(object.pointer("/metadata/annotations")),
        )
    }

    /// Annotations and status of an object that may not fit its type.
    pub(crate) fn parse_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.text.text())
    }
}

impl<'de, K> Deserialize<'de> for Kept<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        let mut object = serde_json::Value::deserialize(deserializer)?;
        if let Some(object) = object.as_object_mut() {
            // The type says so.
            object.retain(|field, _| field != "apiVersion" && field != "kind");
        }
        let mut meta = ObjectMeta::default();
        if let Some(metadata) = object
            .get_mut("metadata")
            .and_then(serde_json::Value::as_object_mut)
        {
            metadata.remove("managedFields");
            if let Some(annotations) = metadata
                .get_mut("annotations")
                .and_then(serde_json::Value::as_object_mut)
            {
                annotations.remove(LAST_APPLIED);
            }
            meta = ObjectMeta::deserialize(serde_json::Value::Object(metadata.clone()))
                .map_err(D::Error::custom)?;
            meta.annotations = None;
            // Everything else of it is in `meta`.
            metadata.retain(|field, _| field == "annotations");
        }
        let text = Packed::of(&serde_json::to_vec(&object).map_err(D::Error::custom)?);
        Ok(Self {
            meta,
            text,
            kind: PhantomData,
        })
    }
}

impl<K> Clone for Kept<K> {
    fn clone(&self) -> Self {
        Self {
            meta: self.meta.clone(),
            text: self.text.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Kept<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("name", &self.meta.name)
            .field("namespace", &self.meta.namespace)
            .finish_non_exhaustive()
    }
}

impl<K: Resource> Resource for Kept<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strongroom_crds::v1alpha1::ManagedSecret;

    use super::*;

    fn kept(object: serde_json::Value) -> Kept<ManagedSecret> {
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn keeps_what_is_read_and_drops_what_is_not() {
        let kept = kept(json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
            "metadata": {
                "name": "db", "namespace": "shop", "uid": "u", "generation": 3,
                "managedFields": [{"manager": "kubectl"}],
                "annotations": {LAST_APPLIED: "long", "strongroom.dev/restore": "id"},
            },
            "spec": {"source": {"generate": {"keys": {"password": {"password": {}}}}}},
        }));
        let text = String::from_utf8(kept.text.text()).unwrap();
        assert!(!text.contains("kubectl") && !text.contains("v1alpha1"), "{text}");
        let object = kept.parse().unwrap();
        assert_eq!(
            object.metadata.annotations.unwrap()["strongroom.dev/restore"],
            "id"
        );
        assert_eq!(
            (kept.meta().generation, kept.meta().annotations.is_none()),
            (Some(3), true)
        );
    }

    #[test]
    fn what_it_declares_is_what_the_webhook_saw() {
        // As the webhook sees it: without a status yet, and with what nobody here knows.
        let seen = json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
            "metadata": {
                "name": "db", "namespace": "shop", "uid": "u", "generation": 1, "labels": {"team": "a"},
                "managedFields": [{"manager": "kubectl"}],
                "annotations": {LAST_APPLIED: "long", "strongroom.dev/restore": "id", "other": "x"},
            },
            "spec": {"futureField": {"b": [1.5, null], "a": true}, "source": 7},
        });
        let mut stored = seen.clone();
        stored["status"] = json!({"observedGeneration": 1});
        stored["metadata"]["resourceVersion"] = json!("7");
        let mut changed = seen.clone();
        changed["spec"]["futureField"]["a"] = json!(false);
        let digest = |object: &serde_json::Value| Digest::of_object(Declares::All, object);
        assert!(kept(stored).declared() == digest(&seen));
        assert!(kept(changed).declared() != digest(&seen));
        let bare = json!({"metadata": {"name": "db"}});
        assert!(kept(bare.clone()).declared() == digest(&bare));
    }

    #[test]
    fn an_object_that_does_not_fit_is_still_an_object() {
        let kept = kept(json!({"metadata": {"name": "db", "namespace": "shop"}, "spec": {"source": 7}}));
        assert_eq!(kept.meta().name.as_deref(), Some("db"));
        assert!(kept.parse().is_err());
    }

    #[test]
    fn what_does_not_fit_is_named_and_not_shown() {
        for (keys, path) in [
            (
                json!({"a": {"password": "hunter2"}}),
                "spec.source.generate.keys.a.password",
            ),
            (
                json!({"a": {"literal": 7_272}}),
                "spec.source.generate.keys.a.literal",
            ),
            (json!({"a": {"hunter2": {}}}), "spec.source.generate.keys.a"),
            (json!(["hunter2"]), "spec.source.generate.keys"),
        ] {
            let kept =
                kept(json!({"metadata": {"name": "db"}, "spec": {"source": {"generate": {"keys": keys}}}}));
            let said = kept.parse().unwrap_err().to_string();
            assert_eq!(
                said,
                format!("`{path}` does not fit its type; apply the object anew")
            );
        }
    }
}
