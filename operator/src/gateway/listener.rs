//! A listener as a value: a port, the protocol that is spoken there, the names of its certificate, its limits
//! and who is let in. Another one, of another protocol or for one product alone, is another value.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use strongroom_process::Shutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::listen::{self, Admission, ConfigResolver};
use super::protocols::Protocol;
use super::server::GatewayError;
use super::state::Gateway;
use super::tls::{CaStore, CertResolver, CertificateRotator, FileCertificate};

/// Where the certificate of a listener comes from.
#[derive(Clone, Debug)]
pub(super) enum CertificateSource {
    /// Files that somebody else keeps.
    File(FileCertificate),
    /// Our own authority, for these DNS names and addresses.
    Issued(Vec<String>),
}

impl CertificateSource {
    /// Serves the certificate, and each one that takes its place. What clients must trust goes into
    /// `bundle`, where it is our own authority.
    pub(super) async fn serve(
        self,
        served: Arc<CertResolver>,
        kept: CaStore,
        bundle: watch::Sender<String>,
        shutdown: Shutdown,
    ) -> Result<(), GatewayError> {
        match self {
            Self::File(file) => file.serve(served, shutdown)?,
            Self::Issued(names) => {
                let rotator = CertificateRotator {
                    kept,
                    names,
                    served,
                    bundle,
                    now: Timestamp::now,
                };
                rotator.serve(shutdown).await?;
            }
        }
        Ok(())
    }
}

/// A port, and what is served there.
pub(super) struct GatewayListener {
    /// For logs.
    pub(super) name: &'static str,
    pub(super) port: TcpListener,
    pub(super) protocol: Protocol,
    /// Who is let in, by which certificates.
    pub(super) resolver: Arc<dyn ConfigResolver>,
    /// What strangers may have of it.
    pub(super) admission: Admission,
}

impl GatewayListener {
    /// Where it listens.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.port.local_addr().ok()
    }

    /// Serves until the shutdown begins.
    pub(super) async fn serve(self, gateway: Arc<Gateway>, shutdown: Shutdown) {
        if let Some(address) = self.address() {
            let (listener, protocol) = (self.name, self.protocol.name);
            tracing::info!(%address, listener, protocol, "serving API");
        }
        let router = self.protocol.router(gateway);
        listen::serve(self.port, self.resolver, router, self.admission, shutdown).await;
    }
}
