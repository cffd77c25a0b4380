//! A listener as a value: a port, the protocol that is spoken there, its certificate, its limits and who is
//! let in. Another one, of another protocol or for some products alone, is another value.

use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::metrics::gauge::Gauge;
use strongroom_process::Shutdown;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::listen;
use super::listener_scope::{GatewayKind, ListenerScope};
use super::protocols::Protocol;
use super::state::Gateway;
use super::tls::{
    CaStore, CertResolver, CertificateClient, CertificateRotator, FileCertificate, PortConfigResolver,
    TlsError,
};

/// Where the certificate comes from by which everybody is served.
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
    ///
    /// # Errors
    /// [`TlsError`] where there is none to begin with.
    pub(super) async fn serve(
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
    pub(super) port: TcpListener,
    pub(super) protocol: Protocol,
    /// What its requests have of it.
    pub(super) scope: Arc<ListenerScope>,
    /// By which certificate everybody is served; none: only the client below is let in.
    pub(super) certificate: Option<Arc<CertResolver>>,
    /// The process that is let in by a certificate of our own authority, and trusted by it.
    pub(super) client: Option<CertificateClient>,
}

impl GatewayListener {
    /// Serves until the shutdown begins, and then what is under way.
    pub(super) async fn serve(self, gateway: Arc<Gateway>, shutdown: Shutdown) {
        let Self {
            port,
            protocol,
            scope,
            certificate,
            client,
        } = self;
        if let Ok(address) = port.local_addr() {
            let (listener, protocol) = (scope.name(), protocol.name);
            match scope.kind() {
                GatewayKind::Shared => tracing::info!(%address, %listener, protocol, "serving API"),
                GatewayKind::Dedicated { products } => {
                    tracing::info!(%address, %listener, protocol, ?products, "serving API");
                }
            }
        }
        let resolver = PortConfigResolver {
            everybody: certificate.map(|served| Arc::new(served.config())),
            client,
        };
        let admission = scope.capacity.admission().clone();
        let service = protocol.service(gateway, scope);
        listen::serve(port, Arc::new(resolver), service, admission, shutdown).await;
    }
}
