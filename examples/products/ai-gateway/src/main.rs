//! An example of a product: an AI gateway whose credentials are default secrets of Strongroom.
//!
//! | module | idea |
//! |---|---|
//! | [`tenants`] | makes the credentials of each tenant over the API, and new versions of them |
//! | [`credential`] | the data path: signs requests with a credential, thousands a second |
//! | [`strongroom`] | the API of Strongroom, with the token of the gateway's own ServiceAccount |

mod credential;
mod strongroom;
mod tenants;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::{StatusCode, Uri};
use kube::Client;
use tokio::sync::RwLock;

use crate::credential::Credential;

/// What the gateway works with.
struct Gateway {
    kubernetes: Client,
    strongroom: Client,
    /// The same, or a gateway of Strongroom's for this product alone.
    paid: Client,
    /// By the paths at which they sign.
    credentials: RwLock<BTreeMap<String, Arc<Credential>>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    // What kube's client warns of may hold bodies.
    let filter = "ai_gateway=info,warn,kube_client::client=off";
    tracing_subscriber::fmt().with_env_filter(filter).init();
    // It is the only one that is built in; a second call would find it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let shared = Uri::from_static("https://strongroom-gateway.strongroom.svc");
    let paid = std::env::var("PAID_GATEWAY").map_or_else(|_| Ok(shared.clone()), |url| url.parse())?;
    let gateway = Arc::new(Gateway {
        kubernetes: Client::try_default().await?,
        strongroom: strongroom::client(shared)?,
        paid: strongroom::client(paid)?,
        credentials: RwLock::default(),
    });
    tokio::spawn(tenants::follow(Arc::clone(&gateway)));
    let router = Router::new().route("/sign/{namespace}/{credential}", post(sign));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
    Ok(axum::serve(listener, router.with_state(gateway)).await?)
}

/// What a request is for is not the example's; it is signed, as upstream APIs ask for it.
async fn sign(State(gateway): State<Arc<Gateway>>, uri: Uri, body: Bytes) -> Response {
    let Some(credential) = gateway.credentials.read().await.get(uri.path()).cloned() else {
        return (StatusCode::NOT_FOUND, "no such credential\n").into_response();
    };
    match credential.sign(&body).await {
        Ok(signature) => signature.into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
