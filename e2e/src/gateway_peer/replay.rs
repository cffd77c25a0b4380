//! A gateway that says what a recorded one said, when the test has it say so. It decides nothing.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc as sync;
use std::thread::JoinHandle;

use futures::{Stream, StreamExt};
use parking_lot::{Mutex, MutexGuard};
use strongroom_api::stream::proto::delivery_server::Delivery;
use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{GatewayMessage, NodeMessage};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::serve::serve;
use crate::error::{ClusterError, trying};

/// A running one; it ends when dropped.
#[derive(Debug)]
pub struct GatewayReplay {
    address: SocketAddr,
    conversation: Conversation,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug, Default)]
struct Conversation(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Takes no stream.
    away: bool,
    stream: Option<mpsc::UnboundedSender<Result<GatewayMessage, Status>>>,
    /// What the node said and the test did not take yet.
    messages: Vec<FromNode>,
}

impl Conversation {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

#[tonic::async_trait]
impl Delivery for Conversation {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<GatewayMessage, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<NodeMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (to, receiver) = mpsc::unbounded_channel();
        {
            let mut state = self.lock();
            if state.away {
                return Err(Status::unavailable("the gateway is away"));
            }
            state.stream = Some(to);
        }
        let mut messages = request.into_inner();
        let conversation = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                conversation.lock().messages.extend(message.message);
            }
        });
        Ok(Response::new(UnboundedReceiverStream::new(receiver).boxed()))
    }
}

impl GatewayReplay {
    /// Starts one on any port of loopback, without TLS.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn start() -> Result<Self, ClusterError> {
        let conversation = Conversation::default();
        let (stop, stopped) = oneshot::channel();
        let (listening, listens) = sync::channel();
        let serving = conversation.clone();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let thread = std::thread::spawn(move || {
            if let Err(error) = serve(None, loopback, None, serving, stopped, &listening) {
                let _ = listening.send(Err(error));
            }
        });
        let address = listens
            .recv()
            .map_err(|_| trying("starting the replay of a gateway")(std::io::ErrorKind::Other.into()))??;
        Ok(Self {
            address,
            conversation,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Scheme, address and port, as `--gateway-url` takes them.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Says a message on the stream that the node opened last.
    pub fn say(&self, message: ToNode) {
        if let Some(stream) = &self.conversation.lock().stream {
            let message = Some(message);
            // A stream that ended hears nothing.
            let _ = stream.send(Ok(GatewayMessage { message }));
        }
    }

    /// Ends the stream, and takes no other until it is back.
    pub fn leave(&self) {
        let mut state = self.conversation.lock();
        state.away = true;
        state.stream = None;
    }

    /// Takes streams again.
    pub fn come_back(&self) {
        self.conversation.lock().away = false;
    }

    /// Takes the first message that the node said and that fits.
    #[must_use]
    pub fn take(&self, fits: impl Fn(&FromNode) -> bool) -> Option<FromNode> {
        let mut state = self.conversation.lock();
        let first = state.messages.iter().position(fits)?;
        Some(state.messages.remove(first))
    }
}

impl Drop for GatewayReplay {
    fn drop(&mut self) {
        self.leave();
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
