//! What the old release is given before the upgrade: objects, values and pods. All of it has to be there, and
//! to be the same, whatever runs beside it.

use std::cell::RefCell;

use data_encoding::BASE64;
use serde_json::Value;

use crate::release::Release;
use crate::support::person::JANE;
use crate::support::{Fixture, eventually, generated};

/// Objects beside those of [`JANE`]: she may read all but `closed`, and Mallory, who has the same rights in
/// the API, has no policy.
const OBJECTS: &str = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: app, namespace: shop}\n---\n\
    apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: nobody, namespace: shop}\n---\n\
    apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: mallory, namespace: shop}\n\
    roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: strongroom-user}\n\
    subjects: [{kind: User, name: mallory, apiGroup: rbac.authorization.k8s.io}]\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: EncryptionKey\nmetadata: {name: payments, namespace: shop}\n\
    spec: {rotation: {every: 90d}, deletion: {window: 30d}}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: db, namespace: shop}\n\
    spec: {source: {external: {}}, readers: [app], secret: {name: db}}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: card, namespace: shop}\n\
    spec: {encryptionKey: payments, source: {generate: {keys: {token: {password: {length: 40}}}}}}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: card, namespace: shop}\n\
    spec:\n  secrets: [card]\n  statements:\n  - {effect: Allow, principals: [{user: jane}], \
    actions: [\"secrets:GetSecretValue\", \"keys:Decrypt\"]}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: closed, namespace: shop}\n\
    spec: {source: {generate: {keys: {token: {password: {length: 40}}}}}}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: closed, namespace: shop}\n\
    spec:\n  secrets: [closed]\n  statements:\n  - {effect: Deny, principals: [{user: jane}], \
    actions: [\"secrets:GetSecretValue\"]}\n---\n\
    apiVersion: strongroom.dev/v1alpha1\nkind: RotationSchedule\nmetadata: {name: turning, namespace: shop}\n\
    spec: {secrets: {names: [turning]}, schedule: {every: 1m}, rotator: {generate: {}}}\n";

/// What a container needs in a namespace of the restricted profile.
const RESTRICTED: &str = "securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}";

/// Says so whenever its file is not there or empty.
const WATCHES: &str = "[sh, -c, 'while :; do [ -s /secret/password ] || echo gone; sleep 0.2; done']";

/// Waits for its end.
const SLEEPS: &str = "[sh, -c, 'trap \"exit 0\" TERM; while :; do sleep 0.2; done']";

/// A pod that nothing may restart or mount anew, as it was at first.
struct RunningPod {
    name: &'static str,
    uid: String,
    /// Ids and devices of its mounts of ours on the node.
    mounts: String,
}

/// What was made, and what it has to be.
pub(crate) struct Scene<'a> {
    pub(crate) f: &'a Fixture,
    /// The password of `db` that was put last.
    password: RefCell<String>,
    /// Data of the native Secret of `login`, which nothing rotates.
    login: Value,
    card: String,
    /// Data of the native Secret of `smtp`, which was sealed.
    smtp: Value,
    pods: Vec<RunningPod>,
}

impl<'a> Scene<'a> {
    /// Everything, by the old program of people.
    pub(crate) fn new(f: &'a Fixture) -> Self {
        f.kubectl(&["create", "namespace", "shop"]);
        let restricted = "pod-security.kubernetes.io/enforce=restricted";
        f.kubectl(&["label", "namespace", "shop", restricted]);
        f.apply(JANE);
        f.apply(OBJECTS);
        f.apply(&(generated("login") + &generated("turning")));
        for name in ["login", "turning", "card", "closed"] {
            f.wait_ready(name, "True", "Ready");
        }
        let mut it = Self {
            f,
            password: RefCell::default(),
            login: f.native("login").unwrap(),
            card: String::new(),
            smtp: Value::Null,
            pods: Vec::new(),
        };
        eventually("the first put", || it.put(Release::Old, "first").ok());
        it.card = eventually("the value under a key", || {
            let get = ["get", "card", "--key=token"];
            it.jane(Release::Old, &get, "").ok()
        });
        let seal = ["seal", "smtp", "--key=password", "--native=smtp"];
        let manifest = it.jane(Release::Old, &seal, "in-git").unwrap();
        f.apply(&manifest);
        f.wait_ready("smtp", "True", "Ready");
        it.smtp = f.native("smtp").unwrap();
        assert_eq!(it.smtp["password"], BASE64.encode(b"in-git"));
        f.apply(&pod_with_volume("app", "app", WATCHES));
        f.wait_pod("app");
        it.start_with_variables("variables");
        it.pods = ["app", "variables"].map(|name| running(f, name)).into();
        it
    }

    /// A command of Jane's: what it printed, or why it failed.
    pub(crate) fn jane(&self, release: Release, arguments: &[&str], stdin: &str) -> Result<String, String> {
        self.person(release, Some("jane"), arguments, stdin)
    }

    /// A command of somebody's, or of the administrator's.
    pub(crate) fn person(
        &self,
        release: Release,
        user: Option<&str>,
        arguments: &[&str],
        stdin: &str,
    ) -> Result<String, String> {
        let output = self
            .f
            .by_program(&release.client(), "shop", user, arguments, stdin);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stdout) + &text(output.stderr))
        }
    }

    /// A new password of `db`, by one of the programs.
    pub(crate) fn put(&self, release: Release, password: &str) -> Result<(), String> {
        let put = ["put", "db", "--key=password", "--wait=60s"];
        self.jane(release, &put, password)?;
        password.clone_into(&mut self.password.borrow_mut());
        Ok(())
    }

    /// One key of a secret's value, by one of the programs.
    pub(crate) fn value(&self, release: Release, secret: &str, key: &str) -> String {
        let key = format!("--key={key}");
        self.jane(release, &["get", secret, &key], "").unwrap()
    }

    /// The file of the pod that runs from the beginning has the password that was put last.
    pub(crate) fn file_follows(&self) -> bool {
        self.f.file_in("app", "/secret/password") == *self.password.borrow()
    }

    /// So has the native Secret, before long.
    pub(crate) fn native_secret_follows(&self) {
        let password = BASE64.encode(self.password.borrow().as_bytes());
        eventually("the native Secret to follow", || {
            (self.f.native("db")?["password"] == password).then_some(())
        });
    }

    /// What nobody changed is what it was, by both programs.
    pub(crate) fn values_stay(&self) {
        assert_eq!(self.f.native("login").as_ref(), Some(&self.login));
        assert_eq!(self.f.native("smtp").as_ref(), Some(&self.smtp));
        for release in Release::ALL {
            assert_eq!(self.value(release, "card", "token"), self.card);
            assert_eq!(self.value(release, "db", "password"), *self.password.borrow());
        }
    }

    /// The pods from the beginning were neither restarted nor mounted anew, and had their file at every
    /// moment.
    pub(crate) fn pods_stay(&self) {
        for was in &self.pods {
            let is = running(self.f, was.name);
            assert_eq!(is.uid, was.uid, "{} was replaced", was.name);
            assert_eq!(is.mounts, was.mounts, "{} was mounted anew", was.name);
        }
        let said = self.f.kubectl(&["-n", "shop", "logs", "app"]);
        assert_eq!(said, "", "its file was away");
    }

    /// A pod with a volume starts with the last password, and goes.
    pub(crate) fn a_pod_starts(&self, name: &str) {
        self.f.apply(&pod_with_volume(name, "app", SLEEPS));
        self.f.wait_pod(name);
        let file = self.f.file_in(name, "/secret/password");
        assert_eq!(file, *self.password.borrow(), "in {name}");
        self.delete(name);
    }

    /// A pod with a variable starts with the last password, and goes.
    pub(crate) fn a_pod_with_variables_starts(&self, name: &str) {
        self.start_with_variables(name);
        self.delete(name);
    }

    fn start_with_variables(&self, name: &str) {
        let pod = pod_with_variable(name);
        // The API server needs a moment to learn which webhook to trust.
        eventually("the pod to be taken", || {
            self.f.tried(&["apply", "-f", "-"], &pod).ok()
        });
        self.f.wait_pod(name);
        let variable = format!("PASSWORD={}", self.password.borrow());
        let environment = [
            "-n",
            "shop",
            "exec",
            name,
            "-c",
            "app",
            "--",
            "cat",
            "/proc/1/environ",
        ];
        // The first process becomes the pod's command a moment after the container has started.
        eventually(&format!("the variable of {name}"), || {
            let output = self.f.cluster.kubectl(&environment).unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            said.split('\0').any(|it| it == variable).then_some(())
        });
    }

    /// A pod that no policy lets read does not start, and its event says so.
    pub(crate) fn a_stranger_does_not_start(&self, name: &str) {
        self.f.apply(&pod_with_volume(name, "nobody", SLEEPS));
        let said = "no policy in namespace `shop` allows secrets:GetSecretValue";
        self.f.event(name, said);
        self.delete(name);
    }

    fn delete(&self, pod: &str) {
        self.f
            .kubectl(&["-n", "shop", "delete", "pod", pod, "--timeout=120s"]);
    }

    /// The version of a secret that is Current, by its object.
    pub(crate) fn current(&self, secret: &str) -> String {
        self.f.managed(secret)["status"]["stages"]["Current"].to_string()
    }
}

