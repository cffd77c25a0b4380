//! The promise: the example products make logins and keys for their users in namespaces of theirs; users read
//! them by volume and over HTTPS with nothing but the token of a ServiceAccount, as far as policies of both
//! kinds say; the products alone change them; and whoever owns the key stops both. On a real kubelet and a
//! real PostgreSQL, from the chart and the manifests in `examples/products`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot set up must stop"
)]

#[path = "examples/https.rs"]
mod https;
#[path = "examples/payments.rs"]
mod payments;
#[path = "examples/postgres.rs"]
mod postgres;
mod support;

use strongroom_e2e::Size;

use self::https::Https;
use self::support::Fixture;

/// What Jane may do with the objects of her namespace.
const EDITOR: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: edit, namespace: shop}\n\
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}\n\
    subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]\n";

/// A gateway of Strongroom's for one of the products alone.
const GATEWAY: &str = "gateways[0].name=aigw,gateways[0].port=8453,gateways[0].products[0]=aigw";

/// Applies a manifest of the examples.
fn apply(f: &Fixture, manifest: &str) {
    let products = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/products");
    f.kubectl(&["apply", "-f", &format!("{products}/{manifest}")]);
}

#[test]
fn products_make_credentials_that_their_users_read_and_only_they_change() {
    let f = Fixture::with_volumes(Size::OneNode, &[GATEWAY], EDITOR);
    f.cluster.load_postgres().unwrap();
    for product in ["pg-operator", "ai-gateway"] {
        f.cluster.load_product(product).unwrap();
        apply(&f, &format!("{product}/deploy/platform.yaml"));
    }
    // It says who writes the objects of products.
    f.rolled_out("strongroom", "deployment/strongroom-webhook");
    f.kubectl(&[
        "label",
        "namespace",
        "shop",
        "pg.example.org/enabled=true",
        "aigw.example.org/tenant=true",
    ]);
    f.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "secretproducts",
        "--all",
        "--timeout=60s",
    ]);
    let https = Https::new(&f);
    postgres::a_login_for_each_version(&f, &https);
    postgres::a_lost_answer_is_asked_for(&f);
    payments::credentials_by_api(&f, &https);
}
