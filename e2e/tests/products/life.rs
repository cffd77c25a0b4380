//! Two products in a tenant's namespace, from their first secret to the end of a product.

use http::Method;
use serde_json::{Value, json};

use crate::scene::{AIGW, PG, Scene, generated};
use crate::support::eventually;

const APP: &str = "system:serviceaccount:shop:app";

/// The tenant's key and what it allows others: its application reads, and the gateway uses the key.
const TENANT: &str = "apiVersion: strongroom.dev/v1alpha1\nkind: EncryptionKey\nmetadata: {name: payments, namespace: shop}\nspec: {}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: app, namespace: shop}\nspec:\n  \
    identities: {serviceAccounts: [app]}\n  statements:\n  \
    - {effect: Allow, actions: [\"secrets:GetSecretValue\", \"secrets:DescribeSecret\"], resources: [\"secret/pg!*\", \"secret/aigw!*\"]}\n  \
    - {effect: Allow, actions: [\"keys:Decrypt\"], resources: [\"key/payments\"]}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: aigw-uses-keys, namespace: shop}\nspec:\n  \
    secrets: [\"aigw!*\"]\n  statements:\n  - {effect: Allow, principals: [{product: aigw}], actions: [\"keys:*\"]}\n";

/// An owner that is not there, and a finalizer that nobody takes away.
const OWNED: &str = r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"7d1f8f0e-0000-4000-8000-000000000000"}]}}"#;
const HELD: &str = r#"{"metadata":{"finalizers":["example.org/held"]}}"#;

fn value(scene: &Scene, token: &str, name: &str) -> (u16, String) {
    scene.get(token, &format!("/{name}/value")).ended()
}

/// Waits until a read of this secret ends like this.
fn reads(scene: &Scene, token: &str, name: &str, expected: (u16, &str)) {
    eventually(&format!("{name} to be read with {expected:?}"), || {
        let (status, code) = value(scene, token, name);
        ((status, code.as_str()) == expected).then_some(())
    });
}

fn put(scene: &Scene, token: &str, name: &str, version: &str) -> crate::support::https::Answer {
    let body = json!({"data": {"key": "bmV3"}});
    scene.api.ask(
        token,
        Method::PUT,
        &format!("/{name}/versions/{version}"),
        Some(&body),
    )
}

fn enable(scene: &Scene, enabled: bool) {
    let patch = format!("{{\"spec\":{{\"enabled\":{enabled}}}}}");
    scene.f.kubectl(&[
        "-n",
        "shop",
        "patch",
        "encryptionkey",
        "payments",
        "--type=merge",
        "-p",
        &patch,
    ]);
}

/// Waits until the ManagedSecret has this reason.
fn is(scene: &Scene, name: &str, reason: &str) {
    eventually(&format!("{name} to be {reason}"), || {
        (scene.reason(name)?.as_str() == reason).then_some(())
    });
}

