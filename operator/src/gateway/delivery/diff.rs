//! What has to be sent to a node after a subscription was evaluated. Pure.

use std::collections::BTreeSet;

use strongroom_api::stream::proto::{Ended, Refusal};
use strongroom_model::id::SecretId;
use strongroom_model::time::Timestamp;
use strongroom_rules::policy::StatementRef;

use super::node_view::{SentPointer, ValueKey};
use crate::delivery_policy::DeliveryPolicy;
use crate::gateway::problem::Code;

/// What a secret looks like to a pod that subscribes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Evaluation {
    /// It may be read.
    Readable(ReadableVersion),
    /// It may not.
    Refused(DeliveryRefusal),
    /// That cannot be said now.
    Undecided(DeliveryRefusal),
}

/// A version that may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadableVersion {
    /// Secret and version.
    pub(super) key: ValueKey,
    /// When it was made.
    pub(super) made: Timestamp,
    /// Counts the changes of the secret.
    pub(super) revision: u64,
    /// On which terms.
    pub(super) terms: DeliveryPolicy,
    /// What allows it.
    pub(super) statements: Vec<StatementRef>,
}

/// Why a secret may not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeliveryRefusal {
    /// To a volume that asks.
    pub(super) code: Refusal,
    /// To one that had it before.
    pub(super) ended: Ended,
    /// To people.
    pub(super) message: String,
    /// SecretPolicies that would allow it, as YAML.
    pub(super) missing: Vec<String>,
    /// Whether its files go; none: as it was said before.
    pub(super) wipe: Option<bool>,
    /// The code that the audit has for it.
    pub(super) record: Code,
    /// What denies it, for the record.
    pub(super) statements: Vec<StatementRef>,
    /// The secret, for the record.
    pub(super) secret: Option<SecretId>,
}

/// What is to be said. Numbers are places in the subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Diff {
    /// It is refused, for the sake of this secret; nothing else is said.
    pub(super) deny: Option<usize>,
    /// Access to these has ended.
    pub(super) end: Vec<(usize, bool)>,
    /// Pointers to these are sent.
    pub(super) point: Vec<usize>,
    /// They are sent as all that was asked for.
    pub(super) grant: bool,
    /// It is looked at again before long.
    pub(super) again: bool,
}

/// Compares what was sent with what is.
pub(super) fn diff(sent: Option<&[SentPointer]>, evaluations: &[Evaluation]) -> Diff {
    let Some(sent) = sent else {
        let refused = evaluations
            .iter()
            .position(|evaluation| !matches!(evaluation, Evaluation::Readable(_)));
        return match refused {
            Some(place) => Diff {
                deny: Some(place),
                ..Diff::default()
            },
            None => Diff {
                point: (0..evaluations.len()).collect(),
                grant: true,
                ..Diff::default()
            },
        };
    };
    let all = evaluations
        .iter()
        .all(|evaluation| matches!(evaluation, Evaluation::Readable(_)));
    if all && sent.iter().any(|sent| sent.ended.is_some()) {
        return Diff {
            point: (0..evaluations.len()).collect(),
            grant: true,
            ..Diff::default()
        };
    }
    let mut diff = Diff::default();
    for (place, (sent, evaluation)) in sent.iter().zip(evaluations).enumerate() {
        match evaluation {
            // Whoever lost access to one secret of a volume gets it back with all of them.
            Evaluation::Readable(_) if sent.ended.is_some() => {}
            Evaluation::Readable(found) if sent.key != found.key || sent.terms != found.terms => {
                diff.point.push(place)
            }
            Evaluation::Readable(_) => {}
            Evaluation::Refused(refused) => {
                let wipe = refused.wipe.unwrap_or(sent.terms.wipe);
                if sent.ended != Some(wipe) {
                    diff.end.push((place, wipe));
                }
            }
            Evaluation::Undecided(_) => diff.again = true,
        }
    }
    diff
}

