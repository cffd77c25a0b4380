//! Whom the principals of RAM stand for in this cluster: an account is a namespace, a user or a role of it is
//! a ServiceAccount there.
//!
//! A Namespace has the account of its annotation, or else the one that is called as it is. In it a
//! ServiceAccount is the user and the role of its annotations; a user or role that none is annotated with is
//! the ServiceAccount of its name. A number is the account of somebody elsewhere, until an annotation says
//! whose: a namespace is soon called by it, and its annotation takes a right of its own.
//!
//! INVARIANT: an Allow is for somebody only where there is one whom it can mean. A Deny is for all whom it
//! can mean, so that nobody gets away from one by an annotation. Ids and names are compared as text.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use strongroom_crds::annotation::{ALIBABA_ACCOUNT, POD_IDENTITY_ROLE, RAM_ROLE, RAM_USER};
use strongroom_crds::v1alpha1::{PolicyEffect, PolicyPrincipal, PolicyStatement, SecretPolicySpec};
use strongroom_model::{RamPrincipal, RamSubject, is_ram_account};

#[cfg(test)]
mod tests;

/// Namespaces that a Deny is for one by one; where more can be meant, it is for all there are.
const MAX_DENIED_NAMESPACES: usize = 4;
/// Longest text of an annotation that counts, in bytes: no principal names a longer one.
const ALIAS_BYTES: usize = 128;
/// The ServiceAccount pattern that every ServiceAccount of every namespace matches.
const EVERYBODY: &str = "*/*";

/// The account of a Namespace by its annotations. What can be no account's id counts for none.
#[must_use]
pub fn account_annotation(annotations: &BTreeMap<String, String>) -> Option<&str> {
    let account = annotations.get(ALIBABA_ACCOUNT).map(String::as_str);
    account.filter(|account| is_ram_account(account))
}

/// The users and roles of RAM that a ServiceAccount is by its annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RamAliases(BTreeSet<RamSubject>);

impl RamAliases {
    /// As the annotations say.
    #[must_use]
    pub fn from_annotations(annotations: &BTreeMap<String, String>) -> Self {
        let said = |key: &str| {
            let text = annotations.get(key).filter(|text| text.len() <= ALIAS_BYTES)?;
            Some(Box::<str>::from(text.as_str()))
        };
        let user = said(RAM_USER).map(RamSubject::User);
        let roles = [RAM_ROLE, POD_IDENTITY_ROLE].into_iter().filter_map(said);
        Self(user.into_iter().chain(roles.map(RamSubject::Role)).collect())
    }
}

/// Why it is not certain whom a principal means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnresolvedReason {
    /// No Namespace has the account.
    NoNamespace,
    /// Several Namespaces are annotated with the account.
    SeveralNamespaces,
    /// No ServiceAccount of this namespace is the user or role.
    NoServiceAccount(String),
    /// Several ServiceAccounts of this namespace are annotated with the user or role.
    SeveralServiceAccounts(String),
}

impl UnresolvedReason {
    /// Whether too many can be meant, rather than nobody.
    #[must_use]
    pub const fn is_ambiguous(&self) -> bool {
        matches!(self, Self::SeveralNamespaces | Self::SeveralServiceAccounts(_))
    }
}

/// A principal of a policy that may stand for more than one account, or for none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnresolvedPrincipal {
    /// The principal, as the policy has it.
    pub principal: RamPrincipal,
    /// What is missing, or there several times.
    pub reason: UnresolvedReason,
}

impl fmt::Display for UnresolvedPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal, reason } = self;
        let account = principal.account();
        let subject = match principal.subject() {
            RamSubject::User(name) => format!("{RAM_USER}={name}"),
            RamSubject::Role(name) => format!("{RAM_ROLE}={name}"),
            RamSubject::Root | RamSubject::Everybody => String::new(),
        };
        match reason {
            UnresolvedReason::NoNamespace => write!(
                f,
                "`{principal}`: no Namespace has the account; annotate one with `{ALIBABA_ACCOUNT}={account}`"
            ),
            UnresolvedReason::SeveralNamespaces => write!(
                f,
                "`{principal}`: several Namespaces have the account; leave `{ALIBABA_ACCOUNT}={account}` on one of them"
            ),
            UnresolvedReason::NoServiceAccount(namespace) => write!(
                f,
                "`{principal}`: no ServiceAccount of namespace `{namespace}` stands for it; annotate one with `{subject}`"
            ),
            UnresolvedReason::SeveralServiceAccounts(namespace) => write!(
                f,
                "`{principal}`: several ServiceAccounts of namespace `{namespace}` stand for it; leave `{subject}` on one of them"
            ),
        }
    }
}

