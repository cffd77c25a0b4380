//! An extension API between an API server and a gateway that are played, over real connections.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value as Json;
use strongroom_process::Shutdown;
use strongroom_testing::api_server::ApiServer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::gateway::extension_api::authorizer::Authorizer;
use crate::gateway::extension_api::certificate::ServingCertificate;
use crate::gateway::extension_api::trust::{
    ActiveTrust, ClientIdentity, RequestHeaderConfig, SharedTrust, build_trust, gateway_client,
};
use crate::gateway::extension_api::{Admission, ExtensionApiMetrics, listen, router};
use crate::gateway::tests::World;
use crate::gateway::tls::client_auth::root_store;
use crate::gateway::tls::{CertResolver, CertificateClient, ClientProcess, Issuer, PortConfigResolver};

/// A certificate and its key, and whom it is of; all PEM.
#[derive(Clone)]
pub(in crate::gateway::extension_api) struct Pair {
    chain: Vec<u8>,
    key: Vec<u8>,
}

pub(super) struct Scene {
    pub(super) ours: Issuer,
    pub(super) own: ServingCertificate,
    pub(super) front: SocketAddr,
    pub(super) gateway: SocketAddr,
    pub(super) shutdowns: [Shutdown; 2],
    pub(super) rbac: Rbac,
    _world: World,
}

/// The authorizer of the API server: who may get which objects (`*`: all), and what it was asked.
#[derive(Clone, Default)]
pub(super) struct Rbac {
    pub(super) allows: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
    pub(super) asked: Arc<Mutex<Vec<Json>>>,
}

impl Rbac {
    fn client(&self) -> Client {
        let (api, rbac) = (ApiServer::default(), self.clone());
        api.script("POST ", move |request| {
            ready(Ok((201, rbac.answer(request.body))))
        });
        api.client()
    }

    fn answer(&self, mut review: Json) -> Json {
        let spec = &review["spec"];
        let object = spec["resourceAttributes"]["name"].as_str().unwrap_or("*");
        let of_the_kind = spec["resourceAttributes"]["resource"] == "managedsecrets"
            && spec["resourceAttributes"]["verb"] == "get"
            && spec["resourceAttributes"]["namespace"] == "shop";
        let allows = self.allows.lock();
        let allowed = of_the_kind
            && allows
                .iter()
                .any(|(user, name)| spec["user"] == *user && (*name == "*" || *name == object));
        self.asked.lock().push(spec.clone());
        review["status"] = serde_json::json!({"allowed": allowed});
        review
    }
}

/// The API server's certificates for its calls.
pub(in crate::gateway::extension_api) fn proxies() -> (Issuer, Pair) {
    let issuer = Issuer::new(Timestamp::now());
    let pair = pair(&issuer, "strongroom");
    (issuer, pair)
}

pub(super) fn pair(issuer: &Issuer, name: &str) -> Pair {
    let (chain, key) = issuer.leaf(name);
    Pair { chain, key }
}

pub(in crate::gateway::extension_api) fn secret(ours: &Issuer) -> Secret {
    let front = pair(ours, "front.people.strongroom.dev");
    let part = |key: &str, bytes: Vec<u8>| (key.to_owned(), ByteString(bytes));
    Secret {
        data: Some(
            [
                part("tls.crt", front.chain),
                part("tls.key", front.key),
                part("ca.crt", ours.bundle().into_bytes()),
            ]
            .into(),
        ),
        ..Secret::default()
    }
}

