//! The statements in force in one namespace.
//!
//! The statements of a policy take the place of those before them in one step, which cannot fail: what is put
//! in force was compiled before.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use strongroom_model::PRODUCT_SEPARATOR;

use super::bounds::{PolicyLimitExceeded, Weight};
use super::compile::{Attachment, CompiledPolicy};
use super::evaluate::{Effect, EvaluationError};
use super::filter::Probe;
use super::policy_index::{ActivePolicy, PolicyIndex};
use super::policy_set::StatementRef;
use super::source::PolicySource;

/// Statements that are told of those that decided the same, at most.
const MAX_NAMED_STATEMENTS: usize = 8;

/// Statements of one namespace. A copy shares the statements.
#[derive(Clone, Debug, Default)]
pub struct NamespacePolicies {
    sources: BTreeMap<PolicySource, Arc<ActivePolicy>>,
    /// Attached to ServiceAccounts.
    identities: PolicyIndex,
    /// Attached to secrets.
    secrets: PolicyIndex,
    /// Of the SecretPolicies in force and of those that are expected.
    weight: Weight,
    /// SecretPolicies that were in force before and have not come yet.
    expected: HashMap<PolicySource, Arc<CompiledPolicy>>,
    /// Policies that there is no room even to deny for: with them everything is denied that is asked of their
    /// kind.
    shut: BTreeMap<PolicySource, Kind>,
    /// How many sources ask for labels of a pod or a node.
    asking: usize,
}

/// What a policy is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Identities,
    Secrets,
}

impl Kind {
    const fn from_attachment(attachment: &Attachment) -> Self {
        match attachment {
            Attachment::Identities(_) => Self::Identities,
            Attachment::Secrets(_) => Self::Secrets,
        }
    }
}

impl NamespacePolicies {
    /// Puts a policy in force, in the place of what was in force of its source.
    pub fn put(&mut self, source: PolicySource, policy: CompiledPolicy) {
        self.put_in_force(ActivePolicy::new(source, policy, None));
    }

    /// [`NamespacePolicies::put`] for what the object with this UID declares of its own secret: it counts
    /// only where that is the store's owner of it.
    pub fn put_declared(&mut self, source: PolicySource, uid: &str, policy: CompiledPolicy) {
        self.put_in_force(ActivePolicy::new(source, policy, Some(uid)));
    }

    fn put_in_force(&mut self, policy: ActivePolicy) {
        let weight = weight(&policy.source, &policy.policy);
        let asking = usize::from(policy.policy.asks_labels);
        let policy = Arc::new(policy);
        self.side(&policy.policy.attachment).add(&policy);
        self.take_out(&policy.source);
        self.shut.remove(&policy.source);
        self.weight = self.weight.plus(weight);
        self.asking += asking;
        self.sources.insert(policy.source.clone(), policy);
    }

    /// Takes the statements of a source out of force.
    pub fn remove(&mut self, source: &PolicySource) {
        self.take_out(source);
        self.sources.remove(source);
        self.shut.remove(source);
    }

    /// Denies everything in the place of a policy, which takes no room.
    pub fn deny_all(&mut self, source: PolicySource, policy: &CompiledPolicy) {
        self.remove(&source);
        self.shut
            .insert(source, Kind::from_attachment(&policy.attachment));
    }

    /// What is said for everything, because a policy of this kind is shut out.
    fn shut_out(&self, namespace: &str, kind: Kind) -> Option<(Effect, Vec<StatementRef>)> {
        let mut shut = self.shut.iter();
        let (source, _) = shut.find(|(_, shut)| **shut == kind)?;
        Some((Effect::Deny, vec![StatementRef::new(namespace, source, 1, None)]))
    }

    fn take_out(&mut self, source: &PolicySource) {
        if let Some(expected) = self.expected.remove(source) {
            self.weight = self.weight.less(weight(source, &expected));
        }
        let Some(before) = self.sources.get(source).cloned() else {
            return;
        };
        self.side(&before.policy.attachment).remove(&before);
        self.weight = self.weight.less(weight(source, &before.policy));
        self.asking -= usize::from(before.policy.asks_labels);
    }

    const fn side(&mut self, attachment: &Attachment) -> &mut PolicyIndex {
        match attachment {
            Attachment::Identities(_) => &mut self.identities,
            Attachment::Secrets(_) => &mut self.secrets,
        }
    }

    /// Counts a policy that was in force before this process began, until it comes.
    pub fn expect(&mut self, source: PolicySource, policy: CompiledPolicy) {
        if self.sources.contains_key(&source) {
            return;
        }
        self.take_out(&source);
        self.weight = self.weight.plus(weight(&source, &policy));
        self.expected.insert(source, Arc::new(policy));
    }

