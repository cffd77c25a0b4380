//! Values that nobody on the way can read: HPKE (RFC 9180) in base mode with the hybrid X-Wing
//! (draft-ietf-hpke-pq-03, KEM 0x647a), HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! What a sealed text is for and about is part of the seal: one that is moved elsewhere does not open.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The name of the suite, as answers tell it.
pub const SUITE: &str = "X-Wing,HKDF-SHA256,ChaCha20-Poly1305";

/// What a sealed text is for: `info` of RFC 9180. One that is sealed for one purpose opens for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A value that the API answers with.
    Answer,
    /// A value that is sent to it.
    Request,
    /// A value that lies in a manifest.
    Manifest,
}

impl Purpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::Answer => b"strongroom.dev/v1 answer",
            Self::Request => b"strongroom.dev/v1 request",
            Self::Manifest => b"strongroom.dev/v1 manifest",
        }
    }
}

/// What a sealed text is about: namespace, secret, version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionContext<'a> {
    /// Name of the secret's namespace.
    pub namespace: &'a str,
    /// The secret's name in the store.
    pub secret: &'a str,
    /// The version's id.
    pub version: &'a str,
}

/// What a text is bound to: its parts, in their order.
pub(crate) trait SealContext {
    /// In the order in which they are bound.
    fn parts(&self) -> Vec<&str>;
}

impl SealContext for VersionContext<'_> {
    fn parts(&self) -> Vec<&str> {
        vec![self.namespace, self.secret, self.version]
    }
}

/// `aad` of RFC 9180: each part with its length before it, so that no two lists of parts look alike.
fn associated_data(bound: &impl SealContext) -> Vec<u8> {
    let mut data = Vec::new();
    for part in bound.parts() {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        data.extend_from_slice(&length.to_be_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data
}

/// A sealed text cannot be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not a key.
    #[error("not an X-Wing key: 1,216 bytes of a public key in base64url without padding")]
    Key,
    /// Not a sealed text, or for somebody or about something else.
    #[error("it cannot be opened: it was sealed for another key, or for another purpose")]
    Opening,
    /// It cannot be sealed.
    #[error("it cannot be sealed for this key")]
    Sealing,
}

/// A public key that texts are sealed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingKey(<XWing as Kem>::PublicKey);

impl SealingKey {
    /// Seals a text for the holder of the private key.
    ///
    /// # Errors
    /// [`SealError::Sealing`].
    pub fn seal(
        &self,
        text: &[u8],
        purpose: Purpose,
        about: &VersionContext<'_>,
    ) -> Result<HpkeCiphertext, SealError> {
        self.seal_bound(text, purpose, about)
    }

    pub(crate) fn seal_bound(
        &self,
        text: &[u8],
        purpose: Purpose,
        bound: &impl SealContext,
    ) -> Result<HpkeCiphertext, SealError> {
        let (encapsulated, ciphertext) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &self.0,
            purpose.info(),
            text,
            &associated_data(bound),
        )
        .map_err(|_| SealError::Sealing)?;
        Ok(HpkeCiphertext {
            encapsulated: BASE64URL_NOPAD.encode(&encapsulated.to_bytes()),
            ciphertext: BASE64URL_NOPAD.encode(&ciphertext),
        })
    }
}

impl std::str::FromStr for SealingKey {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        let bytes = BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map_err(|_| SealError::Key)?;
        <XWing as Kem>::PublicKey::from_bytes(&bytes)
            .map(Self)
            .map_err(|_| SealError::Key)
    }
}

impl fmt::Display for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL_NOPAD.encode(&self.0.to_bytes()))
    }
}

/// A private key, made for one call. Its bytes are wiped when it goes.
pub struct OpeningKey(<XWing as Kem>::PrivateKey);

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpeningKey(..)")
    }
}

impl OpeningKey {
    /// A new pair.
    #[must_use]
    pub fn generate() -> (Self, SealingKey) {
        let (private, public) = XWing::gen_keypair();
        (Self(private), SealingKey(public))
    }

