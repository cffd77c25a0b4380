//! What a decision sees: a snapshot, the changes of the commands before it in the same group, and the keys to
//! read both. Must not change anything; effects do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use strongroom_model::ProductCode;
use strongroom_model::id::{KeyId, NamespaceId, SecretId};
use strongroom_model::name::{ExternalId, KeyName, NamespaceName, SecretName};

use super::commit_changes::SecretOwners;
use super::error::{Refusal, StoreError};
use super::heads::open_head;
use super::indexed_record::open_indexed;
use super::namespace_quotas::NamespaceQuotas;
use super::product_account::ProductAccount;
use super::product_quotas::ProductQuotas;
use super::quota::{QuotaAccount, QuotaUse, Usage, row_bytes};
use super::types::{AttestationId, ObjectChange, ObjectDigest};
use crate::audit::{Cut, Truncation};
use crate::crypto::{Context, IndexDomain, Keyring};
use crate::engine::{RecordLimits, Snapshot, Table};
use crate::format::{
    Attestation, AttestedSince, Declaration, EnforcedPolicy, Head, IndexedRecord, KeyRecord, KeyState,
    Namespace, ProductRecord, Quota, SecretState, head_row_bytes, meta, version_key,
};

/// Changes that are not committed yet: a value, or none for a removal.
pub(crate) type PendingChanges = BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>;

/// A snapshot under pending changes.
pub struct View<'a> {
    pub(super) keyring: &'a Keyring,
    pub(super) snapshot: &'a dyn Snapshot,
    pub(super) pending: PendingChanges,
    /// Changes of the command that is being carried out; they become pending together, or not at all.
    pub(super) staged: PendingChanges,
    /// The accounts of namespaces, where something is decided about.
    pub(super) quotas: Option<&'a NamespaceQuotas>,
    /// The accounts of products, likewise.
    products: Option<&'a ProductQuotas>,
    /// The largest record that the engine holds, where something is changed.
    pub(super) limits: RecordLimits,
    /// What the commands before in the same group took.
    taken: BTreeMap<QuotaAccount, Usage>,
    pub(super) owners: SecretOwners,
}

impl<'a> View<'a> {
    pub(crate) const fn new(keyring: &'a Keyring, snapshot: &'a dyn Snapshot) -> Self {
        Self {
            keyring,
            snapshot,
            pending: PendingChanges::new(),
            staged: PendingChanges::new(),
            quotas: None,
            products: None,
            limits: RecordLimits::UNLIMITED,
            taken: BTreeMap::new(),
            owners: SecretOwners {
                namespaces: BTreeMap::new(),
                products: BTreeMap::new(),
            },
        }
    }

    /// The same, with the accounts of namespaces and of products.
    pub(in crate::vault) fn with_quotas(
        self,
        namespaces: &'a NamespaceQuotas,
        products: &'a ProductQuotas,
    ) -> Self {
        Self {
            quotas: Some(namespaces),
            products: Some(products),
            ..self
        }
    }

    /// The same, for changes of an engine with these limits.
    pub(super) fn with_limits(self, limits: RecordLimits) -> Self {
        Self { limits, ..self }
    }

    /// What is on an account, with what was taken in this group.
    pub(crate) fn used(&self, account: QuotaAccount) -> Usage {
        let taken = self.taken.get(&account).copied().unwrap_or_default();
        let usage = match account {
            QuotaAccount::Namespace(namespace) => self.quotas.map(|quotas| quotas.usage(&namespace)),
            QuotaAccount::Products => self.products.map(ProductQuotas::used),
        };
        usage.unwrap_or_default().plus(taken)
    }

    /// What may be on an account; none: there is no end.
    pub(crate) fn limit(&self, account: QuotaAccount) -> Option<Quota> {
        match account {
            QuotaAccount::Namespace(namespace) => self.quotas?.limit(&namespace),
            QuotaAccount::Products => self.products?.share(),
        }
    }

    /// How many default secrets a product has in a namespace, and in all, with those that come and go in this
    /// group.
    pub(crate) fn product_secrets(&self, account: &ProductAccount) -> (u64, u64) {
        self.products
            .map(|products| products.secrets_after(account, &self.owners.products))
            .unwrap_or_default()
    }

    /// Room is taken by a command that is carried out.
    pub(crate) fn reserve(&mut self, more: QuotaUse) {
        let taken = self.taken.entry(more.account).or_default();
        *taken = taken.plus(more.usage);
    }

    /// Bytes of the rows of a version.
    pub(crate) fn version_bytes(&self, secret: &SecretId, sequence: u32) -> Result<u64, StoreError> {
        let key = version_key(secret, sequence);
        let mut bytes = 0;
        for table in [Table::Version, Table::DataKey] {
            if let Some(value) = self.raw(table, &key)? {
                bytes += row_bytes(&key, &value);
            }
        }
        Ok(bytes)
    }

    /// Bytes of all rows of a secret.
    pub(crate) fn secret_bytes(&self, head: &Head) -> Result<u64, StoreError> {
        let mut bytes = head_row_bytes(head);
        for version in &head.versions {
            bytes += self.version_bytes(&head.id, version.sequence)?;
        }
        Ok(bytes)
    }

