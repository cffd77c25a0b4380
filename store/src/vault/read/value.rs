//! Reads of values. Each is audited before the value leaves, and served from the read cache if nothing
//! changed since.

use std::sync::Arc;

use strongroom_model::SecretBytes;
use strongroom_model::id::SecretId;
use strongroom_model::name::{Stage, VersionId};

use crate::audit::{Action, Durability, Entry};
use crate::codec::DecodeError;
use crate::engine::Table;
use crate::format::{SecretState, key_version_key, version_key};
use crate::value::BorrowedValue;
use crate::vault::commands::EntryDraft;
use crate::vault::error::{Refusal, StoreError};
use crate::vault::read_cache::{CacheEntry, CachedValue, DependencySnapshot, MAX_CACHED_VALUE_BYTES};
use crate::vault::record_views::version_view;
use crate::vault::store::Store;
use crate::vault::types::{Meta, OpenedValue, ValueRead};
use crate::vault::view::{View, key_key};

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

impl GetValue {
    /// Asks for the current value of a secret, with a record that waits for no disk of its own.
    #[must_use]
    pub const fn current(secret: SecretId) -> Self {
        Self {
            secret,
            version: None,
            stage: None,
            durability: Durability::Batched,
            detail: String::new(),
        }
    }
}

impl Store {
    /// Reads a value. Its record is written before it is returned; so is that of a refusal.
    ///
    /// # Errors
    /// [`Refusal`] as the rules say; [`StoreError::Damaged`] where a record is not what was written;
    /// [`StoreError::Audit`] where the record cannot be written.
    pub fn value(&self, get: &GetValue, meta: &Meta) -> Result<ValueRead, StoreError> {
        let copied = self.with_value(get, meta.clone(), |opened| {
            let value = opened.value.to_value()?;
            let version = opened.version.clone();
            Ok::<_, DecodeError>(ValueRead { value, version })
        })?;
        copied.map_err(|_| StoreError::damaged(format!("the value of secret {}", get.secret)))
    }

    /// The same for whoever reads the value where it was opened: `read` sees it once its record is written,
    /// and when it returns the bytes are wiped.
    ///
    /// # Errors
    /// As of [`Store::value`]; then `read` was not called.
    pub fn with_value<T>(
        &self,
        get: &GetValue,
        meta: Meta,
        read: impl FnOnce(&OpenedValue<'_>) -> T,
    ) -> Result<T, StoreError> {
        if let Some(known) = self.cached_value(get)
            // What does not open is looked at again, so that the refusal says what is damaged.
            && let Ok(plaintext) = known.value.sealed.open_bytes()
            && let Ok(value) = BorrowedValue::decode(plaintext.expose())
        {
            self.audit_value_read(&known.value, get, meta)?;
            let version = &known.value.version;
            return Ok(read(&OpenedValue { value, version }));
        }
        self.with_view(|view| match found_value(view, get) {
            Ok((known, plaintext)) => {
                let value = BorrowedValue::decode(plaintext.expose()).map_err(|_| known.sealed.damaged())?;
                let from_outside = meta.asked.is_some();
                self.audit_value_read(&known, get, meta)?;
                let version = &known.version;
                let answer = read(&OpenedValue { value, version });
                if from_outside && known.sealed.len() <= MAX_CACHED_VALUE_BYTES {
                    self.cache_value(view, known);
                }
                Ok(answer)
            }
            Err(error) => {
                let mut entry =
                    EntryDraft::refusal(view, Action::GetSecretValue, Some(get.secret), &meta, &error);
                entry.detail.clone_from(&get.detail);
                self.shared.append_audit(&entry, get.durability)?;
                Err(error)
            }
        })
    }

    /// What is asked for, where it is known.
    fn cached_value(&self, get: &GetValue) -> Option<Arc<CacheEntry<CachedValue>>> {
        let known = self
            .shared
            .caches
            .known
            .value(&get.secret, get.version.as_ref()?)?;
        let agrees = |stage: &Stage| known.value.version.stages.contains(stage);
        get.stage.as_ref().is_none_or(agrees).then_some(known)
    }

    /// Keeps what opens a value for the next read from outside: the controllers' own come once, and not again
    /// for long.
    fn cache_value(&self, view: &View<'_>, mut known: CachedValue) {
        let place = known.sealed.place;
        let material = Arc::clone(&known.sealed.material);
        known.sealed.material =
            self.shared
                .caches
                .known
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
            .caches
            .known
            .values
            .insert(place.secret, dependencies, known);
    }

    fn audit_value_read(&self, known: &CachedValue, get: &GetValue, meta: Meta) -> Result<(), StoreError> {
        let Meta {
            actor,
            request,
            now,
            asked,
        } = meta;
        let entry = Entry {
            namespace: Some(known.namespace.clone()),
            secret: Some(known.secret.clone()),
            secret_id: Some(known.sealed.place.secret),
            version: Some(known.version.id.clone()),
            stage: get.stage.clone(),
            key: known.key,
            request: Some(request),
            detail: get.detail.clone(),
            circumstances: asked.map(|asked| Box::new(asked.into_circumstances())),
            ..Entry::new(now, actor, Action::GetSecretValue)
        };
        if let Some(key) = entry.key {
            // Before the record of the read, which waits for both where it waits.
            let entry = Entry {
                action: Action::Decrypt,
                ..entry.clone()
            };
            self.shared.append_audit(&entry, Durability::Batched)?;
            self.shared.used(key, now);
        }
        self.shared.append_audit(&entry, get.durability)?;
        Ok(())
    }
}

/// Finds and opens the value that is asked for; its canonical bytes, which are a value's.
fn found_value(view: &View<'_>, get: &GetValue) -> Result<(CachedValue, SecretBytes), StoreError> {
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
    let plaintext = sealed.open_bytes()?;
    BorrowedValue::decode(plaintext.expose()).map_err(|_| sealed.damaged())?;
    let known = CachedValue {
        sealed,
        version: version_view(&head, version),
        namespace: view.namespace(&head.namespace)?.name,
        secret: head.name.clone(),
        home_key: head.key,
        key: head.customer_key.then_some(head.key),
    };
    Ok((known, plaintext))
}
