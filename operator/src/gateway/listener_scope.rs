//! What a request knows of its listener: the name, the secrets that it serves, and its limits. A flood at one
//! listener uses up the limits of that one only. This isolates callers from each other, but not processes:
//! all listeners belong to one process with one store.

use std::iter;
use std::sync::Arc;

use strongroom_model::ProductCode;
use strongroom_rules::product::ListenerFacts;

use super::dedicated_gateway::{DedicatedGateway, DedicatedGateways};
use super::limits::{Limits, Rates};
use super::listen::Admission;
use super::listener_capacity::ListenerCapacity;
use super::listener_name::ListenerName;
use super::request::{AddressShares, Capacity, RefusalMetrics};
use super::review_capacity::ReviewCapacity;

/// Whom a listener is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum GatewayKind {
    /// Everybody; nodes and people come here alone.
    Shared,
    /// Some products: their paid secrets alone are served.
    Dedicated {
        /// Names of their SecretProducts.
        products: Vec<ProductCode>,
    },
}

/// A listener, as each of its requests has it.
#[derive(Debug)]
pub(in crate::gateway) struct ListenerScope {
    name: ListenerName,
    kind: GatewayKind,
    /// Requests a second.
    pub(in crate::gateway) limits: Limits,
    /// What is under way at the same time.
    pub(in crate::gateway) capacity: Capacity,
    /// Tokens that the API server is asked about.
    pub(in crate::gateway) reviews: Arc<ReviewCapacity>,
}

impl ListenerScope {
    /// Of the shared gateway.
    pub(in crate::gateway) fn shared(
        rates: Rates,
        addresses: &AddressShares,
        refusals: &RefusalMetrics,
    ) -> Self {
        let (name, kind) = (ListenerName::default(), GatewayKind::Shared);
        Self::new((name, kind), ListenerCapacity::SHARED, rates, addresses, refusals)
    }

    /// Of a gateway for some products, with limits of its own.
    pub(in crate::gateway) fn dedicated(
        gateway: &DedicatedGateway,
        addresses: &AddressShares,
        refusals: &RefusalMetrics,
    ) -> Self {
        let products = gateway.products.clone();
        let what = (gateway.name.clone(), GatewayKind::Dedicated { products });
        Self::new(what, gateway.capacity, gateway.rates, addresses, refusals)
    }

    fn new(
        (name, kind): (ListenerName, GatewayKind),
        capacity: ListenerCapacity,
        rates: Rates,
        addresses: &AddressShares,
        refusals: &RefusalMetrics,
    ) -> Self {
        let refusals = refusals.at(&name);
        let limits = Limits::new(rates, refusals.clone());
        let reviews = ReviewCapacity::new(capacity.reviews(), limits.failures(), refusals.clone());
        let admission = Admission::new(addresses.clone(), capacity, refusals.clone());
        Self {
            name,
            kind,
            limits,
            capacity: Capacity::new(admission, capacity, refusals),
            reviews: Arc::new(reviews),
        }
    }

    pub(in crate::gateway) const fn name(&self) -> &ListenerName {
        &self.name
    }

    /// Whom it is for.
    pub(in crate::gateway) const fn kind(&self) -> &GatewayKind {
        &self.kind
    }

    /// Which secrets are served there, for the decision.
    pub(in crate::gateway) fn facts(&self) -> ListenerFacts<'_> {
        match &self.kind {
            GatewayKind::Shared => ListenerFacts::Shared,
            GatewayKind::Dedicated { products } => ListenerFacts::Dedicated(products),
        }
    }

    /// Whether it is that of the shared gateway.
    pub(in crate::gateway) const fn is_shared(&self) -> bool {
        matches!(self.kind, GatewayKind::Shared)
    }
}

/// The listeners of the process.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct ListenerScopes {
    pub(in crate::gateway) shared: Arc<ListenerScope>,
    pub(in crate::gateway) dedicated: Vec<Arc<ListenerScope>>,
}

impl ListenerScopes {
    /// The shared gateway with these rates, and the dedicated ones with their own. What one address may have
    /// of each is the same part.
    pub(in crate::gateway) fn new(
        rates: Rates,
        dedicated: &DedicatedGateways,
        addresses: &AddressShares,
        refusals: &RefusalMetrics,
    ) -> Self {
        let scope = |gateway| Arc::new(ListenerScope::dedicated(gateway, addresses, refusals));
        Self {
            shared: Arc::new(ListenerScope::shared(rates, addresses, refusals)),
            dedicated: dedicated.iter().map(scope).collect(),
        }
    }

    /// The shared one first, and then the others in their order.
    pub(in crate::gateway) fn iter(&self) -> impl Iterator<Item = &Arc<ListenerScope>> {
        iter::once(&self.shared).chain(&self.dedicated)
    }

    /// What there is at all of them together.
    pub(in crate::gateway) fn sum(&self, count: impl Fn(&Capacity) -> u64) -> u64 {
        self.iter().map(|listener| count(&listener.capacity)).sum()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use strongroom_rules::policy::Identity;

    use super::*;
    use crate::gateway::authenticate::Caller;
    use crate::gateway::listen::Peer;
    use crate::gateway::request::AdmissionOutcome;

    #[test]
    fn a_sum_is_of_the_shared_listener_and_of_all_others() {
        let dedicated = ["aigw=127.0.0.1:0,products=aigw", "pg=127.0.0.1:0,products=pg"];
        let dedicated = dedicated.map(|gateway| gateway.parse().unwrap()).to_vec();
        let dedicated = DedicatedGateways::new(dedicated).unwrap();
        let (addresses, refusals) = (AddressShares::default(), RefusalMetrics::default());
        let listeners = ListenerScopes::new(Rates::DEFAULT, &dedicated, &addresses, &refusals);
        assert_eq!(listeners.sum(Capacity::watches_in_use), 0);
        let caller = Caller::named(Identity::from_username("system:serviceaccount:shop:app"));
        let peer = Peer {
            address: "10.0.0.1:1".parse().unwrap(),
            proven: true,
        };
        let mut held = Vec::new();
        // One at the first, two at the second, three at the third.
        for (number, listener) in listeners.iter().enumerate() {
            for _ in 0..=number {
                let AdmissionOutcome::Admitted(slot) = listener.capacity.admit(&peer, &Request::new(()))
                else {
                    panic!("no room")
                };
                listener.capacity.watch(&slot, &caller).unwrap();
                held.push(slot);
            }
        }
        assert_eq!(listeners.sum(Capacity::watches_in_use), 6);
        drop(held);
        assert_eq!(listeners.sum(Capacity::watches_in_use), 0);
    }
}
