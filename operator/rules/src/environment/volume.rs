//! The volume of `csi.strongroom.dev` with a file for each variable, as `docs/volumes.md` describes its
//! attributes.

use serde_json::{Map, Value, json};

use super::annotations::{EnvironmentRequest, Reference, SECRETS, VariableContent};
use super::{DRIVER, EnvironmentError, VOLUME};

/// The volume, as it stands in a pod.
///
/// # Errors
/// [`EnvironmentError::TooMany`].
pub(super) fn volume(wish: &EnvironmentRequest) -> Result<Value, EnvironmentError> {
    // One entry a secret and version, in the order of the first variable of each.
    let mut secrets: Vec<(&Reference, Vec<Value>, Vec<Value>)> = Vec::new();
    for (name, variable) in &wish.variables {
        let place = match secrets.iter().position(|(of, ..)| **of == variable.secret) {
            Some(place) => place,
            None => {
                secrets.push((&variable.secret, Vec::new(), Vec::new()));
                secrets.len() - 1
            }
        };
        let Some((_, keys, files)) = secrets.get_mut(place) else {
            continue;
        };
        match &variable.content {
            VariableContent::Key(key) => keys.push(json!({"key": key, "path": name})),
            VariableContent::Template(template) => files.push(json!({"path": name, "template": template})),
        }
    }
    if secrets.len() > SECRETS {
        return Err(EnvironmentError::TooMany(super::annotations::VARIABLES, SECRETS));
    }
    let secrets: Vec<_> = secrets
        .into_iter()
        .map(|(of, keys, files)| {
            let mut entry = Map::new();
            entry.insert("name".to_owned(), json!(of.name));
            for (field, value) in [
                ("namespace", &of.namespace),
                ("stage", &of.stage),
                ("versionId", &of.version_id),
            ] {
                if let Some(value) = value {
                    entry.insert(field.to_owned(), json!(value));
                }
            }
            for (field, list) in [("keys", keys), ("files", files)] {
                if !list.is_empty() {
                    entry.insert(field.to_owned(), Value::Array(list));
                }
            }
            Value::Object(entry)
        })
        .collect();
    Ok(json!({
        "name": VOLUME,
        "csi": {
            "driver": DRIVER,
            "readOnly": true,
            // The attribute is YAML, of which JSON is a part. A process has what stood there when it began,
            // for as long as it runs.
            "volumeAttributes": {"secrets": Value::Array(secrets).to_string(), "reads": "AtStart"},
        },
    }))
}
