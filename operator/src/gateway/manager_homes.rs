//! Whether a manager of a product comes from the namespace that the store recorded for it.
//!
//! Somebody may delete the namespace of a manager and make it again. The watch of Namespaces reports that,
//! but may lag behind: until then a ServiceAccount of the new namespace has the name of the manager, and a
//! valid token. So the API server is asked before a ServiceAccount counts as a manager, once for each UID:
//! none of them ever moves to another namespace.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use strongroom_rules::product::ProductDirectory;
use strongroom_rules::uid::Uid;

use super::authenticate::Caller;
use super::problem::{Code, Problem};
use super::ttl_cache::TtlCache;
use crate::kube::in_words;

/// How long it is kept which namespace a ServiceAccount is of. That does not change.
const HOME_TTL: Duration = Duration::from_secs(60 * 60);

/// Whether what was said so long ago still counts.
fn counts(age: Duration, _home: &Uid) -> bool {
    age < HOME_TTL
}

/// The namespaces of managers.
pub(super) struct ManagerHomes {
    client: Client,
    /// UIDs of namespaces, by those of ServiceAccounts.
    seen: TtlCache<String, Uid>,
}

impl std::fmt::Debug for ManagerHomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagerHomes").finish_non_exhaustive()
    }
}

impl ManagerHomes {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            seen: TtlCache::default(),
        }
    }

    /// Forgets what does not count any more.
    pub(super) fn forget(&self) {
        self.seen.forget(counts);
    }

    /// Whether the caller is what the products take it for. Whoever manages none always is.
    ///
    /// # Errors
    /// [`Code::PoliciesUnavailable`] where its namespace is another one than its product is known with;
    /// [`Code::AuthenticationUnavailable`] where the API server does not say.
    pub(super) async fn check(&self, caller: &Caller, products: &ProductDirectory) -> Result<(), Problem> {
        let identity = &caller.principal.identity;
        let Some(namespace) = identity.namespace() else {
            return Ok(());
        };
        if products.manager_facts(identity).next().is_none() {
            return Ok(());
        }
        let known = caller.account_uid.as_deref();
        let home = match known.and_then(|uid| self.seen.get(uid, HOME_TTL)) {
            Some(home) => Some(home),
            None => Box::pin(self.look_up(caller, namespace)).await?,
        };
        let is_home = products
            .manager_facts(identity)
            .all(|manager| manager.namespace_uid.is_some() && manager.namespace_uid == home);
        if is_home {
            return Ok(());
        }
        let problem = Problem::new(
            Code::PoliciesUnavailable,
            format!(
                "namespace `{namespace}` is another one than that of the product's manager, and the products do not tell yet; try again in a \
                 moment"
            ),
        );
        Err(problem.retry_after(1))
    }

    async fn look_up(&self, caller: &Caller, namespace: &str) -> Result<Option<Uid>, Problem> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = api.get_metadata_opt(namespace).await.map_err(|error| {
            tracing::warn!(namespace, error = %in_words(&error), "lookup of a manager's namespace failed");
            let detail = format!(
                "the API server does not say which namespace `{namespace}` of the product's manager is; try again"
            );
            Problem::new(Code::AuthenticationUnavailable, detail).retry_after(2)
        })?;
        let home = found.and_then(|namespace| namespace.metadata.uid).map(Uid::new);
        if let (Some(uid), Some(home)) = (&caller.account_uid, &home) {
            self.seen.put(uid.clone(), home.clone(), counts);
        }
        Ok(home)
    }
}

#[cfg(test)]
mod tests {
    use strongroom_testing::api_server::ApiServer;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_count_any_more_is_forgotten() {
        let homes = ManagerHomes::new(ApiServer::default().client());
        let put = |account: &str| homes.seen.put(account.to_owned(), Uid::new("uid-system"), counts);
        // However old it is.
        let is_kept = |account: &str| homes.seen.get(account, Duration::MAX).is_some();
        put("old");
        tokio::time::advance(Duration::from_secs(1)).await;
        put("young");
        tokio::time::advance(HOME_TTL - Duration::from_secs(1)).await;
        homes.forget();
        assert_eq!((is_kept("old"), is_kept("young")), (false, true));
    }
}
