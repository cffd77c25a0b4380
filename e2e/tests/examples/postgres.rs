//! The database operator: a login for each version of a free secret that is made by custom resource.

use serde_json::json;

use crate::apply;
use crate::https::Https;
use crate::support::answers::{bytes, code};
use crate::support::{Fixture, eventually};

const SECRET: &str = "pg!orders-admin";
const OBJECT: &str = "pg-orders-admin";

/// A secret policy that would let in two others, if free secrets had any; and their accounts.
const OTHERS: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: partner}\n---\n\
    apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: settlement, namespace: partner}\n---\n\
    apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: other, namespace: shop}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: others, namespace: shop}\nspec:\n  secrets: [\"pg!*\"]\n  \
    statements:\n  - {effect: Allow, principals: [{serviceAccount: other}, {serviceAccount: partner/settlement}], actions: [\"secrets:*\"]}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: shop, namespace: partner}\nspec:\n  \
    identities: {serviceAccounts: [settlement]}\n  statements:\n  \
    - {effect: Allow, actions: [\"secrets:*\"], resources: [\"shop:secret/pg!*\"]}\n";

/// A user and a password in the server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Login {
    user: String,
    password: String,
}

/// The version whose login the operator has made; none before there is one.
fn version(f: &Fixture) -> Option<String> {
    let postgres = f.json(&["-n", "shop", "get", "postgres", "orders"]);
    postgres["status"]["version"].as_str().map(str::to_owned)
}

/// What the files of the tenant's pod say.
fn by_volume(f: &Fixture) -> Login {
    let file = |name: &str| f.file_in("orders", &format!("/login/{name}"));
    Login {
        user: file("username"),
        password: file("password"),
    }
}

fn by_https(https: &Https<'_>) -> Login {
    let (status, answer) = https.read("shop/orders", SECRET);
    assert_eq!(status, 200, "{answer}");
    let mut keys = bytes(&answer);
    let mut text = |key: &str| String::from_utf8(keys.remove(key).unwrap()).unwrap();
    Login {
        user: text("username"),
        password: text("password"),
    }
}

/// As whom the pod's program works after it has logged in; none where the server lets it not in. What it
/// sends comes by standard input.
fn works_as(f: &Fixture, login: &Login) -> Option<String> {
    let script = "read -r PGUSER; read -r PGPASSWORD; export PGUSER PGPASSWORD; \
                  exec psql -AtXc \"SELECT current_user || ' ' || session_user\"";
    let exec = ["-n", "shop", "exec", "-i", "orders", "--", "sh", "-c", script];
    let (success, said, _) = f.piped(&exec, &format!("{}\n{}\n", login.user, login.password));
    success.then(|| said.trim().to_owned())
}

/// What the superuser's statements answer.
fn as_superuser(f: &Fixture, statements: &str) -> String {
    let script = "PGPASSWORD=$(cat /superuser/password); export PGPASSWORD; \
                  exec psql -h 127.0.0.1 -U postgres -AtqX -v ON_ERROR_STOP=1";
    let exec = [
        "-n",
        "pg-operator",
        "exec",
        "-i",
        "postgres-0",
        "--",
        "sh",
        "-c",
        script,
    ];
    let (success, said, stderr) = f.piped(&exec, statements);
    assert!(success, "{statements}: {stderr}");
    said.trim().to_owned()
}

/// Has Strongroom make another version, as a user may.
fn rotate(f: &Fixture) {
    let (success, _, stderr) = f.jane(&["rotate", SECRET], "");
    assert!(success, "{stderr}");
}

/// The login of a new version, once the operator has made it and the files show it.
fn next(f: &Fixture, old: &Login) -> Login {
    let before = version(f);
    rotate(f);
    eventually("the login of the new version", || {
        (version(f) != before).then_some(())
    });
    eventually("the files of the new version", || {
        let login = by_volume(f);
        (login.user != old.user && login.password != old.password).then_some(login)
    })
}

