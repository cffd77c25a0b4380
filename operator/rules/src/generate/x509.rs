//! X.509 certificates (RFC 5280), signed by themselves or by an authority in another ManagedSecret.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use strongroom_crds::v1alpha1::{
    CertificateAuthority, CertificateUsage, EcdsaCurve, KeyAlgorithm, X509Source,
};
use zeroize::Zeroizing;

use super::authority::Authority;
use super::certificate::{first_block, old_roots, pem_certificates};
use super::random::CryptoRng;
use super::{GenerateContext, PreviousValue, key_pair};
use crate::value::Value;

/// Validity of a certificate that says nothing, in seconds: 90 days.
pub(super) const LEAF_SECONDS: i64 = 90 * 86_400;
/// Validity of an authority that says nothing, in seconds: 3650 days.
pub(super) const AUTHORITY_SECONDS: i64 = 3650 * 86_400;
/// Certificates begin a little in the past, because clocks differ; in seconds.
pub const BACKDATE_SECONDS: i64 = 60;
/// The last second that a certificate can name, at the end of the year 9999 (RFC 5280 section 4.1.2.5).
const LAST_SECOND: u64 = 253_402_300_799;
/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CertificateError {
    /// A name in `dnsNames` is not a DNS name.
    #[error("`{name}` is not a DNS name")]
    DnsName {
        /// As the spec has it.
        name: String,
    },
    /// A text in `ipAddresses` is not an address.
    #[error("`{address}` is not an IP address")]
    IpAddress {
        /// As the spec has it.
        address: String,
    },
    /// There are no names and no addresses.
    #[error("name the subject: set commonName, dnsNames or ipAddresses")]
    NoSubject,
    /// `validFor` leads out of the range of time.
    #[error("validFor is too long")]
    TooLong,
    /// The authority was not given.
    #[error("the certificate authority is not ready")]
    AuthorityMissing,
    /// The authority to renew cannot be read.
    #[error("the authority's value is malformed, so its key and name cannot be kept: rotate it")]
    NotRenewable,
    /// The authority's certificate has ended.
    #[error("the certificate of the authority has expired: rotate the authority")]
    AuthorityExpired,
    /// The authority signs no further one.
    #[error(
        "the authority was signed by another one, so its path length is 0 and it cannot sign a further authority: name the one above it, or remove \
         isCA"
    )]
    PathLength,
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
            | Self::NotRenewable
            | Self::PathLength
            | Self::AuthorityExpired => true,
            Self::AuthorityMissing | Self::Library => false,
        }
    }
}

pub(super) fn generate(
    name: &str,
    source: &X509Source,
    environment: &GenerateContext<'_>,
    random: &mut dyn CryptoRng,
    value: &mut Value,
) -> Result<(), CertificateError> {
    let authority = match &source.ca {
        Some(CertificateAuthority::ManagedSecret(_)) => {
            Some(environment.authority.ok_or(CertificateError::AuthorityMissing)?)
        }
        Some(CertificateAuthority::SelfSigned(_)) | None => None,
    };
    let is_ca = source.is_ca == Some(true);
    if is_ca && authority.is_some_and(|authority| authority.path_length == Some(0)) {
        return Err(CertificateError::PathLength);
    }
    let renewed = match environment.replaces {
        PreviousValue::Renewed(former) if is_ca => Some(RenewedAuthority::from_former(name, former)?),
        PreviousValue::Nothing | PreviousValue::Rotated(_) | PreviousValue::Renewed(_) => None,
    };
    let mut params = parameters(
        source,
        environment.now,
        authority.map(|authority| authority.end),
        random,
    )?;
    if is_ca && authority.is_some() {
        // One of before stays as it is until it is rotated: what it signed may be authorities.
        params.is_ca = IsCa::Ca(match &renewed {
            Some(renewed) => renewed
                .path_length
                .map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained),
            None => BasicConstraints::Constrained(0),
        });
    }
    let (private, pair) = match renewed {
        Some(renewed) => {
            params.distinguished_name = renewed.name;
            (renewed.private, renewed.pair)
        }
        None => subject_key(source.key_algorithm.unwrap_or_default(), random)?,
    };
    let certificate = match authority {
        Some(authority) => params.signed_by(&pair, &authority.issuer),
        None => params.self_signed(&pair),
    }
    .map_err(|_| CertificateError::Library)?
    .pem();

    value.insert(format!("{name}.key"), private);
    let (chain, mut roots) = match authority {
        Some(authority) => (certificate + &authority.intermediates, authority.roots.clone()),
        None => (certificate.clone(), certificate),
    };
    // What the old key signed is trusted until all of it is gone.
    if is_ca
        && authority.is_none()
        && let PreviousValue::Rotated(former) | PreviousValue::Renewed(former) = environment.replaces
    {
        roots.push_str(&old_roots(former, &chain, environment.now).unwrap_or_default());
    }
    // Of an authority with the name `ca` both are one key, which begins with its own certificate.
    value.insert(format!("{name}.crt"), chain.into_bytes());
    value.insert("ca.crt", roots.into_bytes());
    Ok(())
}

