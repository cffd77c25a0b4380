//! Binds a secret to the outside objects that declare it and that it is written to.

use strongroom_model::id::SecretId;
use strongroom_model::time::Timestamp;

use super::{Command, Decision, Effect, EntryDraft, StoreError, View, secret_view, view_after};
use crate::audit::Action;
use crate::vault::types::{ObjectRef, SecretView};

/// Binds a secret to the object that declares it, in place of the one before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindObject {
    /// Live or in its recovery window.
    pub secret: SecretId,
    /// The object; none lets go.
    pub object: Option<ObjectRef>,
}

impl Command for BindObject {
    type Reply = SecretView;
    const ACTION: Action = Action::BindObject;

    fn subject(&self) -> Option<SecretId> {
        Some(self.secret)
    }

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<SecretView>, StoreError> {
        let mut head = view.existing(&self.secret)?;
        if head.object == self.object {
            return Ok(Decision::unchanged(secret_view(&head)));
        }
        head.object = self.object;
        head.updated = now;
        let about = EntryDraft::secret(Action::BindObject, &view.namespace(&head.namespace)?, &head);
        let reply = view_after(&head);
        Ok(Decision::new(vec![Effect::PutHead(Box::new(head))], about, reply))
    }
}

/// Remembers the outside object that a secret is written to, or that it no longer is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindMaterialized {
    /// Live or in its recovery window.
    pub secret: SecretId,
    /// The object; none lets go.
    pub materialized: Option<ObjectRef>,
}

impl Command for BindMaterialized {
    type Reply = SecretView;
    const ACTION: Action = Action::BindMaterialized;

    fn subject(&self) -> Option<SecretId> {
        Some(self.secret)
    }

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<SecretView>, StoreError> {
        let mut head = view.existing(&self.secret)?;
        if head.materialized == self.materialized {
            return Ok(Decision::unchanged(secret_view(&head)));
        }
        let detail = match (&head.materialized, &self.materialized) {
            (Some(before), Some(native)) if before.name == native.name => written("written again to", native),
            (_, Some(native)) => written("written to", native),
            (_, None) => "let go".to_owned(),
        };
        head.materialized = self.materialized;
        head.updated = now;
        let about = EntryDraft::secret(Action::BindMaterialized, &view.namespace(&head.namespace)?, &head)
            .with(|entry| entry.detail = detail);
        let reply = view_after(&head);
        Ok(Decision::new(vec![Effect::PutHead(Box::new(head))], about, reply))
    }
}

/// The name comes first: where both are too long for a record, the UID is cut.
fn written(how: &str, native: &ObjectRef) -> String {
    format!("{how} `{}`, UID {}", native.name, native.uid.as_str())
}
