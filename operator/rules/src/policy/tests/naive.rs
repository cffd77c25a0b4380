//! The decision against an evaluator that reads the policies as they are written, one after the other.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use strongroom_crds::v1alpha1::{
    PolicyConditions, PolicyEffect, PolicyIdentities, PolicyPrincipal, PolicyStatement, SecretPolicySpec,
    Window,
};

use super::{account, request, user};
use crate::policy::{Action, Identity, PolicySet, PolicySource, Principal, Request, RequestFacts, decide};

fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    fn walk(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| walk(rest, &text[skip..])),
            Some((c, rest)) => text.first() == Some(c) && walk(rest, &text[1..]),
        }
    }
    walk(&pattern, &text)
}

fn inside(range: &str, address: std::net::IpAddr) -> bool {
    let (network, length) = range.split_once('/').unwrap();
    let (network, length): (std::net::Ipv4Addr, u32) = (network.parse().unwrap(), length.parse().unwrap());
    match address {
        std::net::IpAddr::V4(address) => {
            let mask = if length == 0 { 0 } else { u32::MAX << (32 - length) };
            u32::from(network) & mask == u32::from(address) & mask
        }
        std::net::IpAddr::V6(_) => false,
    }
}

struct Naive<'a> {
    policies: &'a [(String, SecretPolicySpec)],
    request: &'a Request<'a>,
}

impl Naive<'_> {
    fn holds(&self, deny: bool, conditions: &PolicyConditions) -> bool {
        let facts = self.request.facts;
        let labels = |wanted: &Option<std::collections::BTreeMap<String, String>>,
                      has: &Option<std::collections::BTreeMap<String, String>>| {
            wanted.as_ref().is_none_or(|wanted| match has {
                None => deny,
                Some(has) => wanted.iter().all(|(key, value)| has.get(key) == Some(value)),
            })
        };
        conditions
            .stages
            .as_ref()
            .is_none_or(|stages| stages.iter().any(|stage| facts.stages.contains(stage)))
            && conditions
                .versions
                .as_ref()
                .is_none_or(|ids| ids.iter().any(|id| facts.version.as_ref() == Some(id)))
            && conditions
                .not_before
                .as_ref()
                .is_none_or(|from| facts.now >= from.0)
            && conditions
                .not_after
                .as_ref()
                .is_none_or(|until| facts.now < until.0)
            && conditions.window.as_ref().is_none_or(|window| {
                // The windows of this test lie inside a day of UTC.
                let time = facts.now.to_zoned(jiff::tz::TimeZone::UTC).time().to_string();
                time[..5] >= *window.start && time[..5] < *window.end
            })
            && labels(&conditions.pod_labels, &facts.pod_labels)
            && labels(&conditions.node_labels, &facts.node_labels)
            && conditions
                .source_ranges
                .as_ref()
                .is_none_or(|ranges| match facts.source {
                    None => deny,
                    Some(source) => ranges.iter().any(|range| inside(range, source)),
                })
    }

    /// Effects of the statements of one kind that are about this use.
    fn effects(&self, identity: bool, action: Action, key: Option<&str>) -> Vec<PolicyEffect> {
        let principal = self.request.principal;
        let mut effects = Vec::new();
        for (namespace, policy) in self.policies {
            for statement in &policy.statements {
                let about = if let Some(identities) = policy.identities.as_ref().filter(|_| identity) {
                    let Identity::ServiceAccount {
                        namespace: home,
                        name,
                    } = &principal.identity
                    else {
                        continue;
                    };
                    home == namespace
                        && identities
                            .service_accounts
                            .iter()
                            .any(|pattern| glob(pattern, name))
                        && statement.resources.iter().flatten().any(|resource| {
                            let (of, rest) = resource.split_once(':').unwrap_or((namespace, resource));
                            let (kind, pattern) = rest.split_once('/').unwrap();
                            glob(of, self.request.secret.namespace)
                                && match key {
                                    None => kind == "secret" && glob(pattern, self.request.secret.name),
                                    Some(key) => kind == "key" && glob(pattern, key),
                                }
                        })
                } else if let Some(secrets) = policy.secrets.as_ref().filter(|_| !identity) {
                    namespace == self.request.secret.namespace
                        && secrets
                            .iter()
                            .any(|pattern| glob(pattern, self.request.secret.name))
                        && statement
                            .principals
                            .iter()
                            .flatten()
                            .any(|who| match (who, &principal.identity) {
                                (
                                    PolicyPrincipal::ServiceAccount(text),
                                    Identity::ServiceAccount {
                                        namespace: home,
                                        name,
                                    },
                                ) => {
                                    let (of, pattern) = text.split_once('/').unwrap_or((namespace, text));
                                    glob(of, home) && glob(pattern, name)
                                }
                                (PolicyPrincipal::User(pattern), Identity::User(name)) => glob(pattern, name),
                                (PolicyPrincipal::Group(pattern), _) => {
                                    principal.groups.iter().any(|group| glob(pattern, group))
                                }
                                _ => false,
                            })
                } else {
                    false
                };
                let deny = statement.effect == PolicyEffect::Deny;
                let conditions = statement.conditions.clone().unwrap_or_default();
                if about
                    && statement.actions.iter().any(|pattern| {
                        let in_full = deny || action != Action::PurgeSecret || pattern == action.as_str();
                        in_full && glob(pattern, action.as_str())
                    })
                    && self.holds(deny, &conditions)
                {
                    effects.push(statement.effect);
                }
            }
        }
        effects
    }

    fn allows(&self) -> bool {
        let mut uses = vec![(self.request.action, None)];
        uses.extend(self.request.key.map(|(action, key)| (action, Some(key))));
        uses.into_iter().all(|(action, key)| {
            let identity = self.effects(true, action, key);
            let secret = self.effects(false, action, key);
            if identity.contains(&PolicyEffect::Deny) || secret.contains(&PolicyEffect::Deny) {
                return false;
            }
            match self.request.principal.identity.namespace() {
                None => !secret.is_empty(),
                Some(home) if home == self.request.secret.namespace => {
                    !identity.is_empty() || !secret.is_empty()
                }
                Some(_) => !identity.is_empty() && !secret.is_empty(),
            }
        })
    }
}

