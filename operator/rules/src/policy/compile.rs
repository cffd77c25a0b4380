//! From a statement to a Cedar policy, in Cedar's JSON form: no text of a statement is ever read as policy source.
//!
//! What Cedar's language cannot say (a window of the day, a wildcard over groups) is worked out for each request beforehand, and the policy
//! asks whether it is `met`.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use serde_json::{Value as Json, json};
use strongroom_crds::v1alpha1::{
    PolicyConditions, PolicyEffect, PolicyPrincipal, PolicyStatement, SecretPolicySpec,
};

use super::Action;
use super::pattern::Pattern;
use super::source::Source;
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
    #[error("it is missing; a policy for identities needs resources, one for secrets needs principals")]
    Missing,
    /// No operation has a name like this.
    #[error("`{0}` is no action; actions are like `secrets:GetSecretValue` or `keys:Decrypt`")]
    Action(String),
    /// Not a resource.
    #[error(
        "`{0}` is no resource; write `secret/<name>` or `key/<name>`, with `<namespace>:` before it for another namespace"
    )]
    Resource(String),
    /// Not a ServiceAccount.
    #[error("`{0}` is no ServiceAccount; write `<name>` or `<namespace>/<name>`")]
    ServiceAccount(String),
    /// Not a range of addresses.
    #[error("`{0}` is no range of addresses; write them like `10.0.0.0/8`")]
    Range(String),
    /// The window means nothing.
    #[error("the window means nothing: {0}")]
    Window(ScheduleError),
    /// Cedar refuses what was made.
    #[error("it cannot be compiled: {0}")]
    Cedar(String),
}

/// What a policy is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attachment {
    /// ServiceAccounts of its namespace, by name.
    Identities(Vec<Pattern>),
    /// Secrets of its namespace, by name.
    Secrets(Vec<Pattern>),
}

impl Attachment {
    /// Whether statements are asked only about the names that they are attached to, so that they need not test them.
    pub(super) fn is_exact(&self) -> bool {
        let (Self::Identities(names) | Self::Secrets(names)) = self;
        names.iter().all(|name| name.exact().is_some())
    }

    /// The names without wildcards, each once.
    pub(super) fn exact_names(&self) -> BTreeSet<&str> {
        let (Self::Identities(names) | Self::Secrets(names)) = self;
        names.iter().filter_map(Pattern::exact).collect()
    }
}

/// One statement, compiled.
#[derive(Debug)]
pub(super) struct Compiled {
    /// Under no id of its own: statements that say the same share it.
    pub(super) policy: cedar_policy::Policy,
    /// The word for what is worked out for each request beforehand.
    pub(super) met: String,
    pub(super) window: Option<DailyWindow>,
    /// Groups with wildcards.
    pub(super) groups: Vec<Pattern>,
    /// What it asks of the context.
    pub(super) asks: BTreeSet<&'static str>,
}

/// Statements by what they say to Cedar: secrets that have the same readers have them in memory once.
#[derive(Debug, Default)]
pub(super) struct Said {
    statements: HashMap<String, Weak<Compiled>>,
}

impl Said {
    /// Forgets what nobody says any more.
    pub(super) fn forget(&mut self) {
        self.statements.retain(|_, compiled| compiled.strong_count() > 0);
    }
}

/// What the policy is attached to, and its statements in their order.
pub(super) fn compile(
    namespace: &str,
    source: &Source,
    spec: &SecretPolicySpec,
    said: &mut Said,
) -> Result<(Attachment, Vec<Arc<Compiled>>), CompileError> {
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
            Compiler {
                namespace,
                number: index + 1,
                met: source.statement_id(index),
                deny: statement.effect == PolicyEffect::Deny,
            }
            .statement(&attachment, statement, said)
        })
        .collect::<Result<_, _>>()?;
    Ok((attachment, statements))
}

/// Whether a policy compiles.
///
/// # Errors
/// [`CompileError`] where it does not, and then it would change nothing.
pub fn check(namespace: &str, spec: &SecretPolicySpec) -> Result<(), CompileError> {
    let said = &mut Said::default();
    compile(namespace, &Source::Policy("policy".to_owned()), spec, said).map(drop)
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
    /// The word for what is worked out beforehand.
    met: String,
    deny: bool,
}

