//! Carrying out one change of the native Secret. Nothing is decided here.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use strongroom_crds::condition::Reason;
use strongroom_model::object_ref::ObjectRef;
use strongroom_rules::managed_secret::facts::NativeSecretState;
use strongroom_rules::native_secret::{HELD_ANNOTATION, claim, owners};

use super::native::{self, RenderedSecret};
use super::native_outcome::{merging, wrote};
use super::observed_secret::ObservedSecret;
use super::prepare::{PreparedNative, StoredTarget};
use super::{NativeCheck, binding, contest, removal, replace};
use crate::controllers::Ctx;
use crate::controllers::cluster::NativeRevision;
use crate::controllers::failure::Failure;
use crate::kube::{EventMessage, EventReason, field_manager};
use crate::store_handle::StoreFailure;

/// Carries out a change. Answers how closely to look next.
pub(super) async fn apply(
    ctx: &Ctx,
    observed: &ObservedSecret,
    target: StoredTarget<'_>,
    step: PreparedNative<'_>,
    now: Timestamp,
) -> Result<NativeCheck, Failure> {
    let namespace = &observed.identity.namespace;
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    match step {
        PreparedNative::Create(rendered) => {
            return replace::create(ctx, observed, target, rendered, now).await;
        }
        PreparedNative::Adopt { name, uid } => {
            let ours = ObjectRef::new(name, uid.as_str()).map_err(StoreFailure::from)?;
            binding::record(ctx, target, ours).await?;
        }
        PreparedNative::Apply { rendered, over } => {
            let since = ctx
                .cluster
                .announce_native(namespace, &rendered.name, &observed.identity.name);
            let written = match write_over(ctx, &api, observed, rendered, over).await {
                // It changed, and no watch has told: it has to be read.
                Err(kube::Error::Api(status)) if status.is_conflict() && observed.native.is_none() => {
                    ctx.cluster.unsettle(&observed.identity.uid);
                    return Ok(NativeCheck::Light);
                }
                answer => answer?,
            };
            contest::written(ctx, observed, rendered, &written, now).await;
            wrote(ctx, observed, rendered, written, since, now);
        }
        PreparedNative::Replace {
            rendered,
            found,
            over,
        } => {
            let look = replace::replace(ctx, observed, target, (rendered, found, over), now).await?;
            if let NativeSecretState::Present(judged) = &observed.facts.native
                && !judged.edits.is_empty()
            {
                contest::replaced(ctx, observed, &judged.edits, now).await;
            }
            return Ok(look);
        }
        PreparedNative::Hold { name, uid } => {
            ctx.cluster.unsettle(&observed.identity.uid);
            let patch = json!({"metadata": {
                "uid": uid.as_str(),
                "annotations": {HELD_ANNOTATION: Reason::KeyDisabled.as_str()},
            }});
            api.patch_metadata(name, &merging(), &Patch::Merge(&patch))
                .await?;
        }
        PreparedNative::Remove { name, uid } => {
            ctx.cluster.unsettle(&observed.identity.uid);
            let native = ObjectRef::new(name, uid.as_str()).map_err(StoreFailure::from)?;
            removal::release(ctx, namespace, &native, target.record).await?;
            binding::forget(ctx, target, name, uid.as_str()).await?;
        }
    }
    Ok(NativeCheck::Light)
}

/// Applies what is desired over a Secret of ours. Each write carries its UID and the `resourceVersion` that
/// was judged, so that a Secret that was deleted or changed in between is never written.
async fn write_over(
    ctx: &Ctx,
    api: &Api<Secret>,
    observed: &ObservedSecret,
    desired: &RenderedSecret,
    over: &NativeRevision,
) -> Result<Secret, kube::Error> {
    let params = PatchParams::apply(field_manager::CONTROLLERS).force();
    let adopting = matches!(&observed.facts.native, NativeSecretState::Present(found) if !found.marked);
    let found = observed.native.as_ref();
    let entries = found.and_then(|found| found.metadata.managed_fields.as_deref());
    let owners = entries.and_then(|entries| match claim::taken_over(entries) {
        Some(taken) if adopting => Some(owners::applied(&taken).unwrap_or(taken)),
        _ => owners::applied(entries),
    });
    let over = match (owners, found) {
        (Some(owners), Some(found)) => {
            let over = set_owners(api, &desired.name, over, &owners).await?;
            let mut owned = found.clone();
            owned.metadata.resource_version = Some(over.version.to_string());
            let applied = owners::is_applied(&owners);
            owned.metadata.managed_fields = Some(owners);
            if applied && desired.drift(&owned).is_none() {
                return Ok(owned);
            }
            native::wipe(&mut owned);
            over
        }
        _ => over.clone(),
    };
    let mut object = desired.to_apply(&over);
    let answer = api.patch(&desired.name, &params, &Patch::Apply(&object)).await;
    native::wipe(&mut object);
    let mut written = answer?;
    let surplus = desired.surplus(&written);
    let copies = desired.copies(&written);
    let held = written.annotations().contains_key(HELD_ANNOTATION);
    if surplus.is_empty() && copies.is_empty() && !held {
        return Ok(written);
    }
    // Server-side apply leaves fields of other managers, so such a field is removed by name.
    let annotations: serde_json::Map<_, _> = std::iter::once(HELD_ANNOTATION)
        .chain(copies.iter().copied())
        .map(|key| (key.to_owned(), serde_json::Value::Null))
        .collect();
    let nulls: serde_json::Map<_, _> = surplus
        .into_iter()
        .map(|key| (key, serde_json::Value::Null))
        .collect();
    let mut patch = json!({
        "metadata": {
            "uid": written.metadata.uid,
            "resourceVersion": written.metadata.resource_version,
            "annotations": annotations,
        },
    });
    if let (false, Some(object)) = (nulls.is_empty(), patch.as_object_mut()) {
        object.insert("data".to_owned(), nulls.into());
    }
    native::wipe(&mut written);
    let written = api
        .patch(&desired.name, &merging(), &Patch::Merge(&patch))
        .await?;
    if !copies.is_empty() {
        say_copies_went(ctx, observed, &desired.name, &copies).await;
    }
    Ok(written)
}

async fn say_copies_went(ctx: &Ctx, observed: &ObservedSecret, native: &str, copies: &[&str]) {
    let note = format!(
        "removed from Secret `{native}` what a tool had left there as a copy of its content: annotation `{}`. Whoever could read the \
         Secret's metadata could read it: rotate the value if that was not meant",
        copies.join("`, `")
    );
    let message = EventMessage::new(EventReason::CopyRemoved, "Apply", note);
    ctx.events.tell(message, &observed.object.object_ref(&())).await;
}

/// Changes only who owns the fields of a Secret. Returns the resulting state.
async fn set_owners(
    api: &Api<Secret>,
    name: &str,
    over: &NativeRevision,
    owners: &[ManagedFieldsEntry],
) -> Result<NativeRevision, kube::Error> {
    let patch = json!({"metadata": {
        "uid": &*over.uid,
        "resourceVersion": &*over.version,
        "managedFields": owners,
    }});
    let written = api
        .patch_metadata(name, &merging(), &Patch::Merge(&patch))
        .await?;
    Ok(NativeRevision::from_object(&written))
}
