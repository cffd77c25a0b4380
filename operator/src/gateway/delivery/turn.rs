//! What a look at a subscription comes to: pure.

use std::collections::BTreeSet;

use strongroom_api::stream::proto::{Ended, Refusal};
use strongroom_rules::policy::StatementRef;
use strongroom_store::id::SecretId;

use super::ledger::{Told, ValueKey};
use crate::gateway::problem::Code;
use crate::terms::Terms;

/// What a secret looks like to whoever wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It may be read.
    At(Found),
    /// It may not.
    Refused(Refused),
    /// That cannot be said now.
    Unclear(Refused),
}

/// A version that may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Which.
    pub(super) key: ValueKey,
    /// Counts the changes of the secret.
    pub(super) revision: u64,
    /// On which terms.
    pub(super) terms: Terms,
    /// What allows it.
    pub(super) statements: Vec<StatementRef>,
}

/// Why a secret may not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// To a volume that asks.
    pub(super) code: Refusal,
    /// To one that was told of it before.
    pub(super) ended: Ended,
    /// To people.
    pub(super) message: String,
    /// SecretPolicies that would allow it, as YAML.
    pub(super) missing: Vec<String>,
    /// Whether its files go; none: as it was said before.
    pub(super) wipe: Option<bool>,
    /// For the record.
    pub(super) record: Code,
    /// What denies it, for the record.
    pub(super) statements: Vec<StatementRef>,
    /// The secret, for the record.
    pub(super) secret: Option<SecretId>,
}

/// What is to be said. Numbers are places in the subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// It is refused, for the sake of this secret; nothing else is said.
    pub(super) deny: Option<usize>,
    /// Access to these has ended.
    pub(super) end: Vec<(usize, bool)>,
    /// These are told.
    pub(super) point: Vec<usize>,
    /// They are told as all that was asked for.
    pub(super) grant: bool,
    /// It is looked at again before long.
    pub(super) again: bool,
}

/// Compares what was told with what is.
pub(super) fn turn(told: Option<&[Told]>, seen: &[Seen]) -> Turn {
    let Some(told) = told else {
        let refused = seen.iter().position(|seen| !matches!(seen, Seen::At(_)));
        return match refused {
            Some(place) => Turn {
                deny: Some(place),
                ..Turn::default()
            },
            None => Turn {
                point: (0..seen.len()).collect(),
                grant: true,
                ..Turn::default()
            },
        };
    };
    let all = seen.iter().all(|seen| matches!(seen, Seen::At(_)));
    if all && told.iter().any(|told| told.ended.is_some()) {
        return Turn {
            point: (0..seen.len()).collect(),
            grant: true,
            ..Turn::default()
        };
    }
    let mut turn = Turn::default();
    for (place, (told, seen)) in told.iter().zip(seen).enumerate() {
        match seen {
            // Whoever lost access to one secret of a volume gets it back with all of them.
            Seen::At(_) if told.ended.is_some() => {}
            Seen::At(found) if told.key != found.key || told.terms != found.terms => turn.point.push(place),
            Seen::At(_) => {}
            Seen::Refused(refused) => {
                let wipe = refused.wipe.unwrap_or(told.terms.wipe);
                if told.ended != Some(wipe) {
                    turn.end.push((place, wipe));
                }
            }
            Seen::Unclear(_) => turn.again = true,
        }
    }
    turn
}

