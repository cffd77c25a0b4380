//! The answer to "why?": the decision in words, and what is missing as YAML to paste.

use std::fmt::Write;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use strongroom_model::{PRODUCT_SEPARATOR, visible};

use super::decide::{Decision, MissingPermission, PolicyKind};
use super::policy_set::StatementRef;
use super::request::{Identity, Request};
use super::source::PolicySource;

/// A decision, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision and its reasons, one sentence a line.
    pub text: String,
    /// The statements that decided, as far as they are shown.
    pub statements: Vec<String>,
    /// SecretPolicies that would allow it; none where it is allowed or a statement denies it.
    pub yaml: Vec<String>,
}

/// Whether somebody of this namespace is shown a statement: names of another namespace's policies are told to
/// nobody. A product's rights follow from the name of its secret.
pub(super) fn shows(namespace: &str, statement: &StatementRef) -> bool {
    let products = matches!(statement.source, PolicySource::Product(_));
    products || statement.namespace == namespace
}

/// Why no policy can allow it.
pub(super) const BARRED: &str = "no policy can allow it: the product's secret has identity policies alone (free hosting, or `spec.paid.secretPolicies` of the \
    SecretProduct is false), and those count for ServiceAccounts of its own namespace";

/// Explains a decision to somebody of the namespace `reader` who may know of the secret. Statements of other
/// namespaces are counted alone.
#[must_use]
pub fn explain(request: &Request<'_>, decision: &Decision, reader: &str) -> Explanation {
    let mut text = String::new();
    let secret = format!(
        "secret `{}` of namespace `{}`",
        request.secret.name, request.secret.namespace
    );
    let verdict = if decision.allowed { "allowed" } else { "denied" };
    let _ = writeln!(
        text,
        "{verdict}: {} on {secret} for {}",
        request.action,
        visible(&request.principal.identity.to_string())
    );
    let denied_by_statement = !decision.allowed && decision.missing.is_empty() && !decision.barred;
    let (statements, hidden): (Vec<&StatementRef>, Vec<&StatementRef>) = decision
        .statements
        .iter()
        .partition(|statement| shows(reader, statement));
    let (does, do_) = if denied_by_statement {
        ("denies", "deny")
    } else {
        ("allows", "allow")
    };
    for statement in &statements {
        let _ = writeln!(text, "{statement} {does} it");
    }
    let _ = match hidden.len() {
        0 => Ok(()),
        1 => writeln!(text, "1 statement of another namespace {does} it"),
        count => writeln!(text, "{count} statements of other namespaces {do_} it"),
    };
    if decision.rbac {
        let _ = writeln!(text, "RBAC allows it: `get` on the ManagedSecret of the secret");
    }
    if denied_by_statement && decision.statements.is_empty() {
        let _ = writeln!(text, "a statement could not be evaluated, which denies");
    }
    if decision.barred {
        let _ = writeln!(text, "{BARRED}");
    }
    let own = request.principal.identity.namespace().unwrap_or_default();
    for missing in &decision.missing {
        let _ = writeln!(text, "{}", missing.text(own, request.secret.namespace));
    }
    let yaml = [
        policies_for(
            request,
            decision,
            |kind| kind == PolicyKind::Identity,
            identity_policy,
        ),
        policies_for(
            request,
            decision,
            |kind| kind != PolicyKind::Identity,
            secret_policy,
        ),
    ];
    Explanation {
        text,
        statements: statements.iter().map(ToString::to_string).collect(),
        yaml: yaml.into_iter().flatten().collect(),
    }
}

fn policies_for(
    request: &Request<'_>,
    decision: &Decision,
    of: impl Fn(PolicyKind) -> bool,
    yaml: impl Fn(&Request<'_>, &[&MissingPermission]) -> String,
) -> Option<String> {
    let missing: Vec<&MissingPermission> = decision
        .missing
        .iter()
        .filter(|missing| of(missing.policy))
        .collect();
    (!missing.is_empty()).then(|| yaml(request, &missing))
}

fn head(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n"
    )
}

/// The name of a policy that is suggested: of its own for each secret, principal and set of actions, so that
/// applying one never replaces another.
///
/// INVARIANT: names that differ only in what a label cannot hold differ in the digest.
fn object_name(request: &Request<'_>, side: &str, missing: &[&MissingPermission]) -> String {
    let (namespace, principal) = match &request.principal.identity {
        Identity::ServiceAccount { namespace, name } => (namespace.as_str(), name.as_str()),
        Identity::User(name) => ("", name.as_str()),
    };
    let secret = request.secret;
    let parts = [side, secret.namespace, secret.name, namespace, principal]
        .into_iter()
        .chain(missing.iter().map(|missing| missing.action.as_str()))
        .chain(request.key.map(|(_, key)| key));
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest = HEXLOWER.encode(hasher.finalize().get(..4).unwrap_or_default());
    format!(
        "allow-{}-{}-{digest}",
        in_a_name(principal),
        in_a_name(secret.name)
    )
}

/// A text as a part of an object's name.
fn in_a_name(text: &str) -> String {
    let name: String = text
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .take(80)
        .collect();
    match name.trim_matches('-') {
        "" => "x".to_owned(),
        name => name.to_owned(),
    }
}

fn actions(missing: &[&MissingPermission]) -> String {
    let names: Vec<String> = missing
        .iter()
        .map(|missing| quoted(missing.action.as_str()))
        .collect();
    names.join(", ")
}

/// A YAML string that nothing in it can end.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn secret_policy(request: &Request<'_>, missing: &[&MissingPermission]) -> String {
    let secret = request.secret;
    // A key is granted to the product once and for all of its secrets in the namespace.
    if let Some(code) = request.products.acts_for
        && missing.iter().all(|missing| missing.action.uses_key())
    {
        return format!(
            "{}  secrets: [{}]\n  statements:\n  - effect: Allow\n    principals: [{{product: {}}}]\n    actions: [\"keys:*\"]\n",
            head(secret.namespace, &format!("allow-{code}-keys")),
            quoted(&format!("{code}{PRODUCT_SEPARATOR}*")),
            quoted(code.as_str()),
        );
    }
    let principal = match &request.principal.identity {
        Identity::ServiceAccount { namespace, name } => {
            format!("serviceAccount: {}", quoted(&format!("{namespace}/{name}")))
        }
        Identity::User(name) => format!("user: {}", quoted(name)),
    };
    format!(
        "{}  secrets: [{}]\n  statements:\n  - effect: Allow\n    principals: [{{{principal}}}]\n    actions: [{}]\n",
        head(secret.namespace, &object_name(request, "secret", missing)),
        quoted(secret.name),
        actions(missing),
    )
}

fn identity_policy(request: &Request<'_>, missing: &[&MissingPermission]) -> String {
    let Identity::ServiceAccount { namespace, name } = &request.principal.identity else {
        return String::new();
    };
    let mut yaml = format!(
        "{}  identities: {{serviceAccounts: [{}]}}\n  statements:\n",
        head(namespace, &object_name(request, "identity", missing)),
        quoted(name),
    );
    for missing in missing {
        let resource = match request.key {
            Some((action, key)) if action == missing.action => format!("key/{key}"),
            _ => format!("secret/{}", request.secret.name),
        };
        let _ = writeln!(
            yaml,
            "  - {{effect: Allow, actions: [{}], resources: [{}]}}",
            quoted(missing.action.as_str()),
            quoted(&format!("{}:{resource}", request.secret.namespace)),
        );
    }
    yaml
}
