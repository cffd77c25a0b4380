//! A node whose volumes show whatever they are told: the plugin's side of the stream, without files.

use std::error::Error;

use strongroom_api::stream::PROTOCOL_VERSION;
use strongroom_api::stream::proto::delivery_client::DeliveryClient;
use strongroom_api::stream::proto::gateway_message::Message as FromGateway;
use strongroom_api::stream::proto::node_message::Message as ToGateway;
use strongroom_api::stream::proto::{
    Applied, AppliedSecret, Credit, Heartbeat, Hello, NodeMessage, Pointer, RequestedSecret, Subscribe,
    applied_secret,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::transport::Endpoint;

/// A failure of a simulated node.
type NodeError = Box<dyn Error + Send + Sync>;

/// Subscribes volumes, each a name and the secret that it shows, and acknowledges what they are told until
/// the gateway says goodbye. The tokens are that of the plugin's pod and that of the pod with the volumes.
/// `heard` sees each message after its answer; its error ends the stream.
///
/// # Errors
/// The stream's, and those of `heard`.
pub async fn simulate_node(
    endpoint: &Endpoint,
    (plugin, pod): (&str, &str),
    volumes: &[(String, &str)],
    mut heard: impl FnMut(&FromGateway) -> Result<(), NodeError> + Send,
) -> Result<(), NodeError> {
    let channel = endpoint.connect().await?;
    let (outgoing, messages) = mpsc::channel(2 * volumes.len() + 8);
    let say = async |message| {
        let message = NodeMessage {
            message: Some(message),
        };
        outgoing.send(message).await
    };
    say(ToGateway::Hello(Hello {
        protocol_versions: vec![PROTOCOL_VERSION],
        token: plugin.to_owned(),
        boot_id: "simulated".to_owned(),
        plugin_version: "simulated".to_owned(),
        held: Vec::new(),
        window_bytes: 1 << 20,
    }))
    .await?;
    let mut client = DeliveryClient::new(channel);
    let mut request = Request::new(ReceiverStream::new(messages));
    let bearer = format!("Bearer {plugin}").parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let mut incoming = client.attach(request).await?.into_inner();
    while let Some(message) = incoming.message().await? {
        let Some(message) = message.message else {
            continue;
        };
        match &message {
            // As a node's plugin does, it asks for nothing before it is taken in.
            FromGateway::Welcome(_) => {
                for (volume, secret) in volumes {
                    say(subscribe(volume, secret, pod)).await?;
                }
            }
            FromGateway::Value(value) => {
                let bytes = u32::try_from(value.window_bytes())?;
                say(ToGateway::Credit(Credit { bytes })).await?;
            }
            FromGateway::Granted(granted) => say(shows(&granted.subscription, &granted.pointers)).await?,
            FromGateway::Moved(moved) => say(shows(&moved.subscription, &moved.pointers)).await?,
            FromGateway::Heartbeat(_) => say(ToGateway::Heartbeat(Heartbeat {})).await?,
            FromGateway::Goodbye(_) => return Ok(()),
            _ => {}
        }
        heard(&message)?;
    }
    Ok(())
}

/// What a volume wants.
fn subscribe(volume: &str, secret: &str, pod: &str) -> ToGateway {
    let wanted = RequestedSecret {
        name: secret.to_owned(),
        ..RequestedSecret::default()
    };
    ToGateway::Subscribe(Subscribe {
        pod_uid: String::new(),
        subscription: volume.to_owned(),
        token: pod.to_owned(),
        secrets: vec![wanted],
    })
}

/// What a volume shows now.
fn shows(volume: &str, pointers: &[Pointer]) -> ToGateway {
    let shown = |pointer: &Pointer| AppliedSecret {
        secret: pointer.secret,
        outcome: Some(applied_secret::Outcome::VersionId(pointer.version_id.clone())),
    };
    ToGateway::Applied(Applied {
        subscription: volume.to_owned(),
        secrets: pointers.iter().map(shown).collect(),
    })
}
