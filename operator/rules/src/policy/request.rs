//! Who asks for what, and what is known about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use strongroom_model::ProductCode;

use super::Action;

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who it is.
    pub identity: Identity,
    /// The groups that the API server counts the caller among.
    pub groups: Vec<String>,
}

/// Who a caller is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// A ServiceAccount.
    ServiceAccount {
        /// Where the ServiceAccount is.
        namespace: String,
        /// Its `metadata.name`.
        name: String,
    },
    /// A user, who has no namespace.
    User(String),
}

impl Identity {
    /// The identity behind a user name of the API server
    /// (<https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>).
    #[must_use]
    pub fn from_username(username: &str) -> Self {
        username
            .strip_prefix("system:serviceaccount:")
            .and_then(|account| account.split_once(':'))
            .map_or_else(
                || Self::User(username.to_owned()),
                |(namespace, name)| Self::ServiceAccount {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                },
            )
    }

    /// The identity in words, as records have it. Every request makes one, without growing it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::ServiceAccount { namespace, name } => ["serviceaccount ", namespace, "/", name].concat(),
            Self::User(name) => ["user ", name].concat(),
        }
    }

    /// The namespace of a ServiceAccount.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::ServiceAccount { namespace, .. } => Some(namespace),
            Self::User(_) => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A secret by the names that people use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretRef<'a> {
    /// Name of the namespace that it is in.
    pub namespace: &'a str,
    /// Its name in the store.
    pub name: &'a str,
}

/// What somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// What is to be done.
    pub action: Action,
    /// Of which secret.
    pub secret: SecretRef<'a>,
    /// The customer's key that the secret lies under and that the action uses, with the use; always of the
    /// secret's namespace.
    pub key: Option<(Action, &'a str)>,
    /// UID of the object that the store has as the secret's: what another one says about the secret counts
    /// for nothing.
    pub owner: Option<&'a str>,
    /// What is known about the request.
    pub facts: &'a RequestFacts,
    /// What products have to do with it.
    pub products: ProductContext<'a>,
}

/// What products have to do with a request. The default: its caller manages none, and its secret is an
/// ordinary one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProductContext<'a> {
    /// The products that the caller manages and that may act. It is a fact about the caller: no token and no
    /// group brings it. What allows something to a product counts for these.
    pub managed: &'a [ProductCode],
    /// These, and those that may not act and whose manager the caller was when they were last seen. What
    /// denies something to a product counts for all of them.
    pub named_by: &'a [ProductCode],
    /// The product whose rights over its own secret the caller has.
    pub acts_for: Option<&'a ProductCode>,
    /// Which policies may allow.
    pub scope: PolicyScope,
}

/// Which policies may allow something on a secret. Those that deny always count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyScope {
    /// Those attached to ServiceAccounts and those attached to the secret.
    #[default]
    Both,
    /// For ServiceAccounts those attached to them alone, and only in the secret's own namespace. Users have
    /// no identity policies: for them it is the secret's.
    IdentityOnly,
}

/// What is known about a request. `None` means unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// When it is made.
    pub now: Timestamp,
    /// Stages of the version that is asked for; empty where none is.
    pub stages: BTreeSet<String>,
    /// Id of the version that is asked for.
    pub version: Option<String>,
    /// Labels of the pod that the token is bound to.
    pub pod_labels: Option<BTreeMap<String, String>>,
    /// Labels of the node that the pod runs on.
    pub node_labels: Option<BTreeMap<String, String>>,
    /// Where it comes from.
    pub source: Option<IpAddr>,
}