/// Those of `point` whose value has to be sent, and those that are needed again.
pub(super) fn values(
    diff: &Diff,
    evaluations: &[Evaluation],
    fetch: &BTreeSet<usize>,
    has: impl Fn(&ValueKey) -> bool,
) -> Vec<usize> {
    let found = |place: &usize| match evaluations.get(*place) {
        Some(Evaluation::Readable(found)) => Some(found),
        _ => None,
    };
    let needed = diff
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

    fn at(version: &str) -> Evaluation {
        Evaluation::Readable(ReadableVersion {
            key: key(version),
            made: Timestamp::default(),
            revision: 1,
            terms: DeliveryPolicy::default(),
            statements: Vec::new(),
        })
    }

    fn refused(wipe: Option<bool>) -> DeliveryRefusal {
        DeliveryRefusal {
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

    fn sent(version: &str, ended: Option<bool>) -> SentPointer {
        SentPointer {
            key: key(version),
            terms: DeliveryPolicy::default(),
            ended,
        }
    }

    #[test]
    fn a_new_subscription_gets_all_or_nothing() {
        let granted = diff(None, &[at("a"), at("b")]);
        assert_eq!((granted.grant, granted.point), (true, vec![0, 1]));
        for seen in [
            Evaluation::Refused(refused(None)),
            Evaluation::Undecided(refused(None)),
        ] {
            let denied = diff(None, &[at("a"), seen]);
            assert_eq!(denied.deny, Some(1));
            assert!(denied.point.is_empty());
        }
    }

    #[test]
    fn what_is_as_it_was_told_says_nothing() {
        assert_eq!(diff(Some(&[sent("a", None)]), &[at("a")]), Diff::default());
        let ended = [sent("a", Some(false))];
        assert_eq!(
            diff(Some(&ended), &[Evaluation::Refused(refused(None))]),
            Diff::default()
        );
    }

    #[test]
    fn a_change_moves_only_what_changed() {
        let moved = diff(Some(&[sent("a", None), sent("b", None)]), &[at("a"), at("c")]);
        assert_eq!((moved.grant, moved.point), (false, vec![1]));
        // What happens when access ends is told too.
        let mut wiping = at("a");
        if let Evaluation::Readable(found) = &mut wiping {
            found.terms.wipe = true;
        }
        assert_eq!(diff(Some(&[sent("a", None)]), &[wiping]).point, [0]);
    }

    #[test]
    fn access_ends_once_and_comes_back_whole() {
        let both = [sent("a", None), sent("b", None)];
        let gone = diff(Some(&both), &[Evaluation::Refused(refused(Some(true))), at("c")]);
        assert_eq!((gone.end, gone.point), (vec![(0, true)], vec![1]));
        // The owner now decides otherwise about the files.
        let ended = [sent("a", Some(false)), sent("b", None)];
        assert_eq!(
            diff(Some(&ended), &[Evaluation::Refused(refused(Some(true))), at("b")]).end,
            [(0, true)]
        );
        let back = diff(Some(&ended), &[at("a"), at("b")]);
        assert_eq!((back.grant, back.point), (true, vec![0, 1]));
        // Not while another one is refused.
        let two = [sent("a", Some(false)), sent("b", Some(false))];
        assert_eq!(
            diff(Some(&two), &[at("a"), Evaluation::Refused(refused(None))]),
            Diff::default()
        );
    }

    #[test]
    fn what_cannot_be_said_now_takes_nothing_away() {
        let turn = diff(
            Some(&[sent("a", None)]),
            &[Evaluation::Undecided(refused(Some(true)))],
        );
        assert!(turn.again && turn.end.is_empty());
    }

    #[test]
    fn a_value_goes_once() {
        let seen = [at("a"), at("a"), at("b")];
        let granted = diff(None, &seen);
        assert_eq!(values(&granted, &seen, &BTreeSet::new(), |_| false), [0, 2]);
        let has_b = |has: &ValueKey| *has == key("b");
        assert_eq!(values(&granted, &seen, &BTreeSet::new(), has_b), [0]);
        assert_eq!(
            values(&Diff::default(), &seen, &BTreeSet::from([2]), |_| true),
            [2]
        );
    }
}
