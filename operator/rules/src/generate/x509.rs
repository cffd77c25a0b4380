//! X.509 certificates (RFC 5280), signed by themselves or by an authority in another ManagedSecret.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use strongroom_crds::v1alpha1::{
    CertificateAuthority, CertificateUsage, EcdsaCurve, KeyAlgorithm, X509Source,
};
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use super::Environment;
use super::key_pair;
use super::random::CryptoRng;
use crate::value::Value;

/// Validity of a certificate that says nothing, in seconds: 90 days.
const LEAF_SECONDS: i64 = 90 * 86_400;
/// Validity of an authority that says nothing, in seconds: 3650 days.
const AUTHORITY_SECONDS: i64 = 3650 * 86_400;
/// Certificates begin a little in the past, because clocks differ; in seconds.
const BACKDATE_SECONDS: i64 = 60;
/// The last second that a certificate can name, at the end of the year 9999 (RFC 5280 section 4.1.2.5).
const LAST_SECOND: u64 = 253_402_300_799;
/// Most certificates in the chain of an authority.
const CHAIN_CERTIFICATES: usize = 8;

/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CertificateError {
    /// A name in `dnsNames` is not a DNS name.
    #[error("`{name}` is not a DNS name")]
    DnsName {
        /// The name.
        name: String,
    },
    /// A text in `ipAddresses` is not an address.
    #[error("`{address}` is not an IP address")]
    IpAddress {
        /// The text.
        address: String,
    },
    /// No subject at all.
    #[error("name the subject: set commonName, dnsNames or ipAddresses")]
    NoSubject,
    /// `validFor` leads out of the range of time.
    #[error("validFor is too long")]
    TooLong,
    /// The authority was not given.
    #[error("the certificate authority is not ready")]
    AuthorityMissing,
    /// The authority's certificate has ended.
    #[error("the certificate of the authority has ended: rotate the authority")]
    AuthorityExpired,
    /// The key or the certificate could not be made by the library.
    #[error("failed to make the key or to sign the certificate")]
    Library,
}

impl CertificateError {
    pub(super) fn needs_person(&self) -> bool {
        match self {
            Self::DnsName { .. }
            | Self::IpAddress { .. }
            | Self::NoSubject
            | Self::TooLong
            | Self::AuthorityExpired => true,
            Self::AuthorityMissing | Self::Library => false,
        }
    }
}

/// Why a value holds no usable authority.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AuthorityError {
    /// A key of the value is missing.
    #[error("the authority's value has no key `{key}`: name its x509 key in `ca.managedSecret.key`")]
    Missing {
        /// The missing key.
        key: String,
    },
    /// A key is not what it should be.
    #[error("key `{key}` of the authority's value is not a PEM {what}")]
    Malformed {
        /// The key.
        key: String,
        /// What it should be.
        what: &'static str,
    },
    /// The certificate may not sign others.
    #[error("the certificate `{key}` is not an authority: set `isCA: true` on its x509 key")]
    NotAuthority {
        /// The key.
        key: String,
    },
    /// Certificate and private key are of two different pairs.
    #[error("the certificate and the private key of the authority do not belong together")]
    Mismatch,
}

/// An authority that can sign: its private key, its certificate, and the chain above it.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate and the intermediate ones above it, without the root.
    intermediates: String,
    /// The root, which is the authority itself if it is self-signed.
    root: String,
    /// When its certificate ends, in seconds since the Unix epoch.
    end: i64,
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
        let self_signed = parsed.subject() == parsed.issuer();
        let issuer = Issuer::from_ca_cert_der(&own.contents.as_slice().into(), pair)
            .map_err(|_| malformed(&certificate_name, "certificate"))?;
        let (intermediates, root) = if self_signed {
            (String::new(), chain.to_owned())
        } else {
            (chain.to_owned(), text(value, "ca.crt", "certificate")?.to_owned())
        };
        Ok(Self {
            issuer,
            intermediates,
            root,
            end,
        })
    }
}