impl Compiler<'_> {
    fn error(&self, field: impl Into<String>, column: usize, reason: CompileReason) -> CompileError {
        error(self.number, field, column, reason)
    }

    fn statement(
        &self,
        attachment: &Attachment,
        statement: &PolicyStatement,
        said: &mut Said,
    ) -> Result<Arc<Compiled>, CompileError> {
        let mut groups = Vec::new();
        let names = |attribute, names: &[Pattern]| {
            if attachment.is_exact() {
                return json!({"Value": true});
            }
            any(names.iter().map(|name| like(attribute, name)).collect())
        };
        let missing = |field| self.error(field, 1, CompileReason::Missing);
        let who_and_what = match attachment {
            Attachment::Identities(accounts) => {
                let resources = statement
                    .resources
                    .as_deref()
                    .filter(|resources| !resources.is_empty())
                    .ok_or_else(|| missing("resources"))?;
                let resources = resources
                    .iter()
                    .enumerate()
                    .map(|(index, text)| self.resource(index, text))
                    .collect::<Result<Vec<_>, _>>()?;
                // The set of a namespace is asked only about ServiceAccounts of it.
                vec![names("account", accounts), any(resources)]
            }
            Attachment::Secrets(secrets) => {
                let principals = statement
                    .principals
                    .as_deref()
                    .filter(|principals| !principals.is_empty())
                    .ok_or_else(|| missing("principals"))?;
                let principals = principals
                    .iter()
                    .enumerate()
                    .map(|(index, principal)| self.principal(index, principal, &mut groups))
                    .collect::<Result<Vec<_>, _>>()?;
                vec![names("secret", secrets), any(principals)]
            }
        };
        let mut all_of = who_and_what;
        all_of.push(self.actions(&statement.actions)?);
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
        let text = policy.to_string();
        // INVARIANT: a window and patterns of groups do not stand in the text, so that equal texts with them may say different things.
        let all_in_text = window.is_none() && groups.is_empty();
        if all_in_text && let Some(same) = said.statements.get(&text).and_then(Weak::upgrade) {
            return Ok(same);
        }
        let policy = cedar_policy::Policy::from_json(None, policy)
            .map_err(|why| self.error("statement", 1, CompileReason::Cedar(why.to_string())))?;
        let compiled = Arc::new(Compiled {
            policy,
            met: self.met.clone(),
            window,
            groups,
            asks,
        });
        if all_in_text {
            said.statements.insert(text, Arc::downgrade(&compiled));
        }
        Ok(compiled)
    }

    fn actions(&self, actions: &[String]) -> Result<Json, CompileError> {
        let mut choices = Vec::new();
        for (index, text) in actions.iter().enumerate() {
            let pattern = Pattern::new(text);
            if !Action::ALL.iter().any(|action| pattern.matches(action.as_str())) {
                let reason = CompileReason::Action(text.clone());
                return Err(self.error(format!("actions[{index}]"), first_unlike(text), reason));
            }
            choices.push(like("action", &pattern));
        }
        Ok(any(choices))
    }

    fn resource(&self, index: usize, text: &str) -> Result<Json, CompileError> {
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
        let attribute = match kind {
            "secret" => "secret",
            "key" => "key",
            _ => return Err(refuse(before + 1)),
        };
        if name.is_empty() {
            return Err(refuse(text.len() + 1));
        }
        Ok(all(vec![
            json!({"==": {"left": context("kind"), "right": {"Value": attribute}}}),
            like("namespace", &Pattern::new(namespace)),
            like(attribute, &Pattern::new(name)),
        ]))
    }

    fn principal(
        &self,
        index: usize,
        principal: &PolicyPrincipal,
        groups: &mut Vec<Pattern>,
    ) -> Result<Json, CompileError> {
        Ok(match principal {
            PolicyPrincipal::ServiceAccount(text) => {
                let (namespace, name) = text.split_once('/').unwrap_or((self.namespace, text));
                if namespace.is_empty() || name.is_empty() || name.contains('/') {
                    let column = text.rfind('/').map_or(1, |slash| slash + 1);
                    let reason = CompileReason::ServiceAccount(text.clone());
                    return Err(self.error(format!("principals[{index}].serviceAccount"), column, reason));
                }
                all(vec![
                    // Without this, `*` would stand for the name that a user has not.
                    context("isAccount"),
                    like("accountNamespace", &Pattern::new(namespace)),
                    like("account", &Pattern::new(name)),
                ])
            }
            PolicyPrincipal::User(text) => all(vec![context("isUser"), like("user", &Pattern::new(text))]),
            PolicyPrincipal::Group(text) => {
                let pattern = Pattern::new(text);
                if pattern.exact().is_some() {
                    json!({"contains": {"left": context("groups"), "right": {"Value": text}}})
                } else {
                    groups.push(pattern);
                    met(&self.met, "groups")
                }
            }
        })
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
            all_of.push(met(&self.met, "window"));
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
                if !is_range(text) {
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

fn is_range(text: &str) -> bool {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    length.is_none_or(|length| {
        // Without a leading zero: Cedar refuses it.
        length
            .parse::<u8>()
            .is_ok_and(|number| number <= most && number.to_string() == length)
    })
}

/// A label as one text. No key of a label has a `=`.
pub(super) fn label(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

/// The word under which a request says that something was worked out and holds.
pub(super) fn met_word(statement: &str, what: &str) -> String {
    format!("{what} {statement}")
}

fn met(statement: &str, what: &str) -> Json {
    json!({"contains": {"left": context("met"), "right": {"Value": met_word(statement, what)}}})
}

/// What can be asked of the context.
const ATTRIBUTES: [&str; 21] = [
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

fn like(attribute: &str, pattern: &Pattern) -> Json {
    match pattern.exact() {
        Some(text) => json!({"==": {"left": context(attribute), "right": {"Value": text}}}),
        None => json!({"like": {"left": context(attribute), "pattern": pattern.cedar()}}),
    }
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
