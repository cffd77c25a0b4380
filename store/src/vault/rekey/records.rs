//! Every record under the new root key: names, objects and readers under new blind indexes, encryption keys
//! with a new version and no older one, values with new data keys. Must not decide what counts; the seal file
//! does.
//!
//! Attestations stay behind: what they are found by holds a mark that is nowhere else. Each waits at most
//! minutes for the object that it tells of, and a change that nobody attests is audited as that.

use std::collections::BTreeMap;

use strongroom_model::id::{KeyId, NamespaceId, SecretId};
use strongroom_model::name::CursorName;
use strongroom_model::time::Timestamp;

use super::RekeyStep;
use crate::crypto::{
    Context, CryptoError, DataKey, DataKeyContext, IndexDomain, KeyMaterial, Keyring, MaterialContext,
    SealedValue, StateDigest, ValueContext,
};
use crate::engine::{Engine, Snapshot, Table, try_visit};
use crate::format::{
    Declaration, EnforcedPolicy, Head, HeadVersion, IndexedRecord, KeyState, KeyVersionState, ProductRecord,
    StoredDataKey, StoredVersion, key_version_key, meta, version_key,
};
use crate::vault::error::StoreError;
use crate::vault::heads::open_head;
use crate::vault::indexed_record::open_indexed;
use crate::vault::new_file::NewFile;
use crate::vault::open_error::OpenError;
use crate::vault::view::{View, declaration_index, key_key, policy_index, product_index};

/// Records are told of in steps of so many.
const TOLD_EACH: u64 = 256;

/// The new file as far as it is written.
pub(super) struct ResealedRecords<'a> {
    view: View<'a>,
    new: &'a Keyring,
    to: NewFile,
    told: &'a mut dyn FnMut(RekeyStep),
    /// The new version of each encryption key; none of one that was destroyed.
    materials: BTreeMap<KeyId, Option<(u32, KeyMaterial)>>,
    pub(super) digest: StateDigest,
    records: u64,
    pub(super) values: u64,
    pub(super) lost_values: u64,
}

impl<'a> ResealedRecords<'a> {
    /// Nothing of the snapshot, which is under the first keyring, is in the file yet.
    pub(super) fn new(
        (old, new): (&'a Keyring, &'a Keyring),
        snapshot: &'a dyn Snapshot,
        to: NewFile,
        told: &'a mut dyn FnMut(RekeyStep),
    ) -> Self {
        Self {
            view: View::new(old, snapshot),
            new,
            to,
            told,
            materials: BTreeMap::new(),
            digest: StateDigest::default(),
            records: 0,
            values: 0,
            lost_values: 0,
        }
    }

    /// Encryption keys that have a new version.
    pub(super) fn keys(&self) -> u64 {
        self.materials.values().flatten().count() as u64
    }

