//! Audit records of requests that the store itself does not see.

use strongroom_model::id::SecretId;
use strongroom_model::name::{NamespaceName, SecretName, Stage, VersionId};

use crate::audit::{Action, AuditOutcome, Durability, Entry};
use crate::vault::error::StoreError;
use crate::vault::store::Store;
use crate::vault::types::Meta;

/// What is recorded of a request that the store itself does not see: one that was denied before it came here,
/// or one about metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditNote {
    /// What was asked for.
    pub action: Action,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// In which namespace.
    pub namespace: Option<NamespaceName>,
    /// On which secret, by name.
    pub secret: Option<SecretName>,
    /// On which secret, by id.
    pub secret_id: Option<SecretId>,
    /// Which version.
    pub version: Option<VersionId>,
    /// Which stage.
    pub stage: Option<Stage>,
    /// Facts about the request, at most 256 bytes; never about a value.
    pub detail: String,
    /// Whom the actor, a node, says that it served.
    pub claimed: Option<String>,
}

impl AuditNote {
    /// A note about nothing in particular yet, of something that was done.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            outcome: AuditOutcome::Done,
            namespace: None,
            secret: None,
            secret_id: None,
            version: None,
            stage: None,
            detail: String::new(),
            claimed: None,
        }
    }
}

impl Store {
    /// Records a request, in the read chain. The answer to it must wait for this.
    ///
    /// # Errors
    /// [`StoreError::Audit`] where the record cannot be written: then nothing may be answered but that.
    pub fn record_request(
        &self,
        note: AuditNote,
        meta: &Meta,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut entry = Entry::new(meta.now, meta.actor.clone(), note.action);
        entry.outcome = note.outcome;
        entry.namespace = note.namespace;
        entry.secret = note.secret;
        entry.secret_id = note.secret_id;
        entry.version = note.version;
        entry.stage = note.stage;
        entry.request = Some(meta.request);
        entry.detail = note.detail;
        entry.claimed = note.claimed;
        entry.circumstances = meta.circumstances();
        self.shared.append_audit(&entry, durability)?;
        Ok(())
    }
}
