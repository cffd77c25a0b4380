//! A cluster with the chart's rules of admission and its webhook, a process with its API, and who asks.

use http::Method;
use serde_json::{Value, json};
use strongroom_e2e::Strongroom;

use crate::https::Api;
use crate::support::chart::{CHART, templates};
use crate::support::https::Answer;
use crate::support::{Fixture, condition, eventually, free_port};

const SERVICE: &str = "strongroom-webhook";

/// The account of the database operator, and that of the AI gateway.
pub(crate) const PG: &str = "system:serviceaccount:pg-system:pg";
pub(crate) const AIGW: &str = "system:serviceaccount:aigw-system:aigw";

pub(crate) struct Scene {
    pub(crate) f: Fixture,
    pub(crate) api: Api,
    /// At the gateway that is for `pg` alone.
    pub(crate) dedicated: Api,
    processes: [Strongroom; 2],
}

/// A ServiceAccount in a namespace, which may write ManagedSecrets in `shop`.
fn account(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: {namespace}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {namespace}-{name}, namespace: shop}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: writers}}\n\
         subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]\n---\n"
    )
}

const WRITERS: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: writers, namespace: shop}\nrules:\n\
    - {apiGroups: [strongroom.dev], resources: [managedsecrets], verbs: [get, list, create, update, patch, delete]}\n---\n\
    apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: jane, namespace: shop}\n\
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: writers}\n\
    subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}, {kind: User, name: root, apiGroup: rbac.authorization.k8s.io}]\n---\n\
    apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: products}\nrules:\n\
    - {apiGroups: [strongroom.dev], resources: [secretproducts], verbs: [get, patch, manage]}\n---\n\
    apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: products}\n\
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: products}\n\
    subjects: [{kind: User, name: root, apiGroup: rbac.authorization.k8s.io}]\n---\n";

