//! Access policies in force: kept when a generation takes effect, forgotten when the policy is gone.

use strongroom_model::name::ExternalId;
use strongroom_model::time::Timestamp;

use super::declarations::forgotten_object;
use super::{Command, Decision, Effect, EntryDraft, Refusal, StoreError, View};
use crate::audit::Action;
use crate::vault::types::EnforcedPolicy;

/// Keeps what of a policy is in force, in the place of what was kept before. The same again changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnforcePolicy(pub EnforcedPolicy);

impl Command for EnforcePolicy {
    type Reply = ();
    const ACTION: Action = Action::EnforcePolicy;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        let Self(policy) = self;
        if policy.name.len() > 253 {
            return Err(Refusal::MetadataTooLarge("the name of a policy has at most 253 bytes").into());
        }
        if policy.statements.len() > EnforcedPolicy::MAX_STATEMENTS_BYTES {
            return Err(Refusal::MetadataTooLarge("the statements of a policy have at most 2 MiB").into());
        }
        match view.policy(&policy.uid) {
            Ok(Some(kept)) if kept == policy => return Ok(Decision::unchanged(())),
            // One that cannot be read gives way.
            Ok(_) | Err(StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        let about = about(Action::EnforcePolicy, &policy);
        Ok(Decision::new(
            vec![Effect::PutPolicy(Box::new(policy))],
            about,
            (),
        ))
    }

    /// Its time has passed: what was kept since stays.
    fn repeated(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        Ok(Decision::unchanged(()))
    }
}

/// Forgets a policy that is gone, and who deleted it. One that is not kept changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemovePolicy(pub ExternalId);

impl Command for RemovePolicy {
    type Reply = ();
    const ACTION: Action = Action::RemovePolicy;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        let Self(uid) = self;
        let about = match view.policy(&uid) {
            Ok(None) => return Ok(Decision::unchanged(())),
            Ok(Some(kept)) => about(Action::RemovePolicy, &kept),
            Err(StoreError::Damaged { .. }) => EntryDraft::new(Action::RemovePolicy),
            Err(error) => return Err(error),
        };
        let mut effects = vec![Effect::DropPolicy(uid.clone())];
        effects.extend(forgotten_object(view, uid)?);
        Ok(Decision::new(effects, about, ()))
    }

    /// Its time has passed: what was kept since stays.
    fn repeated(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<()>, StoreError> {
        Ok(Decision::unchanged(()))
    }
}

fn about(action: Action, policy: &EnforcedPolicy) -> EntryDraft {
    EntryDraft::new(action).with(|entry| {
        entry.namespace = Some(policy.namespace.clone());
        // The generation first: a long name is cut.
        entry.detail = format!("generation {} of policy {}", policy.generation, policy.name);
    })
}
