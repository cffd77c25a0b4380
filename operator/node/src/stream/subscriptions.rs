//! What the rest of the plugin holds of the stream: commands to the one task that owns the desk.

use strongroom_api::stream::Token;
use strongroom_api::stream::proto::{Noticed, Shown};
use tokio::sync::{mpsc, oneshot, watch};

use super::desk::{Desk, Reader, Refused, Snapshot, Wants};

/// Commands that may wait for the desk; more wait for their place.
const QUEUE: usize = 64;

/// The task that owns the desk has ended: the process is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plugin is stopping")]
pub struct Gone;

#[derive(Debug)]
pub(super) enum Command {
    Subscribe(
        String,
        Option<Token>,
        Wants,
        oneshot::Sender<watch::Receiver<u64>>,
    ),
    Renew(String, Token),
    Again(String),
    Unsubscribe(String),
    Read(String, Reader),
    Applied(String, Vec<Shown>),
    Whereabouts(String, oneshot::Sender<String>),
    Noticed(Noticed),
}

impl Command {
    pub(super) fn carry_out(self, desk: &mut Desk) {
        match self {
            Self::Subscribe(volume, token, wants, answer) => {
                // Whoever asked may be gone; the subscription goes when they say so or the process ends.
                let _ = answer.send(desk.subscribe(&volume, token, wants));
            }
            Self::Renew(volume, token) => desk.renew(&volume, token),
            Self::Again(volume) => desk.again(&volume),
            Self::Unsubscribe(volume) => desk.unsubscribe(&volume),
            Self::Read(volume, reader) => desk.read(&volume, reader),
            Self::Applied(volume, secrets) => desk.applied(&volume, secrets),
            Self::Whereabouts(volume, answer) => desk.whereabouts(&volume, answer),
            Self::Noticed(noticed) => desk.noticed(noticed),
        }
    }
}

/// Commands on their way to the desk.
#[derive(Debug)]
pub struct Commands(pub(super) mpsc::Receiver<Command>);

/// The subscriptions; cheap to clone.
#[derive(Clone, Debug)]
pub struct Subscriptions(mpsc::Sender<Command>);

/// The two ends.
#[must_use]
pub fn channel() -> (Subscriptions, Commands) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Subscriptions(sender), Commands(receiver))
}

impl Subscriptions {
    /// Wants secrets for a volume. What is answered is told of each change, and ends with the subscription.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn subscribe(
        &self,
        volume: &str,
        token: Option<Token>,
        wants: Wants,
    ) -> Result<watch::Receiver<u64>, Gone> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Subscribe(volume.to_owned(), token, wants, answer))
            .await?;
        answered.await.map_err(|_| Gone)
    }

    /// A newer token of a volume's pod.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn renew(&self, volume: &str, token: Token) -> Result<(), Gone> {
        self.command(Command::Renew(volume.to_owned(), token)).await
    }

    /// A volume could not be made what it is to be, and is told of a change again.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn again(&self, volume: &str) -> Result<(), Gone> {
        self.command(Command::Again(volume.to_owned())).await
    }

    /// A volume is gone.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn unsubscribe(&self, volume: &str) -> Result<(), Gone> {
        self.command(Command::Unsubscribe(volume.to_owned())).await
    }

    /// Everything that a volume may show, as soon as it is all here. Waits for as long as it takes: give it a time.
    ///
    /// # Errors
    /// [`Gone`], also where the volume is not subscribed any more; inside, why it may not.
    pub async fn read(&self, volume: &str) -> Result<Result<Snapshot, Refused>, Gone> {
        let (reader, answered) = oneshot::channel();
        self.command(Command::Read(volume.to_owned(), reader)).await?;
        answered.await.map_err(|_| Gone)
    }

    /// What a volume shows now.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn applied(&self, volume: &str, secrets: Vec<Shown>) -> Result<(), Gone> {
        self.command(Command::Applied(volume.to_owned(), secrets)).await
    }

    /// The address of a volume's pod, as the gateway says it; empty where there is none to be told at. Waits for the gateway: give it a time.
    ///
    /// # Errors
    /// [`Gone`], also where there is no gateway.
    pub async fn whereabouts(&self, volume: &str) -> Result<String, Gone> {
        let (answer, answered) = oneshot::channel();
        self.command(Command::Whereabouts(volume.to_owned(), answer))
            .await?;
        answered.await.map_err(|_| Gone)
    }

    /// What came of telling a pod.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn noticed(&self, noticed: Noticed) -> Result<(), Gone> {
        self.command(Command::Noticed(noticed)).await
    }

    async fn command(&self, command: Command) -> Result<(), Gone> {
        self.0.send(command).await.map_err(|_| Gone)
    }
}
