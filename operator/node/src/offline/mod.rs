//! What a node serves while the gateway is down: values that it had, to ServiceAccounts that the gateway
//! allowed on this node not too long ago.
//!
//! ```text
//! a volume is published or changes ─▶ keep (ciphertext on the node, its key in the kernel's keyring)
//! access ends                      ─▶ forget
//! no gateway, and a pod starts     ─▶ find ─▶ journal (on disk) ─▶ mount
//! the gateway is back              ─▶ journal ─▶ its audit
//! ```
//!
//! Whom a value was allowed to is a ServiceAccount by its UID, with the secret and the stage; where one of a
//! volume's secrets is not there, nothing is served. Times are seconds since the node started: no clock that
//! somebody sets makes an entry younger. Must not know a mount, and must not answer while there is a gateway:
//! who calls [`Cache::find`] sees to that.

mod cache;
mod cipher;
mod claims;
mod journal;
mod key;

use std::time::Duration;

pub use cache::{Cache, CacheError, Grant, ServiceAccountId};
pub use claims::TokenClaims;
pub use journal::{Entry, Journal, JournalError};
pub use key::{CacheKey, KeyError};

/// Seconds since the node started, those in suspension among them.
#[must_use]
pub fn uptime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
