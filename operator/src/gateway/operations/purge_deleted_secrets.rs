//! PurgeDeletedSecrets: `POST /v1/namespaces/{namespace}/purges`: destroys what of a namespace was deleted
//! before a time, some at once. Nothing brings it back, and each secret is a record.
//!
//! A default secret, which a product owns, is left to the end of its window.
//!
//! Only for administrators, by RBAC on `purges`, as for ListDeletedSecrets. It is no `DELETE` of
//! a collection, which whoever empties a namespace would come upon.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use strongroom_api::v1::{PurgeDeletedSecretsAnswer, PurgeDeletedSecretsRequest};
use strongroom_model::id::{NamespaceId, RequestId, SecretId};
use strongroom_model::name::NamespaceName;
use strongroom_store::audit::Action;
use strongroom_store::vault::{AuditNote, Meta, PurgeSecrets, StoreError, Usage};

use crate::gateway::operation::{Input, NamespaceText, NoQuery};
use crate::gateway::problem::{Problem, invalid};
use crate::gateway::request::{OperationContext, RequestContext, record};
use crate::gateway::{Gateway, blocking};

/// Secrets that one request destroys, about;
const MAX_DESTROYED: u64 = 1_024;
/// and how long it may take over them.
const TIME_BUDGET: Duration = Duration::from_secs(10);
/// Secrets that are looked at together.
const LOOKUP_BATCH: usize = 1_000;
/// What others than administrators are told.
pub(super) const ELSEWHERE: &str =
    "a namespace can be purged only over people.strongroom.dev: use kubectl strongroom purge --namespace";

pub(super) async fn run(
    context: OperationContext,
    input: Input<NamespaceText, NoQuery, PurgeDeletedSecretsRequest>,
) -> Result<PurgeDeletedSecretsAnswer, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let namespace: NamespaceName = input.path.0.parse().map_err(invalid)?;
    let deleted_before = input.body.deleted_before.as_millisecond();
    blocking(move || {
        let purge = Purge {
            gateway: &gateway,
            request: &request,
            before: strongroom_model::time::Timestamp::from_millis(deleted_before),
            until: Instant::now() + TIME_BUDGET,
        };
        purge.run(namespace)
    })
    .await
}

struct Purge<'a> {
    gateway: &'a Gateway,
    request: &'a RequestContext,
    before: strongroom_model::time::Timestamp,
    until: Instant,
}

impl Purge<'_> {
    fn run(&self, namespace: NamespaceName) -> Result<PurgeDeletedSecretsAnswer, Problem> {
        let found = self.gateway.store.namespace_named(&namespace)?;
        let purged = match found {
            Some(found) => self.destroy(found.id)?,
            None => PurgeDeletedSecretsAnswer::default(),
        };
        if purged.destroyed == 0 {
            let note = AuditNote {
                namespace: Some(namespace),
                detail: "no secret that can be destroyed is in a recovery window".to_owned(),
                ..AuditNote::new(Action::PurgeSecret)
            };
            record::now(self.gateway, note, &self.request.meta(&[]))?;
        }
        Ok(purged)
    }

    fn destroy(&self, namespace: NamespaceId) -> Result<PurgeDeletedSecretsAnswer, Problem> {
        let mut purged = PurgeDeletedSecretsAnswer::default();
        let mut after = None;
        loop {
            let (deleted, next) = self
                .gateway
                .store
                .deleted(namespace, after.as_ref(), LOOKUP_BATCH)?;
            // Default secrets keep their windows, whoever asks.
            let due = deleted
                .iter()
                .filter(|secret| secret.since <= self.before && !secret.name.is_products());
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
            ..self.request.meta(&[])
        };
        let command = PurgeSecrets {
            namespace,
            secrets,
            deleted_before: self.before,
        };
        self.gateway.store.run(command, meta)
    }
}
