//! All reading for one `ManagedSecret`: the cluster, the store, the native Secret. What comes out is the
//! facts to decide on, and what a step will need beside them. It changes nothing but what is remembered of
//! the cluster.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use strongroom_crds::annotation;
use strongroom_crds::v1alpha1::{ManagedSecret, RotationSchedule, Source as SourceSpec};
use strongroom_model::id::{KeyId, NamespaceId, SecretId};
use strongroom_model::name::{SecretName, VersionId};
use strongroom_rules::generate::Differences;
use strongroom_rules::managed_secret::facts::{
    DesiredNative, DesiredState, ImportState, InvalidSpec, NamespaceBinding, NativeSecretRef,
    NativeSecretState, ObjectFacts, ObservedNativeSecret, Owner, RecordedSecretId, SecretFacts, StoredSecret,
    StoredSecretState, ValueSource,
};
use strongroom_rules::native_secret::{ADOPTED_ANNOTATION, Drift, HELD_ANNOTATION};
use strongroom_rules::rotation::{Coverage, RotateNow, RotationRefusal, RotationRequester, immutable};
use strongroom_rules::uid::Uid;
use strongroom_store::value::Value;
use strongroom_store::vault::SecretView;

use super::import::{self, ImportContent};
use super::labels;
use super::native::{self, NativeSecretContext, RenderedSecret};
use super::sealed::{self, SealedFor};
use super::{NativeCheck, certificate, holder, key_check, rotation, value_generation};
use crate::controllers::Ctx;
use crate::controllers::cluster::{NativeRevision, SettledState};
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;
use crate::controllers::namespace::namespace_facts;
use crate::secret_labels;
use crate::store_handle::timestamp;

/// What was read of one object.
pub(super) struct ObservedSecret {
    /// What to decide on.
    pub(super) facts: SecretFacts,
    /// Namespace, name and UID of the object.
    pub(super) identity: Identity,
    pub(super) object: ManagedSecret,
    /// Its namespace in the store.
    pub(super) namespace: Option<NamespaceId>,
    /// The customer's key that it is to come under, where there is one of the wanted name.
    pub(super) key: Option<KeyId>,
    /// Its secret in the store.
    pub(super) view: Option<SecretView>,
    /// Id and value of the current version, where it had to be opened.
    pub(super) current: Option<(VersionId, Value)>,
    /// What the native Secret has to be, where the current version was opened.
    pub(super) desired: Option<RenderedSecret>,
    /// The native Secret, where it was read.
    pub(super) native: Option<Secret>,
    /// The state of the native Secret that is judged, whether it was read or is known.
    pub(super) over: Option<NativeRevision>,
    /// The native Secret was found right before, with the same spec and the same version.
    pub(super) was_settled: bool,
    /// The content to import or to readopt.
    pub(super) import: Option<ImportContent>,
    /// The one schedule that covers it.
    pub(super) schedule: Option<Arc<RotationSchedule>>,
    /// Keys whose generator changed after they were made.
    pub(super) changed_generators: Vec<String>,
    /// Who asks for the rotation that is due by request.
    pub(super) requesters: Vec<RotationRequester>,
    /// What a sealed source is sealed for.
    pub(super) sealed_for: Option<SealedFor>,
    /// When the object was last verified to be as wanted.
    pub(super) verified: Option<Timestamp>,
}