/// Gives what an authority signed before the chain and the roots that the authority has now. `None` if it
/// holds no certificate.
pub(super) fn follow(name: &str, authority: &Authority, value: &mut Value) -> Option<()> {
    let key = format!("{name}.crt");
    let own = first_block(std::str::from_utf8(value.key(&key)?.expose()).ok()?)?;
    value.insert(key, (own + &authority.intermediates).into_bytes());
    value.insert("ca.crt", authority.roots.clone().into_bytes());
    Some(())
}

/// Takes the roots that a self-signed authority had before out of `ca.crt`. `None` if it holds no
/// certificate.
pub(super) fn drop_old_roots(name: &str, value: &mut Value) -> Option<()> {
    let own = first_block(std::str::from_utf8(value.key(&format!("{name}.crt"))?.expose()).ok()?)?;
    value.insert("ca.crt", own.into_bytes());
    Some(())
}

/// What an authority keeps when it is renewed: with the same key and name, everything that it signed stays
/// valid.
struct RenewedAuthority {
    private: Zeroizing<String>,
    pair: KeyPair,
    name: DistinguishedName,
    path_length: Option<u8>,
}

impl RenewedAuthority {
    fn from_former(name: &str, former: &Value) -> Result<Self, CertificateError> {
        let text = |key: String| {
            former
                .key(&key)
                .and_then(|bytes| std::str::from_utf8(bytes.expose()).ok())
        };
        let of_text = || {
            let private = Zeroizing::new(text(format!("{name}.key"))?.to_owned());
            let pair = KeyPair::from_pem(&private).ok()?;
            let certificates = pem_certificates(text(format!("{name}.crt"))?)?;
            let certificate = certificates.first()?.parse_x509().ok()?;
            Some(Self {
                private,
                pair,
                name: subject(certificate.subject())?,
                path_length: path_length(&certificate),
            })
        };
        of_text().ok_or(CertificateError::NotRenewable)
    }
}

/// How many authorities may stand between this one and a certificate; none: any number.
pub(super) fn path_length(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Option<u8> {
    let constraints = certificate.basic_constraints().ok()??.value;
    let length = constraints.path_len_constraint?;
    Some(u8::try_from(length).unwrap_or(u8::MAX))
}

/// A name as it can be written again, byte for byte: texts of the two kinds that RFC 5280 allows for new
/// ones.
fn subject(name: &x509_parser::x509::X509Name<'_>) -> Option<DistinguishedName> {
    use x509_parser::der_parser::asn1_rs::Tag;

    let mut written = DistinguishedName::new();
    for attributes in name.iter() {
        let mut attributes = attributes.iter();
        let (attribute, None) = (attributes.next()?, attributes.next()) else {
            return None;
        };
        let numbers: Vec<u64> = attribute.attr_type().iter()?.collect();
        let kind = match numbers.as_slice() {
            [2, 5, 4, 3] => DnType::CommonName,
            [2, 5, 4, 6] => DnType::CountryName,
            [2, 5, 4, 7] => DnType::LocalityName,
            [2, 5, 4, 8] => DnType::StateOrProvinceName,
            [2, 5, 4, 10] => DnType::OrganizationName,
            [2, 5, 4, 11] => DnType::OrganizationalUnitName,
            _ => DnType::CustomDnType(numbers),
        };
        let text = std::str::from_utf8(attribute.attr_value().data).ok()?;
        let text = match attribute.attr_value().header.tag() {
            Tag::Utf8String => DnValue::Utf8String(text.to_owned()),
            Tag::PrintableString => DnValue::PrintableString(text.try_into().ok()?),
            _ => return None,
        };
        written.push(kind, text);
    }
    Some(written)
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

    let wanted = now.as_second() + super::validity(source);
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
