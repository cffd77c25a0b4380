//! A listener as a value: a port, the protocol that is spoken there, its certificate and the names of that,
//! its limits and who is let in. Another one, of another protocol or for one product alone, is another value.

use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;
use strongroom_process::Shutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::listen::{self, Admission};
use super::protocols::Protocol;
use super::state::Gateway;
use super::tls::{
    CaStore, CertResolver, CertificateClient, CertificateRotator, FileCertificate, PortConfigResolver,
    TlsError,
};

/// Where the certificate of a listener comes from.
#[derive(Clone, Debug)]
pub(super) enum CertificateSource {
    /// Files that somebody else keeps.
    File(FileCertificate),
    /// Our own authority, for these DNS names and addresses.
    Issued(Vec<String>),
}

/// What certificates of our own authority are made with.
#[derive(Clone, Debug)]
pub(super) struct CertificateIssuer {
    pub(super) ca_store: CaStore,
    /// Where it is said what clients must trust.
    pub(super) bundle: watch::Sender<String>,
}

impl CertificateSource {
    /// Has the certificate served, and each one that takes its place until the shutdown; when it ends is told
    /// in a gauge.
    async fn serve(
        self,
        expiration: Gauge,
        issuer: &CertificateIssuer,
        shutdown: Shutdown,
    ) -> Result<Arc<CertResolver>, TlsError> {
        let served = Arc::new(CertResolver::with_expiration(expiration));
        match self {
            Self::File(file) => file.serve(Arc::clone(&served), shutdown)?,
            Self::Issued(names) => {
                let CertificateIssuer { ca_store, bundle } = issuer.clone();
                let rotator = CertificateRotator {
                    ca_store,
                    names,
                    served: Arc::clone(&served),
                    bundle,
                    now: Timestamp::now,
                };
                rotator.serve(shutdown).await?;
            }
        }
        Ok(served)
    }
}

/// A port, and what is served there.
pub(super) struct GatewayListener {
    /// For logs.
    pub(super) name: &'static str,
    pub(super) port: TcpListener,
    pub(super) protocol: Protocol,
    /// By which certificate everybody is served, and where its end is told; none: only the client below is
    /// let in.
    pub(super) certificate: Option<(CertificateSource, Gauge)>,
    /// The process that is let in by a certificate of our own authority, and trusted by it.
    pub(super) client: CertificateClient,
    /// What those may have of it who have not proven who they are.
    pub(super) admission: Admission,
}

impl GatewayListener {
    /// Has its certificate served from now on.
    ///
    /// # Errors
    /// [`TlsError`] where there is none to begin with.
    pub(super) async fn start(
        self,
        issuer: &CertificateIssuer,
        shutdown: &Shutdown,
    ) -> Result<StartedListener, TlsError> {
        let everybody = match self.certificate {
            Some((source, expiration)) => {
                let served = source.serve(expiration, issuer, shutdown.clone()).await?;
                Some(Arc::new(served.config()))
            }
            None => None,
        };
        let resolver = PortConfigResolver {
            everybody,
            client: self.client,
        };
        Ok(StartedListener {
            name: self.name,
            port: self.port,
            protocol: self.protocol,
            resolver: Arc::new(resolver),
            admission: self.admission,
        })
    }
}

/// A listener whose certificate is served.
pub(super) struct StartedListener {
    name: &'static str,
    port: TcpListener,
    protocol: Protocol,
    resolver: Arc<PortConfigResolver>,
    admission: Admission,
}

impl StartedListener {
    /// Serves until the shutdown begins.
    pub(super) async fn serve(self, gateway: Arc<Gateway>, shutdown: Shutdown) {
        if let Ok(address) = self.port.local_addr() {
            let (listener, protocol) = (self.name, self.protocol.name);
            tracing::info!(%address, listener, protocol, "serving API");
        }
        let router = self.protocol.router(gateway);
        listen::serve(self.port, self.resolver, router, self.admission, shutdown).await;
    }
}
