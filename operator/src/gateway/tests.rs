//! Requests against the router, with the real store and the real policies; the API server is a table of tokens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value as Json, json};
use strongroom_store::audit::{Actor, DIRECTORY, Directory, Durability, Entry, Logged, Outcome};
use strongroom_store::id::{RequestId, SecretId};
use strongroom_store::secret::SecretBytes;
use strongroom_store::value::Value;
use strongroom_store::vault::{BindNamespace, CreateSecret, DeleteSecret, Deletion, KeyRef, Meta, PutValue};
use tower::ServiceExt;

use super::limits::{Limits, Rates};
use super::listen::Peer;
use super::*;
use crate::controllers::testing::store;
use crate::policies::Seen;

/// The API server as far as the gateway asks it.
#[derive(Clone, Default)]
struct Api {
    away: Arc<AtomicBool>,
    uids: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Api {
    fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let api = api.clone();
            async move { api.answer(request).await }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, request: Request<kube::client::Body>) -> Result<Response<Body>, std::io::Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        }
        let path = request.uri().path().to_owned();
        let body = http_body_util::BodyExt::collect(request.into_body())
            .await
            .map_err(std::io::Error::other)?
            .to_bytes();
        let (status, answer) = if path.ends_with("/tokenreviews") {
            let review: Json = serde_json::from_slice(&body).unwrap();
            // A token is the name of its ServiceAccount, as `namespace/name`.
            let token = review["spec"]["token"].as_str().unwrap();
            let status = match token.split_once('/') {
                Some((namespace, name)) => json!({
                    "authenticated": true, "audiences": ["strongroom.dev"],
                    "user": {"username": format!("system:serviceaccount:{namespace}:{name}")}}),
                None => json!({"authenticated": false}),
            };
            (
                201,
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {}, "status": status}),
            )
        } else {
            let name = path.rsplit('/').next().unwrap();
            match self.uids.lock().unwrap().get(name) {
                Some(uid) => (
                    200,
                    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": name, "uid": uid}}),
                ),
                None => (
                    404,
                    json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no"}),
                ),
            }
        };
        Ok(Response::builder()
            .status(status)
            .body(Body::from(answer.to_string()))
            .unwrap())
    }
}

pub(super) struct World {
    api: Api,
    pub(super) gateway: Arc<Gateway>,
    pub(super) router: Router,
    keep: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> (u16, String) {
        (
            self.status.as_u16(),
            self.json()["code"].as_str().unwrap_or_default().to_owned(),
        )
    }
}

fn meta() -> Meta {
    Meta {
        actor: Actor::System,
        request: RequestId::generate().unwrap(),
        now: strongroom_store::time::Timestamp::from_millis(Timestamp::now().as_millisecond()),
    }
}

fn one(key: &str, bytes: &[u8]) -> Value {
    Value::of([(key.parse().unwrap(), SecretBytes::new(bytes.to_vec()))].into()).unwrap()
}

impl World {
    pub(super) fn new(reads: u32) -> Self {
        let (store, keep) = store();
        let api = Api::default();
        let gateway = Arc::new(Gateway {
            policies: Policies::default(),
            authenticator: Authenticator::new(api.client(), "strongroom.dev".to_owned()),
            namespaces: Namespaces::new(api.client(), store.clone()),
            store,
            labels: LabelBook::new(api.client()),
            limits: Limits::new(Rates { reads }),
            durability: Durability::Batched,
            room: Semaphore::new(limits::REQUESTS),
        });
        gateway
            .policies
            .policies_listed(&std::collections::HashSet::new());
        gateway.policies.readers_listed(|_, _| false);
        let world = Self {
            api,
            router: router(Arc::clone(&gateway)),
            gateway,
            keep,
        };
        world.namespace("shop");
        world.secret("shop", "db-main", "s3cr3t");
        world
    }

    fn namespace(&self, name: &str) {
        let uid = format!("uid-{name}");
        let bind = BindNamespace {
            name: name.parse().unwrap(),
            uid: uid.parse().unwrap(),
        };
        self.gateway.store.run(bind, meta()).unwrap();
        self.api.uids.lock().unwrap().insert(name.to_owned(), uid);
    }

    fn secret(&self, namespace: &str, name: &str, password: &str) -> SecretId {
        let id = SecretId::generate().unwrap();
        let namespace = self
            .gateway
            .store
            .namespace_named(&namespace.parse().unwrap())
            .unwrap()
            .unwrap();
        let create = CreateSecret {
            id,
            namespace: namespace.id,
            name: name.parse().unwrap(),
            description: format!("about {name}"),
            labels: [("tier".to_owned(), "gold".to_owned())].into(),
            key: KeyRef::Default,
            version: "v-1".parse().unwrap(),
            value: one("password", password.as_bytes()),
            object: None,
        };
        self.gateway.store.run(create, meta()).unwrap();
        id
    }

