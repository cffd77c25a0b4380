//! All controllers together, with their watches: each promise is waited for, with a deadline.

use std::sync::Arc;

use serde_json::json;
use strongroom_process::WorkPool;
use strongroom_rules::policy::{
    Action, Identity, Principal, ProductContext, Request, RequestFacts, SecretRef,
};
use strongroom_store::vault::Store;
use strongroom_testing::api_server::ApiServer;
use strongroom_testing::store::store;
use strongroom_testing::wait::{until, within};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::metrics::Metrics;
use super::testing::{ControllerFixture, NS, SECRETS, generated, says};
use super::{ControllerOptions, TaskFailure, run};
use crate::policies::{DecisionError, Policies};

mod large_objects;

struct Running {
    api: ApiServer,
    stop: watch::Sender<bool>,
    /// What clients of the API have to trust; empty: nothing is served.
    bundle: watch::Sender<String>,
    task: JoinHandle<Result<(), TaskFailure>>,
    keep: tempfile::TempDir,
}

fn start(api: &ApiServer) -> Running {
    let (store, keep) = store();
    start_on(api, store, Policies::default(), keep)
}

fn start_on(api: &ApiServer, store: Store, policies: Policies, keep: tempfile::TempDir) -> Running {
    start_with(api, store, policies, keep, WorkPool::with_threads(2))
}

fn start_with(
    api: &ApiServer,
    store: Store,
    policies: Policies,
    keep: tempfile::TempDir,
    work: WorkPool,
) -> Running {
    let bounds = super::cache_quota::CacheBounds::default();
    start_within(api, store, policies, (keep, work), (bounds, <_>::default()))
}

fn start_within(
    api: &ApiServer,
    store: Store,
    policies: Policies,
    (keep, work): (tempfile::TempDir, WorkPool),
    (objects, cluster_keys): (super::cache_quota::CacheBounds, crate::cluster_keys::ClusterKeys),
) -> Running {
    api.put(
        &format!("/api/v1/namespaces/{NS}"),
        json!({"metadata": {"name": NS, "uid": "ns-1"}}),
    );
    let (stop, stopped) = watch::channel(false);
    let options = ControllerOptions {
        own_namespace: "strongroom".to_owned(),
        reserved_secrets: Vec::new(),
        node_namespaces: vec!["nodes".to_owned()],
        native_namespaces: Vec::new(),
        concurrency: 4,
        objects,
        endpoints: <_>::default(),
        work,
        watches: None,
    };
    let metrics = Arc::new(Metrics::default());
    let (bundle, told) = watch::channel(String::new());
    let task = tokio::spawn(run(
        api.client(),
        crate::store_handle::StoreHandle::new(store),
        metrics,
        super::GatewayShared {
            policies,
            declared: <_>::default(),
            cluster_keys,
            terms: <_>::default(),
            consumers: crate::consumers::ConsumerIndex::new(jiff::Timestamp::now()),
            pending_attestations: <_>::default(),
            products: <_>::default(),
            bundle: told,
        },
        options,
        stopped,
    ));
    Running {
        api: api.clone(),
        stop,
        bundle,
        task,
        keep,
    }
}

impl Running {
    /// Waits until `what` holds.
    async fn until(&self, name: &str, what: impl Fn(&ApiServer) -> bool) {
        until(name, || what(&self.api)).await;
    }

    /// Stops it; the store's directory stays for as long as what is returned.
    async fn stop(self) -> tempfile::TempDir {
        self.stop.send(true).unwrap();
        within(self.task)
            .await
            .unwrap()
            .expect("no task ends before that");
        self.keep
    }
}

fn put(api: &ApiServer, name: &str) {
    api.put(
        &ControllerFixture::path(name),
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
            "metadata": {"name": name, "namespace": NS, "generation": 1},
            "spec": generated(name), "status": {"observedGeneration": -1},
        }),
    );
}

fn ready(api: &ApiServer, name: &str) -> bool {
    let object = api.get(&ControllerFixture::path(name)).unwrap();
    object["status"]["conditions"][0]["status"] == "True"
}

/// A server with an object `db` that is ready.
async fn start_with_db() -> (ApiServer, Running) {
    let api = ApiServer::default();
    put(&api, "db");
    let running = start(&api);
    running.until("ready", |api| ready(api, "db")).await;
    (api, running)
}

fn native(name: &str) -> String {
    format!("{SECRETS}/{name}")
}