    /// The key, 32 bytes, for whoever keeps it.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_bytes().to_vec())
    }

    /// A key that was kept, and the public key of it.
    ///
    /// # Errors
    /// [`SealError::Key`].
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, SealingKey), SealError> {
        let private = <XWing as Kem>::PrivateKey::from_bytes(bytes).map_err(|_| SealError::Key)?;
        let public = XWing::sk_to_pk(&private);
        Ok((Self(private), SealingKey(public)))
    }

    /// Opens a text that was sealed for this key.
    ///
    /// # Errors
    /// [`SealError::Opening`].
    pub fn open(
        &self,
        sealed: &HpkeCiphertext,
        purpose: Purpose,
        about: &VersionContext<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.open_bound(sealed, purpose, about)
    }

    pub(crate) fn open_bound(
        &self,
        sealed: &HpkeCiphertext,
        purpose: Purpose,
        bound: &impl SealContext,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let bytes = |text: &str| {
            BASE64URL_NOPAD
                .decode(text.as_bytes())
                .map_err(|_| SealError::Opening)
        };
        let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(&bytes(&sealed.encapsulated)?)
            .map_err(|_| SealError::Opening)?;
        single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.0,
            &encapsulated,
            purpose.info(),
            &bytes(&sealed.ciphertext)?,
            &associated_data(bound),
        )
        .map(Zeroizing::new)
        .map_err(|_| SealError::Opening)
    }
}

/// A sealed text, in base64url without padding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HpkeCiphertext {
    /// The encapsulated key (`enc` of RFC 9180), 1,120 bytes.
    pub encapsulated: String,
    /// The ciphertext with its tag.
    pub ciphertext: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: VersionContext<'static> = VersionContext {
        namespace: "shop",
        secret: "db",
        version: "v-1",
    };

    #[test]
    fn only_its_holder_opens_it_and_only_as_what_it_is() {
        let (private, public) = OpeningKey::generate();
        let public: SealingKey = public.to_string().parse().unwrap();
        let sealed = public.seal(b"s3cr3t", Purpose::Answer, &ABOUT).unwrap();
        let text = serde_json::to_string(&sealed).unwrap();
        let sealed: HpkeCiphertext = serde_json::from_str(&text).unwrap();
        assert_eq!(
            *private.open(&sealed, Purpose::Answer, &ABOUT).unwrap(),
            b"s3cr3t"
        );
        let (kept, again) = OpeningKey::from_bytes(&private.to_bytes()).unwrap();
        assert_eq!(again, public);
        assert_eq!(*kept.open(&sealed, Purpose::Answer, &ABOUT).unwrap(), b"s3cr3t");
        let elsewhere = [
            VersionContext {
                namespace: "shopd",
                secret: "b",
                ..ABOUT
            },
            VersionContext {
                version: "v-2",
                ..ABOUT
            },
        ];
        for about in elsewhere {
            assert_eq!(
                private.open(&sealed, Purpose::Answer, &about),
                Err(SealError::Opening),
                "{about:?}"
            );
        }
        let otherwise = private.open(&sealed, Purpose::Request, &ABOUT);
        assert_eq!(otherwise, Err(SealError::Opening));
        let (other, _) = OpeningKey::generate();
        assert_eq!(
            other.open(&sealed, Purpose::Answer, &ABOUT),
            Err(SealError::Opening)
        );
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let (private, public) = OpeningKey::generate();
        let sealed = public.seal(b"s3cr3t", Purpose::Answer, &ABOUT).unwrap();
        for broken in [
            HpkeCiphertext {
                ciphertext: sealed.encapsulated.clone(),
                ..sealed.clone()
            },
            HpkeCiphertext {
                encapsulated: "AA".to_owned(),
                ..sealed.clone()
            },
            HpkeCiphertext {
                ciphertext: "!".to_owned(),
                ..sealed.clone()
            },
        ] {
            assert_eq!(
                private.open(&broken, Purpose::Answer, &ABOUT),
                Err(SealError::Opening)
            );
        }
        for text in ["", "AA", "!", &"A".repeat(1620)] {
            assert_eq!(text.parse::<SealingKey>(), Err(SealError::Key), "{text}");
        }
        assert_eq!(format!("{private:?}"), "OpeningKey(..)");
    }
}
