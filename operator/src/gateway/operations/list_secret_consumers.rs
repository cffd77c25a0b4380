//! ListSecretConsumers: `GET /v1/namespaces/{namespace}/secrets/{name}/consumers`: the volumes of running pods that have the secret, with the version that each
//! shows, as their nodes acknowledged it. Volumes on nodes without a stream to the gateway are not among them.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use schemars::JsonSchema;
use serde::Serialize;
use strongroom_rules::policy::Action;

use super::describe_secret::metadata;
use super::get_secret_value::invalid;
use crate::gateway::access::Asking;
use crate::gateway::consumers::{Consumer, Shows};
use crate::gateway::delivery::Which;
use crate::gateway::operation::Operation;
use crate::gateway::problem::Problem;
use crate::gateway::{Gateway, blocking};

/// Volumes that have a secret.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::gateway) struct Consumers {
    consumers: Vec<Volume>,
}

/// One volume.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConsumerAnswer")]
struct Volume {
    /// The node.
    node: String,
    /// The pod's namespace.
    namespace: String,
    /// The pod.
    pod: String,
    /// Its ServiceAccount, as policies name it.
    principal: String,
    /// The stage that it follows; absent where it wants one version for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    /// What it shows.
    state: Standing,
    /// The version that it shows, or that does not fit into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
}

/// What a volume shows.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConsumerState")]
enum Standing {
    /// Nothing yet.
    Waiting,
    /// The version.
    Shows,
    /// What it showed before the version, which does not fit into it.
    NotApplied,
    /// No files: access has ended, and the owner wants them gone.
    Wiped,
}

impl From<Consumer> for Volume {
    fn from(consumer: Consumer) -> Self {
        let (state, version) = match consumer.shows {
            Shows::Nothing => (Standing::Waiting, None),
            Shows::Version(id) => (Standing::Shows, Some(id)),
            Shows::Not(id) => (Standing::NotApplied, Some(id)),
            Shows::Wiped => (Standing::Wiped, None),
        };
        Self {
            node: consumer.node,
            namespace: consumer.namespace,
            pod: consumer.pod,
            principal: consumer.account,
            stage: match consumer.follows {
                Which::Stage(stage) => Some(stage.to_string()),
                Which::Version(_) => None,
            },
            state,
            version_id: version.map(|id| id.to_string()),
        }
    }
}

/// The operation.
pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "ListSecretConsumers",
        "/v1/namespaces/{namespace}/secrets/{name}/consumers",
        get(serve),
    )
    .about("The volumes of running pods that have a secret, and the version that each shows; needs DescribeSecret")
    .answers::<Consumers>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: Asking,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Consumers>, Problem> {
    let Path((namespace, name)) = path.map_err(invalid)?;
    let place = gateway.admit(&asking, Action::DescribeSecret, namespace).await?;
    blocking(move || {
        let action = (Action::DescribeSecret, "consumers");
        metadata(&gateway, &asking, &place, &name, action, |view| {
            let consumers = gateway.consumers.of(view.id).into_iter();
            Json(Consumers {
                consumers: consumers.map(Volume::from).collect(),
            })
        })
    })
    .await
}
