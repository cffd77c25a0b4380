//! ExplainAccess: `GET /v1/namespaces/{namespace}/secrets/{name}/access`: why a principal gets what it gets,
//! and what is missing: the decision, and the checks of the troubleshooting list that the process can make.
//!
//! Without `principal` it is about the caller. Whoever may not see the secret may not explain it. Labels of
//! pods and the address of another principal are not known here, and count so. Nothing is taken from the
//! rates of whoever is asked about.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use strongroom_api::v1::{ExplainAccessAnswer, ExplainAccessQuery};
use strongroom_model::Hosting;
use strongroom_model::name::Stage;
use strongroom_rules::policy::{Action, Decision, Identity, PolicySource, Principal, RequestFacts};
use strongroom_rules::product::ProductRole;
use strongroom_store::audit;
use strongroom_store::vault::{AuditNote, KeyState, KeyView, SecretState, SecretView};

use super::access_checks::{AccessFacts, CallerProof, ExplainedSecret, KeyUse, QuotaFacts, checks, cost};
use super::change::NewSecretKey;
use super::shape::time;
use crate::gateway::authenticate::Caller;
use crate::gateway::listener_scope::ListenerScope;
use crate::gateway::operation::Input;
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::authorise::{UsedKey, decide, explain_decision, permit, used_key};
use crate::gateway::request::{
    AccessRequest, OperationContext, RequestContext, SecretPath, find, product, record,
};
use crate::gateway::{Gateway, blocking};

/// What is asked about.
struct AccessQuestion {
    action: Action,
    /// The key under which a secret would come.
    key: NewSecretKey,
    query: ExplainAccessQuery,
}

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, ExplainAccessQuery>,
) -> Result<ExplainAccessAnswer, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let Input { path, query, .. } = input;
    let action = match &query.action {
        None => Action::GetSecretValue,
        Some(text) => Action::named(text)
            .or_else(|| Action::named(&format!("secrets:{text}")))
            .filter(|action| !action.uses_key())
            .ok_or_else(|| invalid("`action` is like `GetSecretValue`"))?,
    };
    let question = AccessQuestion {
        action,
        key: NewSecretKey::find(&gateway, path.namespace(), query.encryption_key.clone()).await?,
        query,
    };
    blocking(move || answer(&gateway, &request, &path, &question)).await
}

