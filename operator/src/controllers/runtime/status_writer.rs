//! The only writer of status. It runs after success and after failure, and writes nothing when nothing would
//! change.

use std::borrow::Cow;
use std::fmt::Debug;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use strongroom_api::visible;
use strongroom_crds::condition::merge;

use crate::kube::field_manager;

/// The object whose status is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusSubject<'a> {
    /// Empty for an object of the cluster.
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Its UID, which the write carries: an object made again under the same name keeps its own status.
    pub(crate) uid: &'a str,
}

/// Writes `status` unless it equals `before`. Returns the new `resourceVersion` if it wrote.
///
/// # Errors
/// Those of the API server. An object that is gone, or was replaced by another one, is no error: its status
/// is not needed any more.
pub(crate) async fn write<K, T>(
    client: &Client,
    subject: StatusSubject<'_>,
    before: &T,
    status: &T,
) -> Result<Option<String>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    T: Serialize + PartialEq,
{
    if before == status {
        return Ok(None);
    }
    let url = K::url_path(
        &(),
        Some(subject.namespace).filter(|namespace| !namespace.is_empty()),
    );
    let status = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": subject.name, "uid": subject.uid},
        "status": status,
    });
    let params = PatchParams::apply(field_manager::CONTROLLERS).force();
    let mut written = patch_status(client, &url, subject.name, (&params, &Patch::Apply(patch))).await;
    // A status is ours alone. An apply leaves what somebody else wrote there too, such as a restore with the
    // status of a backup.
    if let Ok(there) = &written
        && let Some(surplus) = there.status.as_ref().and_then(|there| surplus(&status, there))
    {
        let patch = json!({
            "metadata": {"uid": subject.uid, "resourceVersion": there.metadata.resource_version},
            "status": surplus,
        });
        let params = PatchParams {
            field_manager: Some(field_manager::CONTROLLERS.to_owned()),
            ..PatchParams::default()
        };
        written = patch_status(client, &url, subject.name, (&params, &Patch::Merge(patch))).await;
    }
    match written {
        Ok(written) => Ok(written.metadata.resource_version),
        Err(kube::Error::Api(answer)) if answer.is_not_found() || answer.is_conflict() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is read of an object whose status was written: its spec may be a megabyte, and others wait meanwhile.
#[derive(serde::Deserialize)]
struct WrittenStatus {
    metadata: WrittenMetadata,
    #[serde(default)]
    status: Option<Json>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenMetadata {
    #[serde(default)]
    resource_version: Option<String>,
}

async fn patch_status(
    client: &Client,
    url: &str,
    name: &str,
    (params, patch): (&PatchParams, &Patch<Json>),
) -> Result<WrittenStatus, kube::Error> {
    let request = kube::core::Request::new(url)
        .patch_subresource("status", name, params, patch)
        .map_err(kube::Error::BuildRequest)?;
    client.request(request).await
}

/// The merge patch that takes away what is there beside `wanted`. A list is as wanted or it is replaced.
fn surplus(wanted: &Json, there: &Json) -> Option<Json> {
    match (wanted, there) {
        (Json::Object(wanted), Json::Object(there)) => {
            let patch: Map<String, Json> = there
                .iter()
                .filter_map(|(field, value)| match wanted.get(field) {
                    None | Some(Json::Null) => (!value.is_null()).then(|| (field.clone(), Json::Null)),
                    Some(wanted) => Some((field.clone(), surplus(wanted, value)?)),
                })
                .collect();
            (!patch.is_empty()).then_some(patch.into())
        }
        (Json::Array(list), Json::Array(there)) if there.len() > list.len() => Some(wanted.clone()),
        _ => None,
    }
}

/// The conditions that follow `before`: transition times stay while a status does, and all times are whole
/// seconds, as Kubernetes keeps them.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beside_the_wanted_goes_and_nothing_else() {
        let wanted = json!({"a": 1, "map": {"x": "y"}, "list": [1], "none": null});
        for (there, patch) in [
            (json!({"a": 1, "map": {"x": "y"}, "list": [1]}), None),
            (
                json!({"a": 1, "map": {"x": "y"}, "list": [1], "none": null}),
                None,
            ),
            (
                json!({"a": 1, "b": 2, "map": {"x": "y", "z": "w"}, "list": [1, 2]}),
                Some(json!({"b": null, "map": {"z": null}, "list": [1]})),
            ),
        ] {
            assert_eq!(surplus(&wanted, &there), patch, "{there}");
        }
    }
}