/// Those of `point` whose value has to be sent, and those that are needed again.
pub(super) fn values(
    turn: &Turn,
    seen: &[Seen],
    fetch: &BTreeSet<usize>,
    has: impl Fn(&ValueKey) -> bool,
) -> Vec<usize> {
    let found = |place: &usize| match seen.get(*place) {
        Some(Seen::At(found)) => Some(found),
        _ => None,
    };
    let needed = turn
        .point
        .iter()
        .filter(|place| found(place).is_some_and(|found| !has(&found.key)));
    let again = fetch.iter().filter(|place| found(place).is_some());
    let all: BTreeSet<usize> = needed.chain(again).copied().collect();
    let mut keys = BTreeSet::new();
    // One value for two places of the same secret.
    all.into_iter()
        .filter(|place| found(place).is_some_and(|found| keys.insert(found.key.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(version: &str) -> ValueKey {
        (SecretId::from_bytes([1; 16]), version.parse().unwrap())
    }

    fn at(version: &str) -> Seen {
        Seen::At(Found {
            key: key(version),
            revision: 1,
            terms: Terms::default(),
            statements: Vec::new(),
        })
    }

    fn refused(wipe: Option<bool>) -> Refused {
        Refused {
            code: Refusal::Policy,
            ended: Ended::Revoked,
            message: String::new(),
            missing: Vec::new(),
            wipe,
            record: Code::PolicyDenied,
            statements: Vec::new(),
            secret: None,
        }
    }

    fn told(version: &str, ended: Option<bool>) -> Told {
        Told {
            key: key(version),
            terms: Terms::default(),
            ended,
        }
    }

    #[test]
    fn a_new_subscription_gets_all_or_nothing() {
        let granted = turn(None, &[at("a"), at("b")]);
        assert_eq!((granted.grant, granted.point), (true, vec![0, 1]));
        for seen in [Seen::Refused(refused(None)), Seen::Unclear(refused(None))] {
            let denied = turn(None, &[at("a"), seen]);
            assert_eq!(denied.deny, Some(1));
            assert!(denied.point.is_empty());
        }
    }

    #[test]
    fn what_is_as_it_was_told_says_nothing() {
        assert_eq!(turn(Some(&[told("a", None)]), &[at("a")]), Turn::default());
        let ended = [told("a", Some(false))];
        assert_eq!(
            turn(Some(&ended), &[Seen::Refused(refused(None))]),
            Turn::default()
        );
    }

    #[test]
    fn a_change_moves_only_what_changed() {
        let moved = turn(Some(&[told("a", None), told("b", None)]), &[at("a"), at("c")]);
        assert_eq!((moved.grant, moved.point), (false, vec![1]));
        // What happens when access ends is told too.
        let mut wiping = at("a");
        if let Seen::At(found) = &mut wiping {
            found.terms.wipe = true;
        }
        assert_eq!(turn(Some(&[told("a", None)]), &[wiping]).point, [0]);
    }

    #[test]
    fn access_ends_once_and_comes_back_whole() {
        let both = [told("a", None), told("b", None)];
        let gone = turn(Some(&both), &[Seen::Refused(refused(Some(true))), at("c")]);
        assert_eq!((gone.end, gone.point), (vec![(0, true)], vec![1]));
        // The owner changes his mind about the files.
        let ended = [told("a", Some(false)), told("b", None)];
        assert_eq!(
            turn(Some(&ended), &[Seen::Refused(refused(Some(true))), at("b")]).end,
            [(0, true)]
        );
        let back = turn(Some(&ended), &[at("a"), at("b")]);
        assert_eq!((back.grant, back.point), (true, vec![0, 1]));
        // Not while another one is refused.
        let two = [told("a", Some(false)), told("b", Some(false))];
        assert_eq!(
            turn(Some(&two), &[at("a"), Seen::Refused(refused(None))]),
            Turn::default()
        );
    }

    #[test]
    fn what_cannot_be_said_now_takes_nothing_away() {
        let turn = turn(Some(&[told("a", None)]), &[Seen::Unclear(refused(Some(true)))]);
        assert!(turn.again && turn.end.is_empty());
    }

    #[test]
    fn a_value_goes_once() {
        let seen = [at("a"), at("a"), at("b")];
        let granted = turn(None, &seen);
        assert_eq!(values(&granted, &seen, &BTreeSet::new(), |_| false), [0, 2]);
        let has_b = |has: &ValueKey| *has == key("b");
        assert_eq!(values(&granted, &seen, &BTreeSet::new(), has_b), [0]);
        assert_eq!(
            values(&Turn::default(), &seen, &BTreeSet::from([2]), |_| true),
            [2]
        );
    }
}
