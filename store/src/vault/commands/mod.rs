//! The commands: each a pure decision on a view, one file each. Must not read a clock, touch the engine, or
//! log.

mod binding;
mod create_secret;
mod cursor;
mod declarations;
mod delete_secret;
mod destroy_secret;
mod ensure_version;
mod keys;
mod namespaces;
mod policies;
mod purge;
mod purge_secrets;
mod put_value;
mod quota;
mod restore_secret;
mod rewrap;
mod seal;
mod truncate_audit;
mod update_secret;
mod update_stage;

pub use binding::{BindMaterialized, BindObject};
pub use create_secret::CreateSecret;
pub(crate) use cursor::RecordRestore;
pub use cursor::{RecordCheckpoint, RecordStoreEvent, SetCursor};
pub use declarations::{
    AcceptDeclaration, Attest, BeginAttestations, ForgetAttestations, WithdrawDeclaration,
};
pub use delete_secret::{DeleteSecret, Deletion};
pub use destroy_secret::{DestroySecret, KeepRecoveryWindow};
pub use ensure_version::{EnsureVersion, RotationMark};
pub use keys::{
    CancelKeyDeletion, CreateKey, DeclareKey, DestroyKeyVersion, DisableKey, EnableKey, NewKeyVersion,
    ScheduleKeyDeletion,
};
pub use namespaces::{AcceptNamespace, BindNamespace, ForgetNamespaceUids, ReleaseNamespace};
pub use policies::{EnforcePolicy, RemovePolicy};
pub use purge::{CLOCK_TRUST_DELAY, PurgeDue, PurgeOutcome, PurgeSecret};
pub use purge_secrets::PurgeSecrets;
pub use put_value::PutValue;
pub(crate) use quota::check_any_secret;
pub use restore_secret::RestoreSecret;
pub use rewrap::{Rewrap, RewrapProgress};
pub(crate) use seal::ChangeSeal;
pub(crate) use truncate_audit::{RemoveTruncated, TruncateAudit};
pub use update_secret::UpdateSecret;
pub use update_stage::UpdateStage;

use super::effect::Effect;
use super::error::{Refusal, StoreError};
use super::quota::Usage;
use super::types::{KeyRef, KeyView, SecretView, VersionView};
use super::view::View;
use crate::audit::{Action, Entry};
use crate::format::{Head, HeadVersion, KeyRecord, KeyState, KeyVersionState, Namespace};
use crate::id::{KeyId, NamespaceId, SecretId};
use crate::name::{NamespaceName, SecretName, Stage, VersionId};
use crate::time::Timestamp;
use crate::value::Value;

/// Most versions of a secret; the oldest without a label makes room.
pub const MAX_VERSIONS: usize = 10;
/// Most labels of a secret. Fewer than versions, so that one without a label always exists when room is
/// needed.
pub const MAX_STAGES: usize = 8;

/// What a decision says.
#[derive(Debug)]
pub struct Decision<T> {
    pub(crate) effects: Vec<Effect>,
    /// The records of what changes; none where nothing does.
    pub(crate) entries: Vec<EntryDraft>,
    /// The room that it takes: those that are decided after it in the same group must not count on it.
    pub(crate) takes: Option<(NamespaceId, Usage)>,
    pub(crate) reply: T,
}

impl<T> Decision<T> {
    /// Nothing changes.
    pub(crate) const fn unchanged(reply: T) -> Self {
        Self {
            effects: Vec::new(),
            entries: Vec::new(),
            takes: None,
            reply,
        }
    }

    /// These effects happen, on this record.
    pub(crate) fn new(effects: Vec<Effect>, entry: EntryDraft, reply: T) -> Self {
        Self {
            effects,
            entries: vec![entry],
            takes: None,
            reply,
        }
    }

    /// It takes this room.
    pub(crate) fn with_usage(mut self, namespace: NamespaceId, usage: Usage) -> Self {
        self.takes = Some((namespace, usage));
        self
    }
}

/// What an audit entry is about; time, actor and request are the caller's.
#[derive(Clone, Debug)]
pub(crate) struct EntryDraft {
    fill: Box<Entry>,
}

impl EntryDraft {
    pub(crate) fn new(action: Action) -> Self {
        let fill = Entry::new(Timestamp::default(), crate::audit::Actor::System, action);
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
    pub(crate) fn entry(self, meta: &super::types::Meta) -> Entry {
        Entry {
            time: meta.now,
            actor: meta.actor.clone(),
            request: Some(meta.request),
            circumstances: meta.circumstances(),
            ..*self.fill
        }
    }
}

/// A request that may change the store.
pub trait Command: Send + 'static {
    /// What the caller gets.
    type Reply: Send + 'static;

