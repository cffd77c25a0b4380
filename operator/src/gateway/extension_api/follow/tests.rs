//! Fronts in a cluster that is played, without a gateway, and after a release in which the gateway made their
//! certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use data_encoding::BASE64;
use serde_json::{Value as Json, json};
use strongroom_process::Shutdown;
use strongroom_testing::api_server::ApiServer;
use strongroom_testing::wait::until_async as until;

use super::*;
use crate::gateway::extension_api::authorizer::Authorizer;
use crate::gateway::extension_api::tests::{Pair, authentication, bound, proxies, request, secret};
use crate::gateway::extension_api::{ExtensionApiMetrics, listen, router};
use crate::gateway::tls::Issuer;
use crate::gateway::tls::client_auth::root_store;

const SERVING: &str = "/api/v1/namespaces/strongroom/secrets/strongroom-front-serving";
const LINK: &str = "/api/v1/namespaces/strongroom/secrets/strongroom-front-tls";
const SERVICE: &str = "/api/v1/namespaces/strongroom/services/strongroom-front";
const MAP: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
const API: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1.people.strongroom.dev";
/// Nobody is there.
const GATEWAY: &str = "127.0.0.1:1";

/// A cluster with what the chart installs, and the API server's certificate.
struct Played {
    cluster: ApiServer,
    proxy: Pair,
    shutdown: Shutdown,
}

/// An extension API server that runs in this process.
struct Replica {
    address: SocketAddr,
    health: Health,
}

impl Played {
    fn new(trusted: Option<&str>) -> Self {
        let (issuer, proxy) = proxies();
        let cluster = ApiServer::default();
        let mut map = serde_json::to_value(authentication(&issuer, "[]")).unwrap();
        map["metadata"]["name"] = json!("extension-apiserver-authentication");
        cluster.put(MAP, map);
        cluster.put(SERVICE, json!({"metadata": {"name": "strongroom-front"}}));
        cluster.put(API, api_service("strongroom", trusted));
        Self {
            cluster,
            proxy,
            shutdown: Shutdown::default(),
        }
    }

    /// Starts a replica, and does not wait.
    async fn replica(&self) -> Replica {
        let (trust, health) = (SharedTrust::default(), Health::default());
        health.set("front", Check::Waiting(String::new()));
        let follower = Follower {
            client: self.cluster.client(),
            namespace: "strongroom".to_owned(),
            service: "strongroom-front".to_owned(),
            trust: trust.clone(),
            health: health.clone(),
            expiration: Gauge::default(),
            now: Timestamp::now,
        };
        tokio::spawn(follower.follow());
        let (listener, address) = bound().await;
        let router = router(
            trust.clone(),
            GATEWAY.parse().unwrap(),
            Authorizer::new(self.cluster.client()),
            ExtensionApiMetrics::default(),
        );
        tokio::spawn(listen::serve(
            listener,
            Arc::new(trust),
            router,
            listen::Admission::for_api_servers(),
            self.shutdown.clone(),
        ));
        Replica { address, health }
    }

    /// What the API server trusts, PEM.
    fn trusted(&self) -> String {
        let found = self.cluster.get(API).unwrap();
        let text = found["spec"]["caBundle"].as_str().unwrap_or_default();
        String::from_utf8(BASE64.decode(text.as_bytes()).unwrap()).unwrap()
    }

    /// What the API server is answered.
    async fn ask(&self, replica: &Replica, path: &str) -> std::io::Result<(StatusCode, Json)> {
        let trust = root_store(self.trusted().as_bytes()).map_err(std::io::Error::other)?;
        let (host, user) = ("strongroom-front.strongroom.svc", ("x-remote-user", "jane"));
        request(replica.address, trust, Some(&self.proxy), host, path, user).await
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

fn api_service(namespace: &str, trusted: Option<&str>) -> Json {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.people.strongroom.dev"},
        "spec": {
            "group": "people.strongroom.dev", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": {"name": "strongroom-front", "namespace": namespace},
            "caBundle": trusted.map(|pem| BASE64.encode(pem.as_bytes())),
        },
    })
}

#[tokio::test]
async fn without_a_gateway_every_replica_is_ready_and_answers_discovery() {
    let played = Played::new(None);
    let replicas = [played.replica().await, played.replica().await];
    for replica in &replicas {
        until("a replica is ready", async || replica.health.readiness().is_ok()).await;
        for path in [
            "/apis/people.strongroom.dev",
            "/apis/people.strongroom.dev/v1",
            "/openapi/v2",
        ] {
            let (status, _) = played.ask(replica, path).await.unwrap();
            assert_eq!(status, StatusCode::OK, "{path}");
        }
        let secrets = "/apis/people.strongroom.dev/v1/namespaces/shop/secrets";
        let (status, answer) = played.ask(replica, secrets).await.unwrap();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let detail = answer["detail"].as_str().unwrap();
        assert!(
            detail.contains("https://127.0.0.1:1: ")
                && detail.contains("has not issued the client certificate yet"),
            "{detail}"
        );
    }
    // The Service owns it, so that it goes with it.
    let (held, service) = (
        played.cluster.get(SERVING).unwrap(),
        played.cluster.get(SERVICE).unwrap(),
    );
    assert_eq!(
        held["metadata"]["ownerReferences"][0]["uid"],
        service["metadata"]["uid"]
    );
    until("everything is watched", async || played.cluster.watches() == 8).await;
    // What the gateway's process makes later is taken, and the APIService keeps to what the extension API
    // itself has.
    let before = played.trusted();
    played
        .cluster
        .put(LINK, named(&secret(&Issuer::new(Timestamp::now()))));
    until("the way to the gateway is tried", async || {
        let secrets = "/apis/people.strongroom.dev/v1/namespaces/shop/secrets";
        let (_, answer) = played.ask(&replicas[1], secrets).await.unwrap();
        !answer["detail"].as_str().unwrap().contains("certificate yet")
    })
    .await;
    assert_eq!(played.trusted(), before);
}

