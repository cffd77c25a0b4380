//! The promise: whoever has a kubeconfig reaches secrets by `kubectl strongroom`, gets there what policies
//! allow, and no value passes the API server in the clear; and a Strongroom that is away, or never came up,
//! keeps no namespace from being deleted.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod access;
mod audit;
mod explanation;
mod life;
mod status;
#[path = "../support/mod.rs"]
mod support;

use serde::de::DeserializeOwned;
use serde_json::Value;
use strongroom_e2e::Size;

use access::{administers, knocks};
use audit::{rotates_what_was_read, tells};
use explanation::explains;
use life::{lives, purges, seals};
use support::chart::CHART;
use support::{ALL_NAMESPACES, Fixture, eventually};

/// What must not be seen on the way.
const MARKER: &str = "MARKER-7f3a91-of-a-partner";

/// What a command said.
struct CommandOutput {
    success: bool,
    stdout: String,
    stderr: String,
}

impl CommandOutput {
    fn well(self) -> String {
        assert!(self.success, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What was printed nonetheless.
    fn failed(self) -> String {
        assert!(!self.success, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    fn refused(self, why: &str) -> Self {
        assert!(
            !self.success && self.stderr.contains(why),
            "not `{why}`: {}{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// `kubectl strongroom` in namespace `shop`; everything that it says is kept.
struct KubectlUsers<'a> {
    f: &'a Fixture,
    heard: std::cell::RefCell<String>,
}

impl KubectlUsers<'_> {
    fn with(&self, user: &str, arguments: &[&str], stdin: &str) -> CommandOutput {
        let user = Some(user).filter(|user| *user != "admin");
        let (success, stdout, stderr) = self.f.person(user, arguments, stdin);
        let said = CommandOutput {
            success,
            stdout,
            stderr,
        };
        if arguments.first() != Some(&"get") {
            self.heard
                .borrow_mut()
                .push_str(&format!("{}{}", said.stdout, said.stderr));
        }
        said
    }

    fn jane(&self, arguments: &[&str]) -> CommandOutput {
        self.with("jane", arguments, "")
    }

    fn json(&self, user: &str, arguments: &[&str]) -> String {
        self.with(user, &[arguments, &["--output=json"]].concat(), "")
            .well()
    }

    fn typed<T: DeserializeOwned>(&self, user: &str, arguments: &[&str]) -> T {
        serde_json::from_str(&self.json(user, arguments)).unwrap()
    }
}

/// An installation that never comes up, because nothing binds its claim: the API is available all the same,
/// and namespaces go. It goes without a trace.
fn never_comes_up(f: &Fixture, people: &KubectlUsers<'_>) {
    let class = "persistence.storageClass=of-nobody";
    let arguments = [
        "install",
        "strongroom",
        CHART,
        "--set",
        class,
        "--set",
        ALL_NAMESPACES,
    ];
    f.helm(&arguments);
    f.extension_api_available();
    f.rolled_out("strongroom", "deployment/strongroom-front");
    let claim = f.json(&[
        "-n",
        "strongroom",
        "get",
        "persistentvolumeclaim",
        "data-strongroom-0",
    ]);
    assert_eq!(claim["status"]["phase"], "Pending");
    f.kubectl(&["create", "namespace", "passing"]);
    f.kubectl(&["delete", "namespace", "passing", "--timeout=60s"]);
    people
        .with("admin", &["describe", "db-main"], "")
        .refused("has not issued the client certificate yet");
    people
        .with("admin", &["status"], "")
        .refused("the claim of the store is Pending");
    // It may make its own certificate and no other Secret, and tell of its own API alone.
    let front = "--as=system:serviceaccount:strongroom:strongroom-front";
    for (verb, object) in [
        ("create", "secrets"),
        ("create", "secrets/strongroom-front-tls"),
        ("patch", "secrets/strongroom-front-tls"),
        ("patch", "secrets/strongroom-root-key"),
        ("get", "secrets/strongroom-root-key"),
        ("patch", "apiservices/v1.apps"),
        ("create", "apiservices"),
    ] {
        let said = f
            .piped(&["-n", "strongroom", front, "auth", "can-i", verb, object], "")
            .1;
        assert_eq!(said.trim(), "no", "{verb} {object}");
    }
    f.helm(&["uninstall", "strongroom"]);
    f.kubectl(&["-n", "strongroom", "delete", "persistentvolumeclaim", "--all"]);
    eventually("the certificates to go with their Service", || {
        let secrets = f.json(&["-n", "strongroom", "get", "secrets"]);
        secrets["items"].as_array()?.is_empty().then_some(())
    });
}

/// Without the store, the extension API server still answers discovery, so that namespaces can be deleted.
fn goes(f: &Fixture, people: &KubectlUsers<'_>) {
    f.scale_strongroom(0);
    people
        .jane(&["describe", "db-main"])
        .refused("cannot reach Strongroom at https://strongroom-gateway.strongroom.svc:443");
    people
        .with("admin", &["status"], "")
        .refused("cannot reach Strongroom at https://strongroom-gateway.strongroom.svc:443");
    f.kubectl(&["create", "namespace", "passing"]);
    f.kubectl(&["delete", "namespace", "passing", "--timeout=30s"]);
    f.scale_strongroom(1);
    eventually("strongroom to be back", || {
        people.jane(&["describe", "db-main"]).success.then_some(())
    });
}

#[test]
fn whoever_has_a_kubeconfig_gets_what_policies_allow_and_nobody_on_the_way_sees_it() {
    let f = Fixture::bare(Size::OneNode);
    f.cluster.load_strongroom().unwrap();
    for namespace in ["strongroom", "shop"] {
        f.kubectl(&["create", "namespace", namespace]);
    }
    let people = KubectlUsers {
        f: &f,
        heard: std::cell::RefCell::default(),
    };
    never_comes_up(&f, &people);
    f.install(&[]);
    f.rolled_out("strongroom", "deployment/strongroom-front");
    f.extension_api_available();
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: db-main, namespace: shop}\nspec:\n  \
         source: {generate: {keys: {password: {password: {length: 40}}}}}\n  secret: {name: db-main}\n",
    );
    f.wait_ready("db-main", "True", "Ready");
    // `kubectl get secrets` is what it was.
    assert!(f.native("db-main").is_some());
    f.helm(&["test", "strongroom"]);
    administers(&f, &people);
    knocks(&f, &people);
    lives(&f, &people);
    explains(&f, &people);
    purges(&f, &people);
    rotates_what_was_read(&f, &people);
    seals(&f, &people);
    tells(&f, &people);
    // Either of the two will do.
    let pods = f.json(&[
        "-n",
        "strongroom",
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/component=front",
    ]);
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    f.kubectl(&["-n", "strongroom", "delete", "pod", pod, "--wait=false"]);
    eventually("the other one to serve", || {
        people.jane(&["describe", "db-main"]).success.then_some(())
    });
    goes(&f, &people);
    // And with the release goes the API, and the certificates that were made for it.
    f.helm(&["uninstall", "strongroom"]);
    eventually("the certificates to go with their Service", || {
        let secrets = f.json(&["-n", "strongroom", "get", "secrets"]);
        let secrets = secrets["items"].as_array()?;
        let name = |secret: &Value| secret["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        secrets
            .iter()
            .all(|secret| !name(secret).starts_with("strongroom-front-"))
            .then_some(())
    });
    people
        .with("admin", &["describe", "db-main"], "")
        .refused("does not serve people.strongroom.dev");
    f.kubectl(&["create", "namespace", "passing"]);
    f.kubectl(&["delete", "namespace", "passing", "--timeout=30s"]);
}
