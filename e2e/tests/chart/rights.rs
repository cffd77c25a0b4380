//! What the chart's policies and roles let people do.

use crate::support::chart::render;
use crate::support::{Fixture, eventually, generated};

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
    let said = eventually("the policies to be in force", || {
        let refused = f.tried(&as_eve, import).err();
        if refused.is_none() {
            f.kubectl(&["-n", "shop", "delete", "managedsecret", "stolen"]);
        }
        refused
    });
    assert!(
        said.contains("reads the Secret `others`, which you may not get"),
        "{said}"
    );
    // Nobody would give it its variables, so that it must not start.
    let asks = "apiVersion: v1\nkind: Pod\nmetadata: {name: asks, namespace: shop, annotations: {strongroom.dev/env: exec}}\n\
                spec: {containers: [{name: app, image: i}]}\n";
    let said = eventually("the policy for pods to be in force", || {
        let refused = f.tried(&["create", "-f", "-"], asks).err();
        if refused.is_none() {
            f.kubectl(&["-n", "shop", "delete", "pod", "asks", "--wait=false"]);
        }
        refused.filter(|why| !why.contains("AlreadyExists"))
    });
    assert!(said.contains("install its chart with env.enabled=true"), "{said}");
    // A secret that touches no native Secret is hers to make.
    f.tried(&as_eve, plain).unwrap();
    let said = f.refused(&as_eve, &generated("eves"));
    assert!(
        said.contains("writes the Secret `eves`, which you may not write"),
        "{said}"
    );
    let annotate = ["-n", "shop", "annotate", "managedsecret", "eves"];
    for annotation in ["restore", "purge", "readopt"] {
        let set = format!("strongroom.dev/{annotation}=00000000000000000000000000000000");
        let said = f.refused(&[&["--as=eve"], &annotate[..], &[set.as_str()]].concat(), "");
        assert!(said.contains("verb grant"), "{annotation}: {said}");
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
    f.tried(&as_eve, &readers("app")).unwrap();
    // Whoever has the rights is let through.
    f.apply(&generated("eves"));
    f.apply(import);
    let purge = ["strongroom.dev/purge=00000000000000000000000000000000"];
    f.kubectl(&[&annotate[..], &purge].concat());
    // An immutable Secret keeps its value: what asks for another one is refused where one object shows it.
    let immutable = |annotations: &str, literal: &str, immutable: bool| {
        format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\n\
             metadata: {{name: fixed, namespace: shop, annotations: {{{annotations}}}}}\nspec:\n  \
             source: {{generate: {{keys: {{a: {{literal: {literal}}}}}}}}}\n  secret: {{name: fixed, immutable: {immutable}}}\n"
        )
    };
    let apply = ["apply", "-f", "-"];
    let rotates = || f.refused(&apply, &immutable("strongroom.dev/rotate-now: x", "one", true));
    let keeps = "an immutable Secret keeps its value";
    assert!(rotates().contains(keeps), "{}", rotates());
    f.apply(&immutable("", "one", true));
    assert!(rotates().contains(keeps), "{}", rotates());
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
    eventually("the roles to be aggregated", || {
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
    let said = eventually("the policies to be in force", || {
        number += 1;
        f.tried(&as_her, &new(&format!("preview-{number}"))).err()
    });
    assert!(
        said.contains("verb grant on managedsecrets.strongroom.dev in the whole cluster"),
        "{said}"
    );
    let metadata = [
        r#"{"metadata":{"labels":{"strongroom.dev/recovery":"none"}}}"#,
        r#"{"metadata":{"annotations":{"strongroom.dev/accept-namespace":"00000000-0000-0000-0000-000000000000"}}}"#,
        r#"{"metadata":{"annotations":{"strongroom.dev/alibaba-account":"190325303126****"}}}"#,
    ];
    for patch in metadata {
        for over in [None, Some("--subresource=status")] {
            let mut arguments = vec!["--as=mallory", "patch", "namespace", "hers", "--type=merge"];
            arguments.extend(["-p", patch].into_iter().chain(over));
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
    let label = ["label", "namespace", "hers"];
    let as_her = ["--as=mallory", "label", "namespace", "hers"];
    f.kubectl(&[&label[..], &["strongroom.dev/recovery=none"]].concat());
    f.kubectl(&[&as_her[..], &["team=shop"]].concat());
    let said = f.refused(
        &[&label[..], &["--overwrite", "strongroom.dev/recovery=7d"]].concat(),
        "",
    );
    assert!(said.contains("has one value, none"), "{said}");
    f.kubectl(&[&as_her[..], &["strongroom.dev/recovery-"]].concat());
    // What a policy means by an account is hers neither to give nor to take away.
    let annotate = ["annotate", "namespace", "hers"];
    let said = f.refused(
        &[&annotate[..], &["strongroom.dev/alibaba-account=*"]].concat(),
        "",
    );
    assert!(said.contains("is the id of an account"), "{said}");
    f.kubectl(
        &[
            &annotate[..],
            &["strongroom.dev/alibaba-account=190325303126****"],
        ]
        .concat(),
    );
    let away = [
        "--as=mallory",
        "annotate",
        "namespace",
        "hers",
        "strongroom.dev/alibaba-account-",
    ];
    let said = f.refused(&away, "");
    assert!(said.contains("needs the verb grant"), "{said}");
    let said = f.refused(&[&as_her[..], &["strongroom.dev/recovery=none"]].concat(), "");
    assert!(said.contains("needs the verb grant"), "{said}");
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
        ("a name with two `!`", "  storeName: a!b!c\n  source: {generate: {keys: {a: {uuid: {}}}}}\n".to_owned(), "storeName"),
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
    let answer = f.refused(
        &["apply", "-f", "-"],
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: wrong, namespace: shop}\nspec:\n  \
         secrets: [a]\n  statements: [{effect: Deny, actions: ['*'], principals: [{ram: 'acs:ram::*:root'}]}]\n",
    );
    assert!(answer.contains("principals[0].ram"), "{answer}");
    f.apply(&format!(
        "{head}  storeName: first\n  source: {{generate: {{keys: {{a: {{uuid: {{}}}}}}}}}}\n"
    ));
    let moved =
        format!("{head}  storeName: second\n  source: {{generate: {{keys: {{a: {{uuid: {{}}}}}}}}}}\n");
    let answer = f.refused(&["apply", "-f", "-"], &moved);
    assert!(answer.contains("storeName"), "{answer}");
}
