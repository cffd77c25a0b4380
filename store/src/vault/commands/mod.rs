//! The commands: each a pure decision on a view, one file each. Must not read a clock, touch the engine, or
//! log.

mod binding;
mod command;
mod create_secret;
mod cursor;
mod declarations;
mod delete_secret;
mod destroy_secret;
mod ensure_version;
mod entry_draft;
mod keys;
mod metadata;
mod namespaces;
mod policies;
mod products;
mod purge;
mod purge_secrets;
mod put_value;
mod quota;
mod restore_secret;
mod rewrap;
mod seal;
mod truncate_audit;
mod update_secret;
mod update_stage;
mod versions;

pub use binding::{BindMaterialized, BindObject};
pub use command::{Command, Decision};
pub use create_secret::CreateSecret;
pub(crate) use cursor::RecordRestore;
pub use cursor::{RecordCheckpoint, RecordExportGap, RecordStoreEvent, SetCursor};
pub use declarations::{
    AcceptDeclaration, ApproveDeclaration, Attest, BeginAttestations, ForgetAttestations, ForgetWithdrawn,
    WithdrawDeclaration,
};
pub use delete_secret::{DeleteSecret, Deletion};
pub use destroy_secret::{DestroySecret, KeepRecoveryWindow};
pub use ensure_version::{EnsureVersion, RotationMark};
pub(crate) use entry_draft::EntryDraft;
pub use keys::{
    CancelKeyDeletion, CreateKey, DeclareKey, DestroyKeyVersion, DisableKey, EnableKey, NewKeyVersion,
    ScheduleKeyDeletion,
};
pub use namespaces::{AcceptNamespace, BindNamespace, ForgetNamespaceUids, ReleaseNamespace};
pub use policies::{EnforcePolicy, RemovePolicy};
pub use products::PutProduct;
pub use purge::{CLOCK_TRUST_DELAY, PurgeDue, PurgeOutcome, PurgeSecret};
pub use purge_secrets::PurgeSecrets;
pub use put_value::PutValue;
pub(crate) use quota::{check_any_default_secret, check_any_secret};
pub use restore_secret::RestoreSecret;
pub use rewrap::{Rewrap, RewrapProgress};
pub(crate) use seal::ChangeSeal;
pub(crate) use truncate_audit::{RemoveTruncated, TruncateAudit};
pub use update_secret::UpdateSecret;
pub use update_stage::UpdateStage;
pub use versions::{MAX_STAGES, MAX_VERSIONS};

// The words of all commands.
use metadata::check_metadata;
use versions::{add_version, key_for, move_stage, oldest_without_stage, unwritten, written};

use super::effect::Effect;
use super::error::{Refusal, StoreError};
use super::record_views::{key_view, secret_view, view_after};
use super::view::View;
use crate::format::{Head, KeyRecord, KeyState, KeyVersionState, Namespace};
