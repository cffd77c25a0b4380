//! The promise: each NetworkPolicy of the chart lets through what it says, and nothing else.
//!
//! Shown from pods: by a connection that works and one that does not, for each direction that a policy has.
//! The local cluster does not come up where the kernel cannot enforce policies, and says what it lacks.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use strongroom_e2e::Size;
use support::{Fixture, eventually, in_time};

/// Where the API server is for every pod.
const API_SERVER: &str = "10.96.0.1";

/// One connection of a pod.
struct Connection {
    /// Whose word is that it works, or does not: `POLICY DIRECTION`. None: no policy has one, and it works,
    /// so that what does not work by a policy is refused by nothing else.
    policy: Option<&'static str>,
    /// `NAMESPACE/POD`.
    from: &'static str,
    /// The name of an address.
    to: &'static str,
    port: u16,
    works: bool,
}

const fn works(policy: &'static str, from: &'static str, to: &'static str, port: u16) -> Connection {
    Connection {
        policy: Some(policy),
        from,
        to,
        port,
        works: true,
    }
}

const fn refused(policy: &'static str, from: &'static str, to: &'static str, port: u16) -> Connection {
    Connection {
        works: false,
        ..works(policy, from, to, port)
    }
}

const fn free(from: &'static str, to: &'static str, port: u16) -> Connection {
    Connection {
        policy: None,
        from,
        to,
        port,
        works: true,
    }
}

const STRANGER: &str = "shop/stranger";
const NEIGHBOUR: &str = "strongroom/neighbour";

/// What is tried. A pod `like-…` has the labels of the component, so that its policies hold for the pod.
static CONNECTIONS: [Connection; 24] = [
    // Readers prove who they are, so anybody may come to the API; metrics are for the release's namespace.
    works("strongroom Ingress", STRANGER, "serve", 8443),
    works("strongroom Ingress", NEIGHBOUR, "serve", 8080),
    refused("strongroom Ingress", STRANGER, "serve", 8080),
    // Attestations come from the webhook alone.
    works("strongroom Ingress", "strongroom/like-webhook", "serve", 8444),
    refused("strongroom Ingress", NEIGHBOUR, "serve", 8444),
    works("strongroom Egress", "strongroom/like-serve", "API server", 443),
    refused("strongroom Egress", "strongroom/like-serve", "stranger", 8080),
    works("strongroom-front Ingress", STRANGER, "front", 8443),
    works("strongroom-front Ingress", NEIGHBOUR, "front", 8080),
    refused("strongroom-front Ingress", STRANGER, "front", 8080),
    works(
        "strongroom-front Egress",
        "strongroom/like-front",
        "API server",
        443,
    ),
    works("strongroom-front Egress", "strongroom/like-front", "serve", 8443),
    refused("strongroom-front Egress", "strongroom/like-front", "serve", 8080),
    refused(
        "strongroom-front Egress",
        "strongroom/like-front",
        "stranger",
        8080,
    ),
    works("strongroom-webhook Ingress", STRANGER, "webhook", 8443),
    works("strongroom-webhook Ingress", NEIGHBOUR, "webhook", 8080),
    refused("strongroom-webhook Ingress", STRANGER, "webhook", 8080),
    works(
        "strongroom-webhook Egress",
        "strongroom/like-webhook",
        "API server",
        443,
    ),
    refused(
        "strongroom-webhook Egress",
        "strongroom/like-webhook",
        "serve",
        8443,
    ),
    refused(
        "strongroom-webhook Egress",
        "strongroom/like-webhook",
        "stranger",
        8080,
    ),
    works("strongroom-node Ingress", NEIGHBOUR, "node", 8080),
    refused("strongroom-node Ingress", STRANGER, "node", 8080),
    free(NEIGHBOUR, "stranger", 8080),
    free(STRANGER, "API server", 443),
];