/// Whom a principal stands for, each as `serviceAccount` of a principal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Who is meant in an Allow; none where that is not certain.
    pub allowed: Option<String>,
    /// Who can be meant, which a Deny is for.
    pub denied: Vec<String>,
    /// Why it is not certain.
    pub unresolved: Option<UnresolvedReason>,
}

/// A policy in which principals of RAM have given way to the ServiceAccounts that they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedPolicy {
    /// The policy. Who stands for nobody is in it as before, and matches nobody.
    pub spec: SecretPolicySpec,
    /// Those of whom it is not certain whom they mean, each once, in order.
    pub unresolved: Vec<UnresolvedPrincipal>,
}

/// What is known of one namespace.
#[derive(Debug, Default)]
struct DirectoryNamespace {
    /// The Namespace was seen, and not only something in it.
    is_there: bool,
    account: Option<Box<str>>,
    service_accounts: BTreeMap<String, RamAliases>,
    /// The ServiceAccounts that are annotated with a user or role.
    annotated: BTreeMap<RamSubject, BTreeSet<String>>,
}

impl DirectoryNamespace {
    fn put(&mut self, name: &str, aliases: RamAliases) {
        self.remove(name);
        for subject in &aliases.0 {
            let names = self.annotated.entry(subject.clone()).or_default();
            names.insert(name.to_owned());
        }
        self.service_accounts.insert(name.to_owned(), aliases);
    }

    /// Answers whether it was there.
    fn remove(&mut self, name: &str) -> bool {
        let Some(aliases) = self.service_accounts.remove(name) else {
            return false;
        };
        for subject in &aliases.0 {
            if let Some(names) = self.annotated.get_mut(subject) {
                names.remove(name);
                if names.is_empty() {
                    self.annotated.remove(subject);
                }
            }
        }
        true
    }
}

/// The ServiceAccounts of a namespace that a subject can mean.
#[derive(Clone, Copy, Debug, Default)]
struct SubjectMembers<'a> {
    /// Those that are annotated with it.
    annotated: Option<&'a BTreeSet<String>>,
    /// The one that is called so.
    named: Option<&'a String>,
}

/// The namespaces with their accounts, and the ServiceAccounts with the names that they have in RAM.
#[derive(Debug, Default)]
pub struct RamDirectory {
    namespaces: BTreeMap<String, DirectoryNamespace>,
    /// The namespaces that are annotated with an account.
    annotated: HashMap<Box<str>, BTreeSet<String>>,
}

impl RamDirectory {
    /// A Namespace is there, with this account by its annotation. Answers with the accounts that may stand
    /// for others than before.
    pub fn put_namespace(&mut self, name: &str, account: Option<&str>) -> BTreeSet<String> {
        let known = self.namespaces.entry(name.to_owned()).or_default();
        if known.is_there && known.account.as_deref() == account {
            return BTreeSet::new();
        }
        known.is_there = true;
        let before = std::mem::replace(&mut known.account, account.map(Box::from));
        self.account_changed(name, before.as_deref(), account)
    }

    /// A Namespace is gone. Answers as [`RamDirectory::put_namespace`].
    pub fn remove_namespace(&mut self, name: &str) -> BTreeSet<String> {
        let Some(known) = self.namespaces.get_mut(name).filter(|known| known.is_there) else {
            return BTreeSet::new();
        };
        known.is_there = false;
        let before = known.account.take();
        if known.service_accounts.is_empty() {
            self.namespaces.remove(name);
        }
        self.account_changed(name, before.as_deref(), None)
    }

    /// Only these Namespaces are there. Answers as [`RamDirectory::put_namespace`].
    pub fn retain_namespaces(&mut self, is_listed: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let gone: Vec<String> = self
            .namespaces
            .keys()
            .filter(|name| !is_listed(name))
            .cloned()
            .collect();
        gone.iter().flat_map(|name| self.remove_namespace(name)).collect()
    }

    /// A ServiceAccount is there, with these names in RAM. Answers as [`RamDirectory::put_namespace`].
    pub fn put_service_account(
        &mut self,
        namespace: &str,
        name: &str,
        aliases: RamAliases,
    ) -> BTreeSet<String> {
        let known = self.namespaces.entry(namespace.to_owned()).or_default();
        if known.service_accounts.get(name) == Some(&aliases) {
            return BTreeSet::new();
        }
        known.put(name, aliases);
        self.accounts(namespace)
    }