/// Reads everything.
pub(super) async fn observe(
    ctx: &Ctx,
    object: &ManagedSecret,
    identity: &Identity,
    look: NativeCheck,
    now: Timestamp,
) -> Result<ObservedSecret, Failure> {
    let (namespace, record) = namespace_facts(ctx, &identity.namespace).await?;
    let binding = namespace.binding.clone();
    let annotations = object.annotations();
    let mut observed = ObservedSecret {
        facts: SecretFacts {
            object: ObjectFacts {
                name: identity.name.clone(),
                uid: Uid::new(&identity.uid),
                leaving: object.meta().deletion_timestamp.is_some(),
                recorded: RecordedSecretId::Nothing,
                restore: annotations.get(annotation::RESTORE).cloned(),
                purge: annotations.get(annotation::PURGE).cloned(),
                readopt: annotations.get(annotation::READOPT).cloned(),
                rotate_now: RotateNow::Nothing,
            },
            wanted: wanted(object, identity),
            namespace,
            stored: StoredSecretState::Absent,
            native: NativeSecretState::Unread,
            import: ImportState::Unread,
            rotation: Coverage::None,
            certificate: None,
        },
        identity: identity.clone(),
        object: object.clone(),
        namespace: record.as_ref().map(|record| record.id),
        key: None,
        view: None,
        current: None,
        desired: None,
        native: None,
        over: None,
        was_settled: false,
        import: None,
        schedule: None,
        changed_generators: Vec::new(),
        requesters: Vec::new(),
        sealed_for: None,
        verified: None,
    };
    // Of a namespace that is not ours to read nothing is read.
    if let (NamespaceBinding::Bound, Some(record), Ok(wanted)) = (&binding, &record, &observed.facts.wanted) {
        let name = SecretName::new(&wanted.store_name).map_err(|error| Failure::Name(error.to_string()))?;
        observed.view = ctx.store.find(record.id, &name).await?;
        key_check::key(ctx, &mut observed, record.id).await?;
    }
    observed.facts.object.recorded = recorded(ctx, object, observed.view.as_ref()).await?;
    content(ctx, &mut observed, look, now).await?;
    value_generation::observe(&mut observed);
    rotation::observe(ctx, &mut observed, now);
    sealed::observe(ctx, &mut observed);
    certificate::observe(ctx, &mut observed).await?;
    Ok(observed)
}

/// Whether the store knows the id in the status. Mostly it is that of the secret that was found by name.
async fn recorded(
    ctx: &Ctx,
    object: &ManagedSecret,
    found: Option<&SecretView>,
) -> Result<RecordedSecretId, Failure> {
    let Some(id) = object.status.as_ref().and_then(|status| status.secret_id.clone()) else {
        return Ok(RecordedSecretId::Nothing);
    };
    let known = match id.parse::<SecretId>() {
        Ok(id) if found.is_some_and(|view| view.id == id) => true,
        Ok(id) => ctx.store.describe(id).await?.is_some(),
        Err(_) => false,
    };
    Ok(if known {
        RecordedSecretId::Known
    } else {
        RecordedSecretId::Unknown(id)
    })
}

/// The spec in the terms of the rules.
fn wanted(object: &ManagedSecret, identity: &Identity) -> Result<DesiredState, InvalidSpec> {
    let spec = &object.spec;
    let source = match &spec.source {
        SourceSpec::Generate(_) => ValueSource::Generate,
        SourceSpec::Import(source) => ValueSource::Import {
            secret: source.secret_ref.name.clone(),
        },
        SourceSpec::External(source) => ValueSource::External {
            wait: source.wait.unwrap_or(true),
        },
        // What is known of it is known with the secret.
        SourceSpec::Sealed(_) => ValueSource::Sealed { taken: false },
    };
    Ok(DesiredState {
        store_name: spec.store_name.clone().unwrap_or_else(|| identity.name.clone()),
        source,
        // Read when the namespace is known.
        key: None,
        required_key: None,
        native: spec.secret.as_ref().map(|native| DesiredNative {
            name: native.name.clone(),
            immutable: immutable(spec),
        }),
        not_rotatable: RotationRefusal::for_spec(spec),
        labels: secret_labels::desired(spec, object.labels()),
        description: spec.description.clone().unwrap_or_default(),
        suspend: spec.suspend.unwrap_or(false),
    })
}

