//! Moves wrapped data keys under the key, and the version of it, that their secret now comes under. Values
//! are not touched.

use std::collections::BTreeMap;

use strongroom_model::id::{KeyId, SecretId};
use strongroom_model::time::Timestamp;

use super::{Command, Decision, Effect, EntryDraft, KeyRecord, KeyState, StoreError, View};
use crate::audit::Action;
use crate::engine::Table;
use crate::format::{Head, StoredDataKey, version_key};

/// Rewraps a batch. Begin without `after`; go on with the progress's `next` until there is none. An
/// interrupted run begins anew and passes over what is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rewrap {
    /// Only data keys of secrets that come under this key; all where absent.
    pub key: Option<KeyId>,
    /// The last place of the batch before.
    pub after: Option<(SecretId, u32)>,
    /// Most data keys to look at, at least 1.
    pub limit: usize,
}

/// How far a rewrap is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RewrapProgress {
    /// Data keys that moved in this batch.
    pub moved: u64,
    /// Data keys that could not, because a key of theirs is disabled or gone.
    pub refused: u64,
    /// Where to go on; none: all were looked at.
    pub next: Option<(SecretId, u32)>,
}

impl Command for Rewrap {
    type Reply = RewrapProgress;
    const ACTION: Action = Action::Rewrap;

    fn decide(self, view: &View<'_>, _now: Timestamp) -> Result<Decision<RewrapProgress>, StoreError> {
        let after = self
            .after
            .map(|(secret, sequence)| version_key(&secret, sequence));
        let batch = view
            .snapshot
            .scan(Table::DataKey, &[], after.as_deref(), self.limit.max(1))?;
        let mut progress = RewrapProgress::default();
        if batch.len() == self.limit.max(1) {
            progress.next = batch.last().and_then(|(key, _)| place(key));
        }
        let mut heads: BTreeMap<SecretId, Option<Head>> = BTreeMap::new();
        let mut keys: BTreeMap<KeyId, KeyRecord> = BTreeMap::new();
        let mut effects = Vec::new();
        for (record, _) in &batch {
            let Some((secret, sequence)) = place(record) else {
                continue;
            };
            let head = match heads.entry(secret) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => entry.insert(view.head(&secret)?),
            };
            let Some(head) = head else { continue };
            if self.key.is_some_and(|key| key != head.key) {
                continue;
            }
            // An earlier command of the group may have dropped the version.
            let Some(bytes) = view.raw(Table::DataKey, record)? else {
                continue;
            };
            let stored = StoredDataKey::decode(&bytes).map_err(|_| {
                StoreError::damaged(format!("the data key of version {sequence} of secret {secret}"))
            })?;
            for id in [head.key, stored.key] {
                if let std::collections::btree_map::Entry::Vacant(entry) = keys.entry(id) {
                    entry.insert(view.key(&head.namespace, &id)?);
                }
            }
            let (Some(target), Some(source)) = (keys.get(&head.key), keys.get(&stored.key)) else {
                continue;
            };
            if stored.key == target.id && stored.key_version == target.primary {
                continue;
            }
            if target.state != KeyState::Enabled || source.state != KeyState::Enabled {
                progress.refused += 1;
                continue;
            }
            progress.moved += 1;
            effects.push(Effect::Rewrap {
                head: Box::new(head.clone()),
                sequence,
                key: target.id,
                key_version: target.primary,
            });
        }
        if effects.is_empty() {
            return Ok(Decision::unchanged(progress));
        }
        let about = EntryDraft::new(Action::Rewrap).with(|entry| {
            entry.key = self.key;
            entry.detail = format!("{} data keys", progress.moved);
        });
        Ok(Decision::new(effects, about, progress))
    }
}

fn place(key: &[u8]) -> Option<(SecretId, u32)> {
    let (id, sequence) = key.split_first_chunk::<16>()?;
    Some((
        SecretId::from_bytes(*id),
        u32::from_be_bytes(sequence.try_into().ok()?),
    ))
}
