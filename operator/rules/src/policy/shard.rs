//! Statements that are asked together, and the question.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicyId, PolicySet, RestrictedExpression,
};

use super::compile::{Compiled, label, met_word};
use super::pattern::Pattern;
use super::request::{Identity, Request};
use crate::schedule::DailyWindow;

/// What the statements say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Says {
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

/// Statements that are asked together, by their ids.
#[derive(Debug, Default)]
pub(super) struct Shard {
    policies: PolicySet,
    statements: BTreeMap<String, Arc<Compiled>>,
    /// What they ask of the context, and how many do: nothing else is told to Cedar.
    asked: BTreeMap<&'static str, usize>,
    /// Why it cannot be asked.
    unanswerable: Option<Unanswerable>,
    answers: Answers,
}

/// What can be asked of the context that says no more than who asks for which action. Where nothing else is asked, the answer is the same each
/// time, until the statements change.
const STEADY: [&str; 7] = [
    "account",
    "accountNamespace",
    "action",
    "isAccount",
    "isUser",
    "kind",
    "user",
];

/// Callers whose answers are kept, at most.
const MOST_CALLERS: usize = 4_096;

/// Ids of the statements that decided, and what they say.
type Answer = (Says, Vec<String>);

/// What is asked for.
type Question = (super::Action, Target);

/// Answers by who asked, and for what.
type Given = HashMap<Identity, Vec<(Question, Answer)>>;

/// Answers that were given before.
#[derive(Debug, Default)]
struct Answers(Mutex<Given>);

