//! How the key of a value is made: one variant a way.
//!
//! Only plain settings live here. What they produce is decided in `strongroom-rules`, module `generate`.
//! Fields inside the map of keys have no schema defaults, so that a GitOps tool never sees a difference; what
//! an absent field means is written in its documentation.
#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function, where `pub` reaches nobody"
)]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::renew_before::RenewBefore;
use super::text::{DATA_KEY, OBJECT_NAME};
use crate::period::Period;

/// How the value of one key is made. Set exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum KeySource {
    /// A random password.
    Password(PasswordSource),
    /// A text that is not secret and never generated: a user name, a host. It can be read in this object by
    /// everyone who can read the object.
    Literal(#[schemars(length(max = 65536))] String),
    /// Random bytes as lower-case hexadecimal text.
    Hex(HexSource),
    /// Random bytes as base64 text.
    Base64(Base64Source),
    /// A random UUID (version 4, RFC 9562) in lower case.
    Uuid(UuidSource),
    /// An Ed25519 key pair. The key `<name>` gets the private key, `<name>.pub` the public key, as `format`
    /// says.
    Ed25519(Ed25519Source),
    /// An RSA key pair. The key `<name>` gets the private key, `<name>.pub` the public key, as `format` says.
    Rsa(RsaSource),
    /// An ECDSA key pair. The key `<name>` gets the private key, `<name>.pub` the public key, as `format`
    /// says.
    Ecdsa(EcdsaSource),
    /// A certificate and its private key. `<name>.key` gets the private key (PKCS #8, PEM), `<name>.crt` the
    /// certificate followed by the intermediate authorities, `ca.crt` the root. Name it `tls` for a Secret of
    /// type kubernetes.io/tls. At most one a ManagedSecret.
    X509(X509Source),
}

/// A random password. Every character is drawn evenly; each class that is on has at least one character
/// unless `atLeast` says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, kube::KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!(has(self.upper) && !self.upper && has(self.lower) && !self.lower && has(self.digits) && !self.digits) || \
     (has(self.symbols) && self.symbols) || has(self.symbolSet)")
    .message("at least one of upper, lower, digits, symbols must be on"))]
#[x_kube(validation = Rule::new(
    "!has(self.symbolSet) || !has(self.symbols) || self.symbols")
    .message("symbolSet needs symbols: remove `symbols: false`").field_path(".symbolSet"))]
#[x_kube(validation = Rule::new(
    "!has(self.atLeast) || ((has(self.atLeast.upper) ? self.atLeast.upper : 0) + \
     (has(self.atLeast.lower) ? self.atLeast.lower : 0) + (has(self.atLeast.digits) ? self.atLeast.digits : 0) + \
     (has(self.atLeast.symbols) ? self.atLeast.symbols : 0)) <= (has(self.length) ? self.length : 32)")
    .message("the characters that atLeast asks for are more than length").field_path(".atLeast"))]
#[x_kube(validation = Rule::new(
    "!has(self.atLeast) || (\
     (!has(self.atLeast.upper) || self.atLeast.upper == 0 || !has(self.upper) || self.upper) && \
     (!has(self.atLeast.lower) || self.atLeast.lower == 0 || !has(self.lower) || self.lower) && \
     (!has(self.atLeast.digits) || self.atLeast.digits == 0 || !has(self.digits) || self.digits) && \
     (!has(self.atLeast.symbols) || self.atLeast.symbols == 0 || has(self.symbolSet) || (has(self.symbols) && self.symbols)))")
    .message("atLeast asks for a class that is off").field_path(".atLeast"))]
pub struct PasswordSource {
    /// Number of characters, 8 to 4096. Absent: 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 4096))]
    pub length: Option<i32>,
    /// Whether A-Z are used. Absent: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper: Option<bool>,
    /// Whether a-z are used. Absent: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower: Option<bool>,
    /// Whether 0-9 are used. Absent: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digits: Option<bool>,
    /// Whether symbols are used. Absent: true if `symbolSet` is given, else false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbols: Option<bool>,
    /// The symbols to use: printable ASCII other than letters, digits and space. Absent:
    /// `!#$%&()*+,-./:;<=>?@[]^_{|}~`, all that survive a shell's double quotes and a YAML or JSON string.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[!-/:-@\[-`{-~]+$"))]
    pub symbol_set: Option<String>,
    /// Characters that are never used, for example `0O1lI`. Printable ASCII.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 94), regex(pattern = "^[!-~]*$"))]
    pub exclude: Option<String>,
    /// How many characters of each class there are at least. A class that is on and not named here: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<PasswordClasses>,
}

/// A number of characters for each class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PasswordClasses {
    /// Characters of A-Z.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1024))]
    pub upper: Option<i32>,
    /// Characters of a-z.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1024))]
    pub lower: Option<i32>,
    /// Characters of 0-9.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1024))]
    pub digits: Option<i32>,
    /// Characters of `symbolSet`, or of the default symbols.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1024))]
    pub symbols: Option<i32>,
}

/// Random bytes as lower-case hexadecimal text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HexSource {
    /// Number of random bytes, 8 to 4096; the text has twice as many characters. Absent: 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 4096))]
    pub bytes: Option<i32>,
}

/// Random bytes as base64 text (RFC 4648).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Base64Source {
    /// Number of random bytes, 8 to 4096. Absent: 32.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 4096))]
    pub bytes: Option<i32>,
    /// Use the URL-safe alphabet without padding (RFC 4648 section 5). Absent: false, the standard alphabet
    /// with padding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_safe: Option<bool>,
}

/// A random UUID; there is nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UuidSource {}

