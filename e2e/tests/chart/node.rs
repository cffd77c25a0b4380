//! The node plugin, and variables that come by it, as values say.

use crate::kinds;
use crate::support::chart::render;

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
