//! The peer's connection: a listener, perhaps in another network namespace, perhaps with TLS.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::mpsc as sync;

use futures::{Stream, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use strongroom_api::stream::proto::delivery_server::{Delivery, DeliveryServer};
use strongroom_api::stream::proto::{GatewayMessage, NodeMessage};
use tokio::sync::oneshot;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use super::state::Gateway;
use crate::error::{ClusterError, trying};

#[tonic::async_trait]
impl Delivery for Gateway {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<GatewayMessage, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<NodeMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (number, receiver) = self.lock().begin();
        let mut messages = request.into_inner();
        let gateway = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                let mut state = gateway.lock();
                if let Some(message) = message.message.filter(|_| !state.silent) {
                    state.receive(number, message);
                }
            }
            gateway.lock().end(number);
        });
        Ok(Response::new(UnboundedReceiverStream::new(receiver).boxed()))
    }
}

/// A certificate of the peer's own, and its authority, PEM.
pub(super) struct PeerCertificate {
    pub(super) authority: String,
    pub(super) identity: Identity,
}

pub(super) fn issue_certificate(address: IpAddr) -> Result<PeerCertificate, ClusterError> {
    let failed = |error: rcgen::Error| trying("making a certificate")(std::io::Error::other(error));
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().map_err(failed)?).map_err(failed)?;
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = CertificateParams::new(vec![address.to_string()])
        .and_then(|params| params.signed_by(&key, &authority))
        .map_err(failed)?;
    Ok(PeerCertificate {
        authority: authority.pem(),
        identity: Identity::from_pem(certificate.pem(), key.serialize_pem()),
    })
}

/// Serves until it is told to stop. Says the address that it got.
pub(super) fn serve(
    network: Option<&File>,
    address: SocketAddr,
    identity: Option<Identity>,
    gateway: impl Delivery,
    stopped: oneshot::Receiver<()>,
    listening: &sync::Sender<Result<SocketAddr, ClusterError>>,
) -> Result<(), ClusterError> {
    if let Some(network) = network {
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        let fd = std::os::fd::AsFd::as_fd(network);
        rustix::thread::move_into_link_name_space(fd, kind)
            .map_err(|error| trying("joining a network namespace")(error.into()))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(trying("starting a runtime"))?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(trying(format!("listening on {address}")))?;
        let address = listener.local_addr().map_err(trying("looking at a listener"))?;
        let mut server = Server::builder();
        if let Some(identity) = identity {
            server = server
                .tls_config(ServerTlsConfig::new().identity(identity))
                .map_err(|error| trying("setting TLS up")(std::io::Error::other(error)))?;
        }
        let _ = listening.send(Ok(address));
        server
            .add_service(DeliveryServer::new(gateway))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async {
                let _ = stopped.await;
            })
            .await
            .map_err(|error| trying("serving the stream")(std::io::Error::other(error)))
    })
}
