//! The promise: the chart installs what the process needs and no more, and writing a custom resource gives
//! nobody more than RBAC gave.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::process::Command;

use strongroom_e2e::{Programs, Size};
use support::{ALL_NAMESPACES, Fixture, condition, eventually, generated};

/// The chart, rendered with these values, and with rights on the Secrets of the whole cluster unless they say
/// less.
fn render(values: &[&str]) -> Result<String, String> {
    template(&[], &[&[ALL_NAMESPACES], values].concat())
}

/// The chart, rendered with these arguments and values, and nothing else.
fn template(arguments: &[&str], values: &[&str]) -> Result<String, String> {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/strongroom");
    let mut helm = Command::new(Programs::helm().unwrap());
    helm.args(["template", "strongroom", chart, "--namespace", "strongroom"])
        .args(arguments);
    for value in values {
        helm.args(["--set", value]);
    }
    let output = helm.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

fn kinds(rendered: &str, kind: &str) -> usize {
    rendered
        .lines()
        .filter(|line| *line == format!("kind: {kind}"))
        .count()
}

#[test]
fn the_node_plugin_comes_with_one_switch_and_has_no_right_at_the_api_server() {
    let plain = render(&[]).unwrap();
    assert!(kinds(&plain, "DaemonSet") == 0 && kinds(&plain, "CSIDriver") == 0);
    let with = render(&["node.enabled=true"]).unwrap();
    assert!(kinds(&with, "DaemonSet") == 1 && kinds(&with, "CSIDriver") == 1);
    for kind in ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"] {
        assert_eq!(kinds(&with, kind), kinds(&plain, kind), "{kind}");
    }
    assert!(with.contains("--gateway-url=https://strongroom-gateway.strongroom.svc:443"));
    assert!(with.contains("mountPath: /var/lib/kubelet/plugins_registry") && !with.contains("registrar"));
    let elsewhere = render(&[
        "node.enabled=true",
        "node.kubeletDir=/var/lib/k0s/kubelet",
        "node.registrar.enabled=true",
    ])
    .unwrap();
    assert!(
        elsewhere
            .contains("--kubelet-registration-path=/var/lib/k0s/kubelet/plugins/csi.strongroom.dev/csi.sock")
    );
    assert!(elsewhere.contains("mountPath: /var/lib/k0s/kubelet/pods, mountPropagation: Bidirectional"));
    assert!(!elsewhere.contains("/var/lib/kubelet"));
    for wrong in [
        "node.kubeletDir=kubelet",
        "node.gateway.url=http://x",
        "node.tokenExpirationSeconds=60",
    ] {
        assert!(render(&["node.enabled=true", wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn where_secrets_may_be_read_must_be_given_at_an_install_and_stays_what_it_was_at_an_upgrade() {
    for nothing in [
        &[][..],
        &["--set", "nativeSecrets.namespaces=null"],
        &["--set-json", "nativeSecrets.namespaces=[]"],
    ] {
        let said = template(nothing, &[]).unwrap_err();
        for line in [
            "--set 'nativeSecrets.namespaces={shop,pay}' ",
            "--set nativeSecrets.namespaces='*' ",
        ] {
            assert!(said.contains(line), "{said}");
        }
        assert_eq!(
            template(&[&["--is-upgrade"], nothing].concat(), &[]).unwrap(),
            template(&["--is-upgrade"], &[ALL_NAMESPACES]).unwrap()
        );
    }
    // A file of values says the same.
    let keep = tempfile::tempdir().unwrap();
    let file = keep.path().join("values.yaml");
    let of_file = |text: &str| {
        std::fs::write(&file, text).unwrap();
        template(&["-f", file.to_str().unwrap()], &[]).unwrap()
    };
    assert_eq!(
        of_file("nativeSecrets: {namespaces: \"*\"}\n"),
        render(&[]).unwrap()
    );
    assert_eq!(
        of_file("nativeSecrets: {namespaces: [shop, pay]}\n"),
        render(&["nativeSecrets.namespaces={shop,pay}"]).unwrap()
    );
}

/// The policy for the API server is one as it reads it, and of the namespaces where native Secrets may be.
#[test]
fn the_audit_policy_is_of_the_namespaces_where_native_secrets_may_be() {
    for (values, namespaces) in [
        (ALL_NAMESPACES, serde_json::Value::Null),
        (
            "nativeSecrets.namespaces={shop,pay}",
            serde_json::json!(["", "shop", "pay"]),
        ),
    ] {
        let rendered = render(&[values]).unwrap();
        let map = document(&rendered, "ConfigMap", "strongroom-audit-policy");
        let policy: serde_json::Value =
            serde_saphyr::from_str(map["data"]["policy.yaml"].as_str().unwrap()).unwrap();
        assert_eq!(policy["apiVersion"], "audit.k8s.io/v1");
        assert_eq!(policy["kind"], "Policy");
        let rule = &policy["rules"][0];
        assert_eq!(rule["level"], "Metadata", "{policy}");
        assert_eq!(
            rule["resources"],
            serde_json::json!([{"group": "", "resources": ["secrets"]}])
        );
        assert_eq!(rule["namespaces"], namespaces);
        assert_eq!(policy["rules"][1], serde_json::json!({"level": "None"}));
    }
}

/// Everything of the node plugin, and nothing else, is in the namespace that its value names.
#[test]
fn the_node_plugin_has_a_namespace_of_its_own_where_one_is_named() {
    let own = "\n  namespace: nodes\n";
    let here = render(&["node.enabled=true"]).unwrap();
    assert!(here.contains("--node-account=strongroom/strongroom-node"));
    assert!(!here.contains(own) && kinds(&here, "Namespace") == 0);
    let there = render(&["node.enabled=true", "env.enabled=true", "node.namespace=nodes"]).unwrap();
    assert!(there.contains("--node-account=nodes/strongroom-node"));
    assert!(there.contains("values: [kube-system, strongroom, nodes]"));
    let of_the_node = |document: &&str| document.contains("\n  name: strongroom-node\n");
    let documents: Vec<&str> = there.split("\n---\n").filter(of_the_node).collect();
    assert_eq!(documents.len(), 3, "DaemonSet, ServiceAccount, NetworkPolicy");
    assert!(documents.iter().all(|document| document.contains(own)), "{there}");
    assert_eq!(there.matches(own).count(), 3);
    // Metrics are read from the release's namespace all the same.
    let policy = documents
        .iter()
        .find(|document| document.contains("kind: NetworkPolicy"))
        .unwrap();
    assert!(
        policy.contains("namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: strongroom}}"),
        "{policy}"
    );
    let made = [
        "node.enabled=true",
        "node.namespace=nodes",
        "node.createNamespace=true",
    ];
    let made = render(&made).unwrap();
    assert_eq!(kinds(&made, "Namespace"), 1);
    for line in [
        "    pod-security.kubernetes.io/enforce: privileged\n",
        "    strongroom.dev/ca: \"true\"\n",
        "    helm.sh/resource-policy: keep\n",
    ] {
        assert!(made.contains(line), "{line}");
    }
    let said = render(&["node.enabled=true", "node.createNamespace=true"]).unwrap_err();
    assert!(said.contains("name another one there"), "{said}");
    assert!(render(&["node.enabled=true", "node.namespace=No"]).is_err());
}

#[test]
fn service_accounts_come_over_the_extension_api_unless_a_value_refuses_them() {
    let argument = "--people-service-accounts=";
    let plain = render(&[]).unwrap();
    assert!(plain.contains(&format!("{argument}allow")));
    let refused = render(&["people.serviceAccounts=false"]).unwrap();
    assert!(refused.contains(&format!("{argument}refuse")));
    assert!(!render(&["people.enabled=false"]).unwrap().contains(argument));
}

#[test]
fn the_init_container_of_variables_has_the_resources_that_the_values_say() {
    let plain = render(&["node.enabled=true", "env.enabled=true"]).unwrap();
    let argument = |limits: &str, requests: &str| {
        format!(r#"- "--exec-resources={{\"limits\":{limits},\"requests\":{requests}}}""#)
    };
    let usual = r#"{\"cpu\":\"50m\",\"memory\":\"32Mi\"}"#;
    assert!(plain.contains(&argument(usual, usual)), "{plain}");
    let more = render(&[
        "node.enabled=true",
        "env.enabled=true",
        "env.initContainer.resources.requests.memory=48Mi",
        "env.initContainer.resources.limits.memory=64Mi",
    ])
    .unwrap();
    let expected = argument(
        r#"{\"cpu\":\"50m\",\"memory\":\"64Mi\"}"#,
        r#"{\"cpu\":\"50m\",\"memory\":\"48Mi\"}"#,
    );
    assert!(more.contains(&expected), "{more}");
}

#[test]
fn variables_come_with_one_switch_and_their_webhook_may_read_its_own_certificate_alone() {
    let plain = render(&["node.enabled=true"]).unwrap();
    let with = render(&["node.enabled=true", "env.enabled=true"]).unwrap();
    for (kind, more) in [
        ("MutatingWebhookConfiguration", 1),
        ("ValidatingWebhookConfiguration", 0),
        ("Deployment", 0),
        ("Service", 0),
        ("NetworkPolicy", 0),
        ("PodDisruptionBudget", 0),
        ("Role", 0),
        ("ClusterRole", 0),
        ("ClusterRoleBinding", 0),
        ("ValidatingAdmissionPolicy", 0),
    ] {
        assert_eq!(kinds(&with, kind), kinds(&plain, kind) + more, "{kind}");
    }
    assert!(!plain.contains("--exec-image"));
    assert!(with.contains("--exec-image=strongroom.dev/strongroom-exec:0.1.0"));
    assert!(with.contains("values: [kube-system, strongroom]"));
    let other = [
        "node.enabled=true",
        "env.enabled=true",
        "env.image.repository=r.example/x",
        "env.image.tag=v7",
    ];
    assert!(render(&other).unwrap().contains("--exec-image=r.example/x:v7"));
    let said = render(&["env.enabled=true"]).unwrap_err();
    assert!(said.contains("env.enabled needs node.enabled"), "{said}");
    assert!(render(&["node.enabled=true", "env.replicas=0"]).is_err());
}

/// The documents of a rendered chart of this kind and name.
fn document(rendered: &str, kind: &str, name: &str) -> serde_json::Value {
    let found = rendered.split("\n---").find(|document| {
        let is = |line: String| document.lines().any(|it| it == line);
        is(format!("kind: {kind}")) && is(format!("  name: {name}"))
    });
    assert!(found.is_some(), "no {kind} {name}");
    serde_saphyr::from_str(found.unwrap()).unwrap()
}

#[test]
fn who_writes_objects_is_asked_always_and_holds_nobody_up() {
    let plain = render(&[]).unwrap();
    let asked = document(&plain, "ValidatingWebhookConfiguration", "strongroom-webhook");
    let webhooks = asked["webhooks"].as_array().unwrap();
    assert_eq!(webhooks.len(), 2);
    for webhook in webhooks {
        assert_eq!(webhook["failurePolicy"], "Ignore");
        assert_eq!(webhook["timeoutSeconds"], 2);
        assert_eq!(webhook["sideEffects"], "NoneOnDryRun");
        assert_eq!(webhook["clientConfig"]["service"]["path"], "/attest");
        assert_eq!(
            webhook["rules"][0]["operations"],
            serde_json::json!(["CREATE", "UPDATE", "DELETE"])
        );
    }
    let kinds_of_ours = &webhooks[0]["rules"][0]["resources"];
    assert_eq!(
        kinds_of_ours,
        &serde_json::json!([
            "managedsecrets",
            "rotationschedules",
            "secretpolicies",
            "encryptionkeys"
        ])
    );
    // It reads its own certificate, and nothing else anywhere.
    let role = document(&plain, "Role", "strongroom-webhook");
    assert_eq!(
        role["rules"],
        serde_json::json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["strongroom-webhook-tls"],
            "verbs": ["get", "list", "watch"]}])
    );
    // Nobody but the webhook comes to where it says so.
    let policy = document(&plain, "NetworkPolicy", "strongroom");
    let to = policy["spec"]["ingress"].as_array().unwrap().iter();
    let mut to = to.filter(|rule| rule["ports"][0]["port"] == "attestations");
    let peer = &to.next().unwrap()["from"][0]["podSelector"]["matchLabels"];
    assert_eq!(peer["app.kubernetes.io/component"], "webhook");
    assert!(to.next().is_none());
    for said in [
        "--webhook=strongroom-webhook",
        "--attestations-listen=0.0.0.0:8444",
        "--attestations-address=strongroom-gateway.strongroom.svc:8444",
    ] {
        assert!(plain.contains(said), "{said}");
    }
    let replicas = |values: &[&str]| {
        document(&render(values).unwrap(), "Deployment", "strongroom-webhook")["spec"]["replicas"].clone()
    };
    assert_eq!(replicas(&[]), 2);
    assert_eq!(replicas(&["webhook.replicas=3"]), 3);
    assert_eq!(
        replicas(&["webhook.replicas=3", "env.replicas=4"]),
        4,
        "as before"
    );
}

#[test]
fn the_extension_api_server_is_spread_and_may_ask_what_rbac_lets_people_get() {
    let plain = render(&[]).unwrap();
    for said in [
        "whenUnsatisfiable: DoNotSchedule",
        "nodeTaintsPolicy: Honor",
        "matchLabelKeys: [pod-template-hash]",
        "resources: [subjectaccessreviews]",
        "resources: [secrets, secrets/access, secrets/consumers, secrets/history]",
    ] {
        assert_eq!(plain.matches(said).count(), 1, "{said}");
    }
    let without = render(&["people.enabled=false"]).unwrap();
    assert!(!without.contains("subjectaccessreviews") && !without.contains("people.strongroom.dev]"));
    let watched = render(&["metrics.prometheusRule.enabled=true"]).unwrap();
    for alert in [
        "StrongroomGatewayUnreachable",
        "StrongroomClaimPending",
        "StrongroomPeopleApiUnavailable",
        "StrongroomNamespaceFull",
    ] {
        assert!(watched.contains(&format!("alert: {alert}")), "{alert}");
    }
    let line = "kubectl delete apiservice v1.people.strongroom.dev";
    assert!(watched.contains(line) && include_str!("../../docs/cli.md").contains(line));
}

/// Against an API server alone: nothing of the release has to run for the chart to see what it was installed
/// with.
#[test]
fn what_cannot_be_changed_later_is_refused_with_a_sentence_before_anything_is_applied() {
    let f = Fixture::bare(Size::Api);
    f.kubectl(&["create", "namespace", "strongroom"]);
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/strongroom");
    let helm = |command: &str, values: &[&str]| {
        let mut helm = Command::new(Programs::helm().unwrap());
        helm.args([command, "strongroom", chart, "--namespace", "strongroom"])
            .env("KUBECONFIG", f.cluster.kubeconfig());
        for value in values {
            helm.args(["--set", value]);
        }
        let output = helm.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    // What must be given, and the lines to choose from: each is a line that a shell takes.
    let refused = helm("install", &[]);
    let lines = [
        "--set 'nativeSecrets.namespaces={shop,pay}' ",
        "--set nativeSecrets.namespaces='*' ",
    ];
    assert!(
        !refused.0 && lines.iter().all(|line| refused.1.contains(line)),
        "{}",
        refused.1
    );
    let refused = helm(
        "install",
        &[ALL_NAMESPACES, "node.enabled=true", "node.namespace=nodes"],
    );
    let line = "kubectl create namespace nodes && kubectl label namespace nodes pod-security.kubernetes.io/enforce=privileged strongroom.dev/ca=true";
    assert!(!refused.0 && refused.1.contains(line), "{}", refused.1);
    let installed = helm("install", &[ALL_NAMESPACES, "gateway.clusterIP=10.96.0.78"]);
    assert!(installed.0, "{}", installed.1);
    let version = || {
        f.json(&["-n", "strongroom", "get", "secrets", "-l", "owner=helm"])["items"]
            .as_array()
            .unwrap()
            .len()
    };
    let before = version();
    for (values, said) in [
        ("fullnameOverride=vault", "Set fullnameOverride=strongroom"),
        ("persistence.size=3Gi", "leave persistence.size=2Gi"),
        (
            "persistence.accessMode=ReadWriteOnce",
            "persistence.accessMode cannot be changed",
        ),
        (
            "persistence.storageClass=fast",
            "persistence.storageClass cannot be changed",
        ),
        (
            "persistence.hostPath=/data",
            "persistence.hostPath cannot be set later",
        ),
        (
            "gateway.clusterIP=10.96.0.79",
            "gateway.clusterIP cannot be changed (it is 10.96.0.78)",
        ),
    ] {
        let refused = helm("upgrade", &[values]);
        assert!(!refused.0 && refused.1.contains(said), "{values}: {}", refused.1);
    }
    assert_eq!(version(), before, "nothing was applied");
    // The same in other words, and what may change, goes through.
    let upgraded = helm(
        "upgrade",
        &[
            "gateway.clusterIP=10.96.0.78",
            "persistence.size=2048Mi",
            "gateway.readRate=100",
        ],
    );
    assert!(upgraded.0, "{}", upgraded.1);
    // A release from before it was asked goes on, and is told; one that says it is not.
    let loud = "nativeSecrets.namespaces IS NOT SET";
    let notes = || f.helm(&["get", "notes", "strongroom"]);
    assert!(notes().contains(loud), "{}", notes());
    let upgraded = helm("upgrade", &["gateway.clusterIP=10.96.0.78", ALL_NAMESPACES]);
    assert!(upgraded.0, "{}", upgraded.1);
    assert!(!notes().contains(loud), "{}", notes());
    // Rights that were narrowed are not widened by leaving the value out.
    let narrowed = helm(
        "upgrade",
        &[
            "gateway.clusterIP=10.96.0.78",
            "nativeSecrets.namespaces={default}",
        ],
    );
    assert!(narrowed.0, "{}", narrowed.1);
    let refused = helm("upgrade", &["gateway.clusterIP=10.96.0.78"]);
    assert!(
        !refused.0 && refused.1.contains("this release was restricted by it"),
        "{}",
        refused.1
    );

    // Nothing of the release runs here, and its claim has no volume: `status` says so, with an exit code.
    eventually("the claim of the store", || {
        let (success, _, said) = f.person(None, &["status"], "");
        let told = ["the claim of the store is Pending", "is not available"];
        (!success && told.iter().all(|text| said.contains(text))).then_some(())
    });
    // With no pod of the extension API server no namespace goes, until the line of the page is followed.
    f.kubectl(&["create", "namespace", "stuck"]);
    f.kubectl(&["delete", "namespace", "stuck", "--wait=false"]);
    eventually("the namespace to say what it waits for", || {
        let namespace = f.json(&["get", "namespace", "stuck"]);
        let failed = condition(&namespace, "NamespaceDeletionDiscoveryFailure")?;
        (failed["status"] == "True").then_some(())
    });
    let page = include_str!("../../docs/cli.md");
    let line = page
        .lines()
        .find(|line| line.starts_with("kubectl delete apiservice "))
        .unwrap();
    f.kubectl(&line.split_whitespace().skip(1).collect::<Vec<_>>());
    f.kubectl(&["wait", "--for=delete", "namespace/stuck", "--timeout=120s"]);
}

/// A warning that is always there is one that nobody reads. The cluster has a default class of storage; the
/// namespace has pods of a restricted kind alone, and says so of others.
#[test]
fn a_good_install_prints_no_warning() {
    let f = Fixture::bare(Size::Api);
    f.apply(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: strongroom, labels: {pod-security.kubernetes.io/warn: restricted, \
         pod-security.kubernetes.io/enforce: restricted}}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n\
         apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: some, annotations: \
         {storageclass.kubernetes.io/is-default-class: \"true\"}}\nprovisioner: kubernetes.io/no-provisioner\n",
    );
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/strongroom");
    for command in ["install", "upgrade", "uninstall"] {
        let mut helm = Command::new(Programs::helm().unwrap());
        helm.args([command, "strongroom"]);
        if command != "uninstall" {
            helm.args([chart, "--set", ALL_NAMESPACES]);
        }
        helm.args(["--namespace", "strongroom"])
            .env("KUBECONFIG", f.cluster.kubeconfig());
        let output = helm.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (printed, said) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{command}: {said}");
        assert_eq!(said, "", "{command}");
        assert!(
            !printed.to_lowercase().contains("warning") && !printed.contains("Pending"),
            "{command}: {printed}"
        );
    }
    // What people apply next.
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/samples");
    let (success, _, said) = f.piped(&["-n", "shop", "apply", "-f", samples], "");
    assert!(success && said.is_empty(), "{said}");
}

#[test]
fn values_switch_what_they_say_and_wrong_ones_are_refused() {
    let plain = render(&[]).unwrap();
    assert_eq!(kinds(&plain, "CustomResourceDefinition"), 4);
    assert_eq!(plain.matches("helm.sh/resource-policy: keep").count(), 4);
    assert_eq!(kinds(&plain, "PersistentVolume"), 0);
    assert_eq!(kinds(&plain, "ServiceMonitor"), 0);
    assert!(plain.contains("runAsNonRoot: true") && plain.contains("readOnlyRootFilesystem: true"));
    assert!(!plain.contains("privileged: true"));
    let sink = "syslog+tls://siem.example.com:6514?ca=/etc/siem/ca.crt";
    let told = render(&[&format!("audit.sinks={{{sink}}}"), "networkPolicy.enabled=true"]).unwrap();
    assert!(
        told.contains(&format!("--audit-sink={sink}")) && told.contains("port: 6514"),
        "{told}"
    );
    assert!(!plain.contains("--audit-sink") && !plain.contains("6514"));
    let sink =
        "webhook+https://siem.example.com:8443/in?ca=/etc/siem/ca.crt&key=/etc/strongroom/audit-webhook/key";
    let signed = render(&[
        &format!("audit.sinks={{{sink}}}"),
        "audit.webhook.secretName=signing",
    ])
    .unwrap();
    let argument = format!("--audit-sink={sink}");
    for part in [
        argument.as_str(),
        "{name: audit-webhook, mountPath: /etc/strongroom/audit-webhook, readOnly: true}",
        "{name: audit-webhook, secret: {secretName: signing}}",
    ] {
        assert!(signed.contains(part), "{part}");
    }
    assert!(!plain.contains("audit-webhook"));
    // A key has a file.
    assert!(render(&["audit.sinks={webhook+https://siem:8443/in?ca=/ca.crt}"]).is_err());
    let kept = render(&[
        "audit.keepFor=90d",
        "audit.keepBytes=1Gi",
        "audit.bound=1500Mi",
        "audit.whenFull=drop-exported",
        &format!("audit.sinks={{{sink}}}"),
    ])
    .unwrap();
    for argument in [
        "--audit-keep-for=90d",
        "--audit-keep-bytes=1Gi",
        "--audit-bound=1500Mi",
        "--audit-when-full=drop-exported",
    ] {
        assert!(kept.contains(argument), "{argument}");
    }
    // By default it rolls within its volume, and no sink and no reader is waited for.
    assert!(plain.contains("--audit-when-full=roll") && plain.contains("--volume-size=2Gi"));
    assert!(!plain.contains("--audit-keep") && !plain.contains("--audit-bound"));
    assert!(
        render(&["persistence.size=512Mi"])
            .unwrap()
            .contains("--volume-size=512Mi")
    );
    // A namespace has ten thousand secrets, and what the program makes of the volume.
    assert!(plain.contains("--namespace-secrets=10000") && !plain.contains("--namespace-bytes"));
    let shares = ["shares.namespace.secrets=50000", "shares.namespace.bytes=500Mi"];
    let shares = render(&shares).unwrap();
    assert!(shares.contains("--namespace-secrets=50000") && shares.contains("--namespace-bytes=500Mi"));
    assert!(render(&["audit.sinks={syslog://siem:514}"]).is_err());
    assert_eq!(
        kinds(
            &render(&["crds.install=false"]).unwrap(),
            "CustomResourceDefinition"
        ),
        0
    );
    let narrow = render(&["nativeSecrets.namespaces={shop,pay}"]).unwrap();
    assert!(narrow.contains("--native-secret-namespaces=shop,pay"));
    assert!(!plain.contains("--native-secret-namespaces"));
    let wide = |rendered: &str| kinds(rendered, "ClusterRoleBinding");
    assert_eq!(
        wide(&narrow) + 1,
        wide(&plain),
        "the rights on Secrets are no longer the whole cluster's"
    );
    assert_eq!(
        kinds(
            &render(&["persistence.hostPath=/var/lib/x"]).unwrap(),
            "PersistentVolume"
        ),
        1
    );
    assert_eq!(
        kinds(
            &render(&["metrics.serviceMonitor.enabled=true"]).unwrap(),
            "ServiceMonitor"
        ),
        1
    );
    // All that has metrics is scraped: by a port called `http` of its Service, or as a pod.
    let scraped = render(&[
        "metrics.serviceMonitor.enabled=true",
        "node.enabled=true",
        "node.namespace=nodes",
    ])
    .unwrap();
    for service in ["strongroom", "strongroom-front", "strongroom-webhook"] {
        let ports = document(&scraped, "Service", service)["spec"]["ports"].clone();
        let of_metrics = |port: &serde_json::Value| port["name"] == "http" && port["targetPort"] == "http";
        assert!(ports.as_array().unwrap().iter().any(of_metrics), "{service}");
    }
    let pods = document(&scraped, "PodMonitor", "strongroom-node")["spec"].clone();
    assert_eq!(
        pods["namespaceSelector"],
        serde_json::json!({"matchNames": ["nodes"]})
    );
    assert_eq!(
        pods["selector"]["matchLabels"]["app.kubernetes.io/component"],
        "node"
    );
    assert_eq!(kinds(&plain, "PodMonitor"), 0);
    // The people's front, its API and its rights come and go with one switch.
    let alone = render(&["people.enabled=false"]).unwrap();
    for (kind, with) in [
        ("APIService", 1),
        ("Deployment", 2),
        ("Service", 4),
        ("PodDisruptionBudget", 3),
        ("NetworkPolicy", 3),
    ] {
        assert_eq!(kinds(&plain, kind), with, "{kind}");
        assert!(kinds(&alone, kind) < with, "{kind}");
    }
    assert!(
        !alone.contains("front") && !alone.contains("people.strongroom.dev"),
        "{alone}"
    );
    let fixed = render(&["gateway.clusterIP=10.96.0.77"]).unwrap();
    assert!(fixed.contains("--gateway-address=10.96.0.77:443"));
    assert!(plain.contains("--gateway-address=strongroom-gateway.strongroom.svc:443"));
    let rules = render(&["metrics.prometheusRule.enabled=true"]).unwrap();
    assert_eq!(kinds(&rules, "PrometheusRule"), 1);
    assert!(
        rules.contains("persistentvolumeclaim=~\"data-strongroom-.+\""),
        "{rules}"
    );
    assert!(
        rules.contains("{{ $labels.kind }}"),
        "Prometheus' own template stays as it is"
    );
    for wrong in [
        "serve.anchor.mode=loose",
        "serve.concurrency=0",
        "nativeSecrets.namespaces={Shop}",
        "nativeSecrets.namespaces={*}",
        "nativeSecrets.namespaces=shop",
        "unknown=1",
        "persistence.size=2",
        "audit.keepFor=90",
        "audit.keepBytes=1G",
        "audit.whenFull=drop-exported",
        "audit.whenFull=never",
        "shares.namespace.secrets=-1",
        "shares.namespace.bytes=1G",
        "metrics.prometheusRule.slo.reads=100",
        "metrics.prometheusRule.runbooks=here",
    ] {
        assert!(render(&[wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn a_restricted_user_gets_no_more_through_a_custom_resource_than_rbac_gave() {
    let f = Fixture::new();
    f.apply(&render(&[]).unwrap());
    f.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: writer, namespace: shop}\nrules:\n\
         - {apiGroups: [strongroom.dev], resources: [managedsecrets], verbs: [get, list, create, update, patch]}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: writer, namespace: shop}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: writer}\n\
         subjects: [{kind: User, name: eve, apiGroup: rbac.authorization.k8s.io}]\n",
    );
    let as_eve = ["--as=eve", "apply", "-f", "-"];
    let plain = "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: eves, namespace: shop}\n\
                 spec:\n  source: {generate: {keys: {a: {uuid: {}}}}}\n";
    // The policies take a moment to be in force.
    let import = "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: stolen, namespace: shop}\n\
                  spec:\n  source: {import: {secretRef: {name: others}}}\n";
    let said = support::eventually("the policies to be in force", || {
        let (success, _, stderr) = f.piped(&as_eve, import);
        if success {
            f.kubectl(&["-n", "shop", "delete", "managedsecret", "stolen"]);
        }
        (!success).then_some(stderr)
    });
    assert!(
        said.contains("reads the Secret `others`, which you may not get"),
        "{said}"
    );
    // Nobody would give it its variables, so that it must not start.
    let asks = "apiVersion: v1\nkind: Pod\nmetadata: {name: asks, namespace: shop, annotations: {strongroom.dev/env: exec}}\n\
                spec: {containers: [{name: app, image: i}]}\n";
    let said = support::eventually("the policy for pods to be in force", || {
        let (success, _, stderr) = f.piped(&["create", "-f", "-"], asks);
        if success {
            f.kubectl(&["-n", "shop", "delete", "pod", "asks", "--wait=false"]);
        }
        (!success && !stderr.contains("AlreadyExists")).then_some(stderr)
    });
    assert!(said.contains("install its chart with env.enabled=true"), "{said}");
    let (success, _, stderr) = f.piped(&as_eve, plain);
    assert!(
        success,
        "a secret that touches no native Secret is hers to make: {stderr}"
    );
    let said = f.refused(&as_eve, &generated("eves"));
    assert!(
        said.contains("writes the Secret `eves`, which you may not write"),
        "{said}"
    );
    for (annotation, needs) in [
        ("restore", "verb grant"),
        ("purge", "verb grant"),
        ("readopt", "verb grant"),
    ] {
        let set = format!("strongroom.dev/{annotation}=00000000000000000000000000000000");
        let said = f.refused(
            &[
                "--as=eve",
                "-n",
                "shop",
                "annotate",
                "managedsecret",
                "eves",
                &set,
            ],
            "",
        );
        assert!(said.contains(needs), "{annotation}: {said}");
    }
    // Readers give the value away, and only the verb grant lets her do that; taking one away is hers.
    let readers = |list: &str| plain.replace("spec:\n", &format!("spec:\n  readers: [{list}]\n"));
    let said = f.refused(&as_eve, &readers("app"));
    assert!(
        said.contains("spec.readers") && said.contains("verb grant"),
        "{said}"
    );
    f.apply(&readers("app, web"));
    let said = f.refused(&as_eve, &readers("app, spy"));
    assert!(said.contains("verb grant"), "{said}");
    let (success, _, stderr) = f.piped(&as_eve, &readers("app"));
    assert!(success, "{stderr}");
    // Whoever has the rights is let through.
    f.apply(&generated("eves"));
    f.apply(import);
    f.kubectl(&[
        "-n",
        "shop",
        "annotate",
        "managedsecret",
        "eves",
        "strongroom.dev/purge=00000000000000000000000000000000",
    ]);
    // An immutable Secret keeps its value: what asks for another one is refused where one object shows it.
    let immutable = |annotations: &str, literal: &str, immutable: bool| {
        format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\n\
             metadata: {{name: fixed, namespace: shop, annotations: {{{annotations}}}}}\nspec:\n  \
             source: {{generate: {{keys: {{a: {{literal: {literal}}}}}}}}}\n  secret: {{name: fixed, immutable: {immutable}}}\n"
        )
    };
    let apply = ["apply", "-f", "-"];
    let said = f.refused(&apply, &immutable("strongroom.dev/rotate-now: x", "one", true));
    assert!(said.contains("an immutable Secret keeps its value"), "{said}");
    f.apply(&immutable("", "one", true));
    let said = f.refused(&apply, &immutable("strongroom.dev/rotate-now: x", "one", true));
    assert!(said.contains("an immutable Secret keeps its value"), "{said}");
    let said = f.refused(&apply, &immutable("", "two", true));
    assert!(
        said.contains("literals and the names of the keys cannot change"),
        "{said}"
    );
    f.apply(&immutable("strongroom.dev/rotate-now: x", "two", false));
    // The aggregated roles reach the built-in ones.
    let on = |resource: &str, verb: &str, role: &str| {
        let rules = f.json(&["get", "clusterrole", role]);
        let rules = rules["rules"].as_array().cloned().unwrap_or_default();
        rules.iter().any(|rule| {
            let has = |field: &str, item: &str| {
                rule[field]
                    .as_array()
                    .is_some_and(|list| list.iter().any(|there| there == item))
            };
            has("apiGroups", "strongroom.dev") && has("resources", resource) && has("verbs", verb)
        })
    };
    let may = |verb: &str, role: &str| on("managedsecrets", verb, role);
    support::eventually("the roles to be aggregated", || {
        (may("get", "view") && may("create", "edit") && may("grant", "admin")).then_some(())
    });
    assert!(!may("create", "view") && !may("grant", "edit"));
    // A SecretPolicy gives rights away, as a RoleBinding does.
    assert!(on("secretpolicies", "get", "view") && on("secretpolicies", "create", "admin"));
    assert!(!on("secretpolicies", "create", "edit") && !on("secretpolicies", "update", "edit"));
    assert!(on("encryptionkeys", "get", "view") && on("encryptionkeys", "delete", "admin"));
    assert!(!on("encryptionkeys", "create", "edit") && !on("encryptionkeys", "delete", "edit"));
}

#[test]
fn samples_are_accepted_and_wrong_objects_are_refused_with_field_and_reason() {
    let f = Fixture::new();
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/samples");
    f.kubectl(&["-n", "shop", "apply", "--dry-run=server", "-f", samples]);
    let head = "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: wrong, namespace: shop}\nspec:\n";
    let big = "x".repeat(70_000);
    for (what, spec, said) in [
        ("two sources", "  source: {generate: {keys: {a: {uuid: {}}}}, import: {secretRef: {name: x}}}\n".to_owned(), "source"),
        ("no source", "  source: {}\n".to_owned(), "source"),
        ("an empty key", "  source: {generate: {keys: {\"\": {uuid: {}}}}}\n".to_owned(), "keys"),
        ("an illegal key", "  source: {generate: {keys: {\"a b\": {uuid: {}}}}}\n".to_owned(), "keys"),
        ("a literal over 64 KiB", format!("  source: {{generate: {{keys: {{a: {{literal: {big}}}}}}}}}\n"), "literal"),
        ("a window of 31 days", "  source: {generate: {keys: {a: {uuid: {}}}}}\n  deletion: {recoveryWindow: 31d}\n".to_owned(), "recoveryWindow"),
        ("a name with `..`", "  storeName: a/../b\n  source: {generate: {keys: {a: {uuid: {}}}}}\n".to_owned(), "storeName"),
        ("a name with `!`", "  storeName: a!b\n  source: {generate: {keys: {a: {uuid: {}}}}}\n".to_owned(), "storeName"),
        ("an unknown field", "  sauce: {}\n  source: {generate: {keys: {a: {uuid: {}}}}}\n".to_owned(), "sauce"),
        ("a token Secret", "  source: {generate: {keys: {a: {uuid: {}}}}}\n  secret: {name: x, type: kubernetes.io/service-account-token}\n".to_owned(), "type"),
    ] {
        let answer = f.refused(&["apply", "-f", "-"], &format!("{head}{spec}"));
        assert!(answer.contains(said), "{what}: {answer}");
        assert!(!answer.contains(&big), "{what}");
    }
    let answer = f.refused(
        &["apply", "-f", "-"],
        "apiVersion: strongroom.dev/v1alpha1\nkind: RotationSchedule\nmetadata: {name: wrong, namespace: shop}\nspec:\n  \
         secrets: {selector: {}}\n  schedule: {every: 1h}\n  jitter: 30d\n  rotator: {generate: {}}\n",
    );
    assert!(
        answer.contains("jitter is longer than schedule.every"),
        "{answer}"
    );
    f.apply(&format!(
        "{head}  storeName: first\n  source: {{generate: {{keys: {{a: {{uuid: {{}}}}}}}}}}\n"
    ));
    let moved =
        format!("{head}  storeName: second\n  source: {{generate: {{keys: {{a: {{uuid: {{}}}}}}}}}}\n");
    let answer = f.refused(&["apply", "-f", "-"], &moved);
    assert!(answer.contains("storeName"), "{answer}");
}

#[test]
fn a_namespace_gives_up_its_recovery_windows_by_a_cluster_administrator_alone() {
    let f = Fixture::new();
    f.apply(&render(&[]).unwrap());
    f.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: namespaces}\nrules:\n\
         - {apiGroups: [''], resources: [namespaces, namespaces/status, namespaces/finalize], verbs: [get, create, update, patch]}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: namespaces}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: namespaces}\n\
         subjects: [{kind: User, name: mallory, apiGroup: rbac.authorization.k8s.io}]\n---\n\
         apiVersion: v1\nkind: Namespace\nmetadata: {name: hers}\n",
    );
    let new = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{strongroom.dev/recovery: none}}}}\n"
        )
    };
    let as_her = ["--as=mallory", "create", "-f", "-"];
    let mut number = 0;
    // The policies take a moment to be in force.
    let said = support::eventually("the policies to be in force", || {
        number += 1;
        let (success, _, stderr) = f.piped(&as_her, &new(&format!("preview-{number}")));
        (!success).then_some(stderr)
    });
    assert!(
        said.contains("verb grant on managedsecrets.strongroom.dev in the whole cluster"),
        "{said}"
    );
    let metadata = [
        r#"{"metadata":{"labels":{"strongroom.dev/recovery":"none"}}}"#,
        r#"{"metadata":{"annotations":{"strongroom.dev/accept-namespace":"00000000-0000-0000-0000-000000000000"}}}"#,
    ];
    for patch in metadata {
        for over in [None, Some("--subresource=status")] {
            let mut arguments = vec![
                "--as=mallory",
                "patch",
                "namespace",
                "hers",
                "--type=merge",
                "-p",
                patch,
            ];
            arguments.extend(over);
            let said = f.refused(&arguments, "");
            assert!(said.contains("needs the verb grant"), "{patch} {over:?}: {said}");
        }
        let mut whole = f.json(&["get", "namespace", "hers"]);
        let patch: serde_json::Value = serde_json::from_str(patch).unwrap();
        for (field, entries) in patch["metadata"].as_object().unwrap() {
            for (key, value) in entries.as_object().unwrap() {
                whole["metadata"][field][key] = value.clone();
            }
        }
        let finalize = [
            "--as=mallory",
            "replace",
            "--raw",
            "/api/v1/namespaces/hers/finalize",
            "-f",
            "-",
        ];
        let said = f.refused(&finalize, &whole.to_string());
        assert!(said.contains("needs the verb grant"), "{said}");
    }
    // What is there already may stay, and another label is hers to set.
    f.kubectl(&["label", "namespace", "hers", "strongroom.dev/recovery=none"]);
    f.kubectl(&["--as=mallory", "label", "namespace", "hers", "team=shop"]);
    let said = f.refused(
        &[
            "label",
            "namespace",
            "hers",
            "--overwrite",
            "strongroom.dev/recovery=7d",
        ],
        "",
    );
    assert!(said.contains("has one value, none"), "{said}");
    f.kubectl(&[
        "--as=mallory",
        "label",
        "namespace",
        "hers",
        "strongroom.dev/recovery-",
    ]);
    let said = f.refused(
        &[
            "--as=mallory",
            "label",
            "namespace",
            "hers",
            "strongroom.dev/recovery=none",
        ],
        "",
    );
    assert!(said.contains("needs the verb grant"), "{said}");
}
