//! Listens at the socket, and answers.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_model::id::RequestId;
use strongroom_model::time::Timestamp;
use strongroom_store::admin::{AdminRequest, AdminResponse};
use strongroom_store::audit::{Action, Actor};
use strongroom_store::crypto::RootKey;
use strongroom_store::seal::{SealFile, SlotKind};
use strongroom_store::vault::{Meta, RecordStoreEvent, Store};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore, watch};

use super::frame::{receive, send};
use super::{AdminError, backup, slots, socket};
use crate::audit::{AuditPosition, json_lines, page};

/// Most callers at once.
const MAX_CALLERS: usize = 4;

/// How long a caller may take to ask.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the socket's requests work on.
pub(crate) struct Admin<N> {
    /// The open store.
    pub(crate) store: Store,
    /// What new slots wrap.
    pub(crate) root: Arc<RootKey>,
    /// What the process starts with.
    pub(crate) opened_by: SlotKind,
    /// The wall clock.
    pub(crate) now: N,
}

impl<N> std::fmt::Debug for Admin<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// The socket; its file goes with it.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Makes the socket in the store's directory. To be called by the holder of the store's lock: what is
    /// there is left over.
    ///
    /// # Errors
    /// [`AdminError::Listen`]; also where the path is longer than the 107 bytes that a socket's address has.
    pub(crate) fn bind(dir: &Path) -> Result<Self, AdminError> {
        let path = socket(dir);
        let bound = bind(dir, &path).map_err(|source| AdminError::Listen {
            path: path.display().to_string(),
            source,
        })?;
        Ok(Self {
            listener: bound,
            path,
        })
    }
}

/// The socket gets its mode where nobody else can reach it, and then its place: there is no instant at which
/// others could connect.
fn bind(dir: &Path, path: &Path) -> io::Result<UnixListener> {
    let private = dir.join(".admin");
    match fs::remove_dir_all(&private) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(&private)?;
    let made = private.join("sock");
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    fs::rename(&made, path)?;
    fs::remove_dir(&private)?;
    Ok(listener)
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A file that stays is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

impl<N: Fn() -> Timestamp + Send + Sync + 'static> Admin<N> {
    /// Answers until `stop` turns true; what is under way then is broken off.
    pub(crate) async fn serve(self, listener: Listener, mut stop: watch::Receiver<bool>) {
        let service = Arc::new(AdminService {
            admin: self,
            seal: Mutex::new(()),
        });
        let callers = Arc::new(Semaphore::new(MAX_CALLERS));
        let mut tasks = tokio::task::JoinSet::new();
        let accept = async {
            loop {
                let Ok(permit) = Arc::clone(&callers).acquire_owned().await else {
                    return;
                };
                match listener.listener.accept().await {
                    Ok((stream, _)) => {
                        let service = Arc::clone(&service);
                        tasks.spawn(async move {
                            if let Err(error) = service.answer(stream).await {
                                tracing::debug!(%error, "admin connection failed");
                            }
                            drop(permit);
                        });
                        while tasks.try_join_next().is_some() {}
                    }
                    Err(error) => {
                        tracing::warn!(%error, "admin connection accept failed");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        };
        tokio::select! {
            // An error means that nobody can stop us any more: the process ends.
            _ = stop.wait_for(|stop| *stop) => {}
            () = accept => {}
        }
    }
}

struct AdminService<N> {
    admin: Admin<N>,
    /// INVARIANT: one change of the seal at a time; each reads the file, changes it, and writes it back.
    seal: Mutex<()>,
}

impl<N: Fn() -> Timestamp + Send + Sync + 'static> AdminService<N> {
    async fn answer(&self, mut stream: UnixStream) -> Result<(), AdminError> {
        let asked = tokio::time::timeout(REQUEST_TIMEOUT, receive(&mut stream))
            .await
            .map_err(|_| AdminError::Broken(io::ErrorKind::TimedOut.into()))??;
        let meta = self.meta(&stream)?;
        let request = match AdminRequest::decode(&asked) {
            Ok(request) => request,
            Err(error) => {
                let refused = AdminResponse::Refused(format!("the request was not understood: {error}"));
                return send(&mut stream, &refused.encode()).await;
            }
        };
        drop(asked);
        if matches!(request, AdminRequest::Backup) {
            return backup::stream(self.admin.store.clone(), meta, &mut stream).await;
        }
        let answer = self.change(request, meta).await;
        send(&mut stream, &answer.encode()).await
    }

    /// Everything but a backup: one answer to one request.
    async fn change(&self, request: AdminRequest, meta: Meta) -> AdminResponse {
        let _one = self.seal.lock().await;
        let (store, root) = (self.admin.store.clone(), Arc::clone(&self.admin.root));
        let opened_by = self.admin.opened_by;
        // A passphrase takes its time, and every commit waits for the disk.
        let done = tokio::task::spawn_blocking(move || handle(&store, &root, opened_by, request, meta));
        done.await
            .unwrap_or_else(|_| AdminResponse::Refused("the request was interrupted".to_owned()))
    }

    fn meta(&self, stream: &UnixStream) -> Result<Meta, AdminError> {
        let caller = stream.peer_cred()?;
        let process = caller.pid().map(|pid| format!(", process {pid}"));
        Ok(Meta {
            actor: Actor::Admin(format!("user {}{}", caller.uid(), process.unwrap_or_default())),
            request: RequestId::generate().map_err(io::Error::other)?,
            now: (self.admin.now)(),
            asked: None,
        })
    }
}

fn handle(
    store: &Store,
    root: &RootKey,
    opened_by: SlotKind,
    request: AdminRequest,
    meta: Meta,
) -> AdminResponse {
    let done = match request {
        // A backup is a stream of its own.
        AdminRequest::Backup => return AdminResponse::Refused("a backup is not a single answer".to_owned()),
        AdminRequest::Slots => {
            let listed = match store.directory() {
                Some(dir) => SealFile::load(dir).map(|file| file.slots()),
                None => Ok(Vec::new()),
            };
            listed
                .map(|all| AdminResponse::Slots(all.into_iter().map(Into::into).collect()))
                .map_err(|error| error.to_string())
        }
        AdminRequest::AddSlot { secret, label } => slots::add_slot(store, root, &secret, &label, meta)
            .map(|id| AdminResponse::Added(id.to_string()))
            .map_err(|error| error.to_string()),
        AdminRequest::RemoveSlot { id, force } => {
            slots::remove_slot(store, id, (!force).then_some(opened_by), meta)
                .map(|()| AdminResponse::Removed)
                .map_err(|error| error.to_string())
        }
        AdminRequest::Audit { after } => records(store, after, meta),
        AdminRequest::NewRecoveryKey { label } => slots::new_recovery_key(store, root, &label, meta)
            .map(AdminResponse::RecoveryKey)
            .map_err(|error| error.to_string()),
    };
    done.unwrap_or_else(AdminResponse::Refused)
}

/// A page of the audit. That somebody began to list it is audited; the pages after the first are not, or
/// following it would never end.
fn records(store: &Store, after: Option<AuditPosition>, meta: Meta) -> Result<AdminResponse, String> {
    if after.is_none() {
        let record = RecordStoreEvent {
            action: Action::ReadAudit,
            detail: String::new(),
        };
        store.run(record, meta).map_err(|error| error.to_string())?;
    }
    if let Some(end) = after.filter(|after| after.is_end(store)) {
        return Ok(AdminResponse::Records(Vec::new(), end));
    }
    let page = page(store, after.unwrap_or_default(), |_| true)?;
    Ok(AdminResponse::Records(json_lines(&page.lines), page.next))
}
