//! PurgeDeletedSecrets: `POST /v1/namespaces/{namespace}/purges`: destroys what of a namespace was deleted
//! before a time, some at once. Nothing brings it back, and each secret is a record.
//!
//! Only for administrators, by RBAC on `purges`, as in [`super::list_deleted_secrets`]. It is no `DELETE` of
//! a collection, which whoever empties a namespace would come upon.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::routing::post;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strongroom_store::audit::Action;
use strongroom_store::id::{NamespaceId, RequestId, SecretId};
use strongroom_store::name::NamespaceName;
use strongroom_store::vault::{AuditNote, Meta, PurgeSecrets, StoreError, Usage};

use super::get_secret_value::invalid;
use super::incoming::{parse_body, read_body};
use crate::gateway::access::RequestContext;
use crate::gateway::operation::Operation;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::{Gateway, blocking};

/// Secrets that one request destroys, about;
const MAX_DESTROYED: u64 = 1_024;
/// and how long it may take over them.
const TIME_BUDGET: Duration = Duration::from_secs(10);
/// Secrets that are looked at together.
const LOOKUP_BATCH: usize = 1_000;

/// What is sent.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "PurgeDeletedSecretsRequest")]
struct Body {
    /// What was deleted, or deleted again, after this stays: the `time` of the list that somebody has seen.
    deleted_before: Timestamp,
}

/// What comes of it.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Purged")]
struct PurgeAnswer {
    /// Secrets that are destroyed.
    destroyed: u64,
    /// Bytes that they took of the store.
    bytes: u64,
    /// Whether there are more: send the same again.
    more: bool,
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "PurgeDeletedSecrets",
        "/v1/namespaces/{namespace}/purges",
        post(serve),
    )
    .method(Method::POST)
    .about("Destroys what is in recovery windows, for good; only over people.strongroom.dev")
    .takes::<Body>()
    .answers::<PurgeAnswer>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<String>, PathRejection>,
    body: axum::body::Body,
) -> Result<Json<PurgeAnswer>, Problem> {
    let Path(namespace) = path.map_err(invalid)?;
    if !asking.caller.via_extension_api {
        let why = "a namespace can be purged only over people.strongroom.dev: use kubectl strongroom purge --namespace";
        return Err(Problem::new(Code::NoSuchPath, why));
    }
    let namespace: NamespaceName = namespace.parse().map_err(invalid)?;
    gateway.limits.take_write(&asking.caller.principal.identity)?;
    let body = read_body(body).await?;
    let Body { deleted_before } = parse_body(&body, &["deletedBefore"])?;
    blocking(move || {
        let purge = Purge {
            gateway: &gateway,
            asking: &asking,
            before: strongroom_store::time::Timestamp::from_millis(deleted_before.as_millisecond()),
            until: Instant::now() + TIME_BUDGET,
        };
        purge.run(namespace)
    })
    .await
}

struct Purge<'a> {
    gateway: &'a Gateway,
    asking: &'a RequestContext,
    before: strongroom_store::time::Timestamp,
    until: Instant,
}

impl Purge<'_> {
    fn run(&self, namespace: NamespaceName) -> Result<Json<PurgeAnswer>, Problem> {
        let found = self.gateway.store.namespace_named(&namespace)?;
        let purged = match found {
            Some(found) => self.destroy(found.id)?,
            None => PurgeAnswer::default(),
        };
        if purged.destroyed == 0 {
            let note = AuditNote {
                namespace: Some(namespace),
                detail: "no secret that can be destroyed is in a recovery window".to_owned(),
                ..AuditNote::new(Action::PurgeSecret)
            };
            let (meta, durability) = (self.asking.meta(&[]), self.gateway.durability);
            self.gateway.store.record_request(note, &meta, durability)?;
        }
        Ok(Json(purged))
    }

    fn destroy(&self, namespace: NamespaceId) -> Result<PurgeAnswer, Problem> {
        let mut purged = PurgeAnswer::default();
        let mut after = None;
        loop {
            let (deleted, next) = self
                .gateway
                .store
                .deleted(namespace, after.as_ref(), LOOKUP_BATCH)?;
            let due = deleted.iter().filter(|secret| secret.since <= self.before);
            let due: Vec<SecretId> = due.map(|secret| secret.id).collect();
            for secrets in due.chunks(PurgeSecrets::MAX_SECRETS) {
                if purged.destroyed >= MAX_DESTROYED || Instant::now() >= self.until {
                    purged.more = true;
                    return Ok(purged);
                }
                let gone = self.commit(namespace, secrets.iter().copied().collect())?;
                purged.destroyed += gone.secrets;
                purged.bytes += gone.bytes;
            }
            if next.is_none() {
                return Ok(purged);
            }
            after = next;
        }
    }

    /// Each commit is a request of its own to the store, or it would take the second one for the first one
    /// again.
    fn commit(&self, namespace: NamespaceId, secrets: BTreeSet<SecretId>) -> Result<Usage, StoreError> {
        let meta = Meta {
            request: RequestId::generate().map_err(|_| StoreError::NotCommitted)?,
            ..self.asking.meta(&[])
        };
        let command = PurgeSecrets {
            namespace,
            secrets,
            deleted_before: self.before,
        };
        self.gateway.store.run(command, meta)
    }
}