pub(in crate::gateway::extension_api) fn authentication(proxies: &Issuer, allowed: &str) -> ConfigMap {
    let data = [
        ("requestheader-client-ca-file", proxies.bundle()),
        ("requestheader-allowed-names", allowed.to_owned()),
        (
            "requestheader-username-headers",
            r#"["X-Remote-User"]"#.to_owned(),
        ),
        ("requestheader-group-headers", r#"["X-Remote-Group"]"#.to_owned()),
        (
            "requestheader-extra-headers-prefix",
            r#"["X-Remote-Extra-"]"#.to_owned(),
        ),
    ];
    ConfigMap {
        data: Some(data.map(|(key, text)| (key.to_owned(), text)).into()),
        ..ConfigMap::default()
    }
}

/// The certificate that the API server finds at the extension API.
fn own() -> ServingCertificate {
    let names = ["strongroom-front.strongroom.svc".to_owned()];
    let made = ServingCertificate::default().advance(&names, Timestamp::now());
    made.unwrap().unwrap()
}

/// Whom a front with this certificate believes that has one for the gateway as well.
pub(super) fn believing(
    own: &ServingCertificate,
    ours: &Issuer,
    proxies: &Issuer,
    allowed: &str,
) -> ActiveTrust {
    let link = gateway_client(&ClientIdentity::from_secret(secret(ours)).unwrap()).unwrap();
    let authentication =
        RequestHeaderConfig::from_config_map(Some(authentication(proxies, allowed))).unwrap();
    build_trust(own, Some(link), &authentication).unwrap()
}

pub(in crate::gateway::extension_api) async fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

impl Scene {
    pub(super) async fn new(proxies: &Issuer, allowed: &str) -> Self {
        let world = World::new(0);
        let ours = Issuer::new(Timestamp::now());
        let client = CertificateClient::new(ClientProcess::ExtensionApi);
        let resolver = PortConfigResolver {
            everybody: Some(Arc::new(Arc::new(CertResolver::default()).config())),
            client: Some(client.clone()),
        };
        let served = pair(&ours, "gateway.people.strongroom.dev");
        client
            .config
            .set(&served.chain, &served.key, &ours.bundle())
            .unwrap();
        let shutdowns = [Shutdown::default(), Shutdown::default()];
        let (listener, gateway) = bound().await;
        let (service, shutdown) = (world.service.clone(), shutdowns[0].clone());
        let admission = Admission::for_api_servers();
        tokio::spawn(listen::serve(
            listener,
            Arc::new(resolver),
            service,
            admission,
            shutdown,
        ));

        let rbac = Rbac::default();
        let trust = SharedTrust::default();
        let own = own();
        trust.put(believing(&own, &ours, proxies, allowed));
        let (listener, front) = bound().await;
        let resolver = Arc::new(trust.clone());
        let at = gateway.to_string().parse().unwrap();
        tokio::spawn(listen::serve(
            listener,
            resolver,
            router(
                trust,
                at,
                Authorizer::new(rbac.client()),
                ExtensionApiMetrics::default(),
            ),
            Admission::for_api_servers(),
            shutdowns[1].clone(),
        ));
        Self {
            ours,
            own,
            front,
            gateway,
            shutdowns,
            rbac,
            _world: world,
        }
    }

    /// A request of an API server that has this certificate.
    pub(super) async fn ask(
        &self,
        client: Option<&Pair>,
        path: &str,
        user: &str,
    ) -> std::io::Result<(StatusCode, Json)> {
        let trust = root_store(self.own.trust().as_bytes()).unwrap();
        let host = "strongroom-front.strongroom.svc";
        request(self.front, trust, client, host, path, ("x-remote-user", user)).await
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.shutdowns.iter().for_each(Shutdown::begin);
    }
}

pub(in crate::gateway::extension_api) async fn request(
    address: SocketAddr,
    trust: RootCertStore,
    client: Option<&Pair>,
    host: &str,
    path: &str,
    header: (&str, &str),
) -> std::io::Result<(StatusCode, Json)> {
    request_with(address, trust, client, host, path, &[header]).await
}

pub(super) async fn request_with(
    address: SocketAddr,
    trust: RootCertStore,
    client: Option<&Pair>,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> std::io::Result<(StatusCode, Json)> {
    let builder = ClientConfig::builder().with_root_certificates(trust);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(&pair.chain)
                .map(Result::unwrap)
                .collect();
            let key = PrivateKeyDer::from_pem_slice(&pair.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let other = |error: hyper::Error| std::io::Error::other(error);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(other)?;
    let driving = tokio::spawn(connection);
    let mut request = Request::builder().uri(format!("https://{host}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.map_err(other)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(other)?.to_bytes();
    driving.abort();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}
