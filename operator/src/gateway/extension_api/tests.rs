//! The extension API between an API server and a gateway that are played, over real connections.

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
use strongroom_testing::wait::until_async;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::authorizer::Authorizer;
use super::certificate::ServingCertificate;
use super::reachability::ReachabilityProbe;
use super::trust::{
    ActiveTrust, ClientIdentity, RequestHeaderConfig, SharedTrust, TrustError, build_trust, gateway_client,
};
use super::{Admission, ExtensionApiMetrics, listen, router};
use crate::gateway::tests::World;
use crate::gateway::tls::client_auth::root_store;
use crate::gateway::tls::{CertResolver, GatewayConfigResolver, Issuer};

/// A certificate and its key, and whom it is of; all PEM.
#[derive(Clone)]
pub(super) struct Pair {
    chain: Vec<u8>,
    key: Vec<u8>,
}

struct Scene {
    ours: Issuer,
    own: ServingCertificate,
    front: SocketAddr,
    gateway: SocketAddr,
    shutdowns: [Shutdown; 2],
    rbac: Rbac,
    _world: World,
}

/// The authorizer of the API server: who may get which objects (`*`: all), and what it was asked.
#[derive(Clone, Default)]
struct Rbac {
    allows: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
    asked: Arc<Mutex<Vec<Json>>>,
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
pub(super) fn proxies() -> (Issuer, Pair) {
    let issuer = Issuer::new(Timestamp::now());
    let pair = pair(&issuer, "strongroom");
    (issuer, pair)
}

fn pair(issuer: &Issuer, name: &str) -> Pair {
    let (chain, key) = issuer.leaf(name);
    Pair { chain, key }
}

pub(super) fn secret(ours: &Issuer) -> Secret {
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

pub(super) fn authentication(proxies: &Issuer, allowed: &str) -> ConfigMap {
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
fn believing(own: &ServingCertificate, ours: &Issuer, proxies: &Issuer, allowed: &str) -> ActiveTrust {
    let link = gateway_client(&ClientIdentity::from_secret(secret(ours)).unwrap()).unwrap();
    let authentication =
        RequestHeaderConfig::from_config_map(Some(authentication(proxies, allowed))).unwrap();
    build_trust(own, Some(link), &authentication).unwrap()
}

pub(super) async fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

impl Scene {
    async fn new(proxies: &Issuer, allowed: &str) -> Self {
        let world = World::new(0);
        let ours = Issuer::new(Timestamp::now());
        let doors = GatewayConfigResolver {
            everybody: Arc::new(Arc::new(CertResolver::default()).config()),
            extension_api: Arc::default(),
        };
        let door = pair(&ours, "gateway.people.strongroom.dev");
        doors
            .extension_api
            .set(&door.chain, &door.key, &ours.bundle())
            .unwrap();
        let shutdowns = [Shutdown::default(), Shutdown::default()];
        let (listener, gateway) = bound().await;
        let (router_, shutdown) = (world.router.clone(), shutdowns[0].clone());
        let admission = Admission::for_api_servers();
        tokio::spawn(listen::serve(
            listener,
            Arc::new(doors),
            router_,
            admission,
            shutdown,
        ));

        let rbac = Rbac::default();
        let trust = SharedTrust::default();
        let own = own();
        trust.put(believing(&own, &ours, proxies, allowed));
        let (listener, front) = bound().await;
        let entrance = Arc::new(trust.clone());
        let at = gateway.to_string().parse().unwrap();
        tokio::spawn(listen::serve(
            listener,
            entrance,
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
    async fn ask(
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

pub(super) async fn request(
    address: SocketAddr,
    trust: RootCertStore,
    client: Option<&Pair>,
    host: &str,
    path: &str,
    header: (&str, &str),
) -> std::io::Result<(StatusCode, Json)> {
    request_with(address, trust, client, host, path, &[header]).await
}

async fn request_with(
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

const SECRETS: &str = "/apis/people.strongroom.dev/v1/namespaces/shop/secrets";

#[tokio::test]
async fn whom_the_api_server_names_the_gateway_decides_about() {
    let (issuer, proxy) = proxies();
    let scene = Scene::new(&issuer, r#"["strongroom"]"#).await;
    let (status, answer) = scene.ask(Some(&proxy), SECRETS, "jane").await.unwrap();
    assert_eq!(
        (status, answer),
        (StatusCode::OK, serde_json::json!({"secrets": []}))
    );
    let path = format!("{SECRETS}/db-main");
    let (status, answer) = scene.ask(Some(&proxy), &path, "jane").await.unwrap();
    assert_eq!(
        (status.as_u16(), &answer["code"]),
        (404, &"SecretNotFound".into())
    );
    let (status, answer) = scene.ask(Some(&proxy), SECRETS, "").await.unwrap();
    assert_eq!(
        (status.as_u16(), &answer["code"]),
        (401, &"Unauthenticated".into())
    );
    let (status, answer) = scene
        .ask(Some(&proxy), &format!("{SECRETS}:batchGet"), "jane")
        .await
        .unwrap();
    assert_eq!((status.as_u16(), &answer["code"]), (404, &"NoSuchPath".into()));
}

#[tokio::test]
async fn whoever_may_get_the_object_may_describe_the_secret_and_rbac_is_asked_once_in_ten_seconds() {
    let (issuer, proxy) = proxies();
    let scene = Scene::new(&issuer, r#"["strongroom"]"#).await;
    scene.rbac.allows.lock().push(("jane", "*"));
    let path = format!("{SECRETS}/db-main");
    for _ in 0..3 {
        let (status, answer) = scene.ask(Some(&proxy), &path, "jane").await.unwrap();
        assert_eq!((status.as_u16(), &answer["name"]), (200, &"db-main".into()));
    }
    assert_eq!(scene.rbac.asked.lock().len(), 1);
    let (status, explained) = scene
        .ask(
            Some(&proxy),
            &format!("{path}/access?action=DescribeSecret"),
            "jane",
        )
        .await
        .unwrap();
    assert_eq!((status.as_u16(), &explained["byRbac"]), (200, &true.into()));
    // Without the right it is as if there were none; the object itself is asked about as well.
    scene.rbac.asked.lock().clear();
    let (status, _) = scene.ask(Some(&proxy), &path, "joe").await.unwrap();
    assert_eq!(status.as_u16(), 404);
    let names: Vec<Json> = scene
        .rbac
        .asked
        .lock()
        .iter()
        .map(|spec| spec["resourceAttributes"]["name"].clone())
        .collect();
    assert_eq!(names, [Json::Null, "db-main".into()]);
    // What a caller says of itself is not passed on.
    let trust = root_store(scene.own.trust().as_bytes()).unwrap();
    let forged = request_with(
        scene.front,
        trust,
        Some(&proxy),
        "strongroom-front.strongroom.svc",
        &path,
        &[("x-remote-user", "joe"), ("x-strongroom-may-get", "shop/*")],
    )
    .await
    .unwrap();
    assert_eq!(forged.0.as_u16(), 404);
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_is_told_with_its_address() {
    let (issuer, proxy) = proxies();
    let scene = Scene::new(&issuer, "[]").await;
    let trust = SharedTrust::default();
    let reach = ReachabilityProbe {
        trust: trust.clone(),
        gateway: scene.gateway.to_string().parse().unwrap(),
        metrics: ExtensionApiMetrics::default(),
    };
    assert!(reach.probe().await.unwrap_err().contains("not ready"));
    let says = RequestHeaderConfig::from_config_map(Some(authentication(&issuer, "[]"))).unwrap();
    trust.put(build_trust(&scene.own, None, &says).unwrap());
    assert!(reach.probe().await.unwrap_err().contains("certificate"));
    trust.put(believing(&scene.own, &scene.ours, &issuer, "[]"));
    assert_eq!(reach.probe().await, Ok(()));
    scene.shutdowns[0].begin();
    until_async("the gateway to be away", async || reach.probe().await.is_err()).await;
    let (status, answer) = scene.ask(Some(&proxy), SECRETS, "jane").await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let detail = answer["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("https://{}", scene.gateway)), "{detail}");
}

#[tokio::test]
async fn only_the_api_server_is_let_in() {
    let (issuer, proxy) = proxies();
    let scene = Scene::new(&issuer, r#"["front-proxy-client"]"#).await;
    // Of the right authority, by another name.
    assert!(scene.ask(Some(&proxy), SECRETS, "jane").await.is_err());
    let scene = Scene::new(&issuer, r#"["strongroom"]"#).await;
    assert!(scene.ask(None, SECRETS, "jane").await.is_err());
    let (_, stranger) = proxies();
    assert!(scene.ask(Some(&stranger), SECRETS, "jane").await.is_err());
    // Our own authority is not the API server's.
    let ours = pair(&scene.ours, "strongroom");
    assert!(scene.ask(Some(&ours), SECRETS, "jane").await.is_err());
    assert!(scene.ask(Some(&proxy), SECRETS, "jane").await.is_ok());
}

#[tokio::test]
async fn only_the_front_comes_through_its_door() {
    let (issuer, _) = proxies();
    let scene = Scene::new(&issuer, "[]").await;
    let knock = async |client: Option<Pair>, host: &str| {
        let trust = root_store(scene.ours.bundle().as_bytes()).unwrap();
        let header = ("x-strongroom-user", "jane");
        request(
            scene.gateway,
            trust,
            client.as_ref(),
            host,
            "/v1/namespaces/shop/secrets",
            header,
        )
        .await
    };
    let door = "gateway.people.strongroom.dev";
    let front = pair(&scene.ours, "front.people.strongroom.dev");
    assert_eq!(knock(Some(front), door).await.unwrap().0, StatusCode::OK);
    // The gateway's own certificate is of the same authority.
    let gateway = pair(&scene.ours, "strongroom-gateway.strongroom.svc");
    assert!(knock(Some(gateway), door).await.is_err());
    assert!(
        knock(Some(pair(&issuer, "front.people.strongroom.dev")), door)
            .await
            .is_err()
    );
    assert!(knock(None, door).await.is_err());
}

#[tokio::test]
async fn discovery_is_answered_also_while_the_gateway_is_away() {
    let (issuer, proxy) = proxies();
    let scene = Scene::new(&issuer, "[]").await;
    scene.shutdowns[0].begin();
    until_async("the gateway to be away", async || {
        let (status, answer) = scene.ask(Some(&proxy), SECRETS, "jane").await.unwrap();
        let away = status == StatusCode::SERVICE_UNAVAILABLE;
        assert!(!away || answer["code"] == "StoreUnavailable", "{answer}");
        away
    })
    .await;
    for (path, kind) in [
        ("/apis/people.strongroom.dev", "APIGroup"),
        ("/apis/people.strongroom.dev/v1", "APIResourceList"),
    ] {
        let (status, answer) = scene
            .ask(Some(&proxy), path, "system:kube-aggregator")
            .await
            .unwrap();
        assert_eq!(
            (status, &answer["kind"]),
            (StatusCode::OK, &kind.into()),
            "{path}"
        );
    }
    for path in [
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/apis/people.strongroom.dev/v1",
    ] {
        let (status, answer) = scene.ask(Some(&proxy), path, "system:aggregator").await.unwrap();
        assert!(status == StatusCode::OK && answer["paths"].is_object(), "{path}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let missing = RequestHeaderConfig::from_config_map(Some(ConfigMap::default()))
        .err()
        .unwrap();
    assert_eq!(
        missing,
        TrustError::Authentication("requestheader-client-ca-file")
    );
    let (issuer, _) = proxies();
    let says = RequestHeaderConfig::from_config_map(Some(authentication(&issuer, "[]"))).unwrap();
    let missing = build_trust(&ServingCertificate::default(), None, &says)
        .err()
        .unwrap();
    assert!(matches!(missing, TrustError::Malformed(_)));
    let mut broken = secret(&Issuer::new(Timestamp::now()));
    let data = broken.data.as_mut().unwrap();
    data.insert("tls.key".to_owned(), ByteString(b"x".to_vec()));
    let missing = gateway_client(&ClientIdentity::from_secret(broken).unwrap())
        .err()
        .unwrap();
    assert!(matches!(missing, TrustError::Malformed(_)));
    assert!(ClientIdentity::from_secret(Secret::default()).is_none());
}
