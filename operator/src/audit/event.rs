//! The Event of a series. A pure function: the same series of the same store is the same Event.

use data_encoding::HEXLOWER;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Resource;
use sha2::{Digest, Sha256};
use strongroom_api::visible;
use strongroom_crds::v1alpha1::{EncryptionKey, ManagedSecret};
use strongroom_model::id::StoreId;
use strongroom_model::time::Timestamp;

use super::aggregation::EventAggregate;

/// Who reports, as `kubectl get events` shows it.
const CONTROLLER: &str = "strongroom";

/// On an Event: the number of its first record in the mutation chain.
const RECORD_ANNOTATION: &str = "strongroom.dev/audit-record";

/// Where Events about objects without a namespace live.
const CLUSTER_SCOPED_NAMESPACE: &str = "default";

/// The object that an Event is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Regarding {
    /// A ManagedSecret.
    ManagedSecret {
        namespace: String,
        name: String,
        /// Absent where the store no longer knows it.
        uid: Option<String>,
    },
    /// An EncryptionKey.
    EncryptionKey {
        namespace: String,
        name: String,
        /// Absent where the store does not know what declares the key.
        uid: Option<String>,
    },
    /// A Namespace: it is in none itself, so its Events are in [`CLUSTER_SCOPED_NAMESPACE`].
    Namespace { name: String, uid: Option<String> },
}

impl Regarding {
    /// The namespace that the Event lives in.
    pub(crate) fn event_namespace(&self) -> &str {
        match self {
            Self::ManagedSecret { namespace, .. } | Self::EncryptionKey { namespace, .. } => namespace,
            Self::Namespace { .. } => CLUSTER_SCOPED_NAMESPACE,
        }
    }

    fn reference(&self) -> ObjectReference {
        match self {
            Self::ManagedSecret { namespace, name, uid } => declared::<ManagedSecret>(namespace, name, uid),
            Self::EncryptionKey { namespace, name, uid } => declared::<EncryptionKey>(namespace, name, uid),
            Self::Namespace { name, uid } => ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Namespace".to_owned()),
                name: Some(name.clone()),
                uid: uid.clone(),
                ..ObjectReference::default()
            },
        }
    }
}

/// An object of one of our kinds.
fn declared<K: Resource<DynamicType = ()>>(
    namespace: &str,
    name: &str,
    uid: &Option<String>,
) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        uid: uid.clone(),
        ..ObjectReference::default()
    }
}

/// The Event that a series comes to.
pub(crate) fn event(
    store: &StoreId,
    series: &EventAggregate,
    regarding: &Regarding,
    instance: &str,
) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(name(store, series)),
            namespace: Some(regarding.event_namespace().to_owned()),
            annotations: Some([(RECORD_ANNOTATION.to_owned(), series.sequence.to_string())].into()),
            ..ObjectMeta::default()
        },
        type_: Some(series.content.reason.event_type_name().to_owned()),
        reason: Some(series.content.reason.as_str().to_owned()),
        action: Some(series.first.action.name().to_owned()),
        note: Some(visible(&series.content.note).into_owned()),
        event_time: Some(micro_time(series.first.time)),
        regarding: Some(regarding.reference()),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        series: repeated(series),
        ..Event::default()
    }
}

/// How often it happened; the API allows this only from two on.
pub(crate) fn repeated(series: &EventAggregate) -> Option<EventSeries> {
    (series.count > 1).then(|| EventSeries {
        count: series.count,
        last_observed_time: micro_time(series.last),
    })
}

/// A restored store may give a number a second time, to another record; so the name covers the record, not
/// its number alone.
pub(crate) fn name(store: &StoreId, series: &EventAggregate) -> String {
    let digest = Sha256::new()
        .chain_update(b"sr/event/1")
        .chain_update(store.as_bytes())
        .chain_update(series.sequence.to_be_bytes())
        .chain_update(&*series.first.encode())
        .finalize();
    let short = digest.get(..16).unwrap_or_default();
    format!("strongroom-{}", HEXLOWER.encode(short))
}

fn micro_time(time: Timestamp) -> MicroTime {
    MicroTime(jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}
