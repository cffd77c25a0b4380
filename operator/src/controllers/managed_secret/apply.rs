//! Carrying out one step. Everything that changes the store or the cluster for a `ManagedSecret` happens
//! here, and nothing is decided.

use jiff::Timestamp;
use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::SealedSource;
use strongroom_model::DefaultSecretName;
use strongroom_model::id::SecretId;
use strongroom_model::name::SecretName;
use strongroom_rules::cause::Cause;
use strongroom_rules::managed_secret::plan::{SecretStep, immutable_native};
use strongroom_rules::managed_secret::verdict::SecretBlocker;
use strongroom_store::vault::{CreateSecret, EnsureVersion, Recovery, SecretView};

use super::new_version::{current_value, used, version_id};
use super::observed_secret::ObservedSecret;
use super::prepare::{
    FirstVersion, PreparedChange, PreparedCreate, PreparedStep, PreparedVersion, StoredTarget, VersionTarget,
    prepare,
};
use super::{NativeCheck, import, labels, native_write, rotation, sealed, value_generation};
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::secret_labels;

/// Carries out `step`. Answers how closely to look next.
pub(super) async fn apply(
    ctx: &Ctx,
    observed: &ObservedSecret,
    step: &SecretStep,
    now: Timestamp,
) -> Result<NativeCheck, Failure> {
    let (namespace, uid) = (
        &observed.identity.namespace,
        observed.facts.namespace.uid.as_str(),
    );
    let step = prepare(observed, step).ok_or(Failure::Inconsistent)?;
    match step {
        PreparedStep::Nothing => {}
        PreparedStep::BindNamespace => ctx.store.bind_namespace(namespace, uid).await?,
        PreparedStep::AcceptNamespace => ctx.store.accept_namespace(namespace, uid).await?,
        PreparedStep::BindObject(record) => {
            ctx.store
                .bind_object(record.id, observed.identity.object_ref()?)
                .await?;
            // What it says of readers and delivery counts from now on.
            ctx.policies.notify_changed(namespace);
        }
        PreparedStep::Create(new) => create(ctx, observed, new, now).await?,
        PreparedStep::UpdateMetadata(StoredTarget { record, wanted }) => {
            let (labels, description) = (wanted.labels.clone(), wanted.description.clone());
            if record.recovery == Recovery::Nothing
                && secret_labels::recovery(&labels, true) == Recovery::Window
            {
                ctx.store.keep_window(record.id).await?;
            }
            ctx.store.update(record.id, labels, description).await?
        }
        PreparedStep::UpdateKey(record) => {
            ctx.store.come_under(record.id, observed.key).await?;
            used(ctx, observed);
            ctx.keys.rewrap();
        }
        PreparedStep::EnsureVersion(target, version) => ensure(ctx, observed, target, version, now).await?,
        PreparedStep::Rotate(target, source, step) => {
            rotation::take(ctx, observed, target, source, step, now).await?;
        }
        PreparedStep::TakeSealed(target, source) => take_sealed(ctx, observed, target, source).await?,
        PreparedStep::Restore(record) => ctx.store.restore(record.id).await?,
        PreparedStep::Purge(record) => ctx.store.purge(record.id).await?,
        PreparedStep::Native(target, step) => {
            return native_write::apply(ctx, observed, target, step, now).await;
        }
    }
    Ok(NativeCheck::Light)
}

async fn create(
    ctx: &Ctx,
    observed: &ObservedSecret,
    new: PreparedCreate<'_>,
    now: Timestamp,
) -> Result<(), Failure> {
    let PreparedCreate {
        namespace,
        wanted,
        first,
    } = new;
    let name = SecretName::new(&wanted.store_name).map_err(|error| Failure::Name(error.to_string()))?;
    // Before a key is made for nothing.
    let product = DefaultSecretName::split(&name).map_err(|error| Failure::Name(error.to_string()))?;
    match product {
        Some(_) => {
            let key = observed.key.into();
            ctx.store.product_has_room(namespace, &name, key).await?;
        }
        None => ctx.store.has_room(namespace).await?,
    }
    let id = SecretId::generate().map_err(|error| Failure::randomness(&error))?;
    let mut labels = wanted.labels.clone();
    let (version, value) = match first {
        FirstVersion::Generated(source) => {
            let made = value_generation::first(ctx, observed, source, now).await?;
            labels::record_generators(&mut labels, &made.record);
            (Cause::Create.version_id(id.as_bytes()), made.value)
        }
        FirstVersion::Imported(content, value) => (content.version(id), value),
        FirstVersion::Sealed(source) => {
            let cause = Cause::Sealed {
                declared: labels::sealed_digest(source),
                base: String::new(),
            };
            let value = sealed::value(ctx, observed, source, &wanted.store_name)?;
            (cause.version_id(id.as_bytes()), value)
        }
        FirstVersion::Readopted(found) => (import::version(id, found), import::readopted(found)?),
    };
    let new = CreateSecret {
        id,
        namespace,
        name: name.clone(),
        labels,
        description: wanted.description.clone(),
        key: observed.key.into(),
        object: Some(observed.identity.object_ref()?),
        recovery: secret_labels::recovery(&wanted.labels, keeps_nothing(ctx, observed)),
        version: version_id(&version)?,
        value,
    };
    ctx.store.create(new).await?;
    if let Some(product) = product {
        // Its status says how many there are.
        ctx.product_index.touch(product.code());
    }
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
    target: VersionTarget<'_>,
    version: PreparedVersion<'_>,
    now: Timestamp,
) -> Result<(), Failure> {
    let VersionTarget { record, wanted, base } = target;
    let mut opened = None;
    let current = current_value(ctx, observed, target, &mut opened).await?;
    let mut labels = wanted.labels.clone();
    let may_grow = matches!(version, PreparedVersion::Certificate(_));
    let (cause, made) = match version {
        PreparedVersion::SpecChanged(source) => {
            let before = (record, current);
            let made = value_generation::next(ctx, observed, source, before, |_, _| false, now).await?;
            (spec_cause(record, observed), Ok(made))
        }
        PreparedVersion::Imported(content, value) => (content.cause(), Err(value)),
        PreparedVersion::Certificate(certificate) => {
            let cause = Cause::Certificate {
                change: match certificate.change {
                    PreparedChange::Renew => "renew",
                    PreparedChange::SignAnew => "sign",
                    PreparedChange::FollowAuthority(_) => "follow",
                    PreparedChange::DropOldRoots => "roots",
                },
                base: base.to_string(),
                newest: record
                    .versions
                    .last()
                    .map_or(0, |version| version.sequence.into()),
            };
            let made =
                value_generation::certified(ctx, observed, certificate, (record, current), now).await?;
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
        secret: record.id,
        version: version_id(&cause.version_id(record.id.as_bytes()))?,
        value,
        base: Some(base.clone()),
        may_grow,
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
async fn take_sealed(
    ctx: &Ctx,
    observed: &ObservedSecret,
    target: VersionTarget<'_>,
    source: &SealedSource,
) -> Result<(), Failure> {
    let VersionTarget { record, wanted, base } = target;
    let declared = labels::sealed_digest(source);
    let value = sealed::value(ctx, observed, source, &wanted.store_name)?;
    let same = match &observed.current {
        Some((_, current)) => *current == value,
        None => ctx.store.open(record.id, base).await? == value,
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
            secret: record.id,
            version: version_id(&cause.version_id(record.id.as_bytes()))?,
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
        .update(record.id, labels, wanted.description.clone())
        .await?;
    Ok(())
}
