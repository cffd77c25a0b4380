//! Keys that values in manifests are sealed for. The newest one is published; the older ones stay, because
//! what was sealed for them may lie in a repository for years, and each is 32 bytes.
//!
//! They are kept in the store as `strongroom!sealing`, and held in memory while the process runs. Must not
//! open anything but what is bound to this store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use parking_lot::RwLock;
use strongroom_api::manifest::{ClusterKey, ManifestContext, SealedText};
use strongroom_api::sealed::{OpeningKey, SUITE, SealError, SealingKey};
use strongroom_process::Shutdown;
use zeroize::Zeroizing;

use crate::own_secret::{OwnSecret, OwnSecretData, OwnSecretError};

/// How long a key is published before the next one is made.
const KEY_LIFETIME: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How often the time is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(3600);
/// The same, while there is no key.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The cluster's keys; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct ClusterKeys(Arc<RwLock<LoadedKeys>>);

#[derive(Default)]
struct LoadedKeys {
    /// Id of the store.
    store: String,
    keys: BTreeMap<String, OpeningKey>,
    primary: Option<(String, SealingKey)>,
}

impl std::fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterKeys(..)")
    }
}

/// A sealed text does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnsealError {
    /// The keys are not there yet.
    #[error("the cluster's keys are not loaded yet")]
    NotLoaded,
    /// It is no sealed text.
    #[error("key `{key}` is not a value written by `kubectl strongroom seal`; seal it again")]
    Malformed {
        /// The key of the value.
        key: String,
    },
    /// It is for another key.
    #[error(
        "key `{key}` was sealed for the key `{sealed_for}`, which this cluster does not have; seal it again for this cluster"
    )]
    OtherKey {
        /// The key of the value.
        key: String,
        /// The id that stands in the text.
        sealed_for: String,
    },
    /// It is for another place.
    #[error(
        "key `{key}` was sealed for another cluster, namespace, secret or key, or was changed; seal it again for this one"
    )]
    Elsewhere {
        /// The key of the value.
        key: String,
    },
}

/// Where a value of a manifest belongs, within this cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SealedValueLocation<'a> {
    pub(crate) namespace: &'a str,
    /// The secret's name in the store.
    pub(crate) secret: &'a str,
    /// The key within the secret's value.
    pub(crate) key: &'a str,
}

impl SealedValueLocation<'_> {
    fn in_store<'a>(&'a self, store: &'a str) -> ManifestContext<'a> {
        ManifestContext {
            store,
            namespace: self.namespace,
            secret: self.secret,
            key: self.key,
        }
    }
}

impl ClusterKeys {
    /// The key to seal for, as it is published; none while they are not loaded.
    pub(crate) fn primary(&self) -> Option<ClusterKey> {
        let known = self.0.read();
        let (id, key) = known.primary.as_ref()?;
        Some(ClusterKey {
            store: known.store.clone(),
            id: id.clone(),
            key: key.to_string(),
            suite: SUITE.to_owned(),
        })
    }

    /// Opens a text where it belongs.
    ///
    /// # Errors
    /// [`UnsealError`], without anything of the text but the id of its key.
    pub(crate) fn open(
        &self,
        text: &str,
        belongs: &SealedValueLocation<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        let key = belongs.key.to_owned();
        let known = self.0.read();
        if known.primary.is_none() {
            return Err(UnsealError::NotLoaded);
        }
        let sealed: SealedText = text
            .parse()
            .map_err(|_| UnsealError::Malformed { key: key.clone() })?;
        let opening = known.keys.get(&sealed.key).ok_or_else(|| UnsealError::OtherKey {
            key: key.clone(),
            sealed_for: sealed.key.chars().take(16).collect(),
        })?;
        sealed
            .open(opening, &belongs.in_store(&known.store))
            .map_err(|_| UnsealError::Elsewhere { key })
    }

    /// Seals bytes for the newest key.
    ///
    /// # Errors
    /// There is none, or they cannot be sealed.
    pub(crate) fn seal(&self, bytes: &[u8], belongs: &SealedValueLocation<'_>) -> Result<String, SealError> {
        let known = self.0.read();
        let (id, key) = known.primary.as_ref().ok_or(SealError::Sealing)?;
        let sealed = SealedText::seal(id, key, bytes, &belongs.in_store(&known.store))?;
        Ok(sealed.to_string())
    }

