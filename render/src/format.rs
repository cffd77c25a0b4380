//! Keys of secrets as one file of a format that programs read: one file here for each format, each pure.
//!
//! A format refuses what it cannot say without loss, and names the key; an error never shows a value.

mod env;
mod json;
mod pem;
mod pkcs12;
mod private_key;
mod properties;
#[cfg(test)]
mod tests;
mod yaml;

pub use self::json::quoted;
pub use self::pkcs12::same as same_store;

use std::collections::BTreeSet;

use serde::Deserialize;
use strongroom_model::{SecretBytes, Value};
use zeroize::Zeroizing;

use crate::mismatch::quoted_names;

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `NAME='value'` lines, as a POSIX shell reads them.
    Env,
    /// One JSON object (RFC 8259).
    Json,
    /// One YAML map, each value a double-quoted text.
    Yaml,
    /// Java's `.properties`.
    Properties,
    /// PEM texts (RFC 7468) one after the other.
    Pem,
    /// A key store (RFC 7292) of the private key and its certificates.
    Pkcs12,
    /// A key store of the authorities' certificates alone.
    #[serde(rename = "pkcs12-truststore")]
    Pkcs12Truststore,
}

impl Format {
    /// Whether it is a key store, under a password.
    #[must_use]
    pub const fn is_store(self) -> bool {
        matches!(self, Self::Pkcs12 | Self::Pkcs12Truststore)
    }
}

/// What goes into a file.
#[derive(Debug)]
pub struct Entries<'a> {
    entries: Vec<(&'a str, &'a SecretBytes)>,
    password: Option<&'a SecretBytes>,
}

/// Why a format refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A key that is not there.
    #[error("the value has no key `{0}`")]
    NoKey(String),
    /// Two secrets with the same key.
    #[error("two secrets have a key `{0}`: list the `keys`, or use two files")]
    KeyTwice(String),
    /// Bytes where only text can be said.
    #[error("key `{0}` is not UTF-8 text, which this format needs")]
    NotText(String),
    /// A NUL where none can be said.
    #[error("key `{0}` contains a NUL character, which this format cannot represent")]
    Nul(String),
    /// A name that is no variable.
    #[error(
        "key `{0}` is not a valid variable name (letters, digits and `_`): list the `keys`, or use a template"
    )]
    NotVariable(String),
    /// A key that this format reads as PEM is none.
    #[error("key `{key}` is not PEM: {what}")]
    NotPem {
        /// Name of the key.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// No certificate.
    #[error("key `{0}` does not contain certificates in PEM")]
    NotCertificates(String),
    /// No private key.
    #[error(
        "key `{0}` is not a private key in PEM: PKCS#8, PKCS#1 or SEC1 with a named curve, not encrypted"
    )]
    NotKey(String),
    /// No password for a store.
    #[error("the `password` of a key store is empty, or not UTF-8 text")]
    NoPassword,
    /// The store cannot be written.
    #[error("the key store cannot be written: PKCS#12 does not support its key, certificates or password")]
    Store,
}

impl<'a> Entries<'a> {
    /// The keys of some secrets: those listed in their order, or all by name.
    ///
    /// # Errors
    /// Where a key is missing, or there twice.
    pub fn select(values: &[&'a Value], keys: Option<&[String]>) -> Result<Self, FormatError> {
        let mut entries: Vec<(&str, &SecretBytes)> = values.iter().flat_map(|value| value.iter()).collect();
        let mut names = BTreeSet::new();
        let listed = |name: &str| keys.is_none_or(|keys| keys.iter().any(|key| key == name));
        for (name, _) in &entries {
            if !names.insert(*name) && listed(name) {
                return Err(FormatError::KeyTwice((*name).to_owned()));
            }
        }
        match keys {
            None => entries.sort_by_key(|(name, _)| *name),
            Some(keys) => {
                let find = |key: &String| {
                    let found = entries.iter().find(|(name, _)| name == key).copied();
                    found.ok_or_else(|| FormatError::NoKey(key.clone()))
                };
                entries = keys.iter().map(find).collect::<Result<_, _>>()?;
            }
        }
        Ok(Self {
            entries,
            password: None,
        })
    }

    /// The same, for a store under this password.
    #[must_use]
    pub const fn with_password(mut self, password: Option<&'a SecretBytes>) -> Self {
        self.password = password;
        self
    }

    /// The password of a store.
    #[must_use]
    pub const fn password(&self) -> Option<&'a SecretBytes> {
        self.password
    }

