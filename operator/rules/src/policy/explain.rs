//! The answer to "why?": the decision in words, and what is missing as YAML to paste.

use std::fmt::Write;

use super::decide::{Decision, Missing, PolicyKind};
use super::request::{Identity, Request};

/// A decision, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision and its reasons, one sentence a line.
    pub text: String,
    /// SecretPolicies that would allow it; none where it is allowed or a statement denies it.
    pub yaml: Vec<String>,
}

/// Explains a decision to somebody who may know of the secret.
#[must_use]
pub fn explain(request: &Request<'_>, decision: &Decision) -> Explanation {
    let mut text = String::new();
    let secret = format!(
        "secret `{}` of namespace `{}`",
        request.secret.name, request.secret.namespace
    );
    let verdict = if decision.allowed { "allowed" } else { "denied" };
    let _ = writeln!(
        text,
        "{verdict}: {} on {secret} for {}",
        request.action, request.principal.identity
    );
    let denied_by_statement = !decision.allowed && decision.missing.is_empty();
    for statement in &decision.statements {
        let does = if denied_by_statement { "denies" } else { "allows" };
        let _ = writeln!(text, "{statement} {does} it");
    }
    if denied_by_statement && decision.statements.is_empty() {
        let _ = writeln!(text, "a statement could not be evaluated, which denies");
    }
    for missing in &decision.missing {
        let where_ = match missing.policy {
            PolicyKind::Identity => format!(
                "no identity policy in namespace `{}` allows {}",
                request.principal.identity.namespace().unwrap_or_default(),
                missing.action
            ),
            PolicyKind::Secret => format!(
                "no secret policy in namespace `{}` allows {}",
                request.secret.namespace, missing.action
            ),
            PolicyKind::Either => format!(
                "no policy in namespace `{}` allows {}",
                request.secret.namespace, missing.action
            ),
        };
        let _ = writeln!(text, "{where_}");
    }
    let yaml = [
        wanted(
            request,
            decision,
            |kind| kind == PolicyKind::Identity,
            identity_policy,
        ),
        wanted(
            request,
            decision,
            |kind| kind != PolicyKind::Identity,
            secret_policy,
        ),
    ];
    Explanation {
        text,
        yaml: yaml.into_iter().flatten().collect(),
    }
}

fn wanted(
    request: &Request<'_>,
    decision: &Decision,
    of: impl Fn(PolicyKind) -> bool,
    yaml: impl Fn(&Request<'_>, &[&Missing]) -> String,
) -> Option<String> {
    let missing: Vec<&Missing> = decision
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

/// An object name made of a text.
fn object_name(text: &str) -> String {
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
        .take(200)
        .collect();
    format!("allow-{}", name.trim_matches('-'))
}

fn actions(missing: &[&Missing]) -> String {
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

fn secret_policy(request: &Request<'_>, missing: &[&Missing]) -> String {
    let secret = request.secret;
    let principal = match &request.principal.identity {
        Identity::ServiceAccount { namespace, name } => {
            format!("serviceAccount: {}", quoted(&format!("{namespace}/{name}")))
        }
        Identity::User(name) => format!("user: {}", quoted(name)),
    };
    format!(
        "{}  secrets: [{}]\n  statements:\n  - effect: Allow\n    principals: [{{{principal}}}]\n    actions: [{}]\n",
        head(secret.namespace, &object_name(secret.name)),
        quoted(secret.name),
        actions(missing),
    )
}

fn identity_policy(request: &Request<'_>, missing: &[&Missing]) -> String {
    let Identity::ServiceAccount { namespace, name } = &request.principal.identity else {
        return String::new();
    };
    let mut yaml = format!(
        "{}  identities: {{serviceAccounts: [{}]}}\n  statements:\n",
        head(namespace, &object_name(name)),
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
