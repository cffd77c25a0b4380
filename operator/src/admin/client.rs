//! Asks the running process.

use std::io;
use std::path::Path;

use strongroom_store::admin::{AdminRequest, AdminResponse, SlotLine};
use strongroom_store::seal::{SlotId, SlotSecret};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::frame::{receive, send};
use super::{AdminError, socket};
use crate::audit::AuditPosition;

/// A connection for one request.
#[derive(Debug)]
pub(crate) struct Client(UnixStream);

impl Client {
    /// Connects to the process that has the store of this directory open; none where none runs.
    ///
    /// # Errors
    /// [`AdminError::Connect`] where one may run and cannot be asked.
    pub(crate) async fn connect(dir: &Path) -> Result<Option<Self>, AdminError> {
        let path = socket(dir);
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Some(Self(stream))),
            // No socket, or one that a killed process left.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(AdminError::Connect {
                path: path.display().to_string(),
                source,
            }),
        }
    }

    /// Writes a backup of now to `out`. Returns the number of records; only then is it whole.
    pub(crate) async fn backup(mut self, out: &mut (impl AsyncWrite + Unpin)) -> Result<u64, AdminError> {
        send(&mut self.0, &AdminRequest::Backup.encode()).await?;
        loop {
            match AdminResponse::decode(&receive(&mut self.0).await?)? {
                AdminResponse::Data(piece) => out.write_all(&piece).await?,
                AdminResponse::End { records } => {
                    out.flush().await?;
                    return Ok(records);
                }
                AdminResponse::Refused(why) => return Err(AdminError::Refused(why)),
                _ => return Err(AdminError::Unexpected),
            }
        }
    }

    /// The slots of the seal.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "the seal file itself says it, also where no process runs"
        )
    )]
    pub(crate) async fn slots(self) -> Result<Vec<SlotLine>, AdminError> {
        match self.ask(&AdminRequest::Slots).await? {
            AdminResponse::Slots(slots) => Ok(slots),
            _ => Err(AdminError::Unexpected),
        }
    }

    /// Adds a slot; its id.
    pub(crate) async fn add_slot(self, secret: SlotSecret, label: String) -> Result<String, AdminError> {
        match self.ask(&AdminRequest::AddSlot { secret, label }).await? {
            AdminResponse::Added(id) => Ok(id),
            _ => Err(AdminError::Unexpected),
        }
    }

    /// Removes a slot; with `force` also the last one of the kind that the process starts with.
    pub(crate) async fn remove_slot(self, id: SlotId, force: bool) -> Result<(), AdminError> {
        match self.ask(&AdminRequest::RemoveSlot { id, force }).await? {
            AdminResponse::Removed => Ok(()),
            _ => Err(AdminError::Unexpected),
        }
    }

    /// Adds a recovery key; its text, which exists nowhere else.
    pub(crate) async fn new_recovery_key(self, label: String) -> Result<Zeroizing<String>, AdminError> {
        match self.ask(&AdminRequest::NewRecoveryKey { label }).await? {
            AdminResponse::RecoveryKey(text) => Ok(text),
            _ => Err(AdminError::Unexpected),
        }
    }

    /// Records of the audit after a place, one JSON object a line, and the place after them.
    pub(crate) async fn audit(
        self,
        after: Option<AuditPosition>,
    ) -> Result<(Vec<u8>, AuditPosition), AdminError> {
        match self.ask(&AdminRequest::Audit { after }).await? {
            AdminResponse::Records(lines, place) => Ok((lines, place)),
            _ => Err(AdminError::Unexpected),
        }
    }

    async fn ask(mut self, request: &AdminRequest) -> Result<AdminResponse, AdminError> {
        send(&mut self.0, &request.encode()).await?;
        match AdminResponse::decode(&receive(&mut self.0).await?)? {
            AdminResponse::Refused(why) => Err(AdminError::Refused(why)),
            answer => Ok(answer),
        }
    }
}