    /// A policy by which an account may do this with secrets of the namespace `shop`.
    pub(super) fn allow(&self, policy: &str, account: &str, action: &str, secrets: &str) {
        let spec = serde_json::from_value(json!({"secrets": [secrets], "statements": [
            {"effect": "Allow", "principals": [{"serviceAccount": account}], "actions": [action]}]}));
        let seen = Seen {
            uid: policy.to_owned(),
            generation: 1,
        };
        self.gateway
            .policies
            .policy("shop", policy, seen, None, &spec.unwrap());
    }

    async fn send(&self, request: axum::http::request::Builder, body: Body) -> Answer {
        let mut request = request.body(body).unwrap();
        let peer: SocketAddr = "10.1.2.3:4567".parse().unwrap();
        request.extensions_mut().insert(Peer(peer));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec(),
        }
    }

    async fn get(&self, account: &str, path: &str) -> Answer {
        let request = Request::builder()
            .uri(format!("/v1/namespaces/shop/secrets{path}"))
            .header("authorization", format!("Bearer {account}"));
        self.send(request, Body::empty()).await
    }

    /// The read chain.
    fn records(&self) -> Vec<Entry> {
        let medium = Directory::read_only(&self.keep.path().join("store").join(DIRECTORY));
        let records = self.gateway.store.reads_after(&medium, 0, usize::MAX).unwrap();
        records
            .into_iter()
            .filter_map(|(_, record)| match record {
                Logged::Entry(entry) => Some(*entry),
                _ => None,
            })
            .collect()
    }

    fn last(&self) -> (String, String, String) {
        let records = self.records();
        let entry = records.last().unwrap();
        let outcome = match &entry.outcome {
            Outcome::Done => "Done".to_owned(),
            Outcome::Refused(code) => code.clone(),
        };
        (entry.actor.to_string(), entry.action.name().to_owned(), outcome)
    }
}

fn record(actor: &str, action: &str, outcome: &str) -> (String, String, String) {
    (actor.to_owned(), action.to_owned(), outcome.to_owned())
}

#[tokio::test]
async fn a_reader_gets_the_value_and_every_attempt_is_on_record() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:GetSecretValue", "db-*");
    let answer = world.get("shop/app", "/db-main/value").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["etag"], "\"v-1\"");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let body = answer.json();
    assert_eq!(body["data"]["password"], data_encoding::BASE64.encode(b"s3cr3t"));
    assert_eq!(
        (&body["versionId"], &body["stages"], &body["dataType"]),
        (&json!("v-1"), &json!(["Current"]), &json!("text"))
    );
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "GetSecretValue", "Done")
    );
    let entry = world.records().pop().unwrap();
    assert_eq!(
        entry.detail,
        "from 10.1.2.3, by statement 1 of SecretPolicy `p` in namespace `shop`"
    );
    assert_eq!(answer.headers["x-request-id"], entry.request.unwrap().to_string());

    let raw = world.get("shop/app", "/db-main/value?key=password").await;
    assert_eq!(raw.body, b"s3cr3t");
    assert_eq!(
        world.get("shop/app", "/db-main/value?key=other").await.code(),
        (404, "DataKeyNotFound".into())
    );

    // Nothing changed: nothing is opened.
    let before = world.records().len();
    let request = Request::builder()
        .uri("/v1/namespaces/shop/secrets/db-main/value")
        .header("authorization", "Bearer shop/app")
        .header("if-none-match", "\"v-0\", \"v-1\"");
    let answer = world.send(request, Body::empty()).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));
    assert_eq!(world.records().len(), before);
}

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

    let strip = |answer: Answer, name: &str| {
        let mut body = answer.json();
        body["requestId"] = json!("");
        body["detail"] = json!(body["detail"].as_str().unwrap().replace(name, "NAME"));
        (answer.status, body)
    };
    for path in ["", "/value", "/versions", "/access"] {
        let hidden = strip(world.get("shop/spy", &format!("/db-main{path}")).await, "db-main");
        assert_eq!(world.last().2, "PolicyDenied");
        let absent = strip(world.get("shop/spy", &format!("/nothing{path}")).await, "nothing");
        assert_eq!(world.last().2, "SecretNotFound");
        assert_eq!(hidden, absent);
        assert_eq!(hidden.0, 404);
    }
}

