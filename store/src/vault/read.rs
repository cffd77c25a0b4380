//! Reads. A value leaves only after its record is in the read chain; metadata leave without one.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry as Slot};
use std::ops::Bound;
use std::sync::Arc;

use super::Store;
use super::commands::{EntryDraft, check_any_secret, key_view, secret_view, version_view};
use super::error::{Refusal, StoreError};
use super::indexed_record::IndexedRecord;
use super::read_cache::{CacheEntry, CachedValue, DependencySnapshot, MAX_CACHED_VALUE_BYTES};
use super::types::{
    AttestationId, DeclaredObject, DeletedSecret, EnforcedPolicies, EnforcedPolicy, KeyUsage, KeyView, Meta,
    NamespaceUsage, NamespaceView, PendingAttestation, SecretView, ValueRead,
};
use super::view::{View, key_key};
use super::writer::refusal;
use crate::audit::{self, Action, Durability, Entry, Requester};
use crate::crypto::{Context, IndexDomain};
use crate::engine::{Snapshot, Table};
use crate::format::{Attestation, Declaration, Recovery, SecretState, key_version_key, version_key};
use crate::id::{KeyId, NamespaceId, SecretId};
use crate::name::{CursorName, ExternalId, KeyName, NamespaceName, SecretName, Stage, VersionId};
use crate::time::Timestamp;
use crate::value::Value;

/// What is put on record of a request that the store itself does not see: one that was denied before it came
/// here, or one about metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditNote {
    /// What was asked for.
    pub action: Action,
    /// How it ended.
    pub outcome: audit::AuditOutcome,
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
            outcome: audit::AuditOutcome::Done,
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

/// Asks for one value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GetValue {
    /// Must be live.
    pub secret: SecretId,
    /// By version id; with a stage beside it both must agree.
    pub version: Option<VersionId>,
    /// By stage; Current where neither is given.
    pub stage: Option<Stage>,
    /// When its record must be on disk.
    pub durability: Durability,
    /// Facts about the request for its record, at most 256 bytes.
    pub detail: String,
}

