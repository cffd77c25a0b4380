//! The annotations people set: to ask for something once, or to say what an object is called elsewhere.
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

/// On a Namespace: the account of Alibaba Cloud that it stands for in policies, masked or not.
pub const ALIBABA_ACCOUNT: &str = "strongroom.dev/alibaba-account";

/// On a ServiceAccount: the user of RAM that it stands for in policies.
pub const RAM_USER: &str = "strongroom.dev/ram-user";

/// On a ServiceAccount: the role of RAM that it stands for in policies.
pub const RAM_ROLE: &str = "strongroom.dev/ram-role";

/// On a ServiceAccount: the same, as Alibaba Cloud's ack-pod-identity-webhook has it
/// (<https://github.com/AliyunContainerService/ack-pod-identity-webhook>).
pub const POD_IDENTITY_ROLE: &str = "pod-identity.alibabacloud.com/role-name";

/// On a SecretPolicy: the policy of RAM that it was imported from, as it was written.
pub const RAM_POLICY: &str = "strongroom.dev/ram-policy";

/// On a SecretPolicy: the namespaces that the accounts of that policy were taken for, as in
/// `123456789012****=pay`, with commas between them.
pub const RAM_ACCOUNTS: &str = "strongroom.dev/ram-accounts";

/// On a ManagedSecret of a product: the product may move the secret once from the EncryptionKey back to the
/// namespace's default key, which takes the control of the key away from the tenant. The value is the name of
/// the key and the object's `metadata.generation`, as in `payments/3`: after any change of the spec but that
/// move it counts no more.
pub const ALLOW_DEFAULT_KEY: &str = "strongroom.dev/allow-default-key";

/// On a SecretProduct: accept it as it is now as owner of the secrets of its code. The value is its
/// `status.adoptionToken`.
pub const ADOPT_PRODUCT: &str = "strongroom.dev/adopt-product";
