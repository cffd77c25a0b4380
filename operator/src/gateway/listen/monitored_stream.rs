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

/// What a connection is told of its bytes: each change, and nothing twice.
#[derive(Debug)]
struct StreamMonitor {
    connection: Arc<Connection>,
    /// Bytes off the wire that it was told of.
    received: u64,
    /// What frames leave behind, as long as that is at the expense of an address.
    frames: Option<FrameMeter>,
    stalled: bool,
}

impl StreamMonitor {
    fn new(connection: Arc<Connection>) -> Self {
        Self {
            received: 0,
            frames: connection.weighs_frames().then(FrameMeter::default),
            connection,
            stalled: false,
        }
    }

    /// These bytes came for HTTP, and by now so many off the wire.
    ///
    /// # Errors
    /// The address has no room for more, and the connection ends.
    fn read(&mut self, came: &[u8], in_all: u64) -> io::Result<()> {
        if came.is_empty() && in_all == self.received {
            return Ok(());
        }
        self.received = in_all;
        let frames = self.frames.as_mut().map_or(0, |frames| frames.weigh(came));
        match self.connection.received(!came.is_empty(), in_all, frames) {
            Ok(true) => {}
            Ok(false) => self.frames = None,
            Err(full) => {
                self.connection.end(EndReason::Share(full));
                return Err(io::Error::other("the connection holds too much"));
            }
        }
        Ok(())
    }

    /// Tells a change of whether the other side takes what is written.
    fn wrote<R>(&mut self, written: Poll<R>) -> Poll<R> {
        if written.is_pending() != self.stalled {
            self.stalled = written.is_pending();
            self.connection.takes(!self.stalled);
        }
        written
    }
}

/// The connection above TLS.
#[derive(Debug)]
pub(super) struct MonitoredStream {
    inner: TlsStream<WireStream<TcpStream>>,
    monitor: StreamMonitor,
}

impl MonitoredStream {
    pub(super) fn new(inner: TlsStream<WireStream<TcpStream>>, connection: Arc<Connection>) -> Self {
        let monitor = StreamMonitor::new(connection);
        Self { inner, monitor }
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
        match self.monitor.read(came, in_all) {
            Ok(()) => read,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for MonitoredStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.monitor.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.monitor.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.monitor.wrote(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::any::Any;
    use std::convert::Infallible;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::*;
    use crate::gateway::listen::Admission;
    use crate::gateway::listen::connection::ConnectionShare;
    use crate::gateway::listener_capacity::ListenerCapacity;
    use crate::gateway::request::{AddressShares, RefusalMetrics, ShareExhausted};

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    /// More than a handshake and a first request.
    const MUCH: u64 = 1 << 20;
    /// Longer than a head or an answer may take, and shorter than a connection may be idle.
    const WHILE: Duration = Duration::from_secs(30);

    fn admission() -> Admission {
        let shares = AddressShares::default();
        Admission::new(shares, ListenerCapacity::SHARED, RefusalMetrics::default())
    }

    fn monitored(admission: &Admission, http1: bool) -> StreamMonitor {
        let deposit = ConnectionShare::take(admission, ADDRESS).unwrap();
        StreamMonitor::new(Connection::new(admission, deposit, ADDRESS, http1))
    }

    /// Why this side ends the connection within a while, if it does.
    async fn end(monitor: &StreamMonitor) -> Option<EndReason> {
        tokio::time::timeout(WHILE, monitor.connection.must_end())
            .await
            .ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_begins_with_what_is_there_for_http_wherever_it_comes_from() {
        let mut monitor = monitored(&admission(), true);
        let Ok(()) = monitor
            .connection
            .prove(|| Ok::<_, Infallible>(Box::new(()) as Box<dyn Any + Send>));
        // Half a record of TLS.
        monitor.read(&[], 100).unwrap();
        assert_eq!(end(&monitor).await, None);
        monitor.read(&[0; 10], 200).unwrap();
        // The head has come whole, and its request is over.
        drop(monitor.connection.request());
        assert_eq!(end(&monitor).await, None);
        // The next one was in the same record: nothing came off the wire meanwhile.
        monitor.read(&[0; 10], 200).unwrap();
        assert_eq!(end(&monitor).await, Some(EndReason::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_count_also_where_tls_hands_nothing_on() {
        let admission = admission();
        let mut monitor = monitored(&admission, false);
        let before = admission.memory().in_use();
        monitor.read(&[], MUCH).unwrap();
        assert!(admission.memory().in_use() > before);
        // Where there is no room for them, the connection ends.
        let mut other = monitored(&admission, false);
        let taken = std::iter::from_fn(|| ConnectionShare::take(&admission, ADDRESS).ok());
        let _held: Vec<ConnectionShare> = taken.collect();
        assert!(other.read(&[], MUCH).is_err());
        assert_eq!(end(&other).await, Some(EndReason::Share(ShareExhausted::Each)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_waited_for_from_when_that_began() {
        let mut monitor = monitored(&admission(), false);
        // Nothing else is waited for.
        let _request = monitor.connection.request();
        assert!(monitor.wrote(Poll::Ready(())).is_ready());
        assert_eq!(end(&monitor).await, None);
        assert!(monitor.wrote(Poll::<()>::Pending).is_pending());
        assert!(monitor.wrote(Poll::Ready(())).is_ready());
        assert_eq!(end(&monitor).await, None, "it took it");
        assert!(monitor.wrote(Poll::<()>::Pending).is_pending());
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(monitor.wrote(Poll::<()>::Pending).is_pending());
        let begin = tokio::time::Instant::now();
        assert_eq!(end(&monitor).await, Some(EndReason::Answer));
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
}
