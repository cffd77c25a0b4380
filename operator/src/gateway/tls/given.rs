//! A certificate that is given as two files, such as a mounted Secret of cert-manager, and read again when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_process::Shutdown;
use zeroize::Zeroizing;

use super::{Served, TlsError, certified};

/// How often the files are looked at. A mounted Secret changes by swapping a link, which a watch of the file would miss.
const LOOK: Duration = Duration::from_secs(5);

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// The chain, the server's own certificate first.
    pub(crate) chain: PathBuf,
    /// Its private key.
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

impl Given {
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
    pub(in crate::gateway) fn serve(self, served: Arc<Served>, shutdown: Shutdown) -> Result<(), TlsError> {
        let mut last = self.read()?;
        served.swap(certified(&last.chain, &last.key)?);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = shutdown.wait() => return,
                }
                let next = match self.read() {
                    Ok(next) if next == last => continue,
                    Ok(next) => next,
                    Err(error) => {
                        tracing::warn!(%error, "the certificate stays as it is");
                        continue;
                    }
                };
                match certified(&next.chain, &next.key) {
                    Ok(key) => {
                        served.swap(key);
                        tracing::info!("serving another certificate");
                    }
                    // Half of a change, perhaps: the other half comes with the next look.
                    Err(error) => tracing::warn!(%error, "the certificate stays as it is"),
                }
                last = next;
            }
        });
        Ok(())
    }
}
