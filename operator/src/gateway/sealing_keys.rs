//! Keys for which callers seal new values: each is made for one call of one caller, held in memory only, and
//! dropped once it was used.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;
use strongroom_api::sealed::{OpeningKey, SealingKey};
use strongroom_rules::policy::Identity;

use super::problem::{Code, Problem};

/// How long a key waits for what is sealed for it.
pub(super) const SEALING_KEY_TTL: Duration = Duration::from_secs(60);
/// Keys that wait at the same time.
const MAX_KEYS: usize = 4_096;
/// Of them, those of one caller.
const MAX_KEYS_PER_CALLER: usize = 64;
/// Of them, those of one namespace's callers.
const MAX_KEYS_PER_NAMESPACE: usize = 512;

/// The keys that wait.
#[derive(Default)]
pub(super) struct SealingKeys(Mutex<HashMap<String, WaitingKey>>);

struct WaitingKey {
    whose: Identity,
    since: Instant,
    key: OpeningKey,
}

impl std::fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKeys(..)")
    }
}

impl SealingKeys {
    /// Makes a key for the next call of a caller: its id, and what to seal for.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) fn make(&self, whose: &Identity) -> Result<(String, SealingKey), Problem> {
        let (opening, sealing) = OpeningKey::generate();
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| {
            Problem::new(
                Code::StoreUnavailable,
                "the system gave no random bytes; try again",
            )
        })?;
        let id = BASE64URL_NOPAD.encode(&id);
        let mut waiting = self.0.lock();
        waiting.retain(|_, waiting| waiting.since.elapsed() < SEALING_KEY_TTL);
        if waiting.values().filter(|one| one.whose == *whose).count() >= MAX_KEYS_PER_CALLER {
            let why =
                format!("you have {MAX_KEYS_PER_CALLER} unused sealing keys; use them, or wait a minute");
            return Err(Problem::new(Code::TooManyRequests, why).retry_after(SEALING_KEY_TTL.as_secs()));
        }
        let of_namespace = |one: &&WaitingKey| {
            let namespace = whose.namespace();
            namespace.is_some() && one.whose.namespace() == namespace
        };
        if waiting.values().filter(of_namespace).count() >= MAX_KEYS_PER_NAMESPACE {
            let why = format!(
                "your namespace has {MAX_KEYS_PER_NAMESPACE} unused sealing keys; use them, or wait a minute"
            );
            return Err(Problem::new(Code::TooManyRequests, why).retry_after(SEALING_KEY_TTL.as_secs()));
        }
        if waiting.len() >= MAX_KEYS {
            return Err(
                Problem::new(Code::Overloaded, "there are too many unused sealing keys").retry_after(5),
            );
        }
        let made = WaitingKey {
            whose: whose.clone(),
            since: Instant::now(),
            key: opening,
        };
        waiting.insert(id.clone(), made);
        Ok((id, sealing))
    }

    /// The key of this id, for the caller that it was made for. It is not there any more then.
    ///
    /// # Errors
    /// [`Code::SealingKeyNotFound`].
    pub(super) fn take(&self, id: &str, whose: &Identity) -> Result<OpeningKey, Problem> {
        let mut waiting = self.0.lock();
        let usable = waiting
            .get(id)
            .is_some_and(|one| one.whose == *whose && one.since.elapsed() < SEALING_KEY_TTL);
        usable
            .then(|| waiting.remove(id))
            .flatten()
            .map(|one| one.key)
            .ok_or_else(|| {
                let why = "the sealing key was already used, is older than a minute, or was created before a restart; request another one and send the \
                 value again";
                Problem::new(Code::SealingKeyNotFound, why)
            })
    }

    /// Forgets those that nobody used.
    pub(super) fn forget(&self) {
        self.0
            .lock()
            .retain(|_, waiting| waiting.since.elapsed() < SEALING_KEY_TTL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_serves_its_caller_once() {
        let keys = SealingKeys::default();
        let (jane, joe) = (Identity::from_username("jane"), Identity::from_username("joe"));
        let (id, _) = keys.make(&jane).unwrap();
        assert!(keys.take(&id, &jane).is_ok());
        let used = keys.take(&id, &jane).err().unwrap();
        assert_eq!(used.code(), Code::SealingKeyNotFound);
        let (id, _) = keys.make(&jane).unwrap();
        assert!(keys.take(&id, &joe).is_err());
        assert!(keys.take(&id, &jane).is_ok());
    }

    #[test]
    fn nobody_keeps_the_others_from_having_one() {
        let keys = SealingKeys::default();
        for _ in 0..MAX_KEYS_PER_CALLER {
            keys.make(&Identity::from_username("jane")).unwrap();
        }
        let refused = keys.make(&Identity::from_username("jane")).err().unwrap();
        assert_eq!(refused.code(), Code::TooManyRequests);
        assert!(keys.make(&Identity::from_username("joe")).is_ok());
        let account = |namespace: &str, number: usize| {
            Identity::from_username(&format!("system:serviceaccount:{namespace}:a-{number}"))
        };
        for number in 0..MAX_KEYS_PER_NAMESPACE {
            keys.make(&account("shop", number / MAX_KEYS_PER_CALLER)).unwrap();
        }
        let refused = keys.make(&account("shop", MAX_KEYS)).err().unwrap();
        assert_eq!(refused.code(), Code::TooManyRequests);
        assert!(refused.detail().contains("your namespace"), "{refused:?}");
        assert!(keys.make(&account("pay", 0)).is_ok());
    }
}
