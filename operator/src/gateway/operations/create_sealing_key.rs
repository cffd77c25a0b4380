//! CreateSealingKey: `POST /v1/namespaces/{namespace}/sealingkeys`: a key that the caller's next value is
//! sealed for.
//!
//! It opens one value of one caller within a minute. It is about no secret, so nothing is authorised here,
//! and only its use is audited.

use strongroom_api::sealed::SUITE;
use strongroom_api::v1::SealingKeyAnswer;

use crate::gateway::blocking;
use crate::gateway::operation::{Input, NamespaceText};
use crate::gateway::problem::Problem;
use crate::gateway::request::OperationContext;
use crate::gateway::sealing_keys::SEALING_KEY_TTL;

pub(super) async fn run(
    context: OperationContext,
    _: Input<NamespaceText>,
) -> Result<SealingKeyAnswer, Problem> {
    let OperationContext { gateway, request, .. } = context;
    blocking(move || {
        let (id, key) = gateway.sealing_keys.make(&request.caller().principal.identity)?;
        Ok(SealingKeyAnswer {
            id,
            key: key.to_string(),
            suite: SUITE.into(),
            valid_seconds: SEALING_KEY_TTL.as_secs(),
        })
    })
    .await
}
