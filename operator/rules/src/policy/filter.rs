//! Which statements are evaluated for a request: those whose names, actions and conditions fit it. Takes time
//! that no author of a policy can drive beyond the length of what they wrote.
//!
//! INVARIANT: what does not pass does not apply. What passes is decided by Cedar.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use strongroom_crds::v1alpha1::PolicyConditions;

use super::Action;
use super::evaluate::QuestionTarget;
use super::pattern::Pattern;
use super::range::Range;
use super::request::{Identity, Request};
use crate::schedule::DailyWindow;

/// A name without wildcards that a statement is about. Statements keep digests of theirs, and names that
/// differ seldom have the same: then a statement passes in vain.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum Exact<'a> {
    /// A ServiceAccount, by namespace and name.
    Account(&'a str, &'a str),
    User(&'a str),
    Group(&'a str),
    /// The managers of a product, by its code.
    Product(&'a str),
    /// A secret, by namespace and name.
    Secret(&'a str, &'a str),
    /// A customer's key, by namespace and name.
    Key(&'a str, &'a str),
}

/// Names with wildcards that a statement is about.
#[derive(Clone, Debug)]
pub(super) enum Wild {
    /// ServiceAccounts, by namespace and name.
    Account(Pattern, Pattern),
    User(Pattern),
    Group(Pattern),
    /// Secrets, by namespace and name.
    Secret(Pattern, Pattern),
    /// Customers' keys, by namespace and name.
    Key(Pattern, Pattern),
}

impl Wild {
    /// Number of wildcards.
    pub(super) fn wildcards(&self) -> usize {
        match self {
            Self::Account(namespace, name) | Self::Secret(namespace, name) | Self::Key(namespace, name) => {
                namespace.wildcards() + name.wildcards()
            }
            Self::User(pattern) | Self::Group(pattern) => pattern.wildcards(),
        }
    }

    fn matches(&self, request: &Request<'_>, target: QuestionTarget) -> bool {
        let (secret, identity) = (request.secret, &request.principal.identity);
        match (self, identity) {
            (Self::Account(of, named), Identity::ServiceAccount { namespace, name }) => {
                of.matches(namespace) && named.matches(name)
            }
            (Self::User(pattern), Identity::User(name)) => pattern.matches(name),
            (Self::Account(..), Identity::User(_)) | (Self::User(_), Identity::ServiceAccount { .. }) => {
                false
            }
            (Self::Group(pattern), _) => {
                let mut groups = request.principal.groups.iter();
                groups.any(|group| pattern.matches(group))
            }
            (Self::Secret(of, named), _) => {
                target == QuestionTarget::Secret && of.matches(secret.namespace) && named.matches(secret.name)
            }
            (Self::Key(of, named), _) => {
                let key = request.key.map(|(_, key)| key);
                target == QuestionTarget::Key
                    && of.matches(secret.namespace)
                    && key.is_some_and(|key| named.matches(key))
            }
        }
    }
}

fn digest(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

fn digests(all: impl Iterator<Item = impl Hash>) -> Box<[u64]> {
    let mut digests: Vec<u64> = all.map(digest).collect();
    digests.sort_unstable();
    digests.into()
}

/// A request as filters look at it.
#[derive(Debug)]
pub(super) struct Probe<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) action: Action,
    pub(super) target: QuestionTarget,
    /// Digests of the names that it is of and about.
    names: Vec<u64>,
    /// Digests of the stages of the version that is asked for, and of its id.
    stages: Vec<u64>,
    version: u64,
}

impl<'a> Probe<'a> {
    pub(super) fn new(request: &'a Request<'a>, action: Action, target: QuestionTarget) -> Self {
        let secret = request.secret;
        let who = match &request.principal.identity {
            Identity::ServiceAccount { namespace, name } => Exact::Account(namespace, name),
            Identity::User(name) => Exact::User(name),
        };
        let what = match (target, request.key) {
            (QuestionTarget::Secret, _) => Some(Exact::Secret(secret.namespace, secret.name)),
            (QuestionTarget::Key, key) => key.map(|(_, key)| Exact::Key(secret.namespace, key)),
        };
        let groups = request.principal.groups.iter().map(|group| Exact::Group(group));
        // More than an Allow counts: what passes is decided by Cedar.
        let named_by = request.products.named_by.iter();
        let products = named_by.map(|code| Exact::Product(code.as_str()));
        Self {
            request,
            action,
            target,
            names: [who]
                .into_iter()
                .chain(what)
                .chain(groups)
                .chain(products)
                .map(digest)
                .collect(),
            stages: request
                .facts
                .stages
                .iter()
                .map(|stage| digest(stage.as_str()))
                .collect(),
            version: digest(request.facts.version.as_deref().unwrap_or_default()),
        }
    }
}

/// What a statement is about, and when.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// A bit for each action.
    actions: u32,
    /// Digests of the names without wildcards, in order.
    exact: Box<[u64]>,
    /// The names with wildcards.
    pub(super) wild: Vec<Wild>,
    /// Digests, in order.
    stages: Option<Box<[u64]>>,
    /// Digests, in order.
    versions: Option<Box<[u64]>>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    pub(super) window: Option<DailyWindow>,
    pod_labels: Option<BTreeMap<String, String>>,
    node_labels: Option<BTreeMap<String, String>>,
    ranges: Option<Vec<Range>>,
    /// What is unknown fulfils a condition of a Deny, and none of an Allow.
    unknown: bool,
}

