//! Makes a version unless there is one of that id: what a controller or a rotation does when something is
//! due.

use std::collections::BTreeMap;

use strongroom_model::id::SecretId;
use strongroom_model::name::{Stage, VersionId};
use strongroom_model::time::Timestamp;

use super::{
    Command, Decision, Refusal, StoreError, View, add_version, check_metadata, quota, unwritten, written,
};
use crate::audit::Action;
use crate::value::Value;
use crate::vault::types::WriteOutcome;

/// That a version comes from a rotation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RotationMark {
    /// When it was due, or asked for.
    pub at: Timestamp,
    /// What a person asked for, where one did; remembered, so that it is not done twice.
    pub trigger: Option<String>,
}

/// Makes a Current version of this id and value, unless the id exists: then it is a success without change,
/// whatever the value.
#[derive(Debug)]
pub struct EnsureVersion {
    /// Must be live.
    pub secret: SecretId,
    /// The version's id.
    pub version: VersionId,
    /// Its value, if it is to be made.
    pub value: Value,
    /// The version that the value was built on; refused where another one is Current by now.
    pub base: Option<VersionId>,
    /// Set where this is a rotation.
    pub rotation: Option<RotationMark>,
    /// Whether it is a rotation or a renewal of what is there, made as before: its value may be larger than
    /// all before also where the namespace is full.
    pub may_grow: bool,
    /// The secret's labels from then on, where they record how the version came about; absent: as they are.
    /// Bounds as in [`super::UpdateSecret`].
    pub labels: Option<BTreeMap<String, String>>,
}

impl Command for EnsureVersion {
    type Reply = WriteOutcome;
    const ACTION: Action = Action::RotateSecret;

    fn subject(&self) -> Option<SecretId> {
        Some(self.secret)
    }

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<WriteOutcome>, StoreError> {
        let before = view.live(&self.secret)?;
        let mut head = before.clone();
        let key = view.usable_key(&head.namespace, &head.key)?;
        if head.version(&self.version).is_some() {
            return Ok(unwritten(&head));
        }
        if let Some(base) = &self.base
            && head.staged(&Stage::Current).map(|version| &version.id) != Some(base)
        {
            return Err(Refusal::BaseMoved.into());
        }
        let namespace = view.namespace(&head.namespace)?;
        let version = self.version.clone();
        let mut effects = Vec::new();
        let version_bytes = quota::bytes_of(&self.value);
        add_version(&mut head, &key, self.version, self.value, &[], now, &mut effects)?;
        let action = if self.rotation.is_some() {
            Action::RotateSecret
        } else {
            Action::PutSecretValue
        };
        if let Some(mark) = self.rotation {
            head.rotation.last = Some(mark.at);
            if let Some(trigger) = mark.trigger {
                head.rotation.last_trigger = Some(trigger.chars().take(256).collect());
            }
        }
        if let Some(labels) = self.labels {
            check_metadata(&head.description, &labels)?;
            head.labels = labels;
        }
        let takes = quota::make_space_for_version(
            view,
            &namespace,
            &before,
            &mut head,
            version_bytes,
            self.may_grow,
            &mut effects,
        )?;
        Ok(written(action, &namespace, head, &key, version, None, effects).with_usage(takes))
    }

    fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<WriteOutcome>, StoreError> {
        // The version may have made room for others since: it is not made again.
        Ok(unwritten(&view.existing(&self.secret)?))
    }
}
