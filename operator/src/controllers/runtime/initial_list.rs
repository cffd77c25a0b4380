//! Whether the first list of a kind is in the cache.

use tokio::sync::watch;

/// The first list of a kind, for any number of tasks that begin when it is complete.
///
/// `Store::wait_until_ready` of kube wakes only the task that polled it last
/// (`kube_runtime::utils::delayed_init`): it is left to the driver of the kind.
#[derive(Debug, Default)]
pub(in crate::controllers) struct InitialList(watch::Sender<bool>);

impl InitialList {
    /// The cache has taken a list in.
    pub(in crate::controllers) fn complete(&self) {
        self.0.send_replace(true);
    }

    /// Waits until a list was taken in; not at all where one was.
    pub(in crate::controllers) async fn wait(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|complete| *complete).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn every_task_that_waits_is_woken_and_later_ones_do_not_wait() {
        let list = Arc::new(InitialList::default());
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let list = Arc::clone(&list);
                tokio::spawn(async move { list.wait().await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(tasks.iter().all(|task| !task.is_finished()));
        list.complete();
        for task in tasks {
            task.await.unwrap();
        }
        list.wait().await;
    }
}
