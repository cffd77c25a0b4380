//! The third station: what a request is about. Names are parsed once, here; a secret is looked up once.

use std::sync::Arc;

use strongroom_model::DefaultSecretName;
use strongroom_model::id::NamespaceId;
use strongroom_model::name::{NamespaceName, SecretName};
use strongroom_rules::policy::Action;
use strongroom_store::audit::{AuditOutcome, Durability};
use strongroom_store::vault::{AuditNote, SecretView};

use super::limit::Limited;
use super::record::{self, audit_action};
use crate::gateway::problem::Problem;
use crate::gateway::state::Gateway;

/// A namespace that a request is about: the one of this name that the store knows.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct NamespaceRef {
    name: String,
    /// The name; none where it can be no namespace's.
    parsed: Option<NamespaceName>,
    /// Its id in the store, where it has one.
    id: Option<NamespaceId>,
}

impl NamespaceRef {
    /// Makes sure that the namespace is the one that the store knows.
    ///
    /// # Errors
    /// [`crate::gateway::problem::Code::NamespaceRecreated`] where it is another one; the store's and the API
    /// server's.
    pub(in crate::gateway) async fn resolve(gateway: &Gateway, name: String) -> Result<Self, Problem> {
        let id = gateway.namespaces.resolve(&name).await?;
        Ok(Self {
            parsed: name.parse().ok(),
            name,
            id,
        })
    }

    pub(in crate::gateway) fn name(&self) -> &str {
        &self.name
    }

    /// The name; none where it can be no namespace's.
    pub(in crate::gateway) const fn parsed(&self) -> Option<&NamespaceName> {
        self.parsed.as_ref()
    }

    /// Its id in the store, where it has one.
    pub(in crate::gateway) const fn id(&self) -> Option<NamespaceId> {
        self.id
    }
}

/// The namespace of a request that is paid for. One that is not what the store knows is recorded.
pub(in crate::gateway) async fn namespace(
    gateway: &Gateway,
    limited: Limited<'_>,
    action: Action,
    name: String,
) -> Result<NamespaceRef, Problem> {
    let parsed = name.parse().ok();
    match gateway.namespaces.resolve(&name).await {
        Ok(id) => Ok(NamespaceRef { name, parsed, id }),
        Err(problem) => {
            let note = AuditNote {
                outcome: AuditOutcome::Refused(problem.code().as_str().to_owned()),
                namespace: parsed,
                ..AuditNote::new(audit_action(action))
            };
            Box::pin(record::later(gateway, note, limited.context().meta(&[]))).await?;
            Err(problem)
        }
    }
}

/// A secret's name as a request has it.
#[derive(Clone, Debug)]
enum RequestedName {
    Legal(SecretName),
    /// A text that can be no secret's name.
    Impossible(String),
}

/// Where a secret is that a request is about, whether it is there or not.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct SecretPath {
    namespace: NamespaceRef,
    name: RequestedName,
}

impl SecretPath {
    pub(in crate::gateway) fn new(namespace: NamespaceRef, name: String) -> Self {
        let name = match name.parse() {
            Ok(legal) => RequestedName::Legal(legal),
            Err(_) => RequestedName::Impossible(name),
        };
        Self { namespace, name }
    }

    /// Of a secret that is there.
    pub(in crate::gateway) fn of_stored(namespace: NamespaceRef, secret: &SecretView) -> Self {
        let name = RequestedName::Legal(secret.name.clone());
        Self { namespace, name }
    }

    pub(in crate::gateway) const fn namespace(&self) -> &NamespaceRef {
        &self.namespace
    }

    /// The name as the request has it.
    pub(in crate::gateway) fn name(&self) -> &str {
        match &self.name {
            RequestedName::Legal(name) => name.as_str(),
            RequestedName::Impossible(text) => text,
        }
    }

    /// The name; none where it can be no secret's.
    pub(in crate::gateway) const fn parsed(&self) -> Option<&SecretName> {
        match &self.name {
            RequestedName::Legal(name) => Some(name),
            RequestedName::Impossible(_) => None,
        }
    }

    /// Whether a secret of these names can be that anybody is shown: one whose code no product can have is
    /// ours, what the gateway itself stands on.
    pub(in crate::gateway) fn is_possible(&self) -> bool {
        let has_owner = |name: &SecretName| DefaultSecretName::split(name).is_ok();
        self.namespace.parsed.is_some() && self.parsed().is_some_and(has_owner)
    }

    /// The name in its two parts, where it is that of a default secret.
    pub(in crate::gateway) fn default_secret(&self) -> Option<DefaultSecretName<'_>> {
        DefaultSecretName::split(self.parsed()?).ok().flatten()
    }
}

/// A secret that was looked for. Only [`secret`] makes one.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct FoundSecret<'a> {
    path: &'a SecretPath,
    secret: Option<Arc<SecretView>>,
}

impl<'a> FoundSecret<'a> {
    pub(in crate::gateway) const fn path(&self) -> &'a SecretPath {
        self.path
    }

    /// The secret, where there is one.
    pub(in crate::gateway) fn view(&self) -> Option<&SecretView> {
        self.secret.as_deref()
    }

    /// The same, for whoever keeps it.
    pub(in crate::gateway) fn into_view(self) -> Option<Arc<SecretView>> {
        self.secret
    }
}

/// Looks for the secret, if there is one that is shown.
pub(in crate::gateway) fn secret<'a>(
    gateway: &Gateway,
    path: &'a SecretPath,
) -> Result<FoundSecret<'a>, Problem> {
    let secret = match (path.namespace.id, path.parsed()) {
        _ if !path.is_possible() => None,
        (Some(namespace), Some(name)) => gateway.store.find_cached(namespace, name)?,
        _ => None,
    };
    Ok(FoundSecret { path, secret })
}

/// Whether reading a value of this secret most likely waits for no medium: then it is quicker done than
/// handed to a thread that may wait.
pub(in crate::gateway) fn is_value_cached(gateway: &Gateway, path: &SecretPath) -> bool {
    let known = || Some(gateway.store.has_cached_value(path.namespace.id?, path.parsed()?));
    gateway.durability == Durability::Batched && known().unwrap_or(false)
}