impl Scene {
    pub(crate) fn new() -> Self {
        let f = Fixture::new();
        let [port, dedicated, webhook, attestations] = [(); 4].map(|()| free_port());
        f.apply(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {SERVICE}, namespace: strongroom}}\n\
             spec: {{type: ExternalName, externalName: localhost}}\n"
        ));
        let mut asked: Value =
            serde_saphyr::from_str(&templates(CHART, &["webhook-configuration"], &[])).unwrap();
        for configured in asked["webhooks"].as_array_mut().unwrap() {
            configured["clientConfig"]["service"]["port"] = json!(webhook);
        }
        f.apply(&asked.to_string());
        let served = Strongroom::start_with(
            &f.cluster,
            &f.data(),
            &[
                &format!("--gateway-listen=127.0.0.1:{port}"),
                &format!("--gateway=pg=127.0.0.1:{dedicated},products=pg,readRate=0,writeRate=0"),
                "--read-rate=0",
                "--write-rate=0",
                &format!("--webhook={SERVICE}"),
                &format!("--attestations-listen=127.0.0.1:{attestations}"),
            ],
        )
        .unwrap();
        let attesting = Strongroom::spawn(
            &f.cluster,
            &f.keep.path().join("webhook"),
            &[
                "--roles=webhook",
                &format!("--webhook={SERVICE}"),
                &format!("--webhook-listen=127.0.0.1:{webhook}"),
                &format!("--attestations-address=127.0.0.1:{attestations}"),
            ],
        )
        .unwrap();
        for namespace in ["pg-system", "aigw-system"] {
            f.kubectl(&["create", "namespace", namespace]);
        }
        f.kubectl(&["label", "namespace", "shop", "tenant=yes"]);
        let accounts = [("pg-system", "pg"), ("aigw-system", "aigw"), ("shop", "app")];
        f.apply(WRITERS);
        f.apply(
            &accounts
                .map(|(namespace, name)| account(namespace, name))
                .concat(),
        );
        // The authority is told where there is an object.
        f.apply(
            "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: first, namespace: shop}\nspec: {source: {external: {}}}\n",
        );
        let authority = f.authority();
        let [api, dedicated] = [port, dedicated].map(|port| Api::new(port, &authority));
        let scene = Self {
            f,
            api,
            dedicated,
            processes: [served, attesting],
        };
        scene.wait_for_admission();
        scene
    }

    /// Has the chart's rules of admission in force.
    pub(crate) fn apply_rules(&self) {
        self.f
            .apply(&templates(CHART, &["product-admission-policies"], &[]));
        eventually("the rules of admission to be in force", || {
            let refused = self.apply_as("jane", &generated("probe", "probe!x")).err();
            if refused.is_none() {
                let delete = ["-n", "shop", "delete", "managedsecret", "probe"];
                self.f.kubectl(&delete);
            }
            refused.filter(|why| why.contains("managed by product `probe`"))
        });
    }

    /// The API server needs a moment to learn whom to ask, and by which rules.
    fn wait_for_admission(&self) {
        self.product("probe", PG, "[Free]", "");
        self.apply_rules();
        let mut number = 0;
        eventually("a manager's object to be attested", || {
            number += 1;
            let name = format!("probe-{number}");
            self.apply_as(PG, &generated(&name, &format!("probe!{name}")))
                .unwrap();
            let reason = eventually("it to be looked at", || self.reason(&name));
            (reason == "Ready").then_some(())
        });
    }

    /// Reason of the condition Ready of a ManagedSecret.
    pub(crate) fn reason(&self, name: &str) -> Option<String> {
        let ready = condition(&self.f.managed(name), "Ready")?;
        let reason = ready["reason"].as_str()?;
        (!["Progressing", "ProductUnknown"].contains(&reason)).then(|| reason.to_owned())
    }

    /// Applies a SecretProduct with one manager, and waits until its status is about that.
    pub(crate) fn product(&self, code: &str, manager: &str, hosting: &str, more: &str) {
        let mut account = manager.rsplit(':');
        let (name, namespace) = (account.next().unwrap(), account.next().unwrap());
        let quotas: Vec<String> = ["Free", "Paid"]
            .into_iter()
            .filter(|one| hosting.contains(one))
            .map(|one| format!("{}: {{perNamespace: 20, total: 50}}", one.to_lowercase()))
            .collect();
        self.f.apply(&format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: SecretProduct\nmetadata: {{name: {code}}}\nspec:\n  \
             docs: https://wiki.example.org/{code}\n  managers: [{{namespace: {namespace}, name: {name}}}]\n  \
             namespaces: {{matchLabels: {{tenant: \"yes\"}}}}\n  hosting: {hosting}\n  quota: {{{}}}\n{more}",
            quotas.join(", ")
        ));
        eventually(&format!("product {code} to be looked at"), || {
            let object = self.f.json(&["get", "secretproduct", code]);
            let looked_at = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            looked_at.then_some(())
        });
    }

    /// Waits until a product is Ready with this status and reason.
    pub(crate) fn product_is(&self, code: &str, status: &str, reason: &str) -> Value {
        eventually(&format!("product {code} to be Ready={status}, {reason}"), || {
            let object = self.f.json(&["get", "secretproduct", code]);
            let ready = condition(&object, "Ready")?;
            (ready["status"] == status && ready["reason"] == reason).then_some(object)
        })
    }

    /// What this user applies.
    pub(crate) fn apply_as(&self, user: &str, yaml: &str) -> Result<(), String> {
        self.f.tried(&[&format!("--as={user}"), "apply", "-f", "-"], yaml)
    }

    /// What this user does with kubectl in `shop`; why it is refused, if it is.
    pub(crate) fn try_as(&self, user: &str, arguments: &[&str]) -> Result<(), String> {
        let who = format!("--as={user}");
        self.f
            .tried(&[&[who.as_str(), "-n", "shop"], arguments].concat(), "")
    }

    /// A token of a ServiceAccount for the API.
    pub(crate) fn token(&self, account: &str) -> String {
        let mut account = account.rsplit(':');
        let (name, namespace) = (account.next().unwrap(), account.next().unwrap());
        self.f.token(namespace, name)
    }

    pub(crate) fn get(&self, token: &str, path: &str) -> Answer {
        self.api.ask(token, Method::GET, path, None)
    }

    /// Stops what serves, and answers whether it ended well.
    pub(crate) fn stop(mut self) -> bool {
        self.processes[0].stop().unwrap().success()
    }
}

/// A ManagedSecret of `shop` with a generated password under this name in the store.
pub(crate) fn generated(name: &str, store_name: &str) -> String {
    format!(
        "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
         storeName: \"{store_name}\"\n  source: {{generate: {{keys: {{password: {{password: {{}}}}}}}}}}\n"
    )
}
