//! An example of a product: a small database operator whose credentials are default secrets of Strongroom.
//!
//! | module | idea |
//! |---|---|
//! | [`mod@reconcile`] | one `Postgres`: its secret, its login, its status |
//! | [`strongroom`] | the API of Strongroom, with the token of the operator's own ServiceAccount |
//! | [`database`] | roles and logins in the server; looks before it changes anything |

mod database;
mod error;
mod reconcile;
mod strongroom;

use std::error::Error;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client};
use strongroom_crds::v1alpha1::ManagedSecret;

use crate::reconcile::{Operator, on_error, reconcile};

fn main() -> Result<(), Box<dyn Error>> {
    // What kube's client warns of may hold bodies.
    let filter = "pg_operator=info,warn,kube_client::client=off";
    tracing_subscriber::fmt().with_env_filter(filter).init();
    // It is the only one that is built in; a second call would find it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let kind = GroupVersionKind::gvk("pg.example.org", "v1alpha1", "Postgres");
    let operator = Operator {
        client: Client::try_default().await?,
        kind: ApiResource::from_gvk_with_plural(&kind, "postgreses"),
        strongroom: strongroom::client()?,
    };
    let all: Api<DynamicObject> = Api::all_with(operator.client.clone(), &operator.kind);
    let secrets: Api<ManagedSecret> = Api::all(operator.client.clone());
    let own = watcher::Config::default().labels("strongroom.dev/product=pg");
    // The status of a ManagedSecret tells of each new version.
    Controller::new_with(all, watcher::Config::default(), operator.kind.clone())
        .owns(secrets, own)
        .shutdown_on_signal()
        .run(reconcile, on_error, Arc::new(operator))
        .for_each(|_| std::future::ready(()))
        .await;
    Ok(())
}
