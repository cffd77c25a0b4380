//! Objects that take much memory: their namespace's share is used up, and nobody else's.

use std::cell::RefCell;

use strongroom_process::WorkPool;

use super::*;
use crate::cluster_keys::ClusterKeys;
use crate::controllers::cache_quota::CacheBounds;

/// What may be stored in etcd, nearly: 15 texts of 90,000 characters that are sealed for nobody.
fn meaningless() -> serde_json::Value {
    let text = format!("strongroom1.0123456789abcdef.AAAA.{}", "A".repeat(89_900));
    let keys: serde_json::Map<_, _> = (0..15)
        .map(|number| (format!("key-{number}"), json!(text)))
        .collect();
    json!({"source": {"sealed": {"keys": keys}}, "secret": {"name": "large"}})
}

fn start_bounded(api: &ApiServer, store: Store, keep: tempfile::TempDir, bounds: CacheBounds) -> Running {
    api.put(
        "/api/v1/namespaces/pay",
        json!({"metadata": {"name": "pay", "uid": "ns-2"}}),
    );
    let work = WorkPool::with_threads(2);
    let keys = ClusterKeys::for_store("s-1");
    start_within(api, store, Policies::default(), (keep, work), (bounds, keys))
}

fn reads(log: &[String], path: &str) -> usize {
    let line = format!("GET {path}");
    log.iter().filter(|it| **it == line).count()
}

/// An object of which not all is kept was read again: what conditions say may be from the process before.
async fn looked_at(running: &Running, name: &str) {
    let path = path_in(NS, name);
    running
        .until("it is read again", |api| reads(&api.log(), &path) > 0)
        .await;
}

#[tokio::test]
async fn the_largest_objects_are_kept_as_outlines_and_read_when_they_are_worked_on() {
    const MANY: usize = 12;
    let api = ApiServer::default();
    let name = |number| format!("large-{number:02}");
    for number in 0..MANY {
        put_in(&api, NS, &name(number), meaningless());
    }
    put_in(&api, "pay", "db", generated("db"));
    let (store, mut keep) = store();
    let invalid = |api: &ApiServer| {
        (0..MANY).all(|number| ready_in(api, NS, &name(number)) == says("False", "SealInvalid"))
    };
    // A restart finds them all again.
    for round in 0..2 {
        let running = start_bounded(&api, store.clone(), keep, CacheBounds::default());
        running
            .until("the other namespace", |api| {
                ready_in(api, "pay", "db") == says("True", "Ready")
            })
            .await;
        running.until("each says what is wrong", invalid).await;
        let log = RefCell::new(Vec::new());
        let read = |number| reads(&log.borrow(), &path_in(NS, &name(number)));
        running
            .until("each is read", |api| {
                log.borrow_mut().extend(api.log());
                (0..MANY).all(|number| read(number) > 0)
            })
            .await;
        // 1.35 MB each time: for itself, where it is named again before, and where the status did not come
        // back in time.
        let most = (0..MANY).map(read).max().unwrap();
        assert!(most <= 3, "{round}: {most}");
        keep = running.stop().await;
    }
}

#[tokio::test]
async fn an_outline_is_read_again_where_a_value_is_rendered() {
    let api = ApiServer::default();
    let file = "x".repeat(60_000);
    let mut spec = generated("db");
    spec["secret"]["template"] = json!({"file": format!("{file}{{{{ password }}}}")});
    put_in(&api, NS, "db", spec.clone());
    let (store, keep) = store();
    let running = start_bounded(&api, store, keep, CacheBounds::default());
    running
        .until("ready", |api| ready_in(api, NS, "db") == says("True", "Ready"))
        .await;
    let shown = api.secret_key("db", "file").unwrap();
    assert!(shown.starts_with(file.as_bytes()) && shown.len() > file.len());
    // What somebody changes is put back as it was, by the whole template.
    let mut edited = api.get(&native("db")).unwrap();
    edited["data"]["file"] = json!("ZWRpdGVk");
    api.put(&native("db"), edited);
    running
        .until("repaired", |api| {
            api.secret_key("db", "file").as_ref() == Some(&shown)
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn what_a_namespace_has_no_room_for_says_so_and_has_its_turn_when_others_go() {
    let api = ApiServer::default();
    for name in ["a", "b", "c"] {
        put_in(&api, NS, name, generated(name));
    }
    put_in(&api, "pay", "db", generated("db"));
    let (store, keep) = store();
    let bounds = CacheBounds {
        objects: 2,
        ..CacheBounds::default()
    };
    let mut running = start_bounded(&api, store.clone(), keep, bounds);
    let left_out = says("False", "NamespaceObjectsTooLarge");
    for _ in 0..2 {
        running
            .until("those that have room, and others", |api| {
                [(NS, "a"), (NS, "b"), ("pay", "db")]
                    .into_iter()
                    .all(|(namespace, name)| ready_in(api, namespace, name) == says("True", "Ready"))
            })
            .await;
        running
            .until("what has none", |api| ready_in(api, NS, "c") == left_out)
            .await;
        looked_at(&running, "c").await;
        assert_eq!(api.get(&native("c")), None);
        let keep = running.stop().await;
        running = start_bounded(&api, store.clone(), keep, bounds);
    }
    looked_at(&running, "c").await;
    assert_eq!(ready_in(&api, NS, "c"), left_out);
    // What happens between a list and its watch is told to nobody here.
    running.until("all is watched", |api| api.watches() > 6).await;
    api.remove(&path_in(NS, "a"));
    running
        .until("the one that had none", |api| {
            ready_in(api, NS, "c") == says("True", "Ready")
        })
        .await;
    assert!(api.secret_key("c", "password").is_some());
    running.stop().await;
}

#[tokio::test]
async fn schedules_and_keys_that_are_too_large_say_so() {
    let api = ApiServer::default();
    put_in(&api, NS, "db", generated("db"));
    let labels: serde_json::Map<_, _> = (0..20_000)
        .map(|number| (format!("example.com/label-{number}"), json!("value")))
        .collect();
    let at = |plural: &str| format!("/apis/strongroom.dev/v1alpha1/namespaces/{NS}/{plural}/large");
    let (schedule, key) = (at("rotationschedules"), at("encryptionkeys"));
    api.put(
        &schedule,
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "RotationSchedule",
            "metadata": {"name": "large", "namespace": NS, "generation": 1},
            "spec": {"secrets": {"selector": {"matchLabels": labels}}, "schedule": {"every": "30d"}, "rotator": {"generate": {}}},
        }),
    );
    api.put(
        &key,
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "EncryptionKey",
            "metadata": {"name": "large", "namespace": NS, "generation": 1, "labels": labels}, "spec": {},
        }),
    );
    let (store, keep) = store();
    let running = start_bounded(&api, store, keep, CacheBounds::default());
    for path in [&schedule, &key] {
        running
            .until(path, |api| {
                api.get(path).unwrap()["status"]["conditions"][0]["reason"] == "NamespaceObjectsTooLarge"
            })
            .await;
    }
    running
        .until("others", |api| ready_in(api, NS, "db") == says("True", "Ready"))
        .await;
    running.stop().await;
}
