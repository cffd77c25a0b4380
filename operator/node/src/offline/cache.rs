//! The cache on the node: values as ciphertext, each once, and who was allowed to read them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use parking_lot::Mutex;
use prost::Message;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strongroom_api::stream::{DeliveredValue, SecretId, proto};
use strongroom_render::attributes::{RequestedSecret, RequestedVersion};
use zeroize::Zeroizing;

use super::cipher;
use super::key::CacheKey;

/// What is bound to each ciphertext beside its place.
const PURPOSE: &[u8] = b"strongroom-node cache 1";
/// Whom a secret is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountId {
    /// The pod's namespace.
    pub namespace: String,
    /// The UID of its ServiceAccount.
    pub account_uid: String,
}

/// What is kept of a secret that somebody may have.
#[derive(Debug)]
pub struct Grant<'a> {
    /// As the volume wants it.
    pub wanted: &'a RequestedSecret,
    /// Version, type and keys, as the gateway last sent them.
    pub delivered: &'a DeliveredValue,
    /// For how long it may be served without a gateway.
    pub max_age: Duration,
}

/// The cache cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the node's cache, {}: {source}", path.display())]
pub struct CacheError {
    path: PathBuf,
    source: io::Error,
}

/// Whom, and what: the name of a grant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrantKey {
    #[serde(flatten)]
    who: ServiceAccountId,
    secret_namespace: String,
    secret: String,
    /// Like `stage:Current` or `version:v-1`.
    version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CachedGrant {
    #[serde(flatten)]
    place: GrantKey,
    secret_id: String,
    version_id: String,
    /// Seconds of uptime when it was last allowed.
    allowed: u64,
    /// Seconds for which that counts.
    max_age: u64,
}

/// Values and grants.
pub struct Cache {
    folder: PathBuf,
    key: CacheKey,
    grants: Mutex<BTreeMap<GrantKey, CachedGrant>>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl GrantKey {
    fn new(who: &ServiceAccountId, wanted: &RequestedSecret) -> Self {
        let version = match &wanted.version {
            RequestedVersion::Stage(stage) => format!("stage:{stage}"),
            RequestedVersion::Id(id) => format!("version:{id}"),
        };
        Self {
            secret_namespace: wanted.namespace.clone().unwrap_or_else(|| who.namespace.clone()),
            who: who.clone(),
            secret: wanted.name.clone(),
            version,
        }
    }

    /// A file's name: names may be longer than that of a file.
    fn file(&self) -> String {
        let mut hash = Sha256::new();
        for part in [
            &self.who.namespace,
            &self.who.account_uid,
            &self.secret_namespace,
            &self.secret,
            &self.version,
        ] {
            hash.update(part.as_bytes());
            // In no name.
            hash.update([0]);
        }
        HEXLOWER.encode(&hash.finalize())
    }
}

impl Cache {
    /// Opens the cache in a folder, which is made where it is not there. What was kept in another boot goes:
    /// nobody can open it.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn open(folder: PathBuf, boot_id: &str, key: CacheKey) -> Result<Self, CacheError> {
        let cache = Self {
            folder,
            key,
            grants: Mutex::default(),
        };
        let mark = cache.folder.join("boot");
        cache.trying(&mark, || {
            if fs::read(&mark).is_ok_and(|text| text == boot_id.as_bytes()) {
                return Ok(());
            }
            if let Err(error) = fs::remove_dir_all(&cache.folder)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
            for folder in ["grants", "values"] {
                fs::create_dir_all(cache.folder.join(folder))?;
            }
            fs::write(&mark, boot_id)
        })?;
        let read = cache.trying(&cache.folder, || {
            let mut grants = BTreeMap::new();
            for file in fs::read_dir(cache.folder.join("grants"))? {
                // One that is not whole is none: its pod waits for the gateway.
                let kept = fs::read(file?.path())?;
                if let Ok(kept) = serde_json::from_slice::<CachedGrant>(&kept) {
                    grants.insert(kept.place.clone(), kept);
                }
            }
            Ok(grants)
        })?;
        *cache.grants.lock() = read;
        Ok(cache)
    }

    fn trying<T>(&self, path: &Path, work: impl FnOnce() -> io::Result<T>) -> Result<T, CacheError> {
        work().map_err(|source| CacheError {
            path: path.to_owned(),
            source,
        })
    }

    fn value_path(&self, secret_id: &str, version_id: &str) -> PathBuf {
        self.folder
            .join("values")
            .join(format!("{secret_id}-{version_id}"))
    }

    fn grant_path(&self, place: &GrantKey) -> PathBuf {
        self.folder.join("grants").join(place.file())
    }

    /// Keeps what somebody may have, as allowed at this uptime. A version that nobody may have any more goes.
    ///
    /// # Errors
    /// [`CacheError`]; what was kept before may be gone then.
    pub fn keep(
        &self,
        who: &ServiceAccountId,
        grants: &[Grant<'_>],
        uptime: Duration,
    ) -> Result<(), CacheError> {
        let mut known = self.grants.lock();
        let mut left = BTreeSet::new();
        for grant in grants {
            let place = GrantKey::new(who, grant.wanted);
            if grant.max_age.is_zero() {
                left.extend(self.drop_grant(&mut known, &place)?);
                continue;
            }
            let kept = CachedGrant {
                place: place.clone(),
                secret_id: HEXLOWER.encode(&grant.delivered.secret_id.to_bytes()),
                version_id: grant.delivered.version_id.clone(),
                allowed: uptime.as_secs(),
                max_age: grant.max_age.as_secs(),
            };
            let value = self.value_path(&kept.secret_id, &kept.version_id);
            if !value.exists() {
                let sealed = self.seal(grant.delivered).map_err(|source| CacheError {
                    path: value.clone(),
                    source,
                })?;
                self.write(&value, &sealed)?;
            }
            self.write_grant(&kept)?;
            if let Some(before) = known.insert(place, kept.clone())
                && before.version_id != kept.version_id
            {
                left.insert((before.secret_id, before.version_id));
            }
        }
        self.drop_values(&known, left)
    }

    /// What somebody has is allowed until this uptime.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn refresh(
        &self,
        who: &ServiceAccountId,
        wanted: &[RequestedSecret],
        uptime: Duration,
    ) -> Result<(), CacheError> {
        let mut known = self.grants.lock();
        for wanted in wanted {
            if let Some(kept) = known.get_mut(&GrantKey::new(who, wanted)) {
                kept.allowed = uptime.as_secs();
                self.write_grant(kept)?;
            }
        }
        Ok(())
    }

