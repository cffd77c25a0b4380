//! `strongroom.dev/env: file`: an init container writes the variables into a file in memory, and kubelet
//! gives them to the containers (EnvFiles, KEP-3721: on since Kubernetes 1.35). For containers whose command
//! is the image's own.

use serde_json::{Value, json};

use super::annotations::EnvironmentRequest;
use super::containers::ContainerRef;
use super::{EnvironmentError, Image, VOLUME, parts, volume};

/// The volume that holds the file. Containers don't mount it.
const NAME: &str = "strongroom-env-file";
/// Where it is mounted in the init container.
const FOLDER: &str = "/strongroom/env-file";
/// The name that it has there.
const FILE: &str = "env";

pub(super) fn apply(
    pod: &mut Value,
    wish: &EnvironmentRequest,
    which: &[ContainerRef],
    image: &Image,
) -> Result<(), EnvironmentError> {
    for place in which {
        let (container, name) = parts::container(pod, *place)?;
        let mut ours = Vec::new();
        for variable in wish.variables.keys() {
            let key = json!({"volumeName": NAME, "path": FILE, "key": variable});
            match parts::set(container, variable) {
                None => ours.push(json!({"name": variable, "valueFrom": {"fileKeyRef": key}})),
                Some(set) if is_ours(set, &key) => {}
                Some(_) => {
                    return Err(EnvironmentError::SetTwice {
                        container: name,
                        variable: variable.clone(),
                    });
                }
            }
        }
        parts::set_first(container, ours)?;
    }
    parts::add_volume(pod, volume::volume(wish)?)?;
    let memory = json!({"medium": "Memory", "sizeLimit": "8Mi"});
    parts::add_volume(pod, json!({"name": NAME, "emptyDir": memory}))?;
    let mounts = json!([parts::files(), {"name": NAME, "mountPath": FOLDER}]);
    let args = json!([
        "write",
        format!("--env={}", parts::FILES),
        format!("{FOLDER}/{FILE}")
    ]);
    let first = parts::init_container(pod, image, VOLUME, args, mounts);
    parts::add_first(pod, first)
}

/// Whether a variable is what an earlier visit made of it.
fn is_ours(set: &Value, key: &Value) -> bool {
    let there = set.pointer("/valueFrom/fileKeyRef");
    ["volumeName", "path", "key"]
        .iter()
        .all(|field| there.and_then(|there| there.get(field)) == key.get(field))
}
