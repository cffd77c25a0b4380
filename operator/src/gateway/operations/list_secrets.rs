//! ListSecrets: `GET /v1/namespaces/{namespace}/secrets`: those that the caller may list, in order of their names, in pages.
//!
//! Each secret is decided by itself, so a page tells nothing of the others. Filters: `name` and `description` are found anywhere in the text;
//! `label=key` or `label=key=value`, several of them all.

use crate::gateway::operation::Operation;
use axum::http::StatusCode;
use axum::routing::get;
use schemars::JsonSchema;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use serde::Serialize;
use strongroom_rules::policy::Action;
use strongroom_store::audit::Outcome;
use strongroom_store::name::SecretName;
use strongroom_store::vault::{Note, SecretView};

use super::get_secret_value::invalid;
use super::shape::{self, SecretAnswer};
use crate::controllers::managed_secret::labels::is_ours;
use crate::gateway::access::{Asking, Wanted, decide};
use crate::gateway::problem::Problem;
use crate::gateway::{Gateway, Place, blocking};
use crate::own_secret;

/// Secrets a page where nothing is said.
const PAGE: usize = 50;
/// Most secrets of a page.
const MOST: usize = 100;
/// Secrets that are looked at for one page: whoever may see few of many gets several short pages rather than one slow one.
const LOOKED_AT: usize = 2_000;
/// Most labels of a filter.
const LABELS: usize = 10;

/// A page of secrets.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::gateway) struct Page {
    secrets: Vec<SecretAnswer>,
    /// What to send as `after` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    limit: Option<usize>,
    after: Option<SecretName>,
    name: String,
    description: String,
    labels: Vec<(String, Option<String>)>,
}

impl Filter {
    fn parse(query: &str) -> Result<Self, Problem> {
        let mut filter = Self::default();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).map_err(invalid)?;
        for (key, value) in pairs {
            match key.as_str() {
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    filter.limit = Some(limit.ok_or_else(|| invalid(format!("`limit` is 1 to {MOST}")))?);
                }
                "after" => filter.after = Some(value.parse().map_err(invalid)?),
                "name" => filter.name = value,
                "description" => filter.description = value,
                "label" if filter.labels.len() < LABELS => filter.labels.push(match value.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (value, None),
                }),
                "label" => return Err(invalid(format!("at most {LABELS} labels"))),
                _ => {
                    let known = "limit, after, name, description, label";
                    return Err(invalid(format!(
                        "there is no parameter of this name; there are {known}"
                    )));
                }
            }
        }
        Ok(filter)
    }

    fn fits(&self, secret: &SecretView) -> bool {
        let has = |(key, value): &(String, Option<String>)| {
            !is_ours(key)
                && secret
                    .labels
                    .get(key)
                    .is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        secret.name.as_str().contains(&self.name)
            && secret.description.contains(&self.description)
            && self.labels.iter().all(has)
    }
}

/// The parameters, as they are told; [`Filter::parse`] reads them, because `label` may be there several times.
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

/// The operation.
pub(in crate::gateway) fn operation() -> Operation {
    Operation::new("ListSecrets", "/v1/namespaces/{namespace}/secrets", get(serve))
        .about("The secrets that the caller may list, in pages")
        .query::<Parameters>()
        .answers::<Page>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: Asking,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page>, Problem> {
    let Path(namespace) = path.map_err(invalid)?;
    let filter = Filter::parse(query.as_deref().unwrap_or_default())?;
    let place = gateway.admit(&asking, Action::ListSecrets, namespace).await?;
    blocking(move || {
        let page = page(&gateway, &asking, &place, &filter)?;
        let note = Note {
            outcome: Outcome::Done,
            namespace: place.name.parse().ok(),
            detail: format!("{} secrets", page.secrets.len()),
            ..Note::new(strongroom_store::audit::Action::ListSecrets)
        };
        gateway.store.note(note, &asking.meta(&[]), gateway.durability)?;
        Ok(Json(page))
    })
    .await
}

fn page(gateway: &Gateway, asking: &Asking, place: &Place, filter: &Filter) -> Result<Page, Problem> {
    let mut page = Page {
        secrets: Vec::new(),
        next: None,
    };
    let Some(id) = place.id else {
        return Ok(page);
    };
    let limit = filter.limit.unwrap_or(PAGE);
    let after = filter.after.clone().map(|name| (id, name));
    let found = gateway.store.list(Some(id), after.as_ref(), LOOKED_AT)?;
    let all = found.len() < LOOKED_AT;
    let facts = asking.facts();
    let mut last = None;
    for secret in &found {
        if page.secrets.len() == limit {
            page.next = last;
            return Ok(page);
        }
        last = Some(secret.name.to_string());
        let name = secret.name.as_str();
        if name.starts_with(own_secret::PREFIX) || !filter.fits(secret) {
            continue;
        }
        let wanted = Wanted {
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
        let filter = Filter::parse("limit=2&after=a%2Fb&name=db&label=team&label=tier%3Dgold").unwrap();
        assert_eq!(filter.limit, Some(2));
        assert_eq!(filter.after.unwrap().as_str(), "a/b");
        assert_eq!(
            filter.labels,
            [
                ("team".to_owned(), None),
                ("tier".to_owned(), Some("gold".to_owned()))
            ]
        );
        for bad in ["limit=0", "limit=101", "limit=x", "after=", "colour=red"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
        assert!(Filter::parse(&"label=a&".repeat(11)).is_err());
    }
}