    /// Whether the names of the keys do for the format, whatever is in them.
    ///
    /// # Errors
    /// [`FormatError::NoKey`], [`FormatError::NotVariable`] or [`FormatError::NoPassword`].
    pub fn check(&self, format: Format) -> Result<(), FormatError> {
        let needed: &[&str] = match format {
            Format::Env => {
                let wrong = self.entries.iter().find(|(name, _)| !env::is_variable(name));
                return wrong.map_or(Ok(()), |(name, _)| {
                    Err(FormatError::NotVariable((*name).to_owned()))
                });
            }
            Format::Json | Format::Yaml | Format::Properties | Format::Pem => return Ok(()),
            Format::Pkcs12 => &[pkcs12::KEY, pkcs12::CERTIFICATES],
            Format::Pkcs12Truststore => &[pkcs12::AUTHORITIES],
        };
        for name in needed {
            self.key(name)?;
        }
        self.password.map(|_| ()).ok_or(FormatError::NoPassword)
    }

    /// What the format asks of the value, for a message that says nothing of it.
    #[must_use]
    pub fn demand(&self, format: Format) -> String {
        let keys = quoted_names(self.entries.iter().map(|(name, _)| *name));
        match format {
            Format::Env => format!("`env` needs UTF-8 text without NUL in {keys}"),
            Format::Json => format!("`json` needs UTF-8 text in {keys}"),
            Format::Yaml => format!("`yaml` needs UTF-8 text in {keys}"),
            Format::Properties => format!("`properties` needs UTF-8 text in {keys}"),
            Format::Pem => format!("`pem` needs PEM in {keys}"),
            Format::Pkcs12 => "`pkcs12` needs a private key in PEM in `tls.key` (PKCS#8, PKCS#1 or SEC1 with a named curve, not encrypted), certificates \
                 as PEM in `tls.crt` and `ca.crt`, and a non-empty password of characters that PKCS#12 allows"
                .to_owned(),
            Format::Pkcs12Truststore => "`pkcs12-truststore` needs certificates in PEM in `ca.crt`, and a password of characters that PKCS#12 has, \
                 which is not empty"
                .to_owned(),
        }
    }

    /// Bytes of the value's file in this format.
    ///
    /// # Errors
    /// A [`FormatError`]; [`check`](Self::check) has those that don't depend on the value.
    pub fn write(&self, format: Format) -> Result<SecretBytes, FormatError> {
        let text = match format {
            Format::Env => env::write(self),
            Format::Json => json::write(self),
            Format::Yaml => yaml::write(self),
            Format::Properties => properties::write(self),
            Format::Pem => pem::write(self),
            Format::Pkcs12 => return pkcs12::key_store(self).map(SecretBytes::from),
            Format::Pkcs12Truststore => return pkcs12::trust_store(self).map(SecretBytes::from),
        };
        text.map(SecretBytes::from)
    }

    fn key(&self, key: &str) -> Result<&'a SecretBytes, FormatError> {
        let found = self.entries.iter().find(|(name, _)| *name == key);
        found
            .map(|(_, bytes)| *bytes)
            .ok_or_else(|| FormatError::NoKey(key.to_owned()))
    }

    fn texts(&self) -> impl Iterator<Item = Result<(&'a str, &'a str), FormatError>> {
        self.entries.iter().map(|(name, bytes)| {
            let text = std::str::from_utf8(bytes.expose());
            let text = text.map_err(|_| FormatError::NotText((*name).to_owned()))?;
            Ok((*name, text))
        })
    }
}

/// Room for a file of these entries, so that no copy of it is left behind by growing. `factor` is how much a
/// byte can grow.
fn room(entries: &Entries<'_>, factor: usize) -> Zeroizing<String> {
    let size: usize = entries
        .entries
        .iter()
        .map(|(name, bytes)| (name.len() + bytes.expose().len()) * factor + 16)
        .sum();
    Zeroizing::new(String::with_capacity(size))
}
