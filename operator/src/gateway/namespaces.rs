//! Which namespace has a name now: one that was deleted and made again is another namespace, and must not see
//! the secrets of the first.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use strongroom_model::id::{NamespaceId, RequestId};
use strongroom_model::name::NamespaceName;
use strongroom_store::audit::Actor;
use strongroom_store::vault::{Meta, Recovery, ReleaseNamespace, Store, StoreError};

use super::blocking;
use super::problem::{Code, Problem};
use super::single_flight::SingleFlight;
use super::ttl_cache::TtlCache;
use crate::kube::{in_words, keeps_nothing};
use crate::store_handle::store_time;

/// How long an answer of the API server counts.
const LOOKUP_TTL: Duration = Duration::from_secs(5);
/// How long it counts that another namespace is there than the store knows: the controller binds it in a
/// moment.
const CONTRADICTION_TTL: Duration = Duration::from_secs(1);
/// How long it counts while the API server is away.
const OUTAGE_GRACE: Duration = Duration::from_secs(15 * 60);

/// Namespaces by name.
pub(super) struct Namespaces {
    client: Client,
    store: Store,
    seen: TtlCache<String, NamespaceLookup>,
    flights: SingleFlight<String>,
}

/// A namespace as the store knows it, beside the one that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NamespaceLookup {
    /// Its id and UID in the store.
    known: Option<(NamespaceId, Option<String>)>,
    /// The UID of the one that is there.
    live: Option<String>,
    /// The label of the one that is there says that nothing of it is kept.
    keeps_nothing: bool,
}

impl NamespaceLookup {
    /// The present namespace is not the one that the store knows.
    fn contradicts(&self) -> bool {
        match (&self.known, &self.live) {
            (Some((_, known)), Some(live)) => known.as_ref() != Some(live),
            _ => false,
        }
    }

    /// Whether it stays where there is no room for all. Anybody may ask for names that nobody has; while the
    /// API server is away, those that the store knows cannot be looked up again.
    fn outlasts_flood(&self, age: Duration) -> bool {
        self.known.is_some() && age < OUTAGE_GRACE
    }