fn answer(
    gateway: &Gateway,
    request: &RequestContext,
    path: &SecretPath,
    question: &AccessQuestion,
) -> Result<ExplainAccessAnswer, Problem> {
    let AccessQuestion { action, key, query } = question;
    let action = *action;
    let namespace = path.namespace().name();
    let found = find::secret(gateway, path)?;
    let facts = request.facts();
    let sees = AccessRequest::of_found(Action::DescribeSecret, &found, &facts);
    // Whoever may describe a secret knows when there is none, and may ask whether one can be made.
    let can_be = found.view().is_some() || action == Action::CreateSecret;
    let knows = permit(gateway, request, &sees, can_be)?;
    let view = found.view();
    let caller: &Caller = request.caller();
    let subject = match &query.principal {
        None => Arc::clone(request.caller()),
        Some(text) => Arc::new(named(text)),
    };
    if knows.rbac && !asks_by_rbac(caller, &subject, namespace) {
        let why = format!(
            "RBAC lets you ask about yourself and about ServiceAccounts of namespace `{namespace}`; to ask about others, a SecretPolicy has to \
             allow you secrets:DescribeSecret on secret `{}`",
            path.name()
        );
        return Err(record::refuse(
            gateway,
            request,
            &sees,
            &[],
            Problem::new(Code::PolicyDenied, why),
        )?);
    }
    if key.name.is_some() && !may_ask_about_keys(gateway, request, &sees)? {
        let why = format!(
            "ServiceAccounts of other namespaces are told nothing of the keys of namespace `{namespace}`: leave `encryptionKey` out"
        );
        let problem = Problem::new(Code::PolicyDenied, why);
        return Err(record::refuse(gateway, request, &sees, &[], problem)?);
    }
    let stage = query.stage.as_deref().unwrap_or("Current");
    let version = version_with(view, stage);
    let known = request.facts();
    let known = match query.principal {
        None => known,
        Some(_) => RequestFacts {
            pod_labels: None,
            node_labels: None,
            source: None,
            ..known
        },
    };
    let facts = RequestFacts {
        stages: [stage.to_owned()].into(),
        version: version.map(str::to_owned),
        ..known
    };
    let access = AccessRequest {
        action,
        facts: &facts,
        new_key: key.target(),
        ..sees
    };
    let via = query
        .via
        .as_deref()
        .unwrap_or_else(|| gateway.shared().name().as_str());
    let listener = listener(gateway, via);
    let by = listener.map_or_else(|| request.listener().facts(), ListenerScope::facts);
    let decision = decide(gateway, &subject, action, &access)?;
    let explanation = explain_decision(gateway, (caller, &*subject), &access, (&decision, &knows))?;
    let matrix = product::check_for(gateway, &subject, by, &access)?;
    let owner = product::describe(gateway, &subject, &access)?;
    let entry = product::entry(gateway, &subject, by.kind(), &access)?;
    let own_key = view.map(|view| gateway.key(view)).transpose()?.flatten();
    let used = used_key(gateway, action, &access)?;
    let hears = key.name.is_none() || hears_of_key(gateway, caller, &access)?;
    let identity = &subject.principal.identity;
    let is_own = is_own(caller, identity, namespace);
    let rates = listener.filter(|_| is_own);
    let rates = rates.map(|listener| listener.limits.levels(&subject, cost(action)));
    let (_, reasons) = explanation.text.split_once('\n').unwrap_or_default();
    let reasons = reasons.trim_end().replace('\n', "; ");
    let missing_policies = if matrix.is_ok() {
        explanation.yaml
    } else {
        Vec::new()
    };
    let checks = checks(&AccessFacts {
        namespace,
        name: path.name(),
        subject: identity,
        proof: proof(caller, query.principal.is_none()),
        action,
        stage,
        via,
        listener: listener.map(ListenerScope::facts),
        now: request.now(),
        decision: &decision,
        reasons: &reasons,
        policies: &missing_policies,
        denied_by: denied_by(&decision, &explanation.statements),
        secret: view.map(|view| ExplainedSecret {
            until: match view.state {
                SecretState::Live => None,
                SecretState::PendingDeletion { until, .. } => Some(time(until).to_string()),
            },
            version,
            object: view.object.as_ref().map(|object| object.name.as_str()),
        }),
        key: key_use(used.as_ref(), own_key.is_some(), hears),
        rates: rates.as_deref(),
        last_read: view
            .filter(|_| is_own)
            .and_then(|view| last_read(gateway, view, identity)),
        product: entry.as_ref().zip(owner.as_deref()),
        matrix: matrix.as_ref().map(|&()| ()),
        quota: quota(gateway, request, &access)?,
    });
    let note = AuditNote {
        detail: format!("{action} for {identity}"),
        ..record::note_about(audit::Action::ExplainAccess, path, view.map(|view| view.id))
    };
    record::now(gateway, note, &request.meta(&[]))?;
    Ok(ExplainAccessAnswer {
        allowed: decision.allowed && matrix.is_ok(),
        principal: identity.to_string(),
        action: Cow::Borrowed(action.as_str()),
        explanation: match &matrix {
            Ok(()) => explanation.text,
            // The matrix comes first: what policies say changes nothing of it.
            Err(refusal) => format!(
                "denied: {} (before any policy)\nof policies alone it would be {}",
                refusal.detail(),
                explanation.text
            ),
        },
        statements: explanation.statements,
        by_rbac: decision.rbac,
        missing_policies,
        product: owner,
        key: own_key.as_ref().map(about_key),
        secret: about_secret(view),
        checks,
    })
}

/// Whether the caller may learn about a key that does not encrypt the secret, which no right on the secret
/// shows: the caller is no ServiceAccount of another namespace, or manages the product that owns the secret.
fn may_ask_about_keys(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'_>,
) -> Result<bool, Problem> {
    let home = request.caller().principal.identity.namespace();
    if home.is_none_or(|home| home == access.path.namespace().name()) {
        return Ok(true);
    }
    is_manager(gateway, request, access)
}

/// Whether the caller manages the product that owns the secret.
fn is_manager(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'_>,
) -> Result<bool, Problem> {
    let kind = request.listener().facts().kind();
    let entry = product::entry(gateway, request.caller(), kind, access)?;
    Ok(entry.is_some_and(|entry| entry.role == ProductRole::Manager))
}

/// The listener of the gateway of this name.
fn listener<'a>(gateway: &'a Gateway, name: &str) -> Option<&'a ListenerScope> {
    let mut listeners = gateway.listeners.iter().map(|listener| &**listener);
    listeners.find(|listener| listener.name().as_str() == name)
}

/// The version that carries a stage.
fn version_with<'a>(view: Option<&'a SecretView>, stage: &str) -> Option<&'a str> {
    let stage: Stage = stage.parse().ok()?;
    view?.stages.get(&stage).map(|version| version.as_str())
}

/// The policy that denies it, where its statement is among those that are shown.
fn denied_by<'a>(decision: &'a Decision, shown: &[String]) -> Option<(&'a str, &'a str)> {
    let mut statements = decision.statements.iter();
    statements.find_map(|statement| match &statement.source {
        PolicySource::Policy(policy) if shown.iter().any(|text| text == statement.text()) => {
            Some((statement.namespace.as_str(), policy.as_str()))
        }
        _ => None,
    })
}

/// How the subject of the question has proven who it is.
const fn proof(caller: &Caller, asks_itself: bool) -> CallerProof {
    match (asks_itself, caller.via_extension_api, caller.offline) {
        (false, ..) => CallerProof::NotShown,
        (true, true, _) => CallerProof::ExtensionApi,
        (true, false, true) => CallerProof::EarlierToken,
        (true, false, false) => CallerProof::Token,
    }
}

