//! The operations, one file each. An operation says what it is to the outside, finds the secret, has the
//! request decided, and answers.

mod batch_get_secret_value;
mod change;
mod create_sealing_key;
mod create_secret;
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
mod purge_deleted_secrets;
mod put_secret_value;
mod renew_sealed_values;
mod requested_version;
mod restore_secret;
mod rotate_secret;
mod set_secret_policy;
mod shape;
mod update_secret;
mod update_secret_rotation_policy;
mod update_secret_version_stage;
mod watch_secret;

use super::operation::Operation;

/// Each of them once: router and OpenAPI document have them from here.
pub(super) fn all() -> Vec<Operation> {
    vec![
        batch_get_secret_value::operation(),
        create_sealing_key::operation(),
        create_secret::operation(),
        delete_secret::operation(),
        describe_secret::operation(),
        explain_access::operation(),
        get_cluster_key::operation(),
        get_secret_history::operation(),
        get_secret_policy::operation(),
        get_secret_value::operation(),
        list_audit_records::operation(),
        list_audit_records::operation_for_all(),
        list_deleted_secrets::operation(),
        list_secret_consumers::operation(),
        list_secret_version_ids::operation(),
        list_secrets::operation(),
        purge_deleted_secrets::operation(),
        put_secret_value::operation(),
        renew_sealed_values::operation(),
        restore_secret::operation(),
        rotate_secret::operation(),
        set_secret_policy::operation(),
        update_secret::operation(),
        update_secret_rotation_policy::operation(),
        update_secret_version_stage::operation(),
        watch_secret::operation(),
    ]
}
