//! What became of a policy, told by an Event when that changes.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use strongroom_crds::condition::{ConditionType, Reason};
use strongroom_crds::v1alpha1::{SecretPolicy, SecretPolicyStatus};

use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::kube::{EventMessage, EventReason};

/// Tells what is new in a status that was written.
pub(super) async fn tell(
    ctx: &Ctx,
    kept: &CachedObject<SecretPolicy>,
    before: &SecretPolicyStatus,
    status: &SecretPolicyStatus,
) {
    let Some((reason, note)) = news(before, status) else {
        return;
    };
    let regarding = kept.object_ref(&());
    let generation = status.observed_generation.unwrap_or_default();
    let message = EventMessage {
        // Events that differ in nothing but their text count as one and keep the first text.
        secondary: Some(ObjectReference {
            field_path: Some(format!("metadata.generation{{{generation}}}")),
            ..regarding.clone()
        }),
        ..EventMessage::new(reason, "Enforce", note)
    };
    ctx.events.tell(message, &regarding).await;
}

/// What is new in a status, in words.
fn news(before: &SecretPolicyStatus, status: &SecretPolicyStatus) -> Option<(EventReason, String)> {
    let now = ready(status)?;
    let is = |reason: Reason| now.reason == reason.as_str();
    let reason = if is(Reason::Ready) {
        EventReason::PolicyInForce
    } else if is(Reason::PolicyInvalid) {
        EventReason::PolicyInvalid
    } else if is(Reason::PolicyTooLarge) {
        EventReason::PolicyTooLarge
    } else {
        return None;
    };
    let same = ready(before).is_some_and(|was| was.reason == now.reason)
        && before.observed_generation == status.observed_generation;
    let generation = status.observed_generation.unwrap_or_default();
    (!same).then(|| (reason, format!("generation {generation}: {}", now.message)))
}

fn ready(status: &SecretPolicyStatus) -> Option<&Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == ConditionType::Ready.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(generation: i64, reason: &str) -> SecretPolicyStatus {
        serde_json::from_value(json!({
            "observedGeneration": generation,
            "conditions": [{"type": "Ready", "status": "True", "reason": reason, "message": reason.to_lowercase(),
                "lastTransitionTime": "2026-11-23T20:22:00Z"}],
        }))
        .unwrap()
    }

    #[test]
    fn each_generation_is_told_once_by_what_became_of_it() {
        let steps = [
            (status(1, "Ready"), Some(("PolicyInForce", "generation 1: ready"))),
            (status(1, "Ready"), None),
            (
                status(2, "PolicyInvalid"),
                Some(("PolicyInvalid", "generation 2: policyinvalid")),
            ),
            (status(2, "PolicyInvalid"), None),
            (
                status(3, "PolicyInvalid"),
                Some(("PolicyInvalid", "generation 3: policyinvalid")),
            ),
            // Others of its namespace made room for it, or took it.
            (
                status(3, "PolicyTooLarge"),
                Some(("PolicyTooLarge", "generation 3: policytoolarge")),
            ),
            (status(3, "Ready"), Some(("PolicyInForce", "generation 3: ready"))),
            (status(3, "NamespaceObjectsTooLarge"), None),
        ];
        let mut before = SecretPolicyStatus::default();
        for (status, told) in steps {
            let news = news(&before, &status);
            let news = news
                .as_ref()
                .map(|(reason, note)| (reason.as_str(), note.as_str()));
            assert_eq!(news, told, "{status:?}");
            before = status;
        }
    }
}
