//! Whom the extension API lets in and for whom it speaks, and what it says while it cannot.

mod scene;

use axum::http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::Value as Json;
use strongroom_testing::wait::until_async;

pub(super) use self::scene::{Pair, authentication, bound, proxies, request, secret};
use self::scene::{Scene, believing, pair, request_with};
use super::ExtensionApiMetrics;
use super::certificate::ServingCertificate;
use super::reachability::ReachabilityProbe;
use super::trust::{
    ClientIdentity, RequestHeaderConfig, SharedTrust, TrustError, build_trust, gateway_client,
};
use crate::gateway::tls::Issuer;
use crate::gateway::tls::client_auth::root_store;

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
    let server_name = "gateway.people.strongroom.dev";
    let front = pair(&scene.ours, "front.people.strongroom.dev");
    assert_eq!(knock(Some(front), server_name).await.unwrap().0, StatusCode::OK);
    // The gateway's own certificate is of the same authority.
    let gateway = pair(&scene.ours, "strongroom-gateway.strongroom.svc");
    assert!(knock(Some(gateway), server_name).await.is_err());
    assert!(
        knock(Some(pair(&issuer, "front.people.strongroom.dev")), server_name)
            .await
            .is_err()
    );
    assert!(knock(None, server_name).await.is_err());
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
