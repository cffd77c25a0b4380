//! ListSecrets: `GET /v1/namespaces/{namespace}/secrets`: those that the caller may list, in order of their
//! names, in pages.
//!
//! Each secret is decided by itself, so a page tells nothing of the others.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use schemars::JsonSchema;
use serde::Serialize;
use strongroom_rules::policy::Action;
use strongroom_rules::request::list_query::ListQuery;
use strongroom_store::audit::AuditOutcome;
use strongroom_store::name::SecretName;
use strongroom_store::vault::{AuditNote, SecretView};

use super::get_secret_value::invalid;
use super::shape::{self, SecretAnswer};
use crate::controllers::managed_secret::labels::is_ours;
use crate::gateway::access::{AccessRequest, RequestContext, decide};
use crate::gateway::operation::Operation;
use crate::gateway::problem::Problem;
use crate::gateway::{Gateway, NamespaceRef, blocking};
use crate::own_secret;

/// Secrets a page where nothing is said.
const DEFAULT_PAGE_SIZE: usize = 50;
/// Secrets that are looked at for one page: whoever may see few of many gets several short pages rather than
/// one slow one.
const MAX_EXAMINED: usize = 2_000;

/// A page of secrets.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Page")]
pub(in crate::gateway) struct SecretsPage {
    secrets: Vec<SecretAnswer>,
    /// What to send as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What is asked for.
#[derive(Debug)]
struct Filter {
    query: ListQuery,
    after: Option<SecretName>,
}

impl Filter {
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

// As they are told; `ListQuery` reads them, because `label` may be there several times.
#[derive(JsonSchema)]
#[schemars(rename = "ListSecretsQuery")]
#[expect(dead_code, reason = "it describes what is read by hand")]
struct Parameters {
    /// Secrets a page, 1 to 100; 50 where absent.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u16>,
    /// `next` of the page before.
    after: Option<String>,
    /// Whose name holds this text.
    name: Option<String>,
    /// Whose description holds this text.
    description: Option<String>,
    /// With this label, as `key` or `key=value`; several times for several.
    #[schemars(length(max = 10))]
    label: Option<Vec<String>>,
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new("ListSecrets", "/v1/namespaces/{namespace}/secrets", get(serve))
        .about("The secrets that the caller may list, in pages")
        .query::<Parameters>()
        .answers::<SecretsPage>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<SecretsPage>, Problem> {
    let Path(namespace) = path.map_err(invalid)?;
    let filter = Filter::parse(query.as_deref().unwrap_or_default())?;
    let place = gateway.admit(&asking, Action::ListSecrets, namespace).await?;
    blocking(move || {
        let page = page(&gateway, &asking, &place, &filter)?;
        let note = AuditNote {
            outcome: AuditOutcome::Done,
            namespace: place.name.parse().ok(),
            detail: format!("{} secrets", page.secrets.len()),
            ..AuditNote::new(strongroom_store::audit::Action::ListSecrets)
        };
        gateway
            .store
            .record_request(note, &asking.meta(&[]), gateway.durability)?;
        Ok(Json(page))
    })
    .await
}

fn page(
    gateway: &Gateway,
    asking: &RequestContext,
    place: &NamespaceRef,
    filter: &Filter,
) -> Result<SecretsPage, Problem> {
    let mut page = SecretsPage {
        secrets: Vec::new(),
        next: None,
    };
    let Some(id) = place.id else {
        return Ok(page);
    };
    let limit = filter.query.limit.unwrap_or(DEFAULT_PAGE_SIZE);
    let after = filter.after.clone().map(|name| (id, name));
    let found = gateway.store.list(Some(id), after.as_ref(), MAX_EXAMINED)?;
    let all = found.len() < MAX_EXAMINED;
    let facts = asking.facts();
    let mut last = None;
    for secret in &found {
        if page.secrets.len() == limit {
            page.next = last;
            return Ok(page);
        }
        last = Some(secret.name.to_string());
        let name = secret.name.as_str();
        if name.starts_with(own_secret::NAME_PREFIX) || !filter.fits(secret) {
            continue;
        }
        let wanted = AccessRequest {
            action: Action::ListSecrets,
            namespace: &place.name,
            name,
            secret: Some(secret),
            new_under: None,
            facts: &facts,
        };
        if decide(gateway, asking, Action::ListSecrets, &wanted)?.allowed {
            let key = gateway.key(secret)?;
            page.secrets
                .push(shape::secret(&place.name, secret, key.as_ref()));
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
        let filter = Filter::parse("limit=2&after=a%2Fb").unwrap();
        assert_eq!(filter.query.limit, Some(2));
        assert_eq!(filter.after.unwrap().as_str(), "a/b");
        for bad in ["limit=0", "after=", "after=a%00b"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }
}
