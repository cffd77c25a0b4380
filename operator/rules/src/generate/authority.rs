//! An authority in another ManagedSecret, that signs.

use rcgen::{Issuer, KeyPair, PublicKeyData};

use super::certificate::{Certificate, pem_certificates, roots};
use super::x509::path_length;
use crate::value::Value;

/// Why a value holds no usable authority.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AuthorityError {
    /// A key of the value is missing.
    #[error("the authority's value has no key `{key}`: name its x509 key in `ca.managedSecret.key`")]
    Missing {
        /// The key that was looked for, such as `ca.crt`.
        key: String,
    },
    /// A key is not what it should be.
    #[error("key `{key}` of the authority's value is not a PEM {what}")]
    Malformed {
        /// The key whose bytes these are, such as `ca.crt`.
        key: String,
        /// What it should be.
        what: &'static str,
    },
    /// The certificate may not sign others.
    #[error("the certificate `{key}` is not an authority: set `isCA: true` on its x509 key")]
    NotAuthority {
        /// The certificate's key, such as `ca.crt`.
        key: String,
    },
    /// Certificate and private key are of two different pairs.
    #[error("the certificate and the private key of the authority do not match")]
    Mismatch,
}

/// An authority that can sign: its private key, its certificate, and the chain above it.
pub struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// Its certificate and the intermediate ones above it, without the root.
    pub(super) intermediates: String,
    /// The roots: the authority itself first if it is self-signed, then those that it had before and that
    /// certificates still stand on.
    pub(super) roots: String,
    /// When its certificate ends, in seconds since the Unix epoch.
    pub(super) end: i64,
    /// How many authorities may stand between it and a certificate; none: any number.
    pub(super) path_length: Option<u8>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority that an x509 key named `key` made in this value.
    ///
    /// # Errors
    /// If the keys `<key>.key` and `<key>.crt` are missing, malformed, or no authority.
    pub fn from_value(value: &Value, key: &str) -> Result<Self, AuthorityError> {
        let (key_name, certificate_name) = (format!("{key}.key"), format!("{key}.crt"));
        let private = text(value, &key_name, "private key")?;
        let chain = text(value, &certificate_name, "certificate")?;
        let malformed = |key: &str, what: &'static str| AuthorityError::Malformed {
            key: key.to_owned(),
            what,
        };

        let pair = KeyPair::from_pem(private).map_err(|_| malformed(&key_name, "private key"))?;
        let certificates =
            pem_certificates(chain).ok_or_else(|| malformed(&certificate_name, "certificate"))?;
        let own = certificates
            .first()
            .ok_or_else(|| malformed(&certificate_name, "certificate"))?;
        let parsed = own
            .parse_x509()
            .map_err(|_| malformed(&certificate_name, "certificate"))?;
        if !parsed.is_ca() {
            return Err(AuthorityError::NotAuthority {
                key: certificate_name,
            });
        }
        if parsed.public_key().raw != pair.subject_public_key_info() {
            return Err(AuthorityError::Mismatch);
        }
        let end = parsed.validity().not_after.timestamp();
        let path_length = path_length(&parsed);
        let self_signed = Certificate::from_x509(&parsed)
            .ok_or_else(|| malformed(&certificate_name, "certificate"))?
            .is_self_signed();
        let issuer = Issuer::from_ca_cert_der(&own.contents.as_slice().into(), pair)
            .map_err(|_| malformed(&certificate_name, "certificate"))?;
        let (intermediates, roots) = if self_signed {
            let bundle = roots(value, own).unwrap_or(chain);
            (String::new(), bundle.to_owned())
        } else {
            (chain.to_owned(), text(value, "ca.crt", "certificate")?.to_owned())
        };
        Ok(Self {
            issuer,
            intermediates,
            roots,
            end,
            path_length,
        })
    }
}

fn text<'a>(value: &'a Value, key: &str, what: &'static str) -> Result<&'a str, AuthorityError> {
    let bytes = value
        .key(key)
        .ok_or_else(|| AuthorityError::Missing { key: key.to_owned() })?;
    std::str::from_utf8(bytes.expose()).map_err(|_| AuthorityError::Malformed {
        key: key.to_owned(),
        what,
    })
}
