//! What a decision changes, and how that becomes sealed records. Must not decide: an effect is carried out as
//! it stands.

use strongroom_model::id::{KeyId, NamespaceId, SecretId};
use strongroom_model::name::{CursorName, ExternalId, VersionId};
use strongroom_model::time::Timestamp;

use super::error::StoreError;
use super::product_account::ProductAccount;
use super::types::AttestationId;
use super::view::{View, declaration_index, key_key, policy_index, product_index};
use crate::audit::{Cut, Truncation};
use crate::crypto::{
    Context, DataKey, DataKeyContext, IndexDomain, KeyMaterial, MaterialContext, ValueContext,
};
use crate::engine::{Change, Table};
use crate::format::{
    Attestation, AttestedSince, Declaration, EnforcedPolicy, Head, IndexedRecord, KeyRecord, Namespace,
    ProductRecord, SealDigest, StoredDataKey, StoredVersion, key_version_key, meta, version_key,
};
use crate::value::Value;

/// What is due at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DueTask {
    /// The recovery window of a secret closes.
    Purge(SecretId),
    /// An encryption key is destroyed.
    DestroyKey(NamespaceId, KeyId),
}

impl DueTask {
    /// Time, kind and id; the namespace of a key is the value.
    pub(crate) fn key(self, at: Timestamp) -> Vec<u8> {
        let time = u64::try_from(at.as_millis()).unwrap_or(0);
        let mut key = time.to_be_bytes().to_vec();
        match self {
            Self::Purge(secret) => {
                key.push(1);
                key.extend_from_slice(secret.as_bytes());
            }
            Self::DestroyKey(_, id) => {
                key.push(2);
                key.extend_from_slice(id.as_bytes());
            }
        }
        key
    }

    fn value(self) -> Vec<u8> {
        match self {
            Self::Purge(_) => Vec::new(),
            Self::DestroyKey(namespace, _) => namespace.as_bytes().to_vec(),
        }
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<(Timestamp, Self)> {
        let (time, rest) = key.split_first_chunk::<8>()?;
        let (kind, id) = rest.split_first()?;
        let id: [u8; 16] = id.try_into().ok()?;
        let due = match kind {
            1 => Self::Purge(SecretId::from_bytes(id)),
            2 => Self::DestroyKey(
                NamespaceId::from_bytes(value.try_into().ok()?),
                KeyId::from_bytes(id),
            ),
            _ => return None,
        };
        Some((
            Timestamp::from_millis(i64::try_from(u64::from_be_bytes(*time)).ok()?),
            due,
        ))
    }
}

/// One change of a decision.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Writes a head; its revision is raised by one.
    PutHead(Box<Head>),
    /// Makes a secret's name lead to it.
    NameSecret(NamespaceId, Box<str>, SecretId),
    /// Destroys a secret: wrapped data keys, values, head and name.
    DropSecret(Box<Head>),
    /// Seals a new version's value under an encryption key.
    AddVersion {
        namespace: NamespaceId,
        secret: SecretId,
        sequence: u32,
        version: VersionId,
        key: KeyId,
        key_version: u32,
        value: Box<Value>,
    },
    /// Destroys one version.
    DropVersion(NamespaceId, SecretId, u32),
    /// Wraps a data key anew.
    Rewrap {
        head: Box<Head>,
        sequence: u32,
        key: KeyId,
        key_version: u32,
    },
    /// Writes a namespace, and makes its name lead to it.
    PutNamespace(Box<Namespace>),
    /// Writes an encryption key, and makes its name lead to it where it has one.
    PutKey(Box<KeyRecord>),
    /// Makes material for a version of an encryption key.
    AddMaterial(NamespaceId, KeyId, u32),
    /// Destroys the material of a version of an encryption key.
    DropMaterial(KeyId, u32),
    /// Puts something on the calendar.
    AddDue(Timestamp, DueTask),
    /// Takes something off the calendar.
    DropDue(Timestamp, DueTask),
    /// Moves a reader's place in the mutation chain.
    PutCursor(CursorName, Vec<u8>),
    /// Writes an access policy in force.
    PutPolicy(Box<EnforcedPolicy>),
    /// Forgets an access policy.
    DropPolicy(ExternalId),
    /// Writes what is known of a product.
    PutProduct(Box<ProductRecord>),
    /// Writes what an object declares.
    PutDeclaration(Box<Declaration>),
    /// Forgets what an object declares.
    DropDeclaration(ExternalId),
    /// Writes who is about to change an object.
    PutAttestation(AttestationId, Box<Attestation>),
    /// Forgets who was about to.
    DropAttestation(AttestationId),
    /// Remembers since when it is known who writes objects.
    PutAttestedSince(AttestedSince),
    /// Remembers the seal file.
    PutSeal(SealDigest),
    /// Signs up to where the audit is cut.
    SignCut(Cut, Timestamp),
    /// Removes a row of the mutation chain.
    DropChange(Vec<u8>),
}

