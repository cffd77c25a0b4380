//! Evaluates a statement for a request, and caches the answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, RestrictedExpression};
use parking_lot::Mutex;
use strongroom_model::ProductCode;

use super::Action;
use super::compile::{CompiledStatement, MET_NAMES, MET_WINDOW, label};
use super::filter::Probe;
use super::request::{Identity, Request};

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
pub(super) enum QuestionTarget {
    Secret,
    Key,
}

/// What can be asked of the context that [`CachedQuestion`] and the caller's identity decide. Where nothing
/// else is asked, the answer is the same each time.
const CACHEABLE_ATTRIBUTES: [&str; 8] = [
    "account",
    "accountNamespace",
    "action",
    "isAccount",
    "isUser",
    "kind",
    MET,
    "user",
];

/// The attribute that says what was worked out for Cedar.
const MET: &str = "met";

/// Callers whose answers are kept, at most, of one statement.
const MAX_CACHED_CALLERS: usize = 1_024;

/// All that a statement without other conditions can ask about a request of one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CachedQuestion {
    action: Action,
    target: QuestionTarget,
    met: MetConditions,
}

/// What is worked out for Cedar: whether a name with wildcards fits, and whether the daily window is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct MetConditions {
    names: bool,
    window: bool,
}

/// What one statement said before, by who asked and for what.
#[derive(Debug, Default)]
pub(super) struct EffectCache {
    given: Mutex<HashMap<Identity, Vec<(CachedQuestion, Effect)>>>,
    /// The statement asks for nothing else than what a question has, so its answer is the same each time.
    holds: bool,
    /// It asks what is worked out for Cedar.
    asks_met: bool,
}

impl EffectCache {
    /// For a statement that asks this of the context.
    pub(super) fn new(asks: &BTreeSet<&'static str>) -> Self {
        Self {
            given: Mutex::default(),
            holds: asks
                .iter()
                .all(|attribute| CACHEABLE_ATTRIBUTES.contains(attribute)),
            asks_met: asks.contains(MET),
        }
    }

    fn find(&self, identity: &Identity, question: CachedQuestion) -> Option<Effect> {
        let given = self.given.lock();
        let mut answers = given.get(identity)?.iter();
        answers
            .find(|(asked, _)| *asked == question)
            .map(|(_, says)| *says)
    }

    fn keep(&self, identity: &Identity, question: CachedQuestion, says: Effect) {
        let mut given = self.given.lock();
        if given.len() >= MAX_CACHED_CALLERS {
            given.clear();
        }
        given.entry(identity.clone()).or_default().push((question, says));
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
        if !self.answers.holds {
            return self.evaluate(probe);
        }
        let question = CachedQuestion {
            action: probe.action,
            target: probe.target,
            met: if self.answers.asks_met {
                self.met(probe)
            } else {
                MetConditions::default()
            },
        };
        if let Some(says) = self.answers.find(identity, question) {
            return Ok(says);
        }
        let says = self.evaluate(probe)?;
        self.answers.keep(identity, question, says);
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
                QuestionTarget::Secret => "secret",
                QuestionTarget::Key => "key",
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
            "products" => texts(self.products(request).iter().map(ToString::to_string)),
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
            MET => {
                let met = self.met(probe);
                let named = [(met.names, MET_NAMES), (met.window, MET_WINDOW)];
                texts(
                    named
                        .into_iter()
                        .filter(|(holds, _)| *holds)
                        .map(|(_, name)| name.to_owned()),
                )
            }
            // Nothing asks for anything else; what did would find nothing, and deny.
            _ => flag(false),
        }
    }

    /// The products as which the caller counts.
    ///
    /// INVARIANT: a Deny against a product outlasts its SecretProduct; an Allow does not.
    const fn products<'a>(&self, request: &Request<'a>) -> &'a [ProductCode] {
        if self.deny {
            request.products.named_by
        } else {
            request.products.managed
        }
    }

    fn met(&self, probe: &Probe<'_>) -> MetConditions {
        MetConditions {
            names: self.filter.met(probe),
            window: self.filter.window_is_open(probe),
        }
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

    const READ: CachedQuestion = CachedQuestion {
        action: Action::GetSecretValue,
        target: QuestionTarget::Secret,
        met: MetConditions {
            names: false,
            window: false,
        },
    };

    #[test]
    fn an_answer_is_for_who_asked_and_for_what() {
        let cache = EffectCache::default();
        let describe = CachedQuestion {
            action: Action::DescribeSecret,
            ..READ
        };
        let met = |names, window| CachedQuestion {
            met: MetConditions { names, window },
            ..READ
        };
        cache.keep(&user(0), READ, Effect::Allow);
        cache.keep(&user(0), describe, Effect::Nothing);
        cache.keep(&user(0), met(true, false), Effect::Deny);
        for (number, question, expected) in [
            (0, READ, Some(Effect::Allow)),
            (0, describe, Some(Effect::Nothing)),
            (0, met(true, false), Some(Effect::Deny)),
            (0, met(false, true), None),
            (
                0,
                CachedQuestion {
                    target: QuestionTarget::Key,
                    ..READ
                },
                None,
            ),
            (
                0,
                CachedQuestion {
                    action: Action::DeleteSecret,
                    ..READ
                },
                None,
            ),
            (1, READ, None),
        ] {
            assert_eq!(
                cache.find(&user(number), question),
                expected,
                "{number} {question:?}"
            );
        }
    }

    #[test]
    fn one_caller_too_many_takes_the_place_of_all() {
        let cache = EffectCache::default();
        let found = |number| cache.find(&user(number), READ);
        for number in 0..=MAX_CACHED_CALLERS {
            cache.keep(&user(number), READ, Effect::Allow);
            let first = (number < MAX_CACHED_CALLERS).then_some(Effect::Allow);
            assert_eq!(
                (found(0), found(number)),
                (first, Some(Effect::Allow)),
                "{number}"
            );
        }
    }
}
