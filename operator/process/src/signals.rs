//! The end of a process, asked for by a signal or by itself.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells every task that the process ends; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown {
    sender: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            sender: watch::channel(false).0,
        }
    }
}

impl Shutdown {
    /// Asks for the end.
    pub fn begin(&self) {
        self.sender.send_replace(true);
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn begun(&self) -> bool {
        *self.sender.borrow()
    }

    /// For tasks that watch a channel.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.sender.subscribe()
    }

    /// Returns once the end is asked for.
    pub async fn wait(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives in `self`, so the channel cannot close meanwhile.
        let _ = receiver.wait_for(|begun| *begun).await;
    }
}

/// Begins the shutdown at the first SIGTERM or SIGINT.
///
/// # Errors
/// Where the signals cannot be watched.
pub fn shutdown_on_signal() -> std::io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = Shutdown::default();
    let begin = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutdown signal received");
        begin.begin();
    });
    Ok(shutdown)
}
