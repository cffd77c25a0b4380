//! The annotations people set to ask for something once.
//!
//! An annotation never carries a value of a secret.

/// On a ManagedSecret: restore the secret of this id (32 hex digits) from its recovery window.
pub const RESTORE: &str = "strongroom.dev/restore";

/// On a ManagedSecret: destroy the secret of this id (32 hex digits), which is in its recovery window, now.
pub const PURGE: &str = "strongroom.dev/purge";

/// On a ManagedSecret whose secret the store does not know: take the content of its native Secret as a new
/// first version. The value is the `status.secretId` that is given up.
pub const READOPT: &str = "strongroom.dev/readopt";

/// On a ManagedSecret or a RotationSchedule: rotate once now. The value is any text that was not used before,
/// a time for example; one that was is not carried out again, and the condition `Rotated` says so.
pub const ROTATE_NOW: &str = "strongroom.dev/rotate-now";

/// On an EncryptionKey: when the object is deleted, its key goes although secrets depend on it, and they are
/// lost with it. The value is `true`.
pub const CONFIRM_DATA_LOSS: &str = "strongroom.dev/confirm-data-loss";

/// On the ConfigMap `strongroom-deletions`: confirm the batch of absences with this id.
pub const CONFIRM: &str = "strongroom.dev/confirm";

/// On a Namespace: accept the secrets of the earlier namespace of this name. The value is the UID of the
/// earlier one.
pub const ACCEPT_NAMESPACE: &str = "strongroom.dev/accept-namespace";
