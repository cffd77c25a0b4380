//! ListSecretVersionIds: `GET /v1/namespaces/{namespace}/secrets/{name}/versions`, the newest first. Without
//! `includeDeprecated=true` only those that have a stage. There are at most ten, so there are no pages.

use strongroom_api::v1::{ListSecretVersionIdsQuery, VersionsAnswer};
use strongroom_rules::policy::Action;

use super::{metadata, shape};
use crate::gateway::operation::Input;
use crate::gateway::problem::Problem;
use crate::gateway::request::{OperationContext, SecretPath};

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, ListSecretVersionIdsQuery>,
) -> Result<VersionsAnswer, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let all = input.query.include_deprecated;
    let what = (Action::ListSecretVersionIds, "");
    metadata::answer_blocking(gateway, request, input.path, what, move |_, _, authorised| {
        let versions = authorised.secret().versions.iter().rev();
        let shown = versions.filter(|version| all || !version.stages.is_empty());
        Ok(VersionsAnswer {
            versions: shown.map(shape::version).collect(),
        })
    })
    .await
}
