//! What the gateway holds, for every request of every listener.

use std::sync::Arc;

use kube::Client;
use strongroom_process::{Shutdown, WorkPool};
use strongroom_store::audit::Durability;
use strongroom_store::vault::{KeyRef, KeyView, SecretView, Store};

use super::attestations::Attestations;
use super::authenticate::Authenticator;
use super::changes::ChangeFeed;
use super::delivery::{Nodes, PodClient};
use super::forwarded::ExtensionApiAccounts;
use super::labels::LabelCache;
use super::listener_scope::{ListenerScope, ListenerScopes};
use super::manager_homes::ManagerHomes;
use super::metrics::GatewayMetrics;
use super::namespaces::Namespaces;
use super::problem::{Code, Problem};
use super::quota_reservations::QuotaReservations;
use super::recent_puts::RecentPuts;
use super::sealing_keys::SealingKeys;
use crate::attestation::PendingAttestations;
use crate::audit::HeldHours;
use crate::cluster_keys::ClusterKeys;
use crate::consumers::ConsumerIndex;
use crate::delivery_policy::DeliveryPolicyIndex;
use crate::external_sources::ExternalSourceIndex;
use crate::large_objects::LargeObjectLimiter;
use crate::policies::Policies;
use crate::products::ProductDirectoryHandle;

/// What takes long of one request and is done at the same time: scans of the audit log, pages of lists, texts
/// that are sealed anew. One namespace has half of it.
pub(super) const MAX_SCANS: usize = 2;

/// What every request uses.
pub(super) struct Gateway {
    pub(super) client: Client,
    pub(super) store: Store,
    pub(super) policies: Policies,
    /// Who owns default secrets.
    pub(super) products: ProductDirectoryHandle,
    /// Places in the quotas of products.
    pub(super) reservations: QuotaReservations,
    pub(super) external_sources: ExternalSourceIndex,
    /// What the webhook hands over.
    pub(super) attestations: Attestations,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) namespaces: Namespaces,
    pub(super) labels: LabelCache,
    pub(super) manager_homes: ManagerHomes,
    pub(super) listeners: ListenerScopes,
    pub(super) sealing_keys: SealingKeys,
    pub(super) puts: RecentPuts,
    /// Does what takes long of one request, by turns of those who ask.
    pub(super) scans: WorkPool,
    pub(super) cluster_keys: ClusterKeys,
    pub(super) durability: Durability,
    pub(super) metrics: GatewayMetrics,
    pub(super) changes: ChangeFeed,
    pub(super) nodes: Nodes,
    pub(super) front_accounts: ExtensionApiAccounts,
    pub(super) consumers: ConsumerIndex,
    pub(super) pods: PodClient,
    pub(super) delivery_policies: DeliveryPolicyIndex,
    /// Large objects that are read.
    pub(super) large_objects: LargeObjectLimiter,
    /// How far back the audit log reaches.
    pub(super) audit_hours: HeldHours,
    /// The process ends.
    pub(super) ending: Shutdown,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// The listener of the shared gateway.
    pub(super) const fn shared(&self) -> &Arc<ListenerScope> {
        &self.listeners.shared
    }

    /// The customer's key that a secret comes under, if it does.
    pub(super) fn key(&self, secret: &SecretView) -> Result<Option<KeyView>, Problem> {
        match secret.key {
            KeyRef::Default => Ok(None),
            KeyRef::Customer(key) => Ok(Some(self.store.describe_key(secret.namespace, key)?)),
        }
    }
}

/// Runs what touches the disk where it holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Problem::new(Code::StoreUnavailable, "the process is ending").retry_after(2))?
}

/// What the API shares with the controllers.
#[derive(Clone, Debug)]
pub(crate) struct SharedState {
    /// The statements in force.
    pub(crate) policies: Policies,
    /// Who owns default secrets.
    pub(crate) products: ProductDirectoryHandle,
    /// Who takes values over the API.
    pub(crate) declared: ExternalSourceIndex,
    /// What values in manifests are sealed for.
    pub(crate) cluster_keys: ClusterKeys,
    /// On which terms volumes have secrets.
    pub(crate) terms: DeliveryPolicyIndex,
    /// Who has which version.
    pub(crate) consumers: ConsumerIndex,
    /// How far back the audit log reaches.
    pub(crate) held: HeldHours,
    /// Who is about to write objects.
    pub(crate) pending_attestations: PendingAttestations,
}
