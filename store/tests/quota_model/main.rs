//! Random changes in three namespaces of a store with a quota, on a disk whose power goes and an engine that
//! answers "unknown": what is counted is what lies in the file, what is made never goes above the limit, and
//! what must pass passes.
//!
//! `STRONGROOM_MODEL_STEPS` sets the number of steps, 1,500 if unset; `STRONGROOM_SEED` repeats a run.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop, and helpers of tests fail as tests do"
)]

#[path = "../support/mod.rs"]
mod support;

use std::ops::ControlFlow;

use strongroom_model::id::{NamespaceId, RequestId, SecretId};
use strongroom_store::engine::Table;
use strongroom_store::vault::*;

use support::simulated_disk::{Random, seed};
use support::simulated_store::{SimulatedStore, resend};
use support::worker::rounds;
use support::*;

/// Secrets that a namespace of the test can have at a time.
const SLOTS: usize = 12;
/// What each may have: fewer secrets than slots, and fewer bytes than the slots can hold.
const QUOTA: Quota = Quota {
    secrets: 9,
    bytes: 24 * 1_024,
};

/// What is done to a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Create,
    /// A version over the API, of a size that may be larger or smaller.
    Put,
    /// A version by the controller that is no rotation.
    Change,
    Rotate,
    Stage,
    Describe,
    Delete,
    Restore,
    Purge,
    PurgeMany,
    PurgeDue,
}

impl Op {
    /// Whether it may be refused for want of room.
    const fn needs_room(self) -> bool {
        matches!(self, Self::Create | Self::Put | Self::Change | Self::Describe)
    }
}

struct Home {
    id: NamespaceId,
    secrets: [Option<SecretId>; SLOTS],
    limit: Quota,
}

struct Real {
    simulated: SimulatedStore,
    homes: Vec<Home>,
    version: u64,
    now: i64,
}

impl Real {
    /// Three namespaces; the third one was above the quota when that came.
    fn new(seed: u64) -> Self {
        let simulated = SimulatedStore::new(seed);
        let store = &simulated.store;
        let mut homes: Vec<Home> = ["shop", "pay", "old"]
            .into_iter()
            .map(|name| Home {
                id: bind(store, name, &format!("uid-{name}")),
                secrets: [None; SLOTS],
                limit: QUOTA,
            })
            .collect();
        for slot in 0..10 {
            let old = &mut homes[2];
            old.secrets[slot] = Some(create(
                store,
                old.id,
                &format!("secret-{slot}"),
                &"x".repeat(3_000),
            ));
        }
        let found = store.namespace_usage(homes[2].id).unwrap().used;
        homes[2].limit = Quota {
            secrets: found.secrets + found.secrets / 10,
            bytes: found.bytes + found.bytes / 10,
        };
        Self {
            simulated: simulated.reopen_within(QUOTA),
            homes,
            version: 0,
            now: 0,
        }
    }

    /// The power goes, and comes back.
    fn restart(&mut self) {
        self.simulated.restart();
        for home in &mut self.homes {
            // Who has come down to what all may have, has that from the next start on.
            let room = self.simulated.store.namespace_usage(home.id).unwrap();
            if !room.used.is_above(&QUOTA) {
                home.limit = QUOTA;
            }
        }
    }

    fn run(
        &self,
        op: Op,
        home: usize,
        slot: usize,
        id: SecretId,
        size: usize,
        meta: Meta,
    ) -> Result<(), StoreError> {
        let (store, namespace) = (&self.simulated.store, self.homes[home].id);
        let number = version(&format!("v{}", self.version));
        let text = "x".repeat(size);
        match op {
            Op::Create => {
                let new = CreateSecret {
                    id,
                    version: number,
                    ..new_secret(namespace, &format!("secret-{slot}"), &text)
                };
                store.run(new, meta).map(drop)
            }
            Op::Put => {
                let put = PutValue {
                    secret: id,
                    version: number,
                    value: value(&text),
                    stages: Vec::new(),
                };
                store.run(put, meta).map(drop)
            }
            Op::Change | Op::Rotate => {
                let ensure = EnsureVersion {
                    secret: id,
                    version: number,
                    value: value(&text),
                    base: None,
                    rotation: None,
                    may_grow: op == Op::Rotate,
                    labels: None,
                };
                store.run(ensure, meta).map(drop)
            }
            Op::Stage => {
                let oldest = store.describe(id)?.versions[0].id.clone();
                let stage = UpdateStage {
                    secret: id,
                    stage: "Current".parse().unwrap(),
                    move_to: Some(oldest),
                    remove_from: None,
                };
                store.run(stage, meta).map(drop)
            }
            Op::Describe => {
                let update = UpdateSecret {
                    secret: id,
                    description: Some("d".repeat(size % 2_000)),
                    labels: Some(
                        (0..size % 9)
                            .map(|number| (format!("{number:0300}"), "v".repeat(128)))
                            .collect(),
                    ),
                    key: None,
                };
                store.run(update, meta).map(drop)
            }
            Op::Delete => {
                let deletion = Deletion {
                    window_days: Some(7),
                    force: false,
                };
                store.run(DeleteSecret { secret: id, deletion }, meta).map(drop)
            }
            Op::Restore => store.run(RestoreSecret { secret: id }, meta).map(drop),
            Op::Purge => store.run(PurgeSecret { secret: id }, meta),
            Op::PurgeMany => {
                let purge = PurgeSecrets {
                    namespace,
                    secrets: self.homes[home].secrets.iter().flatten().copied().collect(),
                    deleted_before: meta.now,
                };
                store.run(purge, meta).map(drop)
            }
            Op::PurgeDue => store
                .run(
                    PurgeDue {
                        steady_for: CLOCK_TRUST_DELAY,
                    },
                    meta,
                )
                .map(drop),
        }
    }

