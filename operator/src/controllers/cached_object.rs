//! Watched objects of ours, as they are kept in memory: their identity, and the rest as the JSON text it came
//! in, packed.
//!
//! A parsed object with its maps takes several times the memory of its text, and ten thousand of them are
//! kept. The text is parsed when its turn comes. That also means that an object which does not fit our types
//! stops no watch: it becomes a condition on that one object.
//!
//! An object comes whole. How much of it stays is decided in [`super::cache_quota`]: all of it, an outline in
//! which long texts are marks, or nothing but the identity. Whoever needs more reads the object again
//! ([`super::left_out::read_again`]).

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use strongroom_crds::condition::Reason;
use strongroom_crds::view::PartialObject;
use strongroom_rules::declaration::{DeclarationScope, Digest};
use strongroom_rules::object::ReadySummary;

use super::compressed_text::CompressedText;

/// The annotation in which `kubectl apply` keeps a copy of the object; nobody here reads it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object of kind `K`, kept small.
pub(crate) struct CachedObject<K> {
    /// Identity, generation and labels; annotations are only in the text.
    meta: ObjectMeta,
    text: Text,
    /// Bytes of the object's text, whole.
    bytes: usize,
    declared: Digest,
    kind: PhantomData<fn() -> K>,
}

/// What of an object is kept beside its identity.
#[derive(Clone)]
enum Text {
    Whole(CompressedText),
    Outline(CompressedText),
    Nothing(TooLarge),
}

/// How much of an object is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All that counts.
    Whole,
    /// Long texts are marks.
    Outline,
    /// Nothing but the identity.
    Nothing(TooLarge),
}

/// Why nothing of an object is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooLarge {
    /// It would be too large without any other object in its namespace.
    #[error(
        "the object is too large even without its long texts, so it is not reconciled: it has too many labels, annotations of strongroom.dev or keys; \
         remove some"
    )]
    Alone,
    /// Its namespace has used up what is kept of its objects.
    #[error(
        "the objects of the namespace need more memory than one namespace may use, so this one is not reconciled until others become smaller or are \
         deleted"
    )]
    Namespace,
}

impl From<TooLarge> for ReadySummary {
    fn from(why: TooLarge) -> Self {
        Self::failed(Reason::NamespaceObjectsTooLarge, why.to_string())
    }
}

/// An object does not fit its type at this path: an older definition let it in. What stands there is not
/// told, since it may be a value in the wrong place, or a number where text belongs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not fit its type; apply the object again")]
pub(crate) struct SchemaMismatch(String);

impl<K: DeserializeOwned + Resource> CachedObject<K> {
    /// The object, parsed: as it is kept, so that the long texts of an outline are marks.
    ///
    /// # Errors
    /// The object does not fit the type, or nothing of it is kept.
    pub(crate) fn parse(&self) -> Result<K, SchemaMismatch> {
        let text = self
            .text
            .text()
            .ok_or_else(|| SchemaMismatch("spec".to_owned()))?;
        let text = &mut serde_json::Deserializer::from_slice(&text);
        let mut object: K = serde_path_to_error::deserialize(text).map_err(
            |error: serde_path_to_error::Error<serde_json::Error>| SchemaMismatch(error.path().to_string()),
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

impl<K> CachedObject<K> {
    /// The status, where there is one and it fits, also of an object that does not fit its type.
    pub(crate) fn status<T: DeserializeOwned>(&self) -> Option<T> {
        let view: PartialObject<IgnoredAny, Option<T>> = self.parse_as().ok()?;
        view.status
    }

    /// A digest of what the whole object declares, of the JSON that it came in: what does not fit its type
    /// counts too.
    pub(crate) const fn declared(&self) -> Digest {
        self.declared
    }

    /// Annotations and status of an object that may not fit its type.
    pub(crate) fn parse_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.text.text().unwrap_or_default())
    }

    /// How much of the object is kept.
    pub(crate) fn extent(&self) -> Extent {
        match &self.text {
            Text::Whole(_) => Extent::Whole,
            Text::Outline(_) => Extent::Outline,
            Text::Nothing(why) => Extent::Nothing(*why),
        }
    }

    /// Bytes of the object's text, whole.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that it takes here beside its names. What compresses well is read, and what follows from it is
    /// kept elsewhere, so that a longer text counts as it is.
    pub(crate) fn weight(&self) -> usize {
        /// Texts up to this length count as they are packed.
        const SHORT: usize = 2 << 10;
        let labels = self.meta.labels.iter().flatten();
        // Each is two texts and its place in a map.
        let labels: usize = labels.map(|(key, value)| key.len() + value.len() + 64).sum();
        let text = match &self.text {
            Text::Whole(packed) | Text::Outline(packed) if packed.uncompressed_len() <= SHORT => packed.len(),
            Text::Whole(packed) | Text::Outline(packed) => packed.uncompressed_len(),
            Text::Nothing(_) => 0,
        };
        labels + text
    }

    /// The outline: what `without` leaves of the object.
    pub(super) fn outlined(&self, without: impl FnOnce(&mut serde_json::Value)) -> Option<Self> {
        let mut object = serde_json::from_slice(&self.text.text()?).ok()?;
        without(&mut object);
        let text = serde_json::to_vec(&object).ok()?;
        Some(Self {
            meta: self.meta.clone(),
            text: Text::Outline(CompressedText::compress(&text)),
            bytes: self.bytes,
            declared: self.declared,
            kind: PhantomData,
        })
    }

    /// The identity alone.
    pub(super) fn identity(&self, why: TooLarge) -> Self {
        Self {
            meta: ObjectMeta {
                labels: None,
                ..self.meta.clone()
            },
            text: Text::Nothing(why),
            bytes: self.bytes,
            declared: self.declared,
            kind: PhantomData,
        }
    }
}

impl Text {
    fn text(&self) -> Option<Vec<u8>> {
        match self {
            Self::Whole(packed) | Self::Outline(packed) => Some(packed.text()),
            Self::Nothing(_) => None,
        }
    }
}

impl<'de, K> Deserialize<'de> for CachedObject<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        let mut object = serde_json::Value::deserialize(deserializer)?;
        let declared = Digest::from_object(DeclarationScope::All, &object);
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
            // Nobody here reads them, and there may be any number.
            metadata.remove("ownerReferences");
            metadata.remove("finalizers");
            let annotations = metadata.remove("annotations");
            meta = ObjectMeta::deserialize(serde_json::Value::Object(std::mem::take(metadata)))
                .map_err(D::Error::custom)?;
            // Everything else of it is in `meta`.
            metadata.extend(annotations.map(|annotations| ("annotations".to_owned(), annotations)));
        }
        let text = serde_json::to_vec(&object).map_err(D::Error::custom)?;
        drop(object);
        Ok(Self {
            meta,
            bytes: text.len(),
            text: Text::Whole(CompressedText::compress(&text)),
            declared,
            kind: PhantomData,
        })
    }
}