impl Effect {
    /// A default secret that it changes, and what that counts on afterwards.
    fn product_move(&self) -> Option<(SecretId, Option<ProductAccount>)> {
        match self {
            Self::PutHead(head) => ProductAccount::for_head(head).map(|account| (head.id, Some(account))),
            Self::DropSecret(head) => ProductAccount::for_head(head).map(|_| (head.id, None)),
            _ => None,
        }
    }
}

impl View<'_> {
    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.staged.insert((table, key), Some(value));
    }

    fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.staged.insert((table, key), None);
    }

    /// Rows of a secret change: they count for its namespace.
    fn touch(&mut self, secret: SecretId, namespace: NamespaceId) {
        self.owners.namespaces.insert(secret, namespace);
    }

    /// The pending changes, as the engine takes them; none are pending afterwards.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.pending)
            .into_iter()
            .map(|((table, key), value)| match value {
                Some(value) => Change::Put { table, key, value },
                None => Change::Delete { table, key },
            })
            .collect()
    }

    /// Carries all effects out on the pending changes, or none.
    pub(crate) fn apply(&mut self, effects: Vec<Effect>) -> Result<(), StoreError> {
        let moves: Vec<_> = effects.iter().filter_map(Effect::product_move).collect();
        let applied = effects.into_iter().try_for_each(|effect| self.apply_one(effect));
        let staged = std::mem::take(&mut self.staged);
        applied?;
        for ((_, key), value) in &staged {
            self.limits.check(key, value.as_deref().unwrap_or_default())?;
        }
        self.pending.extend(staged);
        self.owners.products.extend(moves);
        Ok(())
    }

    fn put_indexed<R: IndexedRecord>(&mut self, index: [u8; 32], record: &R) -> Result<(), StoreError> {
        let sealed = self.keyring.seal(&R::context(&index), &record.encode())?;
        self.put(R::TABLE, index.to_vec(), sealed);
        Ok(())
    }

    fn apply_one(&mut self, effect: Effect) -> Result<(), StoreError> {
        match effect {
            Effect::PutHead(mut head) => {
                head.revision += 1;
                let context = Context::Head {
                    secret: &head.id,
                    revision: head.revision,
                };
                let mut bytes = head.revision.to_be_bytes().to_vec();
                bytes.extend_from_slice(&self.keyring.seal(&context, &head.encode())?);
                self.touch(head.id, head.namespace);
                self.put(Table::Head, head.id.as_bytes().to_vec(), bytes);
            }
            Effect::NameSecret(namespace, name, id) => {
                let index = self
                    .keyring
                    .blind_index(IndexDomain::Secret, &[namespace.as_bytes(), name.as_bytes()]);
                self.put(Table::Name, index.to_vec(), id.as_bytes().to_vec());
            }
            Effect::DropSecret(head) => {
                self.touch(head.id, head.namespace);
                for version in &head.versions {
                    self.remove(Table::DataKey, version_key(&head.id, version.sequence));
                    self.remove(Table::Version, version_key(&head.id, version.sequence));
                }
                let parts: [&[u8]; 2] = [head.namespace.as_bytes(), head.name.as_str().as_bytes()];
                self.remove(
                    Table::Name,
                    self.keyring.blind_index(IndexDomain::Secret, &parts).to_vec(),
                );
                self.remove(Table::Head, head.id.as_bytes().to_vec());
            }
            Effect::AddVersion {
                namespace,
                secret,
                sequence,
                version,
                key,
                key_version,
                value,
            } => {
                self.add_version(namespace, secret, sequence, &version, (key, key_version), &value)?;
            }
            Effect::DropVersion(namespace, secret, sequence) => {
                self.touch(secret, namespace);
                self.remove(Table::DataKey, version_key(&secret, sequence));
                self.remove(Table::Version, version_key(&secret, sequence));
            }
            Effect::Rewrap {
                head,
                sequence,
                key,
                key_version,
            } => {
                let stored = self.stored_data_key(&head.id, sequence)?;
                let data_key = self.data_key(&head, sequence, &stored)?;
                self.put_data_key(head.namespace, head.id, sequence, (key, key_version), &data_key)?;
            }
            Effect::PutNamespace(namespace) => {
                let index = self
                    .keyring
                    .blind_index(IndexDomain::Namespace, &[namespace.name.as_str().as_bytes()]);
                self.put(Table::Name, index.to_vec(), namespace.id.as_bytes().to_vec());
                let sealed = self
                    .keyring
                    .seal(&Context::Namespace(&namespace.id), &namespace.encode())?;
                self.put(Table::Namespace, namespace.id.as_bytes().to_vec(), sealed);
            }
            Effect::PutKey(key) => {
                if let Some(name) = &key.name {
                    let parts: [&[u8]; 2] = [key.namespace.as_bytes(), name.as_str().as_bytes()];
                    let index = self.keyring.blind_index(IndexDomain::Key, &parts);
                    self.put(Table::Name, index.to_vec(), key.id.as_bytes().to_vec());
                }
                let context = Context::Key {
                    namespace: &key.namespace,
                    key: &key.id,
                };
                let sealed = self.keyring.seal(&context, &key.encode())?;
                self.put(Table::Key, key_key(&key.namespace, &key.id), sealed);
            }
            Effect::AddMaterial(namespace, key, version) => {
                let context = MaterialContext {
                    namespace,
                    key,
                    version,
                };
                let wrapped = self.keyring.wrap(&context, &KeyMaterial::generate()?)?;
                self.put(Table::KeyVersion, key_version_key(&key, version), wrapped);
            }
            Effect::DropMaterial(key, version) => {
                self.remove(Table::KeyVersion, key_version_key(&key, version))
            }
            Effect::AddDue(at, due) => self.put(Table::Due, due.key(at), due.value()),
            Effect::DropDue(at, due) => self.remove(Table::Due, due.key(at)),
            Effect::PutCursor(name, bytes) => {
                let index = self
                    .keyring
                    .blind_index(IndexDomain::Cursor, &[name.as_str().as_bytes()]);
                let sealed = self.keyring.seal(&Context::Cursor(name.as_str()), &bytes)?;
                self.put(Table::Cursor, index.to_vec(), sealed);
            }
            Effect::PutPolicy(policy) => {
                self.put_indexed(policy_index(self.keyring, &policy.uid), &*policy)?;
            }
            Effect::DropPolicy(uid) => {
                self.remove(Table::Policy, policy_index(self.keyring, &uid).to_vec());
            }
            Effect::PutProduct(product) => {
                self.put_indexed(product_index(self.keyring, &product.code), &*product)?;
            }
            Effect::PutDeclaration(declaration) => {
                let index = declaration_index(self.keyring, &declaration.object.uid);
                self.put_indexed(index, &*declaration)?;
            }
            Effect::DropDeclaration(uid) => {
                self.remove(Table::Declaration, declaration_index(self.keyring, &uid).to_vec());
            }
            Effect::PutAttestation(id, attestation) => {
                self.put_indexed(id.0, &*attestation)?;
            }
            Effect::DropAttestation(id) => self.remove(Table::Attestation, id.0.to_vec()),
            Effect::PutAttestedSince(since) => {
                self.put(Table::Meta, meta::ATTESTED_SINCE.to_vec(), since.encode());
            }
            Effect::SignCut(cut, time) => {
                let signed = Truncation::sign(self.keyring.signer(), &self.keyring.store(), cut, time);
                self.put(Table::Meta, meta::TRUNCATION.to_vec(), signed.encode());
            }
            Effect::DropChange(key) => self.remove(Table::Audit, key),
            Effect::PutSeal(digest) => self.put(Table::Meta, meta::SEAL.to_vec(), digest.encode()),
        }
        Ok(())
    }

    fn add_version(
        &mut self,
        namespace: NamespaceId,
        secret: SecretId,
        sequence: u32,
        version: &VersionId,
        under: (KeyId, u32),
        value: &Value,
    ) -> Result<(), StoreError> {
        let data_key = DataKey::generate()?;
        self.put_data_key(namespace, secret, sequence, under, &data_key)?;
        let context = ValueContext {
            store: self.keyring.store(),
            namespace,
            secret,
            sequence,
            version,
            data_type: value.data_type(),
        };
        let sealed = data_key.seal_value(&context, &value.encode())?;
        self.put(
            Table::Version,
            version_key(&secret, sequence),
            StoredVersion::encode(&sealed),
        );
        Ok(())
    }

    fn put_data_key(
        &mut self,
        namespace: NamespaceId,
        secret: SecretId,
        sequence: u32,
        (key, key_version): (KeyId, u32),
        data_key: &DataKey,
    ) -> Result<(), StoreError> {
        self.touch(secret, namespace);
        let material = self.material(&namespace, &key, key_version)?;
        let context = DataKeyContext {
            store: self.keyring.store(),
            namespace,
            secret,
            sequence,
            key,
            key_version,
        };
        let wrapped = data_key.wrap(&material, &context)?;
        let stored = StoredDataKey {
            key,
            key_version,
            wrapped,
        };
        self.put(Table::DataKey, version_key(&secret, sequence), stored.encode());
        Ok(())
    }
}
