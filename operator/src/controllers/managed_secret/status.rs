//! The status of a `ManagedSecret`: what is known of its secret, never a value or a hash of one.

use jiff::{SignedDuration, Timestamp};
use strongroom_crds::condition::ConditionType;
use strongroom_crds::v1alpha1::{
    FormerVersion, ManagedSecret, ManagedSecretStatus, NativeSecretStatus, PendingDeletion, VersionStatus,
};
use strongroom_model::name::VersionId;
use strongroom_rules::managed_secret::certificate_condition::{certificate_condition, ended_condition};
use strongroom_rules::managed_secret::conditions::{generator_condition, rotation_condition, seal_condition};
use strongroom_rules::managed_secret::plan::SecretPlan;
use strongroom_rules::managed_secret::verdict::{SecretBlocker, SecretVerdict};
use strongroom_rules::object::{ReadySummary, ready_conditions};
use strongroom_rules::rotation::{Coverage, RotationState};
use strongroom_store::vault::SecretView;

use super::observed_secret::{ObservedSecret, SealedFor};
use super::{certificate, consumers, holder};
use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;
use crate::controllers::runtime::expected_status::StatusWrite;
use crate::controllers::runtime::status_writer::{self, StatusSubject, time};
use crate::store_handle::timestamp;

/// A newer time of verification alone is worth a write only after so long.
const VERIFIED_STEP: SignedDuration = SignedDuration::from_hours(1);
/// How many versions the status lists, the newest first.
const MAX_VERSIONS: usize = 10;

/// How many versions of a native Secret's past are kept.
const MAX_FORMER_VERSIONS: usize = 8;

/// Writes how an attempt ended. Answers when consumers have another version than now without anything being
/// told.
pub(super) async fn report(
    ctx: &Ctx,
    object: &ManagedSecret,
    identity: &Identity,
    outcome: &Result<(ObservedSecret, SecretPlan), Failure>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let before = before(ctx, identity, || object.status.clone());
    let mut settles = None;
    let status = match outcome {
        Ok((observed, plan)) => match succeeded(&before, observed, plan, identity, now) {
            Some(mut status) => {
                if let Some(view) = own(observed, identity) {
                    let native = object.spec.secret.as_ref();
                    let immutable = native.is_some_and(|native| native.immutable == Some(true));
                    settles = consumers::count(ctx, &mut status, &before, view, (identity, immutable), now);
                    certificate::counted(ctx, identity, view, &status);
                }
                status
            }
            None => return Ok(None),
        },
        Err(failure) => failed(&before, failure, identity, now),
    };
    write(ctx, identity, &before, &status).await?;
    if let Ok((_, plan)) = outcome
        && let SecretVerdict::Blocked(SecretBlocker::TargetNotOwned {
            name,
            holder: Some(holder),
        }) = &plan.verdict
        && !holder.gives_up
        && ready(&before) != ready(&status)
    {
        holder::tell(ctx, identity, holder, name).await;
    }
    certificate::tell(ctx, identity, &before, &status).await;
    Ok(settles)
}

/// What is said of the object as a whole.
fn ready(status: &ManagedSecretStatus) -> Option<&str> {
    let mut conditions = status.conditions.iter();
    let ready = conditions.find(|condition| condition.type_ == ConditionType::Ready.as_str())?;
    Some(&ready.message)
}

/// The live secret of the object.
fn own<'a>(observed: &'a ObservedSecret, identity: &Identity) -> Option<&'a SecretView> {
    let live = observed.view.as_ref().filter(|view| view.is_live());
    live.filter(|view| {
        view.object
            .as_ref()
            .is_some_and(|object| object.uid.as_str() == identity.uid)
    })
}

/// Writes why nothing is done for the object, of which nothing else is known.
pub(super) async fn not_reconciled(
    ctx: &Ctx,
    kept: &CachedObject<ManagedSecret>,
    standing: &ReadySummary,
    now: Timestamp,
) -> Result<(), Failure> {
    let identity = &Identity::from_object(kept);
    let before = before(ctx, identity, || kept.status());
    let conditions = ready_conditions(standing, Some(identity.generation), now);
    let status = ManagedSecretStatus {
        observed_generation: Some(identity.generation),
        conditions: status_writer::conditions(&before.conditions, conditions),
        ..before.clone()
    };
    write(ctx, identity, &before, &status).await
}

