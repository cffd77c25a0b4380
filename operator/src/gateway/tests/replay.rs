//! The promise: a gateway of this version answers a node plugin of an earlier one as the gateway of that
//! version did. What that node said was recorded (`e2e/golden/<version>/make`), and is said again here.

use data_encoding::HEXLOWER;
use strongroom_api::stream::proto;
use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_testing::recording::{FC3A9FF, Line, lines};

use super::delivery::{NODE, Node};
use super::*;

fn values(lines: &[Line]) -> Vec<proto::Value> {
    let values = lines.iter().filter_map(|line| match line {
        Line::Gateway(ToNode::Value(value)) => Some(value.clone()),
        _ => None,
    });
    values.collect()
}

/// The volume that an answer is about.
fn volume(answer: &ToNode) -> &str {
    match answer {
        ToNode::Granted(is) => &is.subscription,
        ToNode::Denied(is) => &is.subscription,
        ToNode::Moved(is) => &is.subscription,
        ToNode::Tombstone(is) => &is.subscription,
        _ => "",
    }
}

/// An answer without what may differ from store to store and from text to text.
fn comparable(mut answer: ToNode) -> ToNode {
    const TEXT: &str = "said";
    match &mut answer {
        ToNode::Granted(proto::Granted { pointers, .. }) | ToNode::Moved(proto::Moved { pointers, .. }) => {
            for pointer in pointers {
                assert!(pointer.revision > 0);
                pointer.revision = 1;
            }
        }
        ToNode::Denied(denied) => {
            assert!(!denied.message.is_empty());
            TEXT.clone_into(&mut denied.message);
            denied
                .missing_policies
                .iter_mut()
                .for_each(|policy| TEXT.clone_into(policy));
        }
        ToNode::Tombstone(tombstone) => {
            assert!(!tombstone.message.is_empty());
            TEXT.clone_into(&mut tombstone.message);
        }
        _ => {}
    }
    answer
}

/// The answers that stand together in the recording. Reviews of tokens run side by side: only of one volume
/// do answers keep their order, and a value stands before all that name it.
async fn compare(node: &mut Node, was: &mut Vec<ToNode>) {
    let mut is = Vec::new();
    for _ in 0..was.len() {
        is.push(comparable(node.hear().await));
    }
    if let Some(first @ ToNode::Value(_)) = was.first() {
        assert_eq!(is.first(), Some(first));
    }
    is.sort_by(|one, other| volume(one).cmp(volume(other)));
    was.sort_by(|one, other| volume(one).cmp(volume(other)));
    assert_eq!(is, *was);
    was.clear();
}

impl World {
    /// Puts a version as it was then.
    fn put_recorded(&self, value: &proto::Value) {
        let keys = value.keys.iter();
        let keys = keys.map(|key| (key.name.parse().unwrap(), SecretBytes::new(key.value.clone())));
        let keys = Value::from_keys(keys.collect()).unwrap();
        let put = new_version(self.stored("checkout-db").id, &value.version_id, keys);
        self.gateway.store.run(put, meta()).unwrap();
    }

    fn allow_checkout(&self) {
        self.allow("read", "checkout", "secrets:GetSecretValue", "checkout-db");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_answers_a_node_of_fc3a9ff_as_its_own_did() {
    let world = World::new(0);
    let id = world.secret("shop", "checkout-db", "s3cr3t");
    world.allow_checkout();
    // The secret of that store is the one of this store.
    let former = values(&lines(FC3A9FF))[0].secret_id.clone();
    let recording = FC3A9FF.replace(&HEXLOWER.encode(&former), &HEXLOWER.encode(id.as_bytes()));
    let lines = lines(&recording);
    let mut versions = values(&lines).into_iter();
    world.put_recorded(&versions.next().unwrap());
    let denied = |volume: &str| {
        let mut lines = lines.iter();
        lines.any(|line| matches!(line, Line::Gateway(ToNode::Denied(is)) if is.subscription == volume))
    };
    let mut stream: Option<Node> = None;
    let (mut answers, mut compared) = (Vec::new(), 0);
    for line in &lines {
        if let Line::Gateway(answer) = line {
            // A Welcome was heard with the Hello; a Goodbye is of another process.
            if !matches!(
                answer,
                ToNode::Welcome(_) | ToNode::Heartbeat(_) | ToNode::Goodbye(_)
            ) {
                answers.push(comparable(answer.clone()));
                compared += 1;
            }
            continue;
        }
        if let Some(node) = &mut stream {
            compare(node, &mut answers).await;
        }
        match line {
            Line::Node(FromNode::Hello(hello)) => {
                let mut hello = hello.clone();
                hello.token = token(NODE);
                stream = Some(Node::with(&world, hello).await);
                // It attaches as ever, and is counted.
                assert!(
                    world
                        .gateway
                        .shared()
                        .capacity
                        .refusals()
                        .nodes_with_token_in_hello()
                        > 0
                );
            }
            Line::Node(FromNode::Subscribe(was)) => {
                let volume = &was.subscription;
                let account = if denied(volume) { "stranger" } else { "checkout" };
                let mut subscribe = was.clone();
                subscribe.token = token(&format!("shop/{account}/{volume}@n-1"));
                subscribe.pod_uid = format!("uid-{volume}");
                stream.as_ref().unwrap().say(FromNode::Subscribe(subscribe)).await;
            }
            Line::Node(was) => stream.as_ref().unwrap().say(was.clone()).await,
            Line::Did(what) => match what.as_str() {
                "rotate checkout-db" => world.put_recorded(&versions.next().unwrap()),
                "revoke checkout-db" => world.gateway.policies.remove_policy("shop", "read"),
                "allow checkout-db" => world.allow_checkout(),
                _ => {}
            },
            Line::Gateway(_) => {}
        }
    }
    assert!(answers.is_empty() && compared >= 18, "{compared} answers");
    // What the node served alone is audited.
    let records = world.records();
    let alone = records
        .iter()
        .filter(|entry| entry.circumstances.as_ref().is_some_and(|it| it.offline));
    assert_eq!(alone.count(), 1);
}
