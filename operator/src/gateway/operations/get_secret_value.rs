//! GetSecretValue: `GET /v1/namespaces/{namespace}/secrets/{name}/value`.
//!
//! By default the version that is Current; by `stage`, by `versionId`, or by both, which must agree. With
//! `key` the bytes of one key, as they are. With `recipient`, an X-Wing public key, either comes sealed for
//! its holder alone. The ETag is the version's id: whoever sends it back as `If-None-Match` and has the
//! newest gets 304, and no value was opened.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use strongroom_api::sealed::{HpkeCiphertext, Purpose, SUITE, SealingKey, VersionContext};
use strongroom_rules::policy::{Action, RequestFacts};
use strongroom_store::id::SecretId;
use strongroom_store::name::{DataKeyName, Stage, VersionId};
use strongroom_store::vault::{KeyState, Refusal, SecretState, SecretView, StoreError, ValueRead};
use zeroize::Zeroizing;

use super::incoming::sealed_required;
use super::requested_version::RequestedVersion;
use super::shape;
use crate::consumers::ConsumerChange;
use crate::consumers::readers::ReaderIdentity;
use crate::gateway::access::{AccessRequest, RequestContext, authorise, refuse};
use crate::gateway::operation::{Operation, VERSION_ID_PATTERN};
use crate::gateway::problem::{Code, Problem};
use crate::gateway::{Gateway, NamespaceRef, blocking};

/// Which version, and what of it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "GetSecretValueQuery")]
pub(in crate::gateway) struct GetSecretValueQuery {
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub(super) stage: Option<String>,
    #[serde(default)]
    #[schemars(regex(pattern = VERSION_ID_PATTERN))]
    pub(super) version_id: Option<String>,
    #[serde(default)]
    pub(super) key: Option<String>,
    /// Whom the answer is sealed for.
    #[serde(default)]
    pub(super) recipient: Option<String>,
}

/// A value that only its recipient can read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SealedAnswer<'a> {
    namespace: &'a str,
    name: &'a str,
    version_id: &'a str,
    suite: &'static str,
    sealed: HpkeCiphertext,
}

impl SealedAnswer<'_> {
    fn schema() -> serde_json::Value {
        let sealed = json!({"type": "object", "required": ["encapsulated", "ciphertext"], "properties": {
            "encapsulated": {"type": "string"},
            "ciphertext": {"type": "string"},
        }});
        json!({
            "type": "object",
            "required": ["namespace", "name", "versionId", "suite", "sealed"],
            "properties": {
                "namespace": {"type": "string"},
                "name": {"type": "string"},
                "versionId": {"type": "string"},
                "suite": {"type": "string"},
                "sealed": sealed,
            },
        })
    }
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "GetSecretValue",
        "/v1/namespaces/{namespace}/secrets/{name}/value",
        get(serve),
    )
    .about("A value; by default that of the Current version")
    .query::<GetSecretValueQuery>()
    .answers_as(
        StatusCode::OK,
        "application/json",
        &json!({"oneOf": [shape::value_schema(), SealedAnswer::schema()]}),
    )
    .answers_as(StatusCode::OK, "application/octet-stream", &json!({}))
    .answers_nothing(StatusCode::NOT_MODIFIED)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<(String, String)>, PathRejection>,
    which: Result<Query<GetSecretValueQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let Path((namespace, name)) = path.map_err(invalid)?;
    let Query(which) = which.map_err(invalid)?;
    let key = which
        .key
        .as_deref()
        .map(str::parse::<DataKeyName>)
        .transpose()
        .map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()))?;
    let recipient = which.recipient.as_deref().map(str::parse::<SealingKey>);
    let recipient = recipient.transpose().map_err(invalid)?;
    if recipient.is_none() && asking.caller.via_extension_api {
        return Err(sealed_required("name a `recipient`, as kubectl strongroom does"));
    }
    let held = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned())
        .collect::<Vec<_>>();
    let place = gateway.admit(&asking, Action::GetSecretValue, namespace).await?;
    let at_hand = gateway.is_value_cached(&place, &name);
    let answer = move || {
        let read = read(&gateway, &asking, &place, &name, &which, &held)?;
        let (tag, read) = match read {
            ReadOutcome::Unchanged(id) => (id, None),
            ReadOutcome::Value(read) => (read.version.id.clone(), Some(read)),
        };
        let mut response = match read {
            None => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            }
            Some(read) => {
                let (body, kind) = plain(&place.name, &name, read, key.as_ref())?;
                let (body, kind) = match &recipient {
                    None => (Bytes::from_owner(body), kind),
                    Some(recipient) => {
                        let sealed = sealed(recipient, &place.name, &name, tag.as_str(), &body)?;
                        (Bytes::from(sealed), "application/json")
                    }
                };
                let mut response = Response::new(Body::from(body));
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
                response
            }
        };
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        Ok(response)
    };
    if at_hand { answer() } else { blocking(answer).await }
}