pub(crate) fn a_login_for_each_version(f: &Fixture, https: &Https<'_>) {
    apply(f, "pg-operator/deploy/server.yaml");
    apply(f, "pg-operator/deploy/operator.yaml");
    f.rolled_out("pg-operator", "statefulset/postgres");
    f.rolled_out("pg-operator", "deployment/pg-operator");
    f.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/postgreses.pg.example.org",
        "--timeout=30s",
    ]);
    apply(f, "pg-operator/tenant/postgres.yaml");
    eventually("the first login", || version(f));
    apply(f, "pg-operator/tenant/pod.yaml");
    f.wait_pod("orders");

    // Both ways lead to one login, which works as the role of its Postgres.
    let first = by_volume(f);
    assert_eq!(by_https(https), first);
    assert_eq!(works_as(f, &first), Some(format!("shop.orders {}", first.user)));
    let object = f.managed(OBJECT);
    assert_eq!(object["metadata"]["ownerReferences"][0]["kind"], "Postgres");
    assert_eq!(object["metadata"]["labels"]["strongroom.dev/product"], "pg");

    // Nobody else reads it: a free secret has no secret policies for ServiceAccounts, and no other namespace.
    f.apply(OTHERS);
    for (namespace, policy) in [("shop", "others"), ("partner", "shop")] {
        let policy = format!("secretpolicy/{policy}");
        f.kubectl(&[
            "-n",
            namespace,
            "wait",
            "--for=condition=Ready",
            &policy,
            "--timeout=60s",
        ]);
    }
    for account in ["shop/other", "partner/settlement"] {
        let ended = https.ended(account, SECRET);
        assert_eq!(ended, (404, "SecretNotFound".to_owned()), "{account}");
    }

    only_the_product_writes(f, https);

    // A new version is a second login. The first one works on.
    let second = next(f, &first);
    assert_eq!(by_https(https), second);
    assert_eq!(works_as(f, &second), Some(format!("shop.orders {}", second.user)));
    assert_eq!(works_as(f, &first), Some(format!("shop.orders {}", first.user)));
    // Until the next one.
    let third = next(f, &second);
    assert!(works_as(f, &third).is_some());
    assert!(works_as(f, &second).is_some());
    assert_eq!(works_as(f, &first), None);

    // The server was never told a password.
    let log = f.kubectl(&["-n", "pg-operator", "logs", "postgres-0"]);
    assert!(log.contains("SCRAM-SHA-256$"), "{log}");
    for login in [&first, &second, &third] {
        assert!(log.contains(&login.user));
        assert!(!log.contains(&login.password));
    }
}

/// A user who may edit everything in the namespace and is allowed everything by policy writes nothing.
fn only_the_product_writes(f: &Fixture, https: &Https<'_>) {
    let value = json!({"data": {"password": "bWluZQ=="}});
    let (status, answer) = https.ask("shop/orders", &format!("{SECRET}/versions/mine"), Some(&value));
    assert_eq!(
        (status, code(&answer).as_str()),
        (403, "ProductManaged"),
        "{answer}"
    );
    let detail = answer["detail"].as_str().unwrap();
    let page = "https://wiki.example.org/postgresql";
    assert!(
        detail.contains("managed by product `pg`") && detail.contains(page),
        "{detail}"
    );
    let (success, _, said) = f.jane(&["put", SECRET, "--key", "password"], "mine");
    assert!(!success && said.contains("managed by product `pg`"), "{said}");
    for write in [
        &["delete", "managedsecret", OBJECT][..],
        &["label", "managedsecret", OBJECT, "mine=yes"],
    ] {
        let arguments = [&["-n", "shop", "--as", "jane"], write].concat();
        let said = f.refused(&arguments, "");
        assert!(said.contains("is managed by product `pg`"), "{said}");
    }
}

/// The connection is cut while the operator waits for the answer to COMMIT, when the server has committed.
pub(crate) fn a_lost_answer_is_asked_for(f: &Fixture) {
    let last = by_volume(f);
    let before = version(f);
    // From now on no commit is answered: each waits for a standby that there is not.
    as_superuser(
        f,
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf();",
    );
    eventually("the server to wait for a standby", || {
        (as_superuser(f, "SHOW synchronous_standby_names;") == "nobody").then_some(())
    });
    rotate(f);
    let waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'pg-operator'";
    eventually("a commit without an answer", || {
        let count = as_superuser(f, &format!("SELECT count(*) {waiting};"));
        (count == "1").then_some(())
    });
    as_superuser(f, &format!("SELECT pg_terminate_backend(pid) {waiting};"));
    as_superuser(
        f,
        "ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf();",
    );
    eventually("the operator to know", || (version(f) != before).then_some(()));
    let login = eventually("the files of the new version", || {
        Some(by_volume(f)).filter(|login| login.user != last.user)
    });
    assert!(works_as(f, &login).is_some());
    // It has asked, and not made the login a second time.
    let log = f.kubectl(&["-n", "pg-operator", "logs", "postgres-0"]);
    let made = format!("CREATE ROLE \"{}\" LOGIN", login.user);
    assert_eq!(log.matches(&made).count(), 1, "{log}");
    let message = f.json(&["-n", "shop", "get", "postgres", "orders"])["status"]["message"].take();
    assert!(message.is_null(), "{message}");
}
