//! What a made certificate says of itself: how long it is valid, whose key signed it, and which roots came
//! with it. All of it is public.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::Pem;

use crate::value::Value;

/// Most certificates in a chain, and most roots that stand side by side.
pub(super) const CHAIN_CERTIFICATES: usize = 8;

/// A certificate of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// When it begins.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// Identifies its key (RFC 5280 section 4.2.1.2).
    pub key: Option<Box<[u8]>>,
    /// Identifies the key that signed it (RFC 5280 section 4.2.1.1).
    pub issuer_key: Option<Box<[u8]>>,
    /// Its name, in DER.
    pub subject: Box<[u8]>,
    /// Name of who signed it, in DER.
    pub issuer: Box<[u8]>,
}

impl Certificate {
    pub(super) fn from_x509(parsed: &X509Certificate<'_>) -> Option<Self> {
        let time = |seconds| Timestamp::from_second(seconds).ok();
        let (mut key, mut issuer_key) = (None, None);
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => key = Some(id.0.into()),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    issuer_key = id.key_identifier.as_ref().map(|id| id.0.into());
                }
                _ => {}
            }
        }
        Some(Self {
            not_before: time(parsed.validity().not_before.timestamp())?,
            not_after: time(parsed.validity().not_after.timestamp())?,
            key,
            issuer_key,
            subject: parsed.subject().as_raw().into(),
            issuer: parsed.issuer().as_raw().into(),
        })
    }

    /// Whether it is signed by its own key, as far as its names and key identifiers say.
    #[must_use]
    pub fn is_self_signed(&self) -> bool {
        self.subject == self.issuer && (self.issuer_key.is_none() || self.issuer_key == self.key)
    }
}

/// A certificate with what stands around it in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The certificate of the value's own key.
    pub own: Certificate,
    /// A digest of the certificates after it and of the roots: what it has from its authority.
    pub above: [u8; 32],
    /// A digest of itself, the certificates after it and of the roots: what an authority gives to those that
    /// it signs.
    pub bundle: [u8; 32],
    /// The keys of the roots in `ca.crt`.
    pub roots: Vec<Box<[u8]>>,
}

impl Chain {
    /// The chain that an x509 key named `key` made in this value; `None` if there is no such thing.
    #[must_use]
    pub fn from_value(value: &Value, key: &str) -> Option<Self> {
        let chain = pem_certificates(text(value, &format!("{key}.crt"))?)?;
        let (first, rest) = chain.split_first()?;
        let own = Certificate::from_x509(&first.parse_x509().ok()?)?;
        let above = if own.is_self_signed() {
            // Without a `ca.crt` of its own it is its own root.
            roots(value, first).or_else(|| text(value, &format!("{key}.crt")))
        } else {
            text(value, "ca.crt")
        };
        let roots = above.map_or(Some(Vec::new()), pem_certificates)?;
        let given = if own.is_self_signed() {
            &[]
        } else {
            chain.as_slice()
        };
        let keys = roots
            .iter()
            .filter_map(|root| Certificate::from_x509(&root.parse_x509().ok()?)?.key);
        Some(Self {
            above: digest(rest, &roots),
            bundle: digest(given, &roots),
            roots: keys.collect(),
            own,
        })
    }

    /// Whether it is signed by the key of this authority, as far as its key identifiers, or without them its
    /// names, say.
    #[must_use]
    pub fn is_signed_by(&self, authority: &Self) -> bool {
        match (&self.own.issuer_key, &authority.own.key) {
            _ if self.own.is_self_signed() => false,
            (Some(signer), Some(key)) => signer == key,
            _ => self.own.issuer == authority.own.subject,
        }
    }

    /// Whether the key that signed it is that of one of the roots of this authority.
    #[must_use]
    pub fn is_rooted_in(&self, authority: &Self) -> bool {
        let signer = self.own.issuer_key.as_ref();
        !self.own.is_self_signed() && signer.is_some_and(|signer| authority.roots.contains(signer))
    }

    /// Whether `ca.crt` of this self-signed authority holds a root that it had before.
    #[must_use]
    pub fn has_old_roots(&self) -> bool {
        self.own.is_self_signed() && self.roots.iter().any(|root| Some(root) != self.own.key.as_ref())
    }
}

fn digest(chain: &[Pem], roots: &[Pem]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for certificates in [chain, roots] {
        digest.update(certificates.len().to_be_bytes());
        for certificate in certificates {
            digest.update(certificate.contents.len().to_be_bytes());
            digest.update(&certificate.contents);
        }
    }
    digest.finalize().into()
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    std::str::from_utf8(value.key(key)?.expose()).ok()
}

/// The text of `ca.crt`, if this certificate is among its roots.
pub(super) fn roots<'a>(value: &'a Value, own: &Pem) -> Option<&'a str> {
    let text = text(value, "ca.crt")?;
    let roots = pem_certificates(text)?;
    roots
        .iter()
        .any(|root| root.contents == own.contents)
        .then_some(text)
}

/// The roots in `ca.crt` of `former` that an authority with another key must name beside its own, as PEM:
/// those that have not ended and are not of the key `own`.
pub(super) fn old_roots(former: &Value, own: &str, now: Timestamp) -> Option<String> {
    let own = pem_certificates(own)?;
    let own = Certificate::from_x509(&own.first()?.parse_x509().ok()?)?.key;
    let text = text(former, "ca.crt")?;
    let mut kept = String::new();
    let mut count = 1;
    for block in blocks(text) {
        let certificates = pem_certificates(block)?;
        let Some(root) = certificates
            .first()
            .and_then(|root| Certificate::from_x509(&root.parse_x509().ok()?))
        else {
            continue;
        };
        if root.key != own && root.not_after > now && count < CHAIN_CERTIFICATES {
            kept.push_str(block);
            kept.push('\n');
            count += 1;
        }
    }
    Some(kept)
}

/// The first certificate of a PEM text, with a line end.
pub(super) fn first_block(text: &str) -> Option<String> {
    blocks(text).next().map(|block| format!("{block}\n"))
}

/// The certificates of a PEM text, each from its first to its last line.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    text.split_inclusive(END)
        .filter_map(|block| block.get(block.find(BEGIN)?..))
        .filter(|block| block.ends_with(END))
}

/// The certificates of a PEM text that holds nothing else.
pub(super) fn pem_certificates(text: &str) -> Option<Vec<Pem>> {
    let certificates: Vec<Pem> = Pem::iter_from_buffer(text.as_bytes())
        .take(CHAIN_CERTIFICATES)
        .collect::<Result<_, _>>()
        .ok()?;
    certificates
        .iter()
        .all(|pem| pem.label == "CERTIFICATE")
        .then_some(certificates)
}
