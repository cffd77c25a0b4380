//! The question that a statement is put, and what it said before.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, RestrictedExpression};
use parking_lot::Mutex;

use super::Action;
use super::compile::{CompiledStatement, MET_NAMES, MET_WINDOW, label};
use super::filter::Probe;
use super::request::Identity;

/// What statements say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Effect {
    /// None allows and none denies.
    #[default]
    Nothing,
    /// At least one allows and none denies.
    Allow,
    /// One denies, or could not be evaluated.
    Deny,
}

/// What is asked about: a secret, or the customer's key that it lies under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Secret,
    Key,
}

/// What can be asked of the context that says no more than who asks for which action. Where nothing else is
/// asked, the answer is the same each time.
const CACHEABLE_ATTRIBUTES: [&str; 6] = [
    "account",
    "accountNamespace",
    "action",
    "isAccount",
    "isUser",
    "user",
];

/// Callers whose answers are kept, at most, of one statement.
const MAX_CACHED_CALLERS: usize = 1_024;

/// What one statement said before, by who asked and for what.
#[derive(Debug, Default)]
pub(super) struct EffectCache(Mutex<HashMap<Identity, Vec<(Action, Effect)>>>);

impl EffectCache {
    fn find(&self, identity: &Identity, action: Action) -> Option<Effect> {
        let given = self.0.lock();
        let mut answers = given.get(identity)?.iter();
        answers.find(|(asked, _)| *asked == action).map(|(_, says)| *says)
    }

    fn keep(&self, identity: &Identity, action: Action, says: Effect) {
        let mut given = self.0.lock();
        if given.len() >= MAX_CACHED_CALLERS {
            given.clear();
        }
        given.entry(identity.clone()).or_default().push((action, says));
    }
}

/// Why a statement could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be evaluated: {0}")]
pub struct EvaluationError(String);

impl CompiledStatement {
    /// What the statement says to the request, which passed its filter.
    pub(super) fn ask(&self, probe: &Probe<'_>) -> Result<Effect, EvaluationError> {
        let identity = &probe.request.principal.identity;
        if !self
            .asks
            .iter()
            .all(|attribute| CACHEABLE_ATTRIBUTES.contains(attribute))
        {
            return self.evaluate(probe);
        }
        if let Some(says) = self.answers.find(identity, probe.action) {
            return Ok(says);
        }
        let says = self.evaluate(probe)?;
        self.answers.keep(identity, probe.action, says);
        Ok(says)
    }

    fn evaluate(&self, probe: &Probe<'_>) -> Result<Effect, EvaluationError> {
        let unanswerable = |error: &dyn std::fmt::Display| EvaluationError(error.to_string());
        let context = self
            .asks
            .iter()
            .map(|attribute| ((*attribute).to_owned(), self.attribute(attribute, probe)));
        let context = Context::from_pairs(context).map_err(|error| unanswerable(&error))?;
        let one = anonymous().ok_or_else(|| unanswerable(&"its name is invalid"))?;
        let question = cedar_policy::Request::new(one.clone(), one.clone(), one, context, None)
            .map_err(|error| unanswerable(&error))?;
        let response = Authorizer::new().is_authorized(&question, &self.policies, &Entities::empty());
        let diagnostics = response.diagnostics();
        // INVARIANT: a statement that cannot be evaluated denies. Cedar leaves it out, which would weaken a
        // Deny.
        Ok(match response.decision() {
            _ if diagnostics.errors().next().is_some() => Effect::Deny,
            Decision::Allow => Effect::Allow,
            Decision::Deny if diagnostics.reason().next().is_none() => Effect::Nothing,
            Decision::Deny => Effect::Deny,
        })
    }

