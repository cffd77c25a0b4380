//! Versions: the sealed value of one with what opens it, and how a view finds both.

use std::sync::Arc;

use strongroom_model::SecretBytes;
use strongroom_model::id::{KeyId, NamespaceId, SecretId};
use strongroom_model::name::VersionId;

use super::error::StoreError;
use super::view::View;
use crate::crypto::{DataKey, DataKeyContext, KeyMaterial, MaterialContext, SealedValue, ValueContext};
use crate::engine::Table;
use crate::format::{Head, HeadVersion, StoredDataKey, StoredVersion, key_version_key, version_key};
use crate::value::{DataType, Value};

/// A version's sealed value with its wrapped data key and the material that unwraps it.
pub(crate) struct SealedVersion {
    pub(super) place: DataKeyContext,
    wrapped: Vec<u8>,
    pub(super) material: Arc<KeyMaterial>,
    value: SealedValue,
    version: VersionId,
    data_type: DataType,
}

impl SealedVersion {
    /// Bytes of the sealed value.
    pub(super) fn len(&self) -> usize {
        self.value.sealed.len()
    }

    /// Opens the value.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where it, or its data key, is not what was written.
    pub(crate) fn open(&self) -> Result<Value, StoreError> {
        let plaintext = self.open_bytes()?;
        Value::decode(plaintext.expose()).map_err(|_| self.damaged())
    }

    /// Opens the value as its canonical bytes.
    ///
    /// # Errors
    /// As of [`SealedVersion::open`], but that nobody has looked at the bytes.
    pub(super) fn open_bytes(&self) -> Result<SecretBytes, StoreError> {
        let (secret, sequence) = (self.place.secret, self.place.sequence);
        let data_key = unwrapped(&self.wrapped, &self.material, &self.place)?;
        let context = ValueContext {
            store: self.place.store,
            namespace: self.place.namespace,
            secret,
            sequence,
            version: &self.version,
            data_type: self.data_type,
        };
        data_key
            .open_value(&context, &self.value)
            .map_err(|_| self.damaged())
    }

    /// That the record is not what was written.
    pub(super) fn damaged(&self) -> StoreError {
        let (secret, sequence) = (self.place.secret, self.place.sequence);
        StoreError::damaged(format!("version {sequence} of secret {secret}"))
    }
}

fn unwrapped(wrapped: &[u8], material: &KeyMaterial, place: &DataKeyContext) -> Result<DataKey, StoreError> {
    DataKey::unwrap(wrapped, material, place).map_err(|_| {
        let (secret, sequence) = (place.secret, place.sequence);
        StoreError::damaged(format!("the data key of version {sequence} of secret {secret}"))
    })
}

impl View<'_> {
    pub(crate) fn material(
        &self,
        namespace: &NamespaceId,
        key: &KeyId,
        version: u32,
    ) -> Result<KeyMaterial, StoreError> {
        let record = || StoreError::damaged(format!("version {version} of encryption key {key}"));
        let wrapped = self
            .raw(Table::KeyVersion, &key_version_key(key, version))?
            .ok_or_else(record)?;
        let context = MaterialContext {
            namespace: *namespace,
            key: *key,
            version,
        };
        self.keyring.unwrap(&context, &wrapped).map_err(|_| record())
    }

    pub(crate) fn stored_data_key(
        &self,
        secret: &SecretId,
        sequence: u32,
    ) -> Result<StoredDataKey, StoreError> {
        let record = || StoreError::damaged(format!("the data key of version {sequence} of secret {secret}"));
        let bytes = self
            .raw(Table::DataKey, &version_key(secret, sequence))?
            .ok_or_else(record)?;
        StoredDataKey::decode(&bytes).map_err(|_| record())
    }

    pub(crate) fn data_key(
        &self,
        head: &Head,
        sequence: u32,
        stored: &StoredDataKey,
    ) -> Result<DataKey, StoreError> {
        let material = self.material(&head.namespace, &stored.key, stored.key_version)?;
        unwrapped(&stored.wrapped, &material, &self.place(head, sequence, stored))
    }

    fn place(&self, head: &Head, sequence: u32, stored: &StoredDataKey) -> DataKeyContext {
        DataKeyContext {
            store: self.keyring.store(),
            namespace: head.namespace,
            secret: head.id,
            sequence,
            key: stored.key,
            key_version: stored.key_version,
        }
    }

    /// The value of a version that the head names. A missing record is damage, never "not found".
    pub(crate) fn value(&self, head: &Head, version: &HeadVersion) -> Result<Value, StoreError> {
        self.sealed_version(head, version)?.open()
    }

    /// The sealed value of a version that the head names, with what opens it.
    pub(crate) fn sealed_version(
        &self,
        head: &Head,
        version: &HeadVersion,
    ) -> Result<SealedVersion, StoreError> {
        let record = || StoreError::damaged(format!("version {} of secret {}", version.sequence, head.id));
        let stored = self.stored_data_key(&head.id, version.sequence)?;
        // The key that wraps the data key decides, not the one that new versions come under.
        self.usable_key(&head.namespace, &stored.key)?;
        let material = self.material(&head.namespace, &stored.key, stored.key_version)?;
        let bytes = self
            .raw(Table::Version, &version_key(&head.id, version.sequence))?
            .ok_or_else(record)?;
        Ok(SealedVersion {
            place: self.place(head, version.sequence, &stored),
            wrapped: stored.wrapped,
            material: Arc::new(material),
            value: StoredVersion::decode(&bytes).map_err(|_| record())?,
            version: version.id.clone(),
            data_type: version.data_type,
        })
    }
}
