//! The rotation of a secret: who covers it, what people ask for by the annotation
//! `strongroom.dev/rotate-now`, and the steps of `strongroom_rules::rotation`, carried out.

use jiff::Timestamp;
use kube::ResourceExt;
use strongroom_crds::annotation::ROTATE_NOW;
use strongroom_crds::v1alpha1::{GenerateSource, KeySource};
use strongroom_rules::rotation::{
    self, ClaimWinner, RotateNow, RotationRequest, RotationRequester, RotationStep, RotationTrigger,
};
use strongroom_store::vault::{EnsureVersion, RotationMark};

use super::new_version::{current_value, used, version_id};
use super::observed_secret::ObservedSecret;
use super::prepare::VersionTarget;
use super::{labels, value_generation};
use crate::controllers::failure::Failure;
use crate::controllers::{Ctx, coverage};
use crate::rotation::find_rotator;
use crate::store_handle::store_time;

/// The schedule that covers the object, and the rotation that somebody asks for and that was not done yet.
///
/// What was asked before the secret existed is done: its value is as new as can be.
///
/// # Errors
/// Those of [`coverage::winner_for`], of an object that stays.
pub(super) fn observe(ctx: &Ctx, observed: &mut ObservedSecret, now: Timestamp) -> Result<(), Failure> {
    let view = observed.view.as_ref();
    let namespace = &observed.identity.namespace;
    // Of what goes no product is asked.
    let winner = if observed.facts.object.leaving || observed.facts.namespace.terminating {
        ctx.coverage.winner(namespace, &observed.identity.name)
    } else {
        coverage::winner_for(ctx, namespace, &observed.object)?
    };
    observed.facts.rotation = coverage::coverage(&winner, &observed.object, view, now);
    observed.schedule = match winner {
        ClaimWinner::One(schedule) => Some(schedule),
        ClaimWinner::Nobody | ClaimWinner::Conflict(_) => None,
    };
    let Ok(wanted) = &mut observed.facts.wanted else {
        return Ok(());
    };
    if let Some(view) = view {
        labels::keep_former_natives(&mut wanted.labels, &view.labels);
    }
    // Whether a schedule asks is not known where none counts.
    let schedule = observed.schedule.as_ref();
    let annotations = [
        (
            RotationRequester::Object,
            Some(observed.object.annotations().get(ROTATE_NOW)),
        ),
        (
            RotationRequester::Schedule,
            schedule.map(|schedule| schedule.annotations().get(ROTATE_NOW)),
        ),
    ];
    let mut requests = Vec::new();
    for (requester, asked) in annotations {
        let text = asked.map(|text| text.filter(|text| !text.is_empty()));
        let Some(view) = view else {
            if let Some(text) = text.flatten() {
                rotation::record(&mut wanted.labels, requester, text);
            }
            continue;
        };
        if text != Some(None) {
            rotation::keep_record(&mut wanted.labels, &view.labels, requester);
        }
        if let Some(text) = text.flatten() {
            let stored = (view.id.as_bytes(), &view.labels);
            let has_version = |id: &str| view.has_version(id);
            requests.push(RotationRequest::new(
                (requester, text.as_str()),
                stored,
                has_version,
            ));
        }
    }
    (observed.facts.object.rotate_now, observed.requesters) = RotateNow::from_requests(requests);
    Ok(())
}

/// Carries out one step.
pub(super) async fn take(
    ctx: &Ctx,
    observed: &ObservedSecret,
    target: VersionTarget<'_>,
    source: &GenerateSource,
    step: &RotationStep,
    now: Timestamp,
) -> Result<(), Failure> {
    match step {
        RotationStep::Promote(trigger) => promote(ctx, observed, target, source, trigger, now).await,
    }
}

/// Makes the version of this trigger by the rotator, and makes it current, in one commit.
async fn promote(
    ctx: &Ctx,
    observed: &ObservedSecret,
    target: VersionTarget<'_>,
    source: &GenerateSource,
    trigger: &RotationTrigger,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut opened = None;
    let current = current_value(ctx, observed, target, &mut opened).await?;
    let VersionTarget { record, wanted, base } = target;
    let mut labels = wanted.labels.clone();
    let rotator = find_rotator(observed.schedule.as_ref().map(|schedule| &schedule.spec.rotator));
    let by_person = matches!(trigger, RotationTrigger::Asked(_));
    // What a person asks for applies changed generators as well: the condition says so.
    let again = |name: &str, source: &KeySource| {
        rotator.makes_anew(name, source)
            || (by_person && observed.changed_generators.iter().any(|changed| changed == name))
    };
    // What is made by another generator than the one before is a larger value, where it is larger.
    let applies_changes = value_generation::changes_generators(source, &observed.changed_generators, again);
    let made = value_generation::next(ctx, observed, source, (record, current), again, now).await?;
    let asked = match trigger {
        RotationTrigger::Due { .. } => None,
        RotationTrigger::Asked(text) => {
            for requester in &observed.requesters {
                rotation::record(&mut labels, *requester, text);
            }
            Some(text.clone())
        }
    };
    labels::record_generators(&mut labels, &made.record);
    let new = EnsureVersion {
        secret: record.id,
        version: version_id(&trigger.cause().version_id(record.id.as_bytes()))?,
        value: made.value,
        base: Some(base.clone()),
        may_grow: !applies_changes,
        rotation: Some(RotationMark {
            at: store_time(now),
            trigger: asked,
        }),
        labels: Some(labels),
    };
    ctx.store.ensure(new).await?;
    used(ctx, observed);
    Ok(())
}
