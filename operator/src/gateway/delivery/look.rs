//! What one secret looks like to one pod: decided by its policies, found in the store. Nothing is read and nothing put on record here.

use strongroom_api::stream::proto::{Ended, Refusal};
use strongroom_rules::policy::{Action, Decision, Facts};
use strongroom_store::vault::{KeyState, SecretState, SecretView, VersionView};

use super::ledger::Want;
use super::turn::{Found, Refused, Seen};
use crate::consumers::volumes::Which;
use crate::gateway::Gateway;
use crate::gateway::access::{Asking, Wanted, decide, denied_to_a_program, may_know};
use crate::gateway::problem::{Code, Problem};

/// Looks.
pub(super) fn look(gateway: &Gateway, asking: &Asking, want: &Want) -> Seen {
    seen(gateway, asking, want).unwrap_or_else(|problem| from_problem(&problem))
}

fn seen(gateway: &Gateway, asking: &Asking, want: &Want) -> Result<Seen, Problem> {
    let secret = gateway.find(&want.place, &want.name)?;
    let version = secret
        .as_deref()
        .and_then(|secret| version_of(secret, &want.which));
    let facts = Facts {
        stages: version
            .iter()
            .flat_map(|version| &version.stages)
            .map(ToString::to_string)
            .collect(),
        version: version.map(|version| version.id.to_string()),
        ..asking.facts()
    };
    let wanted = Wanted {
        action: Action::GetSecretValue,
        namespace: &want.place.name,
        name: &want.name,
        secret: secret.as_deref(),
        new_under: None,
        facts: &facts,
    };
    let decision = decide(gateway, asking, Action::GetSecretValue, &wanted)?;
    let owner = secret.as_deref().and_then(|secret| secret.object.as_ref());
    let owner = owner.map(|object| object.uid.as_str());
    let terms = gateway.terms.of(&want.place.name, &want.name, owner);
    let wipe = terms.wipe;
    let refused = |code, ended, record, message: String| Refused {
        code,
        ended,
        message,
        missing: Vec::new(),
        // Once its object is gone nobody says it any more.
        wipe: wipe.then_some(true),
        record,
        statements: Vec::new(),
        secret: secret.as_deref().map(|secret| secret.id),
    };
    if !decision.allowed {
        let (message, missing) = why_not(gateway, asking, &wanted, &decision)?;
        return Ok(Seen::Refused(Refused {
            missing,
            wipe: Some(wipe),
            statements: decision.statements,
            ..refused(Refusal::Policy, Ended::Revoked, Code::PolicyDenied, message)
        }));
    }
    let Some(view) = secret.as_deref() else {
        let message = format!(
            "there is no secret `{}` in namespace `{}`",
            want.name, want.place.name
        );
        let ended = refused(Refusal::NotFound, Ended::Deleted, Code::SecretNotFound, message);
        return Ok(Seen::Refused(ended));
    };
    if let SecretState::PendingDeletion { .. } = view.state {
        let message = format!("secret `{}` was deleted and can be restored", want.name);
        let ended = refused(
            Refusal::NotReadable,
            Ended::Deleted,
            Code::InRecoveryWindow,
            message,
        );
        return Ok(Seen::Refused(ended));
    }
    if let Some(key) = gateway.key(view)?
        && key.state != KeyState::Enabled
    {
        let (code, state) = match key.state {
            KeyState::Disabled => (Code::KeyDisabled, "disabled"),
            _ => (Code::KeyPendingDeletion, "to be deleted"),
        };
        let message = format!("the encryption key of secret `{}` is {state}", want.name);
        let ended = refused(Refusal::NotReadable, Ended::KeyDisabled, code, message);
        return Ok(Seen::Refused(ended));
    }
    let Some(version) = version else {
        let (code, what) = match &want.which {
            Which::Stage(stage) => (Code::StageNotFound, format!("version with stage `{stage}`")),
            Which::Version(id) => (Code::VersionNotFound, format!("version `{id}`")),
        };
        let message = format!("secret `{}` has no {what}", want.name);
        let ended = refused(Refusal::NotFound, Ended::VersionGone, code, message);
        return Ok(Seen::Refused(ended));
    };
    Ok(Seen::At(Found {
        key: (view.id, version.id.clone()),
        revision: view.revision,
        terms,
        statements: decision.statements,
    }))
}

