//! The hand-over over real connections: who is let in, and how much.

use axum::body::Body;
use axum::http::{Method, Request, Version, header};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value as Json, json};
use strongroom_store::vault::{ObjectChange, PendingAttestation};
use strongroom_testing::store::Fixture;

use super::*;
use crate::attestation::ATTESTATIONS_PATH;
use crate::gateway::listen;
use crate::gateway::listener::GatewayListener;
use crate::gateway::protocols::ATTESTATIONS;
use crate::gateway::tests::World;
use crate::gateway::tls::{
    ATTESTATIONS_SERVER_NAME, CertificateClient, ClientIdentity, ClientProcess, GATEWAY_SERVER_NAME,
    GatewayClient, Issuer,
};

const WEBHOOK_CLIENT_NAME: &str = "webhook.attestations.strongroom.dev";

/// A port that is served.
struct Scene {
    world: World,
    ours: Issuer,
    address: std::net::SocketAddr,
    shutdown: Shutdown,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

async fn scene() -> Scene {
    // Two providers are in the program, and none is the default by itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (world, ours) = (World::without_nodes(), Issuer::new(Timestamp::now()));
    let (chain, key) = ours.leaf(ATTESTATIONS_SERVER_NAME);
    let client = CertificateClient::new(ClientProcess::Webhook);
    client.config.set(&chain, &key, &ours.bundle()).unwrap();
    let port = listen::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = port.local_addr().unwrap();
    let listener = GatewayListener {
        port,
        protocol: ATTESTATIONS,
        scope: Arc::clone(world.gateway.shared()),
        certificate: None,
        client: Some(client),
    };
    let shutdown = Shutdown::default();
    tokio::spawn(listener.serve(Arc::clone(&world.gateway), shutdown.clone()));
    Scene {
        world,
        ours,
        address,
        shutdown,
    }
}

/// Somebody with a certificate of this name by `issuer`, who trusts `trusts` and calls by `server_name`.
fn client(issuer: &Issuer, name: &str, trusts: &Issuer, server_name: &'static str) -> GatewayClient {
    let (chain, key) = issuer.leaf(name);
    let part = |key: &str, bytes: Vec<u8>| (key.to_owned(), ByteString(bytes));
    let data = [
        part("tls.crt", chain),
        part("tls.key", key),
        part("ca.crt", trusts.bundle().into_bytes()),
    ];
    let secret = Secret {
        data: Some(data.into()),
        ..Secret::default()
    };
    ClientIdentity::from_secret(secret)
        .unwrap()
        .client(server_name)
        .unwrap()
}

fn handed(uid: &str) -> Json {
    json!({"uid": uid, "namespace": "shop", "operation": "UPDATE", "digest": "ab".repeat(32), "user": "jane",
        "groups": ["ops"], "userUid": ""})
}

impl Scene {
    fn webhook(&self) -> GatewayClient {
        client(
            &self.ours,
            WEBHOOK_CLIENT_NAME,
            &self.ours,
            ATTESTATIONS_SERVER_NAME,
        )
    }

    async fn ask(&self, client: &GatewayClient, path: &str, body: Vec<u8>) -> Option<StatusCode> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("https://{}{path}", self.address))
            .version(Version::HTTP_2)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap();
        client.request(request).await.ok().map(|answer| answer.status())
    }

    fn kept(&self) -> Vec<PendingAttestation> {
        self.world.gateway.store.pending_attestations().unwrap()
    }

    async fn hand(&self, client: &GatewayClient, handed: &Json) -> Option<StatusCode> {
        self.ask(client, ATTESTATIONS_PATH, handed.to_string().into_bytes())
            .await
    }
}

#[tokio::test]
async fn what_the_webhook_hands_over_is_kept_when_it_is_acknowledged() {
    let scene = scene().await;
    let webhook = scene.webhook();
    assert_eq!(
        scene.hand(&webhook, &handed("u-1")).await,
        Some(StatusCode::NO_CONTENT)
    );
    let kept = scene.kept();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (kept[0].namespace.as_str(), kept[0].uid.as_str()),
        ("shop", "u-1")
    );
    // The same again is one.
    scene.hand(&webhook, &handed("u-1")).await.unwrap();
    assert_eq!(scene.kept().len(), 1);
    // Nothing else can be asked here.
    for path in ["/", "/healthz", "/v1/namespaces/shop/secrets"] {
        assert_eq!(
            scene.ask(&webhook, path, Vec::new()).await,
            Some(StatusCode::NOT_FOUND),
            "{path}"
        );
    }
}

