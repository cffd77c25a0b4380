//! The promise: who asked is audited. The API server's own word for it is joined with what came of it by the
//! object and what it declares; what came past the webhook says so, whoever was refused just before; and
//! nobody is held up by any of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use serde_json::{Value, json};
use strongroom_api::audit::{AuditRecord, Chain, Requester};
use strongroom_e2e::Strongroom;
use support::chart::{CHART, templates};
use support::{Fixture, eventually, free_port, generated};

const SERVICE: &str = "strongroom-webhook";

/// The configuration of the chart, which leads to a port of this machine.
fn configuration(port: u16) -> Value {
    let rendered = templates(CHART, &["webhook-configuration"], &[]);
    let mut asked: Value = serde_saphyr::from_str(&rendered).unwrap();
    for webhook in asked["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"]["service"]["port"] = json!(port);
    }
    asked
}

/// Another webhook, which refuses what the manager wants. Ours serves as that as well, at the path where it
/// refuses pods that ask for nonsense.
fn refusing(port: u16, authority: &Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "second"},
        "webhooks": [{
            "name": "second.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "matchConditions": [{"name": "the-managers", "expression": "request.userInfo.username == 'manager'"}],
            "rules": [{"apiGroups": ["strongroom.dev"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["managedsecrets"]}],
            "clientConfig": {"caBundle": authority, "service":
                {"name": SERVICE, "namespace": "strongroom", "path": "/env", "port": port}},
        }],
    })
}

struct Scene {
    f: Fixture,
    port: u16,
    attestations: u16,
}

impl Scene {
    fn new() -> Self {
        let f = Fixture::new();
        let (port, attestations) = (free_port(), free_port());
        f.apply(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {SERVICE}, namespace: strongroom}}\n\
             spec: {{type: ExternalName, externalName: localhost}}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: ops}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}\n\
             subjects: [{{kind: Group, name: ops, apiGroup: rbac.authorization.k8s.io}}]\n"
        ));
        f.apply(&configuration(port).to_string());
        Self {
            f,
            port,
            attestations,
        }
    }

    fn store(&self) -> Strongroom {
        let (webhook, attestations) = (
            format!("--webhook={SERVICE}"),
            format!("--attestations-listen=127.0.0.1:{}", self.attestations),
        );
        Strongroom::start_with(&self.f.cluster, &self.f.data(), &[&webhook, &attestations]).unwrap()
    }

    fn webhook(&self) -> Strongroom {
        let place = self.f.keep.path().join("webhook");
        let arguments = [
            "--roles=webhook".to_owned(),
            format!("--webhook={SERVICE}"),
            format!("--webhook-listen=127.0.0.1:{}", self.port),
            format!("--attestations-address=127.0.0.1:{}", self.attestations),
        ];
        let arguments = arguments.each_ref().map(String::as_str);
        let webhook = Strongroom::spawn(&self.f.cluster, &place, &arguments).unwrap();
        eventually("the webhook to have its certificate", || {
            webhook.log().contains("certificate loaded").then_some(())
        });
        webhook
    }

    /// What a person of `ops` does.
    fn try_as(&self, user: &str, arguments: &[&str], stdin: &str) -> (bool, String) {
        let who = format!("--as={user}");
        let (success, _, said) = self
            .f
            .piped(&[&[who.as_str(), "--as-group=ops"], arguments].concat(), stdin);
        (success, said)
    }

    fn by(&self, user: &str, arguments: &[&str], stdin: &str) {
        let (success, said) = self.try_as(user, arguments, stdin);
        assert!(success, "{said}");
    }

    /// Every record of a change, oldest first.
    fn records(&self) -> Vec<AuditRecord> {
        let records = self.f.records(&[]).into_iter();
        records.filter(|record| record.chain == Chain::Changes).collect()
    }

    /// Waits for the record of what follows `after` records; who asked for it.
    fn who(&self, after: usize, action: &str, detail: &str) -> Option<Requester> {
        eventually(&format!("{action} {detail}"), || {
            let records = self.records();
            let mut later = records.get(after..)?.iter();
            let found = later.find(|record| record.action == action && record.detail.contains(detail))?;
            Some(found.requester.clone())
        })
    }
}

fn attested(user: &str) -> Option<Requester> {
    Some(Requester {
        attested: true,
        user: Some(user.to_owned()),
        groups: vec!["ops".to_owned(), "system:authenticated".to_owned()],
        uid: None,
    })
}

fn described(as_what: &str) -> String {
    generated("db").replace("spec:\n", &format!("spec:\n  description: {as_what}\n"))
}

