//! Which containers of a pod are meant. Others inject containers too, so that "all" would be whoever came before.

use serde_json::Value;

use super::Refusal;
use super::annotations::Wish;

/// What kubectl takes for the container that is meant, where a pod has several.
const DEFAULT: &str = "kubectl.kubernetes.io/default-container";

/// The place of a container in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Which {
    /// The field of the pod's spec: `containers` or `initContainers`.
    pub(super) list: &'static str,
    /// Its place there.
    pub(super) index: usize,
}

/// The containers that get the variables: those that are named, or the only one, or the one that kubectl takes.
///
/// # Errors
/// [`Refusal::WhichContainer`], [`Refusal::NoContainer`].
pub(super) fn wanted(pod: &Value, wish: &Wish) -> Result<Vec<Which>, Refusal> {
    let of = |list: &'static str| {
        let containers = pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
        let named = move |(index, container): (usize, &Value)| {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            (name.to_owned(), Which { list, index })
        };
        containers.into_iter().flatten().enumerate().map(named)
    };
    let apps: Vec<_> = of("containers").collect();
    let find = |name: &str| {
        let mut all = apps.iter().cloned().chain(of("initContainers"));
        all.find(|(of, _)| of == name)
            .map(|(_, which)| which)
            .ok_or_else(|| Refusal::NoContainer(name.to_owned()))
    };
    if let Some(names) = &wish.containers {
        let found: Vec<_> = names.iter().map(|name| find(name)).collect::<Result<_, _>>()?;
        return if found.is_empty() {
            Err(Refusal::WhichContainer(apps.len()))
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
        None => Err(Refusal::WhichContainer(apps.len())),
    }
}
