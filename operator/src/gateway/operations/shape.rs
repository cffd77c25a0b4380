//! What secrets look like in answers, and the forms of answers that are written by hand: values in
//! [`value`] alone, so that no copy of one stays behind.

use data_encoding::BASE64;
use serde::Serialize;
use serde_json::{Value as Json, json};
use strongroom_api::v1::{BASE64_PATTERN, SecretAnswer, VersionAnswer};
use strongroom_model::{DefaultSecretName, Hosting};
use strongroom_store::value::DataType;
use strongroom_store::vault::{KeyView, OpenedValue, SecretState, SecretView, VersionView};
use zeroize::Zeroizing;

use crate::gateway::problem::{Code, Problem};
use crate::secret_labels::user_labels;
pub(super) use crate::store_handle::timestamp as time;

pub(super) fn secret(namespace: &str, view: &SecretView, key: Option<&KeyView>) -> SecretAnswer {
    let owner = DefaultSecretName::split(&view.name).ok().flatten();
    SecretAnswer {
        namespace: namespace.to_owned(),
        name: view.name.to_string(),
        encryption_key: key.map(|key| key.name.to_string()),
        owning_product: owner.map(|name| name.code().to_owned()),
        hosting: owner.map(|_| Hosting::under(view.key.customer().as_ref()).into()),
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
pub(super) fn value(
    namespace: &str,
    name: &str,
    opened: &OpenedValue<'_>,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let OpenedValue { value, version } = opened;
    // Written by hand into a buffer that never grows, so that no copy of a value stays behind in a tree of
    // strings or in a smaller buffer.
    let mut body = Zeroizing::new(Vec::with_capacity(document_bytes(namespace, name, opened)));
    body.extend_from_slice(b"{\"namespace\":");
    write_json(&mut body, namespace)?;
    body.extend_from_slice(b",\"name\":");
    write_json(&mut body, name)?;
    body.extend_from_slice(b",\"versionId\":");
    write_json(&mut body, version.id.as_str())?;
    body.extend_from_slice(b",\"sequence\":");
    write_json(&mut body, &version.sequence)?;
    body.extend_from_slice(b",\"created\":");
    write_json(&mut body, &time(version.created))?;
    body.extend_from_slice(b",\"dataType\":");
    write_json(&mut body, data_type(version.data_type))?;
    body.extend_from_slice(b",\"stages\":[");
    for (index, stage) in version.stages.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_json(&mut body, stage.as_str())?;
    }
    body.extend_from_slice(b"],\"data\":{");
    for (index, (key, bytes)) in value.keys().iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_json(&mut body, key)?;
        body.extend_from_slice(b":\"");
        let start = body.len();
        body.resize(start + BASE64.encode_len(bytes.len()), 0);
        BASE64.encode_mut(bytes, body.get_mut(start..).unwrap_or_default());
        body.push(b'"');
    }
    body.extend_from_slice(b"}}");
    Ok(body)
}

fn write_json<T: Serialize + ?Sized>(body: &mut Vec<u8>, part: &T) -> Result<(), Problem> {
    serde_json::to_writer(body, part).map_err(|error| Problem::new(Code::StoreUnavailable, error.to_string()))
}

/// Bytes of the document, at most: names, stages and keys are of characters that JSON takes as they are.
fn document_bytes(namespace: &str, name: &str, opened: &OpenedValue<'_>) -> usize {
    let OpenedValue { value, version } = opened;
    let stages = version.stages.iter().map(|stage| stage.as_str().len() + 3);
    let keys = value.keys().iter();
    let keys = keys.map(|(key, bytes)| key.len() + 6 + BASE64.encode_len(bytes.len()));
    // What stands around them, the longest number, time and type included.
    let around = 192;
    around
        + namespace.len()
        + name.len()
        + version.id.as_str().len()
        + stages.sum::<usize>()
        + keys.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use strongroom_model::SecretBytes;
    use strongroom_model::name::{SecretName, Stage};
    use strongroom_model::time::Timestamp;
    use strongroom_store::value::{BorrowedValue, VALUE_BYTES, Value};

    use super::*;

    /// The document of a value of these keys and stages, of names as long as they may be, and its room.
    fn document(data_type: DataType, pairs: &[(&str, &[u8])], stages: &[&str]) -> (Vec<u8>, usize) {
        let keys = pairs.iter().map(|(key, bytes)| {
            let bytes = SecretBytes::new(bytes.to_vec());
            (key.parse().unwrap(), bytes)
        });
        let bytes = Value::new(data_type, keys.collect()).unwrap().encode();
        let version = VersionView {
            id: "v".repeat(64).parse().unwrap(),
            sequence: u32::MAX,
            created: Timestamp::from_millis(253_402_300_799_999),
            data_type,
            stages: stages.iter().map(|stage| stage.parse().unwrap()).collect(),
        };
        let opened = OpenedValue {
            value: BorrowedValue::decode(&bytes).unwrap(),
            version: &version,
        };
        let (namespace, name) = ("n".repeat(63), "s".repeat(SecretName::MAX));
        let room = document_bytes(&namespace, &name, &opened);
        let body = value(&namespace, &name, &opened).unwrap();
        (body.to_vec(), room)
    }

    #[test]
    fn a_value_is_written_into_a_buffer_that_never_grows() {
        let stage = "x".repeat(64);
        let stages = ["Current", "Previous", "Pending", &stage];
        let large = vec![0xff; VALUE_BYTES - 253];
        let key = "k".repeat(253);
        let values: [&[(&str, &[u8])]; 3] = [
            &[("a", b"")],
            &[("a", b"1"), ("b", b"12"), ("c", b"123")],
            &[(&key, &large)],
        ];
        for (pairs, stages) in values.into_iter().zip([&[], &stages[..], &stages[..1]]) {
            let (body, room) = document(DataType::Binary, pairs, stages);
            assert!(body.len() <= room, "{} of {room}", body.len());
            let document: Json = serde_json::from_slice(&body).unwrap();
            assert_eq!(document["stages"], json!(stages));
            for (key, bytes) in pairs {
                assert_eq!(document["data"][*key], BASE64.encode(bytes), "{key}");
            }
        }
    }

    #[test]
    fn the_document_of_a_value_says_of_its_version_what_other_documents_say() {
        let (body, _) = document(DataType::Text, &[("a", b"x")], &["Current"]);
        let mut document: Json = serde_json::from_slice(&body).unwrap();
        for key in ["namespace", "name", "data"] {
            assert!(document.as_object_mut().unwrap().remove(key).is_some(), "{key}");
        }
        let view = VersionView {
            id: "v".repeat(64).parse().unwrap(),
            sequence: u32::MAX,
            created: Timestamp::from_millis(253_402_300_799_999),
            data_type: DataType::Text,
            stages: vec![Stage::Current],
        };
        assert_eq!(document, serde_json::to_value(version(&view)).unwrap());
    }
}
