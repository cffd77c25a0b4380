//! Changes a secret's metadata, or the key that it comes under.

use std::collections::BTreeMap;

use strongroom_model::id::SecretId;
use strongroom_model::time::Timestamp;

use super::{
    Command, Decision, Effect, EntryDraft, StoreError, View, check_metadata, key_for, quota, secret_view,
    view_after,
};
use crate::audit::Action;
use crate::vault::types::{KeyRef, SecretView};

/// Changes what is given and leaves the rest. A new key holds for new versions at once; a rewrap moves the
/// old ones.
#[derive(Debug)]
pub struct UpdateSecret {
    /// Must be live.
    pub secret: SecretId,
    /// At most 2,048 bytes.
    pub description: Option<String>,
    /// At most 64, with names of at most 320 bytes and values of at most 128.
    pub labels: Option<BTreeMap<String, String>>,
    /// The key that versions come under.
    pub key: Option<KeyRef>,
}

impl Command for UpdateSecret {
    type Reply = SecretView;
    const ACTION: Action = Action::UpdateSecret;

    fn subject(&self) -> Option<SecretId> {
        Some(self.secret)
    }

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<SecretView>, StoreError> {
        let before = view.live(&self.secret)?;
        let mut head = before.clone();
        let mut namespace = view.namespace(&head.namespace)?;
        let mut effects = Vec::new();
        if let Some(description) = self.description {
            head.description = description;
        }
        if let Some(labels) = self.labels {
            head.labels = labels;
        }
        check_metadata(&head.description, &head.labels)?;
        if let Some(wanted) = self.key {
            let (key, customer_key) = key_for(view, &mut namespace, wanted, now, &mut effects)?;
            head.key = key.id;
            head.customer_key = customer_key;
            if head.customer_key != before.customer_key {
                quota::check_new_hosting(view, &namespace, &head)?;
            }
        }
        if head == before {
            return Ok(Decision::unchanged(secret_view(&head)));
        }
        head.updated = now;
        let takes = quota::check_new_metadata(view, &namespace, &before, &head)?;
        let about = EntryDraft::secret(Action::UpdateSecret, &namespace, &head)
            .with(|entry| entry.key = head.customer_key.then_some(head.key));
        let reply = view_after(&head);
        effects.push(Effect::PutHead(Box::new(head)));
        Ok(Decision::new(effects, about, reply).with_usage(takes))
    }

    fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<SecretView>, StoreError> {
        Ok(Decision::unchanged(secret_view(&view.existing(&self.secret)?)))
    }
}
