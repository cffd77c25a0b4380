//! A backup into a cluster: restored beside its place, with a slot for the cluster's root key, then anchored,
//! then put in place. If the process is killed between two steps, the next attempt finishes the restore or
//! starts it again.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use kube::Client;
use strongroom_model::id::{IdError, RequestId, StoreId};
use strongroom_model::time::Timestamp;
use strongroom_store::audit::{Actor, RetentionLimits};
use strongroom_store::codec::DecodeError;
use strongroom_store::engine::DEFAULT_CACHE_BYTES;
use strongroom_store::seal::{SealError, SealFile, SlotKind, SlotSecret};
use strongroom_store::vault::{
    Anchor, AnchorRule, Meta, OpenError, OpenStoreOptions, RestoreOptions, Store, count_secrets, exists,
    restore,
};

use super::restore_decision::{
    RestoreDecision, RestoreFacts, RestoreRefusal, StorePlace, decide_anchor, decide_restore,
};
use crate::anchor::{AnchorConfigMap, AnchorError};
use crate::own_secret::NAME_PREFIX;
use crate::seal::{SealSource, SealSourceError, kubernetes};

/// A backup that shall be in the cluster.
pub(crate) struct ClusterRestore<'a> {
    /// To the API server.
    pub(crate) client: Client,
    /// The process's own namespace.
    pub(crate) namespace: &'a str,
    /// The store's place.
    pub(crate) dir: &'a Path,
    /// The backup; `-` is standard input.
    pub(crate) from: &'a Path,
    /// What opens the backup.
    pub(crate) source: &'a SealSource,
    /// Names the attempt: it is carried out once.
    pub(crate) request: &'a str,
    /// The Secret that opens the restored store from then on; none: what opens the backup does.
    pub(crate) root_key_secret: Option<&'a str>,
    /// Namespaces are known by name alone until they are seen.
    pub(crate) accept_namespaces: bool,
    /// A store that has secrets may give way.
    pub(crate) replace: bool,
    pub(crate) now: Timestamp,
}

impl std::fmt::Debug for ClusterRestore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterRestore")
            .field("dir", &self.dir)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// What the attempt to restore did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RestoreOutcome {
    /// It was carried out before, and nothing was touched.
    DoneBefore,
    /// An attempt before had been cut off, and only had to be put in place.
    Finished,
    /// The backup is the store now.
    Restored {
        records: u64,
        /// Where the store lies that was there before.
        set_aside: Option<PathBuf>,
    },
}

/// A backup was not restored. Never holds a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// A person has to decide.
    #[error(transparent)]
    Refused(#[from] RestoreRefusal),
    /// The backup is older than the slot.
    #[error(
        "the backup has no {0} slot: only the keys that the store had when the backup was taken open it, not one that was made later; take a later \
         backup, or another key"
    )]
    NoSlot(SlotKind),
    /// Another key.
    #[error(
        "no {0} slot of the backup opens with this key: only the keys that the store had when the backup was taken open it, not one that was made later; \
         take a later backup, or another key"
    )]
    WrongKey(SlotKind),
    /// A part is missing, or was changed.
    #[error(
        "this backup is not whole: it was cut off, changed, or mixed with another one; take another copy of it, or another backup"
    )]
    NotWhole,
    /// Another kind of file.
    #[error("this is no backup: give the file that `strongroom backup` wrote")]
    NotABackup,
    /// A store is in the way.
    #[error(
        "there is a store at `{0}` already, and nothing was changed; move it away first, or name another data directory"
    )]
    Exists(String),
    /// The file with the backup.
    #[error("the backup `{path}` cannot be read: {source}")]
    Read {
        /// Lossily if it is not UTF-8.
        path: String,
        source: io::Error,
    },
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// What opens the backup could not be read.
    #[error(transparent)]
    Source(#[from] SealSourceError),
    /// The restored store, or the one that gives way.
    #[error(transparent)]
    Open(OpenError),
    /// No randomness.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A file or folder in the volume could not be read or written.
    #[error("the data directory cannot be used: {0}")]
    Io(#[from] io::Error),
}

impl From<OpenError> for RestoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Seal(SealError::NoSuchSlot(kind)) => Self::NoSlot(kind),
            OpenError::Seal(SealError::WrongKey(kind)) => Self::WrongKey(kind),
            OpenError::Seal(SealError::UnknownFormat(format))
            | OpenError::Decode(DecodeError::UnknownFormat(format)) => {
                Self::Open(OpenError::BackupFormat(format))
            }
            OpenError::Decode(DecodeError::Invalid("magic of a backup")) => Self::NotABackup,
            OpenError::Seal(SealError::Damaged(_)) | OpenError::Decode(_) | OpenError::Tampered => {
                Self::NotWhole
            }
            OpenError::Exists(path) => Self::Exists(path),
            other => Self::Open(other),
        }
    }
}

/// Opens the file with a backup; `-` is standard input.
pub(crate) fn open_backup(path: &Path) -> Result<Box<dyn Read>, RestoreError> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).map_err(|source| RestoreError::Read {
        path: path.display().to_string(),
        source,
    })?;
    Ok(Box::new(BufReader::new(file)))
}

