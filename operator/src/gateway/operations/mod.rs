//! The operations, one file each. An operation finds the secret, has the request decided, and answers.

pub(super) mod batch_get_secret_value;
mod change;
pub(super) mod create_sealing_key;
pub(super) mod create_secret;
pub(super) mod delete_secret;
pub(super) mod describe_secret;
pub(super) mod explain_access;
pub(super) mod get_cluster_key;
pub(super) mod get_secret_policy;
pub(super) mod get_secret_value;
mod incoming;
pub(super) mod list_audit_records;
pub(super) mod list_secret_version_ids;
pub(super) mod list_secrets;
pub(super) mod put_secret_value;
pub(super) mod renew_sealed_values;
pub(super) mod restore_secret;
pub(super) mod rotate_secret;
pub(super) mod set_secret_policy;
mod shape;
pub(super) mod update_secret;
pub(super) mod update_secret_rotation_policy;
pub(super) mod update_secret_version_stage;
