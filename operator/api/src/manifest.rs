//! Values that lie in manifests, sealed for a cluster: `strongroom1.<key>.<encapsulated>.<ciphertext>`, one
//! for each key of the value.
//!
//! Each is bound to the store, the namespace, the secret's name in the store and the key of the value: moved
//! anywhere else it does not open.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::sealed::{HpkeCiphertext, OpeningKey, Purpose, SealContext, SealError, SealingKey};

/// What every such text begins with: the format and its version.
pub const PREFIX: &str = "strongroom1.";

/// The public key of a cluster, as it is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterKey {
    /// Id of the store whose process opens what is sealed.
    pub store: String,
    /// Id of the key, 16 hexadecimal digits.
    pub id: String,
    /// The public key, 1,216 bytes in base64url without padding.
    pub key: String,
    /// The suite of RFC 9180: `X-Wing,HKDF-SHA256,ChaCha20-Poly1305`.
    pub suite: String,
}

/// Where a value belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestContext<'a> {
    /// Id of the store.
    pub store: &'a str,
    /// Name of the namespace that the ManagedSecret is for.
    pub namespace: &'a str,
    /// The secret's name in the store.
    pub secret: &'a str,
    /// The key of the value.
    pub key: &'a str,
}

impl SealContext for ManifestContext<'_> {
    fn parts(&self) -> Vec<&str> {
        vec![self.store, self.namespace, self.secret, self.key]
    }
}

/// A sealed text, with the id of the key that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedText {
    /// Id of the cluster's key.
    pub key: String,
    sealed: HpkeCiphertext,
}

/// A text is not a sealed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a sealed value: paste what `kubectl strongroom seal` printed, which starts with `strongroom1.` and the key's id"
)]
pub struct NotSealed;

impl SealedText {
    /// Seals bytes for their place.
    ///
    /// # Errors
    /// [`SealError::Sealing`].
    pub fn seal(
        id: &str,
        key: &SealingKey,
        bytes: &[u8],
        place: &ManifestContext<'_>,
    ) -> Result<Self, SealError> {
        Ok(Self {
            key: id.to_owned(),
            sealed: key.seal_bound(bytes, Purpose::Manifest, place)?,
        })
    }

    /// Opens them there.
    ///
    /// # Errors
    /// [`SealError::Opening`].
    pub fn open(
        &self,
        key: &OpeningKey,
        place: &ManifestContext<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        key.open_bound(&self.sealed, Purpose::Manifest, place)
    }
}

impl fmt::Display for SealedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HpkeCiphertext {
            encapsulated,
            ciphertext,
        } = &self.sealed;
        write!(f, "{PREFIX}{}.{encapsulated}.{ciphertext}", self.key)
    }
}

impl FromStr for SealedText {
    type Err = NotSealed;

    fn from_str(text: &str) -> Result<Self, NotSealed> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(NotSealed)?.split('.');
        let mut part = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        let read = part().zip(part()).zip(part());
        match (read, parts.next()) {
            (Some(((key, encapsulated), ciphertext)), None) => Ok(Self {
                key,
                sealed: HpkeCiphertext {
                    encapsulated,
                    ciphertext,
                },
            }),
            _ => Err(NotSealed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: ManifestContext<'static> = ManifestContext {
        store: "0123",
        namespace: "shop",
        secret: "db",
        key: "password",
    };

    #[test]
    fn a_text_opens_in_its_place_alone() {
        let (private, public) = OpeningKey::generate();
        let sealed = SealedText::seal("00ff", &public, b"s3cr3t", &PLACE).unwrap();
        let text = sealed.to_string();
        assert!(text.starts_with("strongroom1.00ff."), "{text}");
        let read: SealedText = text.parse().unwrap();
        assert_eq!(read, sealed);
        assert_eq!(*read.open(&private, &PLACE).unwrap(), b"s3cr3t");
        for place in [
            ManifestContext {
                store: "0124",
                ..PLACE
            },
            ManifestContext {
                namespace: "shopd",
                secret: "b",
                ..PLACE
            },
            ManifestContext {
                secret: "db2",
                ..PLACE
            },
            ManifestContext {
                key: "username",
                ..PLACE
            },
        ] {
            assert_eq!(read.open(&private, &place), Err(SealError::Opening), "{place:?}");
        }
        let (other, _) = OpeningKey::generate();
        assert_eq!(read.open(&other, &PLACE), Err(SealError::Opening));
        // The same value is another text each time.
        assert_ne!(
            SealedText::seal("00ff", &public, b"s3cr3t", &PLACE).unwrap(),
            sealed
        );
    }

    #[test]
    fn what_is_no_sealed_text_is_none() {
        for text in [
            "",
            "strongroom1.",
            "strongroom1.a.b",
            "strongroom1.a.b.c.d",
            "strongroom1..b.c",
            "strongroom2.a.b.c",
        ] {
            assert_eq!(text.parse::<SealedText>(), Err(NotSealed), "{text}");
        }
    }
}