impl ClusterRestore<'_> {
    /// Carries it out, where it was not yet.
    ///
    /// # Errors
    /// [`RestoreError`]; then the store that was there still is.
    pub(crate) async fn run(self) -> Result<RestoreOutcome, RestoreError> {
        let anchors = AnchorConfigMap::new(self.client.clone(), self.namespace);
        let anchored = match anchors.read().await {
            Ok(anchor) => anchor.map(|anchor| Some(anchor.store)),
            Err(AnchorError::Malformed(_)) => Some(None),
            Err(error) => return Err(error.into()),
        };
        let requests = anchors.restore_requests().await;
        let done = requests.iter().any(|request| request == self.request);
        let staged = self.beside("restoring");
        // What an older restore left is no longer what the anchor is of.
        let is_last = requests.last().is_some_and(|last| last == self.request);
        let is_staged = is_last && SealFile::load(&staged).is_ok();
        let facts = RestoreFacts {
            done,
            staged: is_staged,
            // What was carried out asks for no key.
            place: if done && !is_staged {
                StorePlace::Unknown
            } else {
                self.inspect().await?
            },
            replace: self.replace,
        };
        match decide_restore(&facts)? {
            RestoreDecision::Leave => return Ok(RestoreOutcome::DoneBefore),
            RestoreDecision::Finish => {
                self.put_in_place(&staged)?;
                return Ok(RestoreOutcome::Finished);
            }
            RestoreDecision::Begin => {}
        }
        remove(&staged)?;
        let (records, anchor) = match self.stage(&staged, anchored, &facts).await {
            Ok(restored) => restored,
            Err(error) => {
                remove(&staged)?;
                return Err(error);
            }
        };
        // From here on the request counts as carried out: whatever cuts it off, the next attempt finishes it.
        anchors.take_over(&anchor, self.request).await?;
        let set_aside = self.put_in_place(&staged)?;
        Ok(RestoreOutcome::Restored { records, set_aside })
    }

    /// What is at the place of the store.
    async fn inspect(&self) -> Result<StorePlace, RestoreError> {
        if !exists(self.dir) {
            return Ok(if is_occupied(self.dir) {
                StorePlace::Unknown
            } else {
                StorePlace::Vacant
            });
        }
        let Ok(seal) = SealFile::load(self.dir) else {
            return Ok(StorePlace::Unknown);
        };
        let key = match self.root_key_secret {
            Some(name) => kubernetes::read(&self.client, self.namespace, name).await?,
            None => Some(self.source.read().await?),
        };
        let Some(root) = key.and_then(|key| seal.unlock(&key).ok()) else {
            return Ok(StorePlace::Unknown);
        };
        match count_secrets(self.dir, &root, |name| !name.as_str().starts_with(NAME_PREFIX)) {
            Ok(0) => Ok(StorePlace::Fresh(seal.store())),
            Ok(secrets) => Ok(StorePlace::InUse(secrets)),
            Err(OpenError::Lock(held)) => Err(RestoreError::Open(OpenError::Lock(held))),
            Err(_) => Ok(StorePlace::Unknown),
        }
    }

    /// Restores beside the place, with a slot for the root key; the number of records, and the anchor.
    async fn stage(
        &self,
        staged: &Path,
        anchored: Option<Option<StoreId>>,
        facts: &RestoreFacts,
    ) -> Result<(u64, Anchor), RestoreError> {
        let opens = self.source.read().await?;
        let options = RestoreOptions {
            dir: staged,
            secret: &opens,
            accept_namespaces: self.accept_namespaces,
            meta: self.meta()?,
        };
        let records = restore(&options, &mut open_backup(self.from)?)?;
        let seal = SealFile::load(staged).map_err(OpenError::from)?;
        decide_anchor(anchored, seal.store(), facts)?;
        let root = seal.unlock(&opens).map_err(OpenError::from)?;
        let key = match self.root_key_secret {
            Some(name) => Some(self.cluster_key(name, seal.store()).await?),
            None => None,
        };
        let store = Store::open(OpenStoreOptions {
            dir: staged,
            root: &root,
            epoch: 0,
            anchor: AnchorRule::Absent,
            cache_bytes: DEFAULT_CACHE_BYTES,
            strict_anchor: None,
            audit: RetentionLimits::default(),
            quota: None,
            now: self.now,
        })?;
        if let Some(key) = key
            && seal.opened_by(&key).map_err(OpenError::from)?.is_none()
        {
            store.change_seal(self.meta()?, |file| {
                file.add_slot(&root, &key, "root key, made by a restore")
            })?;
        }
        let anchor = store.anchor();
        store.close();
        Ok((records, anchor))
    }

    /// The key in the Secret of the cluster, which is made where it is missing.
    async fn cluster_key(&self, name: &str, store: StoreId) -> Result<SlotSecret, SealSourceError> {
        match kubernetes::read(&self.client, self.namespace, name).await? {
            Some(key) => Ok(key),
            None => kubernetes::create(&self.client, self.namespace, name, store).await,
        }
    }

    /// Where the store lies now that was there, if one was.
    fn put_in_place(&self, staged: &Path) -> Result<Option<PathBuf>, RestoreError> {
        let set_aside = is_occupied(self.dir).then(|| self.beside("before"));
        if let Some(aside) = &set_aside {
            Store::set_aside(self.dir, aside)?;
        }
        Store::put_in_place(staged, self.dir)?;
        Ok(set_aside)
    }

    fn beside(&self, what: &str) -> PathBuf {
        let mut name = self.dir.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{what}-{}", self.request));
        self.dir.with_file_name(name)
    }

    fn meta(&self) -> Result<Meta, IdError> {
        Ok(Meta {
            actor: Actor::Admin(format!("restore {}", self.request)),
            request: RequestId::generate()?,
            now: self.now,
            asked: None,
        })
    }
}

fn is_occupied(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

/// What an attempt before left.
fn remove(staged: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