#[tokio::test]
async fn nobody_but_the_webhook_is_let_in() {
    let scene = scene().await;
    let theirs = Issuer::new(Timestamp::now());
    for (who, client) in [
        (
            "the extension API server",
            client(
                &scene.ours,
                "front.people.strongroom.dev",
                &scene.ours,
                ATTESTATIONS_SERVER_NAME,
            ),
        ),
        (
            "a name like it",
            client(
                &scene.ours,
                &format!("x.{WEBHOOK_CLIENT_NAME}"),
                &scene.ours,
                ATTESTATIONS_SERVER_NAME,
            ),
        ),
        (
            "the port's own certificate",
            client(
                &scene.ours,
                ATTESTATIONS_SERVER_NAME,
                &scene.ours,
                ATTESTATIONS_SERVER_NAME,
            ),
        ),
        (
            "another authority",
            client(
                &theirs,
                WEBHOOK_CLIENT_NAME,
                &scene.ours,
                ATTESTATIONS_SERVER_NAME,
            ),
        ),
        (
            "the webhook by another name",
            client(&scene.ours, WEBHOOK_CLIENT_NAME, &scene.ours, GATEWAY_SERVER_NAME),
        ),
    ] {
        assert_eq!(scene.hand(&client, &handed("u-1")).await, None, "{who}");
    }
    assert!(scene.kept().is_empty());
}

#[tokio::test]
async fn what_is_too_much_or_nonsense_is_refused() {
    let scene = scene().await;
    let webhook = scene.webhook();
    let mut large = handed("u-1");
    large["groups"] = json!(vec!["g".repeat(1_000); 17]);
    assert_eq!(
        scene.hand(&webhook, &large).await,
        Some(StatusCode::PAYLOAD_TOO_LARGE)
    );
    for (field, value) in [
        ("namespace", json!("NO NAME")),
        ("namespace", json!("n".repeat(300))),
        ("digest", json!("ab")),
        ("user", json!("")),
        ("operation", json!("CONNECT")),
        ("uid", json!("")),
    ] {
        let mut wrong = handed("u-1");
        wrong[field] = value;
        assert_eq!(
            scene.hand(&webhook, &wrong).await,
            Some(StatusCode::BAD_REQUEST),
            "{field}"
        );
    }
    assert!(scene.kept().is_empty());
}

#[tokio::test]
async fn a_namespace_that_is_loud_uses_up_its_own_share() {
    let f = Fixture::new();
    let attestations = Attestations::new(StoreHandle::new(f.store.clone()), PendingAttestations::default());
    let turns: Vec<_> = (0..MAX_PENDING_PER_NAMESPACE)
        .map(|_| attestations.at_once.take("shop".to_owned(), 1).unwrap())
        .collect();
    let one = |namespace: &str| {
        let mut handed = handed("u-1");
        handed["namespace"] = json!(namespace);
        serde_json::from_value::<AttestationMessage>(handed).unwrap()
    };
    assert_eq!(
        attestations.keep(one("shop")).await,
        Err(StatusCode::TOO_MANY_REQUESTS)
    );
    assert_eq!(attestations.keep(one("pay")).await, Ok(()));
    drop(turns);
    assert_eq!(attestations.keep(one("shop")).await, Ok(()));
    // Nor by its rate.
    let loud = "loud".to_owned();
    while attestations.rates.check_key(&loud).is_ok() {}
    assert_eq!(
        attestations.keep(one("loud")).await,
        Err(StatusCode::TOO_MANY_REQUESTS)
    );
    assert_eq!(attestations.keep(one("pay")).await, Ok(()));
}

#[tokio::test]
async fn what_another_process_was_told_waits_on() {
    let f = Fixture::new();
    let first = Attestations::new(StoreHandle::new(f.store.clone()), PendingAttestations::default());
    first
        .keep(serde_json::from_value(handed("u-1")).unwrap())
        .await
        .unwrap();
    let waiting = PendingAttestations::default();
    let second = Attestations::new(StoreHandle::new(f.store.clone()), waiting.clone());
    second.load().await;
    let long_after = Timestamp::now()
        .checked_add(jiff::SignedDuration::from_hours(1))
        .unwrap();
    let aged = waiting.take_expired(long_after);
    assert_eq!(aged.len(), 1);
    assert_eq!(aged[0], f.store.pending_attestations().unwrap()[0].id);
    let attest = serde_json::from_value::<AttestationMessage>(handed("u-1"))
        .unwrap()
        .attest(aged)
        .unwrap();
    assert_eq!(attest.change, ObjectChange::Written);
}
