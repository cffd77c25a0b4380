//! The promise: whoever watches sees that all is well, and is woken where it is not. What the programs say is
//! what Prometheus' own tools want, each alert fires for what it is about and leads to a page, and each panel
//! of the dashboard has an answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot set up must stop"
)]

#[path = "monitoring/prometheus.rs"]
mod prometheus;
mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use serde_json::{Value, json};
use strongroom_e2e::{Strongroom, simulate_node};
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

use self::prometheus::{Prometheus, Running, promtool};
use self::support::chart::{CHART, templates};
use self::support::metrics::{metrics_at, metrics_port};
use self::support::{Fixture, eventually, free_port, generated};

/// What promtool plays.
const PLAYED: &str = include_str!("../rules/alerts.yaml");
/// Parts of a page of an alert, in this order.
const PARTS: [&str; 4] = [
    "What it means",
    "Who is affected",
    "What to look at",
    "What to do",
];
/// The Service of the webhook.
const WEBHOOK: &str = "strongroom-webhook";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A template of the chart.
fn template(name: &str, values: &str) -> Value {
    serde_saphyr::from_str(&templates(CHART, &[name], &[values])).unwrap()
}

/// The groups of rules, as Prometheus has them in a file; with scheduled backups and drills, which have some.
fn groups() -> Value {
    let values = "metrics.prometheusRule.enabled=true,backup.schedule=0 2 * * *,backup.drill.schedule=0 4 * * 0,\
                  backup.destination=folder:/var/lib/strongroom-backups";
    template("serve-prometheusrule", values)["spec"].take()
}

