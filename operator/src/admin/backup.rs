//! A backup as a stream of frames. A reader who stops reading is dropped.

use std::io;
use std::time::Duration;

use strongroom_store::admin::AdminResponse;
use strongroom_store::vault::{Meta, Store};
use tokio::io::AsyncWrite;

use super::AdminError;
use super::frame::send;
use crate::backup::snapshot;

/// How long a reader may take for one frame.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

/// Takes a backup and sends it, a piece a frame.
pub(super) async fn stream(
    store: Store,
    meta: Meta,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<(), AdminError> {
    let (mut pieces, backup) = snapshot(store, meta, "all of the store".to_owned());
    while let Some(piece) = pieces.recv().await {
        within(send(to, &AdminResponse::Data(piece).encode())).await?;
    }
    let last = match backup.await {
        Ok(Ok(records)) => AdminResponse::End { records },
        Ok(Err(error)) => AdminResponse::Refused(error.to_string()),
        Err(_) => AdminResponse::Refused("the backup was interrupted".to_owned()),
    };
    within(send(to, &last.encode())).await
}

async fn within(sending: impl Future<Output = Result<(), AdminError>>) -> Result<(), AdminError> {
    tokio::time::timeout(FRAME_TIMEOUT, sending)
        .await
        .map_err(|_| AdminError::Broken(io::ErrorKind::TimedOut.into()))?
}
