//! Bytes of a value, in base64 on the way.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::patterns::BASE64_PATTERN;

/// Bytes that come in base64. They are never text of their own, and are wiped when dropped.
pub struct Encoded(Zeroizing<Vec<u8>>);

impl Encoded {
    /// The bytes, for a caller who says by calling this that they leave protection.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, in the buffer that wipes them.
    #[must_use]
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl From<Zeroizing<Vec<u8>>> for Encoded {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes)", self.0.len())
    }
}

impl JsonSchema for Encoded {
    fn schema_name() -> Cow<'static, str> {
        "Base64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "contentEncoding": "base64", "pattern": BASE64_PATTERN})
    }
}

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Zeroizing::new(String::with_capacity(
            data_encoding::BASE64.encode_len(self.0.len()),
        ));
        data_encoding::BASE64.encode_append(&self.0, &mut text);
        serializer.serialize_str(&text)
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
                bytes.truncate(length);
                Ok(Encoded(bytes))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Encoded, E> {
                self.visit_str(&Zeroizing::new(text))
            }
        }
        deserializer.deserialize_str(Base64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_they_were_written_and_not_printed() {
        for bytes in [&b""[..], b"\x00\xff", b"s3cr3t"] {
            let encoded = Encoded::from(Zeroizing::new(bytes.to_vec()));
            let text = serde_json::to_string(&encoded).unwrap();
            assert_eq!(serde_json::from_str::<Encoded>(&text).unwrap().expose(), bytes);
            assert_eq!(format!("{encoded:?}"), format!("Encoded({} bytes)", bytes.len()));
        }
        for bad in ["\"!\"", "\"YQ\"", "7", "null"] {
            assert!(serde_json::from_str::<Encoded>(bad).is_err(), "{bad}");
        }
    }
}
