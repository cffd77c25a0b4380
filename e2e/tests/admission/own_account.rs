//! What Strongroom's own ServiceAccount may do with Secrets.

use serde_json::json;

use crate::support::eventually;
use crate::{cluster, refused};

/// A process that was taken over has its ServiceAccount's rights on all Secrets, and makes no more of them
/// than it needs.
#[test]
fn our_own_account_writes_and_deletes_no_secret_but_its_own() {
    let f = cluster();
    let account = "--as=system:serviceaccount:strongroom:strongroom";
    f.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: natives}}\nrules:\n\
         - {{apiGroups: [''], resources: [secrets], verbs: [get, create, patch, delete]}}\n---\n{}",
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "natives"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "natives"},
            "subjects": [{"kind": "ServiceAccount", "name": "strongroom", "namespace": "strongroom"}],
        })
    ));
    let secret = |namespace: &str, name: &str, type_: &str, labels: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\ntype: {type_}\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}, \
             annotations: {{kubernetes.io/service-account.name: default}}}}\ndata: {{}}\n"
        )
    };
    let ours = "strongroom.dev/managed: \"true\"";
    let create = |secret: String| f.tried(&[account, "create", "--dry-run=server", "-f", "-"], &secret);
    for (secret, refusal) in [
        (
            secret("kube-system", "a", "Opaque", ours),
            "no Secret in kube-system",
        ),
        (
            secret("shop", "a", "kubernetes.io/service-account-token", ours),
            "the control plane makes tokens of",
        ),
        (
            secret("shop", "a", "bootstrap.kubernetes.io/token", ours),
            "the control plane makes tokens of",
        ),
        (
            secret("shop", "a", "Opaque", ""),
            "without the label strongroom.dev/managed",
        ),
        (
            secret("strongroom", "others", "Opaque", ""),
            "without the label strongroom.dev/managed",
        ),
    ] {
        eventually(refusal, || {
            let said = create(secret.clone()).err()?;
            said.contains(refusal).then_some(())
        });
    }
    for secret in [
        secret("shop", "a", "Opaque", ours),
        secret("strongroom", "strongroom-root-key", "Opaque", ""),
        secret("strongroom", "strongroom-front-tls", "kubernetes.io/tls", "")
            .replace("data: {}", "data: {tls.crt: \"\", tls.key: \"\"}"),
    ] {
        create(secret).unwrap();
    }
    // Of a Secret of somebody else nothing but its fields' owners changes; one of ours may be let go.
    f.apply(&secret("shop", "theirs", "Opaque", ""));
    f.apply(&secret("shop", "ours", "Opaque", ours));
    let patch = |name: &str, patch: &str| {
        let arguments = [
            account,
            "-n",
            "shop",
            "patch",
            "secret",
            name,
            "--type=merge",
            "-p",
            patch,
        ];
        f.tried(&arguments, "")
    };
    refused(
        patch("theirs", r#"{"data":{"password":"eA=="}}"#),
        "without the label strongroom.dev/managed",
    );
    patch("theirs", r#"{"metadata":{"annotations":{"a":"b"}}}"#).unwrap();
    patch(
        "ours",
        r#"{"metadata":{"labels":{"strongroom.dev/managed":null}}}"#,
    )
    .unwrap();

    // What is deleted carries the annotation of native Secrets: a label alone proves nothing, and somebody
    // may have taken it off.
    let native = |namespace: &str, name: &str, labels: &str| {
        secret(namespace, name, "Opaque", labels).replace(
            "annotations: {",
            "annotations: {strongroom.dev/secret-id: 7f3c, strongroom.dev/version: v-1, ",
        )
    };
    for secret in [
        secret("shop", "labelled", "Opaque", ours),
        secret("strongroom", "others", "Opaque", ""),
        secret("kube-system", "theirs", "Opaque", ""),
        // Whoever may write it may mark it.
        native("strongroom", "strongroom-root-key", ours),
        native("shop", "native", ours),
        native("shop", "unlabelled", ""),
        native("kube-system", "earlier", ours),
    ] {
        f.apply(&secret);
    }
    let delete = |namespace: &str, name: &str| {
        let arguments = [account, "-n", namespace, "delete", "secret", name, "--wait=false"];
        f.tried(&arguments, "")
    };
    let unmarked = "without the annotation strongroom.dev/secret-id";
    for (namespace, name, refusal) in [
        ("shop", "theirs", unmarked),
        ("shop", "labelled", unmarked),
        ("strongroom", "others", unmarked),
        ("kube-system", "theirs", unmarked),
        ("strongroom", "strongroom-root-key", "neither its root key"),
    ] {
        refused(delete(namespace, name), refusal);
    }
    for (namespace, name) in [
        ("shop", "native"),
        ("shop", "unlabelled"),
        // As an earlier version left it.
        ("kube-system", "earlier"),
    ] {
        delete(namespace, name).unwrap();
    }
    // Of others nothing is asked.
    f.kubectl(&["-n", "shop", "delete", "secret", "theirs"]);
}
