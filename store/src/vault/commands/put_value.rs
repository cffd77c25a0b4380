//! Writes a version.

use strongroom_model::id::SecretId;
use strongroom_model::name::{Stage, VersionId};
use strongroom_model::time::Timestamp;

use super::{Command, Decision, Refusal, StoreError, View, add_version, quota, unwritten, written};
use crate::audit::Action;
use crate::value::Value;
use crate::vault::types::WriteOutcome;

/// Writes an immutable version. Its id is the idempotency token: the same id with the same value changes
/// nothing, whatever happened to labels since; with another value it is refused.
#[derive(Debug)]
pub struct PutValue {
    /// Must be live.
    pub secret: SecretId,
    /// The new version's id.
    pub version: VersionId,
    /// What the version holds for good.
    pub value: Value,
    /// Its labels; none means Current, which leaves Previous on the version before. With labels given only
    /// those move.
    pub stages: Vec<Stage>,
}

impl Command for PutValue {
    type Reply = WriteOutcome;
    const ACTION: Action = Action::PutSecretValue;

    fn subject(&self) -> Option<SecretId> {
        Some(self.secret)
    }

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<WriteOutcome>, StoreError> {
        let before = view.live(&self.secret)?;
        let mut head = before.clone();
        let key = view.usable_key(&head.namespace, &head.key)?;
        if let Some(version) = head.version(&self.version) {
            // `Value` compares in constant time, and which byte differs is told to nobody.
            return if view.value(&head, version)? == self.value {
                Ok(unwritten(&head))
            } else {
                Err(Refusal::VersionConflict.into())
            };
        }
        let namespace = view.namespace(&head.namespace)?;
        let version = self.version.clone();
        let mut effects = Vec::new();
        let version_bytes = quota::bytes_of(&self.value);
        add_version(
            &mut head,
            &key,
            self.version,
            self.value,
            &self.stages,
            now,
            &mut effects,
        )?;
        let takes = quota::make_space_for_version(
            view,
            &namespace,
            &before,
            &mut head,
            version_bytes,
            false,
            &mut effects,
        )?;
        let stage = self.stages.into_iter().next();
        Ok(written(Self::ACTION, &namespace, head, &key, version, stage, effects).with_usage(takes))
    }

    fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<WriteOutcome>, StoreError> {
        // The version may have made room for others since: it is not made again.
        Ok(unwritten(&view.existing(&self.secret)?))
    }
}
