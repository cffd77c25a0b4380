//! Random commands against the real store, on a disk whose power goes and an engine that answers "unknown",
//! held after each step against the rules said once more and plainly. A request whose answer was lost is sent
//! again, and counts once.
//!
//! `STRONGROOM_MODEL_STEPS` sets the number of steps, 3,000 if unset; `STRONGROOM_SEED` repeats a run.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot set up must stop, and helpers of tests fail as tests do"
)]

mod naive;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use strongroom_model::id::{KeyId, NamespaceId, RequestId, SecretId};
use strongroom_store::vault::*;

use naive::{Key, Model, Op, SLOTS};
use support::simulated_disk::{Random, seed};
use support::simulated_store::{SimulatedStore, resend};
use support::worker::rounds;
use support::*;

/// The real store, and what the test knows of it.
struct Real {
    simulated: SimulatedStore,
    namespace: NamespaceId,
    key: KeyId,
    /// The secret of each slot, past ones too, so that what is gone can be asked for.
    ids: [SecretId; SLOTS],
}

impl Real {
    fn new(seed: u64) -> Self {
        let simulated = SimulatedStore::new(seed);
        let store = &simulated.store;
        let namespace = bind(store, "shop", "uid-1");
        let key = customer_key(store, namespace, "customer");
        let ids = [(); SLOTS].map(|()| SecretId::generate().unwrap());
        Self {
            simulated,
            namespace,
            key,
            ids,
        }
    }

    fn run(&self, op: &Op, meta: Meta) -> Result<(), StoreError> {
        let (namespace, key, store) = (self.namespace, self.key, &self.simulated.store);
        let id = |number: u64| version(&format!("v{number}"));
        match op.clone() {
            Op::Create { slot, value: number } => store
                .run(
                    CreateSecret {
                        id: self.ids[slot],
                        key: if slot.is_multiple_of(2) {
                            KeyRef::Default
                        } else {
                            KeyRef::Customer(key)
                        },
                        version: id(0),
                        ..new_secret(namespace, &format!("secret-{slot}"), &number.to_string())
                    },
                    meta,
                )
                .map(drop),
            Op::Put {
                slot,
                version,
                value: number,
                stage,
            } => store
                .run(
                    PutValue {
                        secret: self.ids[slot],
                        version: id(version),
                        value: value(&number.to_string()),
                        stages: stage.iter().map(|stage| stage.parse().unwrap()).collect(),
                    },
                    meta,
                )
                .map(drop),
            Op::Ensure {
                slot,
                version,
                value: number,
                base,
            } => store
                .run(
                    EnsureVersion {
                        secret: self.ids[slot],
                        version: id(version),
                        value: value(&number.to_string()),
                        base: base.map(id),
                        rotation: None,
                        may_grow: false,
                        labels: None,
                    },
                    meta,
                )
                .map(drop),
            Op::Move {
                slot,
                stage,
                to,
                from,
            } => store
                .run(
                    UpdateStage {
                        secret: self.ids[slot],
                        stage: stage.parse().unwrap(),
                        move_to: to.map(id),
                        remove_from: from.map(id),
                    },
                    meta,
                )
                .map(drop),
            Op::Describe { slot, text } => {
                let description = Some(format!("text {text}"));
                store
                    .run(
                        UpdateSecret {
                            secret: self.ids[slot],
                            description,
                            labels: None,
                            key: None,
                        },
                        meta,
                    )
                    .map(drop)
            }
            Op::Delete { slot, days, force } => {
                let deletion = Deletion {
                    window_days: days,
                    force,
                };
                store
                    .run(
                        DeleteSecret {
                            secret: self.ids[slot],
                            deletion,
                        },
                        meta,
                    )
                    .map(drop)
            }
            Op::Restore { slot } => store
                .run(
                    RestoreSecret {
                        secret: self.ids[slot],
                    },
                    meta,
                )
                .map(drop),
            Op::Purge { slot } => store.run(
                PurgeSecret {
                    secret: self.ids[slot],
                },
                meta,
            ),
            Op::PurgeDue => store
                .run(
                    PurgeDue {
                        steady_for: CLOCK_TRUST_DELAY,
                    },
                    meta,
                )
                .map(drop),
            Op::Disable => store.run(DisableKey { namespace, key }, meta).map(drop),
            Op::Enable => store.run(EnableKey { namespace, key }, meta).map(drop),
            Op::NewKeyVersion => store.run(NewKeyVersion { namespace, key }, meta).map(drop),
            Op::ScheduleKeyDeletion => store
                .run(
                    ScheduleKeyDeletion {
                        namespace,
                        key,
                        window_days: 7,
                        lose_dependents: true,
                    },
                    meta,
                )
                .map(drop),
            Op::CancelKeyDeletion => store.run(CancelKeyDeletion { namespace, key }, meta).map(drop),
            Op::Rewrap => store
                .run(
                    Rewrap {
                        key: None,
                        after: None,
                        limit: 100,
                    },
                    meta,
                )
                .map(drop),
            Op::EnforcePolicy { slot, generation } => {
                store.run(EnforcePolicy(policy(slot, generation)), meta)
            }
            Op::RemovePolicy { slot } => store.run(RemovePolicy(policy(slot, 0).uid), meta),
            Op::Wait { .. } => Ok(()),
        }
    }

