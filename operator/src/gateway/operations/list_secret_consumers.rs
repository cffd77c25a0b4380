//! ListSecretConsumers: `GET /v1/namespaces/{namespace}/secrets/{name}/consumers`: who has which version of
//! the secret: volumes of pods, as their nodes acknowledged it; callers of the API, by what each read last
//! within a day; pods with the native Secret, by their specs and start times.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use schemars::JsonSchema;
use serde::Serialize;
use strongroom_rules::policy::Action;
use strongroom_store::name::{Stage, VersionId};

use super::describe_secret::metadata;
use super::get_secret_value::invalid;
use crate::consumers::pods::PodConsumer;
use crate::consumers::readers::Reader;
use crate::consumers::volumes::{FollowedVersion, ShownVersion, VolumeConsumer};
use crate::gateway::access::RequestContext;
use crate::gateway::operation::Operation;
use crate::gateway::problem::Problem;
use crate::gateway::{Gateway, blocking};

/// Who has a secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Consumers")]
pub(in crate::gateway) struct ConsumersAnswer {
    consumers: Vec<Consumer>,
    /// Reads over the API are known from this time on (RFC 3339).
    readers_since: String,
    /// False: there were more readers than are kept.
    readers_complete: bool,
    /// Whether nodes and pods have had the time to say everything since the process started.
    complete: bool,
    /// How many of other namespaces there are besides: whoever knows of the secret by RBAC alone is not shown
    /// them.
    #[serde(default, skip_serializing_if = "is_zero")]
    other_namespaces: usize,
}

const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One that has it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConsumerAnswer")]
struct Consumer {
    /// How it has it.
    kind: ConsumerKind,
    /// The node.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// Namespace of the pod or of the ServiceAccount.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// The pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    /// Who it is, as policies name it.
    principal: String,
    /// The stage that a volume follows; absent where it wants one version for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    /// How far it is.
    state: ConsumerState,
    /// The version that it has, or that does not fit into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
    /// The version that the files of a volume show whose programs read them when they start: such a pod
    /// counts for what it had then.
    #[serde(skip_serializing_if = "Option::is_none")]
    files_version_id: Option<String>,
    /// When a caller of the API read last (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    last_read: Option<String>,
    /// The node has no stream to the gateway: this is what it said last.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    away: bool,
}

/// How a secret is had.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConsumerKind")]
enum ConsumerKind {
    /// In a volume of `csi.strongroom.dev`.
    Volume,
    /// Over the API.
    Reader,
    /// From the native Secret.
    NativeSecret,
}

/// What a consumer has.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConsumerState")]
enum ConsumerState {
    /// Nothing yet.
    Waiting,
    /// A volume shows the version.
    Shows,
    /// What it showed before the version, which does not fit into it.
    NotApplied,
    /// No files: access has ended, and the owner wants them gone.
    Wiped,
    /// A caller has read the version, and no newer one since.
    Read,
    /// The pod has the version since a container started, and keeps it until that starts again; of a volume,
    /// since the pod started.
    AtStart,
    /// The pod's volume follows the native Secret, within two minutes.
    Follows,
}

impl From<VolumeConsumer> for Consumer {
    fn from(volume: VolumeConsumer) -> Self {
        let (state, version, files) = match (volume.shows, volume.at_start) {
            (ShownVersion::Version(id), Some(first)) => (ConsumerState::AtStart, Some(first), Some(id)),
            (ShownVersion::Version(id), None) => (ConsumerState::Shows, Some(id), None),
            (ShownVersion::Nothing, _) => (ConsumerState::Waiting, None, None),
            (ShownVersion::Not(id, _), _) => (ConsumerState::NotApplied, Some(id), None),
            (ShownVersion::Wiped, _) => (ConsumerState::Wiped, None, None),
        };
        Self {
            kind: ConsumerKind::Volume,
            node: Some(volume.node),
            namespace: Some(volume.namespace),
            pod: Some(volume.pod),
            principal: volume.account,
            stage: match volume.follows {
                FollowedVersion::Stage(stage) => Some(stage.to_string()),
                FollowedVersion::Version(_) => None,
            },
            state,
            version_id: version.map(|id| id.to_string()),
            files_version_id: files.map(|id| id.to_string()),
            last_read: None,
            away: volume.away,
        }
    }
}

impl From<Reader> for Consumer {
    fn from(reader: Reader) -> Self {
        Self {
            kind: ConsumerKind::Reader,
            node: reader.node,
            namespace: reader.namespace,
            pod: reader.pod,
            principal: reader.principal,
            stage: None,
            state: ConsumerState::Read,
            version_id: Some(reader.version.to_string()),
            files_version_id: None,
            last_read: Some(reader.last.to_string()),
            away: false,
        }
    }
}

impl From<PodConsumer> for Consumer {
    fn from(pod: PodConsumer) -> Self {
        Self {
            kind: ConsumerKind::NativeSecret,
            node: Some(pod.node),
            namespace: Some(pod.namespace),
            pod: Some(pod.pod),
            principal: pod.account,
            stage: None,
            state: if pod.at_start {
                ConsumerState::AtStart
            } else {
                ConsumerState::Follows
            },
            version_id: Some(pod.version),
            files_version_id: None,
            last_read: None,
            away: false,
        }
    }
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "ListSecretConsumers",
        "/v1/namespaces/{namespace}/secrets/{name}/consumers",
        get(serve),
    )
    .about("Who has a secret: volumes of pods, callers of the API, pods with the native Secret, each with its version; needs DescribeSecret")
    .answers::<ConsumersAnswer>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<ConsumersAnswer>, Problem> {
    let Path((namespace, name)) = path.map_err(invalid)?;
    let place = gateway.admit(&asking, Action::DescribeSecret, namespace).await?;
    blocking(move || {
        let action = (Action::DescribeSecret, "consumers");
        metadata(&gateway, &asking, &place, &name, action, |view, decision| {
            let known = &gateway.consumers;
            let previous = view.stages.get(&Stage::Previous).map(VersionId::as_str);
            let volumes = known
                .volume_consumers(view.id, previous, asking.now)
                .into_iter()
                .map(Consumer::from);
            let readers = known
                .readers()
                .for_secret(view.id)
                .into_iter()
                .map(Consumer::from);
            let pods = known
                .pods()
                .for_secret(view.id, asking.now)
                .into_iter()
                .map(Consumer::from);
            let elsewhere = |consumer: &Consumer| {
                let namespace = consumer.namespace.as_ref();
                decision.rbac && namespace.is_some_and(|namespace| *namespace != place.name)
            };
            let (others, consumers): (Vec<Consumer>, Vec<Consumer>) =
                volumes.chain(readers).chain(pods).partition(elsewhere);
            Json(ConsumersAnswer {
                consumers,
                other_namespaces: others.len(),
                readers_since: known.since().to_string(),
                readers_complete: known.readers().complete(),
                complete: known.complete(),
            })
        })
    })
    .await
}
