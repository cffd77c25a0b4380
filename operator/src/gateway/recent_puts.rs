//! Who put which version lately. They may repeat the put and are told whether the version has their value,
//! even if they may not read it.
//!
//! Must not hold anything of a value.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use strongroom_model::id::SecretId;
use strongroom_model::name::VersionId;
use strongroom_rules::policy::Identity;

/// How long a put may be repeated.
const REPEAT_WINDOW: SignedDuration = SignedDuration::from_hours(1);
/// Puts that are remembered, at most; over it the older half of whoever has the most goes.
const MAX_PUTS: usize = 16_384;

type Put = (Identity, SecretId, VersionId);

/// Puts of the last hour.
#[derive(Debug, Default)]
pub(super) struct RecentPuts {
    known: Mutex<HashMap<Put, Timestamp>>,
}

impl RecentPuts {
    /// The caller put this version now.
    pub(super) fn remember(&self, who: &Identity, secret: SecretId, version: &VersionId, now: Timestamp) {
        let mut known = self.known.lock();
        if known.len() >= MAX_PUTS {
            forget(&mut known, now);
        }
        if known.len() >= MAX_PUTS {
            evict_from_largest_owner(&mut known);
        }
        known.insert((who.clone(), secret, version.clone()), now);
    }

    /// Whether the caller put this version lately.
    pub(super) fn contains(
        &self,
        who: &Identity,
        secret: SecretId,
        version: &VersionId,
        now: Timestamp,
    ) -> bool {
        let put = (who.clone(), secret, version.clone());
        let at = self.known.lock().get(&put).copied();
        at.is_some_and(|at| now.duration_since(at) < REPEAT_WINDOW)
    }

    /// Forgets what may not be repeated any more.
    pub(super) fn forget(&self, now: Timestamp) {
        forget(&mut self.known.lock(), now);
    }
}

/// At whose expense a put is remembered: the namespace's of the caller, or its own.
fn owner_of(who: &Identity) -> String {
    who.namespace().map_or_else(|| who.to_string(), str::to_owned)
}

/// Forgets the older half of what one owner has, which has the most: nobody makes others' puts go.
fn evict_from_largest_owner(known: &mut HashMap<Put, Timestamp>) {
    let mut by_owner: HashMap<String, Vec<Timestamp>> = HashMap::new();
    for ((who, ..), at) in &*known {
        by_owner.entry(owner_of(who)).or_default().push(*at);
    }
    let Some((most, mut times)) = by_owner.into_iter().max_by_key(|(_, times)| times.len()) else {
        return;
    };
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    known.retain(|(who, ..), at| *at > median || owner_of(who) != most);
}

fn forget(known: &mut HashMap<Put, Timestamp>, now: Timestamp) {
    known.retain(|_, at| now.duration_since(*at) < REPEAT_WINDOW);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_is_its_callers_own_for_an_hour_and_the_newest_stay() {
        let puts = RecentPuts::default();
        let who = Identity::from_username("system:serviceaccount:shop:app");
        let other = Identity::from_username("system:serviceaccount:shop:other");
        let secret = SecretId::generate().unwrap();
        let version = |number: usize| format!("v-{number}").parse::<VersionId>().unwrap();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        puts.remember(&who, secret, &version(0), at(0));
        let neighbour = Identity::from_username("system:serviceaccount:pay:app");
        puts.remember(&neighbour, secret, &version(0), at(0));
        assert!(puts.contains(&who, secret, &version(0), at(3_599)));
        assert!(!puts.contains(&who, secret, &version(0), at(3_600)));
        assert!(!puts.contains(&other, secret, &version(0), at(1)));
        assert!(!puts.contains(&who, secret, &version(1), at(1)));
        assert!(!puts.contains(&who, SecretId::generate().unwrap(), &version(0), at(1)));
        for number in 1..=MAX_PUTS {
            let second = i64::try_from(number).unwrap() / 100;
            puts.remember(&who, secret, &version(number), at(second));
        }
        assert!(puts.known.lock().len() <= MAX_PUTS);
        assert!(puts.contains(&who, secret, &version(MAX_PUTS), at(200)));
        assert!(!puts.contains(&who, secret, &version(0), at(200)));
        assert!(puts.contains(&neighbour, secret, &version(0), at(200)));
        puts.forget(at(10_000));
        assert!(puts.known.lock().is_empty());
    }
}