impl Store {
    fn with_view<T>(&self, read: impl FnOnce(&View<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        read(&View::new(&self.shared.keyring, snapshot.as_ref()))
    }

    /// Reads a value. Its record is written before it is returned; so is that of a refusal.
    ///
    /// # Errors
    /// [`Refusal`] as the rules say; [`StoreError::Damaged`] where a record is not what was written;
    /// [`StoreError::Audit`] where the record cannot be written.
    pub fn value(&self, get: &GetValue, meta: &Meta) -> Result<ValueRead, StoreError> {
        if let Some(known) = self.cached_value(get)
            // What does not open is looked at again, so that the refusal says what is damaged.
            && let Ok(value) = known.value.sealed.open()
        {
            self.audit_value_read(&known.value, get, meta)?;
            let version = known.value.version.clone();
            return Ok(ValueRead { value, version });
        }
        self.with_view(|view| match found_value(view, get) {
            Ok((known, value)) => {
                self.audit_value_read(&known, get, meta)?;
                let version = known.version.clone();
                if meta.asked.is_some() && known.sealed.len() <= MAX_CACHED_VALUE_BYTES {
                    self.cache_value(view, known);
                }
                Ok(ValueRead { value, version })
            }
            Err(error) => {
                let mut entry = refusal(view, Action::GetSecretValue, Some(get.secret), meta, &error);
                entry.detail.clone_from(&get.detail);
                self.shared.append_audit(&entry, get.durability)?;
                Err(error)
            }
        })
    }

    /// What is asked for, where it is known.
    fn cached_value(&self, get: &GetValue) -> Option<Arc<CacheEntry<CachedValue>>> {
        let known = self.shared.read_cache.value(&get.secret, get.version.as_ref()?)?;
        let agrees = |stage: &Stage| known.value.version.stages.contains(stage);
        get.stage.as_ref().is_none_or(agrees).then_some(known)
    }

    /// Keeps what opens a value for the next read from outside: the controllers' own come once, and not again
    /// for long.
    fn cache_value(&self, view: &View<'_>, mut known: CachedValue) {
        let place = known.sealed.place;
        let material = Arc::clone(&known.sealed.material);
        known.sealed.material = self
            .shared
            .read_cache
            .share_material(place.key, place.key_version, material);
        let version = version_key(&place.secret, place.sequence);
        let dependencies = DependencySnapshot::at(view.snapshot.revision())
            .record(Table::Head, place.secret.as_bytes())
            .record(Table::Namespace, place.namespace.as_bytes())
            .record(Table::Key, &key_key(&place.namespace, &known.home_key))
            .record(Table::Key, &key_key(&place.namespace, &place.key))
            .record(Table::KeyVersion, &key_version_key(&place.key, place.key_version))
            .record(Table::DataKey, &version)
            .record(Table::Version, &version);
        self.shared
            .read_cache
            .values
            .insert(place.secret, dependencies, known);
    }

    fn audit_value_read(&self, known: &CachedValue, get: &GetValue, meta: &Meta) -> Result<(), StoreError> {
        let secret = known.sealed.place.secret;
        let entry = EntryDraft::named(Action::GetSecretValue, &known.namespace, &known.secret, secret)
            .with(|entry| {
                entry.version = Some(known.version.id.clone());
                entry.stage.clone_from(&get.stage);
                entry.key = known.key;
                entry.detail.clone_from(&get.detail);
            })
            .entry(meta);
        if let Some(key) = entry.key {
            // Before the record of the read, which waits for both where it waits.
            let entry = Entry {
                action: Action::Decrypt,
                ..entry.clone()
            };
            self.shared.append_audit(&entry, Durability::Batched)?;
            self.shared.used(key, meta.now);
        }
        self.shared.append_audit(&entry, get.durability)?;
        Ok(())
    }

    /// Puts a request on record, in the read chain. The answer to it must wait for this.
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

    /// Records of the read chain on `storage` after a number, in order, at most `limit`.
    ///
    /// # Errors
    /// [`audit::ReadLogError`] names a record that does not open or does not follow.
    pub fn reads_after(
        &self,
        storage: &dyn audit::SegmentStorage,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<(u64, audit::ReadChainRecord)>, audit::ReadLogError> {
        audit::reads_after(storage, &self.shared.keyring, sequence, limit)
    }

    /// Everything about a secret but its values.
    ///
    /// # Errors
    /// [`Refusal::SecretNotFound`]; [`StoreError::Damaged`].
    pub fn describe(&self, secret: SecretId) -> Result<SecretView, StoreError> {
        self.with_view(|view| Ok(secret_view(&view.existing(&secret)?)))
    }

    /// The secret of a name, also while it waits for its destruction.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn find(&self, namespace: NamespaceId, name: &SecretName) -> Result<Option<SecretView>, StoreError> {
        self.with_view(|view| Ok(view.secret_named(&namespace, name)?.as_ref().map(secret_view)))
    }

    /// The same, kept in memory for the next who asks.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn find_cached(
        &self,
        namespace: NamespaceId,
        name: &SecretName,
    ) -> Result<Option<Arc<SecretView>>, StoreError> {
        let place = (namespace, name.clone());
        if let Some(known) = self.shared.read_cache.secret(&place) {
            return Ok(Some(known));
        }
        self.with_view(|view| {
            let Some(head) = view.secret_named(&namespace, name)? else {
                return Ok(None);
            };
            let secret = Arc::new(secret_view(&head));
            let parts: [&[u8]; 2] = [namespace.as_bytes(), name.as_str().as_bytes()];
            let dependencies = DependencySnapshot::at(view.snapshot.revision())
                .record(
                    Table::Name,
                    &view.keyring.blind_index(IndexDomain::Secret, &parts),
                )
                .record(Table::Head, head.id.as_bytes());
            self.shared
                .read_cache
                .secrets
                .insert(place, dependencies, Arc::clone(&secret));
            Ok(Some(secret))
        })
    }

