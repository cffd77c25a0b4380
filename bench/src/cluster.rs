//! Rows of the controller, on an API server of this machine.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Secret};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Config};
use serde_json::json;
use strongroom_e2e::{Cluster, Strongroom};
use tokio::time::timeout;

use crate::row::{Row, quantile, sorted};
use crate::{Arguments, Outcome, fresh};

/// Requests of the client at the same time.
const CONCURRENCY: usize = 32;

/// How long anything may take.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Changes a second, and how many in all.
const CHANGES_A_SECOND: u32 = 100;
const TOTAL_CHANGES: usize = 2_000;

/// All rows: they share the objects.
pub(crate) fn measure(arguments: &Arguments) -> Outcome<Vec<Row>> {
    on_cluster(&arguments.dir, async |cluster, data| {
        rows(cluster, data, arguments).await
    })
}

/// Measures on a cluster without nodes and a folder on the disk that is measured; both go afterwards.
pub(crate) fn on_cluster(
    dir: &Path,
    measure: impl AsyncFnOnce(&Cluster, &Path) -> Outcome<Vec<Row>>,
) -> Outcome<Vec<Row>> {
    // A second call finds one installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let keep = fresh(dir, "cluster")?;
    let cluster = Cluster::at(std::env::temp_dir().join(format!("strongroom-bench-{}", std::process::id())))?;
    cluster.up()?;
    let rows = tokio::runtime::Runtime::new()?.block_on(measure(&cluster, keep.path()));
    cluster.down()?;
    rows
}

async fn rows(cluster: &Cluster, data: &Path, arguments: &Arguments) -> Outcome<Vec<Row>> {
    let objects = arguments.objects;
    let client = connect(cluster).await?;
    let bench = Bench { client };
    bench.prepare(cluster).await?;
    let baseline = bench.baseline(objects).await?;

    // The first start makes the store; what is measured is a controller that meets the objects.
    let mut process = Strongroom::start(cluster, data)?;
    process.stop()?;
    bench.apply("bench", objects, true).await?;
    let start = Instant::now();
    let mut process = Strongroom::start(cluster, data)?;
    bench.all_ready(objects).await?;
    let seconds = start.elapsed().as_secs_f64();
    let pid = process.pid();
    let memory = resident(pid)?;
    let mut rows = vec![
        Row::from_samples("reconcile.10k.seconds", "s", &[seconds])
            .against("as many Secrets and status writes by one client", &[baseline]),
        Row::from_samples("reconcile.10k.rss_mb", "MB", &[memory]),
    ];
    let (idling, updates) = (
        arguments.wants(&["reconcile.10k.idle_cpu_percent"]),
        arguments.wants(&["native.update.p50_ms", "native.update.p99_ms"]),
    );
    if idling || updates {
        bench.events_delivered().await?;
    }
    if idling {
        rows.push(Row::from_samples(
            "reconcile.10k.idle_cpu_percent",
            "%",
            &idle(pid).await?,
        ));
    }
    if updates {
        let by_client = bench.update_by_client().await?;
        let delays = bench.update(objects).await?;
        let part = |name, part| {
            Row {
                value: quantile(&delays, part),
                ..Row::from_samples(name, "ms", &delays)
            }
            .against(
                "the same writes by one client, without a controller",
                &[quantile(&by_client, part)],
            )
        };
        rows.extend([
            part("native.update.p50_ms", 0.5),
            part("native.update.p99_ms", 0.99),
        ]);
    }
    process.stop()?;
    Ok(rows)
}

pub(crate) async fn connect(cluster: &Cluster) -> Outcome<Client> {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn managed() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(
        "strongroom.dev",
        "v1alpha1",
        "ManagedSecret",
    ))
}

/// Megabytes of memory that a process has resident, its program's own pages among them.
pub(crate) fn resident(pid: u32) -> Outcome<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kilobytes: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("no VmRSS")?
        .parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

