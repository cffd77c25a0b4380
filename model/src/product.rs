//! Products, and the names of the default secrets that they own: `<productCode>!<identifier>`.

use std::borrow::Borrow;
use std::fmt;

use crate::PRODUCT_SEPARATOR;
use crate::name::{NameError, ProductCode, SecretName};

/// The code that no product has: names of that form are Strongroom's own.
pub const RESERVED_PRODUCT_CODE: &str = "strongroom";

/// A text is sorted, compared and hashed as the code is, so that maps by code are asked with what stands in
/// a name.
impl Borrow<str> for ProductCode {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// How a default secret is hosted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Hosting {
    /// Under the namespace's default key: identity policies alone, and the shared gateway alone.
    Free,
    /// Under a customer's key: policies of both kinds, and gateways of both kinds.
    Paid,
}

impl Hosting {
    /// Both, in their order.
    pub const ALL: [Self; 2] = [Self::Free, Self::Paid];

    /// The hosting of a secret that lies under this customer's key; none is the default key.
    #[must_use]
    pub const fn under<K: ?Sized>(customer_key: Option<&K>) -> Self {
        match customer_key {
            None => Self::Free,
            Some(_) => Self::Paid,
        }
    }

    /// The word, as objects, answers and messages have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "Free",
            Self::Paid => "Paid",
        }
    }
}

impl fmt::Display for Hosting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a default secret, in its two parts. It borrows the name: every read of any secret makes one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DefaultSecretName<'a> {
    code: &'a str,
    identifier: &'a str,
}

impl<'a> DefaultSecretName<'a> {
    /// Splits a secret's name; `None` is an ordinary one, which no product owns.
    ///
    /// # Errors
    /// The name has a `!`, and no product can have what stands before it: an upper-case letter, too long, or
    /// [`RESERVED_PRODUCT_CODE`]. Nobody but Strongroom itself has a secret of such a name.
    pub fn split(name: &'a SecretName) -> Result<Option<Self>, NameError> {
        let Some((code, identifier)) = name.as_str().split_once(PRODUCT_SEPARATOR) else {
            return Ok(None);
        };
        if !ProductCode::is_legal(code) {
            return ProductCode::new(code).map(|_| None);
        }
        Ok(Some(Self { code, identifier }))
    }

    /// The code as it stands in the name, to look a product up.
    #[must_use]
    pub const fn code(&self) -> &'a str {
        self.code
    }

    /// What the product calls the secret.
    #[must_use]
    pub const fn identifier(&self) -> &'a str {
        self.identifier
    }

    /// The code, to keep.
    ///
    /// # Errors
    /// Never: it was looked at when the name was split.
    pub fn product_code(&self) -> Result<ProductCode, NameError> {
        ProductCode::new(self.code)
    }
}

impl fmt::Display for DefaultSecretName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{PRODUCT_SEPARATOR}{}", self.code, self.identifier)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_are_split_into_code_and_identifier() {
        let name = SecretName::new("pg!orders/admin@1").unwrap();
        let default = DefaultSecretName::split(&name).unwrap().unwrap();
        assert_eq!((default.code(), default.identifier()), ("pg", "orders/admin@1"));
        assert_eq!(default.product_code(), ProductCode::new("pg"));
        assert_eq!(default.to_string(), name.as_str());
        let ordinary = SecretName::new("checkout-db").unwrap();
        assert_eq!(DefaultSecretName::split(&ordinary), Ok(None));
    }

    #[test]
    fn a_code_that_no_product_can_have_makes_no_default_secret_and_no_ordinary_one() {
        let long = format!("{}!x", "a".repeat(64));
        for text in ["strongroom!x", "PG!x", "-pg!x", "pg-!x", long.as_str()] {
            let name = SecretName::new(text).unwrap();
            let error = DefaultSecretName::split(&name).unwrap_err().to_string();
            assert!(error.contains("product code"), "{text}: {error}");
        }
        for text in ["a!b!c", "!x", "x!", &format!("pg!{}", "a".repeat(190))] {
            assert!(SecretName::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_map_by_code_is_asked_with_a_text() {
        let products = BTreeMap::from([(ProductCode::new("aigw").unwrap(), 1)]);
        assert_eq!((products.get("aigw"), products.get("pg")), (Some(&1), None));
    }

    #[test]
    fn free_is_under_the_default_key_and_paid_under_a_customers() {
        assert_eq!(Hosting::under(None::<&str>), Hosting::Free);
        assert_eq!(Hosting::under(Some("payments")), Hosting::Paid);
        assert_eq!(Hosting::ALL.map(Hosting::as_str), ["Free", "Paid"]);
    }
}
