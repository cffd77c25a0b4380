//! Makes a secret and its first version.

use std::collections::BTreeMap;

use strongroom_model::id::{NamespaceId, SecretId};
use strongroom_model::name::{SecretName, VersionId};
use strongroom_model::time::Timestamp;

use super::{
    Command, Decision, Effect, Head, Refusal, StoreError, View, add_version, check_metadata, key_for, quota,
    unwritten, written,
};
use crate::audit::Action;
use crate::format::SecretState;
use crate::value::Value;
use crate::vault::types::{KeyRef, ObjectRef, Recovery, RotationState, WriteOutcome};

/// Makes a secret. The caller chooses its id, so that a version id can be made from it beforehand.
#[derive(Debug)]
pub struct CreateSecret {
    /// A new id.
    pub id: SecretId,
    /// The namespace that it is to belong to.
    pub namespace: NamespaceId,
    /// Its name; also taken while a secret of that name waits for its destruction.
    pub name: SecretName,
    /// At most 2,048 bytes.
    pub description: String,
    /// At most 64, with names of at most 320 bytes and values of at most 128.
    pub labels: BTreeMap<String, String>,
    /// The key that its versions come under.
    pub key: KeyRef,
    /// The first version; it becomes Current.
    pub version: VersionId,
    /// The value of that version.
    pub value: Value,
    /// What declares it.
    pub object: Option<ObjectRef>,
    /// What follows its deletion.
    pub recovery: Recovery,
}

impl CreateSecret {
    /// A secret that nobody declares, under the default key, with nothing said of it but its first version.
    #[must_use]
    pub const fn new(
        id: SecretId,
        namespace: NamespaceId,
        name: SecretName,
        version: VersionId,
        value: Value,
    ) -> Self {
        Self {
            id,
            namespace,
            name,
            description: String::new(),
            labels: BTreeMap::new(),
            key: KeyRef::Default,
            version,
            value,
            object: None,
            recovery: Recovery::Window,
        }
    }
}

impl Command for CreateSecret {
    type Reply = WriteOutcome;
    const ACTION: Action = Action::CreateSecret;

    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<WriteOutcome>, StoreError> {
        check_metadata(&self.description, &self.labels)?;
        let mut namespace = view.namespace(&self.namespace)?;
        if let Some(taken) = view.secret_named(&self.namespace, &self.name)? {
            if let SecretState::PendingDeletion { until, .. } = taken.state {
                return Err(Refusal::InRecoveryWindow { until }.into());
            }
            // The same request again: its first answer got lost. Another value under the same version id is a
            // conflict.
            return match taken.version(&self.version) {
                Some(version) if taken.id == self.id => {
                    if view.value(&taken, version)? == self.value {
                        Ok(unwritten(&taken))
                    } else {
                        Err(Refusal::VersionConflict.into())
                    }
                }
                _ => Err(Refusal::SecretExists.into()),
            };
        }
        if view.head(&self.id)?.is_some() {
            return Err(Refusal::SecretExists.into());
        }
        let mut effects = Vec::new();
        let (key, customer_key) = key_for(view, &mut namespace, self.key, now, &mut effects)?;
        let mut head = Head {
            id: self.id,
            namespace: self.namespace,
            name: self.name,
            description: self.description,
            labels: self.labels,
            state: SecretState::Live,
            key: key.id,
            customer_key,
            next_sequence: 1,
            versions: Vec::new(),
            stages: BTreeMap::new(),
            created: now,
            updated: now,
            revision: 0,
            object: self.object,
            materialized: None,
            rotation: RotationState::default(),
            recovery: self.recovery,
        };
        let version = self.version.clone();
        let version_bytes = quota::bytes_of(&self.value);
        add_version(&mut head, &key, self.version, self.value, &[], now, &mut effects)?;
        let takes = quota::check_new_secret(view, &namespace, &head, version_bytes)?;
        effects.push(Effect::NameSecret(
            head.namespace,
            head.name.as_str().into(),
            head.id,
        ));
        Ok(written(Self::ACTION, &namespace, head, &key, version, None, effects).with_usage(takes))
    }

    fn repeated(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<WriteOutcome>, StoreError> {
        Ok(unwritten(&view.existing(&self.id)?))
    }
}
