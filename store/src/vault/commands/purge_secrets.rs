//! Destroys many secrets of a namespace that wait for their destruction, as an administrator asks who needs
//! their room.

use std::collections::BTreeSet;

use strongroom_model::id::{NamespaceId, SecretId};
use strongroom_model::time::Timestamp;

use super::delete_secret::destroy;
use super::{Command, Decision, EntryDraft, StoreError, View};
use crate::audit::Action;
use crate::format::SecretState;
use crate::vault::quota::Usage;

/// Destroys those of these secrets that are in this namespace and were deleted at or before this time; all
/// others it leaves as they are, and so it does what is beyond [`PurgeSecrets::MAX_SECRETS`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PurgeSecrets {
    /// Where they have to be.
    pub namespace: NamespaceId,
    /// At most [`PurgeSecrets::MAX_SECRETS`] are looked at.
    pub secrets: BTreeSet<SecretId>,
    /// What was deleted, or deleted again, after this stays.
    pub deleted_before: Timestamp,
}

impl PurgeSecrets {
    /// Most secrets of one command.
    pub const MAX_SECRETS: usize = 64;
}

impl Command for PurgeSecrets {
    /// What was destroyed.
    type Reply = Usage;
    const ACTION: Action = Action::PurgeSecret;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<Usage>, StoreError> {
        let namespace = view.namespace(&self.namespace)?;
        let mut decision = Decision::unchanged(Usage::default());
        for secret in self.secrets.into_iter().take(Self::MAX_SECRETS) {
            let Some(head) = view.head(&secret)? else { continue };
            let SecretState::PendingDeletion { since, .. } = head.state else {
                continue;
            };
            if head.namespace != self.namespace || since > self.deleted_before {
                continue;
            }
            let about = EntryDraft::secret(Action::PurgeSecret, &namespace, &head)
                .with(|entry| entry.detail = "with what else was deleted in the namespace".to_owned());
            decision.entries.push(about);
            decision.reply = decision.reply.plus(Usage {
                secrets: 1,
                bytes: view.secret_bytes(&head)?,
            });
            decision.effects.extend(destroy(head));
        }
        Ok(decision)
    }

    fn repeated(self, _view: &View<'_>, _now: Timestamp) -> Result<Decision<Usage>, StoreError> {
        Ok(Decision::unchanged(Usage::default()))
    }
}
