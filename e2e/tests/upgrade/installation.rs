//! The installation: whose chart and images it is of, in whole or in part, and the proof of its audit log.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::release::{Release, load_images};
use crate::support::{ALL_NAMESPACES, Fixture, eventually, in_time};

/// What an old process says of records that it does not know (`docs/operate/upgrade.md`).
const REFUSAL: &str = "which this version does not know; run a newer strongroom";

/// The workload with the store.
const PROCESS: (&str, &str) = ("serve", "statefulset/strongroom");

/// The workloads beside it, by the label `app.kubernetes.io/component` of their pods.
const OTHERS: [(&str, &str); 3] = [
    ("node", "daemonset/strongroom-node"),
    ("front", "deployment/strongroom-front"),
    ("webhook", "deployment/strongroom-webhook"),
];

/// The release `strongroom` of Helm.
pub(crate) struct Installation<'a> {
    f: &'a Fixture,
    /// The folder of the process's volume.
    volume: PathBuf,
    /// An administrator's kubeconfig whose namespace is that of the release, as Helm applies objects that
    /// name none.
    kubeconfig: PathBuf,
}

impl<'a> Installation<'a> {
    /// Everything of the old release.
    pub(crate) fn of_old(f: &'a Fixture) -> Self {
        load_images(f);
        f.kubectl(&["create", "namespace", "strongroom"]);
        let it = Self {
            f,
            volume: f.cluster.volume("strongroom", 65532).unwrap(),
            kubeconfig: f.keep.path().join("kubeconfig-of-release"),
        };
        std::fs::copy(f.cluster.kubeconfig(), &it.kubeconfig).unwrap();
        let mut namespace = it.kubectl();
        namespace.args(["config", "set-context", "--current", "--namespace=strongroom"]);
        assert!(namespace.output().unwrap().status.success());
        it.helm("install", Release::Old, &[]);
        it.wait_for(Release::Old, Release::Old);
        it
    }

