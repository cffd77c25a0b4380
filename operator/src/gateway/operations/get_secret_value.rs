//! GetSecretValue: `GET /v1/namespaces/{namespace}/secrets/{name}/value`.
//!
//! By default the version that is Current; by `stage`, by `versionId`, or by both, which must agree. With
//! `key` the bytes of one key, as they are. With `recipient`, an X-Wing public key, either comes sealed for
//! its holder alone. The ETag is the version's id: whoever sends it back as `If-None-Match` and has the
//! newest gets 304, and no value was opened.

use strongroom_api::sealed::{Purpose, SUITE, SealingKey, VersionContext};
use strongroom_api::v1::{GetSecretValueQuery, SealedAnswer};
use strongroom_model::name::DataKeyName;
use strongroom_store::vault::OpenedValue;
use zeroize::Zeroizing;

use super::incoming::sealed_required;
use super::shape;
use super::value_read::{ReadOutcome, read};
use crate::gateway::blocking;
use crate::gateway::operation::{Answer, AnswerBody, Input, Success};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::{OperationContext, SecretPath, find};

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, GetSecretValueQuery>,
) -> Result<Answer, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let Input {
        path,
        query: which,
        cached,
        ..
    } = input;
    let key = which.key.as_deref().map(str::parse::<DataKeyName>);
    let key = key.transpose().map_err(invalid)?;
    let recipient = which.recipient.as_deref().map(str::parse::<SealingKey>);
    let recipient = recipient.transpose().map_err(invalid)?;
    if recipient.is_none() && request.caller().via_extension_api {
        return Err(sealed_required("name a `recipient`, as kubectl strongroom does"));
    }
    let at_hand = find::is_value_cached(&gateway, &path);
    let answer = move || {
        let (namespace, name) = (path.namespace().name(), path.name());
        let outcome = read(&gateway, &request, &path, &which, &cached.versions, |opened| {
            let (bytes, form) = plain(namespace, name, opened, key.as_ref())?;
            let version = &opened.version.id;
            let body = match &recipient {
                None => form(bytes),
                Some(recipient) => {
                    let about = VersionContext {
                        namespace,
                        secret: name,
                        version: version.as_str(),
                    };
                    AnswerBody::Json(sealed(recipient, &about, &bytes)?)
                }
            };
            Ok(Answer {
                version: Some(version.clone()),
                ..Answer::new(Success::Done, body)
            })
        })?;
        Ok(match outcome {
            ReadOutcome::Unchanged(version) => Answer {
                version: Some(version),
                ..Answer::new(Success::Unchanged, AnswerBody::Empty)
            },
            ReadOutcome::Value(answer) => answer,
        })
    };
    if at_hand { answer() } else { blocking(answer).await }
}

/// How bytes of a value leave that are not sealed.
type ValueForm = fn(Zeroizing<Vec<u8>>) -> AnswerBody;

/// The answer as whoever asked for it will read it.
fn plain(
    namespace: &str,
    name: &str,
    opened: &OpenedValue<'_>,
    key: Option<&DataKeyName>,
) -> Result<(Zeroizing<Vec<u8>>, ValueForm), Problem> {
    let Some(key) = key else {
        let json = shape::value(namespace, name, opened)?;
        return Ok((json, AnswerBody::ValueJson as ValueForm));
    };
    let bytes = opened
        .value
        .get(key)
        .ok_or_else(|| Problem::new(Code::DataKeyNotFound, format!("the value has no key `{key}`")))?;
    Ok((
        Zeroizing::new(bytes.to_vec()),
        AnswerBody::ValueBytes as ValueForm,
    ))
}

/// The same, closed for everybody but the recipient.
fn sealed(recipient: &SealingKey, about: &VersionContext<'_>, body: &[u8]) -> Result<Vec<u8>, Problem> {
    let answer = SealedAnswer {
        namespace: about.namespace.to_owned(),
        name: about.secret.to_owned(),
        version_id: about.version.to_owned(),
        suite: SUITE.into(),
        sealed: recipient.seal(body, Purpose::Answer, about).map_err(invalid)?,
    };
    serde_json::to_vec(&answer).map_err(|error| Problem::new(Code::StoreUnavailable, error.to_string()))
}
