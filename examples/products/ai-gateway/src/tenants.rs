//! The tenants: namespaces with a label. Each has an API key; one that names an EncryptionKey of its own has
//! a payment credential under it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use http::Request;
use k8s_openapi::api::core::v1::Namespace;
use kube::client::Body;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use serde::Serialize;
use serde::de::IgnoredAny;
use strongroom_api::v1::{CreateSecretRequest, PutSecretValueRequest, SecretAnswer};
use tracing::warn;
use zeroize::Zeroizing;

use crate::Gateway;
use crate::credential::{Credential, KEY};
use crate::strongroom::{Outcome, StrongroomError, call};

const TENANTS: &str = "aigw.example.org/tenant=true";
/// The EncryptionKey of the tenant for its payment credential.
const ENCRYPTION_KEY: &str = "aigw.example.org/encryption-key";
/// A number. Another one makes new versions of the tenant's credentials.
const GENERATION: &str = "aigw.example.org/generation";

pub(crate) async fn follow(gateway: Arc<Gateway>) {
    let namespaces: Api<Namespace> = Api::all(gateway.kubernetes.clone());
    Controller::new(namespaces, watcher::Config::default().labels(TENANTS))
        .run(look, |_, _, _| Action::requeue(Duration::from_secs(2)), gateway)
        .for_each(|looked| async move {
            let _ = looked.inspect_err(|error| warn!(?error, "trying again"));
        })
        .await;
}

/// Looks at a tenant, and makes what it lacks. What somebody took away is found missing within a minute.
async fn look(tenant: Arc<Namespace>, gateway: Arc<Gateway>) -> Outcome<Action> {
    let annotation = |name: &str| tenant.annotations().get(name);
    let generation = annotation(GENERATION).and_then(|text| text.parse::<u32>().ok());
    let version = format!("g{}", generation.unwrap_or(1));
    let payments = annotation(ENCRYPTION_KEY).map(|key| ("payments", Some(key.clone())));
    let mut outcome = Ok(Action::requeue(Duration::from_secs(60)));
    for (name, key) in [("api-key", None)].into_iter().chain(payments) {
        let secrets = format!("/v1/namespaces/{}/secrets", tenant.name_any());
        let path = format!("{secrets}/aigw!{name}/value");
        let reads = key.as_ref().map_or(&gateway.strongroom, |_| &gateway.paid);
        let made = ensure(&gateway.strongroom, &secrets, name, key, &version).await;
        outcome = made.and(outcome);
        let name = format!("/sign/{}/{name}", tenant.name_any());
        let mut credentials = gateway.credentials.write().await;
        let new = || Arc::new(Credential::new(reads.clone(), path));
        credentials.entry(name).or_insert_with(new);
    }
    outcome
}

/// Makes a credential, or a new version of it. It looks first: what was made and whose answer was lost is
/// not made again.
async fn ensure(
    client: &Client,
    secrets: &str,
    name: &str,
    key: Option<String>,
    version: &str,
) -> Outcome<()> {
    let path = format!("{secrets}/aigw!{name}");
    let found = call::<SecretAnswer>(client, Request::get(&path).body(Body::empty())).await;
    // A real gateway has the value from whoever takes the payments.
    let mut value = Zeroizing::new(vec![0; 32]);
    getrandom::fill(&mut value).map_err(|_| StrongroomError::Unreadable)?;
    let data = Some(BTreeMap::from([(KEY.to_owned(), value.into())]));
    let request = match found {
        Ok(Some(secret)) if secret.stages.get("Current").is_some_and(|id| id == version) => return Ok(()),
        Ok(_) => {
            let (sealed, stages) = (None, Vec::new());
            let put = PutSecretValueRequest { data, sealed, stages };
            Request::put(format!("{path}/versions/{version}")).body(json(&put)?)
        }
        Err(StrongroomError::Refused(problem)) if problem.code == "SecretNotFound" => {
            let create = CreateSecretRequest {
                name: format!("aigw!{name}"),
                version_id: version.to_owned(),
                data,
                encryption_key: key,
                ..CreateSecretRequest::default()
            };
            Request::post(secrets).body(json(&create)?)
        }
        Err(error) => return Err(error),
    };
    call::<IgnoredAny>(client, request).await.map(drop)
}

fn json(request: &impl Serialize) -> Outcome<Body> {
    let bytes = serde_json::to_vec(request).map_err(|_| StrongroomError::Unreadable)?;
    Ok(Body::from(bytes))
}