/// The secret, its current value, the native Secret and the one to import, each only where the decision needs
/// it.
async fn content(
    ctx: &Ctx,
    observed: &mut ObservedSecret,
    look: NativeCheck,
    now: Timestamp,
) -> Result<(), Failure> {
    let Ok(wanted) = observed.facts.wanted.clone() else {
        return Ok(());
    };
    let object = &observed.facts.object;
    let idle = wanted.suspend
        || object.leaving
        || observed.facts.namespace.terminating
        || matches!(
            observed.facts.namespace.binding,
            NamespaceBinding::Recreated { .. }
        );
    let live = observed.view.clone().filter(|view| view.is_live());
    let lost = matches!(object.recorded, RecordedSecretId::Unknown(_));

    if wanted
        .key
        .as_ref()
        .is_some_and(|key| key_check::refuses(key.state))
    {
        if let Some(view) = live.as_ref().filter(|_| !idle) {
            key_check::read_held(ctx, observed, &wanted, view).await?;
        }
        observed.facts.stored = judged(ctx, observed, Differences::default(), None).await?;
        return Ok(());
    }
    if let Some(view) = &live
        && !lost
        && let Some(settled) = settled(ctx, observed, &wanted, view, now)
    {
        observed.verified = Some(settled.at);
        observed.facts.native = settled.native.map_or(NativeSecretState::Unread, |native| {
            NativeSecretState::Present(as_wanted(&native))
        });
        observed.facts.stored =
            StoredSecretState::Live(stored_secret(ctx, observed, view, Differences::default(), None).await?);
        return Ok(());
    }
    if !idle {
        if let Some(view) = &live {
            open(ctx, observed, view).await?;
        }
        if look == NativeCheck::Thorough || !know_native(ctx, observed, &wanted, live.as_ref(), now) {
            observed.was_settled = live.as_ref().is_some_and(|view| {
                ctx.cluster
                    .was_settled(&observed.identity, view.current_id().map(VersionId::as_str))
            });
            read_native(ctx, observed, &wanted, live.as_ref(), look).await?;
        }
        read_import(ctx, observed, &wanted, live.as_ref()).await?;
    }
    let (differences, unrenderable) = judge_value(ctx, observed).await?;
    observed.facts.stored = judged(ctx, observed, differences, unrenderable).await?;
    if let (StoredSecretState::Live(secret), Some((version, _))) = (&observed.facts.stored, &observed.current)
        && secret.differences.is_empty()
        && secret.unrenderable.is_none()
        && let Some(native) = as_it_should_be(observed, &wanted, secret)
    {
        observed.verified = Some(now);
        let settled = SettledState {
            generation: observed.identity.generation,
            version: version.as_str().into(),
            native,
            adopted: observed.desired.as_ref().is_some_and(RenderedSecret::adopted),
            at: now,
        };
        ctx.cluster.settle(&observed.identity.uid, settled);
    }
    Ok(())
}

/// What the store holds, in the terms of the rules.
async fn judged(
    ctx: &Ctx,
    observed: &ObservedSecret,
    differences: Differences,
    unrenderable: Option<InvalidSpec>,
) -> Result<StoredSecretState, Failure> {
    let Some(view) = &observed.view else {
        return Ok(StoredSecretState::Absent);
    };
    let secret = stored_secret(ctx, observed, view, differences, unrenderable).await?;
    Ok(match view.until() {
        None => StoredSecretState::Live(secret),
        Some(until) => StoredSecretState::InRecoveryWindow {
            secret,
            until: timestamp(until),
        },
    })
}

/// The state in which the object was last found right, if nothing speaks against it.
fn settled(
    ctx: &Ctx,
    observed: &ObservedSecret,
    wanted: &DesiredState,
    view: &SecretView,
    now: Timestamp,
) -> Option<SettledState> {
    let target = wanted.native.as_ref().map(|native| native.name.as_str());
    if view.materialized.as_ref().map(|native| native.name.as_str()) != target {
        return None;
    }
    let native = target.map(|name| (observed.identity.namespace.as_str(), name));
    ctx.cluster.is_settled(
        &observed.identity.uid,
        observed.identity.generation,
        view.current_id()?.as_str(),
        native,
        now,
    )
}