    /// Every policy has come: what is expected yet is gone.
    pub fn expect_nothing(&mut self) {
        for (source, policy) in self.expected.drain() {
            self.weight = self.weight.less(weight(&source, &policy));
        }
    }

    /// Whether the namespace is within the bounds with this policy in the place of the one of its source.
    ///
    /// # Errors
    /// [`PolicyLimitExceeded`] where it is not.
    pub fn fits(
        &self,
        source: &PolicySource,
        policy: &CompiledPolicy,
        bounds: Weight,
    ) -> Result<(), PolicyLimitExceeded> {
        let before = match (self.sources.get(source), self.expected.get(source)) {
            (Some(before), _) => weight(source, &before.policy),
            (None, Some(expected)) => weight(source, expected),
            (None, None) => Weight::default(),
        };
        self.weight
            .less(before)
            .plus(weight(source, policy))
            .within(bounds)
    }

    /// Whether anything of a source is in force.
    #[must_use]
    pub fn has(&self, source: &PolicySource) -> bool {
        self.sources.contains_key(source) || self.shut.contains_key(source)
    }

    /// The sources that have statements in force.
    pub fn sources(&self) -> impl Iterator<Item = &PolicySource> {
        self.sources.keys()
    }

    /// Whether nothing is in force, nor expected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.expected.is_empty() && self.shut.is_empty()
    }

    /// How many sources ask for labels of a pod or a node.
    #[must_use]
    pub const fn sources_with_labels(&self) -> usize {
        self.asking
    }

    /// What the policies attached to a ServiceAccount of this namespace say.
    pub(super) fn ask_identities(
        &self,
        (namespace, account): (&str, &str),
        probe: &Probe<'_>,
    ) -> Result<(Effect, Vec<StatementRef>), EvaluationError> {
        if let Some(denied) = self.shut_out(namespace, Kind::Identities) {
            return Ok(denied);
        }
        ask(namespace, &self.identities.attached_to(account), probe)
    }

    /// What the policies attached to a secret of this namespace say; they are asked about the secret alone.
    pub(super) fn ask_secrets(
        &self,
        probe: &Probe<'_>,
    ) -> Result<(Effect, Vec<StatementRef>), EvaluationError> {
        let secret = probe.request.secret;
        if let Some(denied) = self.shut_out(secret.namespace, Kind::Secrets) {
            return Ok(denied);
        }
        let mut attached = self.secrets.attached_to(secret.name);
        // Who reads a product's secret is never said by the object, which the product writes.
        if secret.name.contains(PRODUCT_SEPARATOR) {
            attached.retain(|policy| !matches!(policy.source, PolicySource::Readers(_)));
        }
        ask(secret.namespace, &attached, probe)
    }
}

/// Of what is no SecretPolicy nothing counts: `readers` are of one secret each, and a product's rights are
/// not among what is in force here.
fn weight(source: &PolicySource, policy: &CompiledPolicy) -> Weight {
    match source {
        PolicySource::Policy(_) => policy.weight,
        PolicySource::Readers(_) | PolicySource::Product(_) => Weight::default(),
    }
}

/// Puts the question to those statements that it passes to: first to those that deny, and to no more of them
/// than are told.
fn ask(
    namespace: &str,
    policies: &[&Arc<ActivePolicy>],
    probe: &Probe<'_>,
) -> Result<(Effect, Vec<StatementRef>), EvaluationError> {
    let (mut denying, mut allowing) = (Vec::new(), Vec::new());
    let owner = probe.request.owner;
    for policy in policies.iter().filter(|policy| policy.counts(owner)) {
        for (index, statement) in policy.policy.statements.iter().enumerate() {
            if statement.filter.passes(probe) {
                let side = if statement.deny {
                    &mut denying
                } else {
                    &mut allowing
                };
                side.push((*policy, index, statement));
            }
        }
    }
    for candidates in [denying, allowing] {
        let (mut deny, mut allow) = (Vec::new(), Vec::new());
        for (policy, index, statement) in candidates {
            match statement.ask(probe)? {
                Effect::Deny => deny.push(policy.named(namespace, index)),
                Effect::Allow => allow.push(policy.named(namespace, index)),
                Effect::Nothing => {}
            }
            if deny.len().max(allow.len()) >= MAX_NAMED_STATEMENTS {
                break;
            }
        }
        // An Allow that cannot be evaluated denies as well.
        for (says, mut by) in [(Effect::Deny, deny), (Effect::Allow, allow)] {
            if !by.is_empty() {
                by.sort();
                return Ok((says, by));
            }
        }
    }
    Ok((Effect::Nothing, Vec::new()))
}
