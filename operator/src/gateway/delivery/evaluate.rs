//! What one pod may read of one secret, by its policies and the store. Nothing is read and nothing recorded
//! here.

use strongroom_api::stream::proto::{Ended, Refusal};
use strongroom_rules::policy::{Action, Decision, RequestFacts};
use strongroom_store::vault::{KeyState, SecretState, SecretView, VersionView};

use super::diff::{DeliveryRefusal, Evaluation, ReadableVersion};
use super::node_view::SubscribedSecret;
use crate::consumers::volumes::FollowedVersion;
use crate::gateway::Gateway;
use crate::gateway::authenticate::Caller;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::authorise::{decide, may_describe, short_denial};
use crate::gateway::request::{AccessRequest, RequestContext, find, product};

/// Whether a volume may have a secret now, and which version.
pub(super) fn evaluate(
    gateway: &Gateway,
    request: &RequestContext,
    subscribed: &SubscribedSecret,
) -> Evaluation {
    try_evaluate(gateway, request, subscribed).unwrap_or_else(|problem| from_problem(&problem))
}

fn try_evaluate(
    gateway: &Gateway,
    request: &RequestContext,
    subscribed: &SubscribedSecret,
) -> Result<Evaluation, Problem> {
    let (namespace, name) = (subscribed.path.namespace().name(), subscribed.path.name());
    let found = find::secret(gateway, &subscribed.path)?;
    let secret = found.view();
    let version = secret.and_then(|secret| version_of(secret, &subscribed.which));
    let facts = RequestFacts {
        stages: version
            .iter()
            .flat_map(|version| &version.stages)
            .map(ToString::to_string)
            .collect(),
        version: version.map(|version| version.id.to_string()),
        ..request.facts()
    };
    let access = AccessRequest::of_found(Action::GetSecretValue, &found, &facts);
    let decision = decide(gateway, request.caller(), Action::GetSecretValue, &access)?;
    let owner = secret.and_then(|secret| secret.object.as_ref());
    let owner = owner.map(|object| object.uid.as_str());
    let terms = gateway.delivery_policies.for_secret(namespace, name, owner);
    let wipe = terms.wipe;
    let refused = |code, ended, record, message: String| DeliveryRefusal {
        code,
        ended,
        message,
        missing: Vec::new(),
        // Once its object is gone nobody says it any more.
        wipe: wipe.then_some(true),
        record,
        statements: Vec::new(),
        secret: secret.map(|secret| secret.id),
    };
    if !decision.allowed {
        let (message, missing) = why_not(gateway, request.caller(), &access, &decision)?;
        return Ok(Evaluation::Refused(DeliveryRefusal {
            missing,
            wipe: Some(wipe),
            statements: decision.statements,
            ..refused(Refusal::Policy, Ended::Revoked, Code::PolicyDenied, message)
        }));
    }
    if let Err(problem) = product::check(gateway, request, &access)? {
        let message = problem.detail().to_owned();
        return Ok(Evaluation::Refused(refused(
            Refusal::Policy,
            Ended::Revoked,
            problem.code(),
            message,
        )));
    }
    let Some(view) = secret else {
        let message = format!("there is no secret `{name}` in namespace `{namespace}`");
        let ended = refused(Refusal::NotFound, Ended::Deleted, Code::SecretNotFound, message);
        return Ok(Evaluation::Refused(ended));
    };
    if let SecretState::PendingDeletion { .. } = view.state {
        let message = format!("secret `{name}` was deleted and can be restored");
        let ended = refused(
            Refusal::NotReadable,
            Ended::Deleted,
            Code::InRecoveryWindow,
            message,
        );
        return Ok(Evaluation::Refused(ended));
    }
    if let Some(key) = gateway.key(view)?
        && key.state != KeyState::Enabled
    {
        let (code, state) = match key.state {
            KeyState::Disabled => (Code::KeyDisabled, "disabled"),
            _ => (Code::KeyPendingDeletion, "to be deleted"),
        };
        let message = format!("the encryption key of secret `{name}` is {state}");
        let ended = refused(Refusal::NotReadable, Ended::KeyDisabled, code, message);
        return Ok(Evaluation::Refused(ended));
    }
    let Some(version) = version else {
        let (code, what) = match &subscribed.which {
            FollowedVersion::Stage(stage) => (Code::StageNotFound, format!("version with stage `{stage}`")),
            FollowedVersion::Version(id) => (Code::VersionNotFound, format!("version `{id}`")),
        };
        let message = format!("secret `{name}` has no {what}");
        let ended = refused(Refusal::NotFound, Ended::VersionGone, code, message);
        return Ok(Evaluation::Refused(ended));
    };
    Ok(Evaluation::Readable(ReadableVersion {
        key: (view.id, version.id.clone()),
        made: version.created,
        revision: view.revision,
        terms,
        statements: decision.statements,
    }))
}

fn version_of<'a>(secret: &'a SecretView, which: &FollowedVersion) -> Option<&'a VersionView> {
    let id = match which {
        FollowedVersion::Stage(stage) => secret.stages.get(stage)?,
        FollowedVersion::Version(id) => id,
    };
    secret.versions.iter().find(|version| version.id == *id)
}