/// Rules of all groups.
fn rules(groups: &Value) -> impl Iterator<Item = &Value> {
    let groups = groups["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap())
}

/// Names of alerts.
fn alerts(groups: &Value) -> BTreeSet<String> {
    rules(groups)
        .filter_map(|rule| rule["alert"].as_str().map(str::to_owned))
        .collect()
}

/// The dashboard as the chart ships it.
fn dashboard() -> Value {
    let map = template("dashboard-configmap", "metrics.dashboard.enabled=true");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    serde_json::from_str(map["data"]["strongroom.json"].as_str().unwrap()).unwrap()
}

/// Queries of all panels, each with the title of its panel.
fn queries() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut found = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        for target in panel["targets"].as_array().unwrap() {
            found.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    found
}

#[test]
fn each_alert_leads_to_a_page_that_is_there_and_each_page_is_an_alerts() {
    let groups = groups();
    let folder = root().join("docs/runbooks");
    let listed = fs::read_to_string(root().join("docs/monitoring.md")).unwrap();
    for rule in rules(&groups).filter(|rule| rule["alert"].is_string()) {
        let name = rule["alert"].as_str().unwrap();
        let expected = format!("https://strongroom.dev/docs/runbooks/{name}.md");
        assert_eq!(rule["annotations"]["runbook_url"], expected);
        assert!(
            listed.contains(&format!("- [{name}](runbooks/{name}.md)\n")),
            "{name}: docs/monitoring.md"
        );
        let page = fs::read_to_string(folder.join(format!("{name}.md"))).unwrap_or_default();
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        let parts = PARTS.map(|part| format!("## {part}"));
        let title = format!("# {name}");
        let all: Vec<&str> = std::iter::once(title.as_str())
            .chain(parts.iter().map(String::as_str))
            .collect();
        assert_eq!(headings, all, "docs/runbooks/{name}.md");
    }
    let pages: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|page| {
            page.unwrap()
                .file_name()
                .to_str()?
                .strip_suffix(".md")
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(pages, alerts(&groups));
}

#[test]
fn each_alert_fires_for_what_it_is_about_and_none_while_all_is_well() {
    let keep = tempfile::tempdir().unwrap();
    let mut groups = groups();
    let (fine, said) = {
        fs::write(keep.path().join("rules.yaml"), groups.to_string()).unwrap();
        promtool(keep.path(), &["check", "rules", "rules.yaml"], "")
    };
    assert!(fine && said.contains("SUCCESS"), "{said}");
    let all = alerts(&groups);

    // What promtool compares it has to be told word for word; words are no part of what is played.
    for group in groups["groups"].as_array_mut().unwrap() {
        for rule in group["rules"].as_array_mut().unwrap() {
            rule.as_object_mut().unwrap().remove("annotations");
        }
    }
    fs::write(keep.path().join("rules.yaml"), groups.to_string()).unwrap();
    fs::write(keep.path().join("alerts.yaml"), PLAYED).unwrap();
    let (fine, said) = promtool(keep.path(), &["test", "rules", "alerts.yaml"], "");
    assert!(fine, "{said}");

    let played: Value = serde_saphyr::from_str(PLAYED).unwrap();
    let (mut fires, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for test in played["tests"].as_array().unwrap() {
        for expected in test["alert_rule_test"].as_array().unwrap() {
            let name = expected["alertname"].as_str().unwrap().to_owned();
            if expected["exp_alerts"].is_array() {
                fires.insert(name);
            } else if test["name"] == "all is well" {
                quiet.insert(name);
            }
        }
    }
    assert_eq!(fires, all, "each is played where it fires");
    assert_eq!(quiet, all, "each is played where all is well");
}

#[test]
fn rules_and_panels_ask_for_metrics_that_the_reference_has() {
    let reference = fs::read_to_string(root().join("docs/reference/metrics.md")).unwrap();
    let groups = groups();
    let of_rules = rules(&groups).map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let asked: Vec<String> = of_rules
        .chain(queries().into_iter().map(|(_, query)| query))
        .collect();
    let name = Regex::new(r"\b(strongroom|process)_[a-z_0-9]+").unwrap();
    let mut known = 0;
    for query in &asked {
        for found in name.find_iter(query) {
            let metric = found.as_str();
            let of_histogram = ["_bucket", "_count", "_sum"]
                .into_iter()
                .find_map(|suffix| metric.strip_suffix(suffix));
            let in_reference = |metric: &str| reference.contains(&format!("| `{metric}` |"));
            assert!(
                in_reference(metric) || of_histogram.is_some_and(in_reference),
                "{metric}: {query}"
            );
            known += 1;
        }
    }
    assert!(known > 60, "{known}");
}

/// Everything that is scraped, on one API server.
struct Scene<'a> {
    f: &'a Fixture,
    port: u16,
    token: String,
    ports: Vec<u16>,
    _processes: Vec<Strongroom>,
    _plugin: Running,
}

impl<'a> Scene<'a> {
    fn start(f: &'a Fixture) -> Self {
        let (port, attestations) = (free_port(), free_port());
        f.apply(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {WEBHOOK}, namespace: strongroom}}\n\
             spec: {{type: ExternalName, externalName: localhost}}\n"
        ));
        let store = Strongroom::start_with(
            &f.cluster,
            &f.data(),
            &[
                &format!("--gateway-listen=127.0.0.1:{port}"),
                &format!("--webhook={WEBHOOK}"),
                &format!("--attestations-listen=127.0.0.1:{attestations}"),
                "--node-account=node",
                "--namespace-secrets=2",
            ],
        )
        .unwrap();
        let webhook = Strongroom::spawn(
            &f.cluster,
            &f.keep.path().join("webhook"),
            &[
                "--roles=webhook",
                &format!("--webhook={WEBHOOK}"),
                "--webhook-listen=127.0.0.1:0",
                &format!("--attestations-address=127.0.0.1:{attestations}"),
            ],
        )
        .unwrap();
        let front = Strongroom::spawn(
            &f.cluster,
            &f.keep.path().join("front"),
            &[
                "--roles=front",
                "--people-front=strongroom-front",
                "--front-listen=127.0.0.1:0",
                &format!("--gateway-address=127.0.0.1:{port}"),
            ],
        )
        .unwrap();
        let token = f.app_token();
        let (plugin, log) = plugin(f, port);
        let processes = vec![store, webhook, front];
        let mut ports: Vec<u16> = processes
            .iter()
            .map(|process| eventually("the port of a process", || metrics_port(&process.log())))
            .collect();
        let log = || fs::read_to_string(&log).unwrap_or_default();
        ports.push(eventually("the port of the plugin", || metrics_port(&log())));
        Self {
            f,
            port,
            token,
            ports,
            _processes: processes,
            _plugin: plugin,
        }
    }

    /// A read over HTTPS, with a token or without; its status.
    fn read(&self, name: &str, token: &str) -> String {
        let url = format!(
            "https://127.0.0.1:{}/v1/namespaces/shop/secrets/{name}/value",
            self.port
        );
        let read = Command::new("curl")
            .args(["-sk", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(["-H", &format!("Authorization: Bearer {token}"), &url])
            .output()
            .unwrap();
        String::from_utf8(read.stdout).unwrap()
    }

    /// What goes on in a cluster: reads, reads of what is not there, sometimes strangers, and a new version.
    fn traffic(&self, round: usize) {
        assert_eq!(self.read("db", &self.token), "200");
        assert_eq!(self.read("nothing", &self.token), "404");
        if round.is_multiple_of(10) {
            assert_eq!(self.read("db", ""), "401");
        }
        let rotate = format!("strongroom.dev/rotate-now={round}");
        self.f.kubectl(&[
            "-n",
            "shop",
            "annotate",
            "--overwrite",
            "managedsecret",
            "db",
            &rotate,
        ]);
    }
}

/// A pod of the account `account` on a node; a token of it for the gateway.
fn pod_token(f: &Fixture, (namespace, account): (&str, &str), node: &str) -> String {
    let name = format!("{account}-{node}");
    f.apply(&format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {node}}}\n---\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {account}, namespace: {namespace}}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  nodeName: {node}\n  \
         serviceAccountName: {account}\n  automountServiceAccountToken: false\n  containers: [{{name: app, image: none}}]\n"
    ));
    let bound = format!("--bound-object-name={name}");
    let create = [
        "-n",
        namespace,
        "create",
        "token",
        account,
        "--audience=strongroom.dev",
        "--bound-object-kind=Pod",
        &bound,
    ];
    f.kubectl(&create).trim().to_owned()
}