fn texts(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    subsequence(of, 1..=2).prop_map(|texts| texts.into_iter().map(str::to_owned).collect())
}

fn time(hour: i64) -> Timestamp {
    Timestamp::from_second(1_795_392_000 + hour * 3600).unwrap()
}

fn conditions() -> impl Strategy<Value = PolicyConditions> {
    let label = || {
        prop::option::weighted(0.2, select(vec!["web", "db"]))
            .prop_map(|value| value.map(|value| [("app".to_owned(), value.to_owned())].into()))
    };
    (
        prop::option::weighted(0.2, texts(&["Current", "Previous", "mine"])),
        prop::option::weighted(0.1, texts(&["v-1", "v-2"])),
        prop::option::weighted(0.1, 0_i64..12),
        prop::option::weighted(0.1, 12_i64..24),
        prop::option::weighted(0.1, select(vec![("02:00", "11:00"), ("10:00", "16:30")])),
        label(),
        label(),
        prop::option::weighted(0.1, texts(&["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0"])),
    )
        .prop_map(
            |(stages, versions, from, until, window, pod_labels, node_labels, source_ranges)| {
                PolicyConditions {
                    stages,
                    versions,
                    not_before: from.map(|hour| Time(time(hour))),
                    not_after: until.map(|hour| Time(time(hour))),
                    window: window.map(|(start, end)| Window {
                        start: start.to_owned(),
                        end: end.to_owned(),
                        ..Window::default()
                    }),
                    pod_labels,
                    node_labels,
                    source_ranges,
                }
            },
        )
}

