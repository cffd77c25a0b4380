//! Which namespace is behind a name: one that was made again is another one, and must not see the secrets of the first.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use strongroom_store::id::NamespaceId;
use strongroom_store::vault::Store;

use super::blocking;
use super::flights::Flights;
use super::problem::{Code, Problem};
use super::remembered::Remembered;
use crate::kube_error::in_words;

/// How long an answer of the API server counts.
const FRESH: Duration = Duration::from_secs(5);
/// How long it counts while the API server is away.
const GRACE: Duration = Duration::from_secs(15 * 60);

/// Namespaces by name.
pub(super) struct Namespaces {
    client: Client,
    store: Store,
    seen: Remembered<String, Seen>,
    flights: Flights<String>,
}

/// A namespace as the store knows it, beside the one that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// Its id and UID in the store.
    known: Option<(NamespaceId, Option<String>)>,
    /// The UID of the one that is there.
    live: Option<String>,
}

impl std::fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespaces").finish_non_exhaustive()
    }
}

impl Namespaces {
    pub(super) fn new(client: Client, store: Store) -> Self {
        Self {
            client,
            store,
            seen: Remembered::default(),
            flights: Flights::default(),
        }
    }

    /// Forgets what does not count any more.
    pub(super) fn forget(&self) {
        self.seen.forget(|age, _| age < GRACE);
    }

    /// The store knows another namespace of this name now.
    pub(super) fn changed(&self, name: &str) {
        self.seen.drop(name);
    }

    /// The store's namespace of this name; `None` where it has none.
    ///
    /// # Errors
    /// [`Code::NamespaceRecreated`] where the one that is there is another one; the store's and the API server's.
    pub(super) async fn named(&self, name: &str) -> Result<Option<NamespaceId>, Problem> {
        let seen = match self.seen.within(name, FRESH) {
            Some(seen) => seen,
            None => {
                let _turn = self.flights.turn(name.to_owned()).await;
                match self.seen.within(name, FRESH) {
                    Some(seen) => seen,
                    None => Box::pin(self.look(name)).await?,
                }
            }
        };
        match (seen.known, seen.live) {
            (None, _) => Ok(None),
            (Some((id, Some(known))), Some(live)) if known == live => Ok(Some(id)),
            // Gone: its secrets go into their recovery window as soon as the controller sees it.
            (Some((id, _)), None) => Ok(Some(id)),
            (Some(_), Some(_)) => Err(Problem::new(
                Code::NamespaceRecreated,
                format!(
                    "namespace `{name}` was deleted and made again; a cluster administrator accepts the old secrets with the annotation strongroom.dev/accept-namespace"
                ),
            )),
        }
    }

    async fn look(&self, name: &str) -> Result<Seen, Problem> {
        let Ok(parsed) = name.parse() else {
            // No namespace has such a name.
            return Ok(Seen {
                known: None,
                live: None,
            });
        };
        let store = self.store.clone();
        let known = blocking(move || Ok(store.namespace_named(&parsed)?)).await?;
        let known = known.map(|known| (known.id, known.uid.map(|uid| uid.to_string())));
        let live = if known.is_none() {
            // Nothing of it is in the store: it does not matter who it is.
            None
        } else {
            let api: Api<Namespace> = Api::all(self.client.clone());
            match api.get_metadata_opt(name).await {
                Ok(namespace) => namespace.and_then(|namespace| namespace.metadata.uid),
                Err(error) => {
                    tracing::warn!(name, error = %in_words(&error), "a namespace cannot be looked up");
                    return self.seen.within(name, GRACE).ok_or_else(|| {
                        Problem::new(
                            Code::StoreUnavailable,
                            "the API server does not answer; try again",
                        )
                        .retry_after(2)
                    });
                }
            }
        };
        let found = Seen { known, live };
        self.seen
            .put(name.to_owned(), found.clone(), |age, _| age < FRESH);
        Ok(found)
    }
}
