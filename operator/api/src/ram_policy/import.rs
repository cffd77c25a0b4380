//! From a policy of RAM to a SecretPolicy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use strongroom_crds::annotation::{ALIBABA_ACCOUNT, RAM_ACCOUNTS, RAM_POLICY, RAM_ROLE, RAM_USER};
use strongroom_crds::v1alpha1::{
    PolicyEffect, PolicyIdentities, PolicyPrincipal, PolicyStatement, SecretPolicySpec,
};
use strongroom_model::RamPrincipal;

use super::accounts::RamAccounts;
use super::document::{self, Located, RamStatement, Texts};
use super::error::{RamPolicyError, RamPolicyReason, quoted};
use super::json::{self, Position};
use super::{RAM_POLICY_BYTES, action, condition, resource};

/// Most statements of a SecretPolicy, and most entries of a list of one.
const ENTRIES: usize = 64;
/// Longest name of a statement, in characters.
const SID_CHARACTERS: usize = 128;

/// What a policy is imported for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyTarget {
    /// ServiceAccounts of the namespace, by name: it becomes an identity policy.
    ServiceAccounts(Vec<String>),
    /// Secrets of the namespace, by their names in the store: it becomes a secret policy.
    Secrets(Vec<String>),
}

/// A policy of RAM as a SecretPolicy.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedPolicy {
    /// The statements, and what they are attached to.
    pub spec: SecretPolicySpec,
    /// What an export needs, and nobody else reads.
    pub annotations: BTreeMap<String, String>,
    /// What whoever imports has to know.
    pub hints: Vec<ImportHint>,
}

/// Something that a policy of RAM does not say, and that has to be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImportHint {
    /// Values may be read, and keys may not be used.
    KeyUse,
    /// Principals of this account stand for ServiceAccounts.
    PrincipalsOf(String),
}

impl fmt::Display for ImportHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyUse => f.write_str(
                "values may be read; those that lie under an EncryptionKey take `kms:Decrypt` as well",
            ),
            Self::PrincipalsOf(account) => write!(
                f,
                "principals of account `{account}` stand for ServiceAccounts with `{RAM_USER}` or `{RAM_ROLE}`, or else of \
                 their name, in the Namespace with `{ALIBABA_ACCOUNT}={account}`, or else of its name; the condition \
                 PrincipalsResolved of the SecretPolicy says which stand for nobody"
            ),
        }
    }
}

/// Reads a policy of RAM as a SecretPolicy of this namespace.
///
/// # Errors
/// [`RamPolicyError`] says where and why not.
pub fn import(
    text: &str,
    namespace: &str,
    target: &PolicyTarget,
    accounts: &RamAccounts,
) -> Result<ImportedPolicy, RamPolicyError> {
    if text.len() > RAM_POLICY_BYTES {
        let start = Position { line: 1, column: 1 };
        return Err(RamPolicyError::new(
            start,
            "$",
            RamPolicyReason::TooLarge(text.len()),
        ));
    }
    let root = json::read(text)?;
    let statements = document::statements(&root)?;
    at_most(ENTRIES, &statements)?;
    let mut importer = Importer {
        namespace,
        target,
        accounts,
        used: RamAccounts::default(),
        hints: BTreeSet::new(),
    };
    let all = statements.value.iter();
    let all = all
        .map(|statement| importer.statement(statement))
        .collect::<Result<Vec<_>, _>>()?;
    let Importer { used, hints, .. } = importer;
    let mut annotations = BTreeMap::from([(RAM_POLICY.to_owned(), text.to_owned())]);
    if !used.is_empty() {
        annotations.insert(RAM_ACCOUNTS.to_owned(), used.to_string());
    }
    let (identities, secrets) = match target {
        PolicyTarget::ServiceAccounts(names) => (Some(names.clone()), None),
        PolicyTarget::Secrets(names) => (None, Some(names.clone())),
    };
    Ok(ImportedPolicy {
        spec: SecretPolicySpec {
            identities: identities.map(|service_accounts| PolicyIdentities { service_accounts }),
            secrets,
            statements: all,
        },
        annotations,
        hints: hints.into_iter().collect(),
    })
}

/// Refuses a list that is too long.
fn at_most<T>(most: usize, list: &Located<Vec<T>>) -> Result<(), RamPolicyError> {
    match list.value.len() {
        count if count > most => Err(list.error(RamPolicyReason::TooMany { count, most })),
        _ => Ok(()),
    }
}

