//! The only writer of status. It runs after success and after failure, and writes nothing when nothing would change.

use std::borrow::Cow;
use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use strongroom_api::visible;
use strongroom_crds::condition::merge;

/// The name under which our fields are recorded in `metadata.managedFields`.
pub(crate) const FIELD_MANAGER: &str = "strongroom";

/// The object whose status is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// Its namespace.
    pub(crate) namespace: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// Its UID, which the write carries: an object made again under the same name keeps its own status.
    pub(crate) uid: &'a str,
}

/// Writes `status` unless it equals `before`. Answers with the `resourceVersion` that came of it, where it wrote.
///
/// # Errors
/// The API server's. An object that is gone, or is another one by now, is no error: there is nobody left to tell.
pub(crate) async fn write<K, T>(
    client: &Client,
    subject: Subject<'_>,
    before: &T,
    status: &T,
) -> Result<Option<String>, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    T: Serialize + PartialEq,
{
    if before == status {
        return Ok(None);
    }
    let api: Api<kube::core::PartialObjectMeta<K>> = Api::namespaced(client.clone(), subject.namespace);
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": subject.name, "uid": subject.uid},
        "status": status,
    });
    match api
        .patch_status(
            subject.name,
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(patch),
        )
        .await
    {
        Ok(written) => Ok(written.metadata.resource_version),
        Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The conditions that follow `before`: transition times stay while a status does, and all times are whole seconds, as Kubernetes keeps them.
pub(crate) fn conditions(before: &[Condition], wanted: Vec<Condition>) -> Vec<Condition> {
    let mut wanted = wanted;
    for condition in &mut wanted {
        // Names and descriptions of others are in it.
        if let Cow::Owned(shown) = visible(&condition.message) {
            condition.message = shown;
        }
    }
    let mut conditions = merge(before, wanted);
    for condition in &mut conditions {
        condition.last_transition_time = time(condition.last_transition_time.0);
    }
    conditions
}

/// A time as it comes back from the API server.
pub(crate) fn time(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}
