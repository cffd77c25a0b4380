//! Whose turn it is, and that nothing old takes effect after something newer. Tests count, and let policies
//! take effect when they say so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use parking_lot::Mutex;
use serde_json::json;
use strongroom_testing::wait::within;

use super::*;
use crate::controllers::testing::{ControllerFixture, NS};

/// Long enough for another namespace's policy to come first.
const SHORT_REST: Duration = Duration::from_secs(1);
/// Bytes of which a namespace may have one text waiting, and not two.
const LARGE: usize = 1_200_000;

/// A watch whose events the test brings.
struct PolicyWatch {
    events: UnboundedSender<Event<CachedObject<SecretPolicy>>>,
    /// Events that were brought, and that the watch has looked at.
    brought: usize,
    looked_at: Arc<AtomicUsize>,
    taken_in: BoxStream<'static, Event<CachedObject<SecretPolicy>>>,
    /// Each lets one policy of a namespace that is held take effect.
    release: Option<mpsc::Sender<()>>,
    world: Arc<ControllerFixture>,
}

impl PolicyWatch {
    /// Of these namespaces nothing takes effect before it is released. An empty list has come.
    async fn holding(namespaces: &'static [&'static str]) -> Self {
        let world = Arc::new(ControllerFixture::new());
        let (events, brought) = unbounded::<Event<CachedObject<SecretPolicy>>>();
        let looked_at = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&looked_at);
        let brought = brought.inspect(move |_| {
            counting.fetch_add(1, Ordering::Relaxed);
        });
        let (release, released) = mpsc::channel();
        let (released, taking) = (Arc::new(Mutex::new(released)), Arc::clone(&world));
        let take_in = move |policy: &CachedObject<SecretPolicy>| {
            if namespaces.contains(&policy.namespace().unwrap().as_str()) {
                // Once the sender is gone, nothing is held any more.
                let _ = released.lock().recv();
            }
            seen_policy(&taking.ctx, policy);
            counted(policy)
        };
        let shared = (world.ctx.client.clone(), world.ctx.policies.clone(), SHORT_REST);
        let mut told = Self {
            events,
            brought: 0,
            looked_at,
            taken_in: in_turn(shared, brought.boxed(), take_in).boxed(),
            release: Some(release),
            world,
        };
        told.brings([Event::Init, Event::InitDone]);
        assert_eq!(told.next().await, "Init");
        assert_eq!(told.next().await, "InitDone");
        told
    }

    fn brings(&mut self, events: impl IntoIterator<Item = Event<CachedObject<SecretPolicy>>>) {
        for event in events {
            self.brought += 1;
            self.events.unbounded_send(event).unwrap();
        }
    }

    /// The watch looks at all that was brought, while nothing can take effect.
    async fn looks(&mut self) {
        loop {
            assert!(self.taken_in.next().now_or_never().is_none());
            if self.looked_at.load(Ordering::Relaxed) == self.brought {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The next event that took effect.
    async fn next(&mut self) -> String {
        let next = within(self.taken_in.next());
        let event = next.await.expect("a watch has no end");
        let told = |verb: &str, policy: &CachedObject<SecretPolicy>| {
            let (namespace, name) = place(policy);
            format!("{verb} {namespace}/{name}:{}", generation(policy))
        };
        match &event {
            Event::Init => "Init".to_owned(),
            Event::InitDone => "InitDone".to_owned(),
            Event::InitApply(policy) => told("listed", policy),
            Event::Apply(policy) => told("applied", policy),
            Event::Delete(policy) => told("deleted", policy),
        }
    }

    async fn next_ones(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.next().await);
        }
        all
    }

    fn release(&self, count: usize) {
        for _ in 0..count {
            self.release.as_ref().unwrap().send(()).unwrap();
        }
    }

    fn release_all(&mut self) {
        self.release = None;
    }

    /// The generation of a policy that is in force.
    fn in_force(&self, namespace: &str, name: &str) -> Option<i64> {
        self.world.ctx.policies.outcome(namespace, name)?.in_force()
    }
}

fn object(namespace: &str, name: &str, generation: i64, bytes: usize) -> serde_json::Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "uid": format!("uid-{name}"), "generation": generation,
            "annotations": {"text": "x".repeat(bytes)}},
        "spec": {"secrets": ["db"], "statements": [
            {"effect": "Deny", "principals": [{"serviceAccount": "app"}], "actions": ["*"]}]},
    })
}

fn policy(namespace: &str, name: &str, generation: i64) -> CachedObject<SecretPolicy> {
    serde_json::from_value(object(namespace, name, generation, 0)).unwrap()
}

/// A policy for whose text there is no room beside another of its kind.
fn large(name: &str, generation: i64) -> CachedObject<SecretPolicy> {
    serde_json::from_value(object(NS, name, generation, LARGE)).unwrap()
}

fn path(name: &str) -> String {
    format!("/apis/strongroom.dev/v1alpha1/namespaces/{NS}/secretpolicies/{name}")
}

#[tokio::test]
async fn a_policy_comes_into_force_though_many_of_other_namespaces_wait() {
    let mut told = PolicyWatch::holding(&["a", "b"]).await;
    for number in 0..50 {
        let name = format!("p-{number:02}");
        told.brings(["a", "b"].map(|namespace| Event::Apply(policy(namespace, &name, 1))));
    }
    told.brings([Event::Apply(policy("pay", "deny", 1))]);
    told.looks().await;
    assert_eq!(told.in_force("pay", "deny"), None, "two are under way");
    told.release(1);
    let first = told.next().await;
    assert!(first.ends_with("/p-00:1"), "{first}");
    assert_eq!(told.next().await, "applied pay/deny:1");
    assert_eq!(told.in_force("pay", "deny"), Some(1));
    told.release_all();
    told.next_ones(99).await;
    assert_eq!(
        told.in_force("a", "p-49").zip(told.in_force("b", "p-49")),
        Some((1, 1))
    );
}