    /// A ServiceAccount is gone. Answers as [`RamDirectory::put_namespace`].
    pub fn remove_service_account(&mut self, namespace: &str, name: &str) -> BTreeSet<String> {
        let Some(known) = self.namespaces.get_mut(namespace) else {
            return BTreeSet::new();
        };
        if !known.remove(name) {
            return BTreeSet::new();
        }
        let is_empty = known.service_accounts.is_empty() && !known.is_there;
        let accounts = self.accounts(namespace);
        if is_empty {
            self.namespaces.remove(namespace);
        }
        accounts
    }

    /// Only these ServiceAccounts, by namespace and name, are there. Answers as
    /// [`RamDirectory::put_namespace`].
    pub fn retain_service_accounts(&mut self, is_listed: impl Fn(&str, &str) -> bool) -> BTreeSet<String> {
        let all = self.namespaces.iter().flat_map(|(namespace, known)| {
            let names = known.service_accounts.keys();
            names.map(move |name| (namespace.clone(), name.clone()))
        });
        let gone: Vec<(String, String)> = all
            .filter(|(namespace, name)| !is_listed(namespace, name))
            .collect();
        gone.iter()
            .flat_map(|(namespace, name)| self.remove_service_account(namespace, name))
            .collect()
    }

    /// The accounts that a namespace has or may have.
    fn accounts(&self, namespace: &str) -> BTreeSet<String> {
        let known = self.namespaces.get(namespace);
        let annotated = known.and_then(|known| known.account.as_deref());
        let accounts = [Some(namespace), annotated].into_iter().flatten();
        accounts.map(str::to_owned).collect()
    }

    fn account_changed(
        &mut self,
        namespace: &str,
        before: Option<&str>,
        now: Option<&str>,
    ) -> BTreeSet<String> {
        if let Some(before) = before
            && let Some(namespaces) = self.annotated.get_mut(before)
        {
            namespaces.remove(namespace);
            if namespaces.is_empty() {
                self.annotated.remove(before);
            }
        }
        if let Some(now) = now {
            let namespaces = self.annotated.entry(now.into()).or_default();
            namespaces.insert(namespace.to_owned());
        }
        let accounts = [Some(namespace), before, now].into_iter().flatten();
        accounts.map(str::to_owned).collect()
    }

    /// Whom a principal stands for.
    #[must_use]
    pub fn resolve(&self, principal: &RamPrincipal) -> Resolution {
        let annotated = self.annotated.get(principal.account());
        let named = self
            .namespaces
            .get_key_value(principal.account())
            .filter(|(_, known)| known.is_there && known.account.is_none())
            .map(|(name, _)| name);
        let candidates: BTreeSet<&String> = annotated.into_iter().flatten().chain(named).collect();
        let denied = self.denied(&candidates, principal.subject());
        let named = named.filter(|_| !is_number(principal.account()));
        let mut annotated = annotated.into_iter().flatten();
        let meant = match (annotated.next(), annotated.next(), named) {
            (Some(_), Some(_), _) => Err(UnresolvedReason::SeveralNamespaces),
            (Some(namespace), None, _) | (None, _, Some(namespace)) => {
                self.allowed(namespace, principal.subject())
            }
            (None, _, None) => Err(UnresolvedReason::NoNamespace),
        };
        let (allowed, unresolved) = match meant {
            Ok(allowed) => (Some(allowed), None),
            Err(reason) => (None, Some(reason)),
        };
        Resolution {
            allowed,
            denied,
            unresolved,
        }
    }