    /// Everything that can be seen equals what the model says.
    fn holds(&self, model: &Model, said: &str) {
        let store = &self.simulated.store;
        for (slot, expected) in model.secrets.iter().enumerate() {
            let described = store.describe(self.ids[slot]);
            let Some(expected) = expected else {
                assert_eq!(described.unwrap_err().code(), "SecretNotFound", "{said}");
                continue;
            };
            let view = described.unwrap_or_else(|error| panic!("{said}: {error}"));
            assert_eq!(view.description, expected.description, "{said}");
            let stages: BTreeMap<String, u64> = view
                .stages
                .iter()
                .map(|(stage, id)| (stage.to_string(), id.as_str()[1..].parse().unwrap()))
                .collect();
            assert_eq!(stages, expected.stages, "{said}");
            let ids: Vec<String> = view
                .versions
                .iter()
                .map(|version| version.id.to_string())
                .collect();
            let wanted: Vec<String> = expected.versions.iter().map(|(id, _)| format!("v{id}")).collect();
            assert_eq!(ids.len(), wanted.len(), "{said}: {ids:?} for {wanted:?}");
            assert!(
                wanted.iter().all(|id| ids.contains(id)),
                "{said}: {ids:?} for {wanted:?}"
            );
            for (id, value) in &expected.versions {
                let read = get(store, self.ids[slot], Some(&format!("v{id}")), None);
                match (expected.pending, model.key_of(slot)) {
                    (Some(_), _) => assert_eq!(read.unwrap_err().code(), "InRecoveryWindow", "{said}"),
                    (None, Err(code)) => assert_eq!(read.unwrap_err().code(), code, "{said}"),
                    (None, Ok(())) => assert_eq!(read.unwrap(), value.to_string(), "{said}"),
                }
            }
        }
        let kept = store.policies().unwrap();
        let expected = model
            .policies
            .iter()
            .map(|(slot, generation)| policy(*slot, *generation));
        assert_eq!(by_uid(kept.policies), by_uid(expected.collect()), "{said}");
        assert_eq!(kept.unreadable, 0, "{said}");
        let key = store.describe_key(self.namespace, self.key);
        match (model.key, key) {
            (Key::Destroyed, _) => {}
            (_, key) => {
                let primary = key.unwrap_or_else(|error| panic!("{said}: {error}")).primary;
                assert_eq!(primary, model.key_versions, "{said}");
            }
        }
    }
}

