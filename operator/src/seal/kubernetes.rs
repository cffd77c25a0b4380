//! The Secret with the key of a seal slot, in the process's own namespace. It is made once, by a plain
//! create, and immutable: a key that changes behind the seal file's back could open nothing any more.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, PostParams};
use strongroom_model::SecretBytes;
use strongroom_model::id::StoreId;
use strongroom_store::seal::SlotSecret;
use zeroize::Zeroizing;

use super::SealSourceError;

/// The key inside the Secret.
pub(crate) const DATA_KEY: &str = "seal-key";

/// Which store the Secret belongs to, so that a person who finds it knows.
const STORE_ANNOTATION: &str = "strongroom.dev/store";

/// The key in the Secret; none where there is no such Secret.
pub(crate) async fn read(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<SlotSecret>, SealSourceError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = api.get_opt(name).await.map_err(Box::new)?;
    secret.map(|secret| key_of(secret, name)).transpose()
}

/// A client as this process's own account, and the namespace that it lives in.
pub(crate) async fn own_namespace() -> Result<(Client, String), SealSourceError> {
    let client = Client::try_default().await.map_err(Box::new)?;
    let namespace = client.default_namespace().to_owned();
    Ok((client, namespace))
}

/// The key in the Secret of that name in the own namespace; where there is none, one is made.
pub(crate) async fn read_or_create(name: &str, store: StoreId) -> Result<SlotSecret, SealSourceError> {
    let (client, namespace) = own_namespace().await?;
    match read(&client, &namespace, name).await? {
        Some(secret) => Ok(secret),
        None => create(&client, &namespace, name, store).await,
    }
}

/// 32 random bytes.
pub(crate) fn new_key() -> Result<Zeroizing<[u8; 32]>, SealSourceError> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(|_| SealSourceError::NoRandomness)?;
    Ok(key)
}

/// Makes the Secret with a new key.
pub(crate) async fn create(
    client: &Client,
    namespace: &str,
    name: &str,
    store: StoreId,
) -> Result<SlotSecret, SealSourceError> {
    let key = new_key()?;
    create_with(client, namespace, name, store, &key).await
}

/// Makes the Secret with this key.
pub(crate) async fn create_with(
    client: &Client,
    namespace: &str,
    name: &str,
    store: StoreId,
    key: &[u8; 32],
) -> Result<SlotSecret, SealSourceError> {
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_owned(),
                "strongroom".to_owned(),
            )])),
            annotations: Some(BTreeMap::from([(STORE_ANNOTATION.to_owned(), store.to_string())])),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([(DATA_KEY.to_owned(), ByteString(key.to_vec()))])),
        ..Secret::default()
    };
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    match api.create(&PostParams::default(), &secret).await {
        Ok(made) => key_of(made, name),
        Err(kube::Error::Api(answer)) if answer.is_already_exists() => {
            Err(SealSourceError::SecretExists(name.to_owned()))
        }
        Err(error) => Err(Box::new(error).into()),
    }
}

fn key_of(secret: Secret, name: &str) -> Result<SlotSecret, SealSourceError> {
    let key = secret
        .data
        .and_then(|mut data| data.remove(DATA_KEY))
        .map(|bytes| SecretBytes::new(bytes.0))
        .filter(|key| key.len() == 32);
    key.map(SlotSecret::KubernetesSecret)
        .ok_or_else(|| SealSourceError::NotAKey(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strongroom_testing::api_server::ApiServer;

    use super::*;

    const SECRETS: &str = "/api/v1/namespaces/ns/secrets";
    const ROOT: &str = "/api/v1/namespaces/ns/secrets/root";

    #[tokio::test]
    async fn the_secret_is_made_once_immutable_and_read_back() {
        let (api, store) = (ApiServer::default(), StoreId::from_bytes([3; 16]));
        let SlotSecret::KubernetesSecret(made) = create(&api.client(), "ns", "root", store).await.unwrap()
        else {
            panic!("another kind");
        };
        assert_eq!(api.log(), [format!("POST {SECRETS}")]);
        let body = api.get(ROOT).unwrap();
        assert_eq!(body["immutable"], true);
        assert_eq!(
            body["metadata"]["annotations"]["strongroom.dev/store"],
            store.to_string()
        );
        let Some(SlotSecret::KubernetesSecret(read)) = read(&api.client(), "ns", "root").await.unwrap()
        else {
            panic!("no key");
        };
        assert_eq!(api.log(), [format!("GET {ROOT}")]);
        assert!(read == made && read.len() == 32);
        assert_ne!(read, SecretBytes::new(vec![0; 32]));
    }

    #[tokio::test]
    async fn a_secret_of_somebody_else_is_not_taken_over() {
        let api = ApiServer::default();
        api.put(ROOT, json!({}));
        let refused = create(&api.client(), "ns", "root", StoreId::from_bytes([3; 16])).await;
        assert!(matches!(refused, Err(SealSourceError::SecretExists(_))));
    }

    #[tokio::test]
    async fn absent_is_not_unreachable_and_not_malformed() {
        let api = ApiServer::default();
        assert!(read(&api.client(), "ns", "root").await.unwrap().is_none());
        api.fail(ROOT, 503);
        assert!(matches!(
            read(&api.client(), "ns", "root").await,
            Err(SealSourceError::Kube(_))
        ));
        let short = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "root"},
            "data": {"seal-key": "c2hvcnQ="}});
        api.put(ROOT, short);
        assert!(matches!(
            read(&api.client(), "ns", "root").await,
            Err(SealSourceError::NotAKey(_))
        ));
    }
}