#[test]
fn two_products_own_secrets_in_a_tenants_namespace() {
    let scene = Scene::new();
    let f = &scene.f;
    scene.product("pg", PG, "[Free]", "");
    scene.product("aigw", AIGW, "[Paid]", "");
    scene.product_is("pg", "True", "Ready");
    f.apply(TENANT);
    let (pg, aigw, app) = (scene.token(PG), scene.token(AIGW), scene.token(APP));

    // One by custom resource, one by API under the tenant's key.
    scene
        .apply_as(PG, &generated("pg-orders-admin", "pg!orders-admin"))
        .unwrap();
    is(&scene, "pg-orders-admin", "Ready");
    let new = json!({"name": "aigw!payments", "versionId": "v-1", "data": {"key": "Zmlyc3Q="}, "encryptionKey": "payments"});
    eventually("the grant of the key to be in force", || {
        let answer = scene.api.ask(&aigw, Method::POST, "", Some(&new));
        (answer.status == 201).then_some(())
    });
    let objects = f.json(&[
        "-n",
        "shop",
        "get",
        "managedsecrets",
        "-l",
        "strongroom.dev/product=aigw",
    ]);
    assert_eq!(objects["items"].as_array().unwrap().len(), 1);
    let payments = objects["items"][0]["metadata"]["name"].as_str().unwrap();
    for name in ["pg!orders-admin", "aigw!payments"] {
        reads(&scene, &app, name, (200, ""));
    }
    reads(&scene, &pg, "pg!orders-admin", (200, ""));
    reads(&scene, &aigw, "aigw!payments", (200, ""));
    // A product has nothing to do with another one's.
    assert_eq!(value(&scene, &pg, "aigw!payments").0, 404);

    // A user writes none of it, by API or by custom resource, and gives it to nobody.
    let refused = put(&scene, &app, "aigw!payments", "v-9");
    assert_eq!(refused.ended(), (403, "ProductManaged".to_owned()));
    assert!(
        refused.detail().contains("managed by product `aigw`")
            && refused.detail().contains("https://wiki.example.org/aigw"),
        "{refused:?}"
    );
    for arguments in [
        &["label", "managedsecret", "pg-orders-admin", "mine=yes"][..],
        &["delete", "managedsecret", "pg-orders-admin"],
        // Of an owner that is not there the collector would delete it.
        &[
            "patch",
            "managedsecret",
            "pg-orders-admin",
            "--type=merge",
            "-p",
            OWNED,
        ],
        &[
            "patch",
            "managedsecret",
            "pg-orders-admin",
            "--type=merge",
            "-p",
            HELD,
        ],
    ] {
        let said = scene.try_as("jane", arguments).unwrap_err();
        assert!(
            said.contains("managed by product `pg`: change it there"),
            "{said}"
        );
        assert!(said.contains("https://wiki.example.org/pg"), "{said}");
    }
    let said = scene
        .try_as(
            "jane",
            &[
                "annotate",
                "managedsecret",
                "pg-orders-admin",
                "strongroom.dev/allow-default-key=true",
            ],
        )
        .unwrap_err();
    assert!(
        said.contains("means nothing without spec.encryptionKey"),
        "{said}"
    );
    let said = scene
        .try_as(
            "jane",
            &[
                "annotate",
                "managedsecret",
                payments,
                "strongroom.dev/allow-default-key=true",
            ],
        )
        .unwrap_err();
    assert!(said.contains("its value must be `payments/1`"), "{said}");
    // Whoever may manage the product stands in for it.
    scene
        .try_as(
            "root",
            &[
                "annotate",
                "managedsecret",
                "pg-orders-admin",
                "strongroom.dev/rotate-now=1",
            ],
        )
        .unwrap();
    eventually("the password to be another one", || {
        let object = f.managed("pg-orders-admin");
        (object["status"]["versions"].as_array()?.len() == 2).then_some(())
    });

    // The tenant's key stops both.
    enable(&scene, false);
    for token in [&aigw, &app] {
        reads(&scene, token, "aigw!payments", (409, "KeyDisabled"));
    }
    reads(&scene, &app, "pg!orders-admin", (200, ""));
    enable(&scene, true);
    for token in [&aigw, &app] {
        reads(&scene, token, "aigw!payments", (200, ""));
    }

    suspended(&scene, &aigw, &app);
    ended(&scene, &app);
    squatted(&scene);
    moved(&scene);
    gone(&scene);
    assert!(scene.stop());
}

/// A suspended product is refused every write, and reads go on.
fn suspended(scene: &Scene, aigw: &str, app: &str) {
    scene.product("aigw", AIGW, "[Paid]", "  suspend: true\n");
    scene.product_is("aigw", "False", "Suspended");
    let refused = put(scene, aigw, "aigw!payments", "v-2");
    assert_eq!(refused.ended(), (409, "ProductSuspended".to_owned()));
    assert_eq!(value(scene, app, "aigw!payments").0, 200);
    scene.product("aigw", AIGW, "[Paid]", "");
    scene.product_is("aigw", "True", "Ready");
    assert_eq!(put(scene, aigw, "aigw!payments", "v-2").status, 201);
}

/// A product that is deleted, applied again, and applied again with somebody else as its manager.
fn ended(scene: &Scene, app: &str) {
    let f = &scene.f;
    f.kubectl(&["delete", "secretproduct", "pg"]);
    is(scene, "pg-orders-admin", "ProductAbsent");
    reads(scene, app, "pg!orders-admin", (200, ""));
    scene.product("pg", PG, "[Free]", "");
    scene.product_is("pg", "True", "Ready");
    is(scene, "pg-orders-admin", "Ready");
    let events = f.kubectl(&["get", "events", "--all-namespaces", "-o", "yaml"]);
    assert!(events.contains("ProductReturned"));

    f.kubectl(&["delete", "secretproduct", "pg"]);
    is(scene, "pg-orders-admin", "ProductAbsent");
    scene.product("pg", AIGW, "[Free]", "");
    let waiting = scene.product_is("pg", "False", "ProductChanged");
    is(scene, "pg-orders-admin", "ProductChanged");
    let thief = scene.token(AIGW);
    assert_eq!(value(scene, &thief, "pg!orders-admin").0, 404);
    adopt(scene, "pg", &waiting);
    scene.product_is("pg", "True", "Ready");
    is(scene, "pg-orders-admin", "Ready");
    reads(scene, &thief, "pg!orders-admin", (200, ""));
    scene.product("pg", PG, "[Free]", "");
    scene.product_is("pg", "True", "Ready");
}

