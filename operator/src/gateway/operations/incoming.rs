//! Values in requests.
//!
//! A value comes as it is, or sealed for a key that was made for this call. Over the extension API it must be
//! sealed.

use std::collections::BTreeMap;

use strongroom_api::sealed::{HpkeCiphertext, Purpose, VersionContext};
use strongroom_api::v1::{SealedData, ValueData};
use strongroom_model::name::DataKeyName;
use strongroom_store::value::{Value, ValueError};

use crate::gateway::operation::parse_body;
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::OperationContext;

/// The value that was sent, in whichever way.
pub(super) fn read_value(
    context: &OperationContext,
    data: Option<ValueData>,
    sealed: Option<SealedData>,
    about: &VersionContext<'_>,
) -> Result<Value, Problem> {
    let caller = context.request.caller();
    match (data, sealed) {
        (Some(_), None) if caller.via_extension_api => Err(sealed_required(
            "send `sealed`, for a key from `POST …/sealingkeys`, as kubectl strongroom does",
        )),
        (Some(data), None) => value(data),
        (
            None,
            Some(SealedData {
                key,
                encapsulated,
                ciphertext,
            }),
        ) => {
            let sealed = HpkeCiphertext {
                encapsulated,
                ciphertext,
            };
            let keys = &context.gateway.sealing_keys;
            let key = keys.take(&key, &caller.principal.identity)?;
            let opened = key.open(&sealed, Purpose::Request, about).map_err(invalid)?;
            value(parse_body::<ValueData>(&opened, &[])?)
        }
        (Some(_), Some(_)) | (None, None) => Err(invalid("send one of `data` and `sealed`")),
    }
}

/// What a person is told whose value others could read on the way.
pub(super) fn sealed_required(instead: &str) -> Problem {
    Problem::new(
        Code::InvalidRequest,
        format!(
            "over people.strongroom.dev values must be sealed, so that the API server sees none; {instead}"
        ),
    )
}

fn value(data: ValueData) -> Result<Value, Problem> {
    let mut keys = BTreeMap::new();
    for (name, bytes) in data {
        keys.insert(
            name.parse::<DataKeyName>().map_err(invalid)?,
            bytes.into_bytes().into(),
        );
    }
    Value::from_keys(keys).map_err(|error| match error {
        ValueError::TooLarge { .. } => Problem::new(Code::TooLarge, error.to_string()),
        _ => invalid(error),
    })
}
