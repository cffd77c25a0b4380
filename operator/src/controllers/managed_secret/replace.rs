//! Creates a native Secret, or replaces it, because the type and an immutable Secret cannot be changed. For
//! others it stays the same Secret: the metadata that they set on it is there from the first moment, and the
//! name is free for no longer than two requests take.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use parking_lot::Mutex;
use serde_json::json;
use strongroom_model::object_ref::ObjectRef;
use strongroom_rules::native_secret::foreign_metadata::{ForeignMetadata, REPLACER};
use strongroom_rules::retry::ErrorClass;

use super::NativeCheck;
use super::binding::record;
use super::native::{self, RenderedSecret};
use super::native_outcome::{merging, wrote};
use super::observed_secret::ObservedSecret;
use super::prepare::StoredTarget;
use crate::controllers::Ctx;
use crate::controllers::backoff::class_of;
use crate::controllers::cluster::NativeRevision;
use crate::controllers::failure::Failure;
use crate::kube::field_manager;
use crate::store_handle::StoreFailure;

/// What others had set on native Secrets that are being made anew, by the UID of the ManagedSecret: from the
/// delete until the new one is there, which a finalizer can make long. In memory alone.
#[derive(Debug, Default)]
pub(crate) struct PendingReplacements(Mutex<ByUid>);

type ByUid = HashMap<Box<str>, Replacement>;

#[derive(Debug)]
struct Replacement {
    /// Name of the native Secret.
    native: Box<str>,
    beside: ForeignMetadata,
}

impl PendingReplacements {
    fn begins(&self, uid: &str, native: &str, beside: ForeignMetadata) {
        let native = native.into();
        self.0.lock().insert(uid.into(), Replacement { native, beside });
    }

    fn find(&self, uid: &str, native: &str) -> Option<ForeignMetadata> {
        let all = self.0.lock();
        let replaced = all.get(uid)?;
        (*replaced.native == *native).then(|| replaced.beside.clone())
    }

    /// The new one is there, or the ManagedSecret is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

/// Creates the native Secret, unless one of its name exists.
pub(super) async fn create(
    ctx: &Ctx,
    observed: &ObservedSecret,
    target: StoredTarget<'_>,
    desired: &RenderedSecret,
    now: Timestamp,
) -> Result<NativeCheck, Failure> {
    let identity = &observed.identity;
    let namespace = &identity.namespace;
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    let beside = ctx
        .replacing
        .find(&identity.uid, &desired.name)
        .filter(|beside| !beside.is_empty());
    let since = ctx
        .cluster
        .announce_native(namespace, &desired.name, &identity.name);
    let mut object = desired.to_create();
    let manager = match &beside {
        None => field_manager::CONTROLLERS,
        Some(beside) => {
            beside.put_on(&mut object);
            REPLACER
        }
    };
    let params = PatchParams::apply(manager).force();
    let answer = api.patch(&desired.name, &params, &Patch::Apply(&object)).await;
    native::wipe(&mut object);
    let mut created = match answer {
        Ok(created) => created,
        // One of this name exists: it has another `resourceVersion`.
        Err(kube::Error::Api(status)) if status.is_conflict() => {
            ctx.cluster
                .forget_native_of(namespace, &desired.name, &identity.name);
            return Ok(NativeCheck::Thorough);
        }
        Err(error) => return Err(error.into()),
    };
    let uid = created.metadata.uid.as_deref().unwrap_or_default();
    let ours = ObjectRef::new(&desired.name, uid).map_err(StoreFailure::from)?;
    record(ctx, target, ours).await?;
    if let Some(beside) = beside {
        let owners = json!({"metadata": {
            "uid": created.metadata.uid,
            "resourceVersion": created.metadata.resource_version,
            "managedFields": desired.field_owners(&created, &beside),
        }});
        let owned = api.patch(&desired.name, &merging(), &Patch::Merge(&owners)).await;
        native::wipe(&mut created);
        created = owned?;
    }
    ctx.replacing.forget(&identity.uid);
    wrote(ctx, observed, desired, created, since, now);
    Ok(NativeCheck::Light)
}

/// Deletes the native Secret just as it was judged, and creates it anew.
pub(super) async fn replace(
    ctx: &Ctx,
    observed: &ObservedSecret,
    target: StoredTarget<'_>,
    (desired, found, over): (&RenderedSecret, &Secret, &NativeRevision),
    now: Timestamp,
) -> Result<NativeCheck, Failure> {
    let identity = &observed.identity;
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &identity.namespace);
    ctx.cluster.unsettle(&identity.uid);
    ctx.replacing
        .begins(&identity.uid, &desired.name, desired.foreign_metadata(found));
    let params = DeleteParams {
        preconditions: Some(precondition(over)),
        ..DeleteParams::default()
    };
    let left = match api.delete(&desired.name, &params).await {
        Ok(answer) => answer.left(),
        Err(kube::Error::Api(status)) if status.is_not_found() => None,
        // It changed: it has to be judged anew.
        Err(error) if class_of(&error) == ErrorClass::Conflict => return Ok(NativeCheck::Thorough),
        Err(error) => return Err(error.into()),
    };
    if let Some(mut left) = left {
        native::wipe(&mut left);
        if left.metadata.deletion_timestamp.is_some() {
            // It waits for a finalizer, which the next look finds.
            return Ok(NativeCheck::Thorough);
        }
    }
    ctx.cluster.forget_native(&identity.namespace, &desired.name);
    create(ctx, observed, target, desired, now).await
}

fn precondition(over: &NativeRevision) -> Preconditions {
    Preconditions {
        uid: Some(over.uid.to_string()),
        resource_version: Some(over.version.to_string()),
    }
}