/// Whether the caller is told the state of a key that they name: the caller is no ServiceAccount of another
/// namespace, or may do with the key what they ask about.
fn hears_of_key(gateway: &Gateway, caller: &Caller, access: &AccessRequest<'_>) -> Result<bool, Problem> {
    let home = caller.principal.identity.namespace();
    if home.is_none_or(|home| home == access.path.namespace().name()) {
        return Ok(true);
    }
    Ok(decide(gateway, caller, access.action, access)?.allowed)
}

/// What the action has to do with a customer's key: the one that it uses, or that the secret lies under.
fn key_use(used: Option<&UsedKey>, lies_under_one: bool, hears: bool) -> KeyUse<'_> {
    match used {
        Some(_) if !hears => KeyUse::Untold,
        Some(key) => match &key.found {
            Some(found) => KeyUse::Customer(key.name(), found.state),
            None => KeyUse::Missing(key.name()),
        },
        None if lies_under_one => KeyUse::Unused,
        None => KeyUse::Default,
    }
}

/// Whether the caller may know what this subject does at the gateway: callers know of themselves, of their
/// namespace and of the secret's.
fn is_own(caller: &Caller, subject: &Identity, namespace: &str) -> bool {
    let home = subject.namespace();
    let of_caller = caller.principal.identity.namespace();
    *subject == caller.principal.identity
        || home.is_some_and(|home| home == namespace || of_caller == Some(home))
}

/// When somebody read the secret over the API last, within a day.
fn last_read(gateway: &Gateway, view: &SecretView, identity: &Identity) -> Option<Timestamp> {
    let principal = identity.to_string();
    let readers = gateway.consumers.readers().for_secret(view.id).into_iter();
    let own = readers.filter(|reader| reader.principal == principal);
    own.map(|reader| reader.last).max()
}

/// The quotas that a secret counts on which is made, or which moves to another hosting.
fn quota(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'_>,
) -> Result<Option<QuotaFacts>, Problem> {
    let path = access.path;
    let (Some(id), Some(name)) = (path.namespace().id(), path.default_secret()) else {
        return Ok(None);
    };
    let hosting = access.new_key.hosting();
    let counts = match (access.action, access.secret) {
        (Action::CreateSecret, secret) => secret.is_none(),
        // Nobody but the tenant moves it back.
        (Action::UpdateSecret, Some(secret)) => {
            hosting == Hosting::Paid && Hosting::under(secret.key.customer().as_ref()) == Hosting::Free
        }
        _ => false,
    };
    let Ok(code) = name.product_code() else {
        return Ok(None);
    };
    if !counts {
        return Ok(None);
    }
    let quota = gateway.store.product_quota(&code, hosting, id)?;
    let manages = is_manager(gateway, request, access)?;
    Ok(Some(QuotaFacts {
        hosting,
        in_namespace: quota.in_namespace,
        total: Some(quota.total).filter(|_| manages),
    }))
}

/// What the key that a secret lies under says to every request, in words.
fn about_key(key: &KeyView) -> String {
    let name = &key.name;
    match key.state {
        KeyState::Enabled => format!("EncryptionKey `{name}` is enabled"),
        KeyState::Disabled => format!(
            "EncryptionKey `{name}` is disabled, so no value under it can be read or written; set `spec.enabled: true`"
        ),
        KeyState::PendingDeletion { until } => format!(
            "the key `{name}` will be destroyed at {}, and no value under it can be read or written; apply the EncryptionKey again",
            time(until)
        ),
        KeyState::Destroyed => {
            format!("the key `{name}` was destroyed, and with it everything encrypted under it")
        }
    }
}

/// What the secret says to every request, in words.
fn about_secret(view: Option<&SecretView>) -> String {
    match view.map(|view| view.state) {
        None => "it does not exist yet".to_owned(),
        Some(SecretState::Live) => "it is live".to_owned(),
        Some(SecretState::PendingDeletion { until, .. }) => format!(
            "it is in its recovery window until {} and its value cannot be read; restore it",
            time(until)
        ),
    }
}

/// Whether somebody who knows of the secret by RBAC alone may ask about this one: about oneself, and about
/// ServiceAccounts of the namespace.
fn asks_by_rbac(caller: &Caller, subject: &Caller, namespace: &str) -> bool {
    let identity = &subject.principal.identity;
    *identity == caller.principal.identity || identity.namespace() == Some(namespace)
}

/// Somebody else, of whom only the name is known.
fn named(principal: &str) -> Caller {
    let identity = match principal.split_once('/') {
        Some((namespace, name)) if !principal.contains(':') => Identity::ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        _ => Identity::from_username(principal),
    };
    let groups = match &identity {
        Identity::ServiceAccount { namespace, .. } => vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ],
        Identity::User(_) => vec!["system:authenticated".to_owned()],
    };
    Caller {
        principal: Principal { identity, groups },
        account_uid: None,
        pod: None,
        node: None,
        offline: false,
        via_extension_api: false,
        may_get: None,
    }
}
