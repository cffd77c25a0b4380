//! Renews the gateway's certificate, and publishes the CA bundle.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use strongroom_process::Shutdown;
use tokio::sync::watch;

use super::ca_store::CaStore;
use super::{CertResolver, TlsError, certified_key};

/// How often the dates are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(3600);

/// Keeps the gateway's own certificate; cheap to clone.
#[derive(Clone)]
pub(in crate::gateway) struct CertificateRotator {
    pub(in crate::gateway) ca_store: CaStore,
    /// DNS names and addresses that the gateway is called by.
    pub(in crate::gateway) names: Vec<String>,
    pub(in crate::gateway) served: Arc<CertResolver>,
    /// What clients trust.
    pub(in crate::gateway) bundle: watch::Sender<String>,
    pub(in crate::gateway) now: fn() -> Timestamp,
}

impl CertificateRotator {
    /// Serves a certificate, and each one that takes its place.
    ///
    /// # Errors
    /// [`TlsError`] where the first one cannot be made.
    pub(in crate::gateway) async fn serve(self, shutdown: Shutdown) -> Result<(), TlsError> {
        let mut renew = self.clone().rotate(None).await?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(CHECK_INTERVAL) => {}
                    () = shutdown.wait() => return,
                }
                match self.clone().rotate(Some(renew)).await {
                    Ok(next) => renew = next,
                    Err(error) => tracing::warn!(%error, "certificate rotation failed"),
                }
            }
        });
        Ok(())
    }

    /// Brings everything up to date; answers with the time at which the certificate has to be made again.
    async fn rotate(self, renew: Option<Timestamp>) -> Result<Timestamp, TlsError> {
        let looked = tokio::task::spawn_blocking(move || {
            let now = (self.now)();
            let (authorities, changed) = self.ca_store.authorities(now)?;
            self.bundle.send_if_modified(|bundle| {
                let newest = authorities.bundle();
                let differs = *bundle != newest;
                *bundle = newest;
                differs
            });
            match renew {
                Some(renew) if !changed && now < renew => Ok(renew),
                _ => {
                    let leaf = authorities.leaf(&self.names, now)?;
                    self.served.swap(certified_key(&leaf.chain, &leaf.key)?);
                    tracing::info!(renew = %leaf.renew, "certificate issued");
                    Ok(leaf.renew)
                }
            }
        });
        looked.await.map_err(|error| TlsError::Make(error.to_string()))?
    }
}

#[cfg(test)]
mod tests {
    use strongroom_testing::clock::now;
    use strongroom_testing::store::store;

    use super::*;

    #[tokio::test]
    async fn the_authority_outlives_the_process_and_a_certificate_is_renewed_in_time() {
        let (store, _keep) = store();
        let (bundle, bundles) = watch::channel(String::new());
        let rotator = CertificateRotator {
            ca_store: CaStore::new(store, ("strongroom".to_owned(), "ns-9".to_owned())),
            names: vec!["strongroom.example".to_owned(), "10.9.8.7".to_owned()],
            served: Arc::default(),
            bundle,
            now,
        };
        let renew = rotator.clone().rotate(None).await.unwrap();
        let first = bundles.borrow().clone();
        assert!(first.contains("BEGIN CERTIFICATE") && renew > now());
        let served = Arc::clone(&rotator.served);
        let before = served.key.read().clone().unwrap();
        // As after a restart.
        let rotator = CertificateRotator {
            served: Arc::default(),
            ..rotator
        };
        rotator.clone().rotate(None).await.unwrap();
        assert_eq!(*bundles.borrow(), first);
        // Nothing to do, and then something.
        let serving = Arc::clone(&rotator.served);
        let held = serving.key.read().clone().unwrap();
        rotator.clone().rotate(Some(renew)).await.unwrap();
        assert!(Arc::ptr_eq(&held, &serving.key.read().clone().unwrap()));
        let rotator = CertificateRotator {
            now: || now() + jiff::SignedDuration::from_hours(25 * 24),
            ..rotator
        };
        rotator.rotate(Some(renew)).await.unwrap();
        let renewed = serving.key.read().clone().unwrap();
        assert!(!Arc::ptr_eq(&held, &renewed));
        assert_ne!(before.cert, renewed.cert);
        let days = (serving.expiration.get() - now().as_second()) / 86_400;
        assert!(
            (50..=55).contains(&days),
            "{days}: the end of the new one is told"
        );
    }
}
