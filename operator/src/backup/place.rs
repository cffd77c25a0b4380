//! An open destination: what is listed, sent, read and deleted there. No operation waits longer than the
//! timeouts that the place was opened with.

use std::error::Error;
use std::fmt;
use std::io::{self, Read};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures::StreamExt;
use object_store::client::HttpError;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    GetOptions, ListResult, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, WriteMultipart,
};
use sha2::{Digest, Sha256};
use strongroom_api::transport_error_cause;
use tokio::sync::mpsc;

use super::bucket::{self, LastRefusal};
use super::destination::BackupDestination;
use super::error::{BackupError, BackupStep};
use super::pieces::{MAX_QUEUED, PieceReader};

/// How long an answer may take, and how long nothing may move.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes that are sent at once; a server takes no less than 5 MiB but for the last.
const PART_BYTES: usize = 8 << 20;
/// Parts under way.
const MAX_PARTS: usize = 2;
/// How often the library may use up the patience by itself, with the requests that it repeats.
const ATTEMPTS: u32 = 3;

/// Size and digest of the bytes that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TransferDigest {
    pub(super) bytes: u64,
    /// SHA-256 in hexadecimal.
    pub(super) sha256: String,
}

impl TransferDigest {
    /// Those of bytes in memory.
    pub(super) fn whole(bytes: &[u8]) -> Self {
        let mut passing = DigestState::default();
        passing.add(bytes);
        passing.passed()
    }
}

impl fmt::Display for TransferDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of SHA-256 {}", self.bytes, self.sha256)
    }
}

/// Counts and digests the bytes that are read.
#[derive(Default)]
struct DigestState {
    bytes: u64,
    hasher: Sha256,
}

impl DigestState {
    fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.hasher.update(piece);
    }

    fn passed(self) -> TransferDigest {
        TransferDigest {
            bytes: self.bytes,
            sha256: HEXLOWER.encode(&self.hasher.finalize()),
        }
    }
}

/// An open destination.
pub(crate) struct BackupPlace {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// For people.
    shown: String,
    refusal: LastRefusal,
    patience: Duration,
}

impl BackupPlace {
    /// Opens the destination with what its files hold now.
    pub(crate) async fn open(destination: &BackupDestination) -> Result<Self, BackupError> {
        Self::open_with(destination, PATIENCE).await
    }

    pub(super) async fn open_with(
        destination: &BackupDestination,
        patience: Duration,
    ) -> Result<Self, BackupError> {
        let (store, prefix, refusal) = match destination {
            BackupDestination::Folder(path) => {
                let store = folder(path).map_err(|cause| BackupError::Unusable {
                    destination: destination.to_string(),
                    why: cause.to_string(),
                })?;
                (store, Path::default(), LastRefusal::default())
            }
            BackupDestination::Bucket(location) => {
                let (store, refusal) = bucket::open(location, patience).await?;
                (store, Path::from(location.prefix.as_str()), refusal)
            }
        };
        Ok(Self {
            store,
            prefix,
            shown: destination.to_string(),
            refusal,
            patience,
        })
    }

    /// The destination, for people.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// A folder in it, which need not be there.
    pub(super) fn within(&self, folder: &str) -> Self {
        Self {
            store: Arc::clone(&self.store),
            prefix: self.path(folder),
            shown: self.shown.clone(),
            refusal: self.refusal.clone(),
            patience: self.patience,
        }
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    /// The names of all objects there.
    pub(super) async fn list(&self) -> Result<Vec<String>, BackupError> {
        let listed = self.listed().await?;
        let names = listed
            .objects
            .iter()
            .filter_map(|object| object.location.filename());
        Ok(names.map(str::to_owned).collect())
    }

    /// The names of all folders there.
    pub(super) async fn folders(&self) -> Result<Vec<String>, BackupError> {
        let listed = self.listed().await?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        Ok(names.map(str::to_owned).collect())
    }

    async fn listed(&self) -> Result<ListResult, BackupError> {
        let step = BackupStep::List;
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.is_root());
        self.in_time(step, self.store.list_with_delimiter(prefix))
            .await?
            .map_err(|error| self.error(step, "", &error))
    }

