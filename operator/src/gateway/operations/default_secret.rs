//! What the operations that change a default secret have in common: its place in the quota of its product.

use strongroom_model::Hosting;
use strongroom_model::id::NamespaceId;
use strongroom_store::vault::KeyRef;

use super::change::{ChangeError, SecretChange};
use crate::gateway::problem::{Problem, invalid};
use crate::gateway::quota_reservations::{QuotaKey, QuotaReservation};

/// Holds a place in the quota of the product for the secret as it will lie under this key; none, where the
/// secret is an ordinary one.
pub(super) async fn reserve_place(
    change: &SecretChange,
    namespace: NamespaceId,
    key: KeyRef,
) -> Result<Option<QuotaReservation>, ChangeError> {
    let Some(name) = change.path.default_secret() else {
        return Ok(None);
    };
    let place = QuotaKey {
        code: name.product_code().map_err(invalid)?,
        hosting: Hosting::under(key.customer().as_ref()),
        namespace,
    };
    let (gateway, home) = (&change.gateway, change.path.namespace().parsed().cloned());
    let reserved: Result<QuotaReservation, Problem> =
        gateway.reservations.reserve(&gateway.store, place, home).await;
    Ok(Some(reserved?))
}