/// The node plugin of a node without pods, and its log.
fn plugin(f: &Fixture, port: u16) -> (Running, PathBuf) {
    let folder = f.keep.path().join("plugin");
    fs::create_dir_all(folder.join("kubelet")).unwrap();
    let (authority, token) = (folder.join("ca.crt"), folder.join("token"));
    fs::write(&authority, f.authority()).unwrap();
    fs::write(&token, pod_token(f, ("strongroom", "node"), "n-1")).unwrap();
    let log = folder.join("log");
    let out = File::create(&log).unwrap();
    let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let child = Command::new(Strongroom::binary().with_file_name("strongroom-node"))
        .args(["--node-name=n-1", "--http-listen=127.0.0.1:0"])
        .arg(format!("--gateway-url=https://localhost:{port}"))
        .arg(flag("gateway-ca", &authority))
        .arg(flag("token-file", &token))
        .arg(flag("kubelet-dir", &folder.join("kubelet")))
        .arg(flag("socket", &folder.join("csi.sock")))
        .arg(flag("state-dir", &folder.join("state")))
        .arg(flag("journal-dir", &folder.join("journal")))
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap();
    (Running(child), log)
}

/// What there is to see: a schedule, a certificate, and an object that fails because the namespace is full.
fn objects(f: &Fixture) {
    let certificate = "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: web, namespace: shop}\n\
                       spec: {source: {generate: {keys: {tls: {x509: {commonName: web}}}}}}\n---\n";
    let schedule = "apiVersion: strongroom.dev/v1alpha1\nkind: RotationSchedule\nmetadata: {name: hourly, namespace: shop}\n\
                    spec: {secrets: {names: [db]}, schedule: {every: 1h}, rotator: {generate: {}}}\n---\n";
    f.apply(&format!("{}{certificate}{schedule}", generated("db")));
    f.wait_ready("db", "True", "Ready");
    f.wait_ready("web", "True", "Ready");
    f.apply(&generated("more"));
    f.wait_ready("more", "False", "NamespaceFull");
}

