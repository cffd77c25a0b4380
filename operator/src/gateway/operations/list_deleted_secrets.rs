//! ListDeletedSecrets: `GET /v1/namespaces/{namespace}/deletedsecrets`: what of a namespace is in recovery
//! windows, page by page, and how much the namespace has of the store.
//!
//! Only for administrators, over the extension API, where the API server has already decided, by RBAC on
//! `deletedsecrets`. No policy is asked, because the people of a namespace write those, and it is their room
//! that is looked at. A namespace that is gone has its secrets still.

use strongroom_api::v1::{
    DeletedSecretAnswer, DeletedSecretsPage, ListDeletedSecretsQuery, StoreLimit, StoreUsage,
};
use strongroom_model::name::{NamespaceName, SecretName};
use strongroom_store::audit::Action;
use strongroom_store::vault::{AuditNote, DeletedSecret, NamespaceUsage, Quota};

use super::shape::time;
use crate::gateway::operation::{Input, NamespaceText};
use crate::gateway::problem::{Problem, invalid};
use crate::gateway::request::{OperationContext, RequestContext, record};
use crate::gateway::{Gateway, blocking};

/// Secrets that are looked at for one page, deleted or not.
const LOOKUP_BATCH: usize = 1_000;
/// What others than administrators are told.
pub(super) const ELSEWHERE: &str =
    "deleted secrets are listed only over people.strongroom.dev: use kubectl strongroom purge --list";

pub(super) async fn run(
    context: OperationContext,
    input: Input<NamespaceText, ListDeletedSecretsQuery>,
) -> Result<DeletedSecretsPage, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let namespace: NamespaceName = input.path.0.parse().map_err(invalid)?;
    let after = input.query.after.map(|after| after.parse()).transpose();
    let after: Option<SecretName> = after.map_err(invalid)?;
    blocking(move || page(&gateway, &request, namespace, after.as_ref())).await
}

/// The end of what a namespace may have, where there is one.
fn store_limit(quota: Option<Quota>) -> StoreLimit {
    // The quota without an end is the largest number that there is.
    let end = |most: u64| Some(most).filter(|most| *most < u64::MAX);
    StoreLimit {
        secrets: quota.and_then(|quota| end(quota.secrets)),
        bytes: quota.and_then(|quota| end(quota.bytes)),
    }
}

fn page(
    gateway: &Gateway,
    request: &RequestContext,
    namespace: NamespaceName,
    after: Option<&SecretName>,
) -> Result<DeletedSecretsPage, Problem> {
    let store = &gateway.store;
    if after.is_none() {
        let note = AuditNote {
            namespace: Some(namespace.clone()),
            detail: "what is in recovery windows".to_owned(),
            ..AuditNote::new(Action::ListSecrets)
        };
        record::now(gateway, note, &request.meta(&[]))?;
    }
    let mut page = DeletedSecretsPage {
        secrets: Vec::new(),
        next: None,
        time: request.now(),
        used: StoreUsage::default(),
        limit: StoreLimit::default(),
    };
    let Some(found) = store.namespace_named(&namespace)? else {
        return Ok(page);
    };
    let NamespaceUsage { used, limit, .. } = store.namespace_usage(found.id)?;
    page.used = StoreUsage {
        secrets: used.secrets,
        bytes: used.bytes,
    };
    page.limit = store_limit(limit);
    let (deleted, next) = store.deleted(found.id, after, LOOKUP_BATCH)?;
    page.secrets = deleted.iter().map(shown).collect();
    page.next = next.map(|name| name.to_string());
    Ok(page)
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
