//! GetSecretPolicy: `GET /v1/namespaces/{namespace}/secrets/{name}/policy`: the policy that SetSecretPolicy
//! sets.

use std::sync::Arc;

use strongroom_api::v1::OwnPolicy;
use strongroom_crds::v1alpha1::SecretPolicy;
use strongroom_rules::policy::{Action, StatementRef};
use strongroom_store::vault::{AuditNote, SecretView};

use super::own_policy::policy_name;
use crate::gateway::objects::ObjectClient;
use crate::gateway::operation::Input;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::authorise::authorise;
use crate::gateway::request::record::{self, audit_action};
use crate::gateway::request::{AccessRequest, OperationContext, RequestContext, SecretPath, TargetKey, find};
use crate::gateway::{Gateway, blocking};

pub(super) async fn run(context: OperationContext, input: Input<SecretPath>) -> Result<OwnPolicy, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let path = input.path;
    let (decided, asked, at) = (Arc::clone(&gateway), request.clone(), path.clone());
    let (secret, statements) = blocking(move || permitted(&decided, &asked, &at)).await?;
    let name = policy_name(&secret);
    let policy = policy(&gateway, &path, &secret, &name).await;
    blocking(move || {
        let policy = match policy {
            Ok(policy) => policy,
            Err(problem) => {
                let facts = request.facts();
                let access = AccessRequest {
                    action: Action::GetSecretPolicy,
                    path: &path,
                    secret: Some(&secret),
                    new_key: TargetKey::Default,
                    facts: &facts,
                };
                return Err(record::refuse(&gateway, &request, &access, &statements, problem)?);
            }
        };
        let note = AuditNote {
            detail: format!("SecretPolicy `{name}`"),
            ..record::note_about(audit_action(Action::GetSecretPolicy), &path, Some(secret.id))
        };
        record::now(&gateway, note, &request.meta(&statements))?;
        Ok(policy)
    })
    .await
}

/// The secret, if the caller may see its policy, and what allows it.
fn permitted(
    gateway: &Gateway,
    request: &RequestContext,
    path: &SecretPath,
) -> Result<(Arc<SecretView>, Vec<StatementRef>), Problem> {
    let found = find::secret(gateway, path)?;
    let facts = request.facts();
    let access = AccessRequest::of_found(Action::GetSecretPolicy, &found, &facts);
    let statements = authorise(gateway, request, &access)?
        .decision()
        .statements
        .clone();
    let secret = found.into_view().ok_or_else(|| Problem::no_secret(path))?;
    Ok((secret, statements))
}

async fn policy(
    gateway: &Gateway,
    path: &SecretPath,
    secret: &SecretView,
    name: &str,
) -> Result<OwnPolicy, Problem> {
    let objects = ObjectClient::<SecretPolicy>::new(gateway, path.namespace().name());
    let of_secret = |policy: &SecretPolicy| {
        policy
            .spec
            .secrets
            .as_deref()
            .is_some_and(|secrets| matches!(secrets, [only] if only == secret.name.as_str()))
    };
    let found = objects.find(name).await?.filter(of_secret).ok_or_else(|| {
        Problem::new(
            Code::PolicyNotFound,
            "the secret has no policy of its own; SetSecretPolicy creates one, and others may apply to it by pattern",
        )
    })?;
    Ok(OwnPolicy {
        statements: found.spec.statements,
    })
}
