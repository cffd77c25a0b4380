//! Certificates of the processes without a store, made and renewed against an API server.

use strongroom_testing::api_server::ApiServer;
use strongroom_testing::clock::now;
use strongroom_testing::store::store;

use super::*;
use crate::gateway::listen::ConfigResolver;
use crate::gateway::tls::config_resolver::{
    EXTENSION_API_CLIENT_NAME, GATEWAY_SERVER_NAME, PortConfigResolver,
};
use crate::gateway::tls::{CertResolver, client_auth};

const SECRET: &str = "/api/v1/namespaces/strongroom/secrets/strongroom-front-tls";
const SERVICE: &str = "/api/v1/namespaces/strongroom/services/strongroom-front";

#[tokio::test]
async fn the_front_has_a_certificate_and_a_door_and_both_are_renewed_in_time() {
    let (api, (store, _keep)) = (ApiServer::default(), store());
    let client = CertificateClient::new(ClientProcess::ExtensionApi);
    let resolver = PortConfigResolver {
        everybody: Some(Arc::new(Arc::new(CertResolver::default()).config())),
        client: Some(client.clone()),
    };
    let expiration = Gauge::default();
    let rotator = |now| {
        Arc::new(ClientCertificateRotator {
            ca_store: CaStore::new(store.clone(), ("strongroom".to_owned(), "ns-9".to_owned())),
            client: api.client(),
            namespace: "strongroom".to_owned(),
            service: "strongroom-front".to_owned(),
            holder: client.clone(),
            expiration: expiration.clone(),
            now,
        })
    };
    let chain = || {
        let text = api.get(SECRET).unwrap()["data"]["tls.crt"]
            .as_str()
            .unwrap()
            .to_owned();
        BASE64.decode(text.as_bytes()).unwrap()
    };
    assert!(
        resolver.config(Some(GATEWAY_SERVER_NAME)).is_none(),
        "nobody comes in before there is a certificate"
    );
    let mut serving = None;
    let failure = rotator(now).renew(&mut serving).await.unwrap_err();
    assert!(
        matches!(failure, Failure::Secret(CertificateSecretError::NoService(_))),
        "{failure}"
    );
    let service = api.put(SERVICE, json!({"metadata": {"name": "strongroom-front"}}));
    assert_eq!(rotator(now).renew(&mut serving).await.unwrap(), CHECK_INTERVAL);
    let first = chain();
    let ends = || authority::validity(&chain()).map(|(_, end)| end.as_second());
    assert_eq!(Some(expiration.get()), ends());
    let names = client_auth::dns_names(&CertificateDer::from_pem_slice(&first).unwrap());
    assert_eq!(
        names,
        [
            EXTENSION_API_CLIENT_NAME,
            "strongroom-front.strongroom.svc",
            "strongroom-front.strongroom.svc.cluster.local"
        ]
    );
    let config = resolver.config(Some(GATEWAY_SERVER_NAME)).unwrap();
    rotator(now).renew(&mut serving).await.unwrap();
    assert_eq!(chain(), first);
    assert!(Arc::ptr_eq(
        &config,
        &resolver.config(Some(GATEWAY_SERVER_NAME)).unwrap()
    ));
    let later = || now() + jiff::SignedDuration::from_hours(25 * 24);
    rotator(later).renew(&mut serving).await.unwrap();
    assert_ne!(chain(), first);
    assert_eq!(Some(expiration.get()), ends());
    assert!(!Arc::ptr_eq(
        &config,
        &resolver.config(Some(GATEWAY_SERVER_NAME)).unwrap()
    ));
    // The cluster removes it with the Service; one of an earlier release becomes the Service's as well.
    let owner = |secret: &serde_json::Value| secret["metadata"]["ownerReferences"][0]["uid"].clone();
    let mut orphan = api.get(SECRET).unwrap();
    assert_eq!(owner(&orphan), service["metadata"]["uid"]);
    orphan["metadata"]["ownerReferences"] = json!([]);
    api.put_as(field_manager::CERTIFICATES, SECRET, orphan);
    rotator(later).renew(&mut serving).await.unwrap();
    assert_eq!(owner(&api.get(SECRET).unwrap()), service["metadata"]["uid"]);
}

#[tokio::test]
async fn a_secret_of_somebody_else_is_left_alone_and_edits_of_ours_are_put_back() {
    let (api, (store, _keep)) = (ApiServer::default(), store());
    let rotator = || {
        Arc::new(ClientCertificateRotator {
            ca_store: CaStore::new(store.clone(), ("strongroom".to_owned(), "ns-9".to_owned())),
            client: api.client(),
            namespace: "strongroom".to_owned(),
            service: "strongroom-front".to_owned(),
            holder: CertificateClient::new(ClientProcess::ExtensionApi),
            expiration: Gauge::default(),
            now,
        })
    };
    api.put(SERVICE, json!({"metadata": {"name": "strongroom-front"}}));
    rotator().renew(&mut None).await.unwrap();
    let mut edited = api.get(SECRET).unwrap();
    edited["data"]["tls.crt"] = json!("bWluZQ==");
    api.put_as("kubectl-edit", SECRET, edited);
    rotator().renew(&mut None).await.unwrap();
    assert_ne!(api.get(SECRET).unwrap()["data"]["tls.crt"], "bWluZQ==");
    api.remove(SECRET);
    let theirs = api.put(
        SECRET,
        json!({"metadata": {"name": "strongroom-front-tls"}, "data": {"a": "Yg=="}}),
    );
    let failure = rotator().renew(&mut None).await.unwrap_err();
    assert!(
        matches!(failure, Failure::Secret(CertificateSecretError::NotOurs(_))),
        "{failure}"
    );
    assert_eq!(api.get(SECRET).unwrap(), theirs);
}