    pub(crate) fn raw(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        // A tuple key cannot be looked up by a borrowed slice; keys are at most 32 bytes.
        let place = (table, key.to_vec());
        match self.staged.get(&place).or_else(|| self.pending.get(&place)) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.snapshot.value(table, key)?),
        }
    }

    /// Up to where the audit was cut.
    pub(crate) fn cut(&self) -> Result<Cut, StoreError> {
        let Some(stored) = self.raw(Table::Meta, meta::TRUNCATION)? else {
            return Ok(Cut::default());
        };
        Truncation::decode(&stored)
            .ok()
            .filter(|truncation| truncation.verifies(&self.keyring.public_key(), &self.keyring.store()))
            .map(|truncation| truncation.cut)
            .ok_or_else(|| StoreError::damaged("the truncation of the audit"))
    }

    /// The id that a blind index leads to.
    fn indexed(&self, domain: IndexDomain, parts: &[&[u8]]) -> Result<Option<[u8; 16]>, StoreError> {
        match self.raw(Table::Name, &self.keyring.blind_index(domain, parts))? {
            None => Ok(None),
            Some(id) => id
                .as_slice()
                .try_into()
                .map(Some)
                .map_err(|_| StoreError::damaged("an entry of the name index")),
        }
    }

    pub(crate) fn namespace(&self, id: &NamespaceId) -> Result<Namespace, StoreError> {
        let sealed = self
            .raw(Table::Namespace, id.as_bytes())?
            .ok_or(Refusal::NamespaceNotFound)?;
        let bytes = self
            .keyring
            .open(&Context::Namespace(id), &sealed)
            .map_err(|_| StoreError::damaged(format!("namespace {id}")))?;
        Namespace::decode(*id, bytes.expose()).map_err(|_| StoreError::damaged(format!("namespace {id}")))
    }

    pub(crate) fn namespace_named(&self, name: &NamespaceName) -> Result<Option<Namespace>, StoreError> {
        match self.indexed(IndexDomain::Namespace, &[name.as_str().as_bytes()])? {
            None => Ok(None),
            Some(id) => match self.namespace(&NamespaceId::from_bytes(id)) {
                Err(StoreError::Refused(_)) => Err(StoreError::damaged(format!(
                    "namespace {}",
                    NamespaceId::from_bytes(id)
                ))),
                other => other.map(Some),
            },
        }
    }

    pub(crate) fn head(&self, id: &SecretId) -> Result<Option<Head>, StoreError> {
        self.raw(Table::Head, id.as_bytes())?
            .map(|bytes| open_head(self.keyring, id, &bytes))
            .transpose()
    }

    /// The head of a secret that there must be.
    pub(crate) fn existing(&self, id: &SecretId) -> Result<Head, StoreError> {
        self.head(id)?.ok_or_else(|| Refusal::SecretNotFound.into())
    }

    /// The head of a secret that can be used.
    pub(crate) fn live(&self, id: &SecretId) -> Result<Head, StoreError> {
        let head = self.existing(id)?;
        match head.state {
            SecretState::Live => Ok(head),
            SecretState::PendingDeletion { until, .. } => Err(Refusal::InRecoveryWindow { until }.into()),
        }
    }

    pub(crate) fn secret_named(
        &self,
        namespace: &NamespaceId,
        name: &SecretName,
    ) -> Result<Option<Head>, StoreError> {
        match self.indexed(
            IndexDomain::Secret,
            &[namespace.as_bytes(), name.as_str().as_bytes()],
        )? {
            None => Ok(None),
            Some(id) => {
                let id = SecretId::from_bytes(id);
                self.head(&id)?
                    .map(Some)
                    .ok_or_else(|| StoreError::damaged(format!("secret {id}")))
            }
        }
    }

    /// The heads of a namespace. It looks at every head there is.
    pub(crate) fn heads_of(&self, namespace: &NamespaceId) -> Result<Vec<Head>, StoreError> {
        let mut heads = Vec::new();
        for id in self.keys_of(Table::Head)? {
            let Ok(id) = <[u8; 16]>::try_from(id.as_slice()) else {
                continue;
            };
            let head = self.head(&SecretId::from_bytes(id))?;
            heads.extend(head.filter(|head| head.namespace == *namespace));
        }
        Ok(heads)
    }

    /// Whether a namespace has an encryption key of a customer, in whatever state.
    pub(crate) fn has_customer_key(&self, namespace: &NamespaceId) -> Result<bool, StoreError> {
        for place in self.keys_of(Table::Key)? {
            let Some((of, id)) = place.split_at_checked(16) else {
                continue;
            };
            let Ok(id) = <[u8; 16]>::try_from(id) else {
                continue;
            };
            if of == namespace.as_bytes()
                && self.raw(Table::Key, &place)?.is_some()
                && self.key(namespace, &KeyId::from_bytes(id))?.name.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The keys of all records of a table, those that are gone in the pending changes included.
    fn keys_of(&self, table: Table) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let changed = self.staged.keys().chain(self.pending.keys());
        let mut keys: BTreeSet<Vec<u8>> = changed
            .filter(|(of, _)| *of == table)
            .map(|(_, key)| key.clone())
            .collect();
        self.snapshot.visit(table, &mut |key, _| {
            keys.insert(key.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(keys)
    }

    pub(crate) fn key(&self, namespace: &NamespaceId, id: &KeyId) -> Result<KeyRecord, StoreError> {
        let sealed = self
            .raw(Table::Key, &key_key(namespace, id))?
            .ok_or(Refusal::KeyNotFound)?;
        let bytes = self
            .keyring
            .open(&Context::Key { namespace, key: id }, &sealed)
            .map_err(|_| StoreError::damaged(format!("encryption key {id}")))?;
        KeyRecord::decode(*namespace, *id, bytes.expose())
            .map_err(|_| StoreError::damaged(format!("encryption key {id}")))
    }

    pub(crate) fn key_named(
        &self,
        namespace: &NamespaceId,
        name: &KeyName,
    ) -> Result<Option<KeyId>, StoreError> {
        let id = self.indexed(
            IndexDomain::Key,
            &[namespace.as_bytes(), name.as_str().as_bytes()],
        )?;
        Ok(id.map(KeyId::from_bytes))
    }

    /// A key that may be used now, or the reason why not.
    pub(crate) fn usable_key(&self, namespace: &NamespaceId, id: &KeyId) -> Result<KeyRecord, StoreError> {
        let key = self.key(namespace, id)?;
        match key.state {
            KeyState::Enabled => Ok(key),
            KeyState::Disabled => Err(Refusal::KeyDisabled.into()),
            KeyState::PendingDeletion { until } => Err(Refusal::KeyPendingDeletion { until }.into()),
            KeyState::Destroyed => Err(Refusal::KeyDestroyed.into()),
        }
    }

    /// The record under a blind index.
    fn record<R: IndexedRecord>(&self, index: &[u8; 32]) -> Result<Option<R>, StoreError> {
        self.raw(R::TABLE, index)?
            .map(|sealed| open_indexed(self.keyring, index, &sealed))
            .transpose()
    }

    /// What is kept of an access policy.
    pub(crate) fn policy(&self, uid: &ExternalId) -> Result<Option<EnforcedPolicy>, StoreError> {
        self.record(&policy_index(self.keyring, uid))
    }

    /// What is known of a product.
    pub(crate) fn product(&self, code: &ProductCode) -> Result<Option<ProductRecord>, StoreError> {
        self.record(&product_index(self.keyring, code))
    }

    /// What tells what an object declares from everything else that it may declare.
    pub(crate) fn keyed_digest(&self, uid: &ExternalId, digest: ObjectDigest) -> [u8; 32] {
        self.keyring
            .blind_index(IndexDomain::Mark, &[uid.as_str().as_bytes(), &digest.0])
    }

    /// The place of an attestation.
    pub(crate) fn attestation_id(
        &self,
        uid: &ExternalId,
        change: ObjectChange,
        mark: &[u8; 32],
    ) -> AttestationId {
        let change: &[u8] = match change {
            ObjectChange::Written => b"written",
            ObjectChange::Deleted => b"deleted",
        };
        let parts = [uid.as_str().as_bytes(), change, mark];
        AttestationId(self.keyring.blind_index(IndexDomain::Attestation, &parts))
    }

    pub(crate) fn attestation(&self, id: AttestationId) -> Result<Option<Attestation>, StoreError> {
        self.record(&id.0)
    }

    /// What of an object was taken in last.
    pub(crate) fn declaration(&self, uid: &ExternalId) -> Result<Option<Declaration>, StoreError> {
        self.record(&declaration_index(self.keyring, uid))
    }

    /// Since when it is known who writes objects.
    pub(crate) fn attested_since(&self) -> Result<Option<AttestedSince>, StoreError> {
        self.raw(Table::Meta, meta::ATTESTED_SINCE)?
            .map(|bytes| {
                AttestedSince::decode(&bytes)
                    .map_err(|_| StoreError::damaged("since when changes are attested"))
            })
            .transpose()
    }
}

/// Key of an encryption key's record.
pub(crate) fn key_key(namespace: &NamespaceId, key: &KeyId) -> Vec<u8> {
    let mut bytes = namespace.as_bytes().to_vec();
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

/// Where an access policy is kept.
pub(crate) fn policy_index(keyring: &Keyring, uid: &ExternalId) -> [u8; 32] {
    keyring.blind_index(IndexDomain::Policy, &[uid.as_str().as_bytes()])
}

/// Where is kept what an object declares.
pub(crate) fn declaration_index(keyring: &Keyring, uid: &ExternalId) -> [u8; 32] {
    keyring.blind_index(IndexDomain::Declaration, &[uid.as_str().as_bytes()])
}

/// Where is kept what is known of a product.
pub(crate) fn product_index(keyring: &Keyring, code: &ProductCode) -> [u8; 32] {
    keyring.blind_index(IndexDomain::Product, &[code.as_str().as_bytes()])
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}