    fn kubectl(&self) -> Command {
        let mut command = self.f.cluster.kubectl_command();
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// A command of Helm with a release's chart and values.
    fn helm(&self, command: &str, release: Release, flags: &[&str]) -> String {
        let chart = release.chart().display().to_string();
        let mut values = vec![
            ALL_NAMESPACES.to_owned(),
            "node.enabled=true".to_owned(),
            "env.enabled=true".to_owned(),
            format!("persistence.hostPath={}", self.volume.display()),
        ];
        values.extend(release.image_values());
        let mut arguments = vec![command, "strongroom", &chart];
        arguments.extend(flags);
        for value in &values {
            arguments.extend(["--set", value]);
        }
        self.f.helm(&arguments)
    }

    /// The objects of a release, a document each.
    fn objects(&self, release: Release) -> Vec<String> {
        let rendered = self.helm("template", release, &["--is-upgrade", "--no-hooks"]);
        let documents = rendered.split("\n---\n");
        let documents = documents.filter(|document| kind(document).is_some());
        documents.map(str::to_owned).collect()
    }

    /// Applies objects as Helm does: what it applied before and is not in them goes.
    fn apply(&self, objects: &[String]) {
        let mut apply = self.kubectl();
        apply
            .args(["apply", "--server-side", "--force-conflicts"])
            .args(["--field-manager=helm", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = apply.spawn().unwrap();
        let text = objects.join("\n---\n");
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The old process beside everything else of the new release: an upgrade whose last step is the process.
    pub(crate) fn upgrade_all_but_the_process(&self) {
        let mut objects = self.objects(Release::New);
        objects.retain(|object| kind(object) != Some("StatefulSet"));
        self.apply(&objects);
        self.wait_for(Release::Old, Release::New);
    }

    /// The new process, beside the old node plugin, webhook and extension API server: an upgrade whose first
    /// step is the process. All other objects are the new ones, as they are in the middle of an upgrade.
    pub(crate) fn upgrade_the_process_alone(&self) {
        let mut others = self.objects(Release::Old);
        others.retain(|object| matches!(kind(object), Some("DaemonSet" | "Deployment")));
        self.apply(&others);
        let mut process = self.objects(Release::New);
        process.retain(|object| kind(object) == Some("StatefulSet"));
        let policy = self.f.kubectl(&[
            "-n",
            "strongroom",
            "get",
            PROCESS.1,
            "-o=jsonpath={.spec.podManagementPolicy}",
        ]);
        // It cannot be changed, and `helm template` does not look at what is there, as `helm upgrade` does.
        for object in &mut process {
            *object = object.replace(
                "podManagementPolicy: Parallel",
                &format!("podManagementPolicy: {policy}"),
            );
        }
        self.apply(&process);
        self.wait_for(Release::New, Release::Old);
    }

    /// Everything of the new release. A pod that is waited for in vain goes first, as the page says.
    pub(crate) fn upgrade(&self, deletes_the_pod: bool) {
        // Some of it is there already, and was not made by this command.
        self.helm("upgrade", Release::New, &["--take-ownership"]);
        if deletes_the_pod {
            let delete = ["-n", "strongroom", "delete", "pod", "strongroom-0"];
            self.f.kubectl(&delete);
        }
        self.wait_for(Release::New, Release::New);
    }

    /// Back to what was installed first; why the old process does not open the store of the new one, where
    /// it says so.
    pub(crate) fn roll_back(&self) -> Option<String> {
        self.f.helm(&["rollback", "strongroom", "1"]);
        let outcome = in_time(|| {
            let pod = self.pods(PROCESS.0).pop()?;
            if !Release::Old.has_image(image(&pod)) {
                return None;
            }
            let refusal = self.refusal();
            (refusal.is_some() || is_ready(&pod)).then_some(refusal)
        });
        let Some(refusal) = outcome else {
            panic!(
                "the old process neither works nor says why not:\n{}",
                self.f.log_of_strongroom(30)
            );
        };
        if refusal.is_none() {
            self.wait_for(Release::Old, Release::Old);
        }
        refusal
    }

    /// The line of the log by which a process refuses a record of a newer format.
    fn refusal(&self) -> Option<String> {
        let logs = ["-n", "strongroom", "logs", "strongroom-0"];
        let (_, now, _) = self.f.piped(&logs, "");
        let (_, before, _) = self.f.piped(&[&logs[..], &["--previous"]].concat(), "");
        let lines = now.lines().chain(before.lines());
        let mut refusals = lines.filter(|line| line.contains(REFUSAL));
        refusals.next().map(str::to_owned)
    }

    /// Waits until the process, and all others, run and are of these releases.
    fn wait_for(&self, process: Release, others: Release) {
        let others = OTHERS.map(|workload| (workload, others));
        for ((component, workload), release) in [(PROCESS, process)].into_iter().chain(others) {
            self.f.rolled_out("strongroom", workload);
            let what = format!("{component} to be of the {} release", release.name());
            eventually(&what, || {
                let pods = self.pods(component);
                let all = pods.iter().all(|pod| release.has_image(image(pod)));
                (all && !pods.is_empty()).then_some(())
            });
        }
        self.f.extension_api_available();
    }

    /// Pods of a component that are not about to go.
    fn pods(&self, component: &str) -> Vec<Value> {
        let label = format!("app.kubernetes.io/component={component}");
        let pods = self.f.json(&["-n", "strongroom", "get", "pods", "-l", &label]);
        let mut pods = pods["items"].as_array().unwrap().clone();
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        pods
    }

    /// Ids of all images that run: those of both releases have nothing in common.
    pub(crate) fn image_ids(&self) -> BTreeSet<String> {
        let components = [PROCESS].into_iter().chain(OTHERS);
        let pods = components.flat_map(|(component, _)| self.pods(component));
        let id = |pod: Value| pod["status"]["containerStatuses"][0]["imageID"].to_string();
        pods.map(id).collect()
    }

    /// The key that proves the audit log.
    pub(crate) fn audit_key(&self) -> String {
        let pod = ["-n", "strongroom", "exec", "strongroom-0", "--"];
        let key = self
            .f
            .kubectl(&[&pod[..], &["strongroom", "audit", "public-key"]].concat());
        key.trim().to_owned()
    }

    /// Stops the process, proves the audit log by the new program, and starts it again; what was proven, and
    /// what the old program says to it.
    pub(crate) fn prove_audit(&self, key: &str) -> String {
        self.f.scale_strongroom(0);
        let store = self.volume.join("store").display().to_string();
        let verify = |release: Release| {
            let arguments = ["audit", "verify", "--public-key", key, "--dir", &store];
            let output = Command::new(release.server()).args(arguments).output().unwrap();
            let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (
                output.status.success(),
                said(&output.stdout),
                said(&output.stderr),
            )
        };
        let (is_sound, report, error) = verify(Release::New);
        assert!(is_sound && report.contains("sound"), "{report}{error}");
        let (old_agrees, _, error) = verify(Release::Old);
        self.f.scale_strongroom(1);
        let chains = report.lines().filter(|line| line.contains(" chain: "));
        let counts: Vec<&str> = chains.filter_map(|line| line.split(',').next()).collect();
        let old = if old_agrees {
            "sound".to_owned()
        } else {
            error.lines().next().unwrap_or("not sound").to_owned()
        };
        format!(
            "audit verify: {}, sound; by the old program: {old}",
            counts.join(", ")
        )
    }
}

/// The kind of an object; none of a document that has no object.
fn kind(document: &str) -> Option<&str> {
    document.lines().find_map(|line| line.strip_prefix("kind: "))
}

/// The image that a pod of strongroom is to run.
fn image(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
