//! All statements in force, by namespace: for tools and tests. The process has each namespace in a place of
//! its own (`policies`).
//!
//! A policy that does not compile changes nothing: what was in force of it stays in force.

use std::collections::HashMap;

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

/// A statement, for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementRef {
    /// Namespace of the policy.
    pub namespace: String,
    /// Where it stands.
    pub source: PolicySource,
    /// Its number there, from 1.
    pub number: usize,
    /// Its name, where it has one.
    pub sid: Option<String>,
}

impl StatementRef {
    /// The statement in words, as records and explanations have it. Every read makes one, without growing it.
    #[must_use]
    pub fn text(&self) -> String {
        let number = self.number.to_string();
        let (sid, kind) = (self.sid.as_deref(), self.source.kind());
        let parts = [
            "statement ",
            &number,
            if sid.is_some() { " (`" } else { "" },
            sid.unwrap_or_default(),
            if sid.is_some() { "`)" } else { "" },
            " of ",
            kind,
            " `",
            self.source.name(),
            "` in namespace `",
            &self.namespace,
            "`",
        ];
        parts.concat()
    }
}

impl std::fmt::Display for StatementRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
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
