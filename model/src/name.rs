//! Names, parsed once. Must not be built except by parsing, so that a held name is a legal one. A copy shares
//! the text: every request copies several.
//!
//! Rules follow the managed cloud service whose semantics the store keeps, narrowed where Kubernetes is
//! narrower.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{PRODUCT_SEPARATOR, RESERVED_PRODUCT_CODE, SECRET_NAME_BYTES, is_secret_name_byte};

/// Text that is not a legal name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{text}` is not valid: {rule}")]
pub struct NameError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident { what: $what:literal, rule: $rule:literal, max: $max:expr, ok: $ok:expr })*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Longest legal text, in bytes.
            pub const MAX: usize = $max;

            /// Parses `text`.
            ///
            /// # Errors
            /// [`NameError`], which says the rule.
            pub fn new(text: &str) -> Result<Self, NameError> {
                if !Self::is_legal(text) {
                    return Err(NameError { what: $what, text: text.chars().take(80).collect(), rule: $rule });
                }
                Ok(Self(text.into()))
            }

            /// Whether `text` could be parsed. Nothing is kept of it.
            #[must_use]
            pub fn is_legal(text: &str) -> bool {
                let legal: fn(&str) -> bool = $ok;
                !text.is_empty() && text.len() <= Self::MAX && legal(text)
            }

            /// The text that was parsed, unchanged.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    )*};
}

names! {
    /// A namespace: a DNS label, as Kubernetes has it.
    NamespaceName {
        what: "namespace name", rule: "up to 63 lower-case letters, digits and `-`, starting and ending with a letter or digit",
        max: 63, ok: is_dns_label
    }
    /// A secret's name in its namespace. `!` stands only between a product's code and the identifier of its
    /// default secret.
    SecretName {
        what: "secret name", rule: "up to 192 of letters, digits and `_/+=.-@`, or `<productCode>!<identifier>`",
        max: SECRET_NAME_BYTES, ok: secret_name
    }
    /// The code of a product, which is the name of its SecretProduct: a DNS label.
    ProductCode {
        what: "product code", rule: "up to 63 lower-case letters, digits and `-`, starting and ending with a letter or digit, and not `strongroom`",
        max: 63, ok: product_code
    }
    /// An immutable version's id, chosen by its writer; it is the idempotency token of that write.
    VersionId {
        what: "version id", rule: "up to 64 of letters, digits and `_.-`",
        max: 64, ok: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    }
    /// A label that people put on a version.
    StageName {
        what: "stage", rule: "up to 64 of letters, digits and `_.-`, and none of the reserved stages",
        max: 64, ok: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) && !is_reserved(text)
    }
    /// A customer's encryption key in its namespace: a DNS label.
    KeyName {
        what: "key name", rule: "up to 63 lower-case letters, digits and `-`, starting and ending with a letter or digit",
        max: 63, ok: is_dns_label
    }
    /// A key inside a value, legal as a key of a native Secret.
    DataKeyName {
        what: "key of a value", rule: "up to 253 of letters, digits and `-._`, and neither `.` nor `..` nor starting with `..`",
        max: 253, ok: |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) && text != "." && !text.starts_with("..")
    }
    /// What an outside system calls one of its objects, such as a UID.
    ExternalId {
        what: "outside id", rule: "up to 128 printable ASCII characters",
        max: 128, ok: |text| text.bytes().all(|b| b.is_ascii_graphic())
    }
    /// The name of a cursor that a reader of the mutation chain keeps.
    CursorName {
        what: "cursor name", rule: "up to 63 lower-case letters, digits and `-`",
        max: 63, ok: is_dns_label
    }
}

impl SecretName {
    /// Whether it is the name of a product's default secret.
    #[must_use]
    pub fn is_products(&self) -> bool {
        self.as_str().contains(PRODUCT_SEPARATOR)
    }
}

/// Whether it is a DNS label (RFC 1123): up to 63 lower-case letters, digits and `-`, neither first nor last.
#[must_use]
pub fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether it is of what names of objects are made of: up to 253 lower-case letters, digits, `-` and `.`.
#[must_use]
pub fn is_object_name(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    (1..=253).contains(&text.len()) && text.bytes().all(known)
}

fn product_code(text: &str) -> bool {
    is_dns_label(text) && text != RESERVED_PRODUCT_CODE
}

fn secret_name(text: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(is_secret_name_byte);
    match text.split_once(PRODUCT_SEPARATOR) {
        None => plain(text),
        Some((code, identifier)) => {
            code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !code.is_empty()
                && plain(identifier)
        }
    }
}

fn is_reserved(text: &str) -> bool {
    ["current", "previous", "pending"]
        .iter()
        .any(|reserved| text.eq_ignore_ascii_case(reserved))
}

/// A label on at most one version of a secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// The version that readers get by default. Every live secret has exactly one.
    Current,
    /// The version that was Current before.
    Previous,
    /// A version that a rotation is bringing in.
    Pending,
    /// A label of people's own.
    Custom(StageName),
}

impl Stage {
    /// The text, as it is written and read.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Current => "Current",
            Self::Previous => "Previous",
            Self::Pending => "Pending",
            Self::Custom(name) => name.as_str(),
        }
    }
}

impl FromStr for Stage {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "Current" => Ok(Self::Current),
            "Previous" => Ok(Self::Previous),
            "Pending" => Ok(Self::Pending),
            other => StageName::new(other).map(Self::Custom),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_names() {
        for legal in [
            "a",
            "checkout-db",
            "team/db_1",
            "a+b=c.d@e",
            "rds!mysql-1",
            &"x".repeat(192),
        ] {
            assert!(SecretName::new(legal).is_ok(), "{legal}");
        }
        for illegal in [
            "",
            "a b",
            "!x",
            "x!",
            "a!b!c",
            "ä",
            "a\0",
            "a%2fb",
            &"x".repeat(193),
        ] {
            assert!(SecretName::new(illegal).is_err(), "{illegal}");
        }
    }

    #[test]
    fn product_codes() {
        for legal in ["pg", "a", "ai-gateway", "1", &"x".repeat(63)] {
            assert!(ProductCode::new(legal).is_ok(), "{legal}");
        }
        for illegal in [
            "",
            "PG",
            "-pg",
            "pg-",
            "p.g",
            "pg!",
            "strongroom",
            &"x".repeat(64),
        ] {
            assert!(ProductCode::new(illegal).is_err(), "{illegal}");
        }
    }

    #[test]
    fn data_keys_cannot_leave_a_volume() {
        for illegal in [".", "..", "..data", "a/b", "", "a b"] {
            assert!(DataKeyName::new(illegal).is_err(), "{illegal}");
        }
        assert!(DataKeyName::new("tls.crt").is_ok());
    }

    #[test]
    fn reserved_stages_are_not_custom() {
        assert_eq!("Current".parse::<Stage>(), Ok(Stage::Current));
        assert!("current".parse::<Stage>().is_err());
        assert_eq!("blue".parse::<Stage>().unwrap().as_str(), "blue");
    }

    #[test]
    fn errors_say_the_rule_and_cut_long_text() {
        let error = VersionId::new(&"a b".repeat(100)).unwrap_err().to_string();
        assert!(error.contains("up to 64") && error.len() < 250, "{error}");
    }
}