/// A pod that connects, and that says something at port 8080. It is never ready, so that no Service leads to
/// it.
fn pod(namespace: &str, name: &str, component: Option<&str>) -> String {
    let labels = component.map_or_else(String::new, |component| {
        format!(
            ", labels: {{app.kubernetes.io/name: strongroom, app.kubernetes.io/instance: strongroom, \
             app.kubernetes.io/component: {component}}}"
        )
    });
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}{labels}}}\nspec:\n  \
         automountServiceAccountToken: false\n  terminationGracePeriodSeconds: 0\n  containers:\n  - name: app\n    \
         image: strongroom.test/busybox:1\n    imagePullPolicy: Never\n    readinessProbe: {{exec: {{command: [\"false\"]}}}}\n    \
         command: [sh, -c, 'echo served > /index.html; httpd -f -p 8080 -h /']\n"
    )
}

/// The address of the first pod of a component.
fn address_of(f: &Fixture, component: &str) -> String {
    let label = format!("app.kubernetes.io/component={component}");
    let pods = f.json(&["-n", "strongroom", "get", "pods", "-l", &label]);
    pods["items"][0]["status"]["podIP"].as_str().unwrap().to_owned()
}

/// The address of a pod, once its container runs.
fn running(f: &Fixture, namespace: &str, name: &str) -> String {
    eventually(&format!("{namespace}/{name} to run"), || {
        let pod = f.json(&["-n", namespace, "get", "pod", name]);
        pod["status"]["containerStatuses"][0]["state"]["running"].as_object()?;
        pod["status"]["podIP"].as_str().map(str::to_owned)
    })
}

/// What a shell in a pod prints.
fn sh(f: &Fixture, pod: &str, script: &str) -> String {
    let (namespace, pod) = pod.split_once('/').unwrap();
    f.kubectl(&["-n", namespace, "exec", pod, "--", "sh", "-c", script])
}

/// Tries the connections of a pod; those that do not end as they should. A peer that does not hang up has
/// been reached too.
fn wrong_from(f: &Fixture, from: &str, addresses: &BTreeMap<&str, String>) -> Vec<String> {
    let tried: Vec<&Connection> = CONNECTIONS.iter().filter(|it| it.from == from).collect();
    let connect = |it: &&Connection| {
        format!(
            "timeout 5 nc -w 2 {} {} < /dev/null > /dev/null 2>&1; \
             case $? in 0|124|143) echo open;; *) echo closed;; esac\n",
            addresses[it.to], it.port
        )
    };
    let script: String = tried.iter().map(connect).collect();
    let said = sh(f, from, &script);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said.len(), tried.len(), "{from}: {said:?}");
    let ended = tried.into_iter().zip(said);
    ended
        .filter(|(it, said)| (*said == "open") != it.works)
        .map(|(it, said)| format!("{from} to {}, port {}: {said}", it.to, it.port))
        .collect()
}

/// Tries all connections, those of different pods at the same time; those that do not end as they should.
fn wrong(f: &Fixture, addresses: &BTreeMap<&str, String>) -> Vec<String> {
    let pods: BTreeSet<&str> = CONNECTIONS.iter().map(|it| it.from).collect();
    std::thread::scope(|scope| {
        let tries: Vec<_> = pods
            .into_iter()
            .map(|from| scope.spawn(move || wrong_from(f, from, addresses)))
            .collect();
        tries
            .into_iter()
            .flat_map(|tried| tried.join().unwrap())
            .collect()
    })
}

#[test]
fn every_policy_of_the_chart_lets_through_what_it_says_and_nothing_else() {
    let f = Fixture::bare(Size::OneNode);
    f.cluster.load_strongroom().unwrap();
    f.cluster.load_node_plugin().unwrap();
    for namespace in ["strongroom", "shop"] {
        f.kubectl(&["create", "namespace", namespace]);
    }
    f.install(&["node.enabled=true"]);
    for workload in [
        "deployment/strongroom-front",
        "deployment/strongroom-webhook",
        "daemonset/strongroom-node",
    ] {
        f.rolled_out("strongroom", workload);
    }
    let mut addresses: BTreeMap<&str, String> = ["serve", "front", "webhook", "node"]
        .map(|component| (component, address_of(&f, component)))
        .into();
    addresses.insert("API server", API_SERVER.to_owned());
    let pods = [
        ("shop", "stranger", None),
        ("strongroom", "neighbour", None),
        ("strongroom", "like-serve", Some("serve")),
        ("strongroom", "like-front", Some("front")),
        ("strongroom", "like-webhook", Some("webhook")),
    ];
    for (namespace, name, component) in pods {
        f.apply(&pod(namespace, name, component));
    }
    for (namespace, name, _) in pods {
        let address = running(&f, namespace, name);
        if name == "stranger" {
            addresses.insert(name, address);
        }
    }

    // Rules follow pods and their addresses a moment later. Then all of it holds at the same time.
    let mut failed = Vec::new();
    let settled = in_time(|| {
        failed = wrong(&f, &addresses);
        failed.is_empty().then_some(())
    });
    assert!(settled.is_some(), "{failed:?}");
    // And goes on holding.
    assert_eq!(wrong(&f, &addresses), Vec::<String>::new());
    // Names are resolved for those too whom a policy keeps from everything else.
    for from in ["like-serve", "like-front", "like-webhook"] {
        let ask = "nslookup strongroom-gateway.strongroom.svc.cluster.local";
        let said = sh(&f, &format!("strongroom/{from}"), ask);
        assert!(said.contains("Address: 10.96."), "{from}: {said}");
    }

    // Each direction of each policy was shown, by one that works and one that does not.
    let policies = f.json(&["get", "networkpolicies", "--all-namespaces"]);
    let mut due = BTreeSet::new();
    for policy in policies["items"].as_array().unwrap() {
        let name = policy["metadata"]["name"].as_str().unwrap();
        for direction in policy["spec"]["policyTypes"].as_array().unwrap() {
            let direction = format!("{name} {}", direction.as_str().unwrap());
            due.extend([(direction.clone(), true), (direction, false)]);
        }
    }
    let shown: BTreeSet<(String, bool)> = CONNECTIONS
        .iter()
        .filter_map(|connection| Some((connection.policy?.to_owned(), connection.works)))
        .collect();
    assert_eq!(shown, due);
}