    /// Adds a record to the file and to the digest.
    pub(super) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) -> Result<(), OpenError> {
        self.digest = self.digest.plus(self.new.record_term(table.code(), &key, &value));
        self.put_undigested(table, key, value)
    }

    fn put_undigested(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) -> Result<(), OpenError> {
        self.to.put(table, key, value)?;
        self.records += 1;
        if self.records.is_multiple_of(TOLD_EACH) {
            (self.told)(RekeyStep::Records(self.records));
        }
        Ok(())
    }

    /// Adds the state, the one record outside of the digest. The whole file, and how many records it has.
    pub(super) fn finish(mut self, state: Vec<u8>, fence: u64) -> Result<(Box<dyn Engine>, u64), OpenError> {
        self.put_undigested(Table::Meta, meta::STATE.to_vec(), state)?;
        let engine = self.to.finish(fence)?;
        (self.told)(RekeyStep::Records(self.records));
        Ok((engine, self.records))
    }

    /// Adds every record but the store's own facts and the audit.
    pub(super) fn reseal(&mut self, cursors: &[CursorName], now: Timestamp) -> Result<(), OpenError> {
        self.encryption_keys(now)?;
        for table in Table::ALL {
            match table {
                Table::Namespace => self.namespaces()?,
                Table::Head => self.secrets()?,
                Table::Due => self.due()?,
                Table::Cursor => self.cursors(cursors)?,
                Table::Policy => {
                    self.indexed(|keyring, policy: &EnforcedPolicy| policy_index(keyring, &policy.uid))?;
                }
                Table::Declaration => {
                    self.indexed(|keyring, declaration: &Declaration| {
                        declaration_index(keyring, &declaration.object.uid)
                    })?;
                }
                Table::Product => {
                    self.indexed(|keyring, product: &ProductRecord| product_index(keyring, &product.code))?;
                }
                // Keys were first. A name comes with what it leads to, a version with its secret; the
                // store's own facts and the audit come in `chains`, and attestations nowhere.
                Table::Key
                | Table::KeyVersion
                | Table::Name
                | Table::Version
                | Table::DataKey
                | Table::Meta
                | Table::Audit
                | Table::Attestation => {}
            }
        }
        Ok(())
    }

    /// Writes the name of what has this id, if the name leads to it: that of a destroyed key may have been
    /// taken again.
    fn name(&mut self, domain: IndexDomain, parts: &[&[u8]], id: &[u8; 16]) -> Result<(), OpenError> {
        let before = self.view.keyring.blind_index(domain, parts);
        if self.view.raw(Table::Name, &before)?.as_deref() == Some(id.as_slice()) {
            let after = self.new.blind_index(domain, parts);
            self.put(Table::Name, after.to_vec(), id.to_vec())?;
        }
        Ok(())
    }

    fn namespaces(&mut self) -> Result<(), OpenError> {
        try_visit(self.view.snapshot, Table::Namespace, |key, _| {
            let id = <[u8; 16]>::try_from(key).map_err(|_| StoreError::damaged("a namespace"))?;
            let namespace = self.view.namespace(&NamespaceId::from_bytes(id))?;
            self.name(IndexDomain::Namespace, &[namespace.name.as_str().as_bytes()], &id)?;
            let sealed = self
                .new
                .seal(&Context::Namespace(&namespace.id), &namespace.encode())?;
            self.put(Table::Namespace, id.to_vec(), sealed)
        })
    }

    fn encryption_keys(&mut self, now: Timestamp) -> Result<(), OpenError> {
        try_visit(self.view.snapshot, Table::Key, |place, _| {
            let (namespace, id) =
                ids_of_key(place).ok_or_else(|| StoreError::damaged("an encryption key"))?;
            let mut key = self.view.key(&namespace, &id)?;
            let mut material = None;
            if key.state != KeyState::Destroyed {
                let versions = key.versions.iter().map(|version| version.version);
                let version = versions.max().unwrap_or(0).max(key.primary) + 1;
                key.primary = version;
                key.versions = vec![KeyVersionState {
                    version,
                    created: now,
                }];
                let fresh = KeyMaterial::generate()?;
                let context = MaterialContext {
                    namespace,
                    key: id,
                    version,
                };
                let wrapped = self.new.wrap(&context, &fresh)?;
                self.put(Table::KeyVersion, key_version_key(&id, version), wrapped)?;
                material = Some((version, fresh));
            }
            self.materials.insert(id, material);
            if let Some(name) = &key.name {
                let parts: [&[u8]; 2] = [namespace.as_bytes(), name.as_str().as_bytes()];
                self.name(IndexDomain::Key, &parts, id.as_bytes())?;
            }
            let context = Context::Key {
                namespace: &namespace,
                key: &id,
            };
            let sealed = self.new.seal(&context, &key.encode())?;
            self.put(Table::Key, key_key(&namespace, &id), sealed)
        })
    }

    fn secrets(&mut self) -> Result<(), OpenError> {
        let old = self.view.keyring;
        try_visit(self.view.snapshot, Table::Head, |key, bytes| {
            let id = <[u8; 16]>::try_from(key).map_err(|_| StoreError::damaged("a head"))?;
            let head = open_head(old, &SecretId::from_bytes(id), bytes)?;
            let parts: [&[u8]; 2] = [head.namespace.as_bytes(), head.name.as_str().as_bytes()];
            self.name(IndexDomain::Secret, &parts, &id)?;
            for version in &head.versions {
                self.version(&head, version)?;
            }
            let context = Context::Head {
                secret: &head.id,
                revision: head.revision,
            };
            let mut row = head.revision.to_be_bytes().to_vec();
            row.extend_from_slice(&self.new.seal(&context, &head.encode())?);
            self.put(Table::Head, id.to_vec(), row)
        })
    }

    /// Seals the value of a version with a new data key, under the new version of the same encryption key.
    fn version(&mut self, head: &Head, version: &HeadVersion) -> Result<(), OpenError> {
        let sequence = version.sequence;
        let record = || StoreError::damaged(format!("version {sequence} of secret {}", head.id));
        let place = version_key(&head.id, sequence);
        let stored = self.view.stored_data_key(&head.id, sequence)?;
        let bytes = self.view.raw(Table::Version, &place)?.ok_or_else(record)?;
        let value = StoredVersion::decode(&bytes).map_err(|_| record())?;
        let (data_key, value) = match self.materials.get(&stored.key).ok_or_else(record)? {
            Some((key_version, material)) => {
                let context = ValueContext {
                    store: self.new.store(),
                    namespace: head.namespace,
                    secret: head.id,
                    sequence,
                    version: &version.id,
                    data_type: version.data_type,
                };
                let plaintext = self
                    .view
                    .data_key(head, sequence, &stored)?
                    .open_value(&context, &value)
                    .map_err(|_| record())?;
                let fresh = DataKey::generate()?;
                let wrapped = fresh.wrap(
                    material,
                    &DataKeyContext {
                        store: self.new.store(),
                        namespace: head.namespace,
                        secret: head.id,
                        sequence,
                        key: stored.key,
                        key_version: *key_version,
                    },
                )?;
                self.values += 1;
                let data_key = StoredDataKey {
                    key: stored.key,
                    key_version: *key_version,
                    wrapped,
                };
                (data_key, fresh.seal_value(&context, plaintext.expose())?)
            }
            // Its key was destroyed, and may be in an old backup: noise of the same length stands for it.
            None => {
                self.lost_values += 1;
                let data_key = StoredDataKey {
                    wrapped: noise(stored.wrapped.len())?,
                    ..stored
                };
                let value = SealedValue {
                    commitment: *crate::crypto::random::<32>()?,
                    sealed: noise(value.sealed.len())?,
                };
                (data_key, value)
            }
        };
        self.put(Table::DataKey, place.clone(), data_key.encode())?;
        self.put(Table::Version, place, StoredVersion::encode(&value))
    }

    fn due(&mut self) -> Result<(), OpenError> {
        try_visit(self.view.snapshot, Table::Due, |key, value| {
            self.put(Table::Due, key.to_vec(), value.to_vec())
        })
    }

    fn cursors(&mut self, names: &[CursorName]) -> Result<(), OpenError> {
        for name in names {
            let parts = [name.as_str().as_bytes()];
            let before = self.view.keyring.blind_index(IndexDomain::Cursor, &parts);
            let Some(sealed) = self.view.raw(Table::Cursor, &before)? else {
                continue;
            };
            let context = Context::Cursor(name.as_str());
            let place = self
                .view
                .keyring
                .open(&context, &sealed)
                .map_err(|_| StoreError::damaged(format!("cursor `{name}`")))?;
            let after = self.new.blind_index(IndexDomain::Cursor, &parts);
            self.put(
                Table::Cursor,
                after.to_vec(),
                self.new.seal(&context, place.expose())?,
            )?;
        }
        Ok(())
    }

    /// Records that are kept under an index of their own.
    fn indexed<R: IndexedRecord>(
        &mut self,
        index: impl Fn(&Keyring, &R) -> [u8; 32],
    ) -> Result<(), OpenError> {
        let old = self.view.keyring;
        try_visit(self.view.snapshot, R::TABLE, |key, sealed| {
            let before = <[u8; 32]>::try_from(key).map_err(|_| StoreError::damaged(R::NAME))?;
            let record: R = open_indexed(old, &before, sealed)?;
            let after = index(self.new, &record);
            let sealed = self.new.seal(&R::context(&after), &record.encode())?;
            self.put(R::TABLE, after.to_vec(), sealed)
        })
    }
}

fn ids_of_key(place: &[u8]) -> Option<(NamespaceId, KeyId)> {
    let (namespace, id) = place.split_first_chunk::<16>()?;
    let id: [u8; 16] = id.try_into().ok()?;
    Some((NamespaceId::from_bytes(*namespace), KeyId::from_bytes(id)))
}

fn noise(length: usize) -> Result<Vec<u8>, CryptoError> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).map_err(|_| CryptoError::NoRandomness)?;
    Ok(bytes)
}
