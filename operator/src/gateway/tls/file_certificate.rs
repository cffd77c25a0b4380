//! A certificate that is given as two files, such as a mounted Secret of cert-manager, and read again when
//! they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_process::Shutdown;
use zeroize::Zeroizing;

use super::{CertResolver, TlsError, certified_key};

/// How often the files are looked at. A mounted Secret changes by swapping a link, which a watch of the file
/// would miss.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) struct FileCertificate {
    /// The chain, the server's own certificate first.
    pub(crate) chain: PathBuf,
    /// The private key of the chain's first certificate.
    pub(crate) key: PathBuf,
}

struct Content {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && *self.key == *other.key
    }
}

impl FileCertificate {
    fn read(&self) -> Result<Content, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Read {
                path: path.to_owned(),
                source,
            })
        };
        Ok(Content {
            chain: read(&self.chain)?,
            key: Zeroizing::new(read(&self.key)?),
        })
    }

    /// Serves the certificate, and each one that takes its place. A broken pair leaves the one before.
    ///
    /// # Errors
    /// [`TlsError`] where the first one cannot be served.
    pub(in crate::gateway) fn serve(
        self,
        served: Arc<CertResolver>,
        shutdown: Shutdown,
    ) -> Result<(), TlsError> {
        let mut last = None;
        self.reload(&mut last, &served)?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(CHECK_INTERVAL) => {}
                    () = shutdown.wait() => return,
                }
                match self.reload(&mut last, &served) {
                    Ok(false) => {}
                    Ok(true) => tracing::info!("certificate loaded"),
                    // Half of a change, perhaps: the other half comes with a later look.
                    Err(error) => tracing::warn!(%error, "certificate load failed"),
                }
            }
        });
        Ok(())
    }

    /// Serves what the files hold, unless it is what they held `last`. Answers whether it is another
    /// certificate.
    fn reload(&self, last: &mut Option<Content>, served: &CertResolver) -> Result<bool, TlsError> {
        let content = self.read()?;
        if last.as_ref() == Some(&content) {
            return Ok(false);
        }
        let key = certified_key(&content.chain, &content.key);
        *last = Some(content);
        served.swap(key?);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::gateway::tls::authority::Authorities;

    #[test]
    fn another_pair_is_served_and_half_of_one_is_not() {
        let now = Timestamp::now();
        let authorities = Authorities::default().advance(now, None).unwrap().unwrap();
        let pair = || authorities.leaf(&["localhost".to_owned()], now).unwrap();
        let keep = tempfile::tempdir().unwrap();
        let given = FileCertificate {
            chain: keep.path().join("tls.crt"),
            key: keep.path().join("tls.key"),
        };
        let (served, mut last) = (CertResolver::default(), None);
        assert!(matches!(
            given.reload(&mut last, &served),
            Err(TlsError::Read { .. })
        ));
        let first = pair();
        std::fs::write(&given.chain, &first.chain).unwrap();
        std::fs::write(&given.key, &*first.key).unwrap();
        assert!(given.reload(&mut last, &served).unwrap());
        let serving = served.current().unwrap();
        assert!(!given.reload(&mut last, &served).unwrap());
        assert!(Arc::ptr_eq(&serving, &served.current().unwrap()));
        // The certificate of another key: nothing changes until the key follows.
        let second = pair();
        std::fs::write(&given.chain, &second.chain).unwrap();
        assert!(given.reload(&mut last, &served).is_err());
        assert!(Arc::ptr_eq(&serving, &served.current().unwrap()));
        std::fs::write(&given.key, &*second.key).unwrap();
        assert!(given.reload(&mut last, &served).unwrap());
        assert_ne!(serving.cert, served.current().unwrap().cert);
    }
}
