//! From a statement to a Cedar policy, in Cedar's JSON form: no text of a statement is ever read as policy
//! source.
//!
//! What Cedar's language cannot say (a window of the day), and what takes it more than a time in proportion
//! to its length (a name with wildcards), is worked out for each request beforehand, and the policy asks
//! whether it is `met`.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::PolicySet;
use serde_json::{Value as Json, json};
use strongroom_crds::v1alpha1::{
    PolicyConditions, PolicyEffect, PolicyPrincipal, PolicyStatement, SecretPolicySpec,
};
use strongroom_model::{RamPrincipal, RamPrincipalError};

use super::Action;
use super::bounds::Weight;
use super::evaluate::EffectCache;
use super::filter::{Exact, Filter, Wild};
use super::pattern::Pattern;
use super::range::Range;
use super::shared::SharedStatements;
use crate::schedule::{DailyWindow, ScheduleError};

/// Where and why a statement cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("statement {statement}, {field}, column {column}: {reason}")]
pub struct CompileError {
    /// Its number, from 1.
    pub statement: usize,
    /// The field, as in `resources[2]`, counted from 0 as in the YAML path.
    pub field: String,
    /// The character of the field's text, from 1.
    pub column: usize,
    /// What is wrong, and what to do.
    pub reason: CompileReason,
}

/// Why a statement cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileReason {
    /// The policy says neither, or both.
    #[error("set exactly one of identities, secrets")]
    Attachment,
    /// A list that the kind of policy needs is absent.
    #[error(
        "it is missing; a policy for identities needs `resources`, a policy for secrets needs `principals`"
    )]
    Missing,
    /// No operation has a name like this.
    #[error("`{0}` is not an action; actions are like `secrets:GetSecretValue` or `keys:Decrypt`")]
    Action(String),
    /// A pattern of an Allow, of actions that destroy.
    #[error("`{0}` allows nothing: a destructive action must be named in full, as in `secrets:PurgeSecret`")]
    Destroys(String),
    /// Not a resource.
    #[error(
        "`{0}` is not a resource; write `secret/<name>` or `key/<name>`, with `<namespace>:` before it for another namespace"
    )]
    Resource(String),
    /// Not a ServiceAccount.
    #[error("`{0}` is not a ServiceAccount; write `<name>` or `<namespace>/<name>`")]
    ServiceAccount(String),
    /// Not a principal of RAM.
    #[error(transparent)]
    Ram(RamPrincipalError),
    /// Not a range of addresses.
    #[error("`{0}` is not an address range; write it like `10.0.0.0/8`")]
    Range(String),
    /// The window means nothing.
    #[error("the window is invalid: {0}")]
    Window(ScheduleError),
    /// Cedar refuses what was made.
    #[error("it cannot be compiled: {0}")]
    Cedar(String),
}

/// What a policy is attached to.
#[derive(Clone, Debug)]
pub(super) enum Attachment {
    /// ServiceAccounts of its namespace, by name.
    Identities(Vec<Pattern>),
    /// Secrets of its namespace, by name.
    Secrets(Vec<Pattern>),
}

impl Attachment {
    pub(super) fn names(&self) -> &[Pattern] {
        let (Self::Identities(names) | Self::Secrets(names)) = self;
        names
    }
}

/// A policy, compiled: what it is attached to, and its statements in their order.
#[derive(Debug)]
pub struct CompiledPolicy {
    pub(super) attachment: Attachment,
    pub(super) statements: Vec<Arc<CompiledStatement>>,
    pub(super) sids: Vec<Option<String>>,
    /// Whether a statement asks for labels of a pod or a node.
    pub(super) asks_labels: bool,
    pub(super) weight: Weight,
}

/// A statement as Cedar policies, and what is looked at before Cedar is asked.
#[derive(Debug)]
pub(super) struct CompiledStatement {
    pub(super) deny: bool,
    /// Which requests it is put to.
    pub(super) filter: Filter,
    /// The statement alone, as Cedar has it.
    pub(super) policies: PolicySet,
    /// What it asks of the context.
    pub(super) asks: BTreeSet<&'static str>,
    /// What it said before.
    pub(super) answers: EffectCache,
}