    /// Whether a secret of this name and a value of it were read lately, so that reading it again most likely
    /// needs no look at the disk.
    #[must_use]
    pub fn has_cached_value(&self, namespace: NamespaceId, name: &SecretName) -> bool {
        let known = &self.shared.read_cache;
        known
            .secret(&(namespace, name.clone()))
            .is_some_and(|secret| known.values.contains(&secret.id))
    }

    /// Secrets in order of their names: of one namespace or of all, after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn list(
        &self,
        namespace: Option<NamespaceId>,
        after: Option<&(NamespaceId, SecretName)>,
        limit: usize,
    ) -> Result<Vec<SecretView>, StoreError> {
        let ids = self.ids(namespace, after, limit);
        self.with_view(|view| {
            let heads = ids.iter().filter_map(|id| view.head(id).transpose());
            heads.map(|head| head.map(|head| secret_view(&head))).collect()
        })
    }

    /// Ids of secrets in order of their names: of one namespace or of all, after `after`, at most `limit`.
    fn ids(
        &self,
        namespace: Option<NamespaceId>,
        after: Option<&(NamespaceId, SecretName)>,
        limit: usize,
    ) -> Vec<SecretId> {
        let names = self.shared.names.read();
        let start = after.map_or(Bound::Unbounded, |place| Bound::Excluded(place.clone()));
        names
            .range((start, Bound::Unbounded))
            .skip_while(|((of, _), _)| namespace.is_some_and(|wanted| *of < wanted))
            .take_while(|((of, _), _)| namespace.is_none_or(|wanted| *of == wanted))
            .take(limit)
            .map(|(_, id)| *id)
            .collect()
    }

    /// What a namespace has of the store, and may have.
    ///
    /// # Errors
    /// [`Refusal::NamespaceNotFound`]; [`StoreError::Damaged`].
    pub fn namespace_usage(&self, namespace: NamespaceId) -> Result<NamespaceUsage, StoreError> {
        let name = self.namespace(namespace)?.name;
        let quotas = &self.shared.quotas;
        Ok(NamespaceUsage {
            name,
            used: quotas.usage(&namespace),
            limit: quotas.limit(&namespace),
        })
    }

    /// The namespaces that have at least so many percent of what they may have, the fullest first, at most
    /// `most`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn fullest(&self, percent: u64, most: usize) -> Result<Vec<NamespaceUsage>, StoreError> {
        let found = self.shared.quotas.fullest(percent);
        if found.is_empty() {
            return Ok(Vec::new());
        }
        self.with_view(|view| {
            let rooms = found.into_iter().take(most).map(|(namespace, used, limit)| {
                Ok(NamespaceUsage {
                    name: view.namespace(&namespace)?.name,
                    used,
                    limit: Some(limit),
                })
            });
            rooms.collect()
        })
    }

    /// Whether a namespace has room for another secret, with this value where it is known. The secret itself
    /// may yet be refused.
    ///
    /// # Errors
    /// [`Refusal::NamespaceFull`], [`Refusal::NamespaceNotFound`]; [`StoreError::Damaged`].
    pub fn check_quota(&self, namespace: NamespaceId, value: Option<&Value>) -> Result<(), StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let view = View::new(&self.shared.keyring, snapshot.as_ref()).with_quotas(&self.shared.quotas);
        check_any_secret(&view, &view.namespace(&namespace)?, value)
            .inspect_err(|_| self.shared.quotas.count_refusal())?;
        Ok(())
    }

    /// Secrets of a namespace that are in their recovery windows, in order of their names, among the next
    /// `look` ones after `after`; and the name of the last one that was looked at, where more may follow.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn deleted(
        &self,
        namespace: NamespaceId,
        after: Option<&SecretName>,
        look: usize,
    ) -> Result<(Vec<DeletedSecret>, Option<SecretName>), StoreError> {
        let after = after.map(|name| (namespace, name.clone()));
        let ids = self.ids(Some(namespace), after.as_ref(), look);
        self.with_view(|view| {
            let (mut found, mut last) = (Vec::new(), None);
            for id in &ids {
                let Some(head) = view.head(id)? else { continue };
                if let SecretState::PendingDeletion { since, until } = head.state {
                    found.push(DeletedSecret {
                        id: head.id,
                        name: head.name.clone(),
                        since,
                        until,
                        versions: head.versions.len(),
                        bytes: view.secret_bytes(&head)?,
                    });
                }
                last = Some(head.name);
            }
            Ok((found, last.filter(|_| ids.len() >= look)))
        })
    }

    /// A namespace by its id.
    ///
    /// # Errors
    /// [`Refusal::NamespaceNotFound`]; [`StoreError::Damaged`].
    pub fn namespace(&self, id: NamespaceId) -> Result<NamespaceView, StoreError> {
        self.with_view(|view| view.namespace(&id).map(namespace_view))
    }

    /// A namespace by its name.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn namespace_named(&self, name: &NamespaceName) -> Result<Option<NamespaceView>, StoreError> {
        self.with_view(|view| Ok(view.namespace_named(name)?.map(namespace_view)))
    }

    /// All namespaces.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn namespaces(&self) -> Result<Vec<NamespaceView>, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let records = snapshot.scan(Table::Namespace, &[], None, usize::MAX)?;
        let view = View::new(&self.shared.keyring, snapshot.as_ref());
        records
            .iter()
            .filter_map(|(key, _)| key.as_slice().try_into().ok().map(NamespaceId::from_bytes))
            .map(|id| view.namespace(&id).map(namespace_view))
            .collect()
    }

    /// A customer's encryption key.
    ///
    /// # Errors
    /// [`Refusal::KeyNotFound`], also for a default key.
    pub fn describe_key(&self, namespace: NamespaceId, key: KeyId) -> Result<KeyView, StoreError> {
        let place = (namespace, key);
        if let Some(known) = self.shared.read_cache.key(&place) {
            return known.ok_or_else(|| Refusal::KeyNotFound.into());
        }
        self.with_view(|view| {
            let shown = key_view(&view.key(&namespace, &key)?);
            let dependencies = DependencySnapshot::at(view.snapshot.revision())
                .record(Table::Key, &key_key(&namespace, &key));
            self.shared
                .read_cache
                .keys
                .insert(place, dependencies, shown.clone());
            shown.ok_or_else(|| Refusal::KeyNotFound.into())
        })
    }

    /// The customer's encryption key of a name.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn find_key(&self, namespace: NamespaceId, name: &KeyName) -> Result<Option<KeyView>, StoreError> {
        self.with_view(|view| match view.key_named(&namespace, name)? {
            None => Ok(None),
            Some(id) => Ok(key_view(&view.key(&namespace, &id)?)),
        })
    }

    /// The customer's encryption keys of a namespace.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn list_keys(&self, namespace: NamespaceId) -> Result<Vec<KeyView>, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let records = snapshot.scan(Table::Key, namespace.as_bytes(), None, usize::MAX)?;
        let view = View::new(&self.shared.keyring, snapshot.as_ref());
        let mut keys = Vec::new();
        for (key, _) in records {
            let id = key
                .get(16..)
                .and_then(|id| id.try_into().ok())
                .map(KeyId::from_bytes);
            if let Some(id) = id {
                keys.extend(key_view(&view.key(&namespace, &id)?));
            }
        }
        Ok(keys)
    }

    /// Whether something of a namespace is kept when it is gone: a secret that has a recovery window, or a
    /// customer's key in any state.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn has_retained_data(&self, namespace: NamespaceId) -> Result<bool, StoreError> {
        let ids = self.ids(Some(namespace), None, usize::MAX);
        self.with_view(|view| {
            for id in &ids {
                if view
                    .head(id)?
                    .is_some_and(|head| head.recovery == Recovery::Window)
                {
                    return Ok(true);
                }
            }
            view.has_customer_key(&namespace)
        })
    }

    /// What depends on each encryption key of a namespace. It looks at every secret of the namespace.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn key_usage(&self, namespace: NamespaceId) -> Result<BTreeMap<KeyId, KeyUsage>, StoreError> {
        let ids = self.ids(Some(namespace), None, usize::MAX);
        self.with_view(|view| {
            let mut primaries: BTreeMap<KeyId, u32> = BTreeMap::new();
            let mut usage: BTreeMap<KeyId, KeyUsage> = BTreeMap::new();
            for id in ids {
                let Some(head) = view.head(&id)? else { continue };
                if let Slot::Vacant(entry) = primaries.entry(head.key) {
                    entry.insert(view.key(&namespace, &head.key)?.primary);
                }
                let primary = primaries.get(&head.key).copied();
                let mut keys = BTreeSet::from([head.key]);
                for version in &head.versions {
                    let stored = view.stored_data_key(&head.id, version.sequence)?;
                    keys.insert(stored.key);
                    usage.entry(stored.key).or_default().versions += 1;
                    if (stored.key, Some(stored.key_version)) != (head.key, primary) {
                        usage.entry(head.key).or_default().waiting += 1;
                    }
                }
                for key in keys {
                    usage.entry(key).or_default().secrets += 1;
                }
            }
            Ok(usage)
        })
    }

    /// When a customer's key was last used, by this process.
    #[must_use]
    pub fn key_last_used(&self, key: KeyId) -> Option<Timestamp> {
        self.shared.uses.lock().get(&key).copied()
    }

    /// How far a reader of the mutation chain has come.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn cursor(&self, name: &CursorName) -> Result<Option<Vec<u8>>, StoreError> {
        self.with_view(|view| {
            let index = view
                .keyring
                .blind_index(IndexDomain::Cursor, &[name.as_str().as_bytes()]);
            let Some(sealed) = view.raw(Table::Cursor, &index)? else {
                return Ok(None);
            };
            let bytes = view
                .keyring
                .open(&Context::Cursor(name.as_str()), &sealed)
                .map_err(|_| StoreError::Damaged {
                    record: format!("cursor `{name}`"),
                })?;
            Ok(Some(bytes.expose().to_vec()))
        })
    }

    /// What is kept of all access policies.
    ///
    /// # Errors
    /// [`StoreError::Engine`]. A record that cannot be read is counted, and hides no other.
    pub fn policies(&self) -> Result<EnforcedPolicies, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let mut found = EnforcedPolicies::default();
        EnforcedPolicy::each(&self.shared.keyring, snapshot.as_ref(), |policy| match policy {
            Ok((_, policy)) => found.policies.push(policy),
            Err(_) => found.unreadable += 1,
        })?;
        Ok(found)
    }

    /// Who was about to change or delete an object of which nothing was seen yet, in any order. What cannot
    /// be read is left out.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub fn pending_attestations(&self) -> Result<Vec<PendingAttestation>, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let mut found = Vec::new();
        Attestation::each(&self.shared.keyring, snapshot.as_ref(), |attestation| {
            found.extend(attestation.map(|(index, attestation)| PendingAttestation {
                id: AttestationId(index),
                namespace: attestation.namespace,
                uid: attestation.uid,
                at: attestation.at,
            }));
        })?;
        Ok(found)
    }

    /// Objects of this kind whose declarations were taken in and of which `is_gone` says that they are gone,
    /// by their uid.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub fn declarations_without_object(
        &self,
        kind: &str,
        is_gone: impl Fn(&str) -> bool,
    ) -> Result<Vec<DeclaredObject>, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let mut found = Vec::new();
        Declaration::each(&self.shared.keyring, snapshot.as_ref(), |declaration| {
            found.extend(
                declaration
                    .ok()
                    .map(|(_, declaration)| declaration.object)
                    .filter(|object| object.kind == kind && is_gone(object.uid.as_str())),
            );
        })?;
        Ok(found)
    }

    /// Who wrote what this object declares; none where nobody knows, or nothing of it was taken in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn requester_of(&self, uid: &ExternalId) -> Result<Option<Requester>, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let view = View::new(&self.shared.keyring, snapshot.as_ref());
        Ok(view
            .declaration(uid)?
            .and_then(|declaration| declaration.requester))
    }

    /// Entries of the mutation chain after a number, in order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn mutations_after(&self, sequence: u64, limit: usize) -> Result<Vec<(u64, Entry)>, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let mut entries = Vec::new();
        let mut from = self.epoch_of(snapshot.as_ref(), sequence)?;
        while entries.len() < limit {
            let batch = snapshot.scan(
                Table::Audit,
                &[],
                from.as_deref(),
                (limit - entries.len()).min(256),
            )?;
            let Some((last, _)) = batch.last() else { break };
            from = Some(last.clone());
            for (key, value) in &batch {
                let damaged = || StoreError::Damaged {
                    record: "a record of the mutation chain".to_owned(),
                };
                let record = audit::MutationRecord::decode(key, value).map_err(|_| damaged())?;
                if record.sequence > sequence {
                    entries.push((
                        record.sequence,
                        record.open(&self.shared.keyring).map_err(|_| damaged())?,
                    ));
                }
            }
        }
        Ok(entries)
    }

    /// A key of the audit table at or before the record of a number. Keys begin with the epoch, and a number
    /// belongs to one epoch: the newest one that begins at or before it.
    fn epoch_of(&self, snapshot: &dyn Snapshot, sequence: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let newest = u32::try_from(self.shared.epoch).unwrap_or(u32::MAX);
        for epoch in (0..=newest).rev() {
            let first = snapshot.scan(Table::Audit, &epoch.to_be_bytes(), None, 1)?;
            if let Some((key, _)) = first.first()
                && audit::decode_key(key).is_ok_and(|(_, first)| first <= sequence)
            {
                return Ok(Some(audit::encode_key(epoch, sequence)));
            }
        }
        Ok(None)
    }
}

