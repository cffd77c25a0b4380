//! Answers from the metadata of a secret.

use std::sync::Arc;

use strongroom_rules::policy::Action;

use crate::gateway::problem::Problem;
use crate::gateway::request::authorise::authorise;
use crate::gateway::request::{AccessRequest, Authorised, RequestContext, SecretPath, find, record};
use crate::gateway::{Gateway, blocking};

/// Answers from a secret's metadata, once the action is allowed and audited.
pub(super) fn answer<T>(
    gateway: &Gateway,
    request: &RequestContext,
    path: &SecretPath,
    (action, detail): (Action, &str),
    answer: impl FnOnce(&Authorised<'_>) -> T,
) -> Result<T, Problem> {
    let found = find::secret(gateway, path)?;
    let facts = request.facts();
    let authorised = authorise(gateway, request, &AccessRequest::of_found(action, &found, &facts))?;
    record::answered(gateway, request, &authorised, detail)?;
    Ok(answer(&authorised))
}

/// The same where that holds nobody up.
pub(super) async fn answer_blocking<T: Send + 'static>(
    gateway: Arc<Gateway>,
    request: RequestContext,
    path: SecretPath,
    what: (Action, &'static str),
    then: impl FnOnce(&Gateway, &RequestContext, &Authorised<'_>) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    blocking(move || {
        answer(&gateway, &request, &path, what, |authorised| {
            then(&gateway, &request, authorised)
        })?
    })
    .await
}
