//! Which secrets are served at which gateway, whoever asks: everything at the shared one, and at a dedicated
//! one the paid secrets of the products that it is for.

use strongroom_model::{DefaultSecretName, ProductCode};

use super::matrix::ListenerKind;
use super::refusal::ProductRefusal;

/// The listener that a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerFacts<'a> {
    /// That of the shared gateway.
    Shared,
    /// That of a gateway for these products.
    Dedicated(&'a [ProductCode]),
}

impl ListenerFacts<'_> {
    /// The column of the matrix.
    #[must_use]
    pub const fn kind(self) -> ListenerKind {
        match self {
            Self::Shared => ListenerKind::Shared,
            Self::Dedicated(_) => ListenerKind::Dedicated,
        }
    }

    /// Whether a secret of this name, which no product owns, is served.
    ///
    /// # Errors
    /// It is at the shared gateway alone.
    pub fn serves_ordinary(self, secret: &str) -> Result<(), ProductRefusal> {
        match self {
            Self::Shared => Ok(()),
            Self::Dedicated(_) => Err(ProductRefusal::OrdinarySecret {
                secret: secret.to_owned(),
            }),
        }
    }

    /// Whether the paid secrets of the product that owns this one are served.
    ///
    /// # Errors
    /// The gateway is for other products.
    pub(super) fn serves_paid(self, secret: DefaultSecretName<'_>) -> Result<(), ProductRefusal> {
        match self {
            Self::Dedicated(products) if !products.iter().any(|code| code.as_str() == secret.code()) => {
                Err(ProductRefusal::OtherGateway {
                    secret: secret.to_string(),
                })
            }
            Self::Shared | Self::Dedicated(_) => Ok(()),
        }
    }
}
