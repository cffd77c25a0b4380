//! A node whose volume shows whatever it is told: the plugin's side of the stream, without files.

use std::error::Error;

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

/// Subscribes one volume for each of the secrets, and acknowledges what it is told until the stream ends.
pub(crate) async fn follow(
    endpoint: &Endpoint,
    (plugin, pod): (&str, &str),
    secrets: &[&str],
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let channel = endpoint.connect().await?;
    let (outgoing, messages) = mpsc::channel(16);
    let say = async |message| {
        let message = NodeMessage {
            message: Some(message),
        };
        outgoing.send(message).await
    };
    say(ToGateway::Hello(Hello {
        protocol_versions: vec![1],
        token: plugin.to_owned(),
        boot_id: "monitoring".to_owned(),
        plugin_version: "monitoring".to_owned(),
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
        match message.message {
            Some(FromGateway::Welcome(_)) => {
                for secret in secrets {
                    say(subscribe(secret, pod)).await?;
                }
            }
            Some(FromGateway::Value(value)) => {
                let bytes: usize = value
                    .keys
                    .iter()
                    .map(|key| key.name.len() + key.value.len())
                    .sum();
                let bytes = u32::try_from(bytes)?;
                say(ToGateway::Credit(Credit { bytes })).await?;
            }
            Some(FromGateway::Granted(granted)) => {
                say(shows(granted.subscription, granted.pointers)).await?;
            }
            Some(FromGateway::Moved(moved)) => say(shows(moved.subscription, moved.pointers)).await?,
            Some(FromGateway::Heartbeat(_)) => say(ToGateway::Heartbeat(Heartbeat {})).await?,
            Some(FromGateway::Goodbye(_)) => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

/// What a volume wants, which is called as its secret.
fn subscribe(secret: &str, pod: &str) -> ToGateway {
    let wanted = RequestedSecret {
        name: secret.to_owned(),
        ..RequestedSecret::default()
    };
    ToGateway::Subscribe(Subscribe {
        pod_uid: String::new(),
        subscription: secret.to_owned(),
        token: pod.to_owned(),
        secrets: vec![wanted],
    })
}

/// What a volume shows now.
fn shows(subscription: String, pointers: Vec<Pointer>) -> ToGateway {
    let shown = |pointer: Pointer| AppliedSecret {
        secret: pointer.secret,
        outcome: Some(applied_secret::Outcome::VersionId(pointer.version_id)),
    };
    ToGateway::Applied(Applied {
        subscription,
        secrets: pointers.into_iter().map(shown).collect(),
    })
}