/// Somebody with the verb `manage` accepts the product as it is; nobody else can.
fn adopt(scene: &Scene, code: &str, object: &Value) {
    let token = object["status"]["adoptionToken"].as_str().unwrap();
    let annotation = format!("strongroom.dev/adopt-product={token}");
    let annotate = [
        "annotate",
        "secretproduct",
        code,
        "--overwrite",
        annotation.as_str(),
    ];
    scene.f.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: writes-products}\nrules:\n\
         - {apiGroups: [strongroom.dev], resources: [secretproducts], verbs: [get, update, patch]}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: writes-products}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writes-products}\n\
         subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]\n",
    );
    eventually("the annotation to be refused for want of the verb", || {
        let said = scene.try_as("jane", &annotate).unwrap_err();
        said.contains("verb manage on secretproducts").then_some(())
    });
    scene.try_as("root", &annotate).unwrap();
}

/// A name that a tenant took before there was such a product is not the product's, and neither is one that
/// came past admission.
fn squatted(scene: &Scene) {
    let f = &scene.f;
    scene
        .apply_as("jane", &generated("squats", "kafka!orders"))
        .unwrap();
    eventually("the name to be nobody's", || {
        let ready = crate::support::condition(&f.managed("squats"), "Ready")?;
        (ready["reason"] == "ProductUnknown").then_some(())
    });
    // Two products with one manager.
    scene.product("kafka", PG, "[Free]", "");
    is(scene, "squats", "NotManager");
    let pg = scene.token(PG);
    let new = json!({"name": "kafka!orders", "versionId": "v-1", "data": {"key": "Zmlyc3Q="}});
    let made = scene.api.ask(&pg, Method::POST, "", Some(&new));
    assert_eq!(made.status, 201, "{made:?}");
    f.kubectl(&["-n", "shop", "delete", "managedsecret", "squats"]);
    assert_eq!(value(scene, &pg, "kafka!orders").0, 200);
    assert_eq!(value(scene, &pg, "pg!orders-admin").0, 200);

    f.kubectl(&[
        "delete",
        "validatingadmissionpolicybinding",
        "strongroom-products",
    ]);
    eventually("the rules of admission to be away", || {
        scene.apply_as("jane", &generated("past", "kafka!past")).ok()
    });
    is(scene, "past", "NotManager");
    f.kubectl(&["-n", "shop", "delete", "managedsecret", "past"]);
    scene.apply_rules();
}

/// A manager's ServiceAccount that is made again is the same manager; its namespace that is made again is
/// somebody else's.
fn moved(scene: &Scene) {
    let f = &scene.f;
    f.kubectl(&["-n", "pg-system", "delete", "serviceaccount", "pg"]);
    f.kubectl(&["-n", "pg-system", "create", "serviceaccount", "pg"]);
    reads(scene, &scene.token(PG), "pg!orders-admin", (200, ""));
    f.kubectl(&["delete", "namespace", "pg-system", "--timeout=60s"]);
    f.kubectl(&["create", "namespace", "pg-system"]);
    f.kubectl(&["-n", "pg-system", "create", "serviceaccount", "pg"]);
    let waiting = scene.product_is("pg", "False", "ProductChanged");
    reads(
        scene,
        &scene.token(PG),
        "pg!orders-admin",
        (404, "SecretNotFound"),
    );
    adopt(scene, "pg", &waiting);
    reads(scene, &scene.token(PG), "pg!orders-admin", (200, ""));
}

/// The tenant's namespace goes, and the windows of what was in it open.
fn gone(scene: &Scene) {
    let f = &scene.f;
    f.kubectl(&["delete", "namespace", "shop", "--timeout=60s"]);
    eventually("the recovery window to open", || {
        let records = f.records(&["--action=DeleteSecret"]);
        let names: Vec<String> = records.into_iter().filter_map(|record| record.secret).collect();
        names.iter().any(|name| name == "pg!orders-admin").then_some(())
    });
}
