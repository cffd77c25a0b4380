//! All statements in force, by namespace: for tools and tests. The process has each namespace in a place of
//! its own (`policies`).
//!
//! A policy that does not compile changes nothing: what was in force of it stays in force.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use strongroom_crds::v1alpha1::SecretPolicySpec;

use super::compile::{CompileError, compile};
use super::deny_everything::deny_everything;
use super::namespace::NamespacePolicies;
use super::shared::SharedStatements;
use super::source::PolicySource;

/// Every statement in force.
#[derive(Debug, Default)]
pub struct PolicySet {
    namespaces: HashMap<String, NamespacePolicies>,
    shared: SharedStatements,
}

/// A statement, for people. A copy shares the names and the text: each audit record of a read has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementRef(Arc<StatementName>);

/// The policy that a statement stands in, and which one it is there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementName {
    /// Namespace of the policy.
    pub namespace: String,
    /// Where it stands.
    pub source: PolicySource,
    /// Its number there, from 1.
    pub number: usize,
    /// Its name, where it has one.
    pub sid: Option<String>,
    /// All of that in words.
    text: String,
}

impl StatementRef {
    /// The statement of this number, from 1.
    pub(super) fn new(namespace: &str, source: &PolicySource, number: usize, sid: Option<&str>) -> Self {
        let named = sid.map(|sid| format!(" (`{sid}`)")).unwrap_or_default();
        let text = match source {
            PolicySource::Policy(_) | PolicySource::Readers(_) => {
                format!("statement {number}{named} of {source} in namespace `{namespace}`")
            }
            PolicySource::Product(_) => source.to_string(),
        };
        Self(Arc::new(StatementName {
            namespace: namespace.to_owned(),
            source: source.clone(),
            number,
            sid: sid.map(str::to_owned),
            text,
        }))
    }

    /// The statement in words, as records and explanations have it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

impl Deref for StatementRef {
    type Target = StatementName;

    fn deref(&self) -> &StatementName {
        &self.0
    }
}

impl std::fmt::Display for StatementRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl PolicySet {
    /// Puts the statements of a source in force, in the place of those before, whatever the bounds are.
    ///
    /// # Errors
    /// [`CompileError`]: nothing has changed.
    pub fn put(
        &mut self,
        namespace: &str,
        source: &PolicySource,
        spec: &SecretPolicySpec,
    ) -> Result<(), CompileError> {
        let policy = compile(namespace, spec, &self.shared)?;
        let policies = self.namespaces.entry(namespace.to_owned()).or_default();
        policies.put(source.clone(), policy);
        Ok(())
    }

    /// Denies everything that a policy is attached to, because what was in force of it is not known any more.
    ///
    /// # Errors
    /// [`CompileError`]: the attachment itself cannot be compiled.
    pub fn deny(
        &mut self,
        namespace: &str,
        source: &PolicySource,
        spec: &SecretPolicySpec,
    ) -> Result<(), CompileError> {
        self.put(namespace, source, &deny_everything(spec))
    }

    /// Takes the statements of a source out of force.
    pub fn remove(&mut self, namespace: &str, source: &PolicySource) {
        if let Some(policies) = self.namespaces.get_mut(namespace) {
            policies.remove(source);
        }
    }

    /// Whether anything of the source is in force.
    #[must_use]
    pub fn holds(&self, namespace: &str, source: &PolicySource) -> bool {
        self.namespaces
            .get(namespace)
            .is_some_and(|policies| policies.has(source))
    }

    /// The statements of a namespace.
    #[must_use]
    pub fn namespace(&self, namespace: &str) -> Option<&NamespacePolicies> {
        self.namespaces.get(namespace)
    }

    /// How many different statements there are.
    #[cfg(test)]
    pub(super) fn different(&self) -> usize {
        self.shared.len()
    }
}