/// A native Secret that is known to be right without another look.
fn as_wanted(native: &NativeRevision) -> ObservedNativeSecret {
    ObservedNativeSecret {
        marked: true,
        ..ObservedNativeSecret::new(Uid::new(&*native.uid))
    }
}

/// `Some` when everything outside is as it should be: no native Secret is wanted and none is recorded, or
/// ours is right.
fn as_it_should_be(
    observed: &ObservedSecret,
    wanted: &DesiredState,
    secret: &StoredSecret,
) -> Option<Option<NativeRevision>> {
    match (
        &wanted.native,
        &secret.materialized,
        &observed.facts.native,
        &observed.native,
    ) {
        (None, None, _, _) => Some(None),
        (Some(target), Some(ours), NativeSecretState::Present(found), Some(native))
            if found.drift.is_none() && ours.uid == found.uid && ours.name == target.name =>
        {
            Some(Some(NativeRevision::from_object(native)))
        }
        _ => None,
    }
}

async fn open(ctx: &Ctx, observed: &mut ObservedSecret, view: &SecretView) -> Result<(), Failure> {
    let Some(version) = view.current_id() else {
        return Ok(());
    };
    let value = ctx.store.open(view.id, version).await?;
    observed.current = Some((version.clone(), value));
    Ok(())
}

/// How the current value differs from what is declared, and what the native Secret has to be.
async fn judge_value(
    ctx: &Ctx,
    observed: &mut ObservedSecret,
) -> Result<(Differences, Option<InvalidSpec>), Failure> {
    let none = Differences::default();
    let (Some((version, value)), Some(view)) = (&observed.current, &observed.view) else {
        return Ok((none, None));
    };
    if let SourceSpec::Generate(source) = &observed.object.spec.source {
        let record = value_generation::record(source, view, value);
        let differences = value_generation::differences(source, value, &record);
        if !differences.is_empty() {
            return Ok((differences, None));
        }
    }
    let Some(spec) = &observed.object.spec.secret else {
        return Ok((none, None));
    };
    let whence = NativeSecretContext {
        name: observed.object.name_any(),
        namespace: observed.object.namespace().unwrap_or_default(),
        id: view.id,
        version: version.to_string(),
    };
    let desired = if native::takes_long(&observed.object) {
        let spec = spec.clone();
        let Some((version, value)) = observed.current.take() else {
            return Ok((none, None));
        };
        let work = move || {
            let desired = native::render(&spec, &value, whence);
            (desired, value)
        };
        let done = ctx.work(&observed.identity.namespace, work).await;
        let (desired, value) = done.map_err(Failure::not_done)?;
        observed.current = Some((version, value));
        desired
    } else {
        native::render(spec, value, whence)
    };
    let mut desired = match desired {
        Ok(desired) => desired,
        Err(invalid) => return Ok((none, Some(invalid))),
    };
    if let (NativeSecretState::Present(found), Some(native)) = (&mut observed.facts.native, &observed.native)
    {
        if found.recorded || native.annotations().contains_key(ADOPTED_ANNOTATION) || adopts(&observed.object)
        {
            desired.adopt(&observed.object, native);
        }
        found.drift = desired.drift(native);
        found.edits = desired.edits(native, observed.was_settled);
        let left = desired.differences(native);
        found.mutated.retain(|key| left.contains(key));
        found.fixed = desired.immutable_fields(native);
    }
    observed.desired = Some(desired);
    Ok((none, None))
}

/// Whether the object names its native Secret as the one to import, too.
fn adopts(object: &ManagedSecret) -> bool {
    match (&object.spec.source, &object.spec.secret) {
        (SourceSpec::Import(source), Some(native)) => source.secret_ref.name == native.name,
        _ => false,
    }
}