    /// What a refusal is recorded as.
    const ACTION: Action;

    /// The secret that a refusal is recorded about.
    fn subject(&self) -> Option<SecretId> {
        None
    }

    /// Decides on a view of the store.
    ///
    /// # Errors
    /// [`Refusal`] where the rules say no.
    #[doc(hidden)]
    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<Self::Reply>, StoreError>;

    /// Answers a request that was carried out before: its answer got lost on the way. Nothing changes; the
    /// answer is as things stand now. Only a command that does nothing the second time may leave this to
    /// `decide`.
    ///
    /// # Errors
    /// [`Refusal`] where what the request made is not there any more.
    #[doc(hidden)]
    fn repeated(self, view: &View<'_>, now: Timestamp) -> Result<Decision<Self::Reply>, StoreError>
    where
        Self: Sized,
    {
        self.decide(view, now)
    }
}

/// The encryption key that new versions of a secret come under, and what must be made for it first.
fn key_for(
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
    let id = KeyId::generate().map_err(|_| crate::crypto::CryptoError::NoRandomness)?;
    let key = KeyRecord {
        id,
        namespace: namespace.id,
        name: None,
        state: KeyState::Enabled,
        primary: 1,
        versions: vec![KeyVersionState {
            version: 1,
            created: now,
        }],
        created: now,
        declaration: None,
    };
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

/// Adds a version to a head, moves labels to it, and makes room for it.
fn add_version(
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
fn move_stage(head: &mut Head, stage: &Stage, sequence: u32) {
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
fn oldest_without_stage(head: &Head) -> Option<u32> {
    let sequences = head.versions.iter().map(|version| version.sequence);
    sequences.filter(|of| !head.is_labelled(*of)).min()
}

/// What callers see of a head.
pub(crate) fn secret_view(head: &Head) -> SecretView {
    let versions = head
        .versions
        .iter()
        .map(|version| version_view(head, version))
        .collect();
    SecretView {
        id: head.id,
        namespace: head.namespace,
        name: head.name.clone(),
        description: head.description.clone(),
        labels: head.labels.clone(),
        state: head.state,
        key: if head.customer_key {
            KeyRef::Customer(head.key)
        } else {
            KeyRef::Default
        },
        stages: head
            .stages
            .keys()
            .filter_map(|stage| Some((stage.clone(), head.staged(stage)?.id.clone())))
            .collect(),
        versions,
        created: head.created,
        updated: head.updated,
        revision: head.revision,
        object: head.object.clone(),
        materialized: head.materialized.clone(),
        rotation: head.rotation.clone(),
        recovery: head.recovery,
    }
}

/// What callers see of one of its versions.
pub(crate) fn version_view(head: &Head, version: &HeadVersion) -> VersionView {
    VersionView {
        id: version.id.clone(),
        sequence: version.sequence,
        created: version.created,
        data_type: version.data_type,
        stages: head
            .stages
            .iter()
            .filter(|(_, of)| **of == version.sequence)
            .map(|(stage, _)| stage.clone())
            .collect(),
    }
}

/// What callers see of a head that is about to be written.
fn view_after(head: &Head) -> SecretView {
    SecretView {
        revision: head.revision + 1,
        ..secret_view(head)
    }
}

/// What callers see of a customer's key; a default key is not shown.
pub(crate) fn key_view(key: &KeyRecord) -> Option<KeyView> {
    Some(KeyView {
        id: key.id,
        namespace: key.namespace,
        name: key.name.clone()?,
        state: key.state,
        primary: key.primary,
        primary_created: key
            .versions
            .iter()
            .find(|version| version.version == key.primary)
            .map_or(key.created, |version| version.created),
        versions: key.versions.iter().map(|version| version.version).collect(),
        created: key.created,
        declaration: key.declaration.clone(),
    })
}

/// Description and labels that a head can hold.
fn check_metadata(
    description: &str,
    labels: &std::collections::BTreeMap<String, String>,
) -> Result<(), Refusal> {
    if description.len() > 2_048 {
        return Err(Refusal::MetadataTooLarge("a description has at most 2,048 bytes"));
    }
    if labels.len() > 64
        || labels
            .iter()
            .any(|(key, value)| key.is_empty() || key.len() > 320 || value.len() > 128)
    {
        return Err(Refusal::MetadataTooLarge(
            "a secret has at most 64 labels, with names of at most 320 bytes and values of at most 128",
        ));
    }
    Ok(())
}

/// The namespace of a head.
fn namespace_of(view: &View<'_>, id: &NamespaceId) -> Result<Namespace, StoreError> {
    view.namespace(id)
}
