//! The custom resources behind secrets: a change over the API changes the object first, so that the API and
//! the objects always agree.
//!
//! Must not overwrite what somebody else keeps: a field that another field manager owns is theirs, and so is
//! an object that they made (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers>).

use std::ops::ControlFlow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_model::name::ExternalId;
use strongroom_store::vault::ObjectRef;

use super::Gateway;
use super::problem::{Code, Problem};
use crate::kube::field_manager;
use crate::kube::in_words;
use crate::kube::watch::{self, Selection};
use crate::large_objects::LargeObjectLimiter;

/// Who else owns the field at this path, as in `["spec", "description"]`.
pub(super) fn owner_elsewhere<'a>(fields: &'a [ManagedFieldsEntry], path: &[&str]) -> Option<&'a str> {
    let owns = |entry: &&ManagedFieldsEntry| {
        let mut at = entry.fields_v1.as_ref().map(|fields| &fields.0);
        for name in path {
            at = at.and_then(|fields| fields.get(format!("f:{name}")));
        }
        at.is_some()
    };
    fields
        .iter()
        .filter(|entry| entry.manager.as_deref() != Some(field_manager::GATEWAY))
        // Status and such are the controller's.
        .filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty())
        .find(owns)
        .map(|entry| entry.manager.as_deref().unwrap_or("somebody"))
}

/// Refuses where the field belongs to somebody else.
pub(super) fn refuse_other_owner<K: Resource<DynamicType = ()>>(
    object: &K,
    path: &[&str],
) -> Result<(), Problem> {
    let fields = object.meta().managed_fields.as_deref().unwrap_or_default();
    owner_elsewhere(fields, path).map_or(Ok(()), |manager| {
        Err(managed_elsewhere(
            K::kind(&()).as_ref(),
            &object.name_any(),
            &format!(
                "its field `{}` is managed by field manager `{manager}`",
                path.join(".")
            ),
        ))
    })
}

/// The object is kept by somebody else.
pub(super) fn managed_elsewhere(kind: &str, name: &str, why: &str) -> Problem {
    Problem::new(
        Code::ManagedElsewhere,
        format!("{kind} `{name}`: {why}; make the change at its source, such as the Git repository"),
    )
}

/// The object as the store knows it.
pub(super) fn binding(object: &ManagedSecret) -> Option<ObjectRef> {
    Some(ObjectRef {
        uid: ExternalId::new(&object.uid()?).ok()?,
        name: object.name_any(),
    })
}

/// The objects of one kind in one namespace.
#[derive(Debug)]
pub(super) struct ObjectClient<'a, K> {
    api: Api<K>,
    namespace: &'a str,
    large_objects: &'a LargeObjectLimiter,
}

impl<'a, K> ObjectClient<'a, K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Serialize,
{
    pub(super) fn new(gateway: &'a Gateway, namespace: &'a str) -> Self {
        Self {
            api: Api::namespaced(gateway.client.clone(), namespace),
            namespace,
            large_objects: &gateway.large_objects,
        }
    }

    /// The object of this name. How large it is is known when it is there: only some of a namespace are read
    /// at once.
    pub(super) async fn find(&self, name: &str) -> Result<Option<K>, Problem> {
        let _held = self.large_objects.acquire(self.namespace, 0).await;
        self.api.get_opt(name).await.map_err(kube_problem)
    }

    /// What `keep` leaves of all of them, each read on its own.
    pub(super) async fn list_filtered(
        &self,
        mut keep: impl FnMut(K) -> Option<K>,
    ) -> Result<Vec<K>, Problem> {
        let mut kept = Vec::new();
        watch::list(self.api.clone(), Selection::whole(), |object| {
            kept.extend(keep(object));
            ControlFlow::Continue(())
        })
        .await
        .map_err(kube_problem)?;
        Ok(kept)
    }

    /// Makes the object; none where its name is taken.
    pub(super) async fn create(&self, object: &K) -> Result<Option<K>, Problem> {
        let params = PostParams {
            field_manager: Some(field_manager::GATEWAY.to_owned()),
            ..PostParams::default()
        };
        match self.api.create(&params, object).await {
            Ok(made) => Ok(Some(made)),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
            Err(error) => Err(kube_problem(error)),
        }
    }