fn named(secret: &Secret) -> Json {
    let mut secret = serde_json::to_value(secret).unwrap();
    secret["metadata"]["name"] = json!("strongroom-front-tls");
    secret
}

#[tokio::test]
async fn what_somebody_changes_is_put_back_and_what_is_somebody_elses_is_left_alone() {
    let played = Played::new(None);
    let replica = played.replica().await;
    until("it is ready", async || replica.health.readiness().is_ok()).await;
    until("everything is watched", async || played.cluster.watches() == 4).await;
    let (held, trusted) = (played.cluster.get(SERVING).unwrap(), played.trusted());
    let ends =
        &played.cluster.get(API).unwrap()["metadata"]["annotations"]["strongroom.dev/certificate-ends"];
    assert!(ends.as_str().unwrap().parse::<Timestamp>().unwrap() > Timestamp::now());
    let answers = async || played.ask(&replica, "/openapi/v2").await.is_ok();
    // Of a Secret that is gone the process has what was in it: nobody has to be told anything.
    played.cluster.remove(SERVING);
    until("the Secret is back", async || {
        played.cluster.get(SERVING).is_some()
    })
    .await;
    assert_eq!(played.cluster.get(SERVING).unwrap()["data"], held["data"]);
    played.cluster.put(API, api_service("strongroom", None));
    until("the API server is told again", async || {
        played.trusted() == trusted
    })
    .await;
    let mut edited = played.cluster.get(SERVING).unwrap();
    edited["data"]["tls.crt"] = json!("bWluZQ==");
    played.cluster.put(SERVING, edited);
    until("the certificate is made anew", async || {
        played.cluster.get(SERVING).unwrap()["data"]["tls.crt"] != "bWluZQ==" && answers().await
    })
    .await;
    assert_eq!(played.trusted(), trusted);

    // Two installations of one cluster: what the other one has is not touched.
    let elsewhere = played.cluster.put(API, api_service("other", Some("theirs")));
    let second = played.replica().await;
    until("it is ready", async || second.health.readiness().is_ok()).await;
    assert_eq!(played.cluster.get(API).unwrap(), elsewhere);

    let played = Played::new(None);
    let theirs = played.cluster.put(
        SERVING,
        json!({"metadata": {"name": "strongroom-front-serving"}, "data": {"a": "Yg=="}}),
    );
    let replica = played.replica().await;
    until("it says why not", async || {
        replica
            .health
            .readiness()
            .is_err_and(|why| why.contains("exists and was not created by strongroom"))
    })
    .await;
    assert_eq!(played.cluster.get(SERVING).unwrap(), theirs);
}

#[tokio::test]
async fn after_an_upgrade_the_fronts_of_before_are_trusted_on_and_before_that_no_new_one_is_ready() {
    let gateway = Issuer::new(Timestamp::now());
    let played = Played::new(Some(&gateway.bundle()));
    played.cluster.put(LINK, named(&secret(&gateway)));
    // The API server cannot be told yet, as while rights are missing.
    for _ in 0..1000 {
        played.cluster.fail("PATCH /apis/apiregistration", 403);
    }
    let replica = played.replica().await;
    until("it says why not", async || {
        let readiness = replica.health.readiness();
        assert!(readiness.is_err(), "ready too early");
        readiness.is_err_and(|why| why != "front: ")
    })
    .await;
    played.cluster.no_faults();
    until("it is ready", async || replica.health.readiness().is_ok()).await;
    assert!(played.trusted().contains(gateway.bundle().trim()));
    assert!(played.ask(&replica, "/openapi/v2").await.is_ok());
    until("everything is watched", async || played.cluster.watches() == 4).await;
    // The gateway of before writes what it knows for as long as it runs.
    let mut before = played.cluster.get(API).unwrap();
    before["spec"]["caBundle"] = json!(BASE64.encode(gateway.bundle().as_bytes()));
    played.cluster.put_as("strongroom-gateway", API, before);
    until("both are trusted again", async || {
        played.ask(&replica, "/openapi/v2").await.is_ok()
    })
    .await;
    assert!(played.trusted().contains(gateway.bundle().trim()));
}
