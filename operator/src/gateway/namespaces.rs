//! Which namespace is behind a name: one that was made again is another one, and must not see the secrets of the first.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

/// How long an answer of the API server counts.
const FRESH: Duration = Duration::from_secs(5);
/// How long it counts while the API server is away.
const GRACE: Duration = Duration::from_secs(15 * 60);
/// Namespaces that are remembered at the same time.
const REMEMBERED: usize = 65_536;

/// UIDs of namespaces.
pub(super) struct Namespaces {
    client: Client,
    seen: Mutex<HashMap<String, (Instant, Option<String>)>>,
}

impl std::fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespaces").finish_non_exhaustive()
    }
}

impl Namespaces {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, (Instant, Option<String>)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The UID of the namespace of this name; `None` where there is none.
    pub(super) async fn uid(&self, name: &str) -> Result<Option<String>, kube::Error> {
        let known = self.seen().get(name).cloned();
        if let Some((at, uid)) = &known
            && at.elapsed() < FRESH
        {
            return Ok(uid.clone());
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        match api.get_metadata_opt(name).await {
            Ok(namespace) => {
                let uid = namespace.and_then(|namespace| namespace.metadata.uid);
                let mut seen = self.seen();
                if seen.len() >= REMEMBERED {
                    seen.retain(|_, (at, _)| at.elapsed() < FRESH);
                }
                seen.insert(name.to_owned(), (Instant::now(), uid.clone()));
                Ok(uid)
            }
            Err(error) => known
                .filter(|(at, _)| at.elapsed() < GRACE)
                .map_or(Err(error), |(_, uid)| Ok(uid)),
        }
    }
}
