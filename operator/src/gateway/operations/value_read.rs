//! Reading one value: found, authorised, opened and audited. Every value that a caller of an operation gets
//! comes from here.

use strongroom_api::v1::GetSecretValueQuery;
use strongroom_model::id::SecretId;
use strongroom_model::name::{Stage, VersionId};
use strongroom_rules::policy::{Action, RequestFacts};
use strongroom_store::vault::{KeyState, OpenedValue, Refusal, SecretState, SecretView, StoreError};

use super::requested_version::RequestedVersion;
use crate::consumers::ConsumerChange;
use crate::consumers::readers::ReaderIdentity;
use crate::gateway::Gateway;
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::authorise::authorise;
use crate::gateway::request::{AccessRequest, RequestContext, SecretPath, find, record};

/// What a read comes to.
pub(super) enum ReadOutcome<T> {
    /// The caller has this version already.
    Unchanged(VersionId),
    /// The answer made from the value, once the read is audited.
    Value(T),
}

/// Reads one value for the caller; `answer` turns the opened value into the response.
///
/// A request for a stage gets the version that has it. If so many puts came between the decision and the
/// opening that the version is gone, the decision is made again about the one that has the stage now.
pub(super) fn read<T>(
    gateway: &Gateway,
    request: &RequestContext,
    path: &SecretPath,
    which: &GetSecretValueQuery,
    held: &[String],
    answer: impl Fn(&OpenedValue<'_>) -> Result<T, Problem>,
) -> Result<ReadOutcome<T>, Problem> {
    let parse = |error: strongroom_model::name::NameError| invalid(error);
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
        let looked = find::secret(gateway, path)?;
        let asked = RequestedVersion {
            stage: stage.as_ref(),
            id: version.as_ref(),
        };
        let found = looked.view().and_then(|secret| asked.find_in(secret));
        let facts = RequestFacts {
            stages: found
                .iter()
                .flat_map(|version| &version.stages)
                .map(ToString::to_string)
                .collect(),
            version: found.map(|version| version.id.to_string()),
            ..request.facts()
        };
        let access = AccessRequest::of_found(Action::GetSecretValue, &looked, &facts);
        let authorised = authorise(gateway, request, &access)?;
        let secret = authorised.secret();
        let refuse = |refusal| {
            let problem = StoreError::Refused(refusal).into();
            let statements = &authorised.decision().statements;
            record::refuse(gateway, request, &access, statements, problem)
        };
        let get = match asked.opening(secret, found, gateway.durability) {
            Ok(get) => get,
            Err(refusal) => {
                // A key that is off says so first, as it does of a version that is there.
                return Err(refuse(unusable(gateway, secret)?.unwrap_or(refusal))?);
            }
        };
        if let Some(version) = found
            && held.iter().any(|id| id == version.id.as_str())
        {
            // Nothing is opened, but whoever has the value is to stop using it where the key is off.
            if let Some(refusal) = unusable(gateway, secret)? {
                return Err(refuse(refusal)?);
            }
            record_reader(gateway, request, path, secret.id, &version.id);
            return Ok(ReadOutcome::Unchanged(version.id.clone()));
        }
        let meta = authorised.meta(request);
        let answered = gateway.store.with_value(&get, meta, |opened| {
            record_reader(gateway, request, path, secret.id, &opened.version.id);
            answer(opened)
        })?;
        answered.map(ReadOutcome::Value)
    })
}

/// So often a secret is looked at whose versions change faster than they are read; each look that came too
/// late is audited.
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
    request: &RequestContext,
    path: &SecretPath,
    secret: SecretId,
    version: &VersionId,
) {
    let caller = request.caller();
    let who = ReaderIdentity {
        identity: &caller.principal.identity,
        pod: caller.pod.as_ref().map(|(name, _)| name.as_str()),
        node: caller.node.as_deref(),
    };
    if gateway
        .consumers
        .readers()
        .record_read(secret, version, who, request.now())
    {
        gateway
            .consumers
            .changed([ConsumerChange::Secret(path.namespace().name().to_owned(), secret)]);
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
