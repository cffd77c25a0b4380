//! What of a Pod says how it uses Secrets
//! (<https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/>). The rest of it is not
//! taken in.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;
use strongroom_rules::consumers::SecretUse;

/// A Pod, as far as it uses Secrets.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PartialPod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    service_account_name: String,
    volumes: Vec<Volume>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    name: String,
    secret: Option<SecretVolume>,
    projected: Option<ProjectedVolume>,
    csi: Option<CsiVolume>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct CsiVolume {
    driver: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretVolume {
    secret_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ProjectedVolume {
    sources: Vec<Source>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Source {
    secret: Option<Reference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Reference {
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    restart_policy: Option<String>,
    env: Vec<Variable>,
    env_from: Vec<FromSource>,
    volume_mounts: Vec<Mount>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Variable {
    value_from: Option<ValueFrom>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ValueFrom {
    secret_key_ref: Option<Reference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FromSource {
    secret_ref: Option<Reference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mount {
    name: String,
    sub_path: String,
    sub_path_expr: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    state: State,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    running: Option<Running>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: Option<String>,
}

impl PartialPod {
    pub(crate) fn node(&self) -> &str {
        &self.spec.node_name
    }

    pub(crate) fn account(&self) -> &str {
        &self.spec.service_account_name
    }

    /// The Secrets that its running containers have, and how. A Secret that is used in several ways counts
    /// for the one that keeps it longest.
    pub(crate) fn uses(&self) -> BTreeMap<String, SecretUse> {
        let mut uses = BTreeMap::new();
        for (container, started) in self.running() {
            for name in container.fixed(&self.spec.volumes) {
                keep(&mut uses, name, SecretUse::AtStart(started));
            }
            for name in container.followed(&self.spec.volumes) {
                keep(&mut uses, name, SecretUse::Followed(started));
            }
        }
        uses
    }

    /// Since when one of its running containers has files of a volume of `csi.strongroom.dev` below a
    /// `subPath`, the one that started first: such files stay as they were then.
    pub(crate) fn pinned(&self) -> Option<Timestamp> {
        let ours = |mount: &Mount| {
            let volume = self.spec.volumes.iter().find(|volume| volume.name == mount.name);
            let csi = volume.and_then(|volume| volume.csi.as_ref());
            mount.is_below() && csi.is_some_and(|csi| csi.driver == strongroom_rules::environment::DRIVER)
        };
        let pinned = self
            .running()
            .filter(|(container, _)| container.volume_mounts.iter().any(ours));
        pinned.map(|(_, started)| started).min()
    }

    /// The containers that run, and since when.
    fn running(&self) -> impl Iterator<Item = (&Container, Timestamp)> {
        let ended = matches!(self.status.phase.as_str(), "Succeeded" | "Failed");
        // An init container that goes on is a sidecar.
        let sidecars = self
            .spec
            .init_containers
            .iter()
            .filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let containers = self.spec.containers.iter().chain(sidecars);
        let running = containers.filter_map(|container| Some((container, self.started(&container.name)?)));
        running.filter(move |_| !ended)
    }

    fn started(&self, container: &str) -> Option<Timestamp> {
        let mut statuses = self
            .status
            .container_statuses
            .iter()
            .chain(&self.status.init_container_statuses);
        let status = statuses.find(|status| status.name == container)?;
        status.state.running.as_ref()?.started_at.as_deref()?.parse().ok()
    }
}

fn keep(uses: &mut BTreeMap<String, SecretUse>, name: &str, used: SecretUse) {
    if name.is_empty() {
        return;
    }
    // In the order of the variants: what stays as it was at the start before what follows, and the earlier
    // before the later.
    uses.entry(name.to_owned())
        .and_modify(|known| *known = used.min(*known))
        .or_insert(used);
}

impl Container {
    /// Secrets whose values it has from its start on.
    fn fixed<'a>(&'a self, volumes: &'a [Volume]) -> BTreeSet<&'a str> {
        let variables = self
            .env
            .iter()
            .filter_map(|variable| variable.value_from.as_ref()?.secret_key_ref.as_ref());
        let all = self
            .env_from
            .iter()
            .filter_map(|source| source.secret_ref.as_ref());
        let names = variables.chain(all).map(|reference| reference.name.as_str());
        names.chain(self.mounted(volumes, true)).collect()
    }

    /// Secrets that it has in a volume.
    fn followed<'a>(&'a self, volumes: &'a [Volume]) -> BTreeSet<&'a str> {
        self.mounted(volumes, false).collect()
    }

    fn mounted<'a>(&'a self, volumes: &'a [Volume], below: bool) -> impl Iterator<Item = &'a str> {
        self.volume_mounts
            .iter()
            .filter(move |mount| below == mount.is_below())
            .filter_map(move |mount| volumes.iter().find(|volume| volume.name == mount.name))
            .flat_map(Volume::secrets)
    }
}

impl Mount {
    /// Whether it is a part of the volume, which stays as it was when the container started.
    fn is_below(&self) -> bool {
        !self.sub_path.is_empty() || !self.sub_path_expr.is_empty()
    }
}

impl Volume {
    fn secrets(&self) -> impl Iterator<Item = &str> {
        let whole = self.secret.iter().map(|secret| secret.secret_name.as_str());
        let parts = self.projected.iter().flat_map(|projected| &projected.sources);
        whole.chain(parts.filter_map(|source| Some(source.secret.as_ref()?.name.as_str())))
    }
}

impl Resource for PartialPod {
    type DynamicType = ();
    type Scope = <Pod as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        Pod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Pod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Pod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_way_to_have_a_secret_is_seen() {
        let running = |name: &str, at: &str| json!({"name": name, "state": {"running": {"startedAt": at}}});
        let pod = json!({
            "metadata": {"namespace": "shop", "name": "app-1"},
            "spec": {
                "nodeName": "n", "serviceAccountName": "app",
                "volumes": [
                    {"name": "whole", "secret": {"secretName": "in-volume"}},
                    {"name": "part", "projected": {"sources": [{"secret": {"name": "projected"}}, {"serviceAccountToken": {"path": "t"}}]}},
                    {"name": "below", "secret": {"secretName": "below"}},
                    {"name": "both", "secret": {"secretName": "both"}},
                    {"name": "unmounted", "secret": {"secretName": "unmounted"}},
                    {"name": "tmp", "emptyDir": {}},
                ],
                "initContainers": [
                    {"name": "done", "envFrom": [{"secretRef": {"name": "only-at-init"}}]},
                    {"name": "sidecar", "restartPolicy": "Always", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "of-sidecar", "key": "k"}}}]},
                ],
                "containers": [
                    {"name": "app",
                     "env": [{"name": "A", "value": "x"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "variable", "key": "k"}}}],
                     "envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "all"}}, {"secretRef": {"name": "both"}}],
                     "volumeMounts": [{"name": "whole", "mountPath": "/a"}, {"name": "part", "mountPath": "/b"},
                        {"name": "below", "mountPath": "/c", "subPath": "k"}, {"name": "both", "mountPath": "/d"}, {"name": "tmp", "mountPath": "/e"}]},
                    {"name": "waiting", "envFrom": [{"secretRef": {"name": "not-yet"}}]},
                ],
            },
            "status": {
                "phase": "Running",
                "containerStatuses": [running("app", "2026-01-01T00:00:01Z"), {"name": "waiting", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
                "initContainerStatuses": [running("sidecar", "2026-01-01T00:00:00Z"), {"name": "done", "state": {"terminated": {"exitCode": 0}}}],
            },
        });
        let parse = |pod: &serde_json::Value| serde_json::from_value::<PartialPod>(pod.clone()).unwrap();
        let (app, sidecar) = (
            "2026-01-01T00:00:01Z".parse().unwrap(),
            "2026-01-01T00:00:00Z".parse().unwrap(),
        );
        let expected = [
            ("all", SecretUse::AtStart(app)),
            ("below", SecretUse::AtStart(app)),
            ("both", SecretUse::AtStart(app)),
            ("in-volume", SecretUse::Followed(app)),
            ("of-sidecar", SecretUse::AtStart(sidecar)),
            ("projected", SecretUse::Followed(app)),
            ("variable", SecretUse::AtStart(app)),
        ];
        let expected = expected.map(|(name, used)| (name.to_owned(), used));
        assert_eq!(parse(&pod).uses(), BTreeMap::from(expected));
        assert_eq!((parse(&pod).node(), parse(&pod).account()), ("n", "app"));
        assert_eq!(parse(&pod).pinned(), None);
        let mut ended = pod.clone();
        ended["status"]["phase"] = json!("Succeeded");
        assert_eq!(parse(&ended).uses(), BTreeMap::new());
    }

    #[test]
    fn a_volume_below_a_sub_path_is_pinned_to_the_start_of_its_container() {
        let pod = |driver: &str, mounts: serde_json::Value, phase: &str| {
            let running =
                |name: &str, at: &str| json!({"name": name, "state": {"running": {"startedAt": at}}});
            let pod = json!({
                "metadata": {"namespace": "shop", "name": "app-1"},
                "spec": {
                    "volumes": [{"name": "s", "csi": {"driver": driver}}, {"name": "tmp", "emptyDir": {}}],
                    "containers": [{"name": "later", "volumeMounts": mounts}, {"name": "app", "volumeMounts": mounts}],
                },
                "status": {"phase": phase, "containerStatuses": [
                    running("later", "2026-01-01T00:00:09Z"), running("app", "2026-01-01T00:00:01Z")]},
            });
            serde_json::from_value::<PartialPod>(pod).unwrap().pinned()
        };
        let below = || json!([{"name": "s", "mountPath": "/a", "subPath": "k"}]);
        let started = "2026-01-01T00:00:01Z".parse().ok();
        assert_eq!(pod("csi.strongroom.dev", below(), "Running"), started);
        let by_variable = json!([{"name": "s", "mountPath": "/a", "subPathExpr": "$(A)"}]);
        assert_eq!(pod("csi.strongroom.dev", by_variable, "Running"), started);
        assert_eq!(pod("csi.strongroom.dev", below(), "Failed"), None);
        assert_eq!(pod("other.example.com", below(), "Running"), None);
        for whole in [
            json!([{"name": "s", "mountPath": "/a"}]),
            json!([{"name": "tmp", "mountPath": "/a", "subPath": "k"}]),
        ] {
            assert_eq!(pod("csi.strongroom.dev", whole, "Running"), None);
        }
    }
}
