//! Carrying out one step. Everything that changes the store or the cluster for a `ManagedSecret` happens
//! here, and nothing is decided.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use strongroom_crds::condition::Reason;
use strongroom_model::id::SecretId;
use strongroom_model::name::SecretName;
use strongroom_model::object_ref::ObjectRef;
use strongroom_rules::cause::Cause;
use strongroom_rules::managed_secret::facts::NativeSecretState;
use strongroom_rules::managed_secret::plan::{
    FirstVersionSource, NativeStep, SecretStep, VersionReason, immutable_native,
};
use strongroom_rules::managed_secret::renewal::CertificateChange;
use strongroom_rules::managed_secret::verdict::SecretBlocker;
use strongroom_rules::native_secret::{HELD_ANNOTATION, claim, owners};
use strongroom_store::vault::{CreateSecret, EnsureVersion, Recovery, SecretView};

use super::native::{self, RenderedSecret};
use super::new_version::{base, secret, used, version_id, wanted_labels};
use super::observe::ObservedSecret;
use super::{
    NativeCheck, binding, contest, import, labels, removal, replace, rotation, sealed, value_generation,
};
use crate::controllers::Ctx;
use crate::controllers::cluster::{NativeRevision, SettledState};
use crate::controllers::failure::Failure;
use crate::kube::{EventMessage, EventReason, field_manager};
use crate::secret_labels;
use crate::store_handle::StoreFailure;

/// Carries out `step`. Answers how closely to look next.
pub(super) async fn apply(
    ctx: &Ctx,
    observed: &ObservedSecret,
    step: &SecretStep,
    now: Timestamp,
) -> Result<NativeCheck, Failure> {
    let identity = &observed.identity;
    match step {
        SecretStep::Nothing => {}
        SecretStep::BindNamespace => {
            ctx.store
                .bind_namespace(&identity.namespace, observed.facts.namespace.uid.as_str())
                .await?;
        }
        SecretStep::AcceptNamespace => {
            ctx.store
                .accept_namespace(&identity.namespace, observed.facts.namespace.uid.as_str())
                .await?;
        }
        SecretStep::BindObject => {
            ctx.store
                .bind_object(secret(observed)?.id, observed.identity.object_ref()?)
                .await?;
            // What it says of readers and delivery counts from now on.
            ctx.policies.notify_changed();
        }
        SecretStep::CreateSecret(first) => create(ctx, observed, *first, now).await?,
        SecretStep::UpdateMetadata => {
            let wanted = observed
                .facts
                .wanted
                .as_ref()
                .map_err(|_| Failure::Inconsistent("metadata without a spec"))?;
            let (labels, description) = (wanted.labels.clone(), wanted.description.clone());
            let view = secret(observed)?;
            if view.recovery == Recovery::Nothing
                && secret_labels::recovery(&labels, true) == Recovery::Window
            {
                ctx.store.keep_window(view.id).await?;
            }
            ctx.store.update(view.id, labels, description).await?
        }
        SecretStep::UpdateKey => {
            ctx.store.come_under(secret(observed)?.id, observed.key).await?;
            used(ctx, observed);
            ctx.keys.rewrap();
        }
        SecretStep::EnsureVersion(why) => ensure(ctx, observed, why, now).await?,
        SecretStep::Rotate(step) => rotation::take(ctx, observed, step, now).await?,
        SecretStep::TakeSealed => take_sealed(ctx, observed).await?,
        SecretStep::Restore => ctx.store.restore(secret(observed)?.id).await?,
        SecretStep::Purge => ctx.store.purge(secret(observed)?.id).await?,
        SecretStep::Native(step) => return native_step(ctx, observed, step, now).await,
    }
    Ok(NativeCheck::Light)
}

fn desired(observed: &ObservedSecret) -> Result<&RenderedSecret, Failure> {
    observed
        .desired
        .as_ref()
        .ok_or(Failure::Inconsistent("a native step without a value"))
}

