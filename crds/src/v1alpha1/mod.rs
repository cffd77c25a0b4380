//! Version v1alpha1 of every kind, one module a kind.

pub mod encryption_key;
pub mod key_source;
pub mod managed_secret;
pub mod native_secret;
mod renew_before;
pub mod rotation_schedule;
pub mod secret_policy;
pub mod secret_product;
mod text;

pub use encryption_key::{
    EncryptionKey, EncryptionKeySpec, EncryptionKeyState, EncryptionKeyStatus, KeyDeletion, KeyRotation,
};
pub use key_source::{
    Base64Source, CertificateAuthority, CertificateUsage, EcdsaCurve, EcdsaSource, Ed25519Source, HexSource,
    KeyAlgorithm, KeyFormat, KeySource, ManagedCertificateAuthority, PasswordClasses, PasswordSource,
    RsaSource, SelfSigned, UuidSource, X509Source,
};
pub use managed_secret::{
    CertificateStatus, Deletion, DeletionPolicy, Delivery, ExternalSource, FormerVersion, GenerateSource,
    ImportSource, ManagedSecret, ManagedSecretSpec, ManagedSecretStatus, NativeSecretStatus, OnRevoke,
    PendingDeletion, SealedKey, SealedSource, SecretReference, Source, VersionConsumers, VersionStatus,
};
pub use native_secret::NativeSecret;
pub use renew_before::RenewBefore;
pub use rotation_schedule::{
    GenerateRotator, RotatedSecret, RotationSchedule, RotationScheduleSpec, RotationScheduleStatus, Rotator,
    Schedule, ScheduledSecrets, Weekday, Window,
};
pub use secret_policy::{
    PolicyConditions, PolicyEffect, PolicyIdentities, PolicyPrincipal, PolicyStatement, SecretPolicy,
    SecretPolicySpec, SecretPolicyStatus,
};
pub use secret_product::{
    HostingQuotas, HostingUsage, ManagerSighting, PaidOptions, ProductHosting, ProductQuota, ProductUsage,
    SecretProduct, SecretProductSpec, SecretProductStatus, ServiceAccountRef, UserOperation,
};