    fn attribute(&self, attribute: &str, probe: &Probe<'_>) -> RestrictedExpression {
        let request = probe.request;
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let flag = RestrictedExpression::new_bool;
        let (facts, identity) = (request.facts, &request.principal.identity);
        let labels = |labels: &Option<BTreeMap<String, String>>| {
            texts(labels.iter().flatten().map(|(key, value)| label(key, value)))
        };
        match attribute {
            "action" => text(probe.action.as_str()),
            "kind" => text(match probe.target {
                Target::Secret => "secret",
                Target::Key => "key",
            }),
            "namespace" => text(request.secret.namespace),
            "secret" => text(request.secret.name),
            "key" => text(request.key.map_or("", |(_, key)| key)),
            "isUser" => flag(matches!(identity, Identity::User(_))),
            "isAccount" => flag(matches!(identity, Identity::ServiceAccount { .. })),
            "accountNamespace" => text(identity.namespace().unwrap_or_default()),
            "account" => text(match identity {
                Identity::ServiceAccount { name, .. } => name,
                Identity::User(_) => "",
            }),
            "user" => text(match identity {
                Identity::User(name) => name,
                Identity::ServiceAccount { .. } => "",
            }),
            "groups" => texts(request.principal.groups.iter().cloned()),
            "stages" => texts(facts.stages.iter().cloned()),
            "version" => text(facts.version.as_deref().unwrap_or_default()),
            "now" => RestrictedExpression::new_long(facts.now.as_millisecond()),
            "podKnown" => flag(facts.pod_labels.is_some()),
            "podLabels" => labels(&facts.pod_labels),
            "nodeKnown" => flag(facts.node_labels.is_some()),
            "nodeLabels" => labels(&facts.node_labels),
            "sourceKnown" => flag(facts.source.is_some()),
            "source" => RestrictedExpression::new_ip(facts.source.map_or_else(
                || "0.0.0.0".to_owned(),
                |address| address.to_canonical().to_string(),
            )),
            "met" => texts(self.met(probe)),
            // Nothing asks for anything else; what did would find nothing, and deny.
            _ => flag(false),
        }
    }

    /// What is worked out for Cedar, and holds.
    fn met(&self, probe: &Probe<'_>) -> impl Iterator<Item = String> {
        let names = self.filter.met(probe).then_some(MET_NAMES);
        let window = self.filter.window_is_open(probe).then_some(MET_WINDOW);
        names.into_iter().chain(window).map(str::to_owned)
    }
}

fn texts(texts: impl Iterator<Item = String>) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.map(RestrictedExpression::new_string))
}

/// Principal, action and resource of every question: everything that is known stands in the context, and
/// these are not looked at.
fn anonymous() -> Option<EntityUid> {
    static ANONYMOUS: LazyLock<Option<EntityUid>> = LazyLock::new(|| "Strongroom::\"request\"".parse().ok());
    ANONYMOUS.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: usize) -> Identity {
        Identity::User(number.to_string())
    }

    #[test]
    fn an_answer_is_for_who_asked_and_for_what() {
        let cache = EffectCache::default();
        cache.keep(&user(0), Action::GetSecretValue, Effect::Allow);
        cache.keep(&user(0), Action::DescribeSecret, Effect::Nothing);
        for (number, action, expected) in [
            (0, Action::GetSecretValue, Some(Effect::Allow)),
            (0, Action::DescribeSecret, Some(Effect::Nothing)),
            (0, Action::DeleteSecret, None),
            (1, Action::GetSecretValue, None),
        ] {
            assert_eq!(cache.find(&user(number), action), expected, "{number} {action}");
        }
    }

    #[test]
    fn one_caller_too_many_takes_the_place_of_all() {
        let cache = EffectCache::default();
        let found = |number| cache.find(&user(number), Action::GetSecretValue);
        for number in 0..=MAX_CACHED_CALLERS {
            cache.keep(&user(number), Action::GetSecretValue, Effect::Allow);
            let first = (number < MAX_CACHED_CALLERS).then_some(Effect::Allow);
            assert_eq!(
                (found(0), found(number)),
                (first, Some(Effect::Allow)),
                "{number}"
            );
        }
    }
}
