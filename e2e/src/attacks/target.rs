//! The API of a process on this machine, as its clients see it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A body that may never end.
pub(super) type AnyBody = BoxBody<Bytes, std::io::Error>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The authority is no certificate.
    #[error("the authority of the API cannot be used: {0}")]
    Authority(String),
    /// The server does not let us in, or the machine has no room.
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    /// The protocol did not begin.
    #[error("no connection of HTTP/2: {0}")]
    Http(#[from] hyper::Error),
    /// It took too long.
    #[error("no connection in {} s", CONNECT.as_secs())]
    Late,
}

/// A port of the loopback, and the authority of its certificate.
#[derive(Clone, Debug)]
pub struct Target {
    port: u16,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Target {
    /// The API at this port, whose certificates `authority` (PEM) has signed.
    ///
    /// # Errors
    /// [`TargetError::Authority`] where that is no certificate.
    pub fn new(port: u16, authority: &str) -> Result<Self, TargetError> {
        let refused = |error: &dyn std::fmt::Display| TargetError::Authority(error.to_string());
        // A second call finds one installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            let certificate = certificate.map_err(|error| refused(&error))?;
            roots.add(certificate).map_err(|error| refused(&error))?;
        }
        let speaking = |protocol: &[u8]| {
            let mut config = ClientConfig::builder()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(Self {
            port,
            http1: speaking(b"http/1.1"),
            http2: speaking(b"h2"),
        })
    }

    /// A connection of HTTP/1.1 on which nothing was said yet.
    pub(super) async fn http1(&self, from: Ipv4Addr) -> Result<TlsStream<TcpStream>, TargetError> {
        self.tls(from, &self.http1).await
    }

    /// A connection of HTTP/2 on which nothing was said yet.
    pub(super) async fn silent_http2(&self, from: Ipv4Addr) -> Result<TlsStream<TcpStream>, TargetError> {
        self.tls(from, &self.http2).await
    }

    /// A connection of HTTP/2 whose streams have this window, in bytes; and what drives it.
    pub(super) async fn http2(
        &self,
        from: Ipv4Addr,
        window: u32,
    ) -> Result<(SendRequest<AnyBody>, JoinHandle<()>), TargetError> {
        let stream = self.tls(from, &self.http2).await?;
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let driven = tokio::spawn(async move {
            // Until this side or the other ends it.
            let _ = connection.await;
        });
        Ok((sender, driven))
    }

    async fn tls(
        &self,
        from: Ipv4Addr,
        config: &Arc<ClientConfig>,
    ) -> Result<TlsStream<TcpStream>, TargetError> {
        let connecting = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((from, 0).into())?;
            let stream = socket.connect((Ipv4Addr::LOCALHOST, self.port).into()).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
            TlsConnector::from(Arc::clone(config)).connect(name, stream).await
        };
        Ok(tokio::time::timeout(CONNECT, connecting)
            .await
            .map_err(|_| TargetError::Late)??)
    }
}
