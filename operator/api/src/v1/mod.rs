//! What the operations of the API (`docs/api.md`) take and answer: one shape for the gateway, its clients and
//! the OpenAPI document. A file for each group of operations.
//!
//! Values are [`Encoded`] here: wiped when dropped, and never told by `Debug`.

mod access;
mod access_check;
mod audit_records;
mod consumers;
mod deleted_secrets;
mod encoded;
mod history;
mod keys;
mod patterns;
mod policy;
mod problem;
mod rotation;
mod secret;
mod value;
mod version;
mod watch;

pub use crate::hosting::HostingMode;

pub use self::access::{ExplainAccessAnswer, ExplainAccessQuery};
pub use self::access_check::{
    AccessCheck, AccessCheckName, AccessCheckResult, AccessCheckState, apply_command,
};
pub use self::audit_records::{AuditRecordsPage, ListAuditRecordsQuery};
pub use self::consumers::{ConsumerKind, ConsumerState, ConsumersAnswer, SecretConsumer};
pub use self::deleted_secrets::{
    DeletedSecretAnswer, DeletedSecretsPage, ListDeletedSecretsQuery, PurgeDeletedSecretsAnswer,
    PurgeDeletedSecretsRequest, StoreLimit, StoreUsage,
};
pub use self::encoded::Encoded;
pub use self::history::{
    GetSecretHistoryQuery, HistoryDecision, HistoryPage, HistoryRecord, HistoryRequester,
};
pub use self::keys::{SealedTexts, SealingKeyAnswer};
pub use self::patterns::{
    BASE64_PATTERN, DNS_LABEL_PATTERN, LABEL_PATTERN, SECRET_NAME_PATTERN, VERSION_ID_PATTERN,
};
pub use self::policy::OwnPolicy;
pub use self::problem::ProblemDocument;
pub use self::rotation::{RotateSecretAnswer, RotateSecretRequest, RotationPolicy};
pub use self::secret::{
    CreateSecretRequest, DeleteSecretAnswer, DeleteSecretQuery, ListSecretsQuery, SecretAnswer, SecretsPage,
    UpdateSecretRequest,
};
pub use self::value::{
    BatchGetSecretValueRequest, BatchItem, GetSecretValueQuery, PutSecretValueRequest, SealedAnswer,
    SealedData, ValueAnswer, ValueData,
};
pub use self::version::{
    ListSecretVersionIdsQuery, UpdateSecretVersionStageRequest, VersionAnswer, VersionsAnswer,
};
pub use self::watch::{VersionEvent, WatchEnd, WatchSecretQuery};
