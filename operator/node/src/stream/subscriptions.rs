//! The handle to the stream for the rest of the plugin: commands to the one task that owns the state.

use strongroom_api::stream::Token;
use strongroom_api::stream::proto::{AppliedSecret, NoticeResult};
use tokio::sync::{mpsc, oneshot, watch};

use super::subscription_state::{
    Reader, SubscriptionDenial, SubscriptionSnapshot, SubscriptionSpec, SubscriptionState,
};

/// Commands that may wait for the state; more wait for their place.
const QUEUE_CAPACITY: usize = 64;

/// The task that owns the state has ended: the process is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plugin is stopping")]
pub struct StreamClosed;

#[derive(Debug)]
pub(super) enum Command {
    Subscribe(
        String,
        Option<Token>,
        SubscriptionSpec,
        oneshot::Sender<watch::Receiver<u64>>,
    ),
    Renew(String, Token),
    NotifyChange(String),
    Unsubscribe(String),
    Read(String, Reader),
    Applied(String, Vec<AppliedSecret>),
    PodAddress(String, oneshot::Sender<String>),
    Noticed(NoticeResult),
}

impl Command {
    pub(super) fn apply_to(self, state: &mut SubscriptionState) {
        match self {
            Self::Subscribe(volume, token, wants, answer) => {
                // Whoever asked may be gone; the subscription goes when they say so or the process ends.
                let _ = answer.send(state.subscribe(&volume, token, wants));
            }
            Self::Renew(volume, token) => state.renew(&volume, token),
            Self::NotifyChange(volume) => state.notify_change(&volume),
            Self::Unsubscribe(volume) => state.unsubscribe(&volume),
            Self::Read(volume, reader) => state.read(&volume, reader),
            Self::Applied(volume, secrets) => state.applied(&volume, secrets),
            Self::PodAddress(volume, answer) => state.pod_address(&volume, answer),
            Self::Noticed(noticed) => state.noticed(noticed),
        }
    }
}

/// Commands on their way to the state.
#[derive(Debug)]
pub struct Commands(pub(super) mpsc::Receiver<Command>);

/// The subscriptions; cheap to clone.
#[derive(Clone, Debug)]
pub struct Subscriptions(mpsc::Sender<Command>);

/// The two ends.
#[must_use]
pub fn channel() -> (Subscriptions, Commands) {
    let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
    (Subscriptions(sender), Commands(receiver))
}

impl Subscriptions {
    /// Subscribes a volume to secrets. Returns a channel that signals each change, and closes with the
    /// subscription.
    ///
    /// # Errors
    /// [`StreamClosed`].
    pub async fn subscribe(
        &self,
        volume: &str,
        token: Option<Token>,
        wants: SubscriptionSpec,
    ) -> Result<watch::Receiver<u64>, StreamClosed> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Subscribe(volume.to_owned(), token, wants, answer))
            .await?;
        answered.await.map_err(|_| StreamClosed)
    }

    /// A newer token of a volume's pod.
    ///
    /// # Errors
    /// [`StreamClosed`].
    pub async fn renew(&self, volume: &str, token: Token) -> Result<(), StreamClosed> {
        self.command(Command::Renew(volume.to_owned(), token)).await
    }

    /// A volume could not be updated, and the change is signalled to it again.
    ///
    /// # Errors
    /// [`StreamClosed`].
    pub async fn notify_change(&self, volume: &str) -> Result<(), StreamClosed> {
        self.command(Command::NotifyChange(volume.to_owned())).await
    }

    /// A volume is gone.
    ///
    /// # Errors
    /// [`StreamClosed`].
    pub async fn unsubscribe(&self, volume: &str) -> Result<(), StreamClosed> {
        self.command(Command::Unsubscribe(volume.to_owned())).await
    }

    /// Everything that a volume may show, as soon as it is all here. Waits for as long as it takes: give it a
    /// time.
    ///
    /// # Errors
    /// [`StreamClosed`], also where the volume is not subscribed any more; inside, why it may not.
    pub async fn read(
        &self,
        volume: &str,
    ) -> Result<Result<SubscriptionSnapshot, SubscriptionDenial>, StreamClosed> {
        let (reader, answered) = oneshot::channel();
        self.command(Command::Read(volume.to_owned(), reader)).await?;
        answered.await.map_err(|_| StreamClosed)
    }

    /// What a volume shows now.
    ///
    /// # Errors
    /// [`StreamClosed`].
    pub async fn applied(&self, volume: &str, secrets: Vec<AppliedSecret>) -> Result<(), StreamClosed> {
        self.command(Command::Applied(volume.to_owned(), secrets)).await
    }

    /// The address of a volume's pod, as the gateway says it; empty where there is none to be told at. Waits
    /// for the gateway: give it a time.
    ///
    /// # Errors
    /// [`StreamClosed`], also where there is no gateway.
    pub async fn pod_address(&self, volume: &str) -> Result<String, StreamClosed> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::PodAddress(volume.to_owned(), answer))
            .await?;
        answered.await.map_err(|_| StreamClosed)
    }

    /// The result of notifying a pod.
    ///
    /// # Errors
    /// [`StreamClosed`].
    pub async fn noticed(&self, noticed: NoticeResult) -> Result<(), StreamClosed> {
        self.command(Command::Noticed(noticed)).await
    }

    async fn command(&self, command: Command) -> Result<(), StreamClosed> {
        self.0.send(command).await.map_err(|_| StreamClosed)
    }
}
