//! How a listener is called: in arguments, logs and metrics, and as the port of its container.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// The listener of the shared gateway.
const SHARED: &str = "shared";
/// Longest name, in bytes: that of a container's port (IANA_SVC_NAME, RFC 6335 section 5.1).
const MAX_BYTES: usize = 15;
/// Names that mean something else: listeners and ports of the process, its other roles, and all of them.
const RESERVED: [&str; 9] = [
    SHARED,
    "all",
    "attestations",
    "front",
    "gateway",
    "http",
    "node",
    "people",
    "webhook",
];

/// The name of a listener; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListenerName(Arc<str>);

/// A text that names no dedicated gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListenerNameError {
    /// It can be no port of a container.
    #[error(
        "`{0}` cannot name a gateway; use up to 15 lower-case letters, digits and single `-`, starting with a letter, as in `aigw`"
    )]
    Malformed(String),
    /// It is taken.
    #[error("`{0}` is reserved; give the gateway another name, such as the code of its product")]
    Reserved(String),
}

impl ListenerName {
    /// The text that was parsed, unchanged.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// That of the shared gateway.
impl Default for ListenerName {
    fn default() -> Self {
        Self(SHARED.into())
    }
}

impl FromStr for ListenerName {
    type Err = ListenerNameError;

    /// That of a dedicated gateway.
    fn from_str(text: &str) -> Result<Self, ListenerNameError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let legal = text.len() <= MAX_BYTES
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(known)
            && !text.ends_with('-')
            && !text.contains("--");
        if !legal {
            return Err(ListenerNameError::Malformed(text.chars().take(80).collect()));
        }
        if RESERVED.contains(&text) {
            return Err(ListenerNameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl EncodeLabelValue for ListenerName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_a_container_port_and_none_that_is_taken() {
        for fine in ["a", "aigw", "pg-1", "abcdefghijklmno"] {
            assert_eq!(fine.parse::<ListenerName>().unwrap().to_string(), fine);
        }
        for wrong in [
            "",
            "1a",
            "-a",
            "a-",
            "a--b",
            "a.b",
            "a_b",
            "Aigw",
            "é",
            "abcdefghijklmnop",
        ] {
            let refused = wrong.parse::<ListenerName>();
            assert_eq!(
                refused,
                Err(ListenerNameError::Malformed(wrong.to_owned())),
                "{wrong}"
            );
        }
        for taken in RESERVED {
            let refused = taken.parse::<ListenerName>();
            assert_eq!(refused, Err(ListenerNameError::Reserved(taken.to_owned())));
        }
        assert_eq!(ListenerName::default().as_str(), "shared");
    }

    /// The chart refuses what the process would refuse at its start.
    #[test]
    fn the_chart_refuses_the_same_names() {
        let schema = include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../charts/strongroom/values.schema.json"
        ));
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        let name = &schema["properties"]["gateways"]["items"]["properties"]["name"];
        assert_eq!(name["not"]["enum"], serde_json::json!(RESERVED));
        assert_eq!(name["maxLength"], MAX_BYTES);
    }
}
