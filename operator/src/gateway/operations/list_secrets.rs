//! ListSecrets: `GET /v1/namespaces/{namespace}/secrets`: those that the caller may list, in order of their
//! names, in pages.
//!
//! Each secret is decided by itself, so a page tells nothing of the others.

use strongroom_api::v1::{ListSecretsQuery, SecretsPage};
use strongroom_model::name::SecretName;
use strongroom_rules::policy::Action;
use strongroom_rules::request::list_query::ListQuery;
use strongroom_store::audit;
use strongroom_store::vault::{AuditNote, SecretView};

use super::shape;
use crate::gateway::operation::{Input, QueryInput, SchemaFn, schema_of};
use crate::gateway::problem::{Problem, invalid};
use crate::gateway::request::authorise::is_allowed;
use crate::gateway::request::{
    AccessRequest, NamespaceRef, OperationContext, RequestContext, SecretPath, TargetKey, record,
};
use crate::gateway::{Gateway, blocking};
use crate::secret_labels::is_ours;

/// Secrets a page where nothing is said.
const DEFAULT_PAGE_SIZE: usize = 50;
/// Secrets that are looked at for one page: whoever may see few of many gets several short pages rather than
/// one slow one.
const MAX_EXAMINED: usize = 2_000;

/// Which secrets are listed.
#[derive(Debug)]
pub(super) struct ListFilter {
    query: ListQuery,
    after: Option<SecretName>,
}

impl ListFilter {
    fn parse(query: &str) -> Result<Self, Problem> {
        let query = ListQuery::parse(query).map_err(invalid)?;
        let after = query.after.as_deref().map(str::parse).transpose();
        Ok(Self {
            after: after.map_err(invalid)?,
            query,
        })
    }

    fn fits(&self, secret: &SecretView) -> bool {
        let has = |(key, value): &(String, Option<String>)| {
            !is_ours(key)
                && secret
                    .labels
                    .get(key)
                    .is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        secret.name.as_str().contains(&self.query.name)
            && secret.description.contains(&self.query.description)
            && self.query.labels.iter().all(has)
    }
}

/// It is read by hand, because `label` may be there several times.
impl QueryInput for ListFilter {
    const SCHEMA: Option<SchemaFn> = Some(schema_of::<ListSecretsQuery>);

    fn read(query: &str) -> Result<Self, Problem> {
        Self::parse(query)
    }
}

pub(super) async fn run(
    context: OperationContext,
    input: Input<NamespaceRef, ListFilter>,
) -> Result<SecretsPage, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let Input {
        path: namespace,
        query: filter,
        ..
    } = input;
    blocking(move || {
        let page = page(&gateway, &request, &namespace, &filter)?;
        let note = AuditNote {
            namespace: namespace.parsed().cloned(),
            detail: format!("{} secrets", page.secrets.len()),
            ..AuditNote::new(audit::Action::ListSecrets)
        };
        record::now(&gateway, note, &request.meta(&[]))?;
        Ok(page)
    })
    .await
}

fn page(
    gateway: &Gateway,
    request: &RequestContext,
    namespace: &NamespaceRef,
    filter: &ListFilter,
) -> Result<SecretsPage, Problem> {
    let mut page = SecretsPage {
        secrets: Vec::new(),
        next: None,
    };
    let Some(id) = namespace.id() else {
        return Ok(page);
    };
    let limit = filter.query.limit.unwrap_or(DEFAULT_PAGE_SIZE);
    let after = filter.after.clone().map(|name| (id, name));
    let found = gateway.store.list(Some(id), after.as_ref(), MAX_EXAMINED)?;
    let all = found.len() < MAX_EXAMINED;
    let facts = request.facts();
    let mut last = None;
    for secret in &found {
        if page.secrets.len() == limit {
            page.next = last;
            return Ok(page);
        }
        last = Some(secret.name.to_string());
        if !filter.fits(secret) {
            continue;
        }
        let path = SecretPath::of_stored(namespace.clone(), secret);
        if !path.is_possible() {
            continue;
        }
        let access = AccessRequest {
            action: Action::ListSecrets,
            path: &path,
            secret: Some(secret),
            new_key: TargetKey::Default,
            facts: &facts,
        };
        if is_allowed(gateway, request, &access)? {
            let key = gateway.key(secret)?;
            page.secrets
                .push(shape::secret(namespace.name(), secret, key.as_ref()));
        }
    }
    page.next = last.filter(|_| !all);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_refused() {
        let filter = ListFilter::parse("limit=2&after=a%2Fb").unwrap();
        assert_eq!(filter.query.limit, Some(2));
        assert_eq!(filter.after.unwrap().as_str(), "a/b");
        for bad in ["limit=0", "after=", "after=a%00b"] {
            assert!(ListFilter::parse(bad).is_err(), "{bad}");
        }
    }
}
