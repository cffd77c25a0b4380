//! Volumes while the gateway is down: what is cached while it is up, and what is served from that.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use strongroom_render::attributes::RequestedSecret;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Plugin, PluginError, PublishRequest};
use crate::offline::{Cache, CacheError, Entry, Grant, Journal, ServiceAccountId, TokenClaims, uptime};
use crate::stream::{GrantedSecret, StreamClosed, SubscriptionDenial, SubscriptionSnapshot};
use crate::volumes::Volume;

/// What there is while there is no gateway.
#[derive(Debug)]
pub struct OfflineFallback {
    /// Values of before; none where the kernel keeps no key for them.
    pub cache: Option<Cache>,
    /// What was served.
    pub journal: Arc<Journal>,
    /// Whether there is a gateway.
    pub linked: watch::Receiver<bool>,
    /// How long it must have been away.
    pub after: Duration,
}

impl Volume {
    /// Whom its secrets are for, once its pod's token was seen.
    fn service_account_id(&self) -> Option<ServiceAccountId> {
        let account = self.account.lock();
        account.as_ref().map(|claims| ServiceAccountId {
            namespace: claims.namespace().to_owned(),
            account_uid: claims.account_uid().to_owned(),
        })
    }
}

impl Plugin {
    /// Does something with the cache, where there is one. What fails is a pod that waits another time.
    async fn with_cache(&self, work: impl FnOnce(&Cache) -> Result<(), CacheError> + Send + 'static) {
        if self.parts.offline.cache.is_none() {
            return;
        }
        let parts = Arc::clone(&self.parts);
        let worked = tokio::task::spawn_blocking(move || parts.offline.cache.as_ref().map_or(Ok(()), work));
        if let Ok(Err(error)) = worked.await {
            tracing::warn!(%error, "cache access failed");
        }
    }

    /// Keeps what a volume may have, and forgets what it may have no more.
    pub(super) async fn cache_secrets(&self, volume: &Volume, secrets: &[GrantedSecret]) {
        let Some(who) = volume.service_account_id() else {
            return;
        };
        let wanted = volume.attributes.secrets.clone();
        let secrets = secrets.to_vec();
        self.with_cache(move |cache| {
            let mut grants = Vec::new();
            for (wanted, secret) in wanted.iter().zip(&secrets) {
                if secret.ended {
                    cache.forget(&who, wanted)?;
                } else {
                    grants.push(Grant {
                        wanted,
                        delivered: &secret.delivered,
                        max_age: secret.offline,
                    });
                }
            }
            cache.keep(&who, &grants, uptime())
        })
        .await;
    }

    /// Forgets what a volume is refused for good.
    pub(super) async fn forget(&self, volume: &Volume, refused: &SubscriptionDenial) {
        if refused.is_permanent() {
            self.forget_all(volume).await;
        }
    }

    /// Forgets all secrets of a volume.
    pub(super) async fn forget_all(&self, volume: &Volume) {
        let Some(who) = volume.service_account_id() else {
            return;
        };
        let wanted = volume.attributes.secrets.clone();
        self.with_cache(move |cache| wanted.iter().try_for_each(|wanted| cache.forget(&who, wanted)))
            .await;
    }

    /// While there is a gateway, what running volumes have is allowed until now.
    pub(super) async fn refresh(&self) {
        let volumes = self.volumes.ids().into_iter();
        let running: Vec<(ServiceAccountId, Vec<RequestedSecret>)> = volumes
            .filter_map(|id| self.volumes.find(&id))
            .filter_map(|volume| Some((volume.service_account_id()?, volume.attributes.secrets.clone())))
            .collect();
        let linked = *self.parts.offline.linked.borrow();
        self.with_cache(move |cache| {
            if linked {
                for (who, wanted) in &running {
                    cache.refresh(who, wanted, uptime())?;
                }
            }
            cache.sweep(uptime())
        })
        .await;
    }

    /// Everything that a volume wants, out of the cache, once the gateway has been away for long enough.
    /// Where the cache does not have it, this waits for ever.
    pub(super) async fn read_offline(
        &self,
        volume: &Volume,
        request: &PublishRequest,
    ) -> SubscriptionSnapshot {
        let Some(who) = volume.service_account_id().filter(|_| is_for_pod(request)) else {
            return std::future::pending().await;
        };
        let offline = &self.parts.offline;
        let mut linked = offline.linked.clone();
        loop {
            // Where the other end is gone the process ends.
            if linked.wait_for(|linked| !linked).await.is_err() {
                return std::future::pending().await;
            }
            if timeout(offline.after, linked.wait_for(|linked| *linked))
                .await
                .is_ok()
            {
                continue;
            }
            let (parts, who, wanted) = (
                Arc::clone(&self.parts),
                who.clone(),
                volume.attributes.secrets.clone(),
            );
            let find = move || parts.offline.cache.as_ref()?.find(&who, &wanted, uptime());
            if let Ok(Some(found)) = tokio::task::spawn_blocking(find).await {
                let secrets = found.into_iter().map(|delivered| GrantedSecret {
                    delivered: Arc::new(delivered),
                    ended: false,
                    offline: Duration::ZERO,
                });
                return SubscriptionSnapshot {
                    secrets: secrets.collect(),
                    wipe: false,
                    offline: true,
                    change: 0,
                };
            }
            if linked.wait_for(|linked| *linked).await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Writes into the journal what is about to be served: it is on disk when this returns.
    pub(super) async fn journal(
        &self,
        volume: &Volume,
        snapshot: &SubscriptionSnapshot,
    ) -> Result<(), PluginError> {
        let account_uid = volume
            .service_account_id()
            .map(|who| who.account_uid)
            .unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let entry = |secret: &GrantedSecret| Entry {
            sequence: 0,
            boot_id: self.parts.boot_id.clone(),
            at: i64::try_from(now.as_secs()).unwrap_or_default(),
            volume: volume.id.clone(),
            namespace: volume.pod.namespace.clone(),
            pod: volume.pod.name.clone(),
            pod_uid: volume.pod.uid.clone(),
            account: volume.pod.service_account.clone(),
            account_uid: account_uid.clone(),
            secret_id: HEXLOWER.encode(&secret.delivered.secret_id.to_bytes()),
            version_id: secret.delivered.version_id.clone(),
        };
        let entries = snapshot.secrets.iter().map(entry).collect();
        let journal = Arc::clone(&self.parts.offline.journal);
        tokio::task::spawn_blocking(move || journal.write(entries))
            .await
            .map_err(|_| PluginError::Stopping(StreamClosed))??;
        Ok(())
    }
}

/// Whether the token is of the pod that kubelet names.
fn is_for_pod(request: &PublishRequest) -> bool {
    let claims = request.token.as_ref().and_then(TokenClaims::from_token);
    claims.is_some_and(|claims| {
        claims.namespace() == request.pod.namespace
            && claims.pod_uid() == request.pod.uid
            && claims.account() == request.pod.service_account
    })
}