    fn write_grant(&self, kept: &CachedGrant) -> Result<(), CacheError> {
        let path = self.grant_path(&kept.place);
        let text = serde_json::to_vec(kept).map_err(|error| CacheError {
            path: path.clone(),
            source: error.into(),
        })?;
        self.write(&path, &text)
    }

    /// Somebody may not have a secret any more, whichever version of it.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn forget(&self, who: &ServiceAccountId, wanted: &RequestedSecret) -> Result<(), CacheError> {
        let mut known = self.grants.lock();
        let gone = GrantKey::new(who, wanted);
        let same = |place: &&GrantKey| {
            place.who == gone.who
                && place.secret_namespace == gone.secret_namespace
                && place.secret == gone.secret
        };
        let places: Vec<GrantKey> = known.keys().filter(same).cloned().collect();
        let mut left = BTreeSet::new();
        for place in places {
            left.extend(self.drop_grant(&mut known, &place)?);
        }
        self.drop_values(&known, left)
    }

    /// Everything that a volume wants, if all of it was allowed to its ServiceAccount here and is young
    /// enough at this uptime.
    #[must_use]
    pub fn find(
        &self,
        who: &ServiceAccountId,
        wanted: &[RequestedSecret],
        uptime: Duration,
    ) -> Option<Vec<DeliveredValue>> {
        let known = self.grants.lock();
        let one = |wanted: &RequestedSecret| {
            let kept = known.get(&GrantKey::new(who, wanted))?;
            let age = uptime.as_secs().checked_sub(kept.allowed)?;
            if age > kept.max_age {
                return None;
            }
            let path = self.value_path(&kept.secret_id, &kept.version_id);
            self.unseal(kept, &fs::read(path).ok()?)
        };
        wanted.iter().map(one).collect()
    }

    /// Forgets what is too old at this uptime.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn sweep(&self, uptime: Duration) -> Result<(), CacheError> {
        let mut known = self.grants.lock();
        let old = |kept: &&CachedGrant| uptime.as_secs().saturating_sub(kept.allowed) > kept.max_age;
        let places: Vec<GrantKey> = known
            .values()
            .filter(old)
            .map(|kept| kept.place.clone())
            .collect();
        let mut left = BTreeSet::new();
        for place in places {
            left.extend(self.drop_grant(&mut known, &place)?);
        }
        self.drop_values(&known, left)
    }

    fn drop_grant(
        &self,
        known: &mut BTreeMap<GrantKey, CachedGrant>,
        place: &GrantKey,
    ) -> Result<Option<(String, String)>, CacheError> {
        let Some(kept) = known.remove(place) else {
            return Ok(None);
        };
        self.remove(&self.grant_path(place))?;
        Ok(Some((kept.secret_id, kept.version_id)))
    }

    /// Removes those values that no grant names.
    fn drop_values(
        &self,
        known: &BTreeMap<GrantKey, CachedGrant>,
        mut left: BTreeSet<(String, String)>,
    ) -> Result<(), CacheError> {
        if left.is_empty() {
            return Ok(());
        }
        for kept in known.values() {
            left.remove(&(kept.secret_id.clone(), kept.version_id.clone()));
        }
        left.iter()
            .try_for_each(|(secret, version)| self.remove(&self.value_path(secret, version)))
    }

    fn remove(&self, path: &Path) -> Result<(), CacheError> {
        self.trying(path, || match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }

    /// A file appears whole or not at all. It need not be on disk: one that is lost is a pod that waits.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        self.trying(path, || {
            let partial = self.folder.join("partial");
            let mut file = File::create(&partial)?;
            file.write_all(bytes)?;
            drop(file);
            fs::rename(&partial, path)
        })
    }

    fn seal(&self, delivered: &DeliveredValue) -> io::Result<Vec<u8>> {
        let text = Zeroizing::new(delivered.to_message().encode_to_vec());
        let id = delivered.secret_id.to_bytes();
        let headers = [PURPOSE, &id, delivered.version_id.as_bytes()];
        cipher::seal(&self.key, headers, &text).map_err(io::Error::other)
    }

    fn unseal(&self, kept: &CachedGrant, sealed: &[u8]) -> Option<DeliveredValue> {
        let id = HEXLOWER.decode(kept.secret_id.as_bytes()).ok()?;
        let text = cipher::open(&self.key, [PURPOSE, &id, kept.version_id.as_bytes()], sealed)?;
        let delivered = DeliveredValue::try_from(proto::Value::decode(text.as_slice()).ok()?).ok()?;
        let same = delivered.secret_id == SecretId::try_from(id.as_slice()).ok()?
            && delivered.version_id == kept.version_id;
        same.then_some(delivered)
    }
}

#[cfg(test)]
mod tests;