    /// Changes the object; none where it is no longer as it was read.
    pub(super) async fn merge(&self, read: &K, mut patch: Json) -> Result<Option<K>, Problem> {
        if let Some(patch) = patch.as_object_mut() {
            let metadata = patch
                .entry("metadata")
                .or_insert_with(|| Json::Object(<_>::default()));
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.insert("uid".to_owned(), Json::from(read.uid()));
                metadata.insert("resourceVersion".to_owned(), Json::from(read.resource_version()));
            }
        }
        let params = PatchParams {
            field_manager: Some(field_manager::GATEWAY.to_owned()),
            ..PatchParams::default()
        };
        match self
            .api
            .patch(&read.name_any(), &params, &Patch::Merge(&patch))
            .await
        {
            Ok(changed) => Ok(Some(changed)),
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(None),
            Err(error) => Err(kube_problem(error)),
        }
    }

    /// Writes our fields of the object by server-side apply; those of others are not taken from them.
    pub(super) async fn apply(&self, object: &K) -> Result<K, Problem> {
        let name = object.name_any();
        let params = PatchParams::apply(field_manager::GATEWAY);
        match self.api.patch(&name, &params, &Patch::Apply(object)).await {
            Ok(applied) => Ok(applied),
            Err(kube::Error::Api(status)) if status.is_conflict() => Err(managed_elsewhere(
                K::kind(&()).as_ref(),
                &name,
                "it is managed by another field manager",
            )),
            Err(error) => Err(kube_problem(error)),
        }
    }

    /// Deletes just this object. One that is gone already is no error.
    pub(super) async fn delete(&self, object: &K) -> Result<(), Problem> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self.api.delete(&object.name_any(), &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(kube_problem(error)),
        }
    }
}

impl ObjectClient<'_, ManagedSecret> {
    /// The object that declares a secret, if it is there and still the same.
    pub(super) async fn declaring(
        &self,
        secret: &strongroom_store::vault::SecretView,
    ) -> Result<Option<ManagedSecret>, Problem> {
        let Some(bound) = &secret.object else {
            return Ok(None);
        };
        let found = self.find(&bound.name).await?;
        Ok(found.filter(|found| found.uid().as_deref() == Some(bound.uid.as_str())))
    }
}

/// A server-side apply whose lists hold something twice is no invalid object to the API server, but an error
/// of its own.
fn is_untyped(status: &kube::core::Status) -> bool {
    status.code == 500 && status.message.contains("typed patch object")
}

/// What the API server says to a change that it does not take.
pub(super) fn kube_problem(error: kube::Error) -> Problem {
    match error {
        kube::Error::Api(status) if status.is_invalid() || status.code == 400 => {
            let error = kube::Error::Api(status);
            Problem::new(
                Code::InvalidRequest,
                format!(
                    "{}; see the limits of its fields with `kubectl explain`",
                    in_words(&error)
                ),
            )
        }
        kube::Error::Api(status) if is_untyped(&status) => Problem::new(
            Code::InvalidRequest,
            "the API server does not accept the object; see the limits of its fields with `kubectl explain`: a list may contain a duplicate",
        ),
        kube::Error::Api(status) if status.is_conflict() => Problem::new(
            Code::ClusterUnavailable,
            "somebody else changed the object at the same time; try again",
        )
        .retry_after(1),
        kube::Error::Api(status) if status.is_not_found() => Problem::new(
            Code::ClusterUnavailable,
            "the namespace is being deleted, or the object was deleted at the same time; check again",
        )
        .retry_after(1),
        kube::Error::Api(status) if status.is_forbidden() => {
            let error = kube::Error::Api(status);
            tracing::warn!(error = %in_words(&error), "object write forbidden");
            Problem::new(
                Code::ClusterUnavailable,
                "the API server does not allow strongroom to make the change; strongroom's log says why, and the namespace may be being deleted",
            )
            .retry_after(2)
        }
        error => {
            tracing::warn!(error = %in_words(&error), "object write failed");
            Problem::new(
                Code::ClusterUnavailable,
                "the API server did not accept the request; try again",
            )
            .retry_after(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fields_of_others_are_told() {
        let entry = |manager: &str, subresource: Option<&str>, fields: Json| {
            serde_json::from_value::<ManagedFieldsEntry>(
                json!({"manager": manager, "subresource": subresource, "fieldsV1": fields}),
            )
            .unwrap()
        };
        let fields = [
            entry(
                field_manager::GATEWAY,
                None,
                json!({"f:spec": {"f:description": {}}}),
            ),
            entry(
                "argocd",
                None,
                json!({"f:spec": {"f:source": {"f:external": {}}}}),
            ),
            entry(
                "strongroom",
                Some("status"),
                json!({"f:status": {"f:secretId": {}}}),
            ),
        ];
        let owner = |path: &[&str]| owner_elsewhere(&fields, path);
        assert_eq!(owner(&["spec", "source"]), Some("argocd"));
        assert_eq!(owner(&["spec"]), Some("argocd"));
        assert_eq!(owner(&["spec", "description"]), None);
        assert_eq!(owner(&["status", "secretId"]), None);
    }
}
