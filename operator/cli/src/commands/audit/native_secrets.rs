//! Which secret stands in which native Secret, as far as is known at a time: by the records that have been
//! seen, and where those are silent by the ManagedSecrets as they are now.

use std::collections::HashMap;

use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use strongroom_api::audit::{AuditRecord, Outcome};
use strongroom_crds::v1alpha1::ManagedSecret;

use crate::cluster::Cluster;
use crate::failure::Failure;

/// Namespace and name of a native Secret.
type NativeName = (String, String);

/// What is known of native Secrets.
#[derive(Debug, Default)]
pub(super) struct NativeSecrets {
    /// By the records so far; none: it is no secret's any more.
    recorded: HashMap<NativeName, Option<WrittenSecret>>,
    /// By the objects, with the time since which there is one.
    declared: HashMap<NativeName, (Timestamp, WrittenSecret)>,
}

/// The secret that was written to a native Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WrittenSecret {
    secret: String,
    /// The native Secret's UID, or its beginning.
    uid: String,
}

impl NativeSecrets {
    /// What the ManagedSecrets say of a namespace, or of all.
    pub(super) async fn list(cluster: &Cluster, namespace: Option<&str>) -> Result<Self, Failure> {
        let api: Api<ManagedSecret> = match namespace {
            Some(namespace) => Api::namespaced(cluster.client.clone(), namespace),
            None => Api::all(cluster.client.clone()),
        };
        let objects = api
            .list(&ListParams::default())
            .await
            .map_err(|error| cluster.failure(error))?;
        let mut known = Self::default();
        for object in objects {
            known.declare(&object);
        }
        Ok(known)
    }

    fn declare(&mut self, object: &ManagedSecret) {
        let status = object.status.as_ref();
        let native = status.and_then(|status| status.native_secret.as_ref());
        if let (Some(native), Some(created)) = (native, &object.metadata.creation_timestamp) {
            let written = WrittenSecret {
                secret: object
                    .spec
                    .store_name
                    .clone()
                    .unwrap_or_else(|| object.name_any()),
                uid: native.uid.clone(),
            };
            let place = (object.namespace().unwrap_or_default(), native.name.clone());
            self.declared.insert(place, (created.0, written));
        }
    }

    /// Takes over what a record says.
    pub(super) fn follow(&mut self, record: &AuditRecord) {
        if record.action != "BindMaterialized" || record.outcome != Outcome::Success {
            return;
        }
        let (Some(namespace), Some(secret)) = (&record.namespace, &record.secret) else {
            return;
        };
        for ((home, _), written) in &mut self.recorded {
            if home == namespace && written.as_ref().is_some_and(|written| written.secret == *secret) {
                *written = None;
            }
        }
        if let Some((name, uid)) = written_to(&record.detail) {
            let written = WrittenSecret {
                secret: secret.clone(),
                uid: uid.to_owned(),
            };
            let place = (namespace.clone(), name.to_owned());
            self.recorded.insert(place, Some(written));
        }
    }

    /// The secret that stood in a native Secret at a time, if one did. The UID is compared where both are
    /// known.
    pub(super) fn secret_of(
        &self,
        (namespace, name): (&str, &str),
        uid: Option<&str>,
        time: Timestamp,
    ) -> Option<&str> {
        let place = (namespace.to_owned(), name.to_owned());
        let written = match self.recorded.get(&place) {
            Some(recorded) => recorded.as_ref()?,
            None => {
                let (since, declared) = self.declared.get(&place)?;
                (*since <= time).then_some(declared)?
            }
        };
        uid.is_none_or(|uid| uid.starts_with(&written.uid))
            .then_some(written.secret.as_str())
    }
}

/// Name and UID of the native Secret in the detail of a record: ``written to `NAME`, UID …``.
fn written_to(detail: &str) -> Option<(&str, &str)> {
    let (_, named) = detail.strip_prefix("written")?.split_once('`')?;
    let (name, rest) = named.split_once('`')?;
    Some((name, rest.strip_prefix(", UID ").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn time(second: u32) -> Timestamp {
        format!("2026-11-23T20:22:{second:02}Z").parse().unwrap()
    }

    fn bound(secret: &str, detail: &str) -> AuditRecord {
        serde_json::from_value(json!({
            "chain": "changes", "sequence": 1, "time": time(0), "principal": "controller ManagedSecret",
            "action": "BindMaterialized", "decision": "allowed", "outcome": "success",
            "namespace": "shop", "secret": secret, "detail": detail,
        }))
        .unwrap()
    }

    #[test]
    fn a_native_secret_is_a_secrets_from_its_record_until_the_next() {
        let mut known = NativeSecrets::default();
        let at = |known: &NativeSecrets, name: &str, uid| {
            known.secret_of(("shop", name), uid, time(9)).map(str::to_owned)
        };
        assert_eq!(at(&known, "db", None), None);
        known.follow(&bound("store/db", "written to `db`, UID 11-22"));
        assert_eq!(at(&known, "db", None).as_deref(), Some("store/db"));
        assert_eq!(at(&known, "db", Some("11-22")).as_deref(), Some("store/db"));
        assert_eq!(
            at(&known, "db", Some("33-44")),
            None,
            "a Secret of others that had the name"
        );
        assert_eq!(known.secret_of(("pay", "db"), None, time(9)), None);
        known.follow(&bound("store/db", "written again to `db`, UID 33-44"));
        assert_eq!(at(&known, "db", Some("33-44")).as_deref(), Some("store/db"));
        // Another name, and then none.
        known.follow(&bound("store/db", "written to `database`, UID 55"));
        assert_eq!(at(&known, "db", None), None);
        assert_eq!(at(&known, "database", None).as_deref(), Some("store/db"));
        known.follow(&bound("store/db", "let go"));
        assert_eq!(at(&known, "database", None), None);
    }

    #[test]
    fn an_older_record_has_no_uid() {
        assert_eq!(written_to("written to `db`"), Some(("db", "")));
        assert_eq!(written_to("let go"), None);
        assert_eq!(written_to("written"), None);
    }

    #[test]
    fn where_the_records_are_silent_the_objects_count_since_they_exist() {
        let object: ManagedSecret = serde_json::from_value(json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
            "metadata": {"name": "db", "namespace": "shop", "creationTimestamp": time(5)},
            "spec": {"storeName": "store/db", "source": {"external": {}}},
            "status": {"nativeSecret": {"name": "native", "uid": "11-22", "versionId": "v-1"}},
        }))
        .unwrap();
        let mut known = NativeSecrets::default();
        known.declare(&object);
        let place = ("shop", "native");
        assert_eq!(known.secret_of(place, None, time(4)), None);
        assert_eq!(known.secret_of(place, None, time(6)), Some("store/db"));
        assert_eq!(known.secret_of(place, Some("11-22"), time(6)), Some("store/db"));
        assert_eq!(known.secret_of(place, Some("33-44"), time(6)), None);
        known.follow(&bound("store/db", "written to `native`, UID 1"));
        known.follow(&bound("store/db", "let go"));
        assert_eq!(known.secret_of(place, None, time(6)), None);
    }
}
