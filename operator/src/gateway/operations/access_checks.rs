//! The checks of the troubleshooting list that this process can make, each from facts that ExplainAccess
//! gathers. Checks that need other objects of the cluster are made by the CLI, with the rights of whoever
//! asks.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::json;
use strongroom_api::v1::{AccessCheck, AccessCheckName as Name, AccessCheckResult as Outcome, apply_command};
use strongroom_model::{Hosting, ProductCode, visible};
use strongroom_rules::policy::{Action, Decision, Identity, PolicyKind};
use strongroom_rules::product::{ListenerFacts, ProductRole};
use strongroom_store::vault::{KeyState, QuotaUsage};

use super::shape::time;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::rate_buckets::RateLevel;
use crate::gateway::request::product::MatrixEntry;
use crate::gateway::request::{Cost, LimitScope};

/// Whoever read something so many seconds ago reaches the gateway.
const RECENTLY_SECONDS: i64 = 300;
/// Raises the rate of a dedicated gateway, whose settings stand in a list.
const RAISE_BY_VALUES: &str =
    "helm upgrade strongroom charts/strongroom -n INSTALLATION --reuse-values -f VALUES";
/// Characters of a name that can be no gateway's that an answer repeats.
const MAX_SHOWN: usize = 80;

/// All that is known of what a principal asks for.
#[derive(Clone, Debug)]
pub(super) struct AccessFacts<'a> {
    /// The names of the secret.
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    /// Who would ask, and how it has proven to be that.
    pub(super) subject: &'a Identity,
    pub(super) proof: CallerProof,
    /// What would be done.
    pub(super) action: Action,
    pub(super) stage: &'a str,
    /// By which gateway, as it is named, and what is served there; none: there is none of the name.
    pub(super) via: &'a str,
    pub(super) listener: Option<ListenerFacts<'a>>,
    pub(super) now: Timestamp,
    /// What policies and RBAC say, why in words, and the policies that would allow it.
    pub(super) decision: &'a Decision,
    pub(super) reasons: &'a str,
    pub(super) policies: &'a [String],
    /// Namespace and name of a SecretPolicy that denies it and that may be shown.
    pub(super) denied_by: Option<(&'a str, &'a str)>,
    /// None: there is none.
    pub(super) secret: Option<ExplainedSecret<'a>>,
    pub(super) key: KeyUse<'a>,
    /// What is left of its rates; none: it is not for the caller to know.
    pub(super) rates: Option<&'a [RateLevel]>,
    /// When it read the secret last, as far as that is for the caller to know.
    pub(super) last_read: Option<Timestamp>,
    /// What the matrix says, where a product owns the secret, and in words.
    pub(super) product: Option<(&'a MatrixEntry, &'a str)>,
    pub(super) matrix: Result<(), &'a Problem>,
    /// The quotas that what is asked for counts on; none: it makes nothing.
    pub(super) quota: Option<QuotaFacts>,
}

/// The quotas that another default secret would count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuotaFacts {
    /// As it would be hosted.
    pub(super) hosting: Hosting,
    pub(super) in_namespace: QuotaUsage,
    /// In all namespaces; none: what other tenants have is not for the caller to know.
    pub(super) total: Option<QuotaUsage>,
}

/// How it is known who somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallerProof {
    /// A token that the API server accepted.
    Token,
    /// A token that it accepted before it went away.
    EarlierToken,
    /// The API server's word.
    ExtensionApi,
    /// It is somebody else who asks.
    NotShown,
}

/// What an operation finds of the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExplainedSecret<'a> {
    /// When its recovery window ends, if it is in one.
    pub(super) until: Option<String>,
    /// The version with the stage that is asked for.
    pub(super) version: Option<&'a str>,
    /// Name of the ManagedSecret that declares it.
    pub(super) object: Option<&'a str>,
}