/// An Ed25519 key pair (RFC 8032).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ed25519Source {
    /// How the pair is written: OpenSSH (private key as OpenSSH's own format, public key as a line of
    /// authorized_keys) or PKCS8 (PEM; the public key as SubjectPublicKeyInfo). Absent: OpenSSH for the key
    /// `ssh-privatekey` and where `spec.secret.type` is kubernetes.io/ssh-auth, else PKCS8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<KeyFormat>,
}

/// How a key pair is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyFormat {
    #[expect(
        missing_docs,
        reason = "a documented variant turns the schema's plain enum into oneOf"
    )]
    #[serde(rename = "PKCS8")]
    Pkcs8,
    #[expect(
        missing_docs,
        reason = "a documented variant turns the schema's plain enum into oneOf"
    )]
    #[serde(rename = "OpenSSH")]
    OpenSsh,
}

/// An RSA key pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RsaSource {
    /// Size of the modulus in bits: 2048, 3072 or 4096. Absent: 3072.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [2048, 3072, 4096]))]
    pub bits: Option<i32>,
    /// How the pair is written, as for `ed25519`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<KeyFormat>,
}

/// An ECDSA key pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EcdsaSource {
    /// The curve, P256 or P384. Absent: P256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<EcdsaCurve>,
    /// How the pair is written, as for `ed25519`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<KeyFormat>,
}

/// A NIST curve (FIPS 186-5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EcdsaCurve {
    #[default]
    #[expect(
        missing_docs,
        reason = "a documented variant turns the schema's plain enum into oneOf"
    )]
    P256,
    #[expect(
        missing_docs,
        reason = "a documented variant turns the schema's plain enum into oneOf"
    )]
    P384,
}

/// An X.509 certificate (RFC 5280) with its private key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, kube::KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "has(self.commonName) || (has(self.dnsNames) && size(self.dnsNames) > 0) || \
     (has(self.ipAddresses) && size(self.ipAddresses) > 0)")
    .message("name the subject: set commonName, dnsNames or ipAddresses"))]
#[x_kube(validation = Rule::new(
    "!has(self.isCA) || !self.isCA || has(self.commonName)")
    .message("a certificate authority needs commonName: two authorities without one cannot be told apart")
    .field_path(".commonName"))]
#[x_kube(validation = Rule::new(
    "!has(self.isCA) || !self.isCA || !has(self.usages)")
    .message("a certificate authority has no usages: remove usages or isCA").field_path(".usages"))]
#[x_kube(validation = Rule::new(
    "!has(self.renewBefore) || self.renewBefore == 'never' || \
     int(self.renewBefore.substring(0, size(self.renewBefore) - 1)) * \
     {'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}[self.renewBefore.substring(size(self.renewBefore) - 1)] < \
     (has(self.validFor) ? int(self.validFor.substring(0, size(self.validFor) - 1)) * \
     {'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}[self.validFor.substring(size(self.validFor) - 1)] : \
     (has(self.isCA) && self.isCA ? 315360000 : 7776000))")
    .message("renewBefore must be shorter than validFor").field_path(".renewBefore"))]
pub struct X509Source {
    /// The subject's common name, at most 64 characters. Absent: the subject is empty, and the names below
    /// identify it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub common_name: Option<String>,
    /// DNS names the certificate is valid for; a leading `*.` is a wildcard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    pub dns_names: Vec<String>,
    /// IPv4 and IPv6 addresses the certificate is valid for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 2, max = 45)))]
    pub ip_addresses: Vec<String>,
    /// How long the certificate is valid, from its creation, as in `90d`. It never outlives its authority's
    /// certificate. Absent: 90d, for an authority 3650d.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<Period>,
    /// How long before its end the certificate is renewed, as in `30d`; `never`: not by itself. A renewal
    /// makes a new version: with a new key, of an authority with the same key and name. Absent: a third of
    /// its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<RenewBefore>,
    /// What the certificate may be used for: ServerAuth, ClientAuth. Absent: both. Must be absent for an
    /// authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    pub usages: Option<Vec<CertificateUsage>>,
    /// Who signs. Absent: the certificate signs itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<CertificateAuthority>,
    /// Whether this is a certificate authority that may sign others. Absent: false.
    #[serde(rename = "isCA", skip_serializing_if = "Option::is_none")]
    pub is_ca: Option<bool>,
    /// The key: EcdsaP256, EcdsaP384, Ed25519, Rsa2048, Rsa3072 or Rsa4096. Absent: EcdsaP256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_algorithm: Option<KeyAlgorithm>,
}

/// What a certificate may be used for: an extended key usage (RFC 5280 section 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "a documented variant turns the schema's plain enum into oneOf"
)]
pub enum CertificateUsage {
    ServerAuth,
    ClientAuth,
}

/// The key of a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "a documented variant turns the schema's plain enum into oneOf"
)]
pub enum KeyAlgorithm {
    #[default]
    EcdsaP256,
    EcdsaP384,
    Ed25519,
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

/// Who signs a certificate. Set exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CertificateAuthority {
    /// The certificate signs itself.
    SelfSigned(SelfSigned),
    /// An own authority: a ManagedSecret of the same namespace that has an x509 key with `isCA: true`.
    ManagedSecret(ManagedCertificateAuthority),
}

/// The certificate signs itself; there is nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelfSigned {}

/// An own authority in a ManagedSecret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedCertificateAuthority {
    /// Name of the ManagedSecret.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// Name of the x509 key in it: `<key>.key` and `<key>.crt` of its value are used. Absent: `ca`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = DATA_KEY))]
    pub key: Option<String>,
}
