//! SetSecretPolicy: `PUT /v1/namespaces/{namespace}/secrets/{name}/policy`: a SecretPolicy attached to this
//! secret alone, named as its ManagedSecret is.
//!
//! What does not compile is refused here, and nothing changes.

use strongroom_api::v1::OwnPolicy;
use strongroom_crds::v1alpha1::{SecretPolicy, SecretPolicySpec};
use strongroom_rules::policy::{Action, check};

use super::change::{ChangeError, SecretChange};
use super::own_policy::policy_name;
use crate::gateway::objects::{ObjectClient, managed_elsewhere, refuse_other_owner};
use crate::gateway::operation::{Input, NoQuery};
use crate::gateway::problem::{Problem, invalid};
use crate::gateway::request::{OperationContext, SecretPath};

/// Most statements of one policy, as in the SecretPolicy.
const MAX_STATEMENTS: usize = 64;

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, NoQuery, OwnPolicy>,
) -> Result<OwnPolicy, Problem> {
    let Input { path, body, .. } = input;
    if body.statements.is_empty() || body.statements.len() > MAX_STATEMENTS {
        return Err(invalid("a policy has 1 to 64 statements"));
    }
    let (change, secret) = SecretChange::for_secret(context, path, Action::SetSecretPolicy).await?;
    let spec = SecretPolicySpec {
        identities: None,
        secrets: Some(vec![secret.name.to_string()]),
        statements: body.statements,
    };
    let outcome = set(&change, &policy_name(&secret), spec).await;
    change.settle(outcome).await
}

async fn set(change: &SecretChange, name: &str, spec: SecretPolicySpec) -> Result<OwnPolicy, ChangeError> {
    check(change.namespace(), &spec).map_err(invalid)?;
    let objects = ObjectClient::<SecretPolicy>::new(&change.gateway, change.namespace());
    if let Some(found) = objects.find(name).await? {
        refuse_other_owner(&found, &["spec", "statements"])?;
        // Whoever may set the policy of one secret may not thereby say who reads others.
        if (&found.spec.secrets, &found.spec.identities) != (&spec.secrets, &None) {
            let why = "it applies to more than this secret";
            return Err(managed_elsewhere("SecretPolicy", name, why).into());
        }
    }
    let applied = objects.apply(&SecretPolicy::new(name, spec)).await?;
    change.note(&format!("SecretPolicy `{name}`")).await?;
    Ok(OwnPolicy {
        statements: applied.spec.statements,
    })
}