#[tokio::test]
async fn a_policy_counts_from_the_next_request_on() {
    let world = World::new(0);
    assert_eq!(world.get("shop/app", "/db-main/value").await.status, 404);
    world
        .gateway
        .policies
        .readers("shop", "db-main", "db-main", &["app".to_owned()]);
    assert_eq!(world.get("shop/app", "/db-main/value").await.status, 200);
    world.gateway.policies.readers("shop", "db-main", "db-main", &[]);
    assert_eq!(world.get("shop/app", "/db-main/value").await.status, 404);
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
    // Who fails without end is turned away, and leaves no more records.
    for _ in 0..100 {
        world.get("nobody", "/db-main/value").await;
    }
    assert_eq!(
        world.get("nobody", "/db-main/value").await.code(),
        (429, "TooManyRequests".into())
    );
    assert!(world.records().len() < 70, "{}", world.records().len());
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
async fn versions_and_stages_are_asked_for_as_they_are() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    let id = world.secret("shop", "two", "first");
    let put = PutValue {
        secret: id,
        version: "v-2".parse().unwrap(),
        value: one("password", b"second"),
        stages: Vec::new(),
    };
    world.gateway.store.run(put, meta()).unwrap();
    for (query, expected) in [
        ("", (200, "v-2")),
        ("?stage=Previous", (200, "v-1")),
        ("?versionId=v-1", (200, "v-1")),
        ("?versionId=v-1&stage=Previous", (200, "v-1")),
        ("?versionId=v-1&stage=Current", (409, "StageMismatch")),
        ("?versionId=v-9", (404, "VersionNotFound")),
        ("?stage=mine", (404, "StageNotFound")),
        ("?stage=", (400, "InvalidRequest")),
        ("?colour=red", (400, "InvalidRequest")),
    ] {
        let answer = world.get("shop/app", &format!("/two/value{query}")).await;
        let body = answer.json();
        let what = body["versionId"]
            .as_str()
            .or(body["code"].as_str())
            .unwrap()
            .to_owned();
        assert_eq!((answer.status.as_u16(), what.as_str()), expected, "{query}");
    }
    let versions = world.get("shop/app", "/two/versions").await.json();
    let ids: Vec<&str> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["versionId"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["v-2", "v-1"]);
    assert_eq!(world.last().1, "ListSecretVersionIds");

    let delete = DeleteSecret {
        secret: id,
        deletion: Deletion {
            window_days: Some(7),
            force: false,
        },
    };
    world.gateway.store.run(delete, meta()).unwrap();
    assert_eq!(
        world.get("shop/app", "/two/value").await.code(),
        (409, "InRecoveryWindow".into())
    );
    let held = Request::builder()
        .uri("/v1/namespaces/shop/secrets/two/value")
        .header("authorization", "Bearer shop/app")
        .header("if-none-match", "\"v-2\"");
    assert_eq!(world.send(held, Body::empty()).await.status, 409);
    assert!(world.get("shop/app", "/two").await.json()["deletion"].is_string());
}

#[tokio::test]
async fn a_namespace_that_was_made_again_sees_nothing_of_the_first() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world
        .api
        .uids
        .lock()
        .unwrap()
        .insert("shop".to_owned(), "another".to_owned());
    assert_eq!(
        world.get("shop/app", "/db-main/value").await.code(),
        (409, "NamespaceRecreated".into())
    );
}

#[tokio::test]
async fn names_from_hell_are_no_secrets_and_no_faults() {
    let world = World::new(0);
    world.allow("p", "app", "*", "*");
    world.secret("shop", "a/b", "x");
    assert_eq!(world.get("shop/app", "/a%2Fb/value").await.status, 200);
    for name in [
        "..",
        "%2e%2e",
        "%2f",
        "%00",
        "%ff",
        "a%2Fb%2F",
        "!",
        "strongroom!ca",
        &"x".repeat(10_000),
    ] {
        for path in ["", "/value", "/versions", "/access"] {
            let answer = world.get("shop/app", &format!("/{name}{path}")).await;
            assert!(
                matches!(answer.status.as_u16(), 400 | 404),
                "{name}: {}",
                answer.status
            );
            assert_eq!(
                answer.headers["content-type"], "application/problem+json",
                "{name}"
            );
        }
    }
    let elsewhere = world.send(Request::builder().uri("/v2"), Body::empty()).await;
    assert_eq!(elsewhere.code(), (404, "NoSuchPath".into()));
    let request = Request::builder()
        .method(Method::DELETE)
        .uri("/v1/namespaces/shop/secrets/db-main/value");
    assert_eq!(
        world.send(request, Body::empty()).await.code(),
        (405, "MethodNotAllowed".into())
    );
}