/// What an operation has to do with a customer's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyUse<'a> {
    /// The secret lies under none.
    Default,
    /// It lies under one, and that is not used.
    Unused,
    /// It uses the key of this name.
    Customer(&'a str, KeyState),
    /// It would use the key of this name, and there is none.
    Missing(&'a str),
    /// It uses one of which the caller hears nothing, not even whether there is one.
    Untold,
}

/// Every check, in the order in which they are looked at.
pub(super) fn checks(facts: &AccessFacts<'_>) -> Vec<AccessCheck> {
    vec![
        permission(facts),
        secret(facts),
        network(facts),
        key(facts),
        rate(facts),
        product(facts),
        quota(facts),
        credentials(facts),
    ]
}

/// What an operation costs its caller, as the table of operations says.
pub(super) const fn cost(action: Action) -> Cost {
    match action {
        Action::ListSecrets
        | Action::DescribeSecret
        | Action::ListSecretVersionIds
        | Action::GetSecretPolicy
        | Action::GetSecretValue
        | Action::Decrypt => Cost::Read,
        Action::CreateSecret
        | Action::UpdateSecret
        | Action::PutSecretValue
        | Action::UpdateSecretVersionStage
        | Action::DeleteSecret
        | Action::PurgeSecret
        | Action::RestoreSecret
        | Action::RotateSecret
        | Action::UpdateSecretRotationPolicy
        | Action::SetSecretPolicy
        | Action::GenerateDataKey => Cost::Write,
    }
}

/// What is missing of a kind of action, in words.
fn missing(facts: &AccessFacts<'_>, of_key: bool) -> String {
    let own = facts.subject.namespace().unwrap_or_default();
    let missing = facts.decision.missing.iter();
    let texts = missing.filter(|missing| missing.action.uses_key() == of_key);
    let texts: Vec<String> = texts.map(|missing| missing.text(own, facts.namespace)).collect();
    texts.join("; ")
}

fn policies(facts: &AccessFacts<'_>) -> String {
    apply_command(facts.policies.iter().map(String::as_str))
}

fn permission(facts: &AccessFacts<'_>) -> AccessCheck {
    let check = |outcome, detail: &str| AccessCheck::new(Name::Permission, outcome, detail);
    let decision = facts.decision;
    if facts.matrix.is_err() {
        let alone = if decision.allowed { "allowed" } else { "denied" };
        let refuses = facts.product.map_or("gateway", |_| "product");
        let detail =
            format!("the {refuses} refuses it before any policy; of policies alone it would be {alone}");
        return check(Outcome::ProductDecides, &detail);
    }
    if decision.allowed {
        let outcome = if decision.rbac {
            Outcome::AllowedByRbac
        } else {
            Outcome::Allowed
        };
        return check(outcome, facts.reasons);
    }
    if decision.barred {
        let names = [("NAMESPACE", facts.namespace), ("NAME", facts.name)];
        return check(Outcome::NotAllowable, facts.reasons).mended_with(&names);
    }
    if decision.missing.is_empty() {
        let denied = check(Outcome::DeniedBy, facts.reasons);
        return match facts.denied_by {
            Some((namespace, policy)) => denied.mended_with(&[("NAMESPACE", namespace), ("POLICY", policy)]),
            None => denied,
        };
    }
    let of_secret = decision
        .missing
        .iter()
        .filter(|missing| !missing.action.uses_key());
    let kinds: Vec<PolicyKind> = of_secret.map(|missing| missing.policy).collect();
    let outcome = match kinds.as_slice() {
        [] => return check(Outcome::Allowed, "what is missing is the use of the key"),
        [PolicyKind::Identity] => Outcome::MissingIdentity,
        [PolicyKind::Secret] if facts.subject.namespace().is_some() => Outcome::MissingSecret,
        _ => Outcome::PolicyDenied,
    };
    check(outcome, &missing(facts, false)).mended_by(policies(facts))
}

/// Whether an operation is about a secret's metadata alone, which a recovery window hides from nobody.
const fn works_in_a_window(action: Action) -> bool {
    matches!(
        action,
        Action::DescribeSecret
            | Action::ListSecrets
            | Action::ListSecretVersionIds
            | Action::GetSecretPolicy
            | Action::PurgeSecret
    )
}

fn secret(facts: &AccessFacts<'_>) -> AccessCheck {
    let names = [
        ("NAMESPACE", facts.namespace),
        ("NAME", facts.name),
        ("STAGE", facts.stage),
    ];
    let check = |outcome, detail: String| AccessCheck::new(Name::Secret, outcome, detail);
    let creates = facts.action == Action::CreateSecret;
    let Some(secret) = &facts.secret else {
        let (outcome, detail) = if creates {
            (Outcome::NameFree, "no secret has the name yet")
        } else {
            (Outcome::Absent, "there is no secret of this name")
        };
        return check(outcome, detail.to_owned()).mended_with(&names);
    };
    if creates {
        return check(Outcome::NameTaken, "a secret of this name exists".to_owned()).mended_with(&names);
    }
    let restores = facts.action == Action::RestoreSecret;
    match &secret.until {
        Some(until) => {
            let detail = format!("it is in its recovery window until {until}");
            if restores {
                check(Outcome::Restorable, detail)
            } else if works_in_a_window(facts.action) {
                check(Outcome::Normal, format!("{detail}, where this works too"))
            } else {
                check(Outcome::InRecoveryWindow, detail).mended_with(&names)
            }
        }
        None if restores => check(
            Outcome::NothingToRestore,
            "it is live, so there is nothing to restore".to_owned(),
        )
        .mended_with(&names),
        None if facts.action == Action::GetSecretValue => value(facts, secret),
        None => check(Outcome::Normal, "it is live".to_owned()),
    }
}

/// Of a secret that is live, and whose value is asked for.
fn value(facts: &AccessFacts<'_>, secret: &ExplainedSecret<'_>) -> AccessCheck {
    let stage = visible(facts.stage);
    if let Some(version) = secret.version {
        let detail = format!("it is live, and version `{version}` is {stage}");
        return AccessCheck::new(Name::Secret, Outcome::Normal, detail);
    }
    let outcome = if stage == "Current" {
        Outcome::NoCurrent
    } else {
        Outcome::NoStage
    };
    let object = secret.object.unwrap_or(facts.name);
    AccessCheck::new(
        Name::Secret,
        outcome,
        format!("it is live, and no version is {stage}"),
    )
    .mended_with(&[
        ("NAMESPACE", facts.namespace),
        ("NAME", facts.name),
        ("STAGE", facts.stage),
        ("OBJECT", object),
    ])
}

fn network(facts: &AccessFacts<'_>) -> AccessCheck {
    let check = |outcome, detail: String| AccessCheck::new(Name::Network, outcome, detail);
    let via: String = facts.via.chars().take(MAX_SHOWN).collect();
    let via = visible(&via);
    let Some(listener) = facts.listener else {
        return check(Outcome::NoSuchGateway, format!("there is no gateway `{via}`")).mended_with(&[]);
    };
    if let Some((outcome, why)) = not_served(facts, listener) {
        let names = [("NAMESPACE", facts.namespace), ("NAME", facts.name)];
        return check(outcome, format!("{why}, and not at `{via}`")).mended_with(&names);
    }
    if matches!(facts.subject, Identity::User(_)) {
        let detail = "people come over the API server, which has answered";
        return check(Outcome::OverApiServer, detail.to_owned());
    }
    match facts.last_read {
        None => check(
            Outcome::NeverSeen,
            "it has not read the secret over the API within a day, as far as is known".to_owned(),
        ),
        Some(last) => {
            let seconds = facts.now.duration_since(last).as_secs().max(0);
            let detail = format!("it read the secret {seconds} s ago");
            if seconds <= RECENTLY_SECONDS {
                check(Outcome::Reachable, detail)
            } else {
                check(Outcome::NeverSeen, detail)
            }
        }
    }
}

/// Why a gateway does not serve the secret, whoever asks.
fn not_served(facts: &AccessFacts<'_>, listener: ListenerFacts<'_>) -> Option<(Outcome, &'static str)> {
    let ListenerFacts::Dedicated(products) = listener else {
        return None;
    };
    let Some((entry, _)) = facts.product else {
        let why = "a secret that no product owns is at the shared gateway alone";
        return Some((Outcome::OrdinarySecret, why));
    };
    let is_for = |product: &ProductCode| product.as_str() == entry.code;
    match entry.hosting {
        Hosting::Free => Some((
            Outcome::FreeOnDedicated,
            "a free secret is at the shared gateway alone",
        )),
        Hosting::Paid if products.iter().any(is_for) => None,
        Hosting::Paid => Some((
            Outcome::OtherGateway,
            "a paid secret is at the shared gateway and at those of its product",
        )),
    }
}

fn key(facts: &AccessFacts<'_>) -> AccessCheck {
    let check = |outcome, detail: String| AccessCheck::new(Name::Key, outcome, detail);
    let ungranted = missing(facts, true);
    // What the matrix refuses, no policy allows, and whoever is denied lacks more than the key.
    let lacks_it = !ungranted.is_empty() && facts.matrix.is_ok();
    let (name, state) = match facts.key {
        KeyUse::Default => {
            let detail = "it lies under the default key of its namespace";
            return check(Outcome::NoKey, detail.to_owned());
        }
        KeyUse::Unused => return check(Outcome::KeyUnused, "this does not use its key".to_owned()),
        KeyUse::Untold if !lacks_it => {
            let detail = "you may not use a key of this name, so nothing is told of it";
            return check(Outcome::KeyNotGranted, detail.to_owned());
        }
        KeyUse::Untold => ("", None),
        KeyUse::Missing(name) => (name, None),
        KeyUse::Customer(name, state) => (name, Some(state)),
    };
    if lacks_it {
        return check(Outcome::KeyNotGranted, ungranted).mended_by(policies(facts));
    }
    let Some(state) = state else {
        let detail = format!("there is no EncryptionKey `{}`", visible(name));
        return check(Outcome::KeyAbsent, detail).mended_with(&[("NAMESPACE", facts.namespace)]);
    };
    let names = [("NAMESPACE", facts.namespace), ("KEY", name)];
    match state {
        KeyState::Enabled => check(
            Outcome::KeyUsable,
            format!("EncryptionKey `{name}` is enabled, and it may use it"),
        ),
        KeyState::Disabled => check(
            Outcome::KeyDisabled,
            format!("EncryptionKey `{name}` is disabled"),
        )
        .mended_with(&names),
        KeyState::PendingDeletion { until } => check(
            Outcome::KeyPendingDeletion,
            format!("the key `{name}` will be destroyed at {}", time(until)),
        )
        .mended_with(&names),
        KeyState::Destroyed => check(Outcome::KeyDestroyed, format!("the key `{name}` was destroyed")),
    }
}

fn rate(facts: &AccessFacts<'_>) -> AccessCheck {
    let check = |outcome, detail: String| AccessCheck::new(Name::Rate, outcome, detail);
    let Some(levels) = facts.rates else {
        let why = if facts.listener.is_none() {
            "there is no such gateway"
        } else {
            "not visible to you: what a principal of another namespace has left is told to its own namespace"
        };
        return check(Outcome::NotVisible, why.to_owned());
    };
    if levels.is_empty() {
        return check(Outcome::Unlimited, "no rate is set".to_owned());
    }
    let (what, setting) = match cost(facts.action) {
        Cost::Read => ("reads", "readRate"),
        Cost::Write => ("writes", "writeRate"),
    };
    let mut detail = format!("{what} a second: ");
    for (number, RateLevel { scope, left, rate }) in levels.iter().enumerate() {
        let separator = if number == 0 { "" } else { ", " };
        let whose = match scope {
            LimitScope::Namespace => "left to its namespace",
            LimitScope::Everybody => "requests left to all callers of the gateway together",
            _ => "left to the caller",
        };
        let _ = write!(detail, "{separator}{left} of {rate} {whose}");
    }
    let Some(empty) = levels.iter().find(|level| level.left == 0) else {
        return check(Outcome::Left, detail);
    };
    let setting = if empty.scope == LimitScope::Everybody {
        "totalRate"
    } else {
        setting
    };
    let raised = empty.rate.saturating_mul(2);
    match facts.listener {
        // Its entry stands in a list, of which helm sets no part alone.
        Some(ListenerFacts::Dedicated(_)) => {
            let how = format!(
                "{detail}; set `{setting}: {raised}` of `{}` in `gateways`",
                facts.via
            );
            check(Outcome::Throttled, how).mended_by(RAISE_BY_VALUES.to_owned())
        }
        Some(ListenerFacts::Shared) | None => {
            let setting = format!("gateway.{setting}={raised}");
            check(Outcome::Throttled, detail).mended_with(&[("SETTING", setting.as_str())])
        }
    }
}

fn product(facts: &AccessFacts<'_>) -> AccessCheck {
    let check = |outcome, detail: String| AccessCheck::new(Name::Product, outcome, detail);
    let Some((entry, words)) = facts.product else {
        return check(Outcome::NoProduct, "no product owns it".to_owned());
    };
    let Err(problem) = facts.matrix else {
        let outcome = match entry.role {
            ProductRole::Manager => Outcome::Manager,
            ProductRole::User => Outcome::User,
        };
        return check(outcome, format!("{words}; the matrix says `{}`", entry.cell));
    };
    let outcome = match problem.code() {
        Code::HostingRefused => Outcome::HostingRefused,
        Code::KeyRequired => Outcome::KeyRequired,
        Code::PolicyNotFound => Outcome::NoSecretPolicies,
        Code::ProductUnknown => Outcome::ProductUnknown,
        Code::ProductAbsent => Outcome::ProductAbsent,
        Code::ProductChanged => Outcome::ProductChanged,
        Code::ProductSuspended => Outcome::ProductSuspended,
        Code::NamespaceNotSelected => Outcome::NamespaceNotSelected,
        // The only other one that the matrix has.
        _ => Outcome::ManagedBy,
    };
    check(outcome, format!("{}; {words}", problem.detail())).mended_with(&[
        ("NAMESPACE", facts.namespace),
        ("CODE", entry.code.as_str()),
        ("PATCH", r#"{"spec":{"suspend":false}}"#),
    ])
}

fn quota(facts: &AccessFacts<'_>) -> AccessCheck {
    let check = |outcome, detail: String| AccessCheck::new(Name::Quota, outcome, detail);
    let (Some(counts), Some((entry, _))) = (facts.quota, facts.product) else {
        let detail = "it makes nothing that counts on a product's quota";
        return check(Outcome::NoQuota, detail.to_owned());
    };
    let QuotaFacts {
        hosting,
        in_namespace,
        total,
    } = counts;
    let hosting = hosting.as_str().to_lowercase();
    let used = |quota: QuotaUsage| format!("{} of {}", quota.used, quota.limit);
    let in_all = total.map_or_else(
        || "what it has in all is told to its managers".to_owned(),
        |total| format!("and {} in all", used(total)),
    );
    let detail = format!(
        "product `{}` has {} {hosting} secrets in the namespace, {in_all}",
        entry.code,
        used(in_namespace),
    );
    let is_full = |quota: QuotaUsage| quota.used >= quota.limit;
    if !is_full(in_namespace) && !total.is_some_and(is_full) {
        return check(Outcome::Within, detail);
    }
    let raised = |quota: QuotaUsage| {
        if is_full(quota) {
            quota.used.saturating_add(quota.limit.max(1))
        } else {
            quota.limit
        }
    };
    let per_namespace = raised(in_namespace);
    let limits = match total {
        Some(total) => json!({"perNamespace": per_namespace, "total": raised(total).max(per_namespace)}),
        None => json!({"perNamespace": per_namespace}),
    };
    let patch = json!({"spec": {"quota": {hosting: limits}}}).to_string();
    check(Outcome::QuotaExceeded, detail)
        .mended_with(&[("CODE", entry.code.as_str()), ("PATCH", patch.as_str())])
}

fn credentials(facts: &AccessFacts<'_>) -> AccessCheck {
    let (outcome, detail) = match facts.proof {
        CallerProof::Token => (Outcome::Accepted, "the API server has accepted the token"),
        CallerProof::EarlierToken => (
            Outcome::Accepted,
            "the token was accepted earlier; the API server cannot be asked at the moment",
        ),
        CallerProof::ExtensionApi => (Outcome::Accepted, "the API server says who it is"),
        CallerProof::NotShown => (
            Outcome::NotShown,
            "it did not ask itself, so no token of it was seen",
        ),
    };
    AccessCheck::new(Name::Credentials, outcome, detail)
}
