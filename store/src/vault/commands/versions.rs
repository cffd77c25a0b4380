//! How a secret gets a version: under which key, with which labels, and what makes room for it.

use strongroom_model::id::KeyId;
use strongroom_model::name::{Stage, VersionId};
use strongroom_model::time::Timestamp;

use super::{Decision, EntryDraft, secret_view, view_after};
use crate::audit::Action;
use crate::crypto::CryptoError;
use crate::format::{Head, HeadVersion, KeyRecord, Namespace};
use crate::value::Value;
use crate::vault::effect::Effect;
use crate::vault::error::{Refusal, StoreError};
use crate::vault::types::{KeyRef, WriteOutcome};
use crate::vault::view::View;

/// Most versions of a secret; the oldest without a label makes room.
pub const MAX_VERSIONS: usize = 10;
/// Most labels of a secret. Fewer than versions, so that one without a label always exists when room is
/// needed.
pub const MAX_STAGES: usize = 8;

/// The encryption key that new versions of a secret come under, and what must be made for it first.
pub(super) fn key_for(
    view: &View<'_>,
    namespace: &mut Namespace,
    wanted: KeyRef,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) -> Result<(KeyRecord, bool), StoreError> {
    if let KeyRef::Customer(id) = wanted {
        let key = view.usable_key(&namespace.id, &id)?;
        // A default key is nobody's to name.
        return if key.name.is_some() {
            Ok((key, true))
        } else {
            Err(Refusal::KeyNotFound.into())
        };
    }
    if let Some(id) = namespace.default_key {
        return Ok((view.usable_key(&namespace.id, &id)?, false));
    }
    let id = KeyId::generate().map_err(|_| CryptoError::NoRandomness)?;
    let key = KeyRecord::new(id, namespace.id, None, now);
    namespace.default_key = Some(id);
    effects.push(Effect::PutKey(Box::new(key.clone())));
    effects.push(Effect::AddMaterial(namespace.id, id, 1));
    effects.push(Effect::PutNamespace(Box::new(namespace.clone())));
    Ok((key, false))
}

/// The record of a customer's key that wraps the data key of a new version: each use of such a key is a
/// record of its own.
fn key_used(namespace: &Namespace, head: &Head, key: &KeyRecord, version: &VersionId) -> Option<EntryDraft> {
    head.customer_key.then(|| {
        EntryDraft::secret(Action::GenerateDataKey, namespace, head).with(|entry| {
            entry.version = Some(version.clone());
            entry.key = Some(key.id);
        })
    })
}

/// The decision that a version was written: the head as it is now, and the record of the use of a customer's
/// key.
pub(super) fn written(
    action: Action,
    namespace: &Namespace,
    head: Head,
    key: &KeyRecord,
    version: VersionId,
    stage: Option<Stage>,
    mut effects: Vec<Effect>,
) -> Decision<WriteOutcome> {
    let used = key_used(namespace, &head, key, &version);
    let about = EntryDraft::secret(action, namespace, &head).with(|entry| {
        entry.version = Some(version);
        entry.stage = stage;
        entry.key = head.customer_key.then_some(key.id);
    });
    let reply = WriteOutcome {
        created: true,
        secret: view_after(&head),
    };
    effects.push(Effect::PutHead(Box::new(head)));
    let mut decision = Decision::new(effects, about, reply);
    decision.entries.extend(used);
    decision
}

/// The decision that a version is there already, and nothing is written.
pub(super) fn unwritten(head: &Head) -> Decision<WriteOutcome> {
    Decision::unchanged(WriteOutcome {
        created: false,
        secret: secret_view(head),
    })
}

/// Adds a version to a head, moves labels to it, and makes room for it.
pub(super) fn add_version(
    head: &mut Head,
    key: &KeyRecord,
    version: VersionId,
    value: Value,
    stages: &[Stage],
    now: Timestamp,
    effects: &mut Vec<Effect>,
) -> Result<(), Refusal> {
    let sequence = head.next_sequence;
    head.next_sequence += 1;
    head.versions.push(HeadVersion {
        id: version.clone(),
        sequence,
        created: now,
        data_type: value.data_type(),
    });
    let only_current = [Stage::Current];
    let stages = if stages.is_empty() { &only_current } else { stages };
    if stages.contains(&Stage::Current) && stages.contains(&Stage::Previous) {
        return Err(Refusal::StagesContradict);
    }
    for stage in stages {
        move_stage(head, stage, sequence);
    }
    if head.stages.len() > MAX_STAGES {
        return Err(Refusal::TooManyStages);
    }
    evict(head, effects);
    head.updated = now;
    effects.push(Effect::AddVersion {
        namespace: head.namespace,
        secret: head.id,
        sequence,
        version,
        key: key.id,
        key_version: key.primary,
        value: Box::new(value),
    });
    Ok(())
}

/// Puts a label on a version. Current leaves Previous behind it, in the same commit.
pub(super) fn move_stage(head: &mut Head, stage: &Stage, sequence: u32) {
    let before = head.stages.insert(stage.clone(), sequence);
    if let (Stage::Current, Some(before)) = (stage, before)
        && before != sequence
    {
        head.stages.insert(Stage::Previous, before);
    }
}

/// INVARIANT: there are fewer labels than versions allowed, so beyond the limit there is a version without
/// one.
fn evict(head: &mut Head, effects: &mut Vec<Effect>) {
    while head.versions.len() > MAX_VERSIONS {
        let Some(oldest) = oldest_without_stage(head) else {
            break;
        };
        head.versions.retain(|version| version.sequence != oldest);
        effects.push(Effect::DropVersion(head.namespace, head.id, oldest));
    }
}

/// The oldest version that no label holds.
pub(super) fn oldest_without_stage(head: &Head) -> Option<u32> {
    let sequences = head.versions.iter().map(|version| version.sequence);
    sequences.filter(|of| !head.is_labelled(*of)).min()
}