/// Finds and opens the value that is asked for.
fn found_value(view: &View<'_>, get: &GetValue) -> Result<(CachedValue, Value), StoreError> {
    let head = view.live(&get.secret)?;
    view.usable_key(&head.namespace, &head.key)?;
    let by_stage = |stage: &Stage| {
        head.staged(stage)
            .ok_or_else(|| Refusal::StageNotFound(stage.to_string()))
    };
    let version = match (&get.version, &get.stage) {
        (None, None) => by_stage(&Stage::Current)?,
        (None, Some(stage)) => by_stage(stage)?,
        (Some(id), None) => head.version(id).ok_or(Refusal::VersionNotFound)?,
        (Some(id), Some(stage)) => {
            let version = head.version(id).ok_or(Refusal::VersionNotFound)?;
            if by_stage(stage)?.id != version.id {
                return Err(Refusal::StageMismatch(stage.to_string()).into());
            }
            version
        }
    };
    debug_assert_eq!(head.state, SecretState::Live);
    let sealed = view.sealed_version(&head, version)?;
    let value = sealed.open()?;
    let known = CachedValue {
        sealed,
        version: version_view(&head, version),
        namespace: view.namespace(&head.namespace)?.name,
        secret: head.name.clone(),
        home_key: head.key,
        key: head.customer_key.then_some(head.key),
    };
    Ok((known, value))
}

fn namespace_view(namespace: crate::format::Namespace) -> NamespaceView {
    NamespaceView {
        id: namespace.id,
        name: namespace.name,
        uid: namespace.uid,
    }
}
