//! Kind SecretProduct: a system of the cluster that owns default secrets, `<productCode>!<identifier>`.
#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function, where `pub` reaches nobody"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_model::Hosting;

use super::text::OBJECT_NAME;

/// Pattern of a namespace's name.
const NAMESPACE_NAME: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";

/// A system of the cluster that owns secrets in the namespaces of its users.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "strongroom.dev",
    version = "v1alpha1",
    kind = "SecretProduct",
    doc = "A SecretProduct is a system of the cluster, such as a database operator, that owns default secrets. Its name is the code \
        that their names begin with: the product `pg` owns `pg!orders-admin`.",
    plural = "secretproducts",
    shortname = "sprod",
    category = "strongroom",
    status = "SecretProductStatus",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')")
        .message("the name of a SecretProduct is its code: up to 63 lower-case letters, digits and `-`"),
    validation = Rule::new("self.metadata.name != 'strongroom'")
        .message("the code `strongroom` is reserved for Strongroom's own secrets: choose another name"),
    printcolumn(name = "Free", type_ = "integer", json_path = ".status.used.free.secrets"),
    printcolumn(name = "Paid", type_ = "integer", json_path = ".status.used.paid.secrets"),
    printcolumn(name = "Used", type_ = "integer", json_path = ".status.used.secrets"),
    printcolumn(name = "Quota", type_ = "integer", json_path = ".status.quota"),
    printcolumn(name = "Gateway", type_ = "string", json_path = ".spec.paid.gateway"),
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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.paid) || 'Paid' in self.hosting")
    .message("paid has options of paid hosting: add Paid to hosting, or remove paid"))]
#[x_kube(validation = Rule::new("!has(self.quota) || ((!has(self.quota.free) || 'Free' in self.hosting) && \
    (!has(self.quota.paid) || 'Paid' in self.hosting))")
    .message("quota names a hosting that the product does not offer: add it to hosting, or remove that quota"))]
pub struct SecretProductSpec {
    /// What people call the product. Absent: its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub display_name: Option<String>,
    /// Page that says how the product's secrets are made and changed. A refusal because the product manages
    /// the secret shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 512), regex(pattern = "^https://[!-~]+$"))]
    pub docs: Option<String>,
    /// The ServiceAccounts by which the product acts. Nobody else makes, changes or deletes its secrets.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into(), "name".into()]))]
    pub managers: Vec<ServiceAccountRef>,
    /// Labels of the namespaces in which the product may own secrets. An empty selector selects all
    /// namespaces. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<LabelSelector>,
    /// Which hosting the product offers: Free lies under the namespace's default key, Paid under an
    /// EncryptionKey of the tenant.
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub hosting: Vec<ProductHosting>,
    /// How many secrets the product may own. Those in a recovery window count. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<HostingQuotas>,
    /// Options of paid hosting. Absent: as each field says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid: Option<PaidOptions>,
    /// What users may do to the product's secrets besides reading them, if a policy allows it. Absent:
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), extend("x-kubernetes-list-type" = "set"))]
    pub user_may: Option<Vec<UserOperation>>,
    /// Refuse every write of the product; reads go on. Absent: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// A ServiceAccount.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountRef {
    /// Namespace that the ServiceAccount is in; the product need not serve it.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_NAME))]
    pub namespace: String,
    /// `metadata.name` of the ServiceAccount, without `system:serviceaccount:`.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
}

/// A hosting of default secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "a documented variant turns the schema's plain enum into oneOf"
)]
pub enum ProductHosting {
    Free,
    Paid,
}

impl From<ProductHosting> for Hosting {
    fn from(hosting: ProductHosting) -> Self {
        match hosting {
            ProductHosting::Free => Self::Free,
            ProductHosting::Paid => Self::Paid,
        }
    }
}

/// How many secrets a product may own, by hosting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostingQuotas {
    /// Of free hosting. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<ProductQuota>,
    /// Of paid hosting. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid: Option<ProductQuota>,
}

/// How many secrets of one hosting a product may own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.perNamespace <= self.total")
    .message("perNamespace is more than total"))]
pub struct ProductQuota {
    /// In each namespace.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub per_namespace: i64,
    /// In all namespaces together.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub total: i64,
}

/// Options of paid hosting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PaidOptions {
    /// Name of a gateway of the chart's `gateways` at which the product's paid secrets can be read as well.
    /// Absent: at the shared one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_NAME))]
    pub gateway: Option<String>,
    /// Name of a sink of the chart's `audit.productSinks` that gets the audit records about the product's
    /// secrets as well. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_NAME))]
    pub audit_sink: Option<String>,
    /// Whether secret policies say who may read paid secrets, beside identity policies. Absent: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_policies: Option<bool>,
}

/// What users may do to a product's secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "a documented variant turns the schema's plain enum into oneOf"
)]
pub enum UserOperation {
    RotateSecret,
}

/// What Strongroom last saw and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretProductStatus {
    /// The generation of the spec that this status describes; -1 until the controller first looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and others where they say something. The reason names the cause, the message what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How many secrets the product owns, those in a recovery window included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<ProductUsage>,
    /// How many it may own in all: the sum of the totals of `spec.quota`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<i64>,
    /// When each manager last used the API for a secret of the product, or wrote the object of one, to ten
    /// minutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub managers_seen: Vec<ManagerSighting>,
    /// There while the product is not the one that its secrets were made by. The annotation
    /// `strongroom.dev/adopt-product` with this text accepts it; `kubectl strongroom product adopt` sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub adoption_token: Option<String>,
}

/// How many secrets a product owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProductUsage {
    /// Of both hostings.
    pub secrets: i64,
    /// Of free hosting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<HostingUsage>,
    /// Of paid hosting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid: Option<HostingUsage>,
}

/// How many secrets of one hosting a product owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostingUsage {
    /// Secrets, in all namespaces.
    pub secrets: i64,
    /// Namespaces in which there is at least one.
    pub namespaces: i64,
}

/// When a manager last used the API for a secret of the product, or wrote the object of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagerSighting {
    /// Namespace of the ServiceAccount.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Name of the ServiceAccount.
    #[schemars(length(max = 253))]
    pub name: String,
    /// To ten minutes.
    pub last: Time,
}