/// The status that the object has: what was last written to it, or else what the cache says.
fn before(
    ctx: &Ctx,
    identity: &Identity,
    cached: impl FnOnce() -> Option<ManagedSecretStatus>,
) -> ManagedSecretStatus {
    ctx.expected_status
        .current(&identity.uid, &identity.resource_version)
        .or_else(cached)
        .unwrap_or_default()
}

async fn write(
    ctx: &Ctx,
    identity: &Identity,
    before: &ManagedSecretStatus,
    status: &ManagedSecretStatus,
) -> Result<(), Failure> {
    let subject = StatusSubject {
        namespace: &identity.namespace,
        name: &identity.name,
        uid: &identity.uid,
    };
    if before == status {
        return Ok(());
    }
    let over = StatusWrite {
        version: identity.resource_version.as_str().into(),
        status: status.clone(),
    };
    ctx.expected_status.record_write(&identity.uid, over);
    match status_writer::write::<ManagedSecret, _>(&ctx.client, subject, before, status).await {
        Ok(Some(_)) => {
            ctx.metrics.status_writes.inc();
        }
        Ok(None) => ctx.expected_status.forget(&identity.uid),
        Err(error) => {
            ctx.expected_status.forget(&identity.uid);
            return Err(error.into());
        }
    }
    Ok(())
}

/// The status after an attempt that came to its end; `None` when nothing is to be said.
fn succeeded(
    before: &ManagedSecretStatus,
    observed: &ObservedSecret,
    plan: &SecretPlan,
    identity: &Identity,
    now: Timestamp,
) -> Option<ManagedSecretStatus> {
    let standing = ReadySummary::from_verdict(&plan.verdict)?;
    let generation = Some(identity.generation);
    let own = own(observed, identity);
    let rotated = own.and_then(|view| view.rotation.last).map(timestamp);
    let mut conditions = ready_conditions(&standing, generation, now);
    let rotate_now = &observed.facts.object.rotate_now;
    conditions.extend(rotation_condition(
        &plan.rotation,
        rotate_now,
        rotated,
        generation,
        now,
    ));
    let not_rotatable = observed
        .facts
        .wanted
        .as_ref()
        .ok()
        .and_then(|wanted| wanted.not_rotatable.as_ref());
    conditions.extend(generator_condition(
        &observed.changed_generators,
        not_rotatable,
        (&identity.namespace, &identity.name),
        identity.generation,
        now,
    ));
    if let Some(SealedFor { ids, newest }) = &observed.sealed_for {
        conditions.extend(seal_condition(ids, newest.as_deref(), generation, now));
    }
    let certificate = certificate::status(observed, now);
    if let Some(facts) = &observed.facts.certificate {
        let (object, schedule) = (&observed.facts.object.uid, &observed.facts.rotation);
        conditions.push(certificate_condition(facts, object, schedule, generation, now));
    }
    let renewal = certificate
        .as_ref()
        .and_then(|certificate| certificate.renewal_time.clone());
    let mut status = ManagedSecretStatus {
        observed_generation: generation,
        conditions: status_writer::conditions(&before.conditions, conditions),
        sealed_for: observed
            .sealed_for
            .iter()
            .flat_map(|sealed| sealed.ids.iter().cloned())
            .collect(),
        next_rotation: plan.rotation.next().map(time).into_iter().chain(renewal).min(),
        certificate,
        rotation_schedule: match (&observed.facts.rotation, &plan.rotation) {
            (_, RotationState::Impossible(_)) => None,
            (Coverage::One(covering), _) => Some(covering.name.clone()),
            (Coverage::None | Coverage::Conflict(_), _) => None,
        },
        pending_deletion: observed.view.as_ref().and_then(|view| {
            let until = time(timestamp(view.until()?));
            Some(PendingDeletion {
                secret_id: view.id.to_string(),
                until,
            })
        }),
        ..ManagedSecretStatus::default()
    };
    match own {
        Some(view) => {
            let keeps = matches!(
                plan.verdict,
                SecretVerdict::Blocked(SecretBlocker::ImmutableContent { .. })
            );
            describe(&mut status, before, (view, keeps), now);
        }
        // The id that the store does not know stays: it is what a restored backup is recognised by.
        None => status.secret_id.clone_from(&before.secret_id),
    }
    status.last_verified = verified(before, observed, own.is_some());
    Some(status)
}