    /// Loads the keys and makes the next one when it is time, until the shutdown begins. Returns when they
    /// were looked at for the first time.
    pub(crate) async fn keep(&self, own: OwnSecret, store: String, shutdown: Shutdown) {
        let mut wait = self.clone().round(own.clone(), store.clone()).await;
        let keys = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = shutdown.wait() => return,
                }
                wait = keys.clone().round(own.clone(), store.clone()).await;
            }
        });
    }

    /// One look; answers how long to wait for the next.
    async fn round(self, own: OwnSecret, store: String) -> Duration {
        let refreshing = tokio::task::spawn_blocking(move || self.refresh(&own, &store, Timestamp::now()));
        let looked = refreshing.await.map_err(|error| error.to_string());
        match looked.and_then(|looked| looked.map_err(|error| error.to_string())) {
            Ok(()) => CHECK_INTERVAL,
            Err(error) => {
                tracing::warn!(error, "cluster keys update failed");
                RETRY_INTERVAL
            }
        }
    }

    fn refresh(&self, own: &OwnSecret, store: &str, now: Timestamp) -> Result<(), OwnSecretError> {
        let rekeyed = own.rekeyed();
        let (parts, changed) = own.advance(now, |parts| advance(parts, now, rekeyed))?;
        if !changed && self.primary().is_some() {
            return Ok(());
        }
        let mut known = LoadedKeys {
            store: store.to_owned(),
            ..LoadedKeys::default()
        };
        for (name, bytes) in &parts {
            let (Some((_, id)), Ok((opening, sealing))) = (made_and_id(name), OpeningKey::from_bytes(bytes))
            else {
                continue;
            };
            known.keys.insert(id.to_owned(), opening);
            // In order of their times, so that the last one is the newest.
            known.primary = Some((id.to_owned(), sealing));
        }
        *self.0.write() = known;
        Ok(())
    }

    /// With a key of its own, for a store of this id.
    #[cfg(test)]
    pub(crate) fn for_store(store: &str) -> Self {
        let keys = Self::default();
        keys.add(store);
        keys
    }

    /// Makes the next key.
    #[cfg(test)]
    pub(crate) fn add(&self, store: &str) {
        let mut known = self.0.write();
        let (opening, sealing) = OpeningKey::generate();
        let id = format!("{:016x}", known.keys.len());
        known.store = store.to_owned();
        known.keys.insert(id.clone(), opening);
        known.primary = Some((id, sealing));
    }
}

/// When a key was made, in seconds since the Unix epoch, and its id: so it is named in the store.
fn made_and_id(name: &str) -> Option<(i64, &str)> {
    let (made, id) = name.split_once('.')?;
    Some((made.parse().ok()?, id))
}

/// The keys as they should be at `now`; `None` where they are. A key that is not younger than the store's
/// root key may be known to somebody, and another one is made to seal for.
fn advance(
    parts: &OwnSecretData,
    now: Timestamp,
    rekeyed: Option<Timestamp>,
) -> Result<Option<OwnSecretData>, OwnSecretError> {
    let newest = parts.keys().next_back().and_then(|name| made_and_id(name));
    let fresh = newest.is_some_and(|(made, _)| {
        now.as_second().saturating_sub(made) < KEY_LIFETIME.as_secs()
            && rekeyed.is_none_or(|rekeyed| made > rekeyed.as_second())
    });
    if fresh {
        return Ok(None);
    }
    let mut id = [0; 8];
    getrandom::fill(&mut id).map_err(|error| OwnSecretError::Malformed(format!("no randomness: {error}")))?;
    let (opening, _) = OpeningKey::generate();
    let mut after = parts.clone();
    after.insert(
        format!("{:010}.{}", now.as_second(), HEXLOWER.encode(&id)),
        opening.to_bytes(),
    );
    Ok(Some(after))
}

#[cfg(test)]
mod tests {
    use strongroom_testing::clock::now;
    use strongroom_testing::store::store;

    use super::*;

    const LOCATION: SealedValueLocation<'static> = SealedValueLocation {
        namespace: "shop",
        secret: "db",
        key: "password",
    };

    #[test]
    fn a_key_that_is_older_than_the_root_key_gets_a_successor_at_once() {
        let first = advance(&OwnSecretData::new(), now(), None).unwrap().unwrap();
        let later = now() + SignedDuration::from_hours(1);
        assert!(advance(&first, later, None).unwrap().is_none());
        let second = advance(&first, later, Some(now())).unwrap().unwrap();
        assert!(second.len() == 2 && first.keys().all(|key| second.contains_key(key)));
        assert!(advance(&second, later, Some(now())).unwrap().is_none());
    }

    #[test]
    fn a_key_follows_another_and_both_open() {
        let (store, _keep) = store();
        let own = OwnSecret::new(
            store,
            ("strongroom".to_owned(), "ns-9".to_owned()),
            "strongroom!sealing",
            "keys",
        );
        let keys = ClusterKeys::default();
        assert_eq!(keys.open("x", &LOCATION), Err(UnsealError::NotLoaded));
        keys.refresh(&own, "s-1", now()).unwrap();
        let first = keys.primary().unwrap();
        let sealed = keys.seal(b"s3cr3t", &LOCATION).unwrap();
        keys.refresh(&own, "s-1", now() + SignedDuration::from_hours(89 * 24))
            .unwrap();
        assert_eq!(keys.primary().unwrap(), first);
        keys.refresh(&own, "s-1", now() + SignedDuration::from_hours(91 * 24))
            .unwrap();
        assert_ne!(keys.primary().unwrap().id, first.id);
        assert_eq!(*keys.open(&sealed, &LOCATION).unwrap(), b"s3cr3t");
        // As after a restart.
        let keys = ClusterKeys::default();
        keys.refresh(&own, "s-1", now() + SignedDuration::from_hours(92 * 24))
            .unwrap();
        assert_eq!(*keys.open(&sealed, &LOCATION).unwrap(), b"s3cr3t");
        let elsewhere = SealedValueLocation {
            key: "other",
            ..LOCATION
        };
        assert_eq!(
            keys.open(&sealed, &elsewhere),
            Err(UnsealError::Elsewhere {
                key: "other".to_owned()
            })
        );
        let stranger = ClusterKeys::for_store("s-2").seal(b"x", &LOCATION).unwrap();
        assert!(matches!(
            keys.open(&stranger, &LOCATION),
            Err(UnsealError::OtherKey { .. })
        ));
        assert!(matches!(
            keys.open("strongroom1.a.b", &LOCATION),
            Err(UnsealError::Malformed { .. })
        ));
    }
}
