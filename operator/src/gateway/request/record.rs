//! The last station: nothing of an answer leaves before the request is audited. A change of the store is
//! recorded by the store, in its own commit; everything else here.

use strongroom_model::id::SecretId;
use strongroom_rules::policy::{Action, StatementRef};
use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::{AuditNote, Meta};

use super::authorise::{AccessRequest, Authorised};
use super::context::RequestContext;
use super::find::SecretPath;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::state::{Gateway, blocking};

/// Characters of a name that can be no secret's that a record keeps: a head has room for thousands.
const MAX_RECORDED_NAME: usize = 128;

/// Records a request. It may wait for the disk.
pub(in crate::gateway) fn now(gateway: &Gateway, note: AuditNote, meta: &Meta) -> Result<(), Problem> {
    Ok(gateway.store.record_request(note, meta, gateway.durability)?)
}

/// The same, where waiting would hold others up.
pub(in crate::gateway) async fn later(gateway: &Gateway, note: AuditNote, meta: Meta) -> Result<(), Problem> {
    let (store, durability) = (gateway.store.clone(), gateway.durability);
    blocking(move || Ok(store.record_request(note, &meta, durability)?)).await
}

/// A note about the secret of a path, of something that was done.
pub(in crate::gateway) fn note_about(
    action: audit::Action,
    path: &SecretPath,
    secret: Option<SecretId>,
) -> AuditNote {
    AuditNote {
        namespace: path.namespace().parsed().cloned(),
        secret: path.parsed().cloned(),
        secret_id: secret,
        ..AuditNote::new(action)
    }
}

/// Records that something of a secret is answered which is not its value.
pub(in crate::gateway) fn answered(
    gateway: &Gateway,
    request: &RequestContext,
    authorised: &Authorised<'_>,
    detail: &str,
) -> Result<(), Problem> {
    let (action, secret) = (audit_action(authorised.action()), authorised.secret().id);
    let note = AuditNote {
        detail: detail.to_owned(),
        ..note_about(action, authorised.path(), Some(secret))
    };
    now(gateway, note, &request.meta_for(authorised.decision()))
}

/// Records that a request which policies allow is refused for another reason.
pub(in crate::gateway) fn refuse(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'_>,
    statements: &[StatementRef],
    problem: Problem,
) -> Result<Problem, Problem> {
    refusal(gateway, request, access, statements, problem.code())?;
    Ok(problem)
}

/// Records a refusal.
pub(super) fn refusal(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'_>,
    statements: &[StatementRef],
    code: Code,
) -> Result<(), Problem> {
    let note = AuditNote {
        outcome: AuditOutcome::Refused(code.as_str().to_owned()),
        detail: about_impossible_name(access.path),
        ..note_about(
            audit_action(access.action),
            access.path,
            access.secret.map(|secret| secret.id),
        )
    };
    now(gateway, note, &request.meta(statements))
}

/// What the record of a refusal says of a name that can be no secret's: the field of the secret's name cannot
/// hold it, and the record must not lose it.
pub(in crate::gateway) fn about_impossible_name(path: &SecretPath) -> String {
    match path.parsed() {
        Some(_) => String::new(),
        None => impossible_name(path.name()),
    }
}

/// The start of a name that can be no secret's, as a record tells it.
pub(in crate::gateway) fn impossible_name(text: &str) -> String {
    let start: String = text.chars().take(MAX_RECORDED_NAME).collect();
    format!("asked for `{}`", strongroom_api::visible(&start))
}

/// The action of the record.
pub(in crate::gateway) fn audit_action(action: Action) -> audit::Action {
    match action {
        Action::CreateSecret => audit::Action::CreateSecret,
        Action::ListSecrets => audit::Action::ListSecrets,
        Action::UpdateSecret | Action::UpdateSecretRotationPolicy | Action::SetSecretPolicy => {
            audit::Action::UpdateSecret
        }
        Action::PutSecretValue => audit::Action::PutSecretValue,
        Action::UpdateSecretVersionStage => audit::Action::UpdateSecretVersionStage,
        Action::DeleteSecret => audit::Action::DeleteSecret,
        Action::PurgeSecret => audit::Action::PurgeSecret,
        Action::RestoreSecret => audit::Action::RestoreSecret,
        Action::ListSecretVersionIds => audit::Action::ListSecretVersionIds,
        Action::RotateSecret => audit::Action::RotateSecret,
        Action::DescribeSecret | Action::GetSecretPolicy => audit::Action::DescribeSecret,
        Action::GetSecretValue | Action::Decrypt | Action::GenerateDataKey => audit::Action::GetSecretValue,
    }
}
