//! What both modes add to a pod. Each addition is made only once: the webhook may see a pod again after other
//! webhooks changed it.

use serde_json::{Map, Value, json};

use super::containers::ContainerRef;
use super::{EnvironmentError, Image, VOLUME};

/// Where the variables are mounted.
pub(super) const FILES: &str = "/strongroom/env";

/// The list of that name in a map; made where it is not there.
fn list<'a>(
    of: &'a mut Map<String, Value>,
    field: &'static str,
) -> Result<&'a mut Vec<Value>, EnvironmentError> {
    let entry = of.entry(field).or_insert_with(|| json!([]));
    if entry.is_null() {
        *entry = json!([]);
    }
    entry.as_array_mut().ok_or(EnvironmentError::NoPod(field))
}

fn spec(pod: &mut Value) -> Result<&mut Map<String, Value>, EnvironmentError> {
    pod.get_mut("spec")
        .and_then(Value::as_object_mut)
        .ok_or(EnvironmentError::NoPod("spec"))
}

/// The container at that place, and its name.
pub(super) fn container(
    pod: &mut Value,
    which: ContainerRef,
) -> Result<(&mut Map<String, Value>, String), EnvironmentError> {
    let container = list(spec(pod)?, which.list)?
        .get_mut(which.index)
        .and_then(Value::as_object_mut)
        .ok_or(EnvironmentError::NoPod(which.list))?;
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
    let name = name.to_owned();
    Ok((container, name))
}

/// Adds what has a name of its own, unless it is there.
///
/// # Errors
/// [`EnvironmentError::Taken`] where something else has the name.
fn add(to: &mut Vec<Value>, what: &'static str, item: Value, place: usize) -> Result<(), EnvironmentError> {
    let name = item.get("name");
    match to.iter().find(|there| there.get("name") == name) {
        Some(there) if includes(there, &item) => Ok(()),
        Some(_) => {
            let name = name.and_then(Value::as_str).unwrap_or_default();
            Err(EnvironmentError::Taken(what, name.to_owned()))
        }
        None => {
            to.insert(place.min(to.len()), item);
            Ok(())
        }
    }
}

/// Whether everything of `item` stands in `there`: the API server and others add fields that say no more than
/// was meant.
fn includes(there: &Value, item: &Value) -> bool {
    match (there, item) {
        (Value::Object(there), Value::Object(item)) => item
            .iter()
            .all(|(key, value)| there.get(key).is_some_and(|there| includes(there, value))),
        (Value::Array(there), Value::Array(item)) => {
            // In the list of mounts others add their own.
            item.iter()
                .all(|item| there.iter().any(|there| includes(there, item)))
        }
        _ => there == item,
    }
}

/// Adds to `spec.volumes`; the same volume a second time changes nothing.
pub(super) fn add_volume(pod: &mut Value, volume: Value) -> Result<(), EnvironmentError> {
    let volumes = list(spec(pod)?, "volumes")?;
    add(volumes, "volume", volume, usize::MAX)
}

/// Adds an init container before all others.
pub(super) fn add_first(pod: &mut Value, container: Value) -> Result<(), EnvironmentError> {
    add(list(spec(pod)?, "initContainers")?, "container", container, 0)
}

/// Mounts a volume in a container.
pub(super) fn mount(container: &mut Map<String, Value>, mount: Value) -> Result<(), EnvironmentError> {
    let mounts = list(container, "volumeMounts")?;
    if !mounts.iter().any(|there| includes(there, &mount)) {
        mounts.push(mount);
    }
    Ok(())
}

/// How a container sets a variable itself.
pub(super) fn set<'a>(container: &'a Map<String, Value>, variable: &str) -> Option<&'a Value> {
    let env = container.get("env").and_then(Value::as_array)?;
    env.iter()
        .find(|set| set.get("name").and_then(Value::as_str) == Some(variable))
}

/// Sets variables before those that the container sets itself, so that these may name them: `$(NAME)`.
pub(super) fn set_first(
    container: &mut Map<String, Value>,
    variables: Vec<Value>,
) -> Result<(), EnvironmentError> {
    if !variables.is_empty() {
        list(container, "env")?.splice(0..0, variables);
    }
    Ok(())
}

/// The mount of the variables' files.
pub(super) fn files() -> Value {
    json!({"name": VOLUME, "mountPath": FILES, "readOnly": true})
}

/// An init container of `strongroom-exec` with what the `restricted` profile asks for.
pub(super) fn init_container(pod: &Value, image: &Image, name: &str, args: Value, mounts: Value) -> Value {
    let mut security = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    // The image's own user is not root; a pod that says root is what it says.
    let root = pod
        .pointer("/spec/securityContext/runAsUser")
        .and_then(Value::as_i64)
        == Some(0);
    if !root && let Some(security) = security.as_object_mut() {
        security.insert("runAsNonRoot".to_owned(), json!(true));
    }
    json!({
        "name": name,
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "command": ["/strongroom-exec"],
        "args": args,
        "volumeMounts": mounts,
        "resources": image.resources,
        "securityContext": security,
        // What it says of a value that will not do is in the pod's status then.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })
}