fn running(f: &Fixture, name: &'static str) -> RunningPod {
    let pod = f.json(&["-n", "shop", "get", "pod", name]);
    for status in pod["status"]["containerStatuses"].as_array().unwrap() {
        assert_eq!(status["restartCount"], 0, "{name}");
    }
    let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
    let mounts = f.on_node(&format!(
        "grep '/pods/{uid}/volumes/kubernetes.io~csi/' /proc/self/mountinfo | cut -d ' ' -f 1,3"
    ));
    assert!(!mounts.is_empty(), "{name} has a volume");
    RunningPod { name, uid, mounts }
}

/// A pod of an account with `db` at `/secret`.
fn pod_with_volume(name: &str, account: &str, command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n{}  - name: app\n    image: strongroom.test/busybox:1\n    \
         imagePullPolicy: Never\n    command: {command}\n    {RESTRICTED}\n    volumeMounts: [{{name: s, mountPath: /secret, readOnly: true}}]\n  \
         volumes:\n  - {{name: s, csi: {{driver: csi.strongroom.dev, readOnly: true, volumeAttributes: {{secrets: db}}}}}}\n",
        head(account)
    )
}

/// A pod whose process has the password of `db` as a variable.
fn pod_with_variable(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: shop\n  annotations:\n    strongroom.dev/env: exec\n    \
         strongroom.dev/env-vars: |\n      PASSWORD: db/password\nspec:\n{}  - name: app\n    image: strongroom.test/busybox:1\n    \
         imagePullPolicy: Never\n    command: {SLEEPS}\n    {RESTRICTED}\n",
        head("app")
    )
}

/// A pod's spec up to its containers.
fn head(account: &str) -> String {
    format!(
        "  serviceAccountName: {account}\n  automountServiceAccountToken: false\n  terminationGracePeriodSeconds: 0\n  \
         securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}\n  containers:\n"
    )
}
