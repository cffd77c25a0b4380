//! Which native Secrets the store records as ours: the present one, and after a rename the old one, which has
//! to be deleted.

use std::collections::BTreeMap;

use strongroom_model::object_ref::ObjectRef;

use super::labels;
use super::prepare::StoredTarget;
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;

/// Records the native Secret that is ours from now on. One of another name that was, has to go: it is
/// recorded first, so that no crash leaves a Secret that nobody remembers.
pub(super) async fn record(ctx: &Ctx, target: StoredTarget<'_>, ours: ObjectRef) -> Result<(), Failure> {
    if let Some(before) = target
        .record
        .materialized
        .as_ref()
        .filter(|before| before.name != ours.name)
    {
        change_labels(ctx, target, |labels| {
            labels::record_former_native(labels, before);
        })
        .await?;
    }
    ctx.store.bind_materialized(target.record.id, Some(ours)).await?;
    Ok(())
}

/// Forgets a native Secret that is gone.
pub(super) async fn forget(
    ctx: &Ctx,
    target: StoredTarget<'_>,
    name: &str,
    uid: &str,
) -> Result<(), Failure> {
    let view = target.record;
    if view
        .materialized
        .as_ref()
        .is_some_and(|ours| ours.uid.as_str() == uid)
    {
        ctx.store.bind_materialized(view.id, None).await?;
    }
    if labels::former_natives(&view.labels).any(|former| former.uid.as_str() == uid) {
        change_labels(ctx, target, |labels| {
            labels::forget_former_native(labels, name);
        })
        .await?;
    }
    Ok(())
}

/// Changes the labels that the secret carries in the store, beside those that it has to carry.
async fn change_labels(
    ctx: &Ctx,
    StoredTarget { record, wanted }: StoredTarget<'_>,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<(), Failure> {
    let mut labels = wanted.labels.clone();
    change(&mut labels);
    ctx.store
        .update(record.id, labels, wanted.description.clone())
        .await?;
    Ok(())
}