/// Percent of one processor over windows of ten seconds, once there is nothing to do.
async fn idle(pid: u32) -> Outcome<Vec<f64>> {
    let mut samples = Vec::new();
    for _ in 0..3 {
        let before = busy(pid)?;
        let start = Instant::now();
        tokio::time::sleep(Duration::from_secs(10)).await;
        samples.push((busy(pid)? - before) / start.elapsed().as_secs_f64() * 100.0);
    }
    Ok(samples)
}

/// Seconds of processor time of a process: fields 14 and 15 of its stat, in hundredths (proc(5)).
pub(crate) fn busy(pid: u32) -> Outcome<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no stat")?;
    let ticks: Vec<f64> = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

pub(crate) struct Bench {
    pub(crate) client: Client,
}

impl Bench {
    /// The kinds, and the namespaces.
    pub(crate) async fn prepare(&self, cluster: &Cluster) -> Outcome<()> {
        let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/strongroom/files/crds");
        for arguments in [
            vec!["apply", "-f", crds],
            vec![
                "wait",
                "--for=condition=Established",
                "crd",
                "--all",
                "--timeout=30s",
            ],
        ] {
            let mut kubectl: Command = cluster.kubectl_command();
            let output = kubectl.args(arguments).output()?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
            }
        }
        for name in ["strongroom", "bench", "baseline"] {
            let namespace = Namespace {
                metadata: kube::api::ObjectMeta {
                    name: Some(name.to_owned()),
                    ..Default::default()
                },
                ..Default::default()
            };
            Api::all(self.client.clone())
                .create(&PostParams::default(), &namespace)
                .await?;
        }
        Ok(())
    }

    /// Annotates a ManagedSecret of `bench`.
    pub(crate) async fn annotate(&self, name: &str, key: &str, value: &str) -> Outcome<()> {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        let api = self.managed_in("bench");
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        Ok(())
    }

    fn managed_in(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &managed())
    }

    /// Creates the ManagedSecrets, each with a native Secret or with readers.
    pub(crate) async fn apply(&self, namespace: &str, objects: usize, secret: bool) -> Outcome<()> {
        let api = self.managed_in(namespace);
        stream::iter((0..objects).map(Ok))
            .try_for_each_concurrent(CONCURRENCY, |number| {
                let api = api.clone();
                async move {
                    let name = format!("secret-{number}");
                    let mut spec = json!({
                        "source": {"generate": {"keys": {"password": {"password": {"length": 32}}}}},
                    });
                    if let Some(spec) = spec.as_object_mut() {
                        let (field, value) = if secret {
                            ("secret", json!({"name": name}))
                        } else {
                            ("readers", json!(["reader-*"]))
                        };
                        spec.insert(field.to_owned(), value);
                    }
                    let object = DynamicObject::new(&name, &managed()).data(json!({"spec": spec}));
                    api.create(&PostParams::default(), &object).await.map(drop)
                }
            })
            .await?;
        Ok(())
    }

    /// Seconds in which the API server takes as many Secrets and status writes from this client.
    async fn baseline(&self, objects: usize) -> Outcome<f64> {
        self.apply("baseline", objects, true).await?;
        let api = self.managed_in("baseline");
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), "baseline");
        let start = Instant::now();
        stream::iter((0..objects).map(Ok::<_, kube::Error>))
            .try_for_each_concurrent(CONCURRENCY, |number| {
                let (api, secrets) = (api.clone(), secrets.clone());
                async move {
                    let name = format!("secret-{number}");
                    let secret: Secret = Secret {
                        metadata: kube::api::ObjectMeta { name: Some(name.clone()), ..Default::default() },
                        string_data: Some([("password".to_owned(), "x".repeat(32))].into()),
                        ..Default::default()
                    };
                    secrets.create(&PostParams::default(), &secret).await?;
                    let status = json!({"status": {"observedGeneration": 1, "conditions": [{
                        "type": "Ready", "status": "True", "reason": "Ready", "message": "the secret is current",
                        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
                    }]}});
                    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.map(drop)
                }
            })
            .await?;
        let seconds = start.elapsed().as_secs_f64();
        for _ in 0..2 {
            api.delete_collection(&DeleteParams::default(), &ListParams::default())
                .await?;
            secrets
                .delete_collection(&DeleteParams::default(), &ListParams::default())
                .await?;
        }
        Ok(seconds)
    }

    /// Waits until so many ManagedSecrets are Ready.
    pub(crate) async fn all_ready(&self, objects: usize) -> Outcome<()> {
        let mut ready = std::collections::HashSet::new();
        let events = watcher(self.managed_in("bench"), watcher::Config::default()).default_backoff();
        let mut touched = std::pin::pin!(events.touched_objects());
        let wait = async {
            while ready.len() < objects {
                let Some(object) = touched.try_next().await? else {
                    break;
                };
                let conditions = object
                    .data
                    .pointer("/status/conditions")
                    .and_then(|list| list.as_array());
                let is_ready = conditions.into_iter().flatten().any(|condition| {
                    condition.get("type").is_some_and(|kind| kind == "Ready")
                        && condition.get("status").is_some_and(|status| status == "True")
                });
                if is_ready {
                    ready.insert(object.metadata.name.unwrap_or_default());
                }
            }
            Ok::<_, watcher::Error>(())
        };
        timeout(TIMEOUT, wait)
            .await
            .map_err(|_| "the objects did not become Ready in time")??;
        Ok(())
    }

    /// Waits until no ManagedSecret has changed for longer than two of the steps in which counts of consumers
    /// are written.
    pub(crate) async fn settled(&self) -> Outcome<()> {
        let events = watcher(self.managed_in("bench"), watcher::Config::default()).default_backoff();
        let mut touched = std::pin::pin!(events.touched_objects());
        let wait = async {
            while let Ok(next) = timeout(Duration::from_secs(12), touched.try_next()).await {
                if next?.is_none() {
                    break;
                }
            }
            Ok::<_, watcher::Error>(())
        };
        timeout(TIMEOUT, wait)
            .await
            .map_err(|_| "the objects did not stay as they were in time")??;
        Ok(())
    }

    /// Waits until no more Events come: they follow the changes at their own pace.
    pub(crate) async fn events_delivered(&self) -> Outcome<()> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "bench");
        let mut before = None;
        let wait = async {
            loop {
                let page = events.list_metadata(&ListParams::default().limit(1)).await?;
                let count = page.metadata.remaining_item_count;
                if count == before && count.is_some() {
                    return Ok::<_, kube::Error>(());
                }
                before = count;
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        };
        timeout(TIMEOUT, wait)
            .await
            .map_err(|_| "Events did not come to an end in time")??;
        Ok(())
    }

    /// Milliseconds from the request that changes a ManagedSecret (a rotation asked for) to the watch event
    /// of its native Secret, sorted: a hundred changes a second, spread over the objects.
    async fn update(&self, objects: usize) -> Outcome<Vec<f64>> {
        let api = self.managed_in("bench");
        // One object is changed once only, so that an event is of one change; fewer objects are changed in
        // turn.
        self.changes("bench", objects.min(TOTAL_CHANGES), move |name| {
            let api = api.clone();
            async move {
                let patch = json!({"metadata": {"annotations": {"strongroom.dev/rotate-now": "bench"}}});
                let params = PatchParams::default();
                api.patch(&name, &params, &Patch::Merge(&patch)).await.map(drop)
            }
        })
        .await
    }

    /// The same with this client in the controllers' place: a change of an object, then of its Secret, and
    /// beside that a status and an Event.
    async fn update_by_client(&self) -> Outcome<Vec<f64>> {
        let objects: Api<ConfigMap> = Api::namespaced(self.client.clone(), "baseline");
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), "baseline");
        let events: Api<Event> = Api::namespaced(self.client.clone(), "baseline");
        stream::iter((0..TOTAL_CHANGES).map(Ok::<_, kube::Error>))
            .try_for_each_concurrent(CONCURRENCY, |number| {
                let (objects, secrets) = (objects.clone(), secrets.clone());
                async move {
                    let mut object = ConfigMap::default();
                    object.metadata.name = Some(format!("secret-{number}"));
                    objects.create(&PostParams::default(), &object).await?;
                    let mut secret = Secret::default();
                    secret.metadata.name = Some(format!("secret-{number}"));
                    secrets.create(&PostParams::default(), &secret).await.map(drop)
                }
            })
            .await?;
        self.changes("baseline", TOTAL_CHANGES, move |name| {
            let (objects, secrets, events) = (objects.clone(), secrets.clone(), events.clone());
            async move {
                let params = PatchParams::default();
                let change = json!({"metadata": {"annotations": {"changed": "once"}}});
                objects.patch(&name, &params, &Patch::Merge(&change)).await?;
                let value = json!({"stringData": {"password": "x".repeat(32)}});
                secrets.patch(&name, &params, &Patch::Merge(&value)).await?;
                let status = json!({"data": {"status": "y".repeat(500)}});
                objects.patch(&name, &params, &Patch::Merge(&status)).await?;
                let event: Event = serde_json::from_value(json!({
                    "metadata": {"generateName": "secret-", "namespace": "baseline"},
                    "involvedObject": {"kind": "ConfigMap", "name": name, "namespace": "baseline"},
                    "reason": "Rotated", "message": "the secret has a new version", "type": "Normal",
                }))
                .map_err(kube::Error::SerdeError)?;
                events.create(&PostParams::default(), &event).await.map(drop)
            }
        })
        .await
    }

    /// Milliseconds from the begin of each change to the watch event of the native Secret of the same name,
    /// sorted.
    async fn changes<F: Future<Output = Result<(), kube::Error>> + Send + 'static>(
        &self,
        namespace: &str,
        turns: usize,
        change: impl Fn(String) -> F + Send + 'static,
    ) -> Outcome<Vec<f64>> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let mut seen = std::pin::pin!(watcher(secrets, watcher::Config::default()).default_backoff());
        // The first list is of what was there before.
        while let Some(event) = timeout(TIMEOUT, seen.try_next()).await?? {
            if matches!(event, watcher::Event::InitDone) {
                break;
            }
        }
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let changes = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) / CHANGES_A_SECOND);
            for number in 0..turns {
                tick.tick().await;
                let name = format!("secret-{number}");
                let (changed, tell) = (change(name.clone()), tell.clone());
                tokio::spawn(async move {
                    let at = Instant::now();
                    if changed.await.is_ok() {
                        // Nobody listens any more once the measurement is over.
                        let _ = tell.send((name, at));
                    }
                });
            }
        });
        let (mut begun, mut ended) = (HashMap::new(), HashMap::new());
        let wait = async {
            while begun.len() < turns || ended.len() < turns {
                tokio::select! {
                    Some((name, at)) = told.recv() => drop(begun.insert(name, at)),
                    event = seen.next() => {
                        if let Some(Ok(watcher::Event::Apply(secret))) = event {
                            ended.entry(secret.metadata.name.unwrap_or_default()).or_insert_with(Instant::now);
                        }
                    }
                }
            }
        };
        timeout(TIMEOUT, wait)
            .await
            .map_err(|_| "native Secrets did not change in time")?;
        changes.await?;
        let delays: Vec<f64> = begun
            .iter()
            .filter_map(|(name, at)| Some(ended.get(name)?.duration_since(*at).as_secs_f64() * 1e3))
            .collect();
        Ok(sorted(&delays))
    }
}
