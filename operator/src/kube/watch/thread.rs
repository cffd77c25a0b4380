//! Watches of objects that tenants may make large: they are read and parsed on a thread that steps back, so
//! that whoever waits for an answer does not wait for a megabyte of somebody else's text. Must not be used
//! for anything that a request waits for.

use std::fmt;

use futures::channel::mpsc;
use futures::{SinkExt, Stream, StreamExt};
use kube::{Client, Config};
use strongroom_process::lower_thread_priority;
use tokio::runtime::{Builder, Runtime};

/// The thread, with connections of its own: those of others are read by whoever waits for them.
pub(crate) struct WatchThread {
    /// Only taken by `drop`.
    runtime: Option<Runtime>,
    client: Client,
}

impl fmt::Debug for WatchThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchThread").finish_non_exhaustive()
    }
}

/// The thread cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchThreadError {
    /// The system has no thread for it.
    #[error("the thread for watches cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// No client.
    #[error(transparent)]
    Client(#[from] Box<kube::Error>),
}

impl WatchThread {
    /// Starts it.
    ///
    /// # Errors
    /// [`WatchThreadError`].
    pub(crate) fn start(config: Config) -> Result<Self, WatchThreadError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("watch")
            .on_thread_start(lower_thread_priority)
            .enable_all()
            .build()?;
        let client = {
            // What the client starts belongs to the thread.
            let _on_thread = runtime.enter();
            Client::try_from(config).map_err(Box::new)?
        };
        Ok(Self {
            runtime: Some(runtime),
            client,
        })
    }

    /// For the watches that [`WatchThread::run`] is given.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The same items, made on the thread: one or two ahead. It ends when nobody takes them any more.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        items: impl Stream<Item = T> + Send + 'static,
    ) -> mpsc::Receiver<T> {
        let (mut send, received) = mpsc::channel(0);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                let mut items = std::pin::pin!(items);
                while let Some(item) = items.next().await {
                    if send.send(item).await.is_err() {
                        return;
                    }
                }
            });
        }
        received
    }
}

impl Drop for WatchThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for it would hold up whoever drops it.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use strongroom_process::BACKGROUND_NICE;

    use super::*;

    #[tokio::test]
    async fn items_are_made_on_the_thread_and_only_while_somebody_takes_them() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Config::new("http://127.0.0.1:1".parse().unwrap());
        let thread = WatchThread::start(config).unwrap();
        let (dropped, is_dropped) = tokio::sync::oneshot::channel::<()>();
        let items = stream::unfold((0, dropped), |(number, dropped)| async move {
            let nice = rustix::process::getpriority_process(None).unwrap();
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            Some(((number, name, nice), (number + 1, dropped)))
        });
        let mut taken = thread.run(items);
        for number in 0..3 {
            let expected = (number, "watch".to_owned(), BACKGROUND_NICE);
            assert_eq!(taken.next().await, Some(expected));
        }
        drop(taken);
        // Its state went with the stream.
        assert!(is_dropped.await.is_err());
    }
}
