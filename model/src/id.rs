//! Identifiers: 16 random bytes each, never reused, shown as 32 lower-case hex characters.
//!
//! Must not carry meaning: an id says nothing about the name, the namespace or the time of what it stands
//! for.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::{NoRandomness, public_random};

/// An id could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes; check that /dev/urandom works")]
    NoRandomness,
    /// The text is not 32 hexadecimal characters.
    #[error("`{0}` is not an id; expected 32 hexadecimal characters")]
    Malformed(String),
}

impl From<NoRandomness> for IdError {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}

/// Sixteen bytes that nobody had before, asked for at this moment.
fn system_random() -> Result<[u8; 16], NoRandomness> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident of $random:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Size in bytes.
            pub const SIZE: usize = 16;

            /// A new id from the operating system's randomness.
            ///
            /// # Errors
            /// [`IdError::NoRandomness`] where the system gives none.
            pub fn generate() -> Result<Self, IdError> {
                Ok(Self($random()?))
            }

            /// The id of these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes, as records hold them.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 32];
                f.write_str(HEXLOWER_PERMISSIVE.encode_mut_str(&self.0, &mut text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                HEXLOWER_PERMISSIVE
                    .decode(text.as_bytes())
                    .ok()
                    .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
                    .map(Self)
                    .ok_or_else(|| IdError::Malformed(text.chars().take(64).collect()))
            }
        }
    )*};
}

ids! {
    /// One store, for as long as it lives, backups included.
    StoreId of system_random
    /// One namespace as the store knows it; a namespace made again under the same name is another one.
    NamespaceId of system_random
    /// One secret; a secret made again under the same name is another one.
    SecretId of system_random
    /// One encryption key.
    KeyId of system_random
    /// One request, so that an answer that got lost can be asked for again. Each request has one.
    RequestId of public_random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_ids_differ() {
        let one = SecretId::generate().unwrap();
        assert_eq!(one.to_string().parse::<SecretId>().unwrap(), one);
        assert_ne!(one, SecretId::generate().unwrap());
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in ["", "00", "zz", &"0".repeat(33), &"g".repeat(32)] {
            assert!(
                matches!(text.parse::<KeyId>(), Err(IdError::Malformed(_))),
                "{text}"
            );
        }
    }
}