/// Takes a native Secret as it is known, where nothing but the stored secret has changed since it was found
/// right: then it holds what was current before. The write carries the state that is known, so that a change
/// which no watch has told yet is met there.
fn know_native(
    ctx: &Ctx,
    observed: &mut ObservedSecret,
    wanted: &DesiredState,
    live: Option<&SecretView>,
    now: Timestamp,
) -> bool {
    let (Some(target), Some(view), Some((version, _))) = (&wanted.native, live, &observed.current) else {
        return false;
    };
    let immutable = observed
        .object
        .spec
        .secret
        .as_ref()
        .is_some_and(|native| native.immutable == Some(true));
    if immutable
        || adopts(&observed.object)
        || view.materialized.as_ref().map(|native| &native.name) != Some(&target.name)
        || matches!(observed.facts.object.recorded, RecordedSecretId::Unknown(_))
    {
        return false;
    }
    let identity = &observed.identity;
    let place = Some((identity.namespace.as_str(), target.name.as_str()));
    let known = ctx
        .cluster
        .unchanged(&identity.uid, identity.generation, place, now)
        .filter(|settled| *settled.version != *version.as_str() && !settled.adopted)
        .and_then(|settled| settled.native)
        .filter(|native| {
            view.materialized
                .as_ref()
                .is_some_and(|ours| *ours.uid.as_str() == *native.uid)
        });
    let Some(native) = known else { return false };
    observed.facts.native = NativeSecretState::Present(ObservedNativeSecret {
        drift: Some(Drift::Content),
        ..as_wanted(&native)
    });
    observed.over = Some(native);
    true
}

