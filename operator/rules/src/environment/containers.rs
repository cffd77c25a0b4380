//! Which containers of a pod get the variables. Other webhooks inject containers too, so "all" would depend
//! on which of them came first.

use serde_json::Value;

use super::EnvironmentError;
use super::annotations::EnvironmentRequest;

/// What kubectl takes for the container that is meant, where a pod has several.
const DEFAULT: &str = "kubectl.kubernetes.io/default-container";

/// The place of a container in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContainerRef {
    /// The field of the pod's spec: `containers` or `initContainers`.
    pub(super) list: &'static str,
    /// Position in that list, counted from 0.
    pub(super) index: usize,
}

/// The containers that get the variables: those that are named, or the only one, or the one that kubectl
/// takes.
///
/// # Errors
/// [`EnvironmentError::WhichContainer`], [`EnvironmentError::NoContainer`].
pub(super) fn selected(
    pod: &Value,
    wish: &EnvironmentRequest,
) -> Result<Vec<ContainerRef>, EnvironmentError> {
    let of = |list: &'static str| {
        let containers = pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
        let named = move |(index, container): (usize, &Value)| {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            (name.to_owned(), ContainerRef { list, index })
        };
        containers.into_iter().flatten().enumerate().map(named)
    };
    let apps: Vec<_> = of("containers").collect();
    let find = |name: &str| {
        let mut all = apps.iter().cloned().chain(of("initContainers"));
        all.find(|(of, _)| of == name)
            .map(|(_, which)| which)
            .ok_or_else(|| EnvironmentError::NoContainer(name.to_owned()))
    };
    if let Some(names) = &wish.containers {
        let found: Vec<_> = names.iter().map(|name| find(name)).collect::<Result<_, _>>()?;
        return if found.is_empty() {
            Err(EnvironmentError::WhichContainer(apps.len()))
        } else {
            Ok(found)
        };
    }
    if let [(_, only)] = apps.as_slice() {
        return Ok(vec![*only]);
    }
    let default = pod
        .pointer("/metadata/annotations")
        .and_then(|of| of.get(DEFAULT));
    match default.and_then(Value::as_str) {
        Some(name) => Ok(vec![find(name)?]),
        None => Err(EnvironmentError::WhichContainer(apps.len())),
    }
}