impl Answers {
    fn given(&self) -> MutexGuard<'_, Given> {
        // A panic while the lock was held leaves at worst a missing answer.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, identity: &Identity, question: Question) -> Option<Answer> {
        let given = self.given();
        let (_, answer) = given
            .get(identity)?
            .iter()
            .find(|(asked, _)| *asked == question)?;
        Some(answer.clone())
    }

    fn keep(&self, identity: &Identity, question: Question, answer: Answer) {
        let mut given = self.given();
        if given.len() >= MOST_CALLERS {
            given.clear();
        }
        given
            .entry(identity.clone())
            .or_default()
            .push((question, answer));
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

/// Why the statements could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be put to the policies: {0}")]
pub struct Unanswerable(String);

impl Shard {
    /// Adds a statement; one of the same id must not be there.
    pub(super) fn add(&mut self, id: &str, statement: &Arc<Compiled>) -> Result<(), String> {
        self.policies
            .add(statement.policy.new_id(PolicyId::new(id)))
            .map_err(|error| error.to_string())?;
        self.answers.forget();
        for attribute in &statement.asks {
            *self.asked.entry(attribute).or_default() += 1;
        }
        self.statements.insert(id.to_owned(), Arc::clone(statement));
        Ok(())
    }

    /// The same where nothing can be refused, because ids differ. Should it be, nobody gets by without what is missing then.
    pub(super) fn add_or_deny(&mut self, id: &str, statement: &Arc<Compiled>) {
        if let Err(why) = self.add(id, statement) {
            self.unanswerable = Some(Unanswerable(why));
        }
    }

    /// Removes a statement, if it is there.
    pub(super) fn remove(&mut self, id: &str) {
        // An error says that it is not there.
        let _ = self.policies.remove_static(PolicyId::new(id));
        let Some(statement) = self.statements.remove(id) else {
            return;
        };
        self.answers.forget();
        for attribute in &statement.asks {
            if let Some(count) = self.asked.get_mut(attribute) {
                *count -= 1;
                if *count == 0 {
                    self.asked.remove(attribute);
                }
            }
        }
    }

    /// Puts the question. Ids of the statements that decided come with the answer.
    pub(super) fn ask(
        &self,
        request: &Request<'_>,
        action: super::Action,
        target: Target,
    ) -> Result<Answer, Unanswerable> {
        if let Some(why) = &self.unanswerable {
            return Err(why.clone());
        }
        if self.policies.is_empty() {
            return Ok((Says::Nothing, Vec::new()));
        }
        let (identity, question) = (&request.principal.identity, (action, target));
        let steady = self.asked.keys().all(|attribute| STEADY.contains(attribute));
        if steady && let Some(answer) = self.answers.find(identity, question) {
            return Ok(answer);
        }
        let answer = self.evaluate(request, action, target)?;
        if steady {
            self.answers.keep(identity, question, answer.clone());
        }
        Ok(answer)
    }

    fn evaluate(
        &self,
        request: &Request<'_>,
        action: super::Action,
        target: Target,
    ) -> Result<Answer, Unanswerable> {
        let unanswerable = |error: &dyn std::fmt::Display| Unanswerable(error.to_string());
        let context = Context::from_pairs(self.context(request, action, target))
            .map_err(|error| unanswerable(&error))?;
        let one = nobody().ok_or_else(|| unanswerable(&"its name is not one"))?;
        let question = cedar_policy::Request::new(one.clone(), one.clone(), one, context, None)
            .map_err(|error| unanswerable(&error))?;
        let response = Authorizer::new().is_authorized(&question, &self.policies, &Entities::empty());
        let diagnostics = response.diagnostics();
        let deciding: Vec<String> = diagnostics.reason().map(ToString::to_string).collect();
        // INVARIANT: a statement that cannot be evaluated denies. Cedar leaves it out, which would weaken a Deny.
        let says = match response.decision() {
            _ if diagnostics.errors().next().is_some() => Says::Deny,
            Decision::Allow => Says::Allow,
            Decision::Deny if deciding.is_empty() => Says::Nothing,
            Decision::Deny => Says::Deny,
        };
        Ok((says, deciding))
    }

    fn context(
        &self,
        request: &Request<'_>,
        action: super::Action,
        target: Target,
    ) -> Vec<(String, RestrictedExpression)> {
        self.asked
            .keys()
            .map(|attribute| {
                (
                    (*attribute).to_owned(),
                    self.attribute(attribute, request, action, target),
                )
            })
            .collect()
    }

    fn attribute(
        &self,
        attribute: &str,
        request: &Request<'_>,
        action: super::Action,
        target: Target,
    ) -> RestrictedExpression {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let flag = RestrictedExpression::new_bool;
        let (facts, identity) = (request.facts, &request.principal.identity);
        let labels = |labels: &Option<BTreeMap<String, String>>| {
            texts(labels.iter().flatten().map(|(key, value)| label(key, value)))
        };
        match attribute {
            "action" => text(action.as_str()),
            "kind" => text(match target {
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
            "met" => texts(self.met(request).into_iter()),
            // Nothing asks for anything else; what did would find nothing, and deny.
            _ => flag(false),
        }
    }

    /// What Cedar cannot work out itself, and holds.
    fn met(&self, request: &Request<'_>) -> Vec<String> {
        // Beyond the calendar no window is open.
        let open = |window: &DailyWindow| window.contains(request.facts.now).unwrap_or(false);
        let member = |patterns: &[Pattern]| {
            let mut groups = request.principal.groups.iter();
            groups.any(|group| patterns.iter().any(|pattern| pattern.matches(group)))
        };
        let windows = self
            .statements
            .values()
            .filter(|statement| statement.window.as_ref().is_some_and(open))
            .map(|statement| met_word(&statement.met, "window"));
        let groups = self
            .statements
            .values()
            .filter(|statement| member(&statement.groups))
            .map(|statement| met_word(&statement.met, "groups"));
        windows.chain(groups).collect()
    }
}

fn texts(texts: impl Iterator<Item = String>) -> RestrictedExpression {
    RestrictedExpression::new_set(texts.map(RestrictedExpression::new_string))
}

/// Principal, action and resource of every question: everything that is known stands in the context, and these are not looked at.
fn nobody() -> Option<EntityUid> {
    static NOBODY: LazyLock<Option<EntityUid>> = LazyLock::new(|| "Strongroom::\"request\"".parse().ok());
    NOBODY.clone()
}
