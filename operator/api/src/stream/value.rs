//! Values on their way: from the message into the type that wipes them, and back.

use std::collections::BTreeSet;
use std::fmt;

use strongroom_model::{VALUE_BYTES, Value};

use super::proto;

/// The id of a secret: 16 random bytes, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId([u8; 16]);

impl SecretId {
    /// The id with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, as messages carry them.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl TryFrom<&[u8]> for SecretId {
    type Error = ValueError;

    fn try_from(bytes: &[u8]) -> Result<Self, ValueError> {
        bytes.try_into().map(Self).map_err(|_| ValueError::SecretId)
    }
}

impl fmt::Debug for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A message does not hold a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The id has not 16 bytes.
    #[error("the id of a secret is not 16 bytes")]
    SecretId,
    /// The version id is empty, or longer than 64 bytes.
    #[error("the version id is empty or longer than 64 characters")]
    VersionId,
    /// More than [`VALUE_BYTES`] in all.
    #[error("the value is larger than {VALUE_BYTES} bytes")]
    TooLarge,
    /// Two keys have one name.
    #[error("the value contains a key twice")]
    KeyTwice,
}

/// A value as it was delivered.
#[derive(Debug)]
pub struct DeliveredValue {
    /// Which secret: 16 bytes, and not its name, which another secret may get later.
    pub secret_id: SecretId,
    /// Which version: 1 to 64 bytes.
    pub version_id: String,
    /// The type of the native Secret that it would be.
    pub kind: String,
    /// Its keys with their bytes, at most [`VALUE_BYTES`] in all.
    pub value: Value,
}

impl DeliveredValue {
    /// The message for it. It holds a copy of the value, which is wiped with the message; the encoder's is
    /// not ours.
    #[must_use]
    pub fn to_message(&self) -> proto::Value {
        let keys = self.value.iter().map(|(name, bytes)| proto::Key {
            name: name.to_owned(),
            value: bytes.expose().to_vec(),
        });
        proto::Value {
            secret_id: self.secret_id.to_bytes(),
            version_id: self.version_id.clone(),
            r#type: self.kind.clone(),
            keys: keys.collect(),
        }
    }
}

impl proto::Value {
    /// What it takes of a node's window, and what the node gives back as credit.
    #[must_use]
    pub fn window_bytes(&self) -> usize {
        let keys = self.keys.iter();
        keys.map(|key| key.name.len() + key.value.len()).sum()
    }
}

impl TryFrom<proto::Value> for DeliveredValue {
    type Error = ValueError;

    fn try_from(mut message: proto::Value) -> Result<Self, ValueError> {
        let secret_id = SecretId::try_from(message.secret_id.as_slice())?;
        if message.version_id.is_empty() || message.version_id.len() > 64 {
            return Err(ValueError::VersionId);
        }
        let mut names = BTreeSet::new();
        let mut value = Value::new();
        for key in &mut message.keys {
            let name = std::mem::take(&mut key.name);
            if !names.insert(name.clone()) {
                return Err(ValueError::KeyTwice);
            }
            value.insert(name, std::mem::take(&mut key.value));
        }
        if value.size() > VALUE_BYTES {
            return Err(ValueError::TooLarge);
        }
        Ok(Self {
            secret_id,
            version_id: message.version_id,
            kind: message.r#type,
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered() -> DeliveredValue {
        let mut value = Value::new();
        value.insert("a", vec![0, 255]);
        value.insert("b", Vec::new());
        DeliveredValue {
            secret_id: SecretId::new([7; 16]),
            version_id: "v-1".into(),
            kind: "Opaque".into(),
            value,
        }
    }

    #[test]
    fn a_value_comes_as_it_was_sent() {
        let sent = delivered();
        let came = DeliveredValue::try_from(sent.to_message()).unwrap();
        assert_eq!(came.value, sent.value);
        assert_eq!(
            (came.secret_id, came.version_id.as_str(), came.kind.as_str()),
            (SecretId::new([7; 16]), "v-1", "Opaque")
        );
    }

    #[test]
    fn what_breaks_a_limit_is_refused() {
        let refused = |change: fn(&mut proto::Value)| {
            let mut message = delivered().to_message();
            change(&mut message);
            DeliveredValue::try_from(message).unwrap_err()
        };
        assert_eq!(refused(|m| m.secret_id.truncate(15)), ValueError::SecretId);
        assert_eq!(refused(|m| m.version_id.clear()), ValueError::VersionId);
        assert_eq!(refused(|m| m.version_id = "x".repeat(65)), ValueError::VersionId);
        assert_eq!(refused(|m| m.keys[1].name = "a".into()), ValueError::KeyTwice);
        assert_eq!(
            refused(|m| m.keys[1].value = vec![0; VALUE_BYTES]),
            ValueError::TooLarge
        );
    }
}
