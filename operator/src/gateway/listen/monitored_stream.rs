//! The bytes of a connection, watched: how many come off the wire, what the frames in them leave behind, and
//! whether the other side takes what it is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::connection::{Connection, EndReason};
use super::frame_meter::FrameMeter;

/// What a handshake may have in bytes. A ClientHello with the largest key shares in use has a quarter of it.
const HANDSHAKE_BYTES: u64 = 16 << 10;

/// The connection below TLS: what comes is counted, also half a record, of which TLS hands nothing on. A
/// handshake has no more bytes than it may.
#[derive(Debug)]
pub(super) struct WireStream<T> {
    inner: T,
    /// Bytes that came.
    received: u64,
    /// The handshake is not over.
    bounded: bool,
}

impl<T> WireStream<T> {
    pub(super) const fn new(inner: T) -> Self {
        Self {
            inner,
            received: 0,
            bounded: true,
        }
    }

    /// The handshake is over.
    pub(super) const fn lift_bound(&mut self) {
        self.bounded = false;
    }

    /// Bytes that came, the handshake's among them.
    const fn received(&self) -> u64 {
        self.received
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WireStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        let came = buf.filled().len().saturating_sub(before);
        self.received = self
            .received
            .saturating_add(u64::try_from(came).unwrap_or(u64::MAX));
        if self.bounded && self.received > HANDSHAKE_BYTES {
            return Poll::Ready(Err(io::Error::other("the handshake is too large")));
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WireStream<T> {
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
pub(super) struct MonitoredStream {
    inner: TlsStream<WireStream<TcpStream>>,
    connection: Arc<Connection>,
    /// Bytes off the wire that the connection was told of.
    received: u64,
    /// What frames leave behind, as long as that is at the expense of an address.
    frames: Option<FrameMeter>,
    stalled: bool,
}

impl MonitoredStream {
    pub(super) fn new(inner: TlsStream<WireStream<TcpStream>>, connection: Arc<Connection>) -> Self {
        Self {
            inner,
            received: 0,
            frames: connection.weighs_frames().then(FrameMeter::default),
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

impl AsyncRead for MonitoredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        let came = buf.filled().get(before..).unwrap_or_default();
        let in_all = self.inner.get_ref().0.received();
        if came.is_empty() && in_all == self.received {
            return read;
        }
        self.received = in_all;
        let frames = self.frames.as_mut().map_or(0, |frames| frames.weigh(came));
        match self.connection.received(!came.is_empty(), in_all, frames) {
            Ok(true) => {}
            Ok(false) => self.frames = None,
            Err(full) => {
                self.connection.end(EndReason::Share(full));
                return Poll::Ready(Err(io::Error::other("the connection holds too much")));
            }
        }
        read
    }
}

impl AsyncWrite for MonitoredStream {
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