    /// The store's namespace of this name; `None` where it has none.
    fn resolved(&self, name: &str) -> Result<Option<NamespaceId>, Problem> {
        match (&self.known, &self.live) {
            (None, _) => Ok(None),
            (Some((id, Some(known))), Some(live)) if known == live => Ok(Some(*id)),
            // Gone: its secrets go into their recovery window as soon as the controller sees it.
            (Some((id, _)), None) => Ok(Some(*id)),
            (Some(_), Some(_)) => Err(Problem::new(
                Code::NamespaceRecreated,
                format!(
                    "namespace `{name}` was deleted and created again; a cluster administrator can accept the old secrets with the annotation \
                     strongroom.dev/accept-namespace"
                ),
            )),
        }
    }
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
            seen: TtlCache::default(),
            flights: SingleFlight::default(),
        }
    }

    /// Forgets what does not count any more.
    pub(super) fn forget(&self) {
        self.seen.forget(|age, _| age < OUTAGE_GRACE);
    }

    /// The store knows another namespace of this name now.
    pub(super) fn invalidate(&self, name: &str) {
        self.seen.remove(name);
    }

    /// The store's namespace of this name; `None` where it has none.
    ///
    /// # Errors
    /// [`Code::NamespaceRecreated`] where the one that is there is another one; the store's and the API
    /// server's.
    pub(super) async fn resolve(&self, name: &str) -> Result<Option<NamespaceId>, Problem> {
        let fresh = || {
            let agreeing = |seen: &NamespaceLookup| (!seen.contradicts()).then(|| seen.resolved(name));
            let agrees = self.seen.map(name, LOOKUP_TTL, agreeing).flatten();
            agrees.or_else(|| self.seen.map(name, CONTRADICTION_TTL, |seen| seen.resolved(name)))
        };
        if let Some(resolved) = fresh() {
            return resolved;
        }
        let _turn = self.flights.acquire(name.to_owned()).await;
        if let Some(resolved) = fresh() {
            return resolved;
        }
        Box::pin(self.look_up(name)).await?.resolved(name)
    }

    /// What follows the deletion of a secret that is created in this namespace now. If the API server does
    /// not answer, that is a recovery window.
    pub(super) async fn recovery(&self, name: &str) -> Recovery {
        let unlabelled = |seen: NamespaceLookup| seen.live.is_some() && !seen.keeps_nothing;
        if self.seen.get(name, LOOKUP_TTL).is_some_and(unlabelled) {
            return Recovery::Window;
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        match api.get_metadata_opt(name).await {
            Ok(Some(namespace)) if keeps_nothing(&namespace) => Recovery::Nothing,
            _ => Recovery::Window,
        }
    }

    /// Frees the name of a namespace that is gone, where nothing of it is kept.
    async fn release(&self, seen: &NamespaceLookup) -> Result<bool, Problem> {
        let Some((id, former)) = seen.known.clone() else {
            return Ok(false);
        };
        let store = self.store.clone();
        blocking(move || {
            if store.has_retained_data(id)? {
                return Ok(false);
            }
            let Some(former) = former.and_then(|uid| uid.parse().ok()) else {
                return Ok(true);
            };
            let command = ReleaseNamespace {
                namespace: id,
                uid: former,
            };
            let meta = Meta {
                actor: Actor::System,
                request: RequestId::generate().map_err(|_| StoreError::NotCommitted)?,
                now: store_time(jiff::Timestamp::now()),
                asked: None,
            };
            Ok(store.run(command, meta)?)
        })
        .await
    }

    async fn look_up(&self, name: &str) -> Result<NamespaceLookup, Problem> {
        let Ok(parsed) = name.parse() else {
            // No namespace has such a name.
            return Ok(NamespaceLookup {
                known: None,
                live: None,
                keeps_nothing: false,
            });
        };
        let store = self.store.clone();
        let known = {
            let parsed: NamespaceName = parsed;
            blocking(move || Ok(store.namespace_named(&parsed)?)).await?
        };
        let known = known.map(|known| (known.id, known.uid.map(|uid| uid.to_string())));
        let mut labelled = false;
        let live = if known.is_none() {
            // Nothing of it is in the store: it does not matter who it is.
            None
        } else {
            let api: Api<Namespace> = Api::all(self.client.clone());
            match api.get_metadata_opt(name).await {
                Ok(namespace) => {
                    labelled = namespace.as_ref().is_some_and(keeps_nothing);
                    namespace.and_then(|namespace| namespace.metadata.uid)
                }
                Err(error) => {
                    tracing::warn!(name, error = %in_words(&error), "namespace lookup failed");
                    return self.seen.get(name, OUTAGE_GRACE).ok_or_else(|| {
                        Problem::new(
                            Code::StoreUnavailable,
                            "the API server does not answer; try again",
                        )
                        .retry_after(2)
                    });
                }
            }
        };
        let mut found = NamespaceLookup {
            known,
            live,
            keeps_nothing: labelled,
        };
        if found.contradicts() && self.release(&found).await? {
            found.known = None;
        }
        self.seen.put(name.to_owned(), found.clone(), |age, seen| {
            seen.outlasts_flood(age)
        });
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_has_make_room_for_namespaces() {
        let seen = |known: Option<NamespaceId>| NamespaceLookup {
            known: known.map(|id| (id, None)),
            live: None,
            keeps_nothing: false,
        };
        let known = seen(Some(NamespaceId::from_bytes([1; 16])));
        assert!(known.outlasts_flood(LOOKUP_TTL * 2));
        assert!(!known.outlasts_flood(OUTAGE_GRACE));
        assert!(!seen(None).outlasts_flood(Duration::ZERO));
    }
}
