//! The table of operations, in the order of their names. The router and the OpenAPI document are made from
//! it.

use serde_json::json;
use strongroom_api::manifest::ClusterKey;
use strongroom_api::v1::{
    ConsumersAnswer, DeleteSecretAnswer, DeletedSecretsPage, ExplainAccessAnswer, HistoryPage, OwnPolicy,
    PurgeDeletedSecretsAnswer, RotateSecretAnswer, RotationPolicy, SealedTexts, SealingKeyAnswer,
    SecretAnswer, SecretsPage, VersionAnswer, VersionsAnswer,
};
use strongroom_rules::policy::Action;

use super::{
    batch_get_secret_value, create_sealing_key, create_secret, delete_secret, describe_secret,
    explain_access, get_cluster_key, get_secret_history, get_secret_policy, get_secret_value,
    list_audit_records, list_deleted_secrets, list_secret_consumers, list_secret_version_ids, list_secrets,
    purge_deleted_secrets, put_secret_value, renew_sealed_values, restore_secret, rotate_secret,
    set_secret_policy, shape, update_secret, update_secret_rotation_policy, update_secret_version_stage,
    watch_secret,
};
use crate::gateway::operation::{Operation, OperationTable, Success, Verb};

const CLUSTER_KEYS: &str = "/v1/namespaces/{namespace}/clusterkeys";
const SECRETS: &str = "/v1/namespaces/{namespace}/secrets";
const SECRET: &str = "/v1/namespaces/{namespace}/secrets/{name}";
const POLICY: &str = "/v1/namespaces/{namespace}/secrets/{name}/policy";
const ROTATION: &str = "/v1/namespaces/{namespace}/secrets/{name}/rotation";

/// Puts all of them into a table.
pub(in crate::gateway) fn list(table: &mut impl OperationTable) {
    list_to_get(table);
    list_to_purge(table);
    list_to_end(table);
}

/// Those from B to G.
fn list_to_get(table: &mut impl OperationTable) {
    table.add(
        Operation::write(
            "BatchGetSecretValue",
            Verb::Post,
            "/v1/namespaces/{namespace}/secrets:batchGet",
        )
        .reads()
        .acts(Action::GetSecretValue)
        .about("Values of at most 20 secrets, each decided by itself")
        .answers_as(Success::Done, "application/json", shape::batch_schema()),
        batch_get_secret_value::run,
    );
    table.add(
        Operation::write(
            "CreateSealingKey",
            Verb::Post,
            "/v1/namespaces/{namespace}/sealingkeys",
        )
        .about("A key that the caller's next value can come sealed for")
        .answers::<SealingKeyAnswer>(Success::Created),
        create_sealing_key::run,
    );
    table.add(
        Operation::write("CreateSecret", Verb::Post, SECRETS)
            .acts(Action::CreateSecret)
            .about("A secret with its first version, and its ManagedSecret")
            .answers::<SecretAnswer>(Success::Created),
        create_secret::run,
    );
    table.add(
        Operation::write("DeleteSecret", Verb::Delete, SECRET)
            .acts(Action::DeleteSecret)
            .about("Opens the recovery window, or destroys at once")
            .answers::<DeleteSecretAnswer>(Success::Done),
        delete_secret::run,
    );
    table.add(
        Operation::get("DescribeSecret", SECRET)
            .about("Everything about a secret but its value")
            .answers::<SecretAnswer>(Success::Done),
        describe_secret::run,
    );
    table.add(
        Operation::get(
            "ExplainAccess",
            "/v1/namespaces/{namespace}/secrets/{name}/access",
        )
        .about("Why a principal gets what it gets, and what is missing")
        .answers::<ExplainAccessAnswer>(Success::Done),
        explain_access::run,
    );
    table.add(
        Operation::get("GetClusterKey", CLUSTER_KEYS)
            .about("The public key that values in manifests are sealed for")
            .answers::<ClusterKey>(Success::Done),
        get_cluster_key::run,
    );
    table.add(
        Operation::get(
            "GetSecretHistory",
            "/v1/namespaces/{namespace}/secrets/{name}/history",
        )
        .about(
            "Who changed what of a secret, and when, in pages, the oldest change first; needs DescribeSecret",
        )
        .answers::<HistoryPage>(Success::Done),
        get_secret_history::run,
    );
    table.add(
        Operation::get("GetSecretPolicy", POLICY)
            .acts(Action::GetSecretPolicy)
            .about("The statements of the secret's own policy")
            .answers::<OwnPolicy>(Success::Done),
        get_secret_policy::run,
    );
    table.add(
        Operation::get(
            "GetSecretValue",
            "/v1/namespaces/{namespace}/secrets/{name}/value",
        )
        .acts(Action::GetSecretValue)
        .about("A value; by default that of the Current version")
        .answers_as(Success::Done, "application/json", shape::value_or_sealed_schema())
        .answers_as(Success::Done, "application/octet-stream", json!({}))
        .answers_nothing(Success::Unchanged),
        get_secret_value::run,
    );
}