const fn bit(action: Action) -> u32 {
    1 << (action as u32)
}

impl Filter {
    pub(super) fn new(
        actions: &BTreeSet<Action>,
        exact: &[Exact<'_>],
        wild: Vec<Wild>,
        (deny, conditions): (bool, &PolicyConditions),
        window: Option<DailyWindow>,
    ) -> Self {
        let texts = |texts: &Option<Vec<String>>| {
            let texts = texts.as_ref()?.iter();
            Some(digests(texts.map(String::as_str)))
        };
        Self {
            actions: actions.iter().fold(0, |bits, action| bits | bit(*action)),
            exact: digests(exact.iter()),
            wild,
            stages: texts(&conditions.stages),
            versions: texts(&conditions.versions),
            from: conditions.not_before.as_ref().map(|time| time.0),
            until: conditions.not_after.as_ref().map(|time| time.0),
            window,
            pod_labels: conditions.pod_labels.clone(),
            node_labels: conditions.node_labels.clone(),
            ranges: conditions
                .source_ranges
                .as_ref()
                .map(|ranges| ranges.iter().filter_map(|text| Range::parse(text)).collect()),
            unknown: deny,
        }
    }

    /// Whether the statement may apply.
    pub(super) fn passes(&self, probe: &Probe<'_>) -> bool {
        self.actions & bit(probe.action) != 0
            && self.in_time(probe)
            && self.of_version(probe)
            && self.names(probe)
            && self.origin_fits(probe)
            && self.window.as_ref().is_none_or(|_| self.window_is_open(probe))
    }

    /// Whether it is inside the window of the day. Beyond the calendar no window is open.
    pub(super) fn window_is_open(&self, probe: &Probe<'_>) -> bool {
        let now = probe.request.facts.now;
        let open = |window: &DailyWindow| window.contains(now).unwrap_or(false);
        self.window.as_ref().is_some_and(open)
    }

    /// Whether one of the names with wildcards stands for the request's.
    pub(super) fn met(&self, probe: &Probe<'_>) -> bool {
        self.wild
            .iter()
            .any(|wild| wild.matches(probe.request, probe.target))
    }

    fn names(&self, probe: &Probe<'_>) -> bool {
        let named = |name: &u64| self.exact.binary_search(name).is_ok();
        probe.names.iter().any(named) || self.met(probe)
    }

    fn in_time(&self, probe: &Probe<'_>) -> bool {
        let now = probe.request.facts.now;
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    fn of_version(&self, probe: &Probe<'_>) -> bool {
        let has = |wanted: &[u64], one: &u64| wanted.binary_search(one).is_ok();
        let stages = |wanted: &[u64]| probe.stages.iter().any(|stage| has(wanted, stage));
        self.stages.as_deref().is_none_or(stages)
            && self
                .versions
                .as_deref()
                .is_none_or(|wanted| has(wanted, &probe.version))
    }

    fn origin_fits(&self, probe: &Probe<'_>) -> bool {
        let facts = probe.request.facts;
        let labels = |wanted: &Option<BTreeMap<String, String>>, has: &Option<BTreeMap<String, String>>| {
            wanted.as_ref().is_none_or(|wanted| match has {
                None => self.unknown,
                Some(has) => wanted.iter().all(|(key, value)| has.get(key) == Some(value)),
            })
        };
        labels(&self.pod_labels, &facts.pod_labels)
            && labels(&self.node_labels, &facts.node_labels)
            && self.ranges.as_ref().is_none_or(|ranges| match facts.source {
                None => self.unknown,
                Some(source) => ranges.iter().any(|range| range.has(source)),
            })
    }
}
