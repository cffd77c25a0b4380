//! What values switch, and which are refused; without a cluster.

use serde_json::{Value, json};

use crate::support::ALL_NAMESPACES;
use crate::support::chart::{CHART, render, template};
use crate::{document, kinds};

#[test]
fn where_secrets_may_be_read_must_be_given_at_an_install_and_stays_what_it_was_at_an_upgrade() {
    for nothing in [
        &[][..],
        &["--set", "nativeSecrets.namespaces=null"],
        &["--set-json", "nativeSecrets.namespaces=[]"],
    ] {
        let said = template(CHART, nothing, &[]).unwrap_err();
        for line in [
            "--set 'nativeSecrets.namespaces={shop,pay}' ",
            "--set nativeSecrets.namespaces='*' ",
        ] {
            assert!(said.contains(line), "{said}");
        }
        assert_eq!(
            template(CHART, &[&["--is-upgrade"], nothing].concat(), &[]).unwrap(),
            template(CHART, &["--is-upgrade"], &[ALL_NAMESPACES]).unwrap()
        );
    }
    // A file of values says the same.
    let keep = tempfile::tempdir().unwrap();
    let file = keep.path().join("values.yaml");
    let of_file = |text: &str| {
        std::fs::write(&file, text).unwrap();
        template(CHART, &["-f", file.to_str().unwrap()], &[]).unwrap()
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
        (ALL_NAMESPACES, Value::Null),
        ("nativeSecrets.namespaces={shop,pay}", json!(["", "shop", "pay"])),
    ] {
        let rendered = render(&[values]).unwrap();
        let map = document(&rendered, "ConfigMap", "strongroom-audit-policy");
        let policy: Value = serde_saphyr::from_str(map["data"]["policy.yaml"].as_str().unwrap()).unwrap();
        assert_eq!(policy["apiVersion"], "audit.k8s.io/v1");
        assert_eq!(policy["kind"], "Policy");
        let rule = &policy["rules"][0];
        assert_eq!(rule["level"], "Metadata", "{policy}");
        assert_eq!(
            rule["resources"],
            json!([{"group": "", "resources": ["secrets"]}])
        );
        assert_eq!(rule["namespaces"], namespaces);
        assert_eq!(policy["rules"][1], json!({"level": "None"}));
    }
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
            json!(["CREATE", "UPDATE", "DELETE"])
        );
    }
    let kinds_of_ours = &webhooks[0]["rules"][0]["resources"];
    assert_eq!(
        kinds_of_ours,
        &json!([
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
        json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["strongroom-webhook-tls"],
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
        "resources: [secrets, secrets/access, secrets/consumers, secrets/history]",
    ] {
        assert_eq!(plain.matches(said).count(), 1, "{said}");
    }
    // The process asks too, whether the author of a default secret's object may stand in for its product.
    let reviews = "resources: [subjectaccessreviews]";
    assert_eq!(plain.matches(reviews).count(), 2);
    let without = render(&["people.enabled=false"]).unwrap();
    assert_eq!(without.matches(reviews).count(), 1);
    assert!(!without.contains("people.strongroom.dev]"));
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
    assert!(watched.contains(line) && include_str!("../../../docs/cli.md").contains(line));
}

/// By a port called `http` of its Service, or as a pod.
#[test]
fn all_that_has_metrics_is_scraped() {
    let scraped = render(&[
        "metrics.serviceMonitor.enabled=true",
        "node.enabled=true",
        "node.namespace=nodes",
    ])
    .unwrap();
    for service in ["strongroom", "strongroom-front", "strongroom-webhook"] {
        let ports = document(&scraped, "Service", service)["spec"]["ports"].clone();
        let of_metrics = |port: &Value| port["name"] == "http" && port["targetPort"] == "http";
        assert!(ports.as_array().unwrap().iter().any(of_metrics), "{service}");
    }
    let pods = document(&scraped, "PodMonitor", "strongroom-node")["spec"].clone();
    assert_eq!(pods["namespaceSelector"], json!({"matchNames": ["nodes"]}));
    assert_eq!(
        pods["selector"]["matchLabels"]["app.kubernetes.io/component"],
        "node"
    );
}

/// With these values the chart has these parts.
fn has(values: &[&str], parts: &[&str]) {
    let rendered = render(values).unwrap();
    for part in parts {
        assert!(rendered.contains(part), "{values:?}: {part} is not in {rendered}");
    }
}

#[test]
fn values_switch_what_they_say_and_wrong_ones_are_refused() {
    let plain = render(&[]).unwrap();
    assert_eq!(plain.matches("helm.sh/resource-policy: keep").count(), 5);
    for part in [
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        // By default it rolls within its volume, and no sink and no reader is waited for.
        "--audit-when-full=roll",
        "--volume-size=2Gi",
        // A namespace has ten thousand secrets, and what the program makes of the volume.
        "--namespace-secrets=10000",
        "--gateway-address=strongroom-gateway.strongroom.svc:443",
    ] {
        assert!(plain.contains(part), "{part}");
    }
    for part in [
        "privileged: true",
        "--audit-sink",
        "--audit-product-sink",
        "6514",
        "audit-webhook",
        "--audit-keep",
        "--audit-bound",
        "--namespace-bytes",
        "--native-secret-namespaces",
    ] {
        assert!(!plain.contains(part), "{part}");
    }
    let syslog = "syslog+tls://siem.example.com:6514?ca=/etc/siem/ca.crt";
    has(
        &[&format!("audit.sinks={{{syslog}}}"), "networkPolicy.enabled=true"],
        &[&format!("--audit-sink={syslog}"), "port: 6514"],
    );
    let webhook =
        "webhook+https://siem.example.com:8443/in?ca=/etc/siem/ca.crt&key=/etc/strongroom/audit-webhook/key";
    let url = format!("audit.productSinks[0].url={syslog}");
    has(
        &[
            "audit.productSinks[0].name=aigw-siem",
            &url,
            "audit.productSinks[0].product=aigw",
            "networkPolicy.enabled=true",
        ],
        &[
            &format!("--audit-product-sink=aigw-siem={syslog},product=aigw,maxLag=5m"),
            "port: 6514",
        ],
    );
    let sinks = format!("audit.sinks={{{webhook}}}");
    has(
        &[&sinks, "audit.webhook.secretName=signing"],
        &[
            &format!("--audit-sink={webhook}"),
            "{name: audit-webhook, mountPath: /etc/strongroom/audit-webhook, readOnly: true}",
            "{name: audit-webhook, secret: {secretName: signing}}",
        ],
    );
    has(
        &[
            "audit.keepFor=90d",
            "audit.keepBytes=1Gi",
            "audit.bound=1500Mi",
            "audit.whenFull=drop-exported",
            &sinks,
        ],
        &[
            "--audit-keep-for=90d",
            "--audit-keep-bytes=1Gi",
            "--audit-bound=1500Mi",
            "--audit-when-full=drop-exported",
        ],
    );
    has(&["persistence.size=512Mi"], &["--volume-size=512Mi"]);
    has(
        &["shares.namespace.secrets=50000", "shares.namespace.bytes=500Mi"],
        &["--namespace-secrets=50000", "--namespace-bytes=500Mi"],
    );
    let narrow = ["nativeSecrets.namespaces={shop,pay}"];
    has(&narrow, &["--native-secret-namespaces=shop,pay"]);
    has(
        &["gateway.clusterIP=10.96.0.77"],
        &["--gateway-address=10.96.0.77:443"],
    );
    // Prometheus' own template stays as it is.
    has(
        &["metrics.prometheusRule.enabled=true"],
        &[
            "persistentvolumeclaim=~\"data-strongroom-.+\"",
            "{{ $labels.kind }}",
        ],
    );
    let counts: [(&[&str], &str, usize); 8] = [
        (&[], "CustomResourceDefinition", 5),
        (&["crds.install=false"], "CustomResourceDefinition", 0),
        (&[], "PersistentVolume", 0),
        (&["persistence.hostPath=/var/lib/x"], "PersistentVolume", 1),
        (&[], "ServiceMonitor", 0),
        (&["metrics.serviceMonitor.enabled=true"], "ServiceMonitor", 1),
        (&[], "PodMonitor", 0),
        (&["metrics.prometheusRule.enabled=true"], "PrometheusRule", 1),
    ];
    for (values, kind, count) in counts {
        assert_eq!(kinds(&render(values).unwrap(), kind), count, "{values:?} {kind}");
    }
    let wide = |rendered: &str| kinds(rendered, "ClusterRoleBinding");
    assert_eq!(
        wide(&render(&narrow).unwrap()) + 1,
        wide(&plain),
        "the rights on Secrets are no longer the whole cluster's"
    );
    // The extension API server, its API and its rights come and go with one switch.
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
    for wrong in [
        // A key has a file.
        "audit.sinks={webhook+https://siem:8443/in?ca=/ca.crt}",
        "audit.sinks={syslog://siem:514}",
        "audit.productSinks[0].name=siem,audit.productSinks[0].url=stdout",
        "audit.productSinks[0].name=siem,audit.productSinks[0].url=stdout,audit.productSinks[0].product=strongroom",
        "audit.productSinks[0].name=siem,audit.productSinks[0].url=pigeon,audit.productSinks[0].product=aigw",
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
/// A new root key is made while the store is stopped, and only where somebody says what the old one was.
#[test]
fn a_new_root_key_comes_before_the_next_start_with_a_secret_of_another_name() {
    let plain = render(&[]).unwrap();
    assert!(!plain.contains("initContainers:"));
    let (from, to) = (
        "serve.seal.rekeyFrom=strongroom-root-key",
        "serve.seal.kubernetesSecret=strongroom-root-key-2",
    );
    let product =
        "audit.productSinks[0].name=own,audit.productSinks[0].url=stdout,audit.productSinks[0].product=pg";
    let rekeyed = render(&[from, to, "audit.sinks={stdout}", product]).unwrap();
    let (_, container) = rekeyed.split_once("initContainers:").unwrap();
    let (container, _) = container.split_once("containers:").unwrap();
    for argument in [
        "- rekey",
        "--seal-kubernetes-secret=strongroom-root-key\n",
        "--slot-kubernetes-secret=strongroom-root-key-2\n",
        "--audit-sink=stdout",
        "--audit-product-sink=own=stdout,product=pg,maxLag=5m",
        "--skip-if-done",
    ] {
        assert!(container.contains(argument), "{argument}: {container}");
    }
    assert!(rekeyed.contains("resourceNames: [strongroom-root-key-2, strongroom-root-key]"));
    let same = render(&[from]).unwrap_err();
    assert!(same.contains("needs another name"), "{same}");
    let file = render(&[from, "serve.seal.keyFile=/etc/key"]).unwrap_err();
    assert!(file.contains("strongroom store rekey"), "{file}");
    for other in [
        &["serve.seal.recoveryKeySecret.name=recovery"][..],
        &[
            "restore.enabled=true",
            "restore.requestId=today",
            "restore.from.hostPath=/backup",
        ],
    ] {
        let refused = render(&[&[from, to], other].concat()).unwrap_err();
        assert!(refused.contains("one after the other"), "{refused}");
    }
}
