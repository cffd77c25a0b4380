//! Records in the store what an object declares.

use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use super::state::{Authorship, object, short};
use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::store_handle::StoreFailure;

/// Takes in what an object declares, before anything is done because of it.
///
/// # Errors
/// The store's.
pub(crate) async fn take<K: Resource>(
    ctx: &Ctx,
    kind: &'static str,
    kept: &CachedObject<K>,
) -> Result<Authorship, StoreFailure> {
    let (uid, digest) = (kept.uid().unwrap_or_default(), kept.declared());
    let mut authorship = Authorship {
        object: short(uid.as_bytes()),
        digest: short(digest.bytes()),
        requester: None,
        settled: false,
    };
    let declarations = &ctx.declarations;
    authorship.settled = declarations.settled.lock().get(&authorship.object) == Some(&authorship.digest);
    // An object that was deleted meanwhile needs no declaration any more.
    if authorship.settled || declarations.is_withdrawn(&uid) {
        return Ok(authorship);
    }
    let created = kept
        .creation_timestamp()
        .map_or_else(Timestamp::now, |time| time.0);
    let taken = ctx
        .store
        .take_declaration(object(kind, kept)?, created, digest)
        .await?;
    declarations.taken(&ctx.metrics, kind, &taken);
    if taken.changed {
        declarations.note_news(&authorship, Timestamp::now());
    }
    authorship.requester = taken.requester;
    Ok(authorship)
}
