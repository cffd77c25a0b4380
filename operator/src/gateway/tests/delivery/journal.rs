//! What a node says that it served without a gateway, and how much of that it may say.

use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{Journal, JournalEntry, NodeMessage};
use tonic::Code as Grpc;

use super::node::Node;
use crate::gateway::tests::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_served_alone_is_put_on_record_once() {
    let world = World::delivering();
    let id = world.stored("db-main").id;
    let entry = |sequence: u64| JournalEntry {
        sequence,
        boot_id: "boot".to_owned(),
        at_unix_s: 1_700_000_000,
        subscription: "vol".to_owned(),
        namespace: "shop".to_owned(),
        pod: format!("app-{sequence}"),
        pod_uid: "uid".to_owned(),
        service_account: "app".to_owned(),
        service_account_uid: "uid".to_owned(),
        secret_id: id.as_bytes().to_vec(),
        version_id: "v-1".to_owned(),
    };
    let mut node = Node::attach(&world).await;
    node.follow_db_main().await;
    let reads = world.records().len();
    for entries in [vec![entry(1), entry(2)], vec![entry(2), entry(3)]] {
        let last = entries.last().unwrap().sequence;
        node.say(FromNode::Journal(Journal { entries })).await;
        let ToNode::JournalTaken(taken) = node.hear().await else {
            panic!("no answer")
        };
        assert_eq!(taken.sequence, last);
    }
    let records = world.records();
    let served: Vec<_> = records
        .iter()
        .filter_map(|entry| {
            let asked = entry.circumstances.as_ref().filter(|it| it.offline)?;
            assert_eq!(asked.pod, None, "no token says so");
            let secret = entry.secret.as_ref()?.to_string();
            Some((
                entry.actor.to_string(),
                secret,
                entry.claimed.clone()?,
                asked.node.clone()?,
            ))
        })
        .collect();
    let one = |pod: &str| {
        (
            "node n-1".to_owned(),
            "db-main".to_owned(),
            format!("serviceaccount shop/app, pod {pod} with UID uid"),
            "n-1".to_owned(),
        )
    };
    assert_eq!(served, [one("app-1"), one("app-2"), one("app-3")]);
    assert_eq!(records.len(), reads + 3);
    assert!(
        records.last().unwrap().detail.contains("2023-11-14T22:13:20Z"),
        "{}",
        records.last().unwrap().detail
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_frames_nobody_and_fills_no_log() {
    let world = World::delivering();
    let id = world.stored("db-main").id;
    let entry = |sequence: u64| JournalEntry {
        sequence,
        subscription: "vol".to_owned(),
        namespace: "shop".to_owned(),
        pod: "app-1".to_owned(),
        service_account: "app".to_owned(),
        secret_id: id.as_bytes().to_vec(),
        version_id: "v-1".to_owned(),
        ..JournalEntry::default()
    };
    // It was granted nothing: what it says is a claim that is refused, and summed.
    let mut node = Node::attach(&world).await;
    let before = world.records().len();
    for first in [1, 65, 129] {
        let entries = (first..first + 64).map(entry).collect();
        node.say(FromNode::Journal(Journal { entries })).await;
        let ToNode::JournalTaken(taken) = node.hear().await else {
            panic!("no answer")
        };
        assert_eq!(taken.sequence, first + 63);
    }
    let records = world.records();
    let [forged] = &records[before..] else {
        panic!("{:?}", &records[before..]);
    };
    assert_eq!(forged.actor.to_string(), "node n-1");
    assert_eq!(forged.outcome, AuditOutcome::Refused("NotGranted".to_owned()));
    assert_eq!(
        forged.claimed.as_deref(),
        Some("serviceaccount shop/app, pod app-1 with UID ")
    );
    // Ten thousand at once are not taken: it tells one journal after the other, and no more than a rate of
    // them.
    let flood = |first: u64| {
        FromNode::Journal(Journal {
            entries: (first..first + 64).map(entry).collect(),
        })
    };
    for first in 0..30 {
        // It may have ended by now.
        let message = NodeMessage {
            message: Some(flood(1_000 + first * 64)),
        };
        let _ = node.to.send(Ok(message)).await;
    }
    let (ended, taken) = node.ended().await;
    assert_eq!(ended, Grpc::ResourceExhausted);
    assert!(taken <= 16, "{taken} messages");
}
