//! On whose behalf a task works.

use strongroom_store::audit::Requester;

tokio::task_local! {
    static REQUESTER: Option<Requester>;
}

/// Does work on behalf of the author of an object: the audit records of what it changes in the store name
/// that author.
pub(crate) async fn on_behalf_of<F: Future>(requester: Option<Requester>, work: F) -> F::Output {
    REQUESTER.scope(requester, work).await
}

/// Whose wish this task carries out.
pub(super) fn requester() -> Option<Requester> {
    REQUESTER.try_with(Clone::clone).ok().flatten()
}
