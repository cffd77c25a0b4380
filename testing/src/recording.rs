//! A conversation of a node with a gateway of an earlier version (`e2e/golden/<version>/make`).

use data_encoding::HEXLOWER;
use prost::Message as _;
use strongroom_api::stream::proto::{GatewayMessage, NodeMessage, gateway_message, node_message};

/// The conversation of fc3a9ff.
pub const FC3A9FF: &str = include_str!("../../e2e/golden/fc3a9ff/conversation");

/// A line of a recording.
#[derive(Debug)]
pub enum Line {
    /// What the node said.
    Node(node_message::Message),
    /// What the gateway said.
    Gateway(gateway_message::Message),
    /// What was done to the cluster.
    Did(String),
}

/// The lines of a recording, the oldest first.
pub fn lines(recording: &str) -> Vec<Line> {
    let line = |line: &str| {
        let (who, rest) = line.split_once(' ').unwrap();
        let bytes = || HEXLOWER.decode(rest.as_bytes()).unwrap();
        match who {
            "node" => Line::Node(NodeMessage::decode(&*bytes()).unwrap().message.unwrap()),
            "gateway" => Line::Gateway(GatewayMessage::decode(&*bytes()).unwrap().message.unwrap()),
            _ => Line::Did(rest.to_owned()),
        }
    };
    recording.lines().map(line).collect()
}