fn statement(identity: bool) -> impl Strategy<Value = PolicyStatement> {
    let principal = prop_oneof![
        select(vec!["app", "a*", "shop/*", "team-b/app", "*/*"])
            .prop_map(|text| PolicyPrincipal::ServiceAccount(text.to_owned())),
        select(vec!["jane", "j*"]).prop_map(|text| PolicyPrincipal::User(text.to_owned())),
        select(vec!["team-db", "team-*", "system:serviceaccounts:shop"])
            .prop_map(|text| PolicyPrincipal::Group(text.to_owned())),
    ];
    (
        prop::bool::weighted(0.2),
        prop::collection::vec(principal, 1..3),
        texts(&[
            "*",
            "secrets:*",
            "secrets:Get*",
            "secrets:DescribeSecret",
            "secrets:PurgeSecret",
            "keys:Decrypt",
            "keys:*",
        ]),
        texts(&[
            "secret/db",
            "secret/d*",
            "shop:secret/*",
            "*:secret/db",
            "key/pay",
            "shop:key/*",
        ]),
        prop::option::weighted(0.4, conditions()),
    )
        .prop_map(
            move |(deny, principals, actions, resources, conditions)| PolicyStatement {
                sid: None,
                effect: if deny {
                    PolicyEffect::Deny
                } else {
                    PolicyEffect::Allow
                },
                principals: (!identity).then_some(principals),
                actions,
                resources: identity.then_some(resources),
                conditions,
            },
        )
}

fn policies() -> impl Strategy<Value = Vec<(String, SecretPolicySpec)>> {
    let policy = any::<bool>().prop_flat_map(|identity| {
        (
            select(vec!["shop", "team-b"]),
            texts(&["app", "a*", "other"]),
            texts(&["db", "d*", "cache"]),
            prop::collection::vec(statement(identity), 1..3),
        )
            .prop_map(move |(namespace, accounts, secrets, statements)| {
                let spec = SecretPolicySpec {
                    identities: identity.then_some(PolicyIdentities {
                        service_accounts: accounts,
                    }),
                    secrets: (!identity).then_some(secrets),
                    statements,
                };
                (namespace.to_owned(), spec)
            })
    });
    prop::collection::vec(policy, 0..5)
}

fn facts() -> impl Strategy<Value = RequestFacts> {
    let labels = || {
        prop::option::of(select(vec!["web", "db"]))
            .prop_map(|value| value.map(|value| [("app".to_owned(), value.to_owned())].into()))
    };
    (
        0_i64..24,
        texts(&["Current", "Previous", "mine"]),
        prop::option::of(select(vec!["v-1", "v-2", "v-3"])),
        labels(),
        labels(),
        prop::option::of(select(vec!["10.1.2.3", "10.2.0.1", "192.168.1.1", "fd00::1"])),
    )
        .prop_map(
            |(hour, stages, version, pod_labels, node_labels, source)| RequestFacts {
                now: time(hour),
                stages: stages.into_iter().collect(),
                version: version.map(str::to_owned),
                pod_labels,
                node_labels,
                source: source.map(|source| source.parse().unwrap()),
            },
        )
}

fn principal() -> impl Strategy<Value = Principal> {
    select(vec![
        account("shop", "app"),
        account("team-b", "app"),
        account("shop", "batch"),
        user("jane"),
        user("bob"),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn decides_as_the_naive_one(
        policies in policies(),
        facts in facts(),
        principal in principal(),
        action in select(vec![Action::GetSecretValue, Action::DescribeSecret, Action::PurgeSecret]),
        key in prop::option::of(select(vec!["pay", "other"])),
        name in select(vec!["db", "data", "cache"]),
    ) {
        let mut book = PolicySet::default();
        for (index, (namespace, spec)) in policies.iter().enumerate() {
            let source = PolicySource::Policy(format!("p{index}"));
            // What stood there before must leave nothing behind.
            if let Some((_, before)) = policies.first() {
                book.put(namespace, &source, before).unwrap();
            }
            book.put(namespace, &source, spec).unwrap();
        }
        let request = Request { key: key.map(|key| (Action::Decrypt, key)), ..request(&principal, action, name, &facts) };
        let naive = Naive { policies: &policies, request: &request };
        let decision = decide(&book, &request).unwrap();
        prop_assert_eq!(decision.allowed, naive.allows(), "{:?}", decision);
    }
}
