//! Attestations from the webhook: who is about to write an object. Each is stored before it is acknowledged,
//! so the author is known before the object is seen.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::http::StatusCode;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use strongroom_model::id::RequestId;
use strongroom_process::Shutdown;
use strongroom_store::audit::Actor;
use strongroom_store::vault::{ForgetAttestations, Meta, Store};

use super::request::Shares;
use crate::attestation::{AttestationMessage, PendingAttestations};
use crate::store_handle::{StoreHandle, store_time};

/// Taken in at the same time of one namespace,
const MAX_PENDING_PER_NAMESPACE: u64 = 32;
/// and of all together.
const MAX_PENDING: u64 = 256;
/// A second of one namespace: more than an API server writes of it.
const MAX_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(499);
/// How often what never came is looked for.
const FORGET_INTERVAL: std::time::Duration = std::time::Duration::from_secs(15);

/// Keeps what is handed over, within shares and rates.
pub(super) struct Attestations {
    store: StoreHandle,
    pending: PendingAttestations,
    at_once: Arc<Shares<String>>,
    rates: DefaultKeyedRateLimiter<String>,
}

impl Attestations {
    pub(super) fn new(store: StoreHandle, pending: PendingAttestations) -> Self {
        Self {
            store,
            pending,
            at_once: Shares::new(MAX_PENDING_PER_NAMESPACE, MAX_PENDING),
            rates: RateLimiter::keyed(Quota::per_second(MAX_PER_SECOND)),
        }
    }

    /// Keeps it; done when that is durable.
    pub(super) async fn keep(&self, handed: AttestationMessage) -> Result<(), StatusCode> {
        let (namespace, uid) = (handed.namespace.clone(), handed.uid.clone());
        // Before anything is kept by its name.
        if namespace.len() > 253 {
            return Err(StatusCode::BAD_REQUEST);
        }
        let Ok(_turn) = self.at_once.take(namespace.clone(), 1) else {
            return Err(StatusCode::TOO_MANY_REQUESTS);
        };
        if self.rates.check_key(&namespace).is_err() {
            return Err(StatusCode::TOO_MANY_REQUESTS);
        }
        let attest = handed.attest(Vec::new()).map_err(|_| StatusCode::BAD_REQUEST)?;
        let attest = strongroom_store::vault::Attest {
            forget: self.pending.make_room(&namespace),
            ..attest
        };
        let (meta, at) = meta().ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        match self.store.submit(None, attest, meta).await {
            Ok(id) => {
                self.pending.add(id, &namespace, &uid, at);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "attestation write failed");
                Err(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    /// Takes over what another process before this one was told, and what has not come yet. It waits from now
    /// on: while nobody was there, nothing could be seen.
    pub(super) async fn load(&self) {
        match self.store.read(Store::pending_attestations).await {
            Ok(mut found) => {
                found.sort_by_key(|one| one.at);
                let now = Timestamp::now();
                for one in found {
                    self.pending
                        .add(one.id, one.namespace.as_str(), one.uid.as_str(), now);
                }
            }
            Err(error) => tracing::warn!(%error, "attestation read failed"),
        }
    }

    /// Forgets what never came, until the shutdown begins.
    pub(super) async fn forget_expired(&self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(FORGET_INTERVAL) => {}
                () = shutdown.wait() => return,
            }
            self.rates.retain_recent();
            self.rates.shrink_to_fit();
            loop {
                let aged = self.pending.take_expired(Timestamp::now());
                let Some((meta, _)) = meta().filter(|_| !aged.is_empty()) else {
                    break;
                };
                let forgotten = self.store.submit(None, ForgetAttestations(aged), meta).await;
                if let Err(error) = forgotten {
                    tracing::warn!(%error, "attestation cleanup failed");
                    break;
                }
            }
        }
    }
}

fn meta() -> Option<(Meta, Timestamp)> {
    let at = Timestamp::now();
    let meta = Meta {
        actor: Actor::System,
        request: RequestId::generate().ok()?,
        now: store_time(at),
        asked: None,
    };
    Some((meta, at))
}

#[cfg(test)]
mod tests;