#[test]
fn who_asked_is_on_record_and_what_came_past_the_webhook_says_so() {
    let scene = Scene::new();
    let f = &scene.f;
    let store = scene.store();
    let mut webhook = scene.webhook();
    // The API server needs a moment to learn whom to ask, and whom to trust.
    eventually("the webhook to be asked", || {
        let before = scene.records().len();
        let name = format!("warm-{before}");
        scene.by(
            "jane",
            &["apply", "-f", "-"],
            &generated("db").replace("name: db", &format!("name: {name}")),
        );
        let who = scene.who(before, "DeclareObject", &name);
        (who == attested("jane")).then_some(())
    });

    let mut before = scene.records().len();
    let apply = ["apply", "-f", "-"];
    scene.by("jane", &apply, &generated("db"));
    f.wait_ready("db", "True", "Ready");
    for (action, detail) in [
        ("DeclareObject", "ManagedSecret db"),
        ("CreateSecret", ""),
        ("BindMaterialized", ""),
    ] {
        assert_eq!(scene.who(before, action, detail), attested("jane"), "{action}");
    }

    // What is only tried leaves nothing, and what others note beside the object is no change.
    before = scene.records().len();
    scene.by(
        "jim",
        &["apply", "--dry-run=server", "-f", "-"],
        &described("tried"),
    );
    scene.by(
        "jim",
        &["-n", "shop", "annotate", "managedsecret", "db", "other.dev/x=1"],
        "",
    );
    scene.by(
        "jane",
        &[
            "-n",
            "shop",
            "annotate",
            "managedsecret",
            "db",
            "strongroom.dev/rotate-now=1",
        ],
        "",
    );
    assert_eq!(
        scene.who(before, "DeclareObject", "ManagedSecret db"),
        attested("jane")
    );
    assert_eq!(scene.who(before, "RotateSecret", ""), attested("jane"));

    // The manager's update is refused by another webhook, after ours has seen it.
    let of_config = ["get", "validatingwebhookconfiguration", SERVICE];
    let authority = f.json(&of_config)["webhooks"][0]["clientConfig"]["caBundle"].clone();
    f.apply(&refusing(scene.port, &authority).to_string());
    let wish = described("the managers").replace(
        "{name: db, namespace: shop}",
        "{name: db, namespace: shop, annotations: {strongroom.dev/env: nonsense}}",
    );
    eventually("the second webhook to refuse", || {
        // Until it does, it is the manager's change indeed.
        let (success, said) = scene.try_as("manager", &apply, &wish);
        if success {
            scene.by("jane", &apply, &described("hers"));
        }
        (!success && said.contains("second.example.com")).then_some(())
    });
    f.kubectl(&["delete", "validatingwebhookconfiguration", "second"]);
    // Then another author's comes past ours.
    webhook.kill();
    before = scene.records().len();
    scene.by("joe", &apply, &described("joes"));
    let unattested = Some(Requester::default());
    assert_eq!(scene.who(before, "DeclareObject", "ManagedSecret db"), unattested);
    assert_eq!(scene.who(before, "UpdateSecret", ""), unattested);

    // What the webhook sees again is known again, and so are a Namespace and a deletion.
    let webhook = scene.webhook();
    before = scene.records().len();
    scene.by("jim", &apply, &described("jims"));
    assert_eq!(scene.who(before, "UpdateSecret", ""), attested("jim"));
    let grants = "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: all, namespace: shop}\nspec:\n  secrets: [\"*\"]\n  \
         statements:\n  - {effect: Allow, principals: [{serviceAccount: app}], actions: [\"secrets:*\"]}\n";
    scene.by("jim", &apply, grants);
    assert_eq!(scene.who(before, "EnforcePolicy", "policy all"), attested("jim"));
    scene.by(
        "jane",
        &["label", "namespace", "shop", "strongroom.dev/recovery=none"],
        "",
    );
    assert_eq!(
        scene.who(before, "DeclareObject", "Namespace shop"),
        attested("jane")
    );
    scene.by("jim", &["-n", "shop", "delete", "managedsecret", "db"], "");
    assert_eq!(
        scene.who(before, "WithdrawObject", "ManagedSecret db"),
        attested("jim")
    );

    // While the store is away nobody waits for it, and what was written then says so afterwards.
    let mut store = store;
    store.stop().unwrap();
    before = scene.records().len();
    scene.by("jane", &apply, &generated("late"));
    let _store = scene.store();
    assert_eq!(
        scene.who(before, "DeclareObject", "ManagedSecret late"),
        unattested
    );
    drop(webhook);
}
