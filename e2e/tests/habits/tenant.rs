//! The namespace of a case, and short ways to ask it.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::{Fixture, condition, eventually};

/// A case's own namespace.
pub(crate) struct Tenant<'a> {
    /// The cluster, for what is not of one namespace.
    pub(crate) f: &'a Fixture,
    /// The namespace.
    pub(crate) name: String,
}

/// More than one case needs is not here: write it where it is needed.
#[allow(
    dead_code,
    reason = "which of them are used depends on the cases that there are"
)]
impl<'a> Tenant<'a> {
    /// A namespace for this case.
    pub(crate) fn new(f: &'a Fixture, case: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let name = format!("case-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        f.kubectl(&["create", "namespace", &name]);
        f.kubectl(&[
            "annotate",
            "namespace",
            &name,
            &format!("strongroom.test/case={case}"),
        ]);
        Self { f, name }
    }

    /// kubectl in the namespace, which must succeed; what it printed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.f.kubectl(&self.within(arguments))
    }

    /// kubectl in the namespace: whether it went well, and both of its outputs.
    pub(crate) fn piped(&self, arguments: &[&str], stdin: &str) -> (bool, String, String) {
        self.f.piped(&self.within(arguments), stdin)
    }

    /// kubectl in the namespace, which must be refused; why.
    pub(crate) fn refused(&self, arguments: &[&str], stdin: &str) -> String {
        self.f.refused(&self.within(arguments), stdin)
    }

    /// Applies objects that name no namespace.
    pub(crate) fn apply(&self, yaml: &str) {
        let (success, _, stderr) = self.piped(&["apply", "-f", "-"], yaml);
        assert!(success, "{stderr}");
    }

    /// Applies a ManagedSecret with this `spec`, in YAML's flow style: `{source: {…}}`.
    pub(crate) fn manage(&self, name: &str, spec: &str) {
        self.apply(&format!(
            "{{apiVersion: strongroom.dev/v1alpha1, kind: ManagedSecret, metadata: {{name: {name:?}}}, spec: {spec}}}"
        ));
    }

    /// What kubectl prints with `-o json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.f.json(&self.within(arguments))
    }

    /// A ManagedSecret.
    pub(crate) fn managed(&self, name: &str) -> Value {
        self.json(&["get", "managedsecret", name])
    }

    /// A Secret; none where there is none.
    pub(crate) fn secret(&self, name: &str) -> Option<Value> {
        let found = self.json(&[
            "get",
            "secret",
            "--field-selector",
            &format!("metadata.name={name}"),
        ]);
        found["items"].as_array()?.first().cloned()
    }

    /// Waits until a Secret is there and fits.
    pub(crate) fn secret_where(&self, what: &str, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("Secret {name}: {what}"), || {
            self.secret(name).filter(&fits)
        })
    }

    /// Waits until a ManagedSecret is Ready with this status and reason, for the generation that stands there
    /// now.
    pub(crate) fn wait_ready(&self, name: &str, status: &str, reason: &str) -> Value {
        self.wait_condition(name, "Ready", status, reason)
    }

    /// The same for a condition of any type.
    pub(crate) fn wait_condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> Value {
        eventually(
            &format!("{name} in {}: {kind}={status}, {reason}", self.name),
            || {
                let object = self.managed(name);
                let found = condition(&object, kind)?;
                let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
                (current && found["status"] == status && found["reason"] == reason).then_some(object)
            },
        )
    }

    /// Messages of the Events of an object, by their reason.
    pub(crate) fn events(&self, object: &str) -> Vec<(String, String)> {
        let about = format!("involvedObject.name={object}");
        let events = self.json(&["get", "events", "--field-selector", &about]);
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let events = events["items"].as_array().cloned().unwrap_or_default();
        events
            .iter()
            .map(|event| (text(event, "reason"), text(event, "message")))
            .collect()
    }

    /// Waits until an Event of an object says this.
    pub(crate) fn event(&self, object: &str, said: &str) {
        eventually(&format!("an Event of {object} with `{said}`"), || {
            self.events(object)
                .iter()
                .any(|(_, message)| message.contains(said))
                .then_some(())
        });
    }

    /// `kubectl strongroom` in the namespace, as somebody or as the administrator: whether it went well, and
    /// both of its outputs.
    pub(crate) fn person(
        &self,
        user: Option<&str>,
        arguments: &[&str],
        stdin: &str,
    ) -> (bool, String, String) {
        self.f.person_in(&self.name, user, arguments, stdin)
    }

    /// Runs a pod of busybox that waits, with more of the container's and of the pod's fields, in flow style;
    /// waits until it is ready.
    pub(crate) fn run_pod(&self, pod: &str, container: &str, spec: &str) {
        self.start_pod(pod, container, spec);
        self.kubectl(&[
            "wait",
            "--for=condition=Ready",
            &format!("pod/{pod}"),
            "--timeout=120s",
        ]);
    }

    /// The same without waiting.
    pub(crate) fn start_pod(&self, pod: &str, container: &str, spec: &str) {
        let join = |more: &str| {
            if more.is_empty() {
                String::new()
            } else {
                format!(", {more}")
            }
        };
        self.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {pod}}}, spec: {{terminationGracePeriodSeconds: 0, containers: [{{name: app, \
             image: \"strongroom.test/busybox:1\", imagePullPolicy: Never, command: [sleep, infinity]{}}}]{}}}}}",
            join(container),
            join(spec)
        ));
    }

    /// What a command in a pod prints.
    pub(crate) fn exec(&self, pod: &str, command: &[&str]) -> String {
        self.kubectl(&[&["exec", pod, "--"], command].concat())
    }

    fn within<'b>(&'b self, arguments: &[&'b str]) -> Vec<&'b str> {
        [&["--namespace", self.name.as_str()], arguments].concat()
    }
}
