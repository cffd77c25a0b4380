//! DescribeSecret: `GET /v1/namespaces/{namespace}/secrets/{name}`: everything but the value; also while the
//! secret is in its recovery window.

use strongroom_api::v1::SecretAnswer;
use strongroom_rules::policy::Action;

use super::{metadata, shape};
use crate::gateway::operation::Input;
use crate::gateway::problem::Problem;
use crate::gateway::request::{OperationContext, SecretPath};

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath>,
) -> Result<SecretAnswer, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let what = (Action::DescribeSecret, "");
    metadata::answer_blocking(gateway, request, input.path, what, |gateway, _, authorised| {
        let (namespace, secret) = (authorised.path().namespace().name(), authorised.secret());
        let key = gateway.key(secret)?;
        Ok(shape::secret(namespace, secret, key.as_ref()))
    })
    .await
}