async fn read_native(
    ctx: &Ctx,
    observed: &mut ObservedSecret,
    wanted: &DesiredState,
    live: Option<&SecretView>,
    look: NativeCheck,
) -> Result<(), Failure> {
    let Some(target) = &wanted.native else {
        return Ok(());
    };
    let lost = matches!(observed.facts.object.recorded, RecordedSecretId::Unknown(_));
    let adopts = matches!(&wanted.source, ValueSource::Import { secret } if *secret == target.name);
    let known = live.is_some_and(|view| view.materialized.is_some());
    // For a Secret that was never written, a plain create tells as much as a read.
    let needed = look == NativeCheck::Thorough || lost || known || (adopts && live.is_some());
    if !needed {
        return Ok(());
    }
    let identity = observed.identity.clone();
    let (namespace, owner) = (&identity.namespace, &identity.name);
    let ours = live.and_then(|view| view.materialized.as_ref());
    let of_this_name = ours.filter(|ours| ours.name == target.name);
    let since = of_this_name.map(|_| ctx.cluster.announce_native(namespace, &target.name, owner));
    if of_this_name.is_none() {
        // Before the read, so that it is told if what is read there goes.
        ctx.cluster.await_native(namespace, owner, &target.name);
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    let Some(found) = api.get_opt(&target.name).await? else {
        observed.facts.native = NativeSecretState::Absent;
        return Ok(());
    };
    let marked = live.is_some_and(|view| native::marked_secret_id(&found) == Some(view.id));
    let recorded = live.is_some_and(|view| view.has_version(&import::version(view.id, &found)));
    let uid = found.uid().unwrap_or_default();
    let is_ours = of_this_name.is_some_and(|ours| ours.uid.as_str() == uid);
    match since {
        Some(since) if is_ours => {
            let revision = NativeRevision::from_object(&found);
            ctx.cluster
                .saw_native(namespace, &target.name, (owner.as_str(), since), revision);
        }
        Some(_) => ctx.cluster.forget_native_of(namespace, &target.name, owner),
        None => {}
    }
    let other = if is_ours || marked {
        None
    } else {
        holder::held_by_another(ctx, &identity, &found).await?
    };
    let elsewhere = ours.filter(|ours| ours.name != target.name);
    let contest = ctx.contests.get(&identity.uid).filter(|_| is_ours);
    observed.facts.native = NativeSecretState::Present(ObservedNativeSecret {
        drift: Some(Drift::Content),
        marked,
        recorded,
        held: found.annotations().contains_key(HELD_ANNOTATION),
        immutable: found.immutable == Some(true),
        terminating: found
            .metadata
            .deletion_timestamp
            .is_some()
            .then(|| found.finalizers().to_vec()),
        holder: other.map(|other| {
            let ours = elsewhere.map(|ours| ours.name.as_str());
            holder::holder(ctx, &identity, (&other, target.name.as_str()), ours)
        }),
        repair_from: contest.as_ref().map(|contest| contest.repairs.next()),
        mutated: contest.map(|contest| contest.mutated).unwrap_or_default(),
        ..ObservedNativeSecret::new(Uid::new(uid))
    });
    observed.over = Some(NativeRevision::from_object(&found));
    observed.native = Some(found);
    Ok(())
}

async fn read_import(
    ctx: &Ctx,
    observed: &mut ObservedSecret,
    wanted: &DesiredState,
    live: Option<&SecretView>,
) -> Result<(), Failure> {
    let ValueSource::Import { secret } = &wanted.source else {
        return Ok(());
    };
    let adopts = wanted
        .native
        .as_ref()
        .is_some_and(|native| native.name == *secret);
    let needed = match live {
        None => true,
        Some(view) => {
            let ours = view.materialized.as_ref();
            adopts && ours.is_none_or(|ours| ours.name != *secret)
        }
    };
    if !needed || observed.view.as_ref().is_some_and(|view| !view.is_live()) {
        return Ok(());
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &observed.identity.namespace);
    let Some(found) = api.get_opt(secret).await? else {
        observed.facts.import = ImportState::Absent;
        return Ok(());
    };
    let content = import::content(ctx, &observed.identity, found).await?;
    observed.facts.import = ImportState::Present {
        refusal: content.refusal.clone(),
    };
    observed.import = Some(content);
    Ok(())
}

/// The secret in the terms of the rules.
async fn stored_secret(
    ctx: &Ctx,
    observed: &ObservedSecret,
    view: &SecretView,
    differences: Differences,
    unrenderable: Option<InvalidSpec>,
) -> Result<StoredSecret, Failure> {
    let owner = match &view.object {
        None => Owner::Nobody,
        Some(object) if object.uid.as_str() == observed.identity.uid => Owner::ThisObject,
        Some(object) => {
            let reference = ObjectRef::new(&object.name).within(&observed.identity.namespace);
            match ctx.managed_secrets.get(&reference) {
                Some(other) if other.uid().as_deref() == Some(object.uid.as_str()) => {
                    Owner::Rival(object.name.clone())
                }
                _ => Owner::GoneObject,
            }
        }
    };
    Ok(StoredSecret {
        id: view.id.to_string(),
        owner,
        labels: view.labels.clone(),
        description: view.description.clone(),
        other_key: view.key.customer() != observed.key,
        new_readers: observed.object.spec.readers.is_some()
            && view
                .object
                .as_ref()
                .is_none_or(|object| object.name != observed.identity.name),
        retained: secret_labels::deletion(&view.labels) == secret_labels::Deletion::Retain,
        differences,
        unrenderable,
        materialized: view.materialized.as_ref().map(|native| NativeSecretRef {
            name: native.name.clone(),
            uid: Uid::new(native.uid.as_str()),
        }),
        former: labels::former_natives(&view.labels)
            .find(|former| {
                view.materialized
                    .as_ref()
                    .is_none_or(|ours| ours.uid != former.uid)
            })
            .map(|native| NativeSecretRef {
                name: native.name,
                uid: Uid::new(native.uid.as_str()),
            }),
    })
}
