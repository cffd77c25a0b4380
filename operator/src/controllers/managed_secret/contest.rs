//! Native Secrets that somebody else, or mutating admission, changes: each time is counted, and told by an
//! Event.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::Resource;
use strongroom_rules::managed_secret::facts::NativeSecretState;
use strongroom_rules::native_secret::edits::{DriftedKey, DriftedKeys, Edit, Edits};
use strongroom_rules::native_secret::owners::Part;

use super::native::RenderedSecret;
use super::observed_secret::ObservedSecret;
use super::prepare::native_name;
use crate::controllers::Ctx;
use crate::kube::{EventMessage, EventReason};

/// A native Secret was written over. Where somebody else had changed it, or it came back other than it was
/// written, that is counted and told.
pub(super) async fn written(
    ctx: &Ctx,
    observed: &ObservedSecret,
    desired: &RenderedSecret,
    written: &Secret,
    now: Timestamp,
) {
    let uid = &observed.identity.uid;
    let NativeSecretState::Present(found) = &observed.facts.native else {
        return;
    };
    let mutated = desired.differences(written);
    if mutated.is_empty() {
        ctx.contests.clear_mutations(uid);
    }
    if mutated.is_empty() && found.edits.is_empty() {
        return;
    }
    if !mutated.is_empty() && found.mutated != mutated {
        tell_mutated(ctx, observed, &mutated).await;
    }
    ctx.contests.repaired(uid, mutated, now);
    if !found.edits.is_empty() {
        tell_edits(ctx, observed, &found.edits).await;
    }
}

/// A native Secret that somebody else had changed was made anew.
pub(super) async fn replaced(ctx: &Ctx, observed: &ObservedSecret, edits: &[Edit], now: Timestamp) {
    ctx.contests.repaired(&observed.identity.uid, Vec::new(), now);
    tell_edits(ctx, observed, edits).await;
}

/// What others changed, and that it was put back.
async fn tell_edits(ctx: &Ctx, observed: &ObservedSecret, edits: &[Edit]) {
    ctx.metrics.repaired(&observed.identity.namespace);
    let note = format!("{}; it was put back", Edits(edits));
    let place = edits.first().map(|edit| {
        let by = edit.manager.as_deref().unwrap_or_default();
        format!("{}{{{by}}}", field(&edit.key))
    });
    tell(
        ctx,
        observed,
        (EventReason::NativeSecretEdited, "Repair"),
        place,
        note,
    )
    .await;
}

/// What is not as it was written.
async fn tell_mutated(ctx: &Ctx, observed: &ObservedSecret, mutated: &[DriftedKey]) {
    let keys: Vec<&DriftedKey> = mutated.iter().collect();
    let note = format!("mutating admission of the cluster changes {}", DriftedKeys(&keys));
    let place = mutated.first().map(field);
    tell(
        ctx,
        observed,
        (EventReason::NativeSecretMutated, "Write"),
        place,
        note,
    )
    .await;
}

fn field(key: &DriftedKey) -> String {
    let map = match key.part {
        Part::Data => "data",
        Part::Labels => "metadata.labels",
        Part::Annotations => "metadata.annotations",
    };
    format!("{map}.{}", key.name)
}

/// An Event of the object. Events that differ in nothing but their text count as one and keep the first text,
/// so it also says in which place of the Secret.
async fn tell(
    ctx: &Ctx,
    observed: &ObservedSecret,
    (reason, action): (EventReason, &'static str),
    place: Option<String>,
    what: String,
) {
    let Some(name) = native_name(observed) else {
        return;
    };
    let identity = &observed.identity;
    tracing::warn!(
        namespace = identity.namespace,
        name = identity.name,
        secret = name,
        cause = what,
        "native Secret contested"
    );
    let message = EventMessage {
        reason,
        note: format!("Secret `{name}`: {what}"),
        action,
        secondary: Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Secret".to_owned()),
            name: Some(name.to_owned()),
            namespace: Some(identity.namespace.clone()),
            field_path: place,
            ..ObjectReference::default()
        }),
    };
    ctx.events.tell(message, &observed.object.object_ref(&())).await;
}
