//! Who gets in, who is told what, and who is audited.

use super::*;
use crate::gateway::authenticate::Caller;
use crate::gateway::request::token::made_with;

#[tokio::test]
async fn whoever_may_know_of_it_is_told_why_not_and_nobody_else_is() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:DescribeSecret", "db-*");
    let denied = world.get("shop/app", "/db-main/value").await;
    assert_eq!(denied.code(), (403, "PolicyDenied".into()));
    let missing = denied.json()["missingPolicies"][0].as_str().unwrap().to_owned();
    assert!(
        missing.contains("secrets:GetSecretValue") && missing.contains("shop/app"),
        "{missing}"
    );
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "GetSecretValue", "PolicyDenied")
    );

    let strip = |answer: TestAnswer, name: &str| {
        let mut body = answer.json();
        body["requestId"] = json!("");
        body["detail"] = json!(body["detail"].as_str().unwrap().replace(name, "NAME"));
        (answer.status, body)
    };
    for path in ["", "/value", "/versions", "/history", "/access"] {
        world.a_minute_later();
        let hidden = strip(world.get("shop/spy", &format!("/db-main{path}")).await, "db-main");
        assert_eq!(world.last().2, "PolicyDenied");
        let absent = strip(world.get("shop/spy", &format!("/nothing{path}")).await, "nothing");
        assert_eq!(world.last().2, "SecretNotFound");
        assert_eq!(hidden, absent);
        assert_eq!(hidden.0, 404);
    }
}

#[tokio::test]
async fn a_refusal_takes_as_many_decisions_whether_the_secret_is_there_or_not() {
    let world = World::new(0);
    let decisions_of = async |path: &str| {
        let before = world.gateway.policies.decisions();
        let answer = world.get("shop/spy", path).await;
        assert_eq!(answer.status, 404, "{path}");
        world.gateway.policies.decisions() - before
    };
    for of in [
        "",
        "/value",
        "/value?stage=Nothing",
        "/versions",
        "/policy",
        "/consumers",
        "/history",
        "/access",
    ] {
        let there = decisions_of(&format!("/db-main{of}")).await;
        let absent = decisions_of(&format!("/nothing{of}")).await;
        assert!(there > 0, "{of}");
        assert_eq!(there, absent, "{of}");
    }
}

#[tokio::test]
async fn a_policy_counts_from_the_next_request_on() {
    let world = World::new(0);
    assert_eq!(world.get("shop/app", "/db-main/value").await.status, 404);
    world.read_by("db-main", &["app"]);
    assert_eq!(world.get("shop/app", "/db-main/value").await.status, 200);
    world.read_by("db-main", &[]);
    assert_eq!(world.get("shop/app", "/db-main/value").await.status, 404);
}

#[tokio::test]
async fn readers_count_from_the_owner_of_the_secret_alone() {
    let world = World::new(0);
    world.read_by("db-main", &[]);
    let readers = ["app".to_owned()];
    for rival in [("rival", "uid-rival"), ("db-main", "uid-of-the-next-one")] {
        let policies = &world.gateway.policies;
        policies.readers("shop", rival, "db-main", &readers);
        let answer = world.get("shop/app", "/db-main/value").await;
        assert_eq!(answer.code(), (404, "SecretNotFound".to_owned()), "{rival:?}");
        assert_eq!(world.last().2, "PolicyDenied");
        policies.readers("shop", rival, "db-main", &[]);
    }
    world.read_by("db-main", &["app"]);
    assert_eq!(world.get("shop/app", "/db-main/value").await.status, 200);
}

#[tokio::test]
async fn nobody_is_anybody_without_a_token() {
    let world = World::new(0);
    world.allow("p", "*", "*", "*");
    for token in ["", "nobody", &"x".repeat(20_000)] {
        assert_eq!(
            world.get(token, "/db-main/value").await.code(),
            (401, "Unauthenticated".into())
        );
        assert_eq!(world.last(), record("unknown", "Authenticate", "Unauthenticated"));
    }
    let basic = Request::builder()
        .uri("/v1/namespaces/shop/secrets/db-main/value")
        .header("authorization", "Basic shop/app");
    assert_eq!(world.send(basic, Body::empty()).await.status, 401);
    let health = world
        .send(Request::builder().uri("/healthz"), Body::empty())
        .await;
    assert_eq!(health.status, 200);
    // Who fails without end is turned away, and leaves the first record and the sum of a minute. At once,
    // because time forgives.
    world.a_minute_later();
    let before = world.records().len();
    let answers = futures::future::join_all((0..400).map(|_| world.get("nobody", "/db-main/value"))).await;
    let (failed, turned_away): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .map(|answer| answer.code())
        .partition(|code| *code == (401, "Unauthenticated".into()));
    assert!(!turned_away.is_empty());
    assert!(
        turned_away
            .iter()
            .all(|code| *code == (429, "TooManyRequests".into()))
    );
    world.a_minute_later();
    let counts: Vec<u64> = world
        .records()
        .iter()
        .skip(before)
        .map(|entry| entry.count.get())
        .collect();
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), failed.len() as u64);
}

