//! ListDeletedSecrets: `GET /v1/namespaces/{namespace}/deletedsecrets`: what of a namespace is in recovery
//! windows, page by page, and how much the namespace has of the store.
//!
//! Only for administrators: over the front the API server has already decided, by RBAC on `deletedsecrets`.
//! No policy is asked, because the people of a namespace write those, and it is their room that is looked at.
//! A namespace that is gone has its secrets still.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_store::audit::Action;
use strongroom_store::name::{NamespaceName, SecretName};
use strongroom_store::vault::{AuditNote, DeletedSecret, NamespaceUsage, Quota};

use super::get_secret_value::invalid;
use super::shape::time;
use crate::gateway::access::RequestContext;
use crate::gateway::operation::Operation;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::{Gateway, blocking};

/// Secrets that are looked at for one page, deleted or not.
const LOOKUP_BATCH: usize = 1_000;

/// From where on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ListDeletedSecretsQuery")]
struct ListDeletedSecretsQuery {
    /// `next` of the page before; absent at the beginning.
    #[serde(default)]
    after: Option<String>,
}

/// A page.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeletedSecrets")]
struct DeletedSecretsPage {
    secrets: Vec<DeletedSecretAnswer>,
    /// What to send as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// When this was so.
    time: Timestamp,
    /// What the namespace has of the store.
    used: StoreUsage,
    /// What it may have.
    limit: StoreLimit,
}

/// A secret in its recovery window.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeletedSecret")]
struct DeletedSecretAnswer {
    name: String,
    /// When it was deleted.
    deleted: Timestamp,
    /// When its recovery window ends.
    until: Timestamp,
    versions: usize,
    /// Bytes that it takes of the store.
    bytes: u64,
}

/// Some of the store.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Room")]
struct StoreUsage {
    /// Secrets, those in recovery windows included.
    secrets: u64,
    /// Bytes of their rows.
    bytes: u64,
}

/// The end of that, where there is one.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "RoomLimit")]
struct StoreLimit {
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

impl StoreLimit {
    fn from_quota(quota: Option<Quota>) -> Self {
        // The quota without an end is the largest number that there is.
        let end = |most: u64| Some(most).filter(|most| *most < u64::MAX);
        Self {
            secrets: quota.and_then(|quota| end(quota.secrets)),
            bytes: quota.and_then(|quota| end(quota.bytes)),
        }
    }
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "ListDeletedSecrets",
        "/v1/namespaces/{namespace}/deletedsecrets",
        get(serve),
    )
    .about("What is in recovery windows, and how much of the store the namespace has; only over people.strongroom.dev")
    .query::<ListDeletedSecretsQuery>()
    .answers::<DeletedSecretsPage>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<String>, PathRejection>,
    since: Result<Query<ListDeletedSecretsQuery>, QueryRejection>,
) -> Result<Json<DeletedSecretsPage>, Problem> {
    let Path(namespace) = path.map_err(invalid)?;
    if !asking.caller.via_extension_api {
        let why =
            "deleted secrets are listed only over people.strongroom.dev: use kubectl strongroom purge --list";
        return Err(Problem::new(Code::NoSuchPath, why));
    }
    let namespace: NamespaceName = namespace.parse().map_err(invalid)?;
    let Query(since) = since.map_err(invalid)?;
    let after = since.after.map(|after| after.parse()).transpose();
    let after: Option<SecretName> = after.map_err(invalid)?;
    gateway.limits.take_read(&asking.caller.principal.identity)?;
    blocking(move || page(&gateway, &asking, namespace, after.as_ref())).await
}

fn page(
    gateway: &Gateway,
    asking: &RequestContext,
    namespace: NamespaceName,
    after: Option<&SecretName>,
) -> Result<Json<DeletedSecretsPage>, Problem> {
    let store = &gateway.store;
    if after.is_none() {
        let note = AuditNote {
            namespace: Some(namespace.clone()),
            detail: "what is in recovery windows".to_owned(),
            ..AuditNote::new(Action::ListSecrets)
        };
        store.record_request(note, &asking.meta(&[]), gateway.durability)?;
    }
    let mut page = DeletedSecretsPage {
        secrets: Vec::new(),
        next: None,
        time: asking.now,
        used: StoreUsage::default(),
        limit: StoreLimit::default(),
    };
    let Some(found) = store.namespace_named(&namespace)? else {
        return Ok(Json(page));
    };
    let NamespaceUsage { used, limit, .. } = store.namespace_usage(found.id)?;
    page.used = StoreUsage {
        secrets: used.secrets,
        bytes: used.bytes,
    };
    page.limit = StoreLimit::from_quota(limit);
    let (deleted, next) = store.deleted(found.id, after, LOOKUP_BATCH)?;
    page.secrets = deleted.iter().map(shown).collect();
    page.next = next.map(|name| name.to_string());
    Ok(Json(page))
}

fn shown(secret: &DeletedSecret) -> DeletedSecretAnswer {
    DeletedSecretAnswer {
        name: secret.name.to_string(),
        deleted: time(secret.since),
        until: time(secret.until),
        versions: secret.versions,
        bytes: secret.bytes,
    }
}
