//! Makes the keys of a value as `source.generate` says: a pure function of the sources, `now`, the authority
//! and randomness.

mod authority;
mod certificate;
mod differences;
mod key_pair;
mod password;
pub mod random;
mod record;
mod size;
mod ssh;
#[cfg(test)]
mod tests;
mod x509;

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use jiff::Timestamp;
use strongroom_crds::v1alpha1::{
    CertificateAuthority, KeyFormat, KeySource, ManagedCertificateAuthority, X509Source,
};
use zeroize::Zeroizing;

pub use self::authority::{Authority, AuthorityError};
pub use self::certificate::{Certificate, Chain};
pub use self::differences::{Differences, differences};
pub use self::password::PasswordError;
pub use self::random::{CryptoRng, RandomError};
pub use self::record::{GeneratorRecord, RecordError};
pub use self::size::{fits, takes_long};
pub use self::x509::{BACKDATE_SECONDS, CertificateError};
use crate::value::{SecretBytes, VALUE_BYTES, Value};

/// The key in which a Secret of type kubernetes.io/ssh-auth holds its private key.
const SSH_KEY: &str = "ssh-privatekey";
/// Random bytes where the source does not say how many.
const DEFAULT_BYTES: i32 = 32;

/// Why no value could be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GenerateError {
    /// The settings of a password contradict each other.
    #[error("key `{key}`: {error}")]
    Password {
        /// The key of the source.
        key: String,
        /// What is wrong.
        error: PasswordError,
    },
    /// A number is outside its range.
    #[error("key `{key}`: {what} must be {range}")]
    OutOfRange {
        /// The key of the source.
        key: String,
        /// Name of the field of its generator, such as `length`.
        what: &'static str,
        /// What it may be.
        range: &'static str,
    },
    /// The settings of a certificate mean nothing, or its authority cannot sign it.
    #[error("key `{key}`: {error}")]
    Certificate {
        /// The key of the source.
        key: String,
        /// What is wrong.
        error: CertificateError,
    },
    /// A library could not make the key; trying again may help.
    #[error("key `{key}`: failed to make a key pair")]
    KeyPair {
        /// The key of the source.
        key: String,
    },
    /// The value is over its limit.
    #[error("the value would have {size} bytes, {VALUE_BYTES} are allowed: remove or shorten keys")]
    TooLarge {
        /// Bytes of all keys and their contents together.
        size: usize,
    },
}

impl GenerateError {
    /// Whether the spec must change; if not, trying again may help.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        match self {
            Self::Password { .. } | Self::OutOfRange { .. } | Self::TooLarge { .. } => true,
            Self::Certificate { error, .. } => error.needs_person(),
            Self::KeyPair { .. } => false,
        }
    }
}

/// What a value is made from, beside the sources.
#[derive(Debug)]
pub struct GenerateContext<'a> {
    /// The time certificates begin at.
    pub now: Timestamp,
    /// The authority that an x509 source names, if it names one.
    pub authority: Option<&'a Authority>,
    /// The value that the new one takes the place of.
    pub replaces: PreviousValue<'a>,
    /// The value is for a Secret of type kubernetes.io/ssh-auth, so that key pairs are OpenSSH's where
    /// nothing else is asked for.
    pub ssh_auth: bool,
}