#[tokio::test]
async fn while_the_api_server_is_away_only_who_was_accepted_before_gets_in() {
    let world = World::new(0);
    world.allow("p", "*", "*", "*");
    assert_eq!(world.get("shop/app", "/db-main/value").await.status, 200);
    world.api.away.store(true, Ordering::SeqCst);
    assert_eq!(world.get("shop/app", "/db-main/value").await.status, 200);
    let refused = world.get("shop/new", "/db-main/value").await;
    assert_eq!(refused.code(), (503, "AuthenticationUnavailable".into()));
    assert_eq!(refused.headers["retry-after"], "2");
}

#[tokio::test]
async fn a_namespace_that_was_made_again_sees_nothing_of_the_first() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world
        .api
        .uids
        .lock()
        .insert("shop".to_owned(), "another".to_owned());
    assert_eq!(
        world.get("shop/app", "/db-main/value").await.code(),
        (409, "NamespaceRecreated".into())
    );
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "GetSecretValue", "NamespaceRecreated")
    );
}

#[tokio::test]
async fn rates_and_room_are_bounded() {
    let world = World::new(5);
    world.allow("p", "*", "*", "*");
    for _ in 0..5 {
        assert_eq!(world.get("shop/app", "/db-main/value").await.status, 200);
    }
    let refused = world.get("shop/app", "/db-main/value").await;
    assert_eq!(refused.code(), (429, "TooManyRequests".into()));
    assert_eq!(refused.headers["retry-after"], "1");

    let world = World::new(0);
    let app = Identity::from_username("system:serviceaccount:shop:app");
    let held = world.hold(&app, limits::MAX_REQUESTS_PER_PRINCIPAL);
    assert_eq!(
        world.get("shop/app", "/db-main/value").await.code(),
        (503, "Overloaded".into())
    );
    // Another account of the namespace, and others.
    assert_eq!(world.get("shop/other", "/db-main/value").await.status, 404);
    drop(held);
    assert_eq!(world.get("shop/app", "/db-main/value").await.status, 404);
}

impl World {
    /// So many requests of a caller that are under way.
    fn hold(&self, caller: &Identity, count: u64) -> Vec<Arc<Slot>> {
        let caller = &Caller::named(caller.clone());
        let hold = |number: u64| {
            let [.., third, fourth] = number.to_be_bytes();
            let peer = Peer {
                address: ([127, 2, third, fourth], 1).into(),
                proven: false,
            };
            let AdmissionOutcome::Admitted(slot) =
                self.gateway.shared().capacity.admit(&peer, &Request::new(()))
            else {
                panic!("no room")
            };
            self.gateway.shared().capacity.prove(&slot, None, caller).unwrap();
            slot
        };
        (0..count).map(hold).collect()
    }
}

#[tokio::test]
async fn only_what_may_be_a_token_costs_a_review_and_an_address_has_so_many() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    let reviews = || world.api.reviews.load(Ordering::SeqCst);
    for nothing in ["nobody", "a.b.c", &"x".repeat(5_000)] {
        assert_eq!(world.get(nothing, "/db-main/value").await.status, 401);
    }
    let expired = json!({"sub": "shop/app", "aud": ["strongroom.dev"], "exp": 1_000});
    let foreign = json!({"sub": "shop/app", "aud": ["else"], "exp": 32_503_680_000_i64});
    for claims in [expired, foreign] {
        assert_eq!(world.get(&made_with(&claims), "/db-main/value").await.status, 401);
    }
    assert_eq!(reviews(), 0);
    // What looks like a token of ours, and is none: other bytes each time.
    for number in 0..2_000 {
        let forged = made_with(
            &json!({"sub": format!("forged{number}"), "aud": ["strongroom.dev"], "exp": 32_503_680_000_i64}),
        );
        let answer = world.get(&forged, "/db-main/value").await;
        assert!(matches!(answer.status.as_u16(), 401 | 429), "{}", answer.status);
    }
    let asked = reviews();
    assert!((10..1_000).contains(&asked), "{asked} reviews");
    // Somebody at another address has a token that nobody has seen yet.
    let request = Request::builder()
        .uri("/v1/namespaces/shop/secrets/db-main/value")
        .header("authorization", "Bearer shop/app");
    assert_eq!(world.from("10.1.2.4:1", request).await.status, 200);
    assert_eq!(reviews(), asked + 1);
}

#[tokio::test]
async fn only_an_api_server_that_is_away_begins_the_time_of_grace() {
    for (status, expected) in [(429, 503), (403, 503), (422, 503), (500, 200), (503, 200)] {
        let world = World::new(0);
        world.allow("p", "app", "*", "*");
        assert_eq!(world.get("shop/app", "/db-main/value").await.status, 200);
        // The answer about it is too old to count by itself.
        world.gateway.authenticator.age();
        *world.api.refuses.lock() = Some(status);
        let answer = world.get("shop/app", "/db-main/value").await;
        assert_eq!(answer.status.as_u16(), expected, "{status}");
        if expected == 503 {
            assert_eq!(answer.code().1, "AuthenticationUnavailable");
            assert_eq!(answer.headers["retry-after"], "2");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_decided_yet_is_refused_and_on_record() {
    let world = World::unloaded();
    let answer = world.get("shop/app", "/db-main/value").await;
    assert_eq!(answer.code(), (503, "PoliciesUnavailable".into()));
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "GetSecretValue", "PoliciesUnavailable")
    );
}
