//! The SecretPolicy of a secret's own.

use strongroom_store::vault::SecretView;

use crate::external_manifest::object_name;

/// Its name: that of the ManagedSecret.
pub(super) fn policy_name(secret: &SecretView) -> String {
    secret
        .object
        .as_ref()
        .map_or_else(|| object_name(secret.name.as_str()), |object| object.name.clone())
}
