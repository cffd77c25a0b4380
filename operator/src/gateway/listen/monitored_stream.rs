//! The bytes of a connection, watched: how many come, and whether the other side takes what it is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Connection, EndReason};

/// What a handshake may have in bytes. A ClientHello with the largest key shares in use has a quarter of it.
const HANDSHAKE_BYTES: usize = 16 << 10;

/// A connection whose handshake has no more bytes than it may.
#[derive(Debug)]
pub(super) struct BoundedHandshake<T> {
    inner: T,
    /// Bytes that may still come; none: as many as like.
    left: Option<usize>,
}

impl<T> BoundedHandshake<T> {
    pub(super) const fn new(inner: T) -> Self {
        Self {
            inner,
            left: Some(HANDSHAKE_BYTES),
        }
    }

    /// The handshake is over.
    pub(super) const fn lift_bound(&mut self) {
        self.left = None;
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for BoundedHandshake<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let (Poll::Ready(Ok(())), Some(left)) = (&read, self.left) {
            let came = buf.filled().len().saturating_sub(before);
            let Some(left) = left.checked_sub(came) else {
                return Poll::Ready(Err(io::Error::other("the handshake is too large")));
            };
            self.left = Some(left);
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for BoundedHandshake<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The connection above TLS.
#[derive(Debug)]
pub(super) struct MonitoredStream<T> {
    inner: T,
    connection: Arc<Connection>,
    stalled: bool,
}

impl<T> MonitoredStream<T> {
    pub(super) const fn new(inner: T, connection: Arc<Connection>) -> Self {
        Self {
            inner,
            connection,
            stalled: false,
        }
    }

    /// Tells a change of whether the other side takes what is written.
    fn note<R>(&mut self, written: Poll<R>) -> Poll<R> {
        if written.is_pending() != self.stalled {
            self.stalled = written.is_pending();
            self.connection.takes(!self.stalled);
        }
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for MonitoredStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        let came = buf.filled().len().saturating_sub(before);
        if came > 0
            && let Err(full) = self.connection.received(came)
        {
            self.connection.end(EndReason::Share(full));
            return Poll::Ready(Err(io::Error::other("the connection holds too much")));
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for MonitoredStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
