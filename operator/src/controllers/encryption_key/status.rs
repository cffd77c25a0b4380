//! The status of an `EncryptionKey`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use strongroom_crds::v1alpha1::{EncryptionKey, EncryptionKeyState, EncryptionKeyStatus};
use strongroom_rules::encryption_key::KeyPlan;
use strongroom_rules::object::{ReadySummary, ready_conditions};
use strongroom_store::vault::KeyState;

use super::observe::ObservedKey;
use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;
use crate::controllers::runtime::status_writer::{self, StatusSubject, time};
use crate::store_handle::timestamp;

/// Seconds to which the last use is told: each read would be a write otherwise.
const USED_STEP: i64 = 3_600;

/// Writes how an attempt ended.
pub(super) async fn report(
    ctx: &Ctx,
    object: &EncryptionKey,
    identity: &Identity,
    outcome: &Result<(ObservedKey, KeyPlan), Failure>,
    now: Timestamp,
) -> Result<(), Failure> {
    let before = object.status.clone().unwrap_or_default();
    let (standing, known) = match outcome {
        Ok((observed, plan)) => match plan.verdict.ready_summary(observed.usage.secrets) {
            Some(standing) => (standing, described(ctx, &before, observed, plan)),
            None => return Ok(()),
        },
        Err(failure) => (
            ReadySummary::failed(failure.reason(), failure.to_string()),
            before.clone(),
        ),
    };
    write(ctx, identity, &before, &standing, known, now).await
}

/// Writes why nothing is done for the object, of which nothing else is known.
pub(super) async fn not_reconciled(
    ctx: &Ctx,
    kept: &CachedObject<EncryptionKey>,
    standing: &ReadySummary,
    now: Timestamp,
) -> Result<(), Failure> {
    let identity = &Identity::from_object(kept);
    let before: EncryptionKeyStatus = kept.status().unwrap_or_default();
    write(ctx, identity, &before, standing, before.clone(), now).await
}

async fn write(
    ctx: &Ctx,
    identity: &Identity,
    before: &EncryptionKeyStatus,
    standing: &ReadySummary,
    known: EncryptionKeyStatus,
    now: Timestamp,
) -> Result<(), Failure> {
    let conditions = ready_conditions(standing, Some(identity.generation), now);
    let status = EncryptionKeyStatus {
        observed_generation: Some(identity.generation),
        conditions: status_writer::conditions(&before.conditions, conditions),
        ..known
    };
    let subject = StatusSubject {
        namespace: &identity.namespace,
        name: &identity.name,
        uid: &identity.uid,
    };
    status_writer::write::<EncryptionKey, _>(&ctx.client, subject, before, &status).await?;
    Ok(())
}

/// What the store says about the key.
fn described(
    ctx: &Ctx,
    before: &EncryptionKeyStatus,
    observed: &ObservedKey,
    plan: &KeyPlan,
) -> EncryptionKeyStatus {
    let Some(key) = &observed.key else {
        return EncryptionKeyStatus {
            conditions: before.conditions.clone(),
            ..EncryptionKeyStatus::default()
        };
    };
    let count = |count: u64| Some(i64::try_from(count).unwrap_or(i64::MAX));
    let used = ctx.store.key_last_used(key.id).map(hour);
    // A use that an earlier process saw is known from the status alone.
    let same = before.key_id.as_deref() == Some(key.id.to_string().as_str());
    let used_before = before.last_used.as_ref().filter(|_| same).map(|time| time.0);
    EncryptionKeyStatus {
        key_id: Some(key.id.to_string()),
        state: match key.state {
            KeyState::Enabled => Some(EncryptionKeyState::Enabled),
            KeyState::Disabled => Some(EncryptionKeyState::Disabled),
            KeyState::PendingDeletion { .. } => Some(EncryptionKeyState::PendingDeletion),
            KeyState::Destroyed => None,
        },
        primary_version: Some(key.primary.into()),
        secrets: count(observed.usage.secrets),
        secret_versions: count(observed.usage.versions),
        rewrap_pending: count(observed.usage.waiting),
        last_rotation: (key.primary > 1).then(|| time(timestamp(key.primary_created))),
        next_rotation: plan.next_rotation.map(time),
        last_used: used.max(used_before).map(Time),
        ..EncryptionKeyStatus::default()
    }
}

/// The hour that a time lies in.
fn hour(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(USED_STEP)).unwrap_or(at)
}
