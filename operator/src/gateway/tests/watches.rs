//! Streams of what is current: told at once, and only for as long as somebody may know.

use std::time::Duration;

use axum::body::BodyDataStream;
use futures::StreamExt;
use strongroom_store::vault::DeleteSecret;

use super::*;
use crate::gateway::listen::{GuardedResponse, ResponseGuard};

/// The events of a stream, as text, and what came with it.
struct Events(
    BodyDataStream,
    String,
    #[expect(dead_code, reason = "held, not looked at")] Option<ResponseGuard>,
);

impl Events {
    /// The next event: its name, and the rest of it.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let event = event.to_owned();
                self.1 = rest.to_owned();
                let name = event.lines().find_map(|line| line.strip_prefix("event: "));
                let name = name.unwrap_or_default().to_owned();
                return Some((name, event));
            }
            let piece = tokio::time::timeout(Duration::from_secs(30), self.0.next())
                .await
                .unwrap()?;
            self.1.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }
}

async fn watch(
    world: &World,
    account: &str,
    query: &str,
    last: Option<&str>,
) -> Result<Events, (u16, String)> {
    let mut request = Request::builder()
        .uri(format!("/v1/namespaces/shop/secrets/db-main/watch{query}"))
        .header("authorization", format!("Bearer {account}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let peer = Peer {
        address: "10.1.2.3:4567".parse().unwrap(),
        proven: false,
    };
    sign(request.headers_mut());
    let GuardedResponse { response, guard } = world.answer(request, peer).await;
    if response.status() != StatusCode::OK {
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let problem: Json = serde_json::from_slice(&body).unwrap();
        return Err((status, problem["code"].as_str().unwrap().to_owned()));
    }
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    // What the answer holds it holds as long as this.
    let body = response.into_body().into_data_stream();
    Ok(Events(body, String::new(), guard))
}

fn put(world: &World, version: &str) {
    world.bring("db-main", version, version.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_each_version_and_no_value() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:DescribeSecret", "*");
    let following = world.gateway.changes.clone();
    tokio::spawn(following.follow(world.gateway.store.clone(), world.gateway.ending.clone()));
    let mut events = watch(&world, "shop/app", "", None).await.unwrap();
    let (name, text) = events.next().await.unwrap();
    assert!(
        name == "version" && text.contains("id: v-1") && text.contains("\"versionId\":\"v-1\""),
        "{text}"
    );
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "DescribeSecret", "Done")
    );
    put(&world, "v-2");
    let (_, text) = events.next().await.unwrap();
    assert!(text.contains("id: v-2") && !text.contains("s3cr3t"), "{text}");
    // Whoever comes back with the last one is told the next.
    let mut again = watch(&world, "shop/app", "", Some("v-2")).await.unwrap();
    put(&world, "v-3");
    assert!(again.next().await.unwrap().1.contains("id: v-3"));
    let mut previous = watch(&world, "shop/app", "?stage=Previous", None).await.unwrap();
    assert!(previous.next().await.unwrap().1.contains("id: v-2"));
    // The end of the process ends it.
    world.gateway.ending.begin();
    assert!(events.next().await.unwrap().1.contains("id: v-3"));
    assert_eq!(events.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_the_right_to_it_and_with_the_secret() {
    let world = World::new(0);
    let refused = watch(&world, "shop/app", "", None).await.err().unwrap();
    assert_eq!(refused, (404, "SecretNotFound".to_owned()));
    world.allow("p", "app", "secrets:DescribeSecret", "*");
    let refused = watch(&world, "shop/app", "?stage=a%20b", None)
        .await
        .err()
        .unwrap();
    assert_eq!(refused.0, 400);
    let mut absent = watch(&world, "shop/app", "?stage=canary", None).await.unwrap();
    assert!(absent.next().await.unwrap().1.contains("StageNotFound"));
    assert_eq!(absent.next().await, None);
    let mut events = watch(&world, "shop/app", "", None).await.unwrap();
    events.next().await.unwrap();
    let mut other = watch(&world, "shop/app", "", None).await.unwrap();
    other.next().await.unwrap();
    world.gateway.policies.remove_policy("shop", "p");
    let (name, text) = events.next().await.unwrap();
    assert!(name == "end" && text.contains("SecretNotFound"), "{text}");
    assert_eq!(events.next().await, None);
    world.allow("p", "app", "secrets:DescribeSecret", "*");
    let mut events = watch(&world, "shop/app", "", None).await.unwrap();
    events.next().await.unwrap();
    let delete = DeleteSecret {
        secret: world.stored("db-main").id,
        deletion: Deletion {
            window_days: Some(7),
            force: false,
        },
    };
    world.gateway.store.run(delete, meta()).unwrap();
    assert!(events.next().await.unwrap().1.contains("InRecoveryWindow"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_watches_all_that_it_may_keeps_nobody_from_watching() {
    let world = World::new(0);
    world.allow("p", "*", "secrets:DescribeSecret", "*");
    let mut held = Vec::new();
    for _ in 0..limits::MAX_WATCHES_PER_PRINCIPAL {
        held.push(watch(&world, "shop/app", "", None).await.unwrap());
    }
    let refused = watch(&world, "shop/app", "", None).await.err().unwrap();
    assert_eq!(refused, (503, "Overloaded".to_owned()));
    watch(&world, "shop/other", "", None).await.unwrap();
    // It may still read, and watch again once it has stopped.
    assert_eq!(world.get("shop/app", "/db-main").await.status, 200);
    held.pop();
    watch(&world, "shop/app", "", None).await.unwrap();
}