/// The node plugin asks by no label and has no object: it is told what to trust where its ServiceAccount is,
/// also if that namespace comes later.
#[tokio::test]
async fn the_namespace_of_a_node_plugin_has_the_authority_as_soon_as_it_is_there() {
    let api = ApiServer::default();
    let running = start(&api);
    running.bundle.send("pem".to_owned()).unwrap();
    let namespace = |name: &str| {
        let object = json!({"metadata": {"name": name, "uid": format!("ns-{name}")}});
        api.put(&format!("/api/v1/namespaces/{name}"), object);
    };
    for name in ["others", "nodes"] {
        namespace(name);
    }
    let map = |name: &str| format!("/api/v1/namespaces/{name}/configmaps/strongroom-ca");
    running
        .until("the authority", |api| {
            api.get(&map("nodes"))
                .is_some_and(|map| map["data"] == json!({"ca.crt": "pem"}))
        })
        .await;
    assert_eq!(api.get(&map("others")), None);
    running.stop().await;
}

#[tokio::test]
async fn what_was_there_and_what_comes_becomes_ready() {
    let api = ApiServer::default();
    put(&api, "before");
    let running = start(&api);
    running.until("what was there", |api| ready(api, "before")).await;
    put(&api, "db");
    running.until("what comes", |api| ready(api, "db")).await;
    running.stop().await;
}

#[tokio::test]
async fn a_native_secret_is_repaired_as_soon_as_the_watch_says_so() {
    let (api, running) = start_with_db().await;
    let password = api.secret_key("db", "password");
    api.remove(&native("db"));
    running
        .until("made again", |api| api.secret_key("db", "password") == password)
        .await;
    let mut edited = api.get(&native("db")).unwrap();
    edited["data"]["password"] = json!("ZWRpdGVk");
    api.put(&native("db"), edited);
    running
        .until("repaired", |api| api.secret_key("db", "password") == password)
        .await;
    running.stop().await;
}

#[tokio::test]
async fn what_happens_while_a_watch_has_expired_is_not_missed() {
    let (api, running) = start_with_db().await;
    let password = api.secret_key("db", "password");
    // The controller's own watch of the create may still be on its way; the relist has to find the loss in
    // any case.
    api.expire("/api/v1/secrets", || api.remove(&native("db")));
    running
        .until("made again", |api| api.secret_key("db", "password") == password)
        .await;
    api.expire("/apis/strongroom.dev/v1alpha1/managedsecrets", || {
        put(&api, "late")
    });
    running
        .until("the object that came meanwhile", |api| ready(api, "late"))
        .await;
    running.stop().await;
}

