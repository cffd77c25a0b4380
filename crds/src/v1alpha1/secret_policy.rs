//! Kind SecretPolicy: who may do what with which secrets.
#![expect(clippy::duplicated_attributes, reason = "print columns repeat their type")]
#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function, where `pub` reaches nobody"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use strongroom_model::{RAM_PRINCIPAL_BYTES, RAM_PRINCIPAL_PATTERN, SECRET_NAME_BYTES, SECRET_NAME_CLASS};

use super::rotation_schedule::Window;
use super::text::secret_name_pattern;

/// Who may do what with which secrets: statements that are attached to ServiceAccounts or to secrets of this
/// namespace.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "strongroom.dev",
    version = "v1alpha1",
    kind = "SecretPolicy",
    doc = "A SecretPolicy says who may do what with which secrets. With no policy nobody reads; a Deny wins over every Allow.",
    plural = "secretpolicies",
    shortname = "spol",
    category = "strongroom",
    namespaced,
    status = "SecretPolicyStatus",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Statements", type_ = "integer", json_path = ".status.statements"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.identities) != has(self.secrets)")
    .message("set exactly one of identities, secrets"))]
#[x_kube(validation = Rule::new("!has(self.identities) || self.statements.all(s, has(s.resources) && !has(s.principals))")
    .message("a statement for identities has resources and no principals: its principals are the identities"))]
#[x_kube(validation = Rule::new("!has(self.secrets) || self.statements.all(s, has(s.principals) && !has(s.resources))")
    .message("a statement for secrets has principals and no resources: its resources are the secrets"))]
pub struct SecretPolicySpec {
    /// Identity policy: whose rights the statements are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identities: Option<PolicyIdentities>,
    /// Secret policy: names in the store of the secrets of this namespace that the statements are about. `*`
    /// stands for any characters, as in `db-*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = SECRET_NAME_BYTES), regex(pattern = secret_name_pattern("!*"))),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub secrets: Option<Vec<String>>,
    /// What is allowed or denied. A Deny wins over every Allow, in whichever policy it stands.
    #[schemars(length(min = 1, max = 64))]
    pub statements: Vec<PolicyStatement>,
}

/// ServiceAccounts of this namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyIdentities {
    /// Their names. `*` stands for any characters, as in `batch-*`.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 253), regex(pattern = "^[-a-z0-9.*]+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub service_accounts: Vec<String>,
}

/// One permission or prohibition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatement {
    /// A name of the statement, for people and for `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[-._ a-zA-Z0-9]+$"))]
    pub sid: Option<String>,
    /// Allow or Deny.
    pub effect: PolicyEffect,
    /// Who. Only in a secret policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub principals: Option<Vec<PolicyPrincipal>>,
    /// Operations, as in `secrets:GetSecretValue`. `*` stands for any characters, as in `secrets:Describe*`.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 64), regex(pattern = "^(\\*|(secrets|keys):[A-Za-z*]+)$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub actions: Vec<String>,
    /// What, as in `secret/db-main`, `secret/mcp!*`, `key/payments`, or `team-b:secret/x` in another
    /// namespace. `*` stands for any characters. Only in an identity policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(
            length(min = 1, max = 264),
            regex(pattern = format!("^([-a-z0-9*]+:)?(secret|key)/[{SECRET_NAME_CLASS}!*]+$"))
        ),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub resources: Option<Vec<String>>,
    /// When the statement counts. Absent: always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<PolicyConditions>,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "a documented variant turns the schema's plain enum into oneOf"
)]
pub enum PolicyEffect {
    Allow,
    Deny,
}

/// Whom a statement of a secret policy is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PolicyPrincipal {
    /// ServiceAccounts as `name` in this namespace, or as `namespace/name`. `*` stands for any characters but
    /// `/`.
    #[schemars(schema_with = "account_pattern")]
    ServiceAccount(String),
    /// A user as the API server knows them. `*` stands for any characters.
    #[schemars(schema_with = "subject_pattern")]
    User(String),
    /// A group as the API server knows it. `*` stands for any characters.
    #[schemars(schema_with = "subject_pattern")]
    Group(String),
    /// A principal of RAM, as in `acs:ram::190325303126****:user/key_ramuser3`: the ServiceAccount that
    /// stands for it. Compared as text: a `*` means itself.
    #[schemars(schema_with = "ram_principal")]
    Ram(String),
    /// The managers of a SecretProduct, by its name.
    #[schemars(schema_with = "product_code")]
    Product(String),
}

/// When a statement counts: all that is set must hold. What is not known of a request (the labels of a pod
/// that a token does not name) does not fulfil a condition of an Allow, and fulfils that of a Deny.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.notBefore) || !has(self.notAfter) || self.notBefore < self.notAfter")
    .message("notBefore must be earlier than notAfter"))]
pub struct PolicyConditions {
    /// The version that is asked for has one of these stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 64)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub stages: Option<Vec<String>>,
    /// The version that is asked for has one of these ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 64)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub versions: Option<Vec<String>>,
    /// From this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
    /// In this window of the day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Labels of the pod that the token is bound to; it must have them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_map")]
    pub pod_labels: Option<BTreeMap<String, String>>,
    /// Labels of the node that the pod runs on; it must have them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_map")]
    pub node_labels: Option<BTreeMap<String, String>>,
    /// The caller's address is in one of these ranges, as in `10.0.0.0/8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 43), regex(pattern = "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub source_ranges: Option<Vec<String>>,
}

/// ServiceAccounts, with or without their namespace.
fn account_pattern(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 317, "pattern": "^([-a-z0-9*]+/)?[-a-z0-9.*]+$"})
}

/// Users or groups.
fn subject_pattern(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 253})
}

/// Users, roles and accounts of RAM.
fn ram_principal(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": RAM_PRINCIPAL_BYTES, "pattern": RAM_PRINCIPAL_PATTERN})
}

/// A DNS label in lower case, as SecretProducts are named.
fn product_code(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"})
}

/// Labels to match.
fn label_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}

/// What Strongroom made of the policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretPolicyStatus {
    /// The generation of the spec that this status describes; -1 until the controller first looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and others where they say something. The reason names the cause, the message what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Number of statements in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statements: Option<i32>,
    /// The generation whose statements are in force: an older one while the newest cannot be compiled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_in_force: Option<i64>,
}
