//! `strongroom.dev/env: exec`: an init container brings `strongroom-exec` into the pod, and the container's
//! command is started by it.

use serde_json::{Value, json};

use super::annotations::EnvironmentRequest;
use super::containers::ContainerRef;
use super::{EnvironmentError, Image, parts, volume};

/// The volume that brings the program, and the init container that puts it there.
const NAME: &str = "strongroom-exec";
/// Where it is mounted.
const FOLDER: &str = "/strongroom/exec";

pub(super) fn apply(
    pod: &mut Value,
    wish: &EnvironmentRequest,
    which: &[ContainerRef],
    image: &Image,
) -> Result<(), EnvironmentError> {
    for place in which {
        let (container, name) = parts::container(pod, *place)?;
        let before = match container.get("command") {
            Some(Value::Array(command)) if !command.is_empty() => command.clone(),
            _ => return Err(EnvironmentError::NoCommand(name)),
        };
        let starts = starter();
        // Here it was before, and others may have put themselves before it since.
        if !before.windows(starts.len()).any(|part| *part == starts) {
            let command = starts.into_iter().chain(before).collect();
            container.insert("command".to_owned(), Value::Array(command));
        }
        let mut wanted = wish.variables.keys();
        if let Some(variable) = wanted.find(|variable| parts::set(container, variable).is_some()) {
            return Err(EnvironmentError::SetTwice {
                container: name,
                variable: variable.clone(),
            });
        }
        parts::mount(container, parts::files())?;
        parts::mount(
            container,
            json!({"name": NAME, "mountPath": FOLDER, "readOnly": true}),
        )?;
    }
    parts::add_volume(pod, volume::volume(wish)?)?;
    parts::add_volume(pod, json!({"name": NAME, "emptyDir": {"sizeLimit": "32Mi"}}))?;
    let mounts = json!([{"name": NAME, "mountPath": FOLDER}]);
    let first = parts::init_container(pod, image, NAME, json!(["install", FOLDER]), mounts);
    parts::add_first(pod, first)
}

/// What a command begins with then.
fn starter() -> Vec<Value> {
    [
        &format!("{FOLDER}/strongroom-exec"),
        "run",
        &format!("--env={}", parts::FILES),
        "--",
    ]
    .map(|part| json!(part))
    .into()
}
