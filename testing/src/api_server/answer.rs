//! What an answer is made of: a `Status`, an object with a patch over it, a page of a list.

use serde_json::{Value as Json, json};

use super::request::ApiRequest;

/// An HTTP status and a body.
pub(super) type StatusAnswer = (u16, Json);

/// A `Status` of failure, as the API server answers it.
pub fn failure(code: u16, reason: &str, message: &str) -> StatusAnswer {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code,
    });
    (code, status)
}

/// Puts a JSON merge patch over an object (RFC 7396).
pub fn merge_patch(target: &mut Json, patch: &Json) {
    overlay(target, patch, true);
}

/// Puts the fields of `from` over those of `into`; null removes one, or is a value.
pub(super) fn overlay(into: &mut Json, from: &Json, nulls_remove: bool) {
    let Some(from) = from.as_object() else {
        *into = from.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in from {
        if !(value.is_null() && nulls_remove) {
            overlay(&mut into[key], value, nulls_remove);
        } else if let Some(fields) = into.as_object_mut() {
            fields.remove(key);
        }
    }
}

pub(super) fn is_named(object: &Json, name: &str) -> bool {
    object["metadata"]["name"] == name
}

/// What is told of an object to whoever asks for its metadata alone.
pub(super) fn partial(object: &Json) -> Json {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// Leaves of a list what was asked for: objects of one name, metadata alone, a page. Its end is told by the
/// place of the last object.
pub(super) fn listed(request: &ApiRequest, metadata: bool, mut answer: StatusAnswer) -> StatusAnswer {
    let Some(items) = answer.1.get_mut("items").and_then(Json::as_array_mut) else {
        return answer;
    };
    if let Some(name) = request.selected() {
        items.retain(|object| is_named(object, &name));
    }
    if metadata {
        items.iter_mut().for_each(|object| *object = partial(object));
    }
    let place = |object: &Json| {
        let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        format!("{}/{}", part("namespace"), part("name"))
    };
    if let Some(after) = request.parameter("continue") {
        let Some(at) = items.iter().position(|object| place(object) == after) else {
            return failure(410, "Expired", "the continue token is too old");
        };
        items.drain(..=at);
    }
    let limit = request
        .parameter("limit")
        .map_or(usize::MAX, |limit| limit.parse().unwrap());
    if items.len() > limit {
        items.truncate(limit);
        let last = place(items.last().unwrap());
        answer.1["metadata"]["continue"] = json!(last);
    }
    answer
}
