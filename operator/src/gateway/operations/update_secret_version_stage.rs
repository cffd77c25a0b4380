//! UpdateSecretVersionStage: `POST /v1/namespaces/{namespace}/secrets/{name}/stages/{stage}`: adds
//! (`moveTo`), removes (`removeFrom`) or moves (both) a stage. With both it is a compare-and-swap: the stage
//! must be where `removeFrom` says.

use strongroom_api::v1::{SecretAnswer, UpdateSecretVersionStageRequest};
use strongroom_model::name::{Stage, VersionId};
use strongroom_rules::policy::{Action, RequestFacts};
use strongroom_store::vault::UpdateStage;

use super::shape;
use crate::gateway::blocking;
use crate::gateway::operation::{Input, NoQuery};
use crate::gateway::problem::{Problem, invalid};
use crate::gateway::request::authorise::authorise;
use crate::gateway::request::{AccessRequest, OperationContext, SecretPath, find};

pub(super) async fn run(
    context: OperationContext,
    input: Input<(SecretPath, String), NoQuery, UpdateSecretVersionStageRequest>,
) -> Result<SecretAnswer, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let Input {
        path: (path, stage),
        body,
        ..
    } = input;
    let version = |text: Option<String>| {
        text.map(|text| text.parse::<VersionId>())
            .transpose()
            .map_err(invalid)
    };
    let stage: Stage = stage.parse().map_err(invalid)?;
    let (move_to, remove_from) = (version(body.move_to)?, version(body.remove_from)?);
    blocking(move || {
        let found = find::secret(&gateway, &path)?;
        let facts = RequestFacts {
            stages: [stage.to_string()].into(),
            version: move_to.as_ref().or(remove_from.as_ref()).map(ToString::to_string),
            ..request.facts()
        };
        let access = AccessRequest::of_found(Action::UpdateSecretVersionStage, &found, &facts);
        let authorised = authorise(&gateway, &request, &access)?;
        let update = UpdateStage {
            secret: authorised.secret().id,
            stage,
            move_to,
            remove_from,
        };
        let view = gateway.store.run(update, authorised.meta(&request))?;
        let namespace = path.namespace().name();
        if let Some(object) = &view.object {
            gateway.external_sources.notify_changed(namespace, &object.name);
        }
        let key = gateway.key(&view)?;
        Ok(shape::secret(namespace, &view, key.as_ref()))
    })
    .await
}
