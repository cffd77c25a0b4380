//! The record of a change before it is known who asked, and when.

use strongroom_model::id::SecretId;
use strongroom_model::name::{NamespaceName, SecretName};
use strongroom_model::time::Timestamp;

use crate::audit::{Action, Actor, AuditOutcome, Entry};
use crate::format::{Head, Namespace};
use crate::vault::error::StoreError;
use crate::vault::types::Meta;
use crate::vault::view::View;

/// What an audit entry is about; time, actor and request are the caller's.
#[derive(Clone, Debug)]
pub(crate) struct EntryDraft {
    fill: Box<Entry>,
}

impl EntryDraft {
    pub(crate) fn new(action: Action) -> Self {
        let fill = Entry::new(Timestamp::default(), Actor::System, action);
        Self { fill: Box::new(fill) }
    }

    pub(crate) fn secret(action: Action, namespace: &Namespace, head: &Head) -> Self {
        Self::named(action, &namespace.name, &head.name, head.id)
    }

    pub(crate) fn named(
        action: Action,
        namespace: &NamespaceName,
        secret: &SecretName,
        id: SecretId,
    ) -> Self {
        let mut about = Self::new(action);
        about.fill.namespace = Some(namespace.clone());
        about.fill.secret = Some(secret.clone());
        about.fill.secret_id = Some(id);
        about
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Entry)) -> Self {
        change(&mut self.fill);
        self
    }

    /// The entry for this request.
    pub(crate) fn entry(self, meta: &Meta) -> Entry {
        Entry {
            time: meta.now,
            actor: meta.actor.clone(),
            request: Some(meta.request),
            circumstances: meta.circumstances(),
            ..*self.fill
        }
    }

    /// The record of a refusal or failure.
    pub(crate) fn refusal(
        view: &View<'_>,
        action: Action,
        subject: Option<SecretId>,
        meta: &Meta,
        error: &StoreError,
    ) -> Entry {
        let mut about = Self::new(action);
        if let Some(id) = subject {
            about = about.with(|entry| entry.secret_id = Some(id));
            if let Ok(Some(head)) = view.head(&id) {
                let namespace = view
                    .namespace(&head.namespace)
                    .map(|namespace| namespace.name)
                    .ok();
                about = about.with(|entry| {
                    entry.secret = Some(head.name);
                    entry.namespace = namespace;
                });
            }
        }
        about
            .with(|entry| entry.outcome = AuditOutcome::Refused(error.code().to_owned()))
            .entry(meta)
    }
}