async fn create(
    ctx: &Ctx,
    observed: &ObservedSecret,
    first: FirstVersionSource,
    now: Timestamp,
) -> Result<(), Failure> {
    let wanted = observed
        .facts
        .wanted
        .as_ref()
        .map_err(|_| Failure::Inconsistent("a create without a spec"))?;
    let namespace = observed
        .namespace
        .ok_or(Failure::Inconsistent("a create without a namespace"))?;
    // Before a key is made for nothing.
    ctx.store.has_room(namespace).await?;
    let id = SecretId::generate().map_err(|error| Failure::randomness(&error))?;
    let mut labels = wanted.labels.clone();
    let (version, value) = match first {
        FirstVersionSource::Generated => {
            let made = value_generation::first(ctx, observed, now).await?;
            labels::record_generators(&mut labels, &made.record);
            (Cause::Create.version_id(id.as_bytes()), made.value)
        }
        FirstVersionSource::Imported => {
            let content = observed
                .import
                .as_ref()
                .ok_or(Failure::Inconsistent("an import without content"))?;
            let value = content
                .value()
                .ok_or(Failure::Inconsistent("an import without content"))?;
            (content.version(id), value)
        }
        FirstVersionSource::Sealed => {
            let declared = labels::sealed_digest(sealed::source(observed)?);
            let cause = Cause::Sealed {
                declared,
                base: String::new(),
            };
            (cause.version_id(id.as_bytes()), sealed::value(ctx, observed)?)
        }
        FirstVersionSource::Readopted => {
            let found = observed
                .native
                .as_ref()
                .ok_or(Failure::Inconsistent("a readoption without content"))?;
            (import::version(id, found), import::readopted(found)?)
        }
    };
    let name = SecretName::new(&wanted.store_name).map_err(|error| Failure::Name(error.to_string()))?;
    let new = CreateSecret {
        id,
        namespace,
        name,
        labels,
        description: wanted.description.clone(),
        key: observed.key.into(),
        object: Some(observed.identity.object_ref()?),
        recovery: secret_labels::recovery(&wanted.labels, keeps_nothing(ctx, observed)),
        version: version_id(&version)?,
        value,
    };
    ctx.store.create(new).await?;
    used(ctx, observed);
    Ok(())
}

/// Whether nothing of the object's namespace is kept when it is deleted.
fn keeps_nothing(ctx: &Ctx, observed: &ObservedSecret) -> bool {
    let seen = ctx.cluster.namespace(&observed.identity.namespace);
    seen.is_some_and(|seen| seen.keeps_nothing && seen.uid == observed.facts.namespace.uid.as_str())
}

async fn ensure(
    ctx: &Ctx,
    observed: &ObservedSecret,
    why: &VersionReason,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut opened = None;
    let (view, base, current) = base(ctx, observed, &mut opened).await?;
    let mut labels = wanted_labels(observed)?;
    let (cause, made) = match why {
        VersionReason::SpecChanged => {
            let made = value_generation::next(ctx, observed, (view, current), |_, _| false, now).await?;
            (spec_cause(view, observed), Ok(made))
        }
        VersionReason::Imported => {
            let content = observed
                .import
                .as_ref()
                .ok_or(Failure::Inconsistent("an import without content"))?;
            let value = content
                .value()
                .ok_or(Failure::Inconsistent("an import without content"))?;
            (content.cause(), Err(value))
        }
        VersionReason::Certificate(change) => {
            let cause = Cause::Certificate {
                change: match change {
                    CertificateChange::Renew => "renew",
                    CertificateChange::SignAnew => "sign",
                    CertificateChange::FollowAuthority => "follow",
                    CertificateChange::DropOldRoots => "roots",
                },
                base: base.to_string(),
                newest: view.versions.last().map_or(0, |version| version.sequence.into()),
            };
            let made = value_generation::certified(ctx, observed, (view, current), *change, now).await?;
            (cause, Ok(made))
        }
    };
    let value = match made {
        Ok(made) => {
            labels::record_generators(&mut labels, &made.record);
            made.value
        }
        Err(imported) => imported,
    };
    let new = EnsureVersion {
        secret: view.id,
        version: version_id(&cause.version_id(view.id.as_bytes()))?,
        value,
        base: Some(base.clone()),
        may_grow: matches!(why, VersionReason::Certificate(_)),
        rotation: None,
        labels: Some(labels),
    };
    ctx.store.ensure(new).await?;
    used(ctx, observed);
    Ok(())
}

/// The cause of a version that a changed spec asks for. It differs where the version of this generation is
/// there already, and one from before it was made current again.
fn spec_cause(view: &SecretView, observed: &ObservedSecret) -> Cause {
    let (uid, generation) = (observed.identity.uid.clone(), observed.identity.generation);
    let cause = Cause::Spec {
        uid: uid.clone(),
        generation,
    };
    match view.versions.last() {
        Some(newest) if view.has_version(&cause.version_id(view.id.as_bytes())) => Cause::SpecAgain {
            uid,
            generation,
            after: newest.id.to_string(),
        },
        _ => cause,
    }
}

/// A new version where what stands in the object is another value than the current one; then the record that
/// it was taken.
async fn take_sealed(ctx: &Ctx, observed: &ObservedSecret) -> Result<(), Failure> {
    let view = secret(observed)?;
    let wanted = observed
        .facts
        .wanted
        .as_ref()
        .map_err(|_| Failure::Inconsistent("a sealed value without a spec"))?;
    let declared = labels::sealed_digest(sealed::source(observed)?);
    let value = sealed::value(ctx, observed)?;
    let base = view
        .current_id()
        .ok_or(Failure::Inconsistent("a secret without a current version"))?;
    let same = match &observed.current {
        Some((_, current)) => *current == value,
        None => ctx.store.open(view.id, base).await? == value,
    };
    if !same {
        if let Some(name) = immutable_native(&observed.facts) {
            let (name, keys) = (name.to_owned(), Vec::new());
            return Err(Failure::Make {
                reason: Reason::ImmutableNotRotatable,
                message: SecretBlocker::Immutable { name, keys }.to_string(),
            });
        }
        let cause = Cause::Sealed {
            declared: declared.clone(),
            base: base.to_string(),
        };
        let new = EnsureVersion {
            secret: view.id,
            version: version_id(&cause.version_id(view.id.as_bytes()))?,
            value,
            base: Some(base.clone()),
            rotation: None,
            may_grow: false,
            labels: None,
        };
        ctx.store.ensure(new).await?;
        ctx.metrics.versions.inc();
        used(ctx, observed);
    }
    let mut labels = wanted.labels.clone();
    labels::record_sealed_digest(&mut labels, declared);
    ctx.store
        .update(view.id, labels, wanted.description.clone())
        .await?;
    Ok(())
}

