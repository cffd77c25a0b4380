//! Installs and upgrades, against an API server alone.

use strongroom_e2e::Size;

use crate::helm;
use crate::support::chart::CHART;
use crate::support::{ALL_NAMESPACES, Fixture, condition, eventually};

/// Against an API server alone: nothing of the release has to run for the chart to see what it was installed
/// with.
#[test]
fn what_cannot_be_changed_later_is_refused_with_a_sentence_before_anything_is_applied() {
    let f = Fixture::bare(Size::Api);
    f.kubectl(&["create", "namespace", "strongroom"]);
    let tried = |command: &str, values: &[&str]| {
        let output = helm(&f, &[command, "strongroom", CHART], values);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let refused = |command: &str, values: &[&str], why: &[&str]| {
        let (success, said) = tried(command, values);
        let told = why.iter().all(|why| said.contains(why));
        assert!(!success && told, "{values:?}: {said}");
    };
    let done = |command: &str, values: &[&str]| {
        let (success, said) = tried(command, values);
        assert!(success, "{said}");
    };
    // What must be given, and the lines to choose from: each is a line that a shell takes.
    let lines = [
        "--set 'nativeSecrets.namespaces={shop,pay}' ",
        "--set nativeSecrets.namespaces='*' ",
    ];
    refused("install", &[], &lines);
    let line = "kubectl create namespace nodes && kubectl label namespace nodes pod-security.kubernetes.io/enforce=privileged strongroom.dev/ca=true";
    refused(
        "install",
        &[ALL_NAMESPACES, "node.enabled=true", "node.namespace=nodes"],
        &[line],
    );
    let address = "gateway.clusterIP=10.96.0.78";
    done("install", &[ALL_NAMESPACES, address]);
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
        refused("upgrade", &[values], &[said]);
    }
    assert_eq!(version(), before, "nothing was applied");
    // The same in other words, and what may change, goes through.
    done(
        "upgrade",
        &[address, "persistence.size=2048Mi", "gateway.readRate=100"],
    );
    // A release from before it was asked goes on, and is told; one that says it is not.
    let loud = "nativeSecrets.namespaces IS NOT SET";
    let notes = || f.helm(&["get", "notes", "strongroom"]);
    assert!(notes().contains(loud), "{}", notes());
    done("upgrade", &[address, ALL_NAMESPACES]);
    assert!(!notes().contains(loud), "{}", notes());
    // Rights that were narrowed are not widened by leaving the value out.
    done("upgrade", &[address, "nativeSecrets.namespaces={default}"]);
    refused("upgrade", &[address], &["this release was restricted by it"]);

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
    let page = include_str!("../../../docs/cli.md");
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
    for command in ["install", "upgrade", "uninstall"] {
        let output = if command == "uninstall" {
            helm(&f, &[command, "strongroom"], &[])
        } else {
            helm(&f, &[command, "strongroom", CHART], &[ALL_NAMESPACES])
        };
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
