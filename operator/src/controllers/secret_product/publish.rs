//! Puts the directory of products in force, whenever what it is made of changes; and has the objects looked
//! at that declare default secrets.
//!
//! A product whose object is gone counts as deleted only if its CustomResourceDefinition exists and is not
//! being deleted. Otherwise the object disappeared with its kind, and nothing happens until the kind is back.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, CustomResourceExt};
use strongroom_crds::v1alpha1::SecretProduct;
use strongroom_rules::product::ProductDirectory;

use super::index::ProductIndex;
use crate::controllers::Ctx;
use crate::controllers::triggers::Triggers;
use crate::kube::in_words;
use crate::store_handle::StoreFailure;

/// Between two looks at what could not be told.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Works until it is dropped.
pub(in crate::controllers) async fn run(ctx: Arc<Ctx>, triggers: Triggers) {
    futures::future::join(follow_sources(&ctx, &triggers), follow_policies(&ctx, &triggers)).await;
}

async fn follow_sources(ctx: &Ctx, triggers: &Triggers) {
    loop {
        let is_done = publish(ctx, triggers).await;
        tokio::select! {
            () = ctx.product_index.changed() => {}
            () = tokio::time::sleep(RETRY_DELAY), if !is_done => {}
        }
    }
}

/// Has those objects looked at that wait until a policy lets their product use a key.
async fn follow_policies(ctx: &Ctx, triggers: &Triggers) {
    let mut changes = ctx.policies.changes();
    // The sender lives as long as `ctx`.
    while changes.changed().await.is_ok() {
        for (namespace, name) in ctx.product_index.awaiting_policies() {
            triggers.managed_secret(&namespace, &name);
        }
    }
}

/// Puts the directory in force as it is now.
#[cfg(test)]
pub(crate) async fn publish_once(ctx: &Ctx, triggers: &Triggers) {
    publish(ctx, triggers).await;
}

/// Puts the directory in force. Answers whether there is nothing more to say before something changes.
async fn publish(ctx: &Ctx, triggers: &Triggers) -> bool {
    let index = &ctx.product_index;
    if !index.is_recorded()
        && let Err(error) = read_records(ctx).await
    {
        tracing::warn!(%error, "products read failed");
        return false;
    }
    let Some(mut sources) = index.sources() else {
        return publish_without_kind(ctx, triggers).await;
    };
    let leaving = sources.leaving_codes();
    let mut is_done = true;
    if !leaving.is_empty() {
        match kind(ctx).await {
            Ok(KindState::There) => {
                index.confirm_deletions(&leaving);
                sources.leaving.retain(|code, _| !leaving.contains(code));
                for code in &leaving {
                    tracing::warn!(product = code, "product deleted, its secrets can only be read");
                }
            }
            Ok(KindState::Going) => is_done = false,
            Err(error) => {
                tracing::warn!(error = %in_words(&error), "definition of SecretProducts read failed");
                is_done = false;
            }
        }
    }
    put_in_force(ctx, triggers, sources.directory());
    is_done
}

/// If the cluster does not have the kind, no list ever arrives: the products are those that the store
/// recorded, and all count as absent.
async fn publish_without_kind(ctx: &Ctx, triggers: &Triggers) -> bool {
    match kind(ctx).await {
        Ok(KindState::Going) => {
            if let Some(sources) = ctx.product_index.records_alone() {
                put_in_force(ctx, triggers, sources.directory());
            }
        }
        Ok(KindState::There) => {}
        Err(error) => {
            tracing::warn!(error = %in_words(&error), "definition of SecretProducts read failed");
        }
    }
    false
}

async fn read_records(ctx: &Ctx) -> Result<(), StoreFailure> {
    let found = ctx.store.products().await?;
    if found.unreadable > 0 {
        tracing::error!(
            count = found.unreadable,
            "records of products damaged, whoever applies those products again counts as new; restore a backup"
        );
    }
    ctx.product_index.recorded_before(found.products);
    Ok(())
}

fn put_in_force(ctx: &Ctx, triggers: &Triggers, directory: ProductDirectory) {
    if ctx.products.publish(directory) {
        touch_secrets(&ctx.product_index, triggers);
    }
}

/// Whether one of another product changed is not asked: there are few, and it costs a look.
fn touch_secrets(index: &ProductIndex, triggers: &Triggers) {
    for (namespace, name) in index.secrets() {
        triggers.managed_secret(&namespace, &name);
    }
}

/// Whether the kind of products is in the cluster.
enum KindState {
    /// It is, and stays.
    There,
    /// It is missing or terminating.
    Going,
}

async fn kind(ctx: &Ctx) -> Result<KindState, kube::Error> {
    let api: Api<CustomResourceDefinition> = Api::all(ctx.client.clone());
    let found = api.get_metadata_opt(SecretProduct::crd_name()).await?;
    let stays = found.is_some_and(|crd| crd.metadata.deletion_timestamp.is_none());
    Ok(if stays { KindState::There } else { KindState::Going })
}