/// When the first certificate of a PEM text ends, so that it is renewed in time; `None` if it is no certificate.
#[must_use]
pub fn certificate_end(pem: &[u8]) -> Option<Timestamp> {
    let certificates = pem_certificates(std::str::from_utf8(pem).ok()?)?;
    let end = certificates
        .first()?
        .parse_x509()
        .ok()?
        .validity()
        .not_after
        .timestamp();
    Timestamp::from_second(end).ok()
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

fn pem_certificates(text: &str) -> Option<Vec<Pem>> {
    let certificates: Vec<Pem> = Pem::iter_from_buffer(text.as_bytes())
        .take(CHAIN_CERTIFICATES)
        .collect::<Result<_, _>>()
        .ok()?;
    certificates
        .iter()
        .all(|pem| pem.label == "CERTIFICATE")
        .then_some(certificates)
}

pub(super) fn generate(
    name: &str,
    source: &X509Source,
    environment: &Environment<'_>,
    random: &mut dyn CryptoRng,
    value: &mut Value,
) -> Result<(), CertificateError> {
    let authority = match &source.ca {
        Some(CertificateAuthority::ManagedSecret(_)) => {
            Some(environment.authority.ok_or(CertificateError::AuthorityMissing)?)
        }
        Some(CertificateAuthority::SelfSigned(_)) | None => None,
    };
    let params = parameters(
        source,
        environment.now,
        authority.map(|authority| authority.end),
        random,
    )?;
    let (private, pair) = subject_key(source.key_algorithm.unwrap_or_default(), random)?;
    let certificate = match authority {
        Some(authority) => params.signed_by(&pair, &authority.issuer),
        None => params.self_signed(&pair),
    }
    .map_err(|_| CertificateError::Library)?
    .pem();

    value.insert(format!("{name}.key"), private);
    match authority {
        Some(authority) => {
            value.insert("ca.crt", authority.root.clone().into_bytes());
            value.insert(
                format!("{name}.crt"),
                (certificate + &authority.intermediates).into_bytes(),
            );
        }
        None => {
            value.insert("ca.crt", certificate.clone().into_bytes());
            value.insert(format!("{name}.crt"), certificate.into_bytes());
        }
    }
    Ok(())
}

/// A private key as PEM, and as what can sign.
fn subject_key(
    algorithm: KeyAlgorithm,
    random: &mut dyn CryptoRng,
) -> Result<(Zeroizing<String>, KeyPair), CertificateError> {
    let made = match algorithm {
        KeyAlgorithm::EcdsaP256 => key_pair::ecdsa(EcdsaCurve::P256, random),
        KeyAlgorithm::EcdsaP384 => key_pair::ecdsa(EcdsaCurve::P384, random),
        KeyAlgorithm::Ed25519 => key_pair::ed25519(random),
        KeyAlgorithm::Rsa2048 => key_pair::rsa(Some(2048), random),
        KeyAlgorithm::Rsa3072 => key_pair::rsa(Some(3072), random),
        KeyAlgorithm::Rsa4096 => key_pair::rsa(Some(4096), random),
    };
    let private = made.ok_or(CertificateError::Library)?.private;
    let pair = KeyPair::from_pem(&private).map_err(|_| CertificateError::Library)?;
    Ok((private, pair))
}

fn parameters(
    source: &X509Source,
    now: Timestamp,
    authority_end: Option<i64>,
    random: &mut dyn CryptoRng,
) -> Result<CertificateParams, CertificateError> {
    let is_ca = source.is_ca == Some(true);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = &source.common_name {
        params.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    for name in &source.dns_names {
        let dns = dns_name(name).ok_or_else(|| CertificateError::DnsName { name: name.clone() })?;
        params.subject_alt_names.push(dns);
    }
    for address in &source.ip_addresses {
        let parsed: IpAddr = address.parse().map_err(|_| CertificateError::IpAddress {
            address: address.clone(),
        })?;
        params.subject_alt_names.push(SanType::IpAddress(parsed));
    }
    if source.common_name.is_none() && params.subject_alt_names.is_empty() {
        return Err(CertificateError::NoSubject);
    }

    let default = if is_ca { AUTHORITY_SECONDS } else { LEAF_SECONDS };
    let wanted = now.as_second() + source.valid_for.map_or(default, |period| period.seconds());
    let end = authority_end.map_or(wanted, |authority_end| wanted.min(authority_end));
    if end <= now.as_second() {
        return Err(CertificateError::AuthorityExpired);
    }
    let time = |seconds: i64| match u64::try_from(seconds) {
        Ok(seconds) if seconds <= LAST_SECOND => {
            Ok(rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds))
        }
        _ => Err(CertificateError::TooLong),
    };
    params.not_before = time(now.as_second() - BACKDATE_SECONDS)?;
    params.not_after = time(end)?;
    params.serial_number = Some(serial_number(random));
    params.use_authority_key_identifier_extension = authority_end.is_some();
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    } else {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if matches!(
            source.key_algorithm.unwrap_or_default(),
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096
        ) {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        let usages = source
            .usages
            .as_deref()
            .unwrap_or(&[CertificateUsage::ServerAuth, CertificateUsage::ClientAuth]);
        for usage in usages {
            params.insert_extended_key_usage(match usage {
                CertificateUsage::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
                CertificateUsage::ClientAuth => ExtendedKeyUsagePurpose::ClientAuth,
            });
        }
    }
    Ok(params)
}

/// A DNS name as certificates carry it: labels of RFC 1123, the first one may be `*`.
fn dns_name(name: &str) -> Option<SanType> {
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let good = !labels.is_empty()
        && name.len() <= 253
        && labels.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
        });
    if good {
        name.try_into().ok().map(SanType::DnsName)
    } else {
        None
    }
}

/// 128 random bits, positive (RFC 5280 section 4.1.2.2).
fn serial_number(random: &mut dyn CryptoRng) -> SerialNumber {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    SerialNumber::from_slice(&bytes)
}
