//! CreateSealingKey: `POST /v1/namespaces/{namespace}/sealingkeys`: a key that the caller's next value is
//! sealed for.
//!
//! It opens one value of one caller within a minute. It says nothing about a secret, so nothing is decided,
//! and the use of it is what is recorded.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::http::StatusCode;
use axum::routing::post;
use schemars::JsonSchema;
use serde::Serialize;
use strongroom_api::sealed::SUITE;

use crate::gateway::access::RequestContext;
use crate::gateway::operation::Operation;
use crate::gateway::problem::Problem;
use crate::gateway::sealing_keys::SEALING_KEY_TTL;
use crate::gateway::{Gateway, blocking};

/// A key to seal for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Made")]
pub(in crate::gateway) struct SealingKeyAnswer {
    /// What to send with the sealed value.
    id: String,
    /// 1,216 bytes in base64url without padding.
    key: String,
    suite: &'static str,
    /// Seconds that it waits.
    valid_seconds: u64,
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "CreateSealingKey",
        "/v1/namespaces/{namespace}/sealingkeys",
        post(serve),
    )
    .method(Method::POST)
    .about("A key that the caller's next value can come sealed for")
    .answers::<SealingKeyAnswer>(StatusCode::CREATED)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
) -> Result<(StatusCode, Json<SealingKeyAnswer>), Problem> {
    gateway.limits.take_write(&asking.caller.principal.identity)?;
    blocking(move || {
        let (id, key) = gateway.sealing_keys.make(&asking.caller.principal.identity)?;
        let made = SealingKeyAnswer {
            id,
            key: key.to_string(),
            suite: SUITE,
            valid_seconds: SEALING_KEY_TTL.as_secs(),
        };
        Ok((StatusCode::CREATED, Json(made)))
    })
    .await
}
