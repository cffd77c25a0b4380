//! The operations, one file each. An operation finds the secret, has the request decided, and answers.

pub(super) mod batch_get_secret_value;
pub(super) mod describe_secret;
pub(super) mod explain_access;
pub(super) mod get_secret_value;
pub(super) mod list_secret_version_ids;
pub(super) mod list_secrets;
pub(super) mod put_secret_value;
pub(super) mod rotate_secret;
mod shape;
pub(super) mod update_secret_version_stage;
