//! The operations, one file each, and the one table of them: a row says what an operation is to the outside,
//! and its function, `run`, does its work with what the stations of a request leave it.
//!
//! No operation knows HTTP, and none another one. What several of them do is in files of its own: `change`,
//! `default_secret`, `metadata`, `value_read` and those below them. `access_checks` is what ExplainAccess
//! makes of its facts.

mod access_checks;
mod batch_get_secret_value;
mod bodies;
mod change;
mod create_sealing_key;
mod create_secret;
mod default_secret;
mod delete_secret;
mod describe_secret;
mod explain_access;
mod get_cluster_key;
mod get_secret_history;
mod get_secret_policy;
mod get_secret_value;
mod incoming;
mod list_audit_records;
mod list_deleted_secrets;
mod list_secret_consumers;
mod list_secret_version_ids;
mod list_secrets;
mod metadata;
mod own_policy;
mod purge_deleted_secrets;
mod put_secret_value;
mod renew_sealed_values;
mod requested_version;
mod restore_secret;
mod rotate_secret;
mod set_secret_policy;
mod shape;
mod table;
mod update_secret;
mod update_secret_rotation_policy;
mod update_secret_version_stage;
mod user_metadata;
mod value_read;
mod watch_secret;

pub(super) use self::table::list;
