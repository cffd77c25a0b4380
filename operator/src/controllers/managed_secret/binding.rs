//! Which native Secrets the store records as ours: the one that is, and after a rename the one that has to
//! go.

use std::collections::BTreeMap;

use strongroom_model::object_ref::ObjectRef;
use strongroom_store::vault::SecretView;

use super::labels;
use super::observe::ObservedSecret;
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;

/// Records the native Secret that is ours from now on. One of another name that was, has to go: it is
/// recorded first, so that no crash leaves a Secret that nobody remembers.
pub(super) async fn record(
    ctx: &Ctx,
    observed: &ObservedSecret,
    view: &SecretView,
    ours: ObjectRef,
) -> Result<(), Failure> {
    if let Some(before) = view
        .materialized
        .as_ref()
        .filter(|before| before.name != ours.name)
    {
        change_labels(ctx, observed, view, |labels| {
            labels::record_former_native(labels, before);
        })
        .await?;
    }
    ctx.store.bind_materialized(view.id, Some(ours)).await?;
    Ok(())
}

/// Forgets a native Secret that is gone.
pub(super) async fn forget(
    ctx: &Ctx,
    observed: &ObservedSecret,
    view: &SecretView,
    name: &str,
    uid: &str,
) -> Result<(), Failure> {
    if view
        .materialized
        .as_ref()
        .is_some_and(|ours| ours.uid.as_str() == uid)
    {
        ctx.store.bind_materialized(view.id, None).await?;
    }
    if labels::former_natives(&view.labels).any(|former| former.uid.as_str() == uid) {
        change_labels(ctx, observed, view, |labels| {
            labels::forget_former_native(labels, name);
        })
        .await?;
    }
    Ok(())
}

/// Changes the labels that the secret carries in the store, beside those that it has to carry.
async fn change_labels(
    ctx: &Ctx,
    observed: &ObservedSecret,
    view: &SecretView,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<(), Failure> {
    let wanted = observed
        .facts
        .wanted
        .as_ref()
        .map_err(|_| Failure::Inconsistent("metadata without a spec"))?;
    let mut labels = wanted.labels.clone();
    change(&mut labels);
    ctx.store
        .update(view.id, labels, wanted.description.clone())
        .await?;
    Ok(())
}