/// The answer as whoever asked for it will read it, with its type.
fn plain(
    namespace: &str,
    name: &str,
    read: ValueRead,
    key: Option<&DataKeyName>,
) -> Result<(Zeroizing<Vec<u8>>, &'static str), Problem> {
    let Some(key) = key else {
        return Ok((shape::value(namespace, name, &read)?, "application/json"));
    };
    let bytes = read
        .value
        .into_keys()
        .remove(key)
        .ok_or_else(|| Problem::new(Code::DataKeyNotFound, format!("the value has no key `{key}`")))?;
    Ok((
        Zeroizing::new(bytes.expose().to_vec()),
        "application/octet-stream",
    ))
}

/// The same, closed for everybody but the recipient.
fn sealed(
    recipient: &SealingKey,
    namespace: &str,
    name: &str,
    version: &str,
    body: &[u8],
) -> Result<Vec<u8>, Problem> {
    let about = VersionContext {
        namespace,
        secret: name,
        version,
    };
    let answer = SealedAnswer {
        namespace,
        name,
        version_id: version,
        suite: SUITE,
        sealed: recipient.seal(body, Purpose::Answer, &about).map_err(invalid)?,
    };
    serde_json::to_vec(&answer).map_err(|error| Problem::new(Code::StoreUnavailable, error.to_string()))
}

pub(super) fn invalid(error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::InvalidRequest, error.to_string())
}

/// What a read comes to.
pub(super) enum ReadOutcome {
    /// The caller has this version already.
    Unchanged(VersionId),
    /// A value to answer with, which is on record.
    Value(ValueRead),
}

/// Reads one value for the caller. Whoever asks for a stage gets what has it, also where so many puts came
/// between the decision and the opening that the version that was decided about is gone: then it is decided
/// anew, about the one that has the stage now.
pub(super) fn read(
    gateway: &Gateway,
    asking: &RequestContext,
    place: &NamespaceRef,
    name: &str,
    which: &GetSecretValueQuery,
    held: &[String],
) -> Result<ReadOutcome, Problem> {
    let parse = |error: strongroom_store::name::NameError| invalid(error);
    let stage = which
        .stage
        .as_deref()
        .map(str::parse::<Stage>)
        .transpose()
        .map_err(parse)?;
    let version = which
        .version_id
        .as_deref()
        .map(str::parse::<VersionId>)
        .transpose()
        .map_err(parse)?;
    retry_if_overtaken(which, || {
        let secret = gateway.find(place, name)?;
        let asked = RequestedVersion {
            stage: stage.as_ref(),
            id: version.as_ref(),
        };
        let found = secret.as_deref().and_then(|secret| asked.find_in(secret));
        let facts = RequestFacts {
            stages: found
                .iter()
                .flat_map(|version| &version.stages)
                .map(ToString::to_string)
                .collect(),
            version: found.map(|version| version.id.to_string()),
            ..asking.facts()
        };
        let wanted = AccessRequest {
            action: Action::GetSecretValue,
            namespace: &place.name,
            name,
            secret: secret.as_deref(),
            new_under: None,
            facts: &facts,
        };
        let (decision, secret) = authorise(gateway, asking, &wanted)?;
        let get = match asked.opening(secret, found, gateway.durability) {
            Ok(get) => get,
            Err(refusal) => {
                // A key that is off says so first, as it does of a version that is there.
                let refusal = unusable(gateway, secret)?.unwrap_or(refusal);
                let problem = StoreError::Refused(refusal).into();
                return Err(refuse(gateway, asking, &wanted, &decision.statements, problem)?);
            }
        };
        if let Some(version) = found
            && held.iter().any(|id| id == version.id.as_str())
        {
            record_reader(gateway, asking, place, secret.id, &version.id);
            return Ok(ReadOutcome::Unchanged(version.id.clone()));
        }
        let read = gateway.store.value(&get, &asking.meta(&decision.statements))?;
        record_reader(gateway, asking, place, secret.id, &read.version.id);
        Ok(ReadOutcome::Value(read))
    })
}