    fn members(&self, namespace: &str, subject: &RamSubject) -> SubjectMembers<'_> {
        let Some(known) = self.namespaces.get(namespace) else {
            return SubjectMembers::default();
        };
        let named = match subject {
            RamSubject::User(name) | RamSubject::Role(name) => known.service_accounts.get_key_value(&**name),
            RamSubject::Root | RamSubject::Everybody => None,
        };
        SubjectMembers {
            annotated: known.annotated.get(subject),
            named: named.map(|(name, _)| name),
        }
    }

    fn allowed(&self, namespace: &str, subject: &RamSubject) -> Result<String, UnresolvedReason> {
        if matches!(subject, RamSubject::Root | RamSubject::Everybody) {
            return Ok(everybody_in(namespace));
        }
        let SubjectMembers { annotated, named } = self.members(namespace, subject);
        let mut annotated = annotated.into_iter().flatten();
        match (annotated.next(), annotated.next(), named) {
            (Some(_), Some(_), _) => Err(UnresolvedReason::SeveralServiceAccounts(namespace.to_owned())),
            (Some(name), None, _) | (None, _, Some(name)) => Ok(format!("{namespace}/{name}")),
            (None, _, None) => Err(UnresolvedReason::NoServiceAccount(namespace.to_owned())),
        }
    }

    /// All who can be meant. Where that is more than one of a namespace, all of it: what denies stays short,
    /// however many are annotated.
    fn denied(&self, candidates: &BTreeSet<&String>, subject: &RamSubject) -> Vec<String> {
        if candidates.len() > MAX_DENIED_NAMESPACES {
            return vec![EVERYBODY.to_owned()];
        }
        let one = |namespace: &str| {
            if matches!(subject, RamSubject::Root | RamSubject::Everybody) {
                return Some(everybody_in(namespace));
            }
            let SubjectMembers { annotated, named } = self.members(namespace, subject);
            let named = named.filter(|name| annotated.is_none_or(|names| !names.contains(*name)));
            let mut names = annotated.into_iter().flatten().chain(named);
            let first = names.next()?;
            Some(match names.next() {
                None => format!("{namespace}/{first}"),
                Some(_) => everybody_in(namespace),
            })
        };
        candidates.iter().filter_map(|namespace| one(namespace)).collect()
    }

    /// The policy with the ServiceAccounts that its principals of RAM stand for; none where it has no such
    /// principal.
    #[must_use]
    pub fn resolve_policy(&self, spec: &SecretPolicySpec) -> Option<ResolvedPolicy> {
        if !names_ram(spec) {
            return None;
        }
        let mut unresolved = BTreeSet::new();
        let statements = spec.statements.iter();
        let statements = statements.map(|statement| self.resolve_statement(statement, &mut unresolved));
        Some(ResolvedPolicy {
            spec: SecretPolicySpec {
                statements: statements.collect(),
                ..spec.clone()
            },
            unresolved: unresolved.into_iter().collect(),
        })
    }

    fn resolve_statement(
        &self,
        statement: &PolicyStatement,
        unresolved: &mut BTreeSet<UnresolvedPrincipal>,
    ) -> PolicyStatement {
        let mut resolve = |principal: &PolicyPrincipal| -> Vec<PolicyPrincipal> {
            let PolicyPrincipal::Ram(text) = principal else {
                return vec![principal.clone()];
            };
            let Ok(ram) = text.parse::<RamPrincipal>() else {
                // The compilation says where it stands and what is wrong.
                return vec![principal.clone()];
            };
            let Resolution {
                allowed,
                denied,
                unresolved: reason,
            } = self.resolve(&ram);
            if let Some(reason) = reason {
                unresolved.insert(UnresolvedPrincipal {
                    principal: ram,
                    reason,
                });
            }
            let meant: Vec<PolicyPrincipal> = match statement.effect {
                PolicyEffect::Allow => allowed.into_iter().collect(),
                PolicyEffect::Deny => denied,
            }
            .into_iter()
            .map(PolicyPrincipal::ServiceAccount)
            .collect();
            if meant.is_empty() {
                vec![principal.clone()]
            } else {
                meant
            }
        };
        let principals = statement.principals.as_ref();
        PolicyStatement {
            principals: principals.map(|all| all.iter().flat_map(&mut resolve).collect()),
            ..statement.clone()
        }
    }
}

fn is_number(account: &str) -> bool {
    account.bytes().all(|byte| byte.is_ascii_digit())
}

fn everybody_in(namespace: &str) -> String {
    format!("{namespace}/*")
}

/// Principals of a policy that are RAM's.
fn ram_principals(spec: &SecretPolicySpec) -> impl Iterator<Item = &str> {
    let principals = spec.statements.iter().flat_map(|statement| &statement.principals);
    principals.flatten().filter_map(|principal| match principal {
        PolicyPrincipal::Ram(text) => Some(text.as_str()),
        _ => None,
    })
}

/// Whether a policy names principals of RAM.
#[must_use]
pub fn names_ram(spec: &SecretPolicySpec) -> bool {
    ram_principals(spec).next().is_some()
}

/// The accounts whose principals a policy names.
#[must_use]
pub fn ram_accounts(spec: &SecretPolicySpec) -> BTreeSet<String> {
    let principals = ram_principals(spec).filter_map(|text| text.parse::<RamPrincipal>().ok());
    principals
        .map(|principal| principal.account().to_owned())
        .collect()
}
