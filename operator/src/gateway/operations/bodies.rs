//! The bodies of operations, each with the fields whose path an error may show without showing a value.

use strongroom_api::v1::{
    BatchGetSecretValueRequest, CreateSecretRequest, OwnPolicy, PurgeDeletedSecretsRequest,
    PutSecretValueRequest, RotateSecretRequest, RotationPolicy, SealedTexts, UpdateSecretRequest,
    UpdateSecretVersionStageRequest,
};

use crate::gateway::operation::{BodyInput, SchemaFn, parse_body, schema_of};
use crate::gateway::problem::Problem;

macro_rules! bodies {
    ($($name:ident: $($field:literal),+;)+) => {$(
        impl BodyInput for $name {
            const SCHEMA: Option<SchemaFn> = Some(schema_of::<Self>);

            fn parse(body: &[u8]) -> Result<Self, Problem> {
                parse_body(body, &[$($field),+])
            }
        }
    )+};
}

bodies! {
    BatchGetSecretValueRequest: "secrets";
    CreateSecretRequest: "name", "versionId", "data", "sealed", "description", "labels", "encryptionKey";
    OwnPolicy: "statements";
    PurgeDeletedSecretsRequest: "deletedBefore";
    PutSecretValueRequest: "data", "sealed", "stages";
    RotateSecretRequest: "token";
    RotationPolicy: "enabled", "every";
    SealedTexts: "name", "keys";
    UpdateSecretRequest: "description", "labels", "encryptionKey";
    UpdateSecretVersionStageRequest: "moveTo", "removeFrom";
}