/// Why not, in one sentence, and which policies would allow it as YAML.
///
/// INVARIANT: a pod that may not know of the secret is told the same whether it is there or not: what a
/// policy for a secret of that name would have to say.
fn why_not(
    gateway: &Gateway,
    caller: &Caller,
    access: &AccessRequest<'_>,
    decision: &Decision,
) -> Result<(String, Vec<String>), Problem> {
    let (namespace, name) = (access.path.namespace().name(), access.path.name());
    if may_describe(gateway, caller, access)? {
        let object = access.secret.and_then(|secret| secret.object.as_ref());
        let object = object.map_or(name, |object| object.name.as_str());
        return short_denial(gateway, caller, access, decision, object);
    }
    let unknown = AccessRequest {
        secret: None,
        ..access.clone()
    };
    let decision = decide(gateway, caller, access.action, &unknown)?;
    if decision.allowed {
        let none = format!(
            "there is no secret `{name}` in namespace `{namespace}` that the pod may read; ask an admin of `{namespace}`"
        );
        return Ok((none, Vec::new()));
    }
    short_denial(gateway, caller, &unknown, &decision, name)
}

/// What a problem of the gateway means to a volume.
pub(super) fn from_problem(problem: &Problem) -> Evaluation {
    let code = problem.code();
    let refused = |refusal, ended| DeliveryRefusal {
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
        Code::PolicyDenied | Code::ProductManaged | Code::HostingRefused => {
            Evaluation::Refused(refused(Refusal::Policy, Ended::Revoked))
        }
        Code::SecretNotFound => Evaluation::Refused(refused(Refusal::NotFound, Ended::Deleted)),
        Code::VersionNotFound | Code::StageNotFound | Code::StageMismatch => {
            Evaluation::Refused(refused(Refusal::NotFound, Ended::VersionGone))
        }
        Code::InRecoveryWindow | Code::NamespaceRecreated => {
            Evaluation::Refused(refused(Refusal::NotReadable, Ended::Deleted))
        }
        Code::KeyDisabled | Code::KeyPendingDeletion | Code::KeyNotFound => {
            Evaluation::Refused(refused(Refusal::NotReadable, Ended::KeyDisabled))
        }
        Code::Unauthenticated => Evaluation::Refused(refused(Refusal::Unauthenticated, Ended::Token)),
        Code::InvalidRequest => Evaluation::Refused(refused(Refusal::Invalid, Ended::Unspecified)),
        Code::TooManyRequests => Evaluation::Undecided(refused(Refusal::TooMany, Ended::Unspecified)),
        Code::StoreDamaged => Evaluation::Undecided(refused(Refusal::NotReadable, Ended::Unspecified)),
        // Something that does not answer now, and codes that no read comes to: nothing is taken away for
        // their sake.
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
        | Code::QuotaExceeded
        | Code::NamespaceNotSelected
        | Code::ProductNewer
        | Code::ProductUnknown
        | Code::ProductAbsent
        | Code::ProductChanged
        | Code::ProductSuspended
        | Code::SealingKeyNotFound
        | Code::NotInRecoveryWindow
        | Code::TooLarge => Evaluation::Undecided(refused(Refusal::Unavailable, Ended::Unspecified)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use strongroom_model::id::RequestId;
    use strongroom_model::name::Stage;

    use super::*;
    use crate::gateway::listener_scope::ListenerScope;
    use crate::gateway::request::{
        AddressShares, Arrival, NamespaceRef, SecretPath, TokenOrigin, authenticate,
    };
    use crate::gateway::tests::{World, token};

    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_listener_of_a_stream_does_not_serve_reaches_no_volume() {
        let world = World::new(0);
        world.allow("read", "app", "secrets:GetSecretValue", "*");
        let gateway = &*world.gateway;
        let settings = "aigw=127.0.0.1:0,products=aigw".parse().unwrap();
        let refusals = &gateway.metrics.refusals;
        let dedicated = ListenerScope::dedicated(&settings, &AddressShares::default(), refusals);
        let namespace = NamespaceRef::resolve(gateway, "shop".to_owned()).await.unwrap();
        let subscribed = SubscribedSecret {
            path: SecretPath::new(namespace, "db-main".to_owned()),
            which: FollowedVersion::Stage(Stage::Current),
            shown: None,
            at_start: None,
        };
        let evaluated_at = async |listener: &Arc<ListenerScope>| {
            let origin = TokenOrigin::Node {
                address: "10.1.2.3".parse().unwrap(),
                node: "n-1",
            };
            let arrival = Arrival {
                id: RequestId::generate().unwrap(),
                at: Instant::now(),
            };
            let token = token("shop/app/app-1@n-1");
            let request = authenticate::by_token(gateway, listener, origin, &token, arrival).await;
            evaluate(gateway, &request.unwrap(), &subscribed)
        };
        let shared = evaluated_at(gateway.shared()).await;
        assert!(matches!(shared, Evaluation::Readable(_)), "{shared:?}");
        let Evaluation::Refused(refused) = evaluated_at(&Arc::new(dedicated)).await else {
            panic!("the policies alone decide")
        };
        assert_eq!(
            (refused.code, refused.ended, refused.record),
            (Refusal::Policy, Ended::Revoked, Code::HostingRefused)
        );
    }
}
