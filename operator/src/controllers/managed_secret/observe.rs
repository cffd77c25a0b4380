//! All reading for one `ManagedSecret`: the cluster, the store, the native Secret. What comes out is the
//! facts to decide on, and what a step will need beside them. It changes nothing but what is remembered of
//! the cluster.

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use strongroom_crds::annotation;
use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::{ManagedSecret, ManagedSecretSpec, Source as SourceSpec};
use strongroom_model::PRODUCT_SEPARATOR;
use strongroom_model::id::SecretId;
use strongroom_model::name::{SecretName, VersionId};
use strongroom_rules::generate::Differences;
use strongroom_rules::managed_secret::facts::{
    DesiredNative, DesiredState, ImportState, InvalidSpec, NativeSecretState, ObjectFacts, RecordedSecretId,
    SecretFacts, StoredSecretState, ValueSource,
};
use strongroom_rules::native_secret::ADOPTED_ANNOTATION;
use strongroom_rules::object::NamespaceBinding;
use strongroom_rules::rotation::{Coverage, RotateNow, RotationRefusal, immutable};
use strongroom_rules::uid::Uid;
use strongroom_store::vault::SecretView;

use super::native::{self, NativeSecretContext, RenderedSecret};
use super::native_read::{
    adopts, as_it_should_be, as_wanted, know_native, read_import, read_native, settled,
};
use super::observed_secret::ObservedSecret;
use super::stored_facts::{judged, stored_secret};
use super::{NativeCheck, certificate, key_check, product, rotation, sealed, value_generation};
use crate::controllers::Ctx;
use crate::controllers::cluster::SettledState;
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;
use crate::controllers::namespace::namespace_facts;
use crate::secret_labels;

/// Reads everything. `settled`: all that the object declares was done, as far as this process knows.
pub(super) async fn observe(
    ctx: &Ctx,
    object: &ManagedSecret,
    identity: &Identity,
    (look, settled): (NativeCheck, bool),
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
            wanted: desired(ctx, object, identity),
            namespace,
            stored: StoredSecretState::Absent,
            native: NativeSecretState::Unread,
            import: ImportState::Unread,
            rotation: Coverage::None,
            certificate: None,
            product: None,
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
    if let Ok(wanted) = &observed.facts.wanted
        && wanted.store_name.contains(PRODUCT_SEPARATOR)
    {
        let name = SecretName::new(&wanted.store_name).map_err(|error| Failure::Name(error.to_string()))?;
        // It always has its window.
        observed.facts.object.purge = None;
        product::observe(ctx, &mut observed, &name, settled, now).await?;
    }
    observed.facts.object.recorded = recorded(ctx, object, observed.view.as_ref()).await?;
    content(ctx, &mut observed, look, now).await?;
    value_generation::observe(&mut observed);
    rotation::observe(ctx, &mut observed, now)?;
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
fn desired(ctx: &Ctx, object: &ManagedSecret, identity: &Identity) -> Result<DesiredState, InvalidSpec> {
    let spec = &object.spec;
    reserved(ctx, spec, identity).map_or(Ok(()), Err)?;
    let labels = secret_labels::desired(spec, object.labels());
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
        retain: secret_labels::deletion(&labels) == secret_labels::Deletion::Retain,
        labels,
        description: spec.description.clone().unwrap_or_default(),
        suspend: spec.suspend.unwrap_or(false),
    })
}

/// Why the spec has nothing to say about a native Secret that the process itself lives on, if it names one.
fn reserved(ctx: &Ctx, spec: &ManagedSecretSpec, identity: &Identity) -> Option<InvalidSpec> {
    if identity.namespace != ctx.options.own_namespace {
        return None;
    }
    let imported = match &spec.source {
        SourceSpec::Import(source) => Some(("spec.source.import.secretRef.name", &source.secret_ref.name)),
        SourceSpec::Generate(_) | SourceSpec::External(_) | SourceSpec::Sealed(_) => None,
    };
    let written = spec
        .secret
        .as_ref()
        .map(|native| ("spec.secret.name", &native.name));
    let (field, name) = written
        .into_iter()
        .chain(imported)
        .find(|(_, name)| ctx.options.reserved_secrets.contains(name))?;
    Some(InvalidSpec {
        reason: Reason::TargetReserved,
        field: field.to_owned(),
        problem: format!("strongroom itself needs the Secret `{name}`; name another one"),
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
        || observed.facts.product.is_some()
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
    let context = NativeSecretContext {
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
            let desired = native::render(&spec, &value, context);
            (desired, value)
        };
        let done = ctx.work(&observed.identity.namespace, work).await;
        let (desired, value) = done.map_err(Failure::not_done)?;
        observed.current = Some((version, value));
        desired
    } else {
        native::render(spec, value, context)
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
