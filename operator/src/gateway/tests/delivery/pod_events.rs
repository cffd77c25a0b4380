//! Where a pod is, and the events of what came of a notice to it.

use std::time::Duration;

use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{NoticeOutcome, NoticeResult, PodAddressRequest};

use super::node::{Node, OTHER_POD, PATIENCE, POD};
use crate::gateway::tests::*;

impl World {
    /// The pod as the API server knows it, with this over it.
    fn pod(&self, name: &str, more: &Json) {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
            "spec": {"nodeName": "n-1", "containers": []}, "status": {"phase": "Running", "podIP": "10.1.2.3", "hostIP": "192.168.0.1"}});
        merged(&mut pod, more);
        let place = ("pods".to_owned(), name.to_owned());
        self.api.objects.lock().insert(place, pod);
    }

    /// Events of pods, once there are so many: type, reason and note, and whose UID they name.
    async fn events(&self, count: usize) -> Vec<(String, String, String)> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let objects = self.api.objects.lock().clone();
            let events = objects.iter().filter(|((kind, _), _)| kind == "events");
            let text = |event: &Json, field: &str| event[field].as_str().unwrap_or_default().to_owned();
            let mut events: Vec<_> = events
                .map(|(_, event)| {
                    let uid = event["regarding"]["uid"].as_str().unwrap_or_default().to_owned();
                    (text(event, "reason"), text(event, "note"), uid)
                })
                .collect();
            if events.len() >= count {
                events.sort();
                return events;
            }
            assert!(tokio::time::Instant::now() < deadline, "{events:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_found_at_its_own_address_alone_and_its_events_say_what_came_of_it() {
    let world = World::delivering();
    let mut node = Node::attach(&world).await;
    for (volume, pod) in [("vol-1", POD), ("vol-2", OTHER_POD)] {
        node.subscribe(volume, pod, &["db-main"]).await;
        if volume == "vol-1" {
            node.value().await;
        }
        node.granted().await;
    }
    // Of a volume that is not granted nothing is said: the next answer is of another.
    let subscription = "vol-9".to_owned();
    node.say(FromNode::Whereabouts(PodAddressRequest { subscription }))
        .await;
    assert_eq!(node.pod_address("vol-2").await, "", "the pod is not there");
    world.pod("app-1", &json!({}));
    assert_eq!(node.pod_address("vol-1").await, "10.1.2.3");
    // Another pod of the same name, a pod of another node, and the node itself.
    for more in [
        json!({"metadata": {"uid": "uid-of-another"}}),
        json!({"spec": {"nodeName": "n-2"}}),
        json!({"spec": {"hostNetwork": true}}),
        json!({"status": {"podIP": "192.168.0.1"}}),
    ] {
        world.pod("app-1", &more);
        assert_eq!(node.pod_address("vol-1").await, "", "{more}");
    }
    let noticed = |volume: &str, outcome: NoticeOutcome, status| {
        FromNode::Noticed(NoticeResult {
            subscription: volume.to_owned(),
            outcome: outcome.into(),
            port: 8_080,
            status,
        })
    };
    node.subscribe("vol-3", POD, &["db-main"]).await;
    node.granted().await;
    for _ in 0..50 {
        node.say(noticed("vol-3", NoticeOutcome::Delivered, 204)).await;
        node.say(noticed("vol-9", NoticeOutcome::Delivered, 204)).await;
        // Anything else within seconds is not said either.
        node.say(noticed("vol-3", NoticeOutcome::TimedOut, 0)).await;
    }
    let events = world.events(3).await;
    assert_eq!(node.pod_address("vol-3").await, "");
    assert_eq!(world.events(3).await.len(), 3, "{events:?}");
    let told = ("ReloadNotified".to_owned(), "uid-app-1".to_owned());
    assert!(events.iter().any(|(reason, note, uid)| {
        (reason.clone(), uid.clone()) == told && note.contains("at port 8080") && note.contains("204")
    }));
    let gone = events
        .iter()
        .filter(|(_, note, _)| note.contains("no longer exists"));
    let mut whose: Vec<_> = gone
        .map(|(reason, _, uid)| (reason.as_str(), uid.as_str()))
        .collect();
    whose.sort_unstable();
    let not = "ReloadNotificationFailed";
    assert_eq!(whose, [(not, "uid-app-1"), (not, "uid-app-2")]);
}