/// The value that a new one takes the place of, as far as the new one depends on it.
#[derive(Clone, Copy, Debug)]
pub enum PreviousValue<'a> {
    /// There is none.
    Nothing,
    /// What is made gets new keys.
    Rotated(&'a Value),
    /// Certificates get a new end: an authority keeps its key and name.
    Renewed(&'a Value),
}

/// The keys of the value that a source makes; the first one tells whether it was made already.
#[must_use]
pub fn outputs(name: &str, source: &KeySource) -> Vec<String> {
    match source {
        KeySource::Password(_)
        | KeySource::Literal(_)
        | KeySource::Hex(_)
        | KeySource::Base64(_)
        | KeySource::Uuid(_) => vec![name.to_owned()],
        KeySource::Ed25519(_) | KeySource::Rsa(_) | KeySource::Ecdsa(_) => {
            vec![name.to_owned(), format!("{name}.pub")]
        }
        KeySource::X509(_) if name == "ca" => vec!["ca.key".to_owned(), "ca.crt".to_owned()],
        KeySource::X509(_) => vec![format!("{name}.key"), format!("{name}.crt"), "ca.crt".to_owned()],
    }
}

/// The names of the sources that were not made yet, given the keys of the current version.
pub fn missing<'a>(
    sources: impl IntoIterator<Item = (&'a String, &'a KeySource)>,
    present: &BTreeSet<&str>,
) -> Vec<&'a str> {
    sources
        .into_iter()
        .filter(|(name, source)| {
            outputs(name, source)
                .first()
                .is_some_and(|key| !present.contains(key.as_str()))
        })
        .map(|(name, _)| name.as_str())
        .collect()
}

/// Whether a rotation makes this source again.
#[must_use]
pub fn rotates(source: &KeySource) -> bool {
    !matches!(source, KeySource::Literal(_))
}

/// The authority in another ManagedSecret that a source needs.
#[must_use]
pub fn authority_reference(source: &KeySource) -> Option<&ManagedCertificateAuthority> {
    match source {
        KeySource::X509(x509) => certificate_authority(x509),
        _ => None,
    }
}

/// The authority in another ManagedSecret that an x509 source names.
#[must_use]
pub fn certificate_authority(source: &X509Source) -> Option<&ManagedCertificateAuthority> {
    match &source.ca {
        Some(CertificateAuthority::ManagedSecret(reference)) => Some(reference),
        Some(CertificateAuthority::SelfSigned(_)) | None => None,
    }
}

/// The x509 source among these, of which there is one at most.
pub fn certificate_source<'a>(
    sources: impl IntoIterator<Item = (&'a String, &'a KeySource)>,
) -> Option<(&'a str, &'a X509Source)> {
    sources.into_iter().find_map(|(name, source)| match source {
        KeySource::X509(x509) => Some((name.as_str(), x509)),
        _ => None,
    })
}

/// How long a certificate of this source is valid, in seconds, if its authority lives as long.
#[must_use]
pub fn validity(source: &X509Source) -> i64 {
    let default = if source.is_ca == Some(true) {
        x509::AUTHORITY_SECONDS
    } else {
        x509::LEAF_SECONDS
    };
    source.valid_for.map_or(default, |period| period.seconds())
}

/// The value with the chain and the roots that the authority of its x509 key `name` has now. Its key and
/// certificate stay. `None` if it holds no certificate.
#[must_use]
pub fn follow_authority(mut value: Value, name: &str, authority: &Authority) -> Option<Value> {
    x509::follow(name, authority, &mut value)?;
    Some(value)
}

/// The value of the self-signed authority `name` without the roots that it had before. `None` if it holds no
/// certificate.
#[must_use]
pub fn drop_old_roots(mut value: Value, name: &str) -> Option<Value> {
    x509::drop_old_roots(name, &mut value)?;
    Some(value)
}

/// Makes the keys of all `sources`.
///
/// # Errors
/// A [`GenerateError`] that names the key; nothing is made then. What is too large by its settings is refused
/// before anything is made.
pub fn generate<'a>(
    sources: impl IntoIterator<Item = (&'a String, &'a KeySource)>,
    environment: &GenerateContext<'_>,
    random: &mut dyn CryptoRng,
) -> Result<Value, GenerateError> {
    let sources: Vec<_> = sources.into_iter().collect();
    fits(sources.iter().copied(), environment.ssh_auth, 0)?;
    let mut value = Value::new();
    for (name, source) in sources {
        generate_one(name, source, environment, random, &mut value)?;
    }
    if value.size() > VALUE_BYTES {
        return Err(GenerateError::TooLarge { size: value.size() });
    }
    Ok(value)
}