    /// Sends a small object.
    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), BackupError> {
        let (step, path) = (BackupStep::Send, self.path(name));
        let put = self
            .store
            .put_opts(&path, PutPayload::from(bytes), PutOptions::default());
        self.in_time(step, put)
            .await?
            .map_err(|error| self.error(step, name, &error))?;
        Ok(())
    }

    /// Sends an object piece by piece. Where it fails nothing has the name.
    pub(super) async fn send(
        &self,
        name: &str,
        pieces: &mut mpsc::Receiver<Vec<u8>>,
    ) -> Result<PendingObject<'_>, BackupError> {
        let (step, path) = (BackupStep::Send, self.path(name));
        let begun = self
            .store
            .put_multipart_opts(&path, PutMultipartOptions::default());
        let upload = self
            .in_time(step, begun)
            .await?
            .map_err(|error| self.error(step, name, &error))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut passing = DigestState::default();
        let sent = loop {
            let Some(piece) = pieces.recv().await else {
                break Ok(());
            };
            passing.add(&piece);
            writer.put(Bytes::from(piece));
            match self.in_time(step, writer.wait_for_capacity(MAX_PARTS)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => break Err(self.error(step, name, &error)),
                Err(error) => break Err(error),
            }
        };
        let pending = PendingObject {
            place: self,
            name: name.to_owned(),
            writer,
            passed: passing.passed(),
        };
        match sent {
            Ok(()) => Ok(pending),
            Err(error) => {
                pending.abort().await;
                Err(error)
            }
        }
    }

    /// The size of an object.
    pub(super) async fn size(&self, name: &str) -> Result<u64, BackupError> {
        let (step, path) = (BackupStep::Read, self.path(name));
        let options = GetOptions::new().with_head(true);
        let found = self
            .in_time(step, self.store.get_opts(&path, options))
            .await?
            .map_err(|error| self.error(step, name, &error))?;
        Ok(found.meta.size)
    }

    /// Reads an object on a thread that may wait: the result of `work`, and the size and digest of what was
    /// read. If `work` stops early, that is less than the object.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&mut dyn Read) -> T + Send + 'static,
    ) -> Result<(T, TransferDigest), BackupError> {
        let (step, path) = (BackupStep::Read, self.path(name));
        let found = self
            .in_time(step, self.store.get_opts(&path, GetOptions::new()))
            .await?
            .map_err(|error| self.error(step, name, &error))?;
        let mut stream = found.into_stream();
        let (sender, receiver) = mpsc::channel(MAX_QUEUED);
        let working = tokio::task::spawn_blocking(move || work(&mut PieceReader::new(receiver)));
        let mut passing = DigestState::default();
        let read = loop {
            match self.in_time(step, stream.next()).await {
                Ok(Some(Ok(piece))) => {
                    passing.add(&piece);
                    if sender.send(piece).await.is_err() {
                        break Ok(());
                    }
                }
                Ok(Some(Err(error))) => break Err(self.error(step, name, &error)),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(sender);
        let made = working.await.map_err(|_| BackupError::Interrupted)?;
        read?;
        Ok((made, passing.passed()))
    }

    /// Deletes an object.
    pub(super) async fn delete(&self, name: &str) -> Result<(), BackupError> {
        let step = BackupStep::Delete;
        let path: object_store::Result<Path> = Ok(self.path(name));
        let mut deleted = self.store.delete_stream(futures::stream::iter([path]).boxed());
        match self.in_time(step, deleted.next()).await? {
            Some(Ok(_) | Err(object_store::Error::NotFound { .. })) | None => Ok(()),
            Some(Err(error)) => Err(self.error(step, name, &error)),
        }
    }

    async fn in_time<T>(&self, step: BackupStep, work: impl Future<Output = T>) -> Result<T, BackupError> {
        let after = self.patience.saturating_mul(ATTEMPTS);
        tokio::time::timeout(after, work)
            .await
            .map_err(|_| BackupError::Slow {
                destination: self.shown.clone(),
                step,
                after,
            })
    }

    /// What went wrong, in our words.
    fn error(&self, step: BackupStep, name: &str, error: &object_store::Error) -> BackupError {
        let destination = self.shown.clone();
        let refusal = self.refusal.take();
        if matches!(error, object_store::Error::NotFound { .. }) && step == BackupStep::Read {
            let name = name.to_owned();
            return BackupError::Missing { destination, name };
        }
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if error.is::<HttpError>() {
                return BackupError::Unreachable {
                    destination,
                    step,
                    cause: transport_error_cause(error),
                };
            }
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return BackupError::FileSystem {
                    destination,
                    step,
                    cause: error.kind(),
                };
            }
            cause = error.source();
        }
        BackupError::Refused {
            destination,
            step,
            answer: refusal.unwrap_or_else(|| "something that is not understood".to_owned()),
        }
    }
}

/// An object that was sent and has no name yet.
pub(super) struct PendingObject<'a> {
    place: &'a BackupPlace,
    name: String,
    writer: WriteMultipart,
    passed: TransferDigest,
}

impl PendingObject<'_> {
    /// Gives it its name: it is whole.
    pub(super) async fn finish(self) -> Result<TransferDigest, BackupError> {
        let step = BackupStep::Send;
        self.place
            .in_time(step, self.writer.finish())
            .await?
            .map_err(|error| self.place.error(step, &self.name, &error))?;
        Ok(self.passed)
    }

    /// Takes it back, as far as that is possible: what stays has no name, and costs room alone.
    pub(super) async fn abort(self) {
        let aborted = self.place.in_time(BackupStep::Send, self.writer.abort()).await;
        if !matches!(aborted, Ok(Ok(_))) {
            tracing::debug!(name = self.name, "unfinished upload left behind");
        }
    }
}

/// Removes what a process that was killed left half written in a folder of the destination. Only the process
/// that writes there may do this.
pub(super) fn remove_leftovers(
    destination: &BackupDestination,
    within: &FilePath,
    is_leftover: fn(&str) -> bool,
) {
    let BackupDestination::Folder(path) = destination else {
        return;
    };
    // One that stays costs room alone; a folder that is missing is told when it is needed.
    let entries = std::fs::read_dir(path.join(within)).into_iter().flatten();
    for entry in entries.filter_map(Result::ok) {
        if is_leftover(&entry.file_name().to_string_lossy()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn folder(path: &FilePath) -> Result<Arc<dyn ObjectStore>, io::ErrorKind> {
    // The library says why in many words.
    std::fs::read_dir(path).map_err(|error| error.kind())?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|_| io::ErrorKind::NotADirectory)?;
    Ok(Arc::new(store.with_fsync(true)))
}
