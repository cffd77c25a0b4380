//! Carrying out a deletion: the native Secret goes, then the recovery window opens.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use crate::controllers::Ctx;
use crate::controllers::managed_secret::Failure;
use crate::controllers::managed_secret::apply::delete_native;
use crate::controllers::managed_secret::labels::{Deletion, deletion};
use crate::controllers::store::{Owned, SecretStore};

/// Deletes what belonged to an object that is gone. Each step can be repeated: a crash between two leaves a live secret without an object, and so
/// the next look begins here again.
pub(super) async fn delete<S: SecretStore>(ctx: &Ctx<S>, owned: &Owned) -> Result<(), Failure> {
    let id = owned.view.id;
    // The object may have been made again, or the secret taken over, since the look.
    let Some(view) = ctx.store.describe(id).await? else {
        return Ok(());
    };
    if view.until.is_some() || view.object != owned.view.object {
        return Ok(());
    }
    let Deletion::Window(days) = deletion(&view.labels) else {
        return Ok(());
    };
    if let Some(native) = &view.materialized {
        let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &owned.namespace);
        delete_native(&api, &native.name, &native.uid).await?;
        ctx.cluster.lost_native(&owned.namespace, &native.name);
        ctx.store.bind_materialized(id, None).await?;
    }
    ctx.store.delete(id, days).await?;
    ctx.metrics.deletions.inc();
    if let Some(object) = &view.object {
        ctx.cluster.unsettle(&object.uid);
        ctx.backoff.forget(&object.uid);
        let (namespace, name) = (&owned.namespace, &object.name);
        tracing::info!(namespace, name, secret = %id, days, "its object is gone: the recovery window is open");
    }
    Ok(())
}
