//! ListSecretConsumers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who has which version of a secret, as far as nodes, pods and callers have shown it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Consumers")]
pub struct ConsumersAnswer {
    /// One for each volume, each caller of the API, and each pod that uses the native Secret.
    pub consumers: Vec<SecretConsumer>,
    /// Reads over the API are known from this time on (RFC 3339).
    pub readers_since: String,
    /// False: there were more readers than are kept.
    pub readers_complete: bool,
    /// Whether nodes and pods have had the time to say everything since the process started.
    pub complete: bool,
    /// How many of other namespaces there are besides: whoever knows of the secret by RBAC alone is not shown
    /// them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub other_namespaces: usize,
}

const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A volume, a caller of the API, or a pod that uses the native Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ConsumerAnswer")]
pub struct SecretConsumer {
    /// The way by which the value reaches it.
    pub kind: ConsumerKind,
    /// Name of the Node; absent for a caller whose token is bound to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Namespace of the pod or of the ServiceAccount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the Pod; absent for a caller whose token is bound to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The ServiceAccount of the pod, or the principal that called, such as `serviceaccount shop/app` or
    /// `user jane`.
    pub principal: String,
    /// The stage that a volume follows; absent where it wants one version for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// How far it is with the version that it follows.
    pub state: ConsumerState,
    /// The version that it has, or that does not fit into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The version that the files of a volume show whose programs read them when they start: such a pod
    /// counts for what it had then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_version_id: Option<String>,
    /// When a caller of the API read last (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_read: Option<String>,
    /// The node has no stream to the gateway: this is what it said last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub away: bool,
}

/// The way by which a value reaches a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConsumerKind {
    /// In a volume of `csi.strongroom.dev`.
    Volume,
    /// Over the API.
    Reader,
    /// From the native Secret.
    NativeSecret,
}

/// How far a consumer is with the version that it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConsumerState {
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
