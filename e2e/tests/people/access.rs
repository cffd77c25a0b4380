//! Who is let in: RBAC says who may knock, policies say who gets what.

use strongroom_api::v1::SecretsPage;

use crate::KubectlUsers;
use crate::support::{Fixture, eventually};

/// Without any policy whoever may get the object describes its secret and asks why it is refused; nobody else
/// does.
pub(super) fn administers(f: &Fixture, people: &KubectlUsers<'_>) {
    let described = people.with("admin", &["describe", "db-main"], "").well();
    assert!(described.contains("Current="), "{described}");
    people.with("admin", &["consumers", "db-main"], "").well();
    let history = people.with("admin", &["history", "db-main"], "").well();
    assert!(history.contains("CreateSecret"), "{history}");
    let explained = people
        .with("admin", &["explain", "me", "DescribeSecret", "db-main"], "")
        .well();
    assert!(explained.contains("RBAC allows it"), "{explained}");
    let explained = people
        .with(
            "admin",
            &["explain", "shop/checkout", "GetSecretValue", "db-main"],
            "",
        )
        .failed();
    assert!(
        explained.starts_with("denied") && explained.contains("name: allow-checkout-db-main-"),
        "{explained}"
    );
    people
        .with("admin", &["explain", "joe", "GetSecretValue", "db-main"], "")
        .refused("PolicyDenied");
    people
        .with("admin", &["get", "db-main"], "")
        .refused("PolicyDenied");
    // The built-in role `view` of the namespace is enough, and one object by name is enough for that one.
    people
        .with("val", &["describe", "db-main"], "")
        .refused("cannot get resource");
    f.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: val, namespace: shop}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\n\
         subjects: [{kind: User, name: val, apiGroup: rbac.authorization.k8s.io}]\n",
    );
    eventually("val to be let in", || {
        people
            .with("val", &["describe", "db-main"], "")
            .success
            .then_some(())
    });
    // A Deny wins.
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: not-val, namespace: shop}\nspec:\n  \
         secrets: [\"*\"]\n  statements:\n  - {effect: Deny, principals: [{user: val}], actions: [\"secrets:DescribeSecret\"]}\n",
    );
    eventually("val to be denied", || {
        let said = people.with("val", &["describe", "db-main"], "");
        said.stderr.contains("SecretNotFound").then_some(())
    });
    f.kubectl(&["-n", "shop", "delete", "secretpolicy", "not-val"]);
}

/// RBAC says who may knock, policies say who gets what.
pub(super) fn knocks(f: &Fixture, people: &KubectlUsers<'_>) {
    people.jane(&["list"]).refused("strongroom-user");
    f.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: people, namespace: shop}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: strongroom-user}\n\
         subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]\n",
    );
    // She may knock; no policy lets her see anything.
    let listed = eventually("jane to be let in", || {
        let said = people.jane(&["list", "--output=json"]);
        said.success.then_some(said.stdout)
    });
    let listed: SecretsPage = serde_json::from_str(&listed).unwrap();
    assert!(listed.secrets.is_empty(), "{listed:?}");
    people.jane(&["get", "db-main"]).refused("SecretNotFound");
    let policy = |actions: &str| {
        f.apply(&format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {{name: jane, namespace: shop}}\nspec:\n  \
             secrets: [\"*\"]\n  statements:\n  - {{effect: Allow, principals: [{{user: jane}}], actions: [{actions}]}}\n"
        ));
    };
    policy("\"secrets:DescribeSecret\"");
    let denied = eventually("jane to be told what is missing", || {
        let said = people.jane(&["get", "db-main"]);
        said.stderr.contains("PolicyDenied").then_some(said.stderr)
    });
    assert!(denied.contains("kind: SecretPolicy"), "{denied}");
    let explained = people
        .jane(&["explain", "me", "GetSecretValue", "db-main"])
        .failed();
    assert!(
        explained.starts_with("denied") && explained.contains("principals: [{user: \"jane\"}]"),
        "{explained}"
    );
    policy("\"secrets:*\"");
    eventually("jane to be allowed", || {
        people.jane(&["get", "db-main"]).success.then_some(())
    });
    let explained = people
        .jane(&["explain", "me", "GetSecretValue", "db-main"])
        .well();
    assert!(explained.starts_with("allowed"), "{explained}");
    // A right to knock is none to read the audit, and somebody else has neither.
    people.jane(&["audit"]).refused("strongroom-auditor");
    people
        .with("joe", &["describe", "db-main"], "")
        .refused("cannot get resource");
}
