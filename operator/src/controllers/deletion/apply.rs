//! Carrying out a deletion: of a secret the native Secret goes, then the recovery window opens; of a key the
//! destruction is scheduled.

use strongroom_model::id::SecretId;
use strongroom_store::vault::{KeyView, Recovery};

use super::kind::{OwnedResource, StoredResource};
use crate::controllers::Ctx;
use crate::controllers::declarations;
use crate::controllers::failure::Failure;
use crate::controllers::managed_secret::labels::former_natives;
use crate::controllers::managed_secret::removal;
use crate::secret_labels::{Deletion, deletion};
use crate::store_handle::{KeyChange, StoreFailure, on_behalf_of};

/// How a secret goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeletionMode {
    /// Its recovery window opens; otherwise it is destroyed.
    pub(super) recoverable: bool,
    /// Its namespace is gone, and nothing else of it is away that stays: if nothing at all is kept of it, its
    /// name is free afterwards.
    pub(super) frees_namespace: bool,
}

/// Deletes what belonged to an object that is gone. Each step can be repeated: a crash between two leaves a
/// live secret without an object, and so the next look begins here again.
pub(super) async fn delete(ctx: &Ctx, owned: &OwnedResource, how: DeletionMode) -> Result<(), Failure> {
    let deleted = async {
        match &owned.resource {
            StoredResource::Secret(id) => delete_secret(ctx, owned, *id, how).await,
            StoredResource::Key(key) => schedule_key(ctx, owned, key).await,
        }
    };
    let requester = declarations::deleted_by(ctx, owned.object.uid.as_str()).await?;
    on_behalf_of(requester, deleted).await
}

/// The key refuses from now on, and is destroyed when its window ends.
async fn schedule_key(ctx: &Ctx, owned: &OwnedResource, seen: &KeyView) -> Result<(), Failure> {
    // The object may have been made again since the look.
    let now = ctx.store.key(seen.namespace, &seen.name).await?;
    let Some(declared) = now
        .filter(|key| key.id == seen.id && key.declaration == seen.declaration)
        .and_then(|key| key.declaration)
    else {
        return Ok(());
    };
    let change = KeyChange::ScheduleDeletion {
        days: declared.window_days,
        lose_dependents: declared.loss_accepted,
    };
    let (namespace, name, days) = (&owned.namespace, &seen.name, declared.window_days);
    match ctx.store.change_key(seen.namespace, seen.id, change).await {
        Ok(()) => {
            ctx.metrics.deletions.inc();
            tracing::warn!(namespace, %name, days, "key deletion scheduled");
            Ok(())
        }
        // Something came under it since the look: it stays.
        Err(StoreFailure::KeyInUse(_)) => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

async fn delete_secret(
    ctx: &Ctx,
    owned: &OwnedResource,
    id: SecretId,
    how: DeletionMode,
) -> Result<(), Failure> {
    // The object may have been made again, or the secret taken over, since the look.
    let Some(view) = ctx.store.describe(id).await? else {
        return Ok(());
    };
    if !view.is_live() || view.object.as_ref() != Some(&owned.object) {
        return Ok(());
    }
    let Deletion::Window(days) = deletion(&view.labels) else {
        return Ok(());
    };
    // A rename may not have come to its end.
    for former in former_natives(&view.labels) {
        removal::release(ctx, &owned.namespace, &former, &view).await?;
    }
    if let Some(native) = &view.materialized {
        removal::release(ctx, &owned.namespace, native, &view).await?;
        ctx.store.bind_materialized(id, None).await?;
    }
    if how.recoverable {
        if view.recovery == Recovery::Nothing {
            ctx.store.keep_window(id).await?;
        }
        ctx.store.delete(id, days).await?;
    } else {
        ctx.store.destroy(id).await?;
        if how.frees_namespace {
            ctx.store
                .release_namespace(view.namespace, owned.namespace_uid.clone())
                .await?;
        }
    }
    ctx.metrics.deletions.inc();
    if let Some(object) = &view.object {
        ctx.cluster.unsettle(object.uid.as_str());
        ctx.backoff.forget(object.uid.as_str());
        let (namespace, name) = (&owned.namespace, &object.name);
        if how.recoverable {
            tracing::info!(namespace, name, secret = %id, days, "secret deleted, recovery window open");
        } else {
            tracing::info!(namespace, name, secret = %id, cause = "namespace without recovery window", "secret destroyed");
        }
    }
    Ok(())
}