#[tokio::test]
async fn a_batch_answers_each_by_itself() {
    let world = World::new(0);
    world.allow("p", "app", "*", "db-*");
    world.secret("shop", "db-two", "second");
    world.secret("shop", "hidden", "h");
    let post = |body: Json| {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/namespaces/shop/secrets:batchGet")
            .header("content-type", "application/json")
            .header("authorization", "Bearer shop/app");
        world.send(request, Body::from(body.to_string()))
    };
    let answer = post(
        json!({"secrets": [{"name": "db-main"}, {"name": "hidden"}, {"name": "db-two", "stage": "Current"}]}),
    )
    .await;
    let body = answer.json();
    assert_eq!(body["values"][0]["name"], "db-main");
    assert_eq!(
        body["values"][1]["data"]["password"],
        data_encoding::BASE64.encode(b"second")
    );
    assert_eq!(
        (&body["errors"][0]["name"], &body["errors"][0]["code"]),
        (&json!("hidden"), &json!("SecretNotFound"))
    );
    assert_eq!(world.records().len(), 3);
    for bad in [
        json!({"secrets": []}),
        json!({"secrets": [{"name": "a"}, {"name": "a"}]}),
        json!({"secrets": (0..21).map(|n| json!({"name": format!("s{n}")})).collect::<Vec<_>>()}),
        json!({"secret": "a"}),
        json!([]),
    ] {
        assert_eq!(post(bad).await.code(), (400, "InvalidRequest".into()));
    }
    let large = post(json!({"secrets": [{"name": "x".repeat(limits::BODY_BYTES)}]})).await;
    assert_eq!(large.code(), (413, "TooLarge".into()));
}

#[tokio::test]
async fn a_list_shows_what_the_caller_may_list_in_pages() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:ListSecrets", "app-*");
    for number in 0..5 {
        world.secret("shop", &format!("app-{number}"), "x");
    }
    let names = |body: &Json| -> Vec<String> {
        body["secrets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|secret| secret["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = world.get("shop/app", "?limit=2").await.json();
    assert_eq!(names(&first), ["app-0", "app-1"]);
    let next = first["next"].as_str().unwrap();
    let second = world
        .get("shop/app", &format!("?limit=3&after={next}"))
        .await
        .json();
    assert_eq!(names(&second), ["app-2", "app-3", "app-4"]);
    assert_eq!(
        names(&world.get("shop/app", "?name=-3&label=tier=gold").await.json()),
        ["app-3"]
    );
    assert!(names(&world.get("shop/app", "?label=tier=lead").await.json()).is_empty());
    assert!(names(&world.get("shop/spy", "").await.json()).is_empty());
    assert_eq!(
        world.last(),
        record("serviceaccount shop/spy", "ListSecrets", "Done")
    );
}

#[tokio::test]
async fn an_explanation_is_for_whoever_may_see_the_secret() {
    let world = World::new(0);
    world.allow("p", "owner", "secrets:DescribeSecret", "*");
    world
        .gateway
        .policies
        .readers("shop", "db-main", "db-main", &["app".to_owned()]);
    let explained = world
        .get("shop/owner", "/db-main/access?principal=shop/app")
        .await
        .json();
    assert_eq!(explained["allowed"], true);
    assert_eq!(
        explained["statements"][0],
        "statement 1 of spec.readers of ManagedSecret `db-main` in namespace `shop`"
    );
    let explained = world
        .get(
            "shop/owner",
            "/db-main/access?principal=team-b/app&action=GetSecretValue",
        )
        .await
        .json();
    assert_eq!(explained["allowed"], false);
    assert_eq!(explained["missingPolicies"].as_array().unwrap().len(), 2);
    assert_eq!(
        world.last(),
        record("serviceaccount shop/owner", "ExplainAccess", "Done")
    );
    assert_eq!(
        world
            .get("shop/spy", "/db-main/access?principal=shop/app")
            .await
            .status,
        404
    );
    assert_eq!(
        world
            .get("shop/owner", "/db-main/access?action=Steal")
            .await
            .status,
        400
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
    let _all = world
        .gateway
        .room
        .acquire_many(u32::try_from(limits::REQUESTS).unwrap())
        .await
        .unwrap();
    assert_eq!(
        world.get("shop/app", "/db-main/value").await.code(),
        (503, "Overloaded".into())
    );
}