#[test]
fn a_prometheus_that_scrapes_every_program_has_an_answer_for_every_panel() {
    let f = Fixture::new();
    let scene = Scene::start(&f);
    objects(&f);
    eventually("the policy to count", || {
        (scene.read("db", &scene.token) == "200").then_some(())
    });
    scene.traffic(0);
    for port in &scene.ports {
        let text = metrics_at(*port);
        let (fine, said) = promtool(f.keep.path(), &["check", "metrics"], &text);
        assert!(fine && said.is_empty(), "{said}\n{text}");
    }

    // A volume that follows `db`, and one that may have nothing.
    let tokens = (
        pod_token(&f, ("strongroom", "node"), "n-2"),
        pod_token(&f, ("shop", "app"), "n-2"),
    );
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(f.authority()))
        .domain_name("localhost");
    let endpoint = Channel::from_shared(format!("https://localhost:{}", scene.port))
        .unwrap()
        .tls_config(tls)
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.spawn(async move {
        let volumes = ["db", "nothing"].map(|secret| (secret.to_owned(), secret));
        let ended = simulate_node(&endpoint, (&tokens.0, &tokens.1), &volumes, |_| Ok(())).await;
        panic!("the node's stream ended: {ended:?}");
    });

    let file = f.keep.path().join("rules.yaml");
    fs::write(&file, groups().to_string()).unwrap();
    let prometheus = Prometheus::start(
        &f.keep.path().join("prometheus"),
        free_port(),
        &scene.ports,
        &file,
    );
    let mut round = 0;
    let mut answered = |what: &str, query: &str, fits: &dyn Fn(&[String]) -> bool| {
        let query = query.replace("$__rate_interval", "30s");
        eventually(&format!("{what}: {query}"), || {
            round += 1;
            scene.traffic(round);
            fits(&prometheus.series(&query)).then_some(())
        });
    };
    let all = scene.ports.len().to_string();
    let is_all = |series: &[String]| *series == [all.as_str()];
    answered("all are scraped", "sum(up)", &is_all);
    let both = |series: &[String]| *series == ["2"];
    answered(
        "both nodes have a stream",
        "strongroom_gateway_node_streams",
        &both,
    );
    let there = |series: &[String]| !series.is_empty();
    for (panel, query) in queries() {
        answered(&panel, &query, &there);
    }
    // What is told is what was done; how long it took is for the machine to say.
    let number = |series: &[String]| match series {
        [number] => number.parse::<f64>().ok().filter(|number| number.is_finite()),
        _ => None,
    };
    let most = |series: &[String]| number(series).is_some_and(|share| share > 0.9);
    let share = |series: &[String]| number(series).is_some_and(|share| (0.0..=1.0).contains(&share));
    let positive = |series: &[String]| number(series).is_some_and(|seconds| seconds > 0.0);
    answered("reads", "1 - strongroom:read_errors:ratio_rate5m", &most);
    answered("changes", "1 - strongroom:stale_changes:ratio_rate5m", &share);
    let half = "histogram_quantile(0.5, sum by (le) (rate(strongroom_delivery_seconds_bucket[30s])))";
    answered("delivery", half, &positive);
    let full = r#"strongroom_reconcile_errors_total{class="namespace_full"}"#;
    answered("a full namespace", full, &there);
    let firing = r#"ALERTS{alertname=~"StrongroomReadsFail|StrongroomAbsent"}"#;
    assert!(prometheus.series(firing).is_empty());
    // `e2e/panels` draws them, for whoever wants to see the dashboard.
    if let Some(file) = std::env::var_os("STRONGROOM_PANELS") {
        let answer = |(panel, query): (String, String)| {
            let series = prometheus.range(&query.replace("$__rate_interval", "30s"), 60);
            json!({"panel": panel, "query": query, "series": series})
        };
        let answers: Vec<Value> = queries().into_iter().map(answer).collect();
        fs::write(file, serde_json::to_vec(&answers).unwrap()).unwrap();
    }
    runtime.shutdown_background();
}
