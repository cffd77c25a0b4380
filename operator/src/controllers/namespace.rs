//! The Namespace of an object, as the cluster has it and as the store recorded it.

use k8s_openapi::api::core::v1::Namespace as KubeNamespace;
use kube::Api;
use strongroom_rules::object::{Namespace, NamespaceBinding};
use strongroom_rules::uid::Uid;

use super::Ctx;
use super::cluster::SeenNamespace;
use super::failure::Failure;
use crate::store_handle::NamespaceRecord;

/// The Namespace of an object, and what the store recorded of it.
pub(crate) async fn namespace_facts(
    ctx: &Ctx,
    name: &str,
) -> Result<(Namespace, Option<NamespaceRecord>), Failure> {
    let mut seen = namespace(ctx, name).await?;
    let mut record = ctx.store.namespace(name).await?;
    if let Some(former) = record.take_if(|record| record.uid.as_str() != seen.uid) {
        // On the word of the API server alone, not of what is remembered, the former namespace counts as
        // gone.
        seen = look_at_namespace(ctx, name).await?;
        if former.uid.as_str() == seen.uid
            || !ctx.store.release_namespace(former.id, former.uid.clone()).await?
        {
            record = Some(former);
        }
    }
    let binding = match &record {
        None => NamespaceBinding::Unbound,
        Some(record) if record.uid.as_str() == seen.uid => NamespaceBinding::Bound,
        Some(record) => NamespaceBinding::Recreated {
            recorded: Uid::new(record.uid.as_str()),
        },
    };
    let namespace = Namespace {
        uid: Uid::new(&seen.uid),
        terminating: seen.terminating,
        accepts: seen.accepts.map(Uid::new),
        binding,
    };
    Ok((namespace, record))
}

/// The Namespace as it is remembered, or as it is.
async fn namespace(ctx: &Ctx, name: &str) -> Result<SeenNamespace, Failure> {
    if let Some(seen) = ctx.cluster.namespace(name) {
        return Ok(seen);
    }
    look_at_namespace(ctx, name).await
}

/// Asks the API server for the Namespace, and remembers it.
async fn look_at_namespace(ctx: &Ctx, name: &str) -> Result<SeenNamespace, Failure> {
    let api: Api<KubeNamespace> = Api::all(ctx.client.clone());
    let seen = SeenNamespace::from_metadata(&api.get_metadata(name).await?);
    ctx.cluster.saw_namespace(name, seen.clone());
    Ok(seen)
}
