//! Who deleted an object, for the deletions that follow from it: minutes later or, if a person has to confirm
//! them, days later, and perhaps in another process. So the store keeps it until nothing that belongs to the
//! object is left to delete.

use std::collections::HashSet;

use strongroom_store::audit::Requester;

use crate::controllers::Ctx;
use crate::store_handle::StoreFailure;

/// Most that the store forgets in one commit.
const FORGET_BATCH: usize = 256;

/// Who deleted the object with this UID, as far as it is known; what was seen of that is audited first.
///
/// # Errors
/// The store's.
pub(crate) async fn deleted_by(ctx: &Ctx, uid: &str) -> Result<Option<Requester>, StoreFailure> {
    match ctx.declarations.deleted_by(uid).await {
        None => ctx.store.withdrawer_of(uid).await,
        seen => Ok(seen),
    }
}

/// Forgets who deleted those objects of `kept`, UIDs of a kind, that nothing belongs to any more: `awaited`
/// are the UIDs of those that something does.
pub(crate) async fn forget_deleters(ctx: &Ctx, kind: &str, kept: Vec<String>, awaited: &HashSet<String>) {
    let done: Vec<String> = kept.into_iter().filter(|uid| !awaited.contains(uid)).collect();
    for batch in done.chunks(FORGET_BATCH) {
        match ctx.store.forget_withdrawn(kind, batch).await {
            Ok(()) => ctx.declarations.forgot(batch),
            // The next look tries again.
            Err(error) => return tracing::warn!(%error, "withdrawn objects cleanup failed"),
        }
    }
}
