//! What secrets look like in answers, and the forms of answers that are written by hand: values in
//! [`value`] alone, so that no copy of one stays behind.

use serde_json::{Value as Json, json};
use strongroom_api::v1::{BASE64_PATTERN, SecretAnswer, VersionAnswer};
use strongroom_store::value::{DataType, Value};
use strongroom_store::vault::{KeyView, SecretState, SecretView, ValueRead, VersionView};
use zeroize::Zeroizing;

use crate::gateway::problem::{Code, Problem};
use crate::secret_labels::user_labels;
pub(super) use crate::store_handle::timestamp as time;

pub(super) fn secret(namespace: &str, view: &SecretView, key: Option<&KeyView>) -> SecretAnswer {
    SecretAnswer {
        namespace: namespace.to_owned(),
        name: view.name.to_string(),
        encryption_key: key.map(|key| key.name.to_string()),
        description: view.description.clone(),
        labels: user_labels(&view.labels),
        created: time(view.created),
        updated: time(view.updated),
        last_rotation: view.rotation.last.map(time),
        deletion: match view.state {
            SecretState::Live => None,
            SecretState::PendingDeletion { until, .. } => Some(time(until)),
        },
        stages: view
            .stages
            .iter()
            .map(|(stage, id)| (stage.to_string(), id.to_string()))
            .collect(),
    }
}

pub(super) fn version(view: &VersionView) -> VersionAnswer {
    VersionAnswer {
        version_id: view.id.to_string(),
        sequence: view.sequence,
        created: time(view.created),
        data_type: data_type(view.data_type).into(),
        stages: view.stages.iter().map(ToString::to_string).collect(),
    }
}

const fn data_type(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Text => "text",
        DataType::Binary => "binary",
    }
}

/// The schema of what [`value`] writes.
fn value_schema() -> Json {
    json!({
        "type": "object",
        "required": ["namespace", "name", "versionId", "sequence", "created", "dataType", "stages", "data"],
        "properties": {
            "namespace": {"type": "string"},
            "name": {"type": "string"},
            "versionId": {"type": "string"},
            "sequence": {"type": "integer"},
            "created": {"type": "string", "format": "date-time"},
            "dataType": {"enum": ["text", "binary"]},
            "stages": {"type": "array", "items": {"type": "string"}},
            "data": {"type": "object", "additionalProperties": {"type": "string", "contentEncoding": "base64", "pattern": BASE64_PATTERN}},
        },
    })
}

/// A value, or one that only its recipient can read.
pub(super) fn value_or_sealed_schema() -> Json {
    let sealed = json!({"type": "object", "required": ["encapsulated", "ciphertext"], "properties": {
        "encapsulated": {"type": "string"},
        "ciphertext": {"type": "string"},
    }});
    let answer = json!({
        "type": "object",
        "required": ["namespace", "name", "versionId", "suite", "sealed"],
        "properties": {
            "namespace": {"type": "string"},
            "name": {"type": "string"},
            "versionId": {"type": "string"},
            "suite": {"type": "string"},
            "sealed": sealed,
        },
    });
    json!({"oneOf": [value_schema(), answer]})
}

/// Values, and what stands in the place of those that are not told.
pub(super) fn batch_schema() -> Json {
    json!({"type": "object", "required": ["values", "errors"], "properties": {
        "values": {"type": "array", "items": value_schema()},
        "errors": {"type": "array", "items": {"type": "object", "required": ["code", "detail"], "properties": {
            "name": {"type": "string", "description": "The secret; absent where what was asked for is no legal name."},
        }}},
    }})
}

/// A page of audit records.
pub(super) fn audit_records_schema() -> Json {
    json!({"type": "object", "required": ["records", "next"], "properties": {
        "records": {"type": "array", "items": {"type": "object"}},
        "next": {"type": "string"},
        "heldHours": {"type": "number"},
    }})
}

/// The JSON document of a value: its version, and its keys in base64 as a native Secret has them. The text is
/// wiped when it has been sent.
pub(super) fn value(namespace: &str, name: &str, read: &ValueRead) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let about = serde_json::to_vec(&version(&read.version))
        .map_err(|error| Problem::new(Code::StoreUnavailable, error.to_string()))?;
    let text = |text: &str| Json::from(text).to_string();
    // Written by hand, so that no copy of a value stays behind in a tree of strings.
    let mut body = Zeroizing::new(Vec::with_capacity(256 + about.len() + base64_length(&read.value)));
    body.extend_from_slice(b"{\"namespace\":");
    body.extend_from_slice(text(namespace).as_bytes());
    body.extend_from_slice(b",\"name\":");
    body.extend_from_slice(text(name).as_bytes());
    body.push(b',');
    body.extend_from_slice(about.get(1..about.len().saturating_sub(1)).unwrap_or_default());
    body.extend_from_slice(b",\"data\":{");
    for (index, (key, bytes)) in read.value.keys().iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(text(key.as_str()).as_bytes());
        body.extend_from_slice(b":\"");
        let mut encoded = Zeroizing::new(vec![0; data_encoding::BASE64.encode_len(bytes.len())]);
        data_encoding::BASE64.encode_mut(bytes.expose(), &mut encoded);
        body.extend_from_slice(&encoded);
        body.push(b'"');
    }
    body.extend_from_slice(b"}}");
    Ok(body)
}

fn base64_length(value: &Value) -> usize {
    value
        .keys()
        .iter()
        .map(|(key, bytes)| key.as_str().len() + 8 + data_encoding::BASE64.encode_len(bytes.len()))
        .sum()
}