fn any(random: &mut Random) -> Op {
    let slot = random.below(SLOTS as u64) as usize;
    let version = random.below(16);
    let value = random.below(3);
    let stage = ["Current", "Previous", "Pending", "blue"][random.below(4) as usize];
    let some = |random: &mut Random| (random.below(3) > 0).then(|| random.below(16));
    match random.below(43) {
        0..=5 => Op::Create { slot, value },
        6..=15 => {
            let stage =
                [None, None, Some("blue"), Some("Pending"), Some("Current")][random.below(5) as usize];
            Op::Put {
                slot,
                version,
                value,
                stage,
            }
        }
        16..=19 => Op::Ensure {
            slot,
            version,
            value,
            base: some(random).filter(|base| *base < 8),
        },
        20..=25 => Op::Move {
            slot,
            stage,
            to: some(random),
            from: some(random).filter(|from| *from < 8),
        },
        26 => Op::Describe { slot, text: value },
        27 | 28 => {
            let days = [None, None, Some(7), Some(30), Some(31)][random.below(5) as usize];
            Op::Delete {
                slot,
                days,
                force: random.below(4) == 0,
            }
        }
        29 | 30 => Op::Restore { slot },
        31 => Op::Purge { slot },
        32 => Op::PurgeDue,
        33 => Op::Disable,
        34 | 35 => Op::Enable,
        36 => Op::NewKeyVersion,
        37 => [
            Op::ScheduleKeyDeletion,
            Op::CancelKeyDeletion,
            Op::CancelKeyDeletion,
        ][random.below(3) as usize]
            .clone(),
        38 => Op::Rewrap,
        40 | 41 => Op::EnforcePolicy {
            slot,
            generation: value as i64,
        },
        42 => Op::RemovePolicy { slot },
        _ => Op::Wait {
            days: 1 + random.below(9) as i64,
        },
    }
}

/// The policy of a slot, and a generation of it.
fn policy(slot: usize, generation: i64) -> EnforcedPolicy {
    EnforcedPolicy {
        uid: format!("uid-{slot}").parse().unwrap(),
        namespace: "shop".parse().unwrap(),
        name: format!("policy-{slot}"),
        generation,
        statements: format!("statements of {generation}").into_bytes(),
    }
}

fn by_uid(policies: Vec<EnforcedPolicy>) -> BTreeMap<String, EnforcedPolicy> {
    policies
        .into_iter()
        .map(|policy| (policy.uid.to_string(), policy))
        .collect()
}

#[test]
fn the_store_does_what_the_rules_say_whatever_is_lost_on_the_way() {
    let steps: u64 = rounds("STRONGROOM_MODEL_STEPS", 3_000);
    let seed = seed();
    let mut random = Random::new(seed);
    let (mut real, mut model) = (Real::new(seed), Model::new());
    let (mut cuts, mut resent, mut refused) = (0, 0, 0);
    for step in 0..steps {
        let op = any(&mut random);
        let said = format!("STRONGROOM_SEED={seed} step {step} {op:?}");
        if let Op::Create { slot, .. } = op
            && model.secrets[slot].is_none()
        {
            real.ids[slot] = SecretId::generate().unwrap();
        }
        let meta = Meta {
            request: RequestId::generate().unwrap(),
            ..meta_at(at(model.now))
        };
        let cut = real.simulated.endanger(&mut random);
        let mut answer = real.run(&op, meta.clone());
        if cut {
            cuts += 1;
            real.simulated.restart();
        }
        resent += resend(&mut answer, || real.run(&op, meta.clone()));
        real.simulated.faults.clear();
        match (answer, model.apply(&op)) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(code)) => {
                refused += 1;
                assert_eq!(error.code(), code, "{said}: {error}");
            }
            (answer, expected) => panic!("{said}: {answer:?}, and the rules say {expected:?}"),
        }
        real.holds(&model, &said);
    }
    assert!(
        real.simulated.faults.hits() > steps / 50,
        "{} commits met a fault",
        real.simulated.faults.hits()
    );
    assert!(
        cuts > steps / 50 && resent > steps / 50 && refused > steps / 20,
        "{cuts} {resent} {refused}"
    );
}
