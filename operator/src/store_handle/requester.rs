//! Because of whose wish a task works.

use strongroom_store::audit::Requester;

tokio::task_local! {
    static REQUESTER: Option<Requester>;
}

/// Does work because of what somebody wrote: what it changes in the store is on record with that.
pub(crate) async fn on_behalf_of<F: Future>(requester: Option<Requester>, work: F) -> F::Output {
    REQUESTER.scope(requester, work).await
}

/// Whose wish this task carries out.
pub(super) fn requester() -> Option<Requester> {
    REQUESTER.try_with(Clone::clone).ok().flatten()
}
