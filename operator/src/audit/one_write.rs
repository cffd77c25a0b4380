//! A write that may never return, such as to a file on a network server that is down, or to a pipe that
//! nobody reads. A deadline ends the wait but not the write, which keeps its thread. If each attempt started
//! another one, a hanging sink would in time use up all threads of the process.

use std::future::Future;
use std::io;

use tokio::task::JoinHandle;

/// The one write that is under way, if one is.
#[derive(Debug, Default)]
pub(super) struct OneWrite(Option<JoinHandle<io::Result<()>>>);

impl OneWrite {
    /// Writes, once what was begun before has returned.
    pub(super) async fn run(
        &mut self,
        write: impl Future<Output = io::Result<()>> + Send + 'static,
    ) -> io::Result<()> {
        if let Some(before) = &mut self.0 {
            // Nobody waited for its result: its records are sent again.
            let _ = before.await;
            self.0 = None;
        }
        let done = self.0.insert(tokio::spawn(write)).await;
        self.0 = None;
        done.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use strongroom_testing::wait::within;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_does_not_return_is_begun_once_and_the_next_waits_for_it() {
        let begun = Arc::new(AtomicU32::new(0));
        let count = |begun: &Arc<AtomicU32>| {
            let begun = Arc::clone(begun);
            move || begun.fetch_add(1, Ordering::SeqCst)
        };
        let mut one = OneWrite::default();
        let (release, released) = oneshot::channel::<()>();
        let begin = count(&begun);
        let hangs = async move {
            begin();
            released.await.map_err(io::Error::other)
        };
        assert!(futures::poll!(pin!(one.run(hangs))).is_pending());
        for _ in 0..3 {
            let begin = count(&begun);
            let next = async move {
                begin();
                Ok(())
            };
            assert!(futures::poll!(pin!(one.run(next))).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        release.send(()).unwrap();
        let begin = count(&begun);
        let next = async move {
            begin();
            Err(io::ErrorKind::StorageFull.into())
        };
        let error = within(one.run(next)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        within(one.run(async { Ok(()) })).await.unwrap();
    }
}