#[tokio::test]
async fn the_changes_of_a_namespace_take_effect_in_order_and_a_deletion_ends_what_was_before_it() {
    let mut told = PolicyWatch::holding(&[NS]).await;
    told.brings([
        Event::Apply(policy(NS, "p", 1)),
        Event::Apply(policy(NS, "p", 2)),
        Event::Apply(policy(NS, "gone", 1)),
        Event::Delete(policy(NS, "p", 2)),
        Event::Apply(policy(NS, "q", 1)),
        Event::Delete(policy(NS, "gone", 1)),
    ]);
    told.looks().await;
    told.release_all();
    assert_eq!(
        told.next_ones(4).await,
        [
            "applied shop/p:1",
            "deleted shop/p:2",
            "applied shop/q:1",
            "deleted shop/gone:1"
        ]
    );
    assert_eq!(
        ["p", "gone", "q"].map(|name| told.in_force(NS, name)),
        [None, None, Some(1)]
    );
}

#[tokio::test]
async fn a_list_is_newer_than_what_waits() {
    let mut told = PolicyWatch::holding(&[NS]).await;
    let before = ["first", "listed", "second", "third", "fourth"];
    told.brings(before.map(|name| Event::Apply(policy(NS, name, 1))));
    told.brings([Event::Delete(policy(NS, "made-again", 1))]);
    told.looks().await;
    told.brings([Event::Init]);
    assert_eq!(told.next().await, "Init");
    // Each comes while something of before is under way, and waits for that alone.
    told.brings([Event::InitApply(policy(NS, "listed", 2))]);
    told.looks().await;
    told.release(2);
    assert_eq!(
        told.next_ones(2).await,
        ["applied shop/first:1", "listed shop/listed:2"]
    );
    told.brings([Event::InitApply(policy(NS, "made-again", 9))]);
    told.looks().await;
    told.release(2);
    assert_eq!(
        told.next_ones(3).await,
        [
            "applied shop/second:1",
            "deleted shop/made-again:1",
            "listed shop/made-again:9"
        ]
    );
    told.brings([Event::InitDone]);
    told.looks().await;
    told.release(1);
    assert_eq!(told.next_ones(2).await, ["applied shop/third:1", "InitDone"]);
    // What the list does not have is gone, whatever was under way.
    assert_eq!(
        before.map(|name| told.in_force(NS, name)),
        [None, Some(2), None, None, None]
    );
    assert_eq!(told.in_force(NS, "made-again"), Some(9));
    told.release_all();
    told.brings([Event::Apply(policy(NS, "after", 1))]);
    assert_eq!(told.next().await, "applied shop/after:1");
}

#[tokio::test]
async fn what_waits_by_its_name_is_read_again_and_older_events_of_it_change_nothing() {
    let mut told = PolicyWatch::holding(&[NS]).await;
    told.brings([
        Event::Apply(policy(NS, "under-way", 1)),
        Event::Apply(large("text", 1)),
        Event::Apply(large("name", 1)),
        Event::Apply(large("gone", 1)),
        Event::Apply(large("another", 1)),
    ]);
    told.looks().await;
    told.world.api.put(&path("name"), object(NS, "name", 3, LARGE));
    let mut another = object(NS, "another", 1, 0);
    another["metadata"]["uid"] = json!("made-again");
    told.world.api.put(&path("another"), another);
    told.world.api.log();
    told.release_all();
    assert_eq!(
        told.next_ones(3).await,
        [
            "applied shop/under-way:1",
            "applied shop/text:1",
            "applied shop/name:3"
        ]
    );
    // The watch is behind.
    told.brings([
        Event::Apply(policy(NS, "name", 2)),
        Event::Apply(policy(NS, "last", 1)),
    ]);
    assert_eq!(told.next().await, "applied shop/last:1");
    assert_eq!(told.in_force(NS, "name"), Some(3));
    // Of what was not there, or was another one, the watch has yet to tell.
    let read: Vec<String> = ["name", "gone", "another"]
        .map(|name| format!("GET {}", path(name)))
        .into();
    assert_eq!(told.world.api.log(), read);
    assert_eq!(
        (told.in_force(NS, "gone"), told.in_force(NS, "another")),
        (None, None)
    );
    told.brings([3, 4].map(|generation| Event::Apply(policy(NS, "name", generation))));
    assert_eq!(
        told.next_ones(2).await,
        ["applied shop/name:3", "applied shop/name:4"]
    );
    assert_eq!(told.in_force(NS, "name"), Some(4));
}

#[tokio::test]
async fn what_cannot_be_read_is_tried_again_and_holds_up_no_other_namespace() {
    let mut told = PolicyWatch::holding(&[NS]).await;
    told.brings([
        Event::Apply(policy(NS, "under-way", 1)),
        Event::Apply(large("text", 1)),
        Event::Apply(large("name", 1)),
    ]);
    told.looks().await;
    told.world.api.put(&path("name"), object(NS, "name", 1, LARGE));
    told.world.api.fail(&path("name"), 503);
    told.release_all();
    assert_eq!(
        told.next_ones(2).await,
        ["applied shop/under-way:1", "applied shop/text:1"]
    );
    told.brings([Event::Apply(policy("pay", "deny", 1))]);
    assert_eq!(
        told.next_ones(2).await,
        ["applied pay/deny:1", "applied shop/name:1"]
    );
    assert_eq!(told.in_force(NS, "name"), Some(1));
}