/// Compiles a policy of a namespace. Statements that are among the shared ones already are not compiled
/// again.
///
/// # Errors
/// [`CompileError`] says where and why not.
pub fn compile(
    namespace: &str,
    spec: &SecretPolicySpec,
    shared: &SharedStatements,
) -> Result<CompiledPolicy, CompileError> {
    let attachment = match (&spec.identities, &spec.secrets) {
        (Some(identities), None) => Attachment::Identities(patterns(&identities.service_accounts)),
        (None, Some(secrets)) => Attachment::Secrets(patterns(secrets)),
        _ => return Err(error(0, "spec", 1, CompileReason::Attachment)),
    };
    let statements = spec
        .statements
        .iter()
        .enumerate()
        .map(|(index, statement)| {
            let compiler = Compiler {
                namespace,
                number: index + 1,
                deny: statement.effect == PolicyEffect::Deny,
            };
            let identities = matches!(attachment, Attachment::Identities(_));
            shared.get_or_compile((namespace, identities, statement), || {
                compiler.statement(&attachment, statement)
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let conditions = || {
        spec.statements
            .iter()
            .filter_map(|statement| statement.conditions.as_ref())
    };
    Ok(CompiledPolicy {
        weight: Weight::new(&attachment, &statements),
        sids: spec
            .statements
            .iter()
            .map(|statement| statement.sid.clone())
            .collect(),
        asks_labels: conditions().any(|asked| asked.pod_labels.is_some() || asked.node_labels.is_some()),
        attachment,
        statements,
    })
}

/// Whether a policy compiles.
///
/// # Errors
/// [`CompileError`] where it does not, and then it would change nothing.
pub fn check(namespace: &str, spec: &SecretPolicySpec) -> Result<(), CompileError> {
    compile(namespace, spec, &SharedStatements::default()).map(drop)
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text)).collect()
}

fn error(statement: usize, field: impl Into<String>, column: usize, reason: CompileReason) -> CompileError {
    CompileError {
        statement,
        field: field.into(),
        column,
        reason,
    }
}

/// What the compilation of one statement knows.
struct Compiler<'a> {
    namespace: &'a str,
    number: usize,
    deny: bool,
}

/// The names that a statement is about.
#[derive(Default)]
struct Names<'a> {
    exact: Vec<Exact<'a>>,
    wild: Vec<Wild>,
    /// The names without wildcards, as Cedar asks about them.
    clauses: Vec<Json>,
}

impl<'a> Names<'a> {
    fn exact(&mut self, name: Exact<'a>, clause: Json) {
        self.exact.push(name);
        self.clauses.push(clause);
    }
}

impl<'a> Compiler<'a> {
    fn error(&self, field: impl Into<String>, column: usize, reason: CompileReason) -> CompileError {
        error(self.number, field, column, reason)
    }

