//! What is in force of SecretPolicies, as the store keeps it for the next start.

use strongroom_model::name::ExternalId;
use strongroom_store::vault::{EnforcePolicy, EnforcedPolicies, EnforcedPolicy, RemovePolicy};

use super::{StoreFailure, StoreHandle};

/// Who the records name.
const SECRET_POLICY: &str = "SecretPolicy";

impl StoreHandle {
    /// What is in force of each policy, as the store knew it last.
    pub(crate) async fn kept_policies(&self) -> Result<EnforcedPolicies, StoreFailure> {
        self.read(|store| Ok(store.policies()?)).await
    }

    /// Keeps what of a policy is in force, in the place of what was kept of it before.
    pub(crate) async fn keep_policy(&self, policy: EnforcedPolicy) -> Result<(), StoreFailure> {
        self.change(SECRET_POLICY, EnforcePolicy(policy)).await
    }

    /// Forgets what is kept of a policy.
    pub(crate) async fn forget_policy(&self, uid: &str) -> Result<(), StoreFailure> {
        self.change(SECRET_POLICY, RemovePolicy(ExternalId::new(uid)?))
            .await
    }
}