/// Those from L to P.
fn list_to_purge(table: &mut impl OperationTable) {
    let audit = |id, path| {
        Operation::get(id, path)
            .only_for_people(list_audit_records::ELSEWHERE)
            .about("The records of both audit chains, in pages; only over people.strongroom.dev")
            .answers_as(Success::Done, "application/json", shape::audit_records_schema())
    };
    table.add(
        audit("ListAuditRecords", "/v1/namespaces/{namespace}/auditrecords"),
        list_audit_records::run,
    );
    table.add(
        audit("ListAllAuditRecords", "/v1/auditrecords"),
        list_audit_records::run_for_all,
    );
    table.add(
        Operation::get(
            "ListDeletedSecrets",
            "/v1/namespaces/{namespace}/deletedsecrets",
        )
        .only_for_people(list_deleted_secrets::ELSEWHERE)
        .about("What is in recovery windows, and how much of the store the namespace has; only over people.strongroom.dev")
        .answers::<DeletedSecretsPage>(Success::Done),
        list_deleted_secrets::run,
    );
    table.add(
        Operation::get(
            "ListSecretConsumers",
            "/v1/namespaces/{namespace}/secrets/{name}/consumers",
        )
        .about("Who has a secret: volumes of pods, callers of the API, pods with the native Secret, each with its version; needs DescribeSecret")
        .answers::<ConsumersAnswer>(Success::Done),
        list_secret_consumers::run,
    );
    table.add(
        Operation::get(
            "ListSecretVersionIds",
            "/v1/namespaces/{namespace}/secrets/{name}/versions",
        )
        .acts(Action::ListSecretVersionIds)
        .about("The versions of a secret, the newest first")
        .answers::<VersionsAnswer>(Success::Done),
        list_secret_version_ids::run,
    );
    table.add(
        Operation::get("ListSecrets", SECRETS)
            .acts(Action::ListSecrets)
            .about("The secrets that the caller may list, in pages")
            .answers::<SecretsPage>(Success::Done),
        list_secrets::run,
    );
    table.add(
        Operation::write(
            "PurgeDeletedSecrets",
            Verb::Post,
            "/v1/namespaces/{namespace}/purges",
        )
        .only_for_people(purge_deleted_secrets::ELSEWHERE)
        .about("Destroys what is in recovery windows, for good; only over people.strongroom.dev")
        .answers::<PurgeDeletedSecretsAnswer>(Success::Done),
        purge_deleted_secrets::run,
    );
    table.add(
        Operation::write(
            "PutSecretValue",
            Verb::Put,
            "/v1/namespaces/{namespace}/secrets/{name}/versions/{version}",
        )
        .acts(Action::PutSecretValue)
        .about("A new version; the same id with the same value changes nothing")
        .answers::<VersionAnswer>(Success::Created)
        .answers::<VersionAnswer>(Success::Done),
        put_secret_value::run,
    );
}

/// Those from R on.
fn list_to_end(table: &mut impl OperationTable) {
    table.add(
        Operation::write("RenewSealedValues", Verb::Post, CLUSTER_KEYS)
            .about("Sealed texts of a manifest, sealed anew for the newest key")
            .answers::<SealedTexts>(Success::Done),
        renew_sealed_values::run,
    );
    table.add(
        Operation::write(
            "RestoreSecret",
            Verb::Post,
            "/v1/namespaces/{namespace}/secrets/{name}/restore",
        )
        .acts(Action::RestoreSecret)
        .about("Brings a secret back from its recovery window")
        .answers::<SecretAnswer>(Success::Done),
        restore_secret::run,
    );
    table.add(
        Operation::write("RotateSecret", Verb::Post, ROTATION)
            .acts(Action::RotateSecret)
            .about("A new value now; the same token rotates once")
            .answers::<RotateSecretAnswer>(Success::Accepted)
            .answers::<RotateSecretAnswer>(Success::Done),
        rotate_secret::run,
    );
    table.add(
        Operation::write("SetSecretPolicy", Verb::Put, POLICY)
            .acts(Action::SetSecretPolicy)
            .about("Sets the statements of the secret's own policy")
            .answers::<OwnPolicy>(Success::Done),
        set_secret_policy::run,
    );
    table.add(
        Operation::write("UpdateSecret", Verb::Patch, SECRET)
            .acts(Action::UpdateSecret)
            .about("Changes description and labels, or the key of a default secret; null removes")
            .answers::<SecretAnswer>(Success::Done),
        update_secret::run,
    );
    table.add(
        Operation::write("UpdateSecretRotationPolicy", Verb::Put, ROTATION)
            .acts(Action::UpdateSecretRotationPolicy)
            .about("Sets the RotationSchedule of the secret's own")
            .answers::<RotationPolicy>(Success::Done),
        update_secret_rotation_policy::run,
    );
    table.add(
        Operation::write(
            "UpdateSecretVersionStage",
            Verb::Post,
            "/v1/namespaces/{namespace}/secrets/{name}/stages/{stage}",
        )
        .acts(Action::UpdateSecretVersionStage)
        .about("Moves a stage to a version, or takes it away")
        .answers::<SecretAnswer>(Success::Done),
        update_secret_version_stage::run,
    );
    table.add(
        Operation::get(
            "WatchSecret",
            "/v1/namespaces/{namespace}/secrets/{name}/watch",
        )
        .about("The id of the current version, now and whenever it changes, as server-sent events; needs DescribeSecret")
        .answers_as(Success::Done, "text/event-stream", json!({"type": "string"})),
        watch_secret::run,
    );
}
