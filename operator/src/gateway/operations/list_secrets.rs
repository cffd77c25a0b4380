//! ListSecrets: `GET /v1/namespaces/{namespace}/secrets`: those that the caller may list, in order of their
//! names, in pages.
//!
//! Each secret is decided by itself, so a page tells nothing of the others: not where it ends either. Two
//! thousand decisions take long, so pages are made by turns of those who ask, and behind other requests.

use strongroom_api::v1::{ListSecretsQuery, SecretsPage};
use strongroom_model::id::{NamespaceId, SecretId};
use strongroom_model::name::SecretName;
use strongroom_rules::policy::Action;
use strongroom_rules::request::list_query::ListQuery;
use strongroom_store::audit;
use strongroom_store::vault::{AuditNote, Refusal, SecretView, StoreError};

use super::shape;
use crate::gateway::Gateway;
use crate::gateway::operation::{Answer, AnswerBody, Input, QueryInput, SchemaFn, Success, schema_of};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::authorise::is_allowed;
use crate::gateway::request::{
    AccessRequest, NamespaceRef, OperationContext, RequestContext, SecretPath, TargetKey, record,
};
use crate::secret_labels::is_ours;

/// Secrets a page where nothing is said.
const DEFAULT_PAGE_SIZE: usize = 50;
/// Secrets that are looked at for one page: whoever may see few of many gets several short pages rather than
/// one slow one.
const MAX_EXAMINED: usize = 2_000;

/// What a cursor begins with that is no name: no name has it.
const ID_MARK: char = '~';

/// Where the page before ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ListCursor {
    /// At this name.
    Name(SecretName),
    /// At the secret with this id, whose name is not told: its caller may not list it.
    Secret(SecretId),
}

impl ListCursor {
    fn parse(text: &str) -> Result<Self, Problem> {
        match text.strip_prefix(ID_MARK) {
            Some(id) => id.parse().map(Self::Secret).map_err(invalid),
            None => text.parse().map(Self::Name).map_err(invalid),
        }
    }

    /// After the secret that was looked at last, in text. `shown`: the last name that the caller was told.
    fn after((name, id): (&SecretName, SecretId), shown: Option<&str>) -> String {
        if shown == Some(name.as_str()) {
            name.to_string()
        } else {
            format!("{ID_MARK}{id}")
        }
    }

    /// The name after which the list of a namespace goes on.
    fn name(&self, gateway: &Gateway, namespace: NamespaceId) -> Result<SecretName, Problem> {
        let id = match self {
            Self::Name(name) => return Ok(name.clone()),
            Self::Secret(id) => *id,
        };
        match gateway.store.describe(id) {
            Ok(secret) if secret.namespace == namespace => Ok(secret.name),
            // It was destroyed in between, or never was here.
            Ok(_) | Err(StoreError::Refused(Refusal::SecretNotFound)) => Err(invalid(
                "`after` is the end of no page of this list any more; list from the start",
            )),
            Err(error) => Err(error.into()),
        }
    }
}

/// Which secrets are listed.
#[derive(Debug)]
pub(super) struct ListFilter {
    query: ListQuery,
    after: Option<ListCursor>,
}

impl ListFilter {
    fn parse(query: &str) -> Result<Self, Problem> {
        let query = ListQuery::parse(query).map_err(invalid)?;
        let after = query.after.as_deref().map(ListCursor::parse).transpose()?;
        Ok(Self { query, after })
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
) -> Result<Answer, Problem> {
    let OperationContext {
        gateway,
        request,
        slot,
    } = context;
    let Input {
        path: namespace,
        query: filter,
        ..
    } = input;
    let (turn, scans) = (request.turn(), gateway.scans.clone());
    let work = move || -> Result<Answer, Problem> {
        let page = page(&gateway, &request, &namespace, &filter)?;
        let json = serde_json::to_vec(&page)
            .map_err(|error| Problem::new(Code::StoreUnavailable, error.to_string()))?;
        // Here, where few pages are made at once: what waits to be sent is counted.
        let capacity = &request.listener().capacity;
        capacity.reserve_answer(&slot, request.caller(), json.len())?;
        let note = AuditNote {
            namespace: namespace.parsed().cloned(),
            detail: format!("{} secrets", page.secrets.len()),
            ..AuditNote::new(audit::Action::ListSecrets)
        };
        record::now(&gateway, note, &request.meta(&[]))?;
        Ok(Answer::new(Success::Done, AnswerBody::Json(json)))
    };
    let answer = scans.run(&turn, work).await;
    answer.map_err(|error| Problem::new(Code::StoreUnavailable, error.to_string()).retry_after(1))?
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
    let after = filter.after.as_ref().map(|cursor| cursor.name(gateway, id));
    let after = after.transpose()?.map(|name| (id, name));
    let found = gateway.store.list(Some(id), after.as_ref(), MAX_EXAMINED)?;
    let all = found.len() < MAX_EXAMINED;
    let facts = request.facts();
    for secret in &found {
        if page.secrets.len() == limit {
            page.next = page.secrets.last().map(|shown| shown.name.clone());
            return Ok(page);
        }
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
    let shown = page.secrets.last().map(|shown| shown.name.as_str());
    let last = found.last().filter(|_| !all);
    page.next = last.map(|last| ListCursor::after((&last.name, last.id), shown));
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_or_refused() {
        let filter = ListFilter::parse("limit=2&after=a%2Fb").unwrap();
        assert_eq!(filter.query.limit, Some(2));
        assert_eq!(filter.after, Some(ListCursor::Name("a/b".parse().unwrap())));
        for bad in ["limit=0", "after=", "after=a%00b", "after=~", "after=~a"] {
            assert!(ListFilter::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_ends_at_a_name_that_was_told_or_at_none() {
        let (name, id) = ("payroll".parse().unwrap(), SecretId::from_bytes([7; 16]));
        assert_eq!(ListCursor::after((&name, id), Some("payroll")), "payroll");
        for shown in [None, Some("app")] {
            let next = ListCursor::after((&name, id), shown);
            assert!(
                !next.contains("payroll") && !SecretName::is_legal(&next),
                "{next}"
            );
            assert_eq!(ListCursor::parse(&next).unwrap(), ListCursor::Secret(id));
        }
    }
}
