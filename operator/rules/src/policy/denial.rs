//! The message for a program that policies deny a value: one sentence that is true whether the secret exists
//! or not, and says who can change that.

use strongroom_model::{PRODUCT_SEPARATOR, visible};

use super::decide::{Decision, PolicyKind};
use super::explain::{BARRED, shows};
use super::request::{Identity, Request};

/// Why the request is denied, and whom to ask for what. `object` is the ManagedSecret as far as the reader
/// may know it: else the secret's own name.
#[must_use]
pub fn denial(request: &Request<'_>, decision: &Decision, object: &str) -> String {
    let secret = request.secret;
    let principal = visible(&request.principal.identity.to_string()).into_owned();
    let asked = format!(
        "{} on secret `{}` of namespace `{}` for {principal}",
        request.action, secret.name, secret.namespace
    );
    if decision.barred {
        return format!("denied: {asked}: {BARRED}.");
    }
    if decision.missing.is_empty() {
        let own = request.principal.identity.namespace().unwrap_or_default();
        let statement = decision
            .statements
            .iter()
            .find(|statement| shows(own, statement))
            .map_or_else(
                || format!("a statement of namespace `{}`", secret.namespace),
                ToString::to_string,
            );
        return format!(
            "denied: {statement} denies {asked}. Ask an admin of `{}`.",
            secret.namespace
        );
    }
    let of = |kind| decision.missing.iter().any(|missing| missing.policy == kind);
    let mut asks = Vec::new();
    match &request.principal.identity {
        _ if request.products.acts_for.is_some()
            && decision.missing.iter().all(|missing| missing.action.uses_key()) =>
        {
            asks.push(format!(
                "an admin of `{}` for a SecretPolicy that allows `keys:*` to the product",
                secret.namespace
            ));
        }
        Identity::ServiceAccount { namespace, name }
            if of(PolicyKind::Either) && secret.name.contains(PRODUCT_SEPARATOR) =>
        {
            asks.push(format!(
                "an admin of `{namespace}` for a SecretPolicy with `identities: {{serviceAccounts: [{name}]}}` that allows it on `secret/{}`",
                secret.name
            ));
        }
        Identity::ServiceAccount { namespace, name } if of(PolicyKind::Either) => asks.push(format!(
            "an admin of `{namespace}` for `spec.readers: [{name}]` on ManagedSecret {object}"
        )),
        Identity::ServiceAccount { namespace, name } => {
            if of(PolicyKind::Secret) {
                asks.push(format!(
                    "an admin of `{}` for a SecretPolicy with `secrets: [{}]` that allows it to `serviceAccount: {namespace}/{name}`",
                    secret.namespace, secret.name
                ));
            }
            if of(PolicyKind::Identity) {
                asks.push(format!(
                    "an admin of `{namespace}` for a SecretPolicy with `identities: {{serviceAccounts: [{name}]}}` that allows it on `{}:secret/{}`",
                    secret.namespace, secret.name
                ));
            }
        }
        Identity::User(_) => asks.push(format!(
            "an admin of `{}` for a SecretPolicy with `secrets: [{}]` that allows it",
            secret.namespace, secret.name
        )),
    }
    let of_the_kinds = [
        of(PolicyKind::Either).then(|| format!("no policy in namespace `{}`", secret.namespace)),
        of(PolicyKind::Secret).then(|| format!("no secret policy in namespace `{}`", secret.namespace)),
        of(PolicyKind::Identity).then(|| {
            let own = request.principal.identity.namespace().unwrap_or_default();
            format!("no identity policy in namespace `{own}`")
        }),
    ];
    let nobody: Vec<String> = of_the_kinds.into_iter().flatten().collect();
    format!(
        "denied: {} allows {asked}. Ask {}.",
        nobody.join(", and "),
        asks.join(", and ")
    )
}
