//! What is in force of SecretPolicies, as the store keeps it for the next start.

use std::future::Future;

use strongroom_store::name::{ExternalId, NamespaceName};
use strongroom_store::vault::{EnforcePolicy, EnforcedPolicy, RemovePolicy, Store};

use super::StoreFailure;
use super::vault::{change_as, read};
use crate::policies::{RetainedPolicies, RetainedPolicy};

/// Who the records name.
const ACTOR: &str = "SecretPolicy";

/// What the controllers ask of the store about policies. Calls that change something are done when they
/// return.
pub(crate) trait PolicyStore: Send + Sync + 'static {
    /// All that is kept.
    fn kept_policies(&self) -> impl Future<Output = Result<RetainedPolicies, StoreFailure>> + Send;
    /// Keeps what of a policy is in force, in the place of what was kept of it before.
    fn keep_policy(&self, policy: RetainedPolicy) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Forgets what is kept of a policy.
    fn forget_policy(&self, uid: &str) -> impl Future<Output = Result<(), StoreFailure>> + Send;
}

impl PolicyStore for Store {
    async fn kept_policies(&self) -> Result<RetainedPolicies, StoreFailure> {
        read(self, |store| {
            let all = store.policies()?;
            Ok(RetainedPolicies {
                policies: all.policies.into_iter().map(kept).collect(),
                unreadable: all.unreadable > 0,
            })
        })
        .await
    }

    async fn keep_policy(&self, policy: RetainedPolicy) -> Result<(), StoreFailure> {
        let policy = EnforcedPolicy {
            uid: ExternalId::new(&policy.uid)?,
            namespace: NamespaceName::new(&policy.namespace)?,
            name: policy.name,
            generation: policy.generation,
            statements: policy.spec,
        };
        change_as(self, ACTOR, EnforcePolicy(policy)).await
    }

    async fn forget_policy(&self, uid: &str) -> Result<(), StoreFailure> {
        change_as(self, ACTOR, RemovePolicy(ExternalId::new(uid)?)).await
    }
}

fn kept(policy: EnforcedPolicy) -> RetainedPolicy {
    RetainedPolicy {
        uid: policy.uid.to_string(),
        namespace: policy.namespace.to_string(),
        name: policy.name,
        generation: policy.generation,
        spec: policy.statements,
    }
}
