//! All controllers together, with their watches: each promise is waited for, with a deadline.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use strongroom_store::vault::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::metrics::Metrics;
use super::testing::{Api, NS, SECRETS, World, generated, store};
use super::{Options, run};

/// How long anything may take: far more than it does.
const DEADLINE: Duration = Duration::from_secs(20);

struct Running {
    api: Api,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    #[expect(dead_code, reason = "the store's directory goes with it")]
    keep: tempfile::TempDir,
}

fn start(api: &Api) -> Running {
    let (store, keep): (Store, _) = store();
    api.put(
        &format!("/api/v1/namespaces/{NS}"),
        json!({"metadata": {"name": NS, "uid": "ns-1"}}),
    );
    let (stop, stopped) = watch::channel(false);
    let options = Options {
        own_namespace: "strongroom".to_owned(),
        native_namespaces: Vec::new(),
        concurrency: 4,
    };
    let metrics = Arc::new(Metrics::default());
    let task = tokio::spawn(run(
        api.client(),
        store,
        metrics,
        super::Api {
            policies: <_>::default(),
            declared: <_>::default(),
            cluster_keys: <_>::default(),
            bundle: watch::channel(String::new()).1,
        },
        options,
        stopped,
    ));
    Running {
        api: api.clone(),
        stop,
        task,
        keep,
    }
}

impl Running {
    /// Waits until `what` holds.
    async fn until(&self, name: &str, what: impl Fn(&Api) -> bool) {
        let waited = tokio::time::timeout(DEADLINE, async {
            while !what(&self.api) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "{name}: {:?}",
            self.api.get(&World::path("db"))
        );
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(DEADLINE, self.task)
            .await
            .expect("it stops when told to")
            .unwrap();
    }
}

fn put(api: &Api, name: &str) {
    api.put(
        &World::path(name),
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "ManagedSecret",
            "metadata": {"name": name, "namespace": NS, "generation": 1},
            "spec": generated(name), "status": {"observedGeneration": -1},
        }),
    );
}

fn ready(api: &Api, name: &str) -> bool {
    let object = api.get(&World::path(name)).unwrap();
    object["status"]["conditions"][0]["status"] == "True"
}

fn native(name: &str) -> String {
    format!("{SECRETS}/{name}")
}

#[tokio::test]
async fn what_was_there_and_what_comes_becomes_ready() {
    let api = Api::default();
    put(&api, "before");
    let running = start(&api);
    running.until("what was there", |api| ready(api, "before")).await;
    put(&api, "db");
    running.until("what comes", |api| ready(api, "db")).await;
    running.stop().await;
}

#[tokio::test]
async fn a_native_secret_is_repaired_as_soon_as_the_watch_says_so() {
    let api = Api::default();
    put(&api, "db");
    let running = start(&api);
    running.until("ready", |api| ready(api, "db")).await;
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
    let api = Api::default();
    put(&api, "db");
    let running = start(&api);
    running.until("ready", |api| ready(api, "db")).await;
    let password = api.secret_key("db", "password");
    // The controller's own watch of the create may still be on its way; the relist has to find the loss in any case.
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
    let api = Api::default();
    put(&api, "db");
    let running = start(&api);
    running.until("ready", |api| ready(api, "db")).await;
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
    let api = Api::default();
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