/// What the statements of one policy have in common.
struct Importer<'a> {
    namespace: &'a str,
    target: &'a PolicyTarget,
    accounts: &'a RamAccounts,
    /// The accounts that had to be looked up.
    used: RamAccounts,
    hints: BTreeSet<ImportHint>,
}

impl Importer<'_> {
    fn statement(
        &mut self,
        statement: &Located<RamStatement<'_>>,
    ) -> Result<PolicyStatement, RamPolicyError> {
        let RamStatement {
            sid,
            effect,
            principals,
            actions,
            resources,
            conditions,
        } = &statement.value;
        let actions = collected(actions, |text| match action::import(text) {
            found if found.is_empty() => Err(RamPolicyReason::Action(quoted(text))),
            found => Ok(found),
        })?;
        if *effect == PolicyEffect::Allow && action::reads_values(&actions) && !action::decrypts(&actions) {
            self.hints.insert(ImportHint::KeyUse);
        }
        let (principals, resources) = match (self.target, principals) {
            (PolicyTarget::ServiceAccounts(_), Some(principals)) => {
                return Err(principals.error(RamPolicyReason::PrincipalOfIdentities));
            }
            (PolicyTarget::ServiceAccounts(_), None) => {
                let accounts = self.accounts;
                let (home, used) = ((self.namespace, *effect), &mut self.used);
                let found = collected(resources, |text| {
                    resource::import(text, home, (accounts, &mut *used))
                })?;
                (None, Some(found))
            }
            (PolicyTarget::Secrets(_), None) => {
                return Err(statement.error(RamPolicyReason::Missing("Principal")));
            }
            (PolicyTarget::Secrets(secrets), Some(principals)) => {
                self.all_secrets(secrets, resources)?;
                (Some(self.principals(principals)?), None)
            }
        };
        Ok(PolicyStatement {
            sid: sid.as_ref().map(self::sid).transpose()?.flatten(),
            effect: *effect,
            principals,
            actions,
            resources,
            conditions: conditions.as_ref().map(condition::import).transpose()?.flatten(),
        })
    }

    /// Checks that a statement is about all secrets that the policy is attached to, and about no others: it
    /// will count for each of them.
    fn all_secrets(&mut self, secrets: &[String], resources: &Texts<'_>) -> Result<(), RamPolicyError> {
        let mut named: BTreeSet<&str> = BTreeSet::new();
        let mut are_all = false;
        for text in &resources.value {
            let home = (self.namespace, secrets);
            let found = resource::own_secret(text.value, home, (self.accounts, &mut self.used))
                .map_err(|reason| text.error(reason))?;
            are_all |= found.is_none();
            named.extend(found);
        }
        let left_out = secrets.iter().find(|secret| !named.contains(secret.as_str()));
        match left_out.filter(|_| !are_all) {
            Some(secret) => Err(resources.error(RamPolicyReason::PartOfSecrets(quoted(secret)))),
            None => Ok(()),
        }
    }

    fn principals(&mut self, principals: &Texts<'_>) -> Result<Vec<PolicyPrincipal>, RamPolicyError> {
        let texts = collected(principals, |text| {
            let principal = text.parse::<RamPrincipal>().map_err(RamPolicyReason::Principal)?;
            let hint = ImportHint::PrincipalsOf(principal.account().to_owned());
            self.hints.insert(hint);
            Ok(vec![text.to_owned()])
        })?;
        Ok(texts.into_iter().map(PolicyPrincipal::Ram).collect())
    }
}

/// What the texts of a list stand for, each once, in order.
fn collected(
    texts: &Texts<'_>,
    mut import: impl FnMut(&str) -> Result<Vec<String>, RamPolicyReason>,
) -> Result<Vec<String>, RamPolicyError> {
    let mut all = Vec::new();
    let mut known = BTreeSet::new();
    for text in &texts.value {
        let found = import(text.value).map_err(|reason| text.error(reason))?;
        all.extend(found.into_iter().filter(|one| known.insert(one.clone())));
    }
    match all.len() {
        count if count > ENTRIES => Err(texts.error(RamPolicyReason::TooMany { count, most: ENTRIES })),
        _ => Ok(all),
    }
}

/// The name of a statement, with `_` for each character that a SecretPolicy does not have in one.
fn sid(text: &Located<&str>) -> Result<Option<String>, RamPolicyError> {
    let length = text.value.chars().count();
    if length > SID_CHARACTERS {
        return Err(text.error(RamPolicyReason::TooLong {
            length,
            most: SID_CHARACTERS,
        }));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ' ');
    let name = text.value.chars().map(|c| if legal(c) { c } else { '_' });
    Ok(Some(name.collect::<String>()).filter(|name| !name.is_empty()))
}