#[tokio::test]
async fn a_schedule_that_is_asked_rotates_and_says_so() {
    let (api, running) = start_with_db().await;
    let password = api.secret_key("db", "password");
    let path = format!("/apis/strongroom.dev/v1alpha1/namespaces/{NS}/rotationschedules/all");
    api.put(
        &path,
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "RotationSchedule",
            "metadata": {"name": "all", "namespace": NS, "generation": 1, "annotations": {"strongroom.dev/rotate-now": "word"}},
            "spec": {"secrets": {"selector": {}}, "schedule": {"every": "30d"}, "rotator": {"generate": {}}},
        }),
    );
    running
        .until("rotated", |api| api.secret_key("db", "password") != password)
        .await;
    running
        .until("the schedule says so", |api| {
            api.get(&path).unwrap()["status"]["lastRotation"].is_string()
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn an_api_server_that_fails_for_a_while_is_waited_for() {
    let api = ApiServer::default();
    for part in [
        "managedsecrets",
        "managedsecrets",
        "/api/v1/namespaces",
        "POST",
        "PATCH",
    ] {
        api.fail(part, 503);
    }
    put(&api, "db");
    let running = start(&api);
    running.until("ready", |api| ready(api, "db")).await;
    running.stop().await;
}

const POLICIES: &str = "/apis/strongroom.dev/v1alpha1/secretpolicies";

/// Another generation of the policy of this name: it allows or denies every account to read, where it
/// compiles.
fn policy(api: &ApiServer, name: &str, generation: i64, effect: &str, action: &str) {
    let path = policy_path(name);
    let mut object = api
        .get(&path)
        .unwrap_or_else(|| json!({"metadata": {"name": name, "namespace": NS}}));
    object["metadata"]["generation"] = json!(generation);
    object["spec"] = json!({"secrets": [name], "statements": [
        {"effect": effect, "principals": [{"serviceAccount": "*"}], "actions": [action]}]});
    api.put(&path, object);
}

fn policy_path(name: &str) -> String {
    format!("/apis/strongroom.dev/v1alpha1/namespaces/{NS}/secretpolicies/{name}")
}

/// Whether the account `app` may read the secret of this name.
fn may_read(policies: &Policies, name: &str) -> Result<bool, DecisionError> {
    let principal = Principal {
        identity: Identity::from_username("system:serviceaccount:shop:app"),
        groups: Vec::new(),
    };
    let request = Request {
        principal: &principal,
        action: Action::GetSecretValue,
        secret: SecretRef { namespace: NS, name },
        key: None,
        owner: Some("uid-denied"),
        facts: &RequestFacts::default(),
        products: ProductContext::default(),
    };
    policies.decide(&request).map(|decision| decision.allowed)
}

/// Whether the status says that this generation was looked at, and that one is in force.
fn says_in_force(api: &ApiServer, name: &str, observed: i64, in_force: i64) -> bool {
    let status = &api.get(&policy_path(name)).unwrap()["status"];
    status["observedGeneration"] == observed && status["generationInForce"] == in_force
}

#[tokio::test]
async fn a_broken_policy_never_weakens_what_was_in_force_whatever_restarts() {
    let api = ApiServer::default();
    let (store, keep) = store();
    let policies = Policies::default();
    for (name, effect) in [("allowed", "Allow"), ("denied", "Deny")] {
        policy(&api, name, 1, effect, "secrets:GetSecretValue");
    }
    let readers = |name: &str| {
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
            "metadata": {"name": name, "namespace": NS, "generation": 1, "uid": "uid-denied"},
            "spec": {"source": {"external": {}}, "readers": ["app"]}, "status": {"observedGeneration": -1},
        })
    };
    // Who is named here may read what no policy denies.
    api.put(&ControllerFixture::path("denied"), readers("denied"));
    let decided = |policies: &Policies| {
        assert_eq!(may_read(policies, "allowed"), Ok(true));
        assert_eq!(may_read(policies, "denied"), Ok(false));
    };
    let both_say = |api: &ApiServer, observed, in_force| {
        ["allowed", "denied"].map(|name| says_in_force(api, name, observed, in_force)) == [true; 2]
    };

    // The API server is away at first: nothing is decided until it is back.
    api.fail("secretpolicies", 503);
    let running = start_on(&api, store.clone(), policies.clone(), keep);
    running.until("in force", |api| both_say(api, 1, 1)).await;
    decided(&policies);
    for (name, effect) in [("allowed", "Deny"), ("denied", "Allow")] {
        policy(&api, name, 2, effect, "secrets:Nothing");
    }
    running.until("broken", |api| both_say(api, 2, 1)).await;
    decided(&policies);
    // The watch expires, and its list fails once: what is in force stays meanwhile and afterwards.
    api.fail("secretpolicies", 503);
    api.expire(POLICIES, || {});
    policy(&api, "allowed", 3, "Deny", "secrets:Nothing");
    running
        .until("listed again", |api| says_in_force(api, "allowed", 3, 1))
        .await;
    decided(&policies);
    let keep = running.stop().await;

    let commits = store.anchor().counter;
    let policies = Policies::default();
    assert_eq!(may_read(&policies, "allowed"), Err(DecisionError::NotLoaded));
    policy(&api, "denied", 3, "Allow", "secrets:Nothing");
    let running = start_on(&api, store.clone(), policies.clone(), keep);
    running
        .until("in force after a restart", |api| both_say(api, 3, 1))
        .await;
    running
        .until("the lists", |_| may_read(&policies, "denied").is_ok())
        .await;
    decided(&policies);
    assert_eq!(
        store.anchor().counter,
        commits,
        "nothing changed, and something was written"
    );
    // A policy that goes is forgotten, and its secret is its readers'.
    api.remove(&policy_path("denied"));
    let kept = || store.policies().unwrap().policies.len();
    running.until("forgotten", |_| kept() == 1).await;
    assert_eq!(may_read(&policies, "denied"), Ok(true));
    policy(&api, "allowed", 4, "Allow", "secrets:*");
    running
        .until("mended", |api| says_in_force(api, "allowed", 4, 4))
        .await;
    running.stop().await;
}

/// A ManagedSecret of any namespace.
fn path_in(namespace: &str, name: &str) -> String {
    format!("/apis/strongroom.dev/v1alpha1/namespaces/{namespace}/managedsecrets/{name}")
}

fn put_in(api: &ApiServer, namespace: &str, name: &str, spec: serde_json::Value) {
    api.put(
        &path_in(namespace, name),
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
            "metadata": {"name": name, "namespace": namespace, "generation": 1},
            "spec": spec, "status": {"observedGeneration": -1},
        }),
    );
}

