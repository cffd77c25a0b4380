//! What comes in the body of a request: bounded, wiped, and told about by its place alone where it does not
//! fit.
//!
//! A value comes as it is, or sealed for a key that was made for this call; over the people's front only
//! sealed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use futures::StreamExt;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use strongroom_api::sealed::{HpkeCiphertext, Purpose, VersionContext};
use strongroom_store::name::DataKeyName;
use strongroom_store::secret::SecretBytes;
use strongroom_store::value::{Value, ValueError};
use zeroize::Zeroizing;

use super::get_secret_value::invalid;
use crate::gateway::access::RequestContext;
use crate::gateway::operation::base64;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::{Gateway, limits};

/// A value as it is: each key in base64.
pub(super) type Data = BTreeMap<String, Encoded>;

/// A value that is sealed; it opens to the JSON of what an unsealed request has as `data`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedData {
    /// The id of the key that it is sealed for.
    key: String,
    encapsulated: String,
    ciphertext: String,
}

/// Bytes that come in base64. They are never text of their own.
pub(super) struct Encoded(SecretBytes);

impl JsonSchema for Encoded {
    fn schema_name() -> Cow<'static, str> {
        "Base64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::try_from(base64()).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;

        impl Visitor<'_> for Base64 {
            type Value = Encoded;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Encoded, E> {
                let wrong = |_| E::custom("not base64");
                let longest = data_encoding::BASE64.decode_len(text.len()).map_err(wrong)?;
                // What is decoded before an error shows is wiped as well.
                let mut bytes = Zeroizing::new(vec![0; longest]);
                let length = data_encoding::BASE64
                    .decode_mut(text.as_bytes(), &mut bytes)
                    .map_err(|partial| wrong(partial.error))?;
                let bytes = bytes.get(..length).unwrap_or_default();
                Ok(Encoded(SecretBytes::new(bytes.to_vec())))
            }
        }
        deserializer.deserialize_str(Base64)
    }
}

/// The value that was sent, in whichever way.
pub(super) fn read_value(
    gateway: &Gateway,
    asking: &RequestContext,
    data: Option<Data>,
    sealed: Option<SealedData>,
    about: &VersionContext<'_>,
) -> Result<Value, Problem> {
    match (data, sealed) {
        (Some(_), None) if asking.caller.via_extension_api => Err(sealed_required(
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
            let key = gateway
                .sealing_keys
                .take(&key, &asking.caller.principal.identity)?;
            let opened = key.open(&sealed, Purpose::Request, about).map_err(invalid)?;
            value(parse_body::<Data>(&opened, &[])?)
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

/// The body, if it comes whole and is not too large, in a buffer that never grows and is wiped. What the
/// connection itself buffers is out of reach.
pub(super) async fn read_body(body: axum::body::Body) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut whole = Zeroizing::new(Vec::with_capacity(limits::MAX_BODY_BYTES));
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| invalid("the body is incomplete"))?;
        if whole.len() + piece.len() > limits::MAX_BODY_BYTES {
            return Err(Problem::new(Code::TooLarge, "the body is larger than 192 KiB"));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// The body as what it should be. What is wrong is told by its place alone, and that only below one of these
/// `fields`: a value may stand anywhere else, a name included.
pub(super) fn parse_body<T: DeserializeOwned>(body: &[u8], fields: &[&str]) -> Result<T, Problem> {
    let read = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(body));
    read.map_err(|error| {
        let path = error.path().to_string();
        let known = path
            .split(['.', '['])
            .next()
            .is_some_and(|root| fields.contains(&root));
        let place = if known { path.as_str() } else { "." };
        invalid(format!(
            "the body is invalid at `{place}`; docs/api.md describes it"
        ))
    })
}

fn value(data: Data) -> Result<Value, Problem> {
    let mut keys = BTreeMap::new();
    for (name, Encoded(bytes)) in data {
        keys.insert(name.parse::<DataKeyName>().map_err(invalid)?, bytes);
    }
    Value::from_keys(keys).map_err(|error| match error {
        ValueError::TooLarge { .. } => Problem::new(Code::TooLarge, error.to_string()),
        _ => invalid(error),
    })
}