impl<K> Clone for CachedObject<K> {
    fn clone(&self) -> Self {
        Self {
            meta: self.meta.clone(),
            text: self.text.clone(),
            bytes: self.bytes,
            declared: self.declared,
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for CachedObject<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedObject")
            .field("name", &self.meta.name)
            .field("namespace", &self.meta.namespace)
            .finish_non_exhaustive()
    }
}

impl<K: Resource> Resource for CachedObject<K> {
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

    fn kept(object: serde_json::Value) -> CachedObject<ManagedSecret> {
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
        let text = String::from_utf8(kept.text.text().unwrap()).unwrap();
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
    fn of_an_outline_the_identity_and_the_status_stay_and_of_what_is_left_out_the_identity() {
        let kept = kept(json!({
            "metadata": {
                "name": "db", "namespace": "shop", "uid": "u", "generation": 3, "labels": {"team": "shop"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}],
                "finalizers": ["example.com/slow"],
            },
            "spec": {"source": {"external": {}}, "secret": {"name": "db", "template": {"file": "long"}}},
            "status": {"secretId": "id"},
        }));
        assert_eq!(kept.extent(), Extent::Whole);
        assert_eq!(
            (&kept.meta.owner_references, &kept.meta.finalizers),
            (&None, &None)
        );
        let outline = kept
            .outlined(|object| object["spec"]["secret"]["template"]["file"] = json!("mark"))
            .unwrap();
        assert_eq!(
            (outline.extent(), outline.bytes()),
            (Extent::Outline, kept.bytes())
        );
        let object = outline.parse().unwrap();
        assert_eq!(object.spec.secret.unwrap().template.unwrap()["file"], "mark");
        assert_eq!(object.metadata.labels, kept.meta.labels);
        assert_eq!(object.status.unwrap().secret_id.as_deref(), Some("id"));
        let left_out = kept.identity(TooLarge::Namespace);
        assert_eq!(left_out.extent(), Extent::Nothing(TooLarge::Namespace));
        assert_eq!(left_out.weight(), 0);
        assert_eq!(
            (left_out.meta.uid.as_deref(), left_out.meta.generation),
            (Some("u"), Some(3))
        );
        assert!(left_out.parse().is_err());
        assert!(left_out.status::<serde_json::Value>().is_none());
        // Who wrote it can be found whatever is kept.
        assert!(outline.declared() == kept.declared() && left_out.declared() == kept.declared());
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
        let digest = |object: &serde_json::Value| Digest::from_object(DeclarationScope::All, object);
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
                format!("`{path}` does not fit its type; apply the object again")
            );
        }
    }
}
