//! The promise: from `kubectl apply` to a rotated secret in a pod, installed from the chart; and uninstalling
//! loses nothing.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use data_encoding::BASE64;
use strongroom_e2e::Size;
use support::{Fixture, eventually, generated};

/// A cluster with a node, the chart's image on it, and the namespaces; that of strongroom takes only pods of
/// the strictest profile.
fn node() -> Fixture {
    let f = Fixture::bare(Size::OneNode);
    f.cluster.load_strongroom().unwrap();
    for namespace in ["strongroom", "shop"] {
        f.kubectl(&["create", "namespace", namespace]);
    }
    f.kubectl(&[
        "label",
        "namespace",
        "strongroom",
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    f
}

/// The password of the native Secret, as the API has it.
fn password(f: &Fixture) -> Option<String> {
    let data = f.native("checkout-db")?;
    let bytes = BASE64.decode(data["password"].as_str()?.as_bytes()).unwrap();
    Some(String::from_utf8(bytes).unwrap())
}

#[test]
fn a_pod_sees_the_rotated_value_and_a_new_install_serves_the_same() {
    let f = node();
    f.install(&[]);
    f.apply(&generated("checkout-db"));
    let object = f.wait_ready("checkout-db", "True", "Ready");
    let secret_id = object["status"]["secretId"].clone();
    f.run_pod_with("app", "checkout-db");
    let first = f.file_in("app", "/secret/password");
    assert_eq!(first.len(), 32);
    assert_eq!(Some(&first), password(&f).as_ref());

    f.kubectl(&[
        "-n",
        "shop",
        "annotate",
        "managedsecret",
        "checkout-db",
        "strongroom.dev/rotate-now=once",
    ]);
    let second = eventually("the pod's file to change", || {
        Some(f.file_in("app", "/secret/password")).filter(|now| *now != first)
    });
    assert_eq!(Some(&second), password(&f).as_ref());

    // A recovery key is shown once, to the person who asks for it inside the pod.
    let key = f.run_in_strongroom(&["seal", "recovery-key"]);
    assert!(!key.trim().is_empty());

    // Uninstalled, everything that people made stays, and so does what pods read.
    f.helm(&["uninstall", "strongroom", "--wait"]);
    f.wait_gone();
    assert_eq!(Some(&second), password(&f).as_ref());
    assert_eq!(f.managed("checkout-db")["status"]["secretId"], secret_id);
    f.kubectl(&["-n", "shop", "delete", "secret", "checkout-db"]);

    f.install(&[]);
    let again = eventually("the native Secret to be made again", || password(&f));
    assert_eq!(again, second, "the same value is served");
    assert_eq!(
        f.wait_ready("checkout-db", "True", "Ready")["status"]["secretId"],
        secret_id
    );
}

#[test]
fn rights_narrowed_to_a_namespace_serve_that_namespace() {
    let f = node();
    f.install(&["nativeSecrets.namespaces={shop}"]);
    f.apply(&generated("checkout-db"));
    f.wait_ready("checkout-db", "True", "Ready");
    assert!(password(&f).is_some());
}