fn version_of<'a>(secret: &'a SecretView, which: &Which) -> Option<&'a VersionView> {
    let id = match which {
        Which::Stage(stage) => secret.stages.get(stage)?,
        Which::Version(id) => id,
    };
    secret.versions.iter().find(|version| version.id == *id)
}

/// Why not, in one sentence, and which policies would allow it as YAML.
///
/// INVARIANT: a pod that may not know of the secret is told the same whether it is there or not: what a policy for a secret of that name would
/// have to say.
fn why_not(
    gateway: &Gateway,
    asking: &Asking,
    wanted: &Wanted<'_>,
    decision: &Decision,
) -> Result<(String, Vec<String>), Problem> {
    if may_know(gateway, asking, wanted)? {
        let object = wanted.secret.and_then(|secret| secret.object.as_ref());
        let object = object.map_or(wanted.name, |object| object.name.as_str());
        return denied_to_a_program(gateway, asking, wanted, decision, object);
    }
    let unknown = Wanted {
        secret: None,
        ..wanted.clone()
    };
    let decision = decide(gateway, asking, wanted.action, &unknown)?;
    if decision.allowed {
        let none = format!(
            "there is no secret `{}` in namespace `{}` that the pod may read; ask an admin of `{}`",
            wanted.name, wanted.namespace, wanted.namespace
        );
        return Ok((none, Vec::new()));
    }
    denied_to_a_program(gateway, asking, &unknown, &decision, wanted.name)
}

/// What a problem of the gateway means to a volume.
pub(super) fn from_problem(problem: &Problem) -> Seen {
    let code = problem.code();
    let refused = |refusal, ended| Refused {
        code: refusal,
        ended,
        message: problem.detail().to_owned(),
        missing: Vec::new(),
        wipe: None,
        record: code,
        statements: Vec::new(),
        secret: None,
    };
    match code {
        Code::PolicyDenied => Seen::Refused(refused(Refusal::Policy, Ended::Revoked)),
        Code::SecretNotFound => Seen::Refused(refused(Refusal::NotFound, Ended::Deleted)),
        Code::VersionNotFound | Code::StageNotFound | Code::StageMismatch => {
            Seen::Refused(refused(Refusal::NotFound, Ended::VersionGone))
        }
        Code::InRecoveryWindow | Code::NamespaceRecreated => {
            Seen::Refused(refused(Refusal::NotReadable, Ended::Deleted))
        }
        Code::KeyDisabled | Code::KeyPendingDeletion | Code::KeyNotFound => {
            Seen::Refused(refused(Refusal::NotReadable, Ended::KeyDisabled))
        }
        Code::Unauthenticated => Seen::Refused(refused(Refusal::Unauthenticated, Ended::Token)),
        Code::InvalidRequest => Seen::Refused(refused(Refusal::Invalid, Ended::Unspecified)),
        Code::TooManyRequests => Seen::Unclear(refused(Refusal::TooMany, Ended::Unspecified)),
        Code::StoreDamaged => Seen::Unclear(refused(Refusal::NotReadable, Ended::Unspecified)),
        // Something that does not answer now, and codes that no read comes to: nothing is taken away for their sake.
        Code::Overloaded
        | Code::Timeout
        | Code::AuthenticationUnavailable
        | Code::PoliciesUnavailable
        | Code::ClusterUnavailable
        | Code::AuditUnavailable
        | Code::StoreFull
        | Code::StoreUnavailable
        | Code::DataKeyNotFound
        | Code::PolicyNotFound
        | Code::NoSuchPath
        | Code::ServiceAccountRefused
        | Code::MethodNotAllowed
        | Code::SecretExists
        | Code::ManagedElsewhere
        | Code::VersionConflict
        | Code::SourceNotExternal
        | Code::KeyRequired
        | Code::NotRotatable
        | Code::StageReserved
        | Code::TooManyStages
        | Code::NamespaceFull
        | Code::SealingKeyNotFound
        | Code::NotInRecoveryWindow
        | Code::TooLarge => Seen::Unclear(refused(Refusal::Unavailable, Ended::Unspecified)),
    }
}