/// What the store says about the secret. `keeps`: the native Secret keeps what it held before, whatever is
/// current.
fn describe(
    status: &mut ManagedSecretStatus,
    before: &ManagedSecretStatus,
    (view, keeps): (&SecretView, bool),
    now: Timestamp,
) {
    status.secret_id = Some(view.id.to_string());
    status.stages = view
        .stages
        .iter()
        .map(|(stage, id)| (stage.to_string(), id.to_string()))
        .collect();
    status.versions = view
        .versions
        .iter()
        .rev()
        .take(MAX_VERSIONS)
        .map(|version| VersionStatus {
            id: version.id.to_string(),
            seq: version.sequence.into(),
            created: time(timestamp(version.created)),
            stages: version.stages.iter().map(ToString::to_string).collect(),
        })
        .collect();
    status.last_rotation = view.rotation.last.map(timestamp).map(time);
    status.native_secret = view.materialized.as_ref().map(|native| {
        let kept = before.native_secret.as_ref();
        let kept = kept.filter(|kept| keeps && kept.uid == native.uid.as_str());
        let current = view.current_id().map_or("", VersionId::as_str);
        let version = kept.map_or(current, |kept| kept.version_id.as_str());
        NativeSecretStatus {
            name: native.name.clone(),
            uid: native.uid.to_string(),
            version_id: version.to_owned(),
            former: former(before, version, now),
        }
    });
}

/// What the native Secret held before. If the Secret was replaced, pods that started earlier still have what
/// the former one held.
fn former(before: &ManagedSecretStatus, current: &str, now: Timestamp) -> Vec<FormerVersion> {
    let before = before.native_secret.as_ref();
    let known = before.map(consumers::replaced_versions).unwrap_or_default();
    let held = before.map(|native| native.version_id.as_str());
    strongroom_rules::consumers::replaced_versions(known, held, current, now, MAX_FORMER_VERSIONS)
        .into_iter()
        .map(|former| FormerVersion {
            version_id: former.version,
            until: time(former.until),
        })
        .collect()
}

/// The time of the last verification; an older one is kept until it is worth a write.
fn verified(
    before: &ManagedSecretStatus,
    observed: &ObservedSecret,
    own: bool,
) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    let old = before.last_verified.clone();
    match (observed.verified.filter(|_| own), &old) {
        (Some(at), Some(old)) if at.duration_since(old.0) < VERIFIED_STEP => Some(old.clone()),
        (Some(at), _) => Some(time(at)),
        (None, _) => old,
    }
}

/// The status after an attempt that failed: what was known stays, and the conditions say what is wrong.
fn failed(
    before: &ManagedSecretStatus,
    failure: &Failure,
    identity: &Identity,
    now: Timestamp,
) -> ManagedSecretStatus {
    let standing = ReadySummary::failed(failure.reason(), failure.to_string());
    let mut conditions = ready_conditions(&standing, Some(identity.generation), now);
    let ended = before.certificate.as_ref().and_then(|certificate| {
        let (key, ends) = (&certificate.key, certificate.not_after.0);
        ended_condition(key, ends, Some(identity.generation), now)
    });
    // How the last rotation went, what the object is sealed for, what volumes show, and whether its
    // certificate is valid, is not changed by a failure of something else.
    conditions.extend(
        before
            .conditions
            .iter()
            .filter(|condition| match ConditionType::from_name(&condition.type_) {
                Some(
                    ConditionType::Rotated
                    | ConditionType::GeneratorCurrent
                    | ConditionType::SealCurrent
                    | ConditionType::Delivered,
                ) => true,
                Some(ConditionType::CertificateCurrent) => ended.is_none(),
                Some(
                    ConditionType::Ready
                    | ConditionType::Reconciling
                    | ConditionType::Stalled
                    | ConditionType::PrincipalsResolved
                    | ConditionType::QuotaAvailable,
                )
                | None => false,
            })
            .cloned(),
    );
    conditions.extend(ended);
    ManagedSecretStatus {
        observed_generation: Some(identity.generation),
        conditions: status_writer::conditions(&before.conditions, conditions),
        ..before.clone()
    }
}