async fn native_step(
    ctx: &Ctx,
    observed: &ObservedSecret,
    step: &NativeStep,
    now: Timestamp,
) -> Result<NativeCheck, Failure> {
    let namespace = &observed.identity.namespace;
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    let view = secret(observed)?;
    match step {
        NativeStep::Create => return replace::create(ctx, observed, (view, desired(observed)?), now).await,
        NativeStep::Adopt { uid } => {
            let name = target(observed)?;
            let ours = ObjectRef::new(name, uid.as_str()).map_err(StoreFailure::from)?;
            binding::record(ctx, observed, view, ours).await?;
        }
        NativeStep::Apply { .. } => {
            let desired = desired(observed)?;
            let over = observed
                .over
                .as_ref()
                .ok_or(Failure::Inconsistent("an apply without its object"))?;
            let since = ctx
                .cluster
                .announce_native(namespace, &desired.name, &observed.identity.name);
            let written = match write_over(ctx, &api, observed, desired, over).await {
                // It changed, and no watch has told: it has to be read.
                Err(kube::Error::Api(status)) if status.is_conflict() && observed.native.is_none() => {
                    ctx.cluster.unsettle(&observed.identity.uid);
                    return Ok(NativeCheck::Light);
                }
                answer => answer?,
            };
            contest::written(ctx, observed, desired, &written, now).await;
            wrote(ctx, observed, desired, written, since, now);
        }
        NativeStep::Replace { .. } => {
            let look = replace::replace(ctx, observed, (view, desired(observed)?), now).await?;
            if let NativeSecretState::Present(found) = &observed.facts.native
                && !found.edits.is_empty()
            {
                contest::replaced(ctx, observed, &found.edits, now).await;
            }
            return Ok(look);
        }
        NativeStep::Hold { uid } => {
            let name = target(observed)?;
            ctx.cluster.unsettle(&observed.identity.uid);
            let patch = json!({"metadata": {
                "uid": uid.as_str(),
                "annotations": {HELD_ANNOTATION: Reason::KeyDisabled.as_str()},
            }});
            api.patch_metadata(&name, &merging(), &Patch::Merge(&patch))
                .await?;
        }
        NativeStep::Remove { name, uid } => {
            ctx.cluster.unsettle(&observed.identity.uid);
            let native = ObjectRef::new(name, uid.as_str()).map_err(StoreFailure::from)?;
            removal::release(ctx, namespace, &native, view).await?;
            binding::forget(ctx, observed, view, name, uid.as_str()).await?;
        }
    }
    Ok(NativeCheck::Light)
}

pub(super) fn target(observed: &ObservedSecret) -> Result<String, Failure> {
    let native = observed
        .facts
        .wanted
        .as_ref()
        .ok()
        .and_then(|wanted| wanted.native.as_ref());
    native
        .map(|native| native.name.clone())
        .ok_or(Failure::Inconsistent("a native step without a name"))
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
    // Server-side apply leaves what another manager brought. It goes by name.
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

/// Changes nothing but who owns the fields of a Secret. Answers with the state that came of it.
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

/// A merge in our name.
pub(super) fn merging() -> PatchParams {
    PatchParams {
        field_manager: Some(field_manager::CONTROLLERS.to_owned()),
        ..PatchParams::default()
    }
}

/// Remembers what was written, so that nothing has to be read to know that it is right.
pub(super) fn wrote(
    ctx: &Ctx,
    observed: &ObservedSecret,
    desired: &RenderedSecret,
    mut written: Secret,
    since: u64,
    now: Timestamp,
) {
    let identity = &observed.identity;
    let revision = NativeRevision::from_object(&written);
    if desired.drift(&written).is_none() {
        ctx.cluster.saw_native(
            &identity.namespace,
            &desired.name,
            (identity.name.as_str(), since),
            revision.clone(),
        );
        let settled = SettledState {
            generation: identity.generation,
            version: desired.version.as_str().into(),
            native: Some(revision),
            adopted: desired.adopted(),
            at: now,
        };
        ctx.cluster.settle(&identity.uid, settled);
    }
    native::wipe(&mut written);
}
