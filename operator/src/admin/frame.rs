//! Reads and writes frames on a stream. [`strongroom_store::admin`] defines what they contain.

use strongroom_store::admin::{header, length};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::AdminError;

/// Writes one frame.
pub(super) async fn send(to: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> Result<(), AdminError> {
    to.write_all(&header(message)?).await?;
    to.write_all(message).await?;
    to.flush().await?;
    Ok(())
}

/// Reads one frame. Nothing is kept room for before its length is known to be allowed.
pub(super) async fn receive(from: &mut (impl AsyncRead + Unpin)) -> Result<Zeroizing<Vec<u8>>, AdminError> {
    let mut before = [0; 4];
    from.read_exact(&mut before).await?;
    let mut bytes = Zeroizing::new(vec![0; length(before)?]);
    from.read_exact(&mut bytes).await?;
    Ok(bytes)
}