    /// INVARIANT: what the policy is attached to is not part of it: it is asked only about that.
    fn statement(
        &self,
        attachment: &Attachment,
        statement: &'a PolicyStatement,
    ) -> Result<CompiledStatement, CompileError> {
        let missing = |field| self.error(field, 1, CompileReason::Missing);
        let mut names = Names::default();
        match attachment {
            Attachment::Identities(_) => {
                let resources = statement.resources.as_deref().filter(|all| !all.is_empty());
                let resources = resources.ok_or_else(|| missing("resources"))?;
                for (index, text) in resources.iter().enumerate() {
                    self.resource(index, text, &mut names)?;
                }
            }
            Attachment::Secrets(_) => {
                let principals = statement.principals.as_deref().filter(|all| !all.is_empty());
                let principals = principals.ok_or_else(|| missing("principals"))?;
                for (index, principal) in principals.iter().enumerate() {
                    self.principal(index, principal, &mut names)?;
                }
            }
        }
        let Names {
            exact,
            wild,
            mut clauses,
        } = names;
        if !wild.is_empty() {
            clauses.push(met(MET_NAMES));
        }
        let actions = self.actions(&statement.actions)?;
        let mut all_of = vec![any(clauses), covers(&actions)];
        let conditions = statement.conditions.clone().unwrap_or_default();
        let window = conditions
            .window
            .as_ref()
            .map(DailyWindow::parse)
            .transpose()
            .map_err(|why| self.error("conditions.window", 1, CompileReason::Window(why)))?;
        self.conditions(&conditions, &mut all_of)?;
        let body = all(all_of);
        let mut asks = BTreeSet::new();
        asked(&body, &mut asks);
        let policy = json!({
            "effect": if self.deny { "forbid" } else { "permit" },
            "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"},
            "conditions": [{"kind": "when", "body": body}],
        });
        let cedar =
            |why: &dyn std::fmt::Display| self.error("statement", 1, CompileReason::Cedar(why.to_string()));
        let policy = cedar_policy::Policy::from_json(None, policy).map_err(|why| cedar(&why))?;
        let mut policies = PolicySet::new();
        policies.add(policy).map_err(|why| cedar(&why))?;
        Ok(CompiledStatement {
            deny: self.deny,
            filter: Filter::new(&actions, &exact, wild, (self.deny, &conditions), window),
            policies,
            answers: EffectCache::new(&asks),
            asks,
        })
    }

    /// The actions that the patterns stand for.
    ///
    /// INVARIANT: no pattern of an Allow stands for an action that destroys; any pattern of a Deny does.
    fn actions(&self, patterns: &[String]) -> Result<BTreeSet<Action>, CompileError> {
        let mut covered = BTreeSet::new();
        for (index, text) in patterns.iter().enumerate() {
            let pattern = Pattern::new(text);
            let in_full = self.deny || pattern.exact().is_some();
            let matched = || {
                Action::ALL
                    .iter()
                    .filter(|action| pattern.matches(action.as_str()))
            };
            let reason = if matched().next().is_none() {
                Some(CompileReason::Action(text.clone()))
            } else if !in_full && matched().all(|action| action.destroys()) {
                Some(CompileReason::Destroys(text.clone()))
            } else {
                None
            };
            if let Some(reason) = reason {
                return Err(self.error(format!("actions[{index}]"), first_unlike(text), reason));
            }
            covered.extend(matched().filter(|action| in_full || !action.destroys()));
        }
        Ok(covered)
    }

    fn resource(&self, index: usize, text: &'a str, names: &mut Names<'a>) -> Result<(), CompileError> {
        let refuse = |column| {
            let reason = CompileReason::Resource(text.to_owned());
            self.error(format!("resources[{index}]"), column, reason)
        };
        let (namespace, rest, before) = match text.split_once(':') {
            Some((namespace, rest)) => (namespace, rest, namespace.len() + 1),
            None => (self.namespace, text, 0),
        };
        if namespace.is_empty() {
            return Err(refuse(1));
        }
        let (kind, name) = rest.split_once('/').ok_or_else(|| refuse(text.len() + 1))?;
        if !matches!(kind, "secret" | "key") {
            return Err(refuse(before + 1));
        }
        if name.is_empty() {
            return Err(refuse(text.len() + 1));
        }
        let is_secret = kind == "secret";
        if namespace.contains('*') || name.contains('*') {
            let (namespace, name) = (Pattern::new(namespace), Pattern::new(name));
            names.wild.push(if is_secret {
                Wild::Secret(namespace, name)
            } else {
                Wild::Key(namespace, name)
            });
            return Ok(());
        }
        let clause = all(vec![is("kind", kind), is("namespace", namespace), is(kind, name)]);
        let exact = if is_secret {
            Exact::Secret(namespace, name)
        } else {
            Exact::Key(namespace, name)
        };
        names.exact(exact, clause);
        Ok(())
    }

    fn principal(
        &self,
        index: usize,
        principal: &'a PolicyPrincipal,
        names: &mut Names<'a>,
    ) -> Result<(), CompileError> {
        match principal {
            PolicyPrincipal::ServiceAccount(text) => {
                let (namespace, name) = text.split_once('/').unwrap_or((self.namespace, text));
                if namespace.is_empty() || name.is_empty() || name.contains('/') {
                    let column = text.rfind('/').map_or(1, |slash| slash + 1);
                    let reason = CompileReason::ServiceAccount(text.clone());
                    return Err(self.error(format!("principals[{index}].serviceAccount"), column, reason));
                }
                if namespace.contains('*') || name.contains('*') {
                    let account = Wild::Account(Pattern::new(namespace), Pattern::new(name));
                    names.wild.push(account);
                } else {
                    let (home, account) = (is("accountNamespace", namespace), is("account", name));
                    let clause = all(vec![context("isAccount"), home, account]);
                    names.exact(Exact::Account(namespace, name), clause);
                }
            }
            PolicyPrincipal::User(text) if text.contains('*') => {
                names.wild.push(Wild::User(Pattern::new(text)))
            }
            PolicyPrincipal::User(text) => {
                let clause = all(vec![context("isUser"), is("user", text)]);
                names.exact(Exact::User(text), clause);
            }
            PolicyPrincipal::Group(text) if text.contains('*') => {
                names.wild.push(Wild::Group(Pattern::new(text)));
            }
            PolicyPrincipal::Group(text) => {
                let clause = json!({"contains": {"left": context("groups"), "right": {"Value": text}}});
                names.exact(Exact::Group(text), clause);
            }
            // Whom it stands for takes its place before (`ram_directory`): what is left stands for nobody.
            PolicyPrincipal::Ram(text) => {
                text.parse::<RamPrincipal>().map_err(|why| {
                    self.error(format!("principals[{index}].ram"), 1, CompileReason::Ram(why))
                })?;
            }
            PolicyPrincipal::Product(code) => {
                let clause = json!({"contains": {"left": context("products"), "right": {"Value": code}}});
                names.exact(Exact::Product(code), clause);
            }
        }
        Ok(())
    }

    /// What is unknown does not fulfil a condition of an Allow, and fulfils that of a Deny.
    fn known(&self, known: &str, then: Json) -> Json {
        if self.deny {
            json!({"||": {"left": {"!": {"arg": context(known)}}, "right": then}})
        } else {
            json!({"&&": {"left": context(known), "right": then}})
        }
    }

    fn conditions(&self, conditions: &PolicyConditions, all_of: &mut Vec<Json>) -> Result<(), CompileError> {
        if let Some(stages) = &conditions.stages {
            all_of.push(json!({"containsAny": {"left": context("stages"), "right": set(stages)}}));
        }
        if let Some(versions) = &conditions.versions {
            all_of.push(json!({"contains": {"left": set(versions), "right": context("version")}}));
        }
        if let Some(from) = &conditions.not_before {
            all_of.push(json!({"<=": {"left": {"Value": from.0.as_millisecond()}, "right": context("now")}}));
        }
        if let Some(until) = &conditions.not_after {
            all_of.push(json!({"<": {"left": context("now"), "right": {"Value": until.0.as_millisecond()}}}));
        }
        if conditions.window.is_some() {
            all_of.push(met(MET_WINDOW));
        }
        for (labels, known, attribute) in [
            (&conditions.pod_labels, "podKnown", "podLabels"),
            (&conditions.node_labels, "nodeKnown", "nodeLabels"),
        ] {
            if let Some(labels) = labels {
                let wanted: Vec<String> = labels.iter().map(|(key, value)| label(key, value)).collect();
                let has = json!({"containsAll": {"left": context(attribute), "right": set(&wanted)}});
                all_of.push(self.known(known, has));
            }
        }
        if let Some(ranges) = &conditions.source_ranges {
            let mut inside = Vec::new();
            for (index, text) in ranges.iter().enumerate() {
                if Range::parse(text).is_none() {
                    let reason = CompileReason::Range(text.clone());
                    let field = format!("conditions.sourceRanges[{index}]");
                    let column = text.find('/').map_or(1, |slash| slash + 1);
                    return Err(self.error(field, column, reason));
                }
                inside.push(json!({"isInRange": [context("source"), {"ip": [{"Value": text}]}]}));
            }
            all_of.push(self.known("sourceKnown", any(inside)));
        }
        Ok(())
    }
}