/// Status and reason of the condition Ready, where it is there.
fn ready_in(api: &ApiServer, namespace: &str, name: &str) -> (String, String) {
    let object = api.get(&path_in(namespace, name)).unwrap();
    let conditions = object["status"]["conditions"].as_array().cloned();
    let ready = conditions
        .unwrap_or_default()
        .into_iter()
        .find(|condition| condition["type"] == "Ready");
    let text = |field: &str| {
        ready
            .as_ref()
            .map_or("", |ready| ready[field].as_str().unwrap())
            .to_owned()
    };
    (text("status"), text("reason"))
}

/// So many RSA keys of 4,096 bits.
fn large_keys(count: usize) -> serde_json::Value {
    let keys: serde_json::Map<_, _> = (0..count)
        .map(|number| (format!("key-{number}"), json!({"rsa": {"bits": 4_096}})))
        .collect();
    json!({"source": {"generate": {"keys": keys}}})
}

#[tokio::test]
async fn a_namespace_whose_keys_take_for_ever_holds_up_nobody_else() {
    let api = ApiServer::default();
    let (store, keep) = store();
    let (policies, work) = (Policies::default(), WorkPool::with_threads(2));
    // Without its kind nothing counts as deleted.
    let crd = "managedsecrets.strongroom.dev";
    api.put(
        &format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd}"),
        json!({"metadata": {"name": crd, "creationTimestamp": "2026-01-01T00:00:00Z"}}),
    );
    api.put(
        "/api/v1/namespaces/pay",
        json!({"metadata": {"name": "pay", "uid": "ns-2"}}),
    );
    // Stands for a key that takes for ever: it has the share of `shop` of the threads.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let taken = tokio::spawn({
        let work = work.clone();
        async move { work.run(NS, move || released.recv().is_err()).await }
    });
    put_in(&api, "pay", "gone", generated("gone"));
    for number in 0..20 {
        put_in(&api, NS, &format!("large-{number}"), large_keys(15));
    }
    put_in(&api, NS, "a-too-large", large_keys(32));
    let running = start_with(&api, store.clone(), policies.clone(), keep, work);
    running
        .until("refused, and no key was made", |api| {
            ready_in(api, NS, "a-too-large") == ("False".to_owned(), "ValueTooLarge".to_owned())
        })
        .await;
    running
        .until("what was there", |api| ready_in(api, "pay", "gone").0 == "True")
        .await;
    // All of `shop` wait; of `pay` nothing does.
    api.remove(&path_in("pay", "gone"));
    put_in(&api, "pay", "db", generated("db"));
    running
        .until("a new secret", |api| ready_in(api, "pay", "db").0 == "True")
        .await;
    policy(&api, "policy", 1, "Allow", "secrets:GetSecretValue");
    running
        .until("a policy", |_| may_read(&policies, "policy") == Ok(true))
        .await;
    policy(&api, "policy", 2, "Deny", "secrets:GetSecretValue");
    running
        .until("a Deny", |_| may_read(&policies, "policy") == Ok(false))
        .await;
    let mut asked = api.get(&path_in("pay", "db")).unwrap();
    let before = asked["status"]["stages"]["Current"].clone();
    asked["metadata"]["annotations"]["strongroom.dev/rotate-now"] = json!("word");
    api.put(&path_in("pay", "db"), asked);
    running
        .until("a rotation", |api| {
            api.get(&path_in("pay", "db")).unwrap()["status"]["stages"]["Current"] != before
        })
        .await;
    // A deletion takes its half minute.
    let native = "/api/v1/namespaces/pay/secrets/gone";
    running.until("a deletion", |api| api.get(native).is_none()).await;
    assert!(!taken.is_finished(), "the thread was never free");
    for number in 0..20 {
        assert_eq!(ready_in(&api, NS, &format!("large-{number}")).0, "", "{number}");
    }
    drop(release);
    assert_eq!(taken.await.unwrap(), Ok(true));
    running.task.abort();
}

#[tokio::test]
async fn what_is_refused_for_its_size_waits_for_another_spec() {
    let mut world = ControllerFixture::new();
    world.apply("db", large_keys(32));
    let refused = world.reconcile_in_vain("db").await;
    assert_eq!(refused.wait(&world.ctx.backoff, "uid"), None);
    assert_eq!(world.ready("db"), super::testing::says("False", "ValueTooLarge"));
    // Again, as after an event: the same, and still nothing is made. Then it fits.
    world.reconcile_in_vain("db").await;
    world
        .apply_now(
            "db",
            json!({"source": {"generate": {"keys": {"key": {"rsa": {"bits": 2_048}}}}}}),
        )
        .await;
    assert_eq!(world.ready("db").0, "True");
}