    /// What lies in the file of these secrets.
    fn counted(&self, home: &Home) -> Usage {
        let snapshot = self.simulated.engine.snapshot().unwrap();
        let mut used = Usage::default();
        for table in [Table::Head, Table::Version, Table::DataKey] {
            snapshot
                .visit(table, &mut |key, value| {
                    let of = SecretId::from_bytes(key[..16].try_into().unwrap());
                    if home.secrets.contains(&Some(of)) {
                        used.secrets += u64::from(table == Table::Head);
                        used.bytes += (key.len() + value.len()) as u64;
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
        }
        used
    }

    fn used(&self, home: usize) -> Usage {
        self.simulated
            .store
            .namespace_usage(self.homes[home].id)
            .unwrap()
            .used
    }

    /// Whether a version of so many bytes is larger than every one that is there.
    fn is_largest(&self, secret: SecretId, size: usize) -> bool {
        let snapshot = self.simulated.engine.snapshot().unwrap();
        let rows = snapshot
            .scan(Table::Version, secret.as_bytes(), None, usize::MAX)
            .unwrap();
        // A value of one key `value` has 18 bytes besides, its row 65, its key 20.
        rows.iter().all(|(_, row)| row.len() < size + 83)
    }
}

fn any(random: &mut Random) -> Op {
    match random.below(30) {
        0..=9 => Op::Create,
        10..=13 => Op::Put,
        14 | 15 => Op::Change,
        16..=19 => Op::Rotate,
        20 => Op::Stage,
        21 | 22 => Op::Describe,
        23..=25 => Op::Delete,
        26 => Op::Restore,
        27 => Op::Purge,
        28 => Op::PurgeMany,
        _ => Op::PurgeDue,
    }
}

#[test]
fn no_namespace_makes_more_than_it_may_have_whatever_is_lost_on_the_way() {
    let steps: u64 = rounds("STRONGROOM_MODEL_STEPS", 1_500);
    let seed = seed();
    let mut random = Random::new(seed);
    let mut real = Real::new(seed);
    let (mut full, mut above, mut passed_full) = (0, 0, 0);
    for step in 0..steps {
        let op = any(&mut random);
        let home = random.below(3) as usize;
        let slot = random.below(SLOTS as u64) as usize;
        let size = random.below(4_000) as usize;
        real.version += 1;
        if random.below(20) == 0 {
            real.now += DAY;
        }
        let said = format!("STRONGROOM_SEED={seed} step {step} {op:?} {home} {slot} {size}");
        let there = real.homes[home].secrets[slot];
        if (op == Op::Create) == there.is_some() {
            continue;
        }
        let id = there.unwrap_or_else(|| SecretId::generate().unwrap());
        let largest = there.is_some_and(|secret| real.is_largest(secret, size));
        let before = real.used(home);
        let meta = Meta {
            request: RequestId::generate().unwrap(),
            ..meta_at(at(real.now))
        };
        let cut = real.simulated.endanger(&mut random);
        let mut answer = real.run(op, home, slot, id, size, meta.clone());
        if cut {
            real.restart();
        }
        resend(&mut answer, || real.run(op, home, slot, id, size, meta.clone()));
        real.simulated.faults.clear();
        if op == Op::Create && answer.is_ok() {
            real.homes[home].secrets[slot] = Some(id);
        }
        for home in &mut real.homes {
            for secret in &mut home.secrets {
                secret.take_if(|secret| real.simulated.store.describe(*secret).is_err());
            }
        }

        let (after, limit) = (real.used(home), real.homes[home].limit);
        for (number, home) in real.homes.iter().enumerate() {
            assert_eq!(real.used(number), real.counted(home), "{said}");
            assert_eq!(
                real.simulated.store.namespace_usage(home.id).unwrap().limit,
                Some(home.limit),
                "{said}"
            );
        }
        let is_full = matches!(&answer, Err(StoreError::Refused(Refusal::NamespaceFull { .. })));
        assert!(!is_full || op.needs_room(), "{said}: {answer:?}");
        match (op, &answer) {
            (Op::Create, Ok(())) => assert!(!after.is_above(&limit), "{said}: {after:?}"),
            (Op::Put | Op::Change, Ok(())) if largest && after.bytes > before.bytes => {
                assert!(after.bytes <= limit.bytes, "{said}: {before:?} {after:?}");
            }
            (Op::Create, Err(error)) => {
                // Only what does not fit is refused.
                assert!(is_full, "{said}: {error}");
                let fits = before.secrets < limit.secrets && before.bytes + size as u64 + 700 <= limit.bytes;
                assert!(!fits, "{said}: {before:?}");
            }
            (Op::Put | Op::Change, Err(StoreError::Refused(Refusal::NamespaceFull { .. }))) => {
                assert!(
                    largest && before.bytes + size as u64 + 700 > limit.bytes,
                    "{said}: {before:?}"
                );
            }
            _ => {}
        }
        full += u64::from(is_full);
        above += u64::from(after.bytes > limit.bytes);
        passed_full += u64::from(op == Op::Rotate && answer.is_ok() && before.bytes + 1_000 > limit.bytes);
    }
    assert!(
        full > steps / 100 && passed_full > 0,
        "{full} {above} {passed_full}"
    );
}