/// The first character, from 1, after which no action goes on like the text.
fn first_unlike(text: &str) -> usize {
    let fits = |end: usize| {
        text.get(..end).is_some_and(|start| {
            let pattern = Pattern::new(&format!("{start}*"));
            Action::ALL.iter().any(|action| pattern.matches(action.as_str()))
        })
    };
    (0..=text.len()).rev().find(|end| fits(*end)).unwrap_or(0) + 1
}

/// A label as one text. No key of a label has a `=`.
pub(super) fn label(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

/// What a request says where one of the names with wildcards stands for its own.
pub(super) const MET_NAMES: &str = "names";
/// What a request says inside the window of the day.
pub(super) const MET_WINDOW: &str = "window";

fn met(what: &str) -> Json {
    json!({"contains": {"left": context("met"), "right": {"Value": what}}})
}

/// What can be asked of the context.
const ATTRIBUTES: [&str; 22] = [
    "account",
    "accountNamespace",
    "action",
    "groups",
    "isAccount",
    "isUser",
    "key",
    "kind",
    "met",
    "namespace",
    "nodeKnown",
    "nodeLabels",
    "now",
    "podKnown",
    "podLabels",
    "products",
    "secret",
    "source",
    "sourceKnown",
    "stages",
    "user",
    "version",
];

/// Collects what an expression asks of the context.
fn asked(body: &Json, asks: &mut BTreeSet<&'static str>) {
    match body {
        Json::Object(fields) => {
            let attribute = fields.get(".").and_then(|access| access.get("attr")?.as_str());
            asks.extend(attribute.and_then(|name| ATTRIBUTES.into_iter().find(|known| *known == name)));
            fields.values().for_each(|field| asked(field, asks));
        }
        Json::Array(items) => items.iter().for_each(|item| asked(item, asks)),
        _ => {}
    }
}

fn context(attribute: &str) -> Json {
    json!({".": {"left": {"Var": "context"}, "attr": attribute}})
}

fn is(attribute: &str, text: &str) -> Json {
    json!({"==": {"left": context(attribute), "right": {"Value": text}}})
}

fn covers(actions: &BTreeSet<Action>) -> Json {
    let names: Vec<String> = actions.iter().map(|action| action.as_str().to_owned()).collect();
    json!({"contains": {"left": set(&names), "right": context("action")}})
}

fn set(texts: &[String]) -> Json {
    let texts: Vec<Json> = texts.iter().map(|text| json!({"Value": text})).collect();
    json!({"Set": texts})
}

fn all(parts: Vec<Json>) -> Json {
    fold("&&", true, parts)
}

fn any(parts: Vec<Json>) -> Json {
    fold("||", false, parts)
}

fn fold(operator: &str, of_none: bool, parts: Vec<Json>) -> Json {
    parts
        .into_iter()
        .reduce(|left, right| json!({operator: {"left": left, "right": right}}))
        .unwrap_or_else(|| json!({"Value": of_none}))
}