fn generate_one(
    name: &str,
    source: &KeySource,
    environment: &GenerateContext<'_>,
    random: &mut dyn CryptoRng,
    value: &mut Value,
) -> Result<(), GenerateError> {
    let key = || name.to_owned();
    let pair = |pair: Option<key_pair::KeyPair>| pair.ok_or_else(|| GenerateError::KeyPair { key: key() });
    match source {
        KeySource::Password(password) => {
            let made = password::generate(password, random)
                .map_err(|error| GenerateError::Password { key: key(), error })?;
            value.insert(name, made);
        }
        KeySource::Literal(text) => value.insert(name, text.clone().into_bytes()),
        KeySource::Hex(hex) => value.insert(name, encode(&bytes(name, hex.bytes, random)?, &HEXLOWER)),
        KeySource::Base64(base64) => {
            let encoding = if base64.url_safe == Some(true) {
                &BASE64URL_NOPAD
            } else {
                &BASE64
            };
            value.insert(name, encode(&bytes(name, base64.bytes, random)?, encoding));
        }
        KeySource::Uuid(_) => value.insert(name, uuid(random)),
        KeySource::Ed25519(source) => match format(name, source.format, environment.ssh_auth) {
            KeyFormat::Pkcs8 => pair(key_pair::ed25519(random))?,
            KeyFormat::OpenSsh => key_pair::ssh_ed25519(name, random),
        }
        .store(name, value),
        KeySource::Rsa(source) => pair(match format(name, source.format, environment.ssh_auth) {
            KeyFormat::Pkcs8 => key_pair::rsa(source.bits, random),
            KeyFormat::OpenSsh => key_pair::ssh_rsa(source.bits, name, random),
        })?
        .store(name, value),
        KeySource::Ecdsa(source) => {
            let curve = source.curve.unwrap_or_default();
            match format(name, source.format, environment.ssh_auth) {
                KeyFormat::Pkcs8 => pair(key_pair::ecdsa(curve, random))?,
                KeyFormat::OpenSsh => key_pair::ssh_ecdsa(curve, name, random),
            }
            .store(name, value);
        }
        KeySource::X509(x509) => x509::generate(name, x509, environment, random, value)
            .map_err(|error| GenerateError::Certificate { key: key(), error })?,
    }
    Ok(())
}

fn format(name: &str, asked: Option<KeyFormat>, ssh_auth: bool) -> KeyFormat {
    asked.unwrap_or(if ssh_auth || name == SSH_KEY {
        KeyFormat::OpenSsh
    } else {
        KeyFormat::Pkcs8
    })
}

fn bytes(
    name: &str,
    count: Option<i32>,
    random: &mut dyn CryptoRng,
) -> Result<Zeroizing<Vec<u8>>, GenerateError> {
    let count = usize::try_from(count.unwrap_or(DEFAULT_BYTES)).unwrap_or(0);
    if !(8..=4096).contains(&count) {
        return Err(GenerateError::OutOfRange {
            key: name.to_owned(),
            what: "bytes",
            range: "8 to 4096",
        });
    }
    let mut bytes = Zeroizing::new(vec![0; count]);
    random.fill_bytes(&mut bytes);
    Ok(bytes)
}

fn encode(bytes: &[u8], encoding: &data_encoding::Encoding) -> SecretBytes {
    SecretBytes::from(Zeroizing::new(encoding.encode(bytes)))
}

fn uuid(random: &mut dyn CryptoRng) -> SecretBytes {
    let mut bytes = Zeroizing::new([0; 16]);
    random.fill_bytes(&mut *bytes);
    let uuid = uuid::Builder::from_random_bytes(*bytes).into_uuid();
    let mut text = Zeroizing::new(vec![0; uuid::fmt::Hyphenated::LENGTH]);
    uuid.hyphenated().encode_lower(&mut text);
    SecretBytes::from(text)
}