/// So often a secret is looked at whose versions change faster than they are read; each look that came too
/// late is on record.
const MAX_ATTEMPTS: u32 = 4;

/// Looks anew where a version went that the caller did not name.
fn retry_if_overtaken<T>(
    which: &GetSecretValueQuery,
    mut look: impl FnMut() -> Result<T, Problem>,
) -> Result<T, Problem> {
    let overtaken = |problem: &Problem| problem.code() == Code::VersionNotFound && which.version_id.is_none();
    let mut looks = 1;
    loop {
        match look() {
            Err(problem) if looks < MAX_ATTEMPTS && overtaken(&problem) => looks += 1,
            answer => return answer,
        }
    }
}

/// The caller counts among the consumers of a version.
fn record_reader(
    gateway: &Gateway,
    asking: &RequestContext,
    place: &NamespaceRef,
    secret: SecretId,
    version: &VersionId,
) {
    let caller = &asking.caller;
    let who = ReaderIdentity {
        identity: &caller.principal.identity,
        pod: caller.pod.as_ref().map(|(name, _)| name.as_str()),
        node: caller.node.as_deref(),
    };
    if gateway
        .consumers
        .readers()
        .record_read(secret, version, who, asking.now)
    {
        gateway
            .consumers
            .changed([ConsumerChange::Secret(place.name.clone(), secret)]);
    }
}

/// Why nothing under the secret's key is opened, if that is so.
fn unusable(gateway: &Gateway, secret: &SecretView) -> Result<Option<Refusal>, Problem> {
    if secret.state != SecretState::Live {
        return Ok(None);
    }
    Ok(match gateway.key(secret)?.map(|key| key.state) {
        None | Some(KeyState::Enabled) => None,
        Some(KeyState::Disabled) => Some(Refusal::KeyDisabled),
        Some(KeyState::PendingDeletion { until }) => Some(Refusal::KeyPendingDeletion { until }),
        Some(KeyState::Destroyed) => Some(Refusal::KeyDestroyed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_that_the_caller_did_not_name_is_looked_for_anew() {
        let which = |version: Option<&str>, stage: Option<&str>| GetSecretValueQuery {
            version_id: version.map(str::to_owned),
            stage: stage.map(str::to_owned),
            ..GetSecretValueQuery::default()
        };
        // A code that comes so often, what was asked for, how often is looked, and whether that helped.
        for (code, comes, which, expected) in [
            (Code::VersionNotFound, 0, which(None, None), (1, true)),
            (Code::VersionNotFound, 1, which(None, None), (2, true)),
            (Code::VersionNotFound, 3, which(None, Some("Previous")), (4, true)),
            (Code::VersionNotFound, 9, which(None, None), (4, false)),
            (Code::VersionNotFound, 1, which(Some("v-1"), None), (1, false)),
            (
                Code::VersionNotFound,
                1,
                which(Some("v-1"), Some("Current")),
                (1, false),
            ),
            (Code::StageNotFound, 1, which(None, Some("Previous")), (1, false)),
            (Code::PolicyDenied, 1, which(None, None), (1, false)),
        ] {
            let mut looks = 0;
            let answer = retry_if_overtaken(&which, || {
                looks += 1;
                if looks <= comes {
                    Err(Problem::new(code, ""))
                } else {
                    Ok(())
                }
            });
            assert_eq!((looks, answer.is_ok()), expected, "{code:?} {which:?}");
        }
    }
}
