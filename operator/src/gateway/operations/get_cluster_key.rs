//! GetClusterKey: `GET /v1/namespaces/{namespace}/clusterkeys`: the public key that values in manifests are
//! sealed for. It is no secret.

use strongroom_api::manifest::ClusterKey;

use crate::gateway::operation::{Input, NamespaceText};
use crate::gateway::problem::Problem;
use crate::gateway::request::OperationContext;

pub(super) async fn run(context: OperationContext, _: Input<NamespaceText>) -> Result<ClusterKey, Problem> {
    let key = context.gateway.cluster_keys.primary();
    key.ok_or_else(Problem::cluster_keys_not_loaded)
}
