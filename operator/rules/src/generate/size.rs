//! How large the keys of a source become, known before they are made, so that a key that is refused for its
//! size costs nothing.

use strongroom_crds::v1alpha1::{EcdsaCurve, KeyAlgorithm, KeyFormat, KeySource, X509Source};

use super::{DEFAULT_BYTES, GenerateError, format, key_pair, outputs, password};
use crate::value::VALUE_BYTES;

/// Header, length and sign of an ASN.1 number or text (DER) of up to 65,535 bytes, in bytes.
const DER_OVERHEAD_BYTES: usize = 5;
/// Least bytes of a certificate's text, whatever is in it.
const MIN_CERTIFICATE_BYTES: usize = 256;

/// Whether making it takes a processor for long: what has large prime numbers.
#[must_use]
pub fn takes_long(source: &KeySource) -> bool {
    match source {
        KeySource::Rsa(_) => true,
        KeySource::X509(x509) => matches!(
            x509.key_algorithm.unwrap_or_default(),
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096
        ),
        KeySource::Password(_)
        | KeySource::Literal(_)
        | KeySource::Hex(_)
        | KeySource::Base64(_)
        | KeySource::Uuid(_)
        | KeySource::Ed25519(_)
        | KeySource::Ecdsa(_) => false,
    }
}

/// Whether what the sources make fits into a value beside `kept` bytes of other keys.
///
/// # Errors
/// [`GenerateError::TooLarge`]. Nothing was made then.
pub fn fits<'a>(
    sources: impl IntoIterator<Item = (&'a String, &'a KeySource)>,
    ssh_auth: bool,
    kept: usize,
) -> Result<(), GenerateError> {
    let sizes = sources
        .into_iter()
        .map(|(name, source)| most(name, source, ssh_auth));
    let size = sizes.fold(kept, usize::saturating_add);
    if size > VALUE_BYTES {
        return Err(GenerateError::TooLarge { size });
    }
    Ok(())
}

/// What the source makes, names of keys included, in bytes. Of a certificate, whose size its authority
/// decides, it is the least, and of everything else the most; the two ends of that lie a few bytes apart.
fn most(name: &str, source: &KeySource, ssh_auth: bool) -> usize {
    let names: usize = outputs(name, source).iter().map(String::len).sum();
    let bytes = |count: Option<i32>| usize::try_from(count.unwrap_or(DEFAULT_BYTES)).unwrap_or(0);
    let openssh = |asked| format(name, asked, ssh_auth) == KeyFormat::OpenSsh;
    let content = match source {
        KeySource::Password(source) => {
            usize::try_from(source.length.unwrap_or(password::DEFAULT_LENGTH)).unwrap_or(0)
        }
        KeySource::Literal(text) => text.len(),
        KeySource::Hex(source) => bytes(source.bytes).saturating_mul(2),
        KeySource::Base64(source) if source.url_safe == Some(true) => {
            bytes(source.bytes).saturating_mul(4).div_ceil(3)
        }
        KeySource::Base64(source) => base64(bytes(source.bytes)),
        KeySource::Uuid(_) => uuid::fmt::Hyphenated::LENGTH,
        KeySource::Ed25519(source) if openssh(source.format) => {
            ssh(name, "ssh-ed25519", 4 + 32, 4 + 32 + 4 + 64)
        }
        KeySource::Ed25519(_) => pem(48, "PRIVATE KEY") + pem(44, "PUBLIC KEY"),
        KeySource::Rsa(source) => {
            let bits = usize::try_from(source.bits.unwrap_or(key_pair::DEFAULT_RSA_BITS)).unwrap_or(0);
            if openssh(source.format) {
                let (modulus, half, exponent) = (4 + 1 + bits.div_ceil(8), 4 + 1 + bits.div_ceil(16), 4 + 3);
                let private = modulus + exponent + modulus + 3 * half;
                ssh(name, "ssh-rsa", exponent + modulus, private)
            } else {
                pem(rsa_private(bits), "PRIVATE KEY")
                    + pem(bits.div_ceil(8) + 4 * DER_OVERHEAD_BYTES + 18, "PUBLIC KEY")
            }
        }
        KeySource::Ecdsa(source) => ecdsa(name, source.curve.unwrap_or_default(), openssh(source.format)),
        KeySource::X509(source) => x509(source),
    };
    names.saturating_add(content)
}

/// PKCS #8 of an RSA key: eight numbers, in three wrappings.
fn rsa_private(bits: usize) -> usize {
    let (whole, half) = (
        DER_OVERHEAD_BYTES + bits.div_ceil(8),
        DER_OVERHEAD_BYTES + bits.div_ceil(16),
    );
    2 * whole + 5 * half + 3 + 5 + 3 + 15 + 3 * DER_OVERHEAD_BYTES
}

fn ecdsa(name: &str, curve: EcdsaCurve, openssh: bool) -> usize {
    let (scalar, point, private) = match curve {
        EcdsaCurve::P256 => (32, 65, 138),
        EcdsaCurve::P384 => (48, 97, 185),
    };
    if openssh {
        let public = 4 + "nistp256".len() + 4 + point;
        return ssh(name, "ecdsa-sha2-nistp256", public, public + 4 + 1 + scalar);
    }
    pem(private, "PRIVATE KEY") + pem(point + 26, "PUBLIC KEY")
}

fn x509(source: &X509Source) -> usize {
    let key = match source.key_algorithm.unwrap_or_default() {
        KeyAlgorithm::EcdsaP256 => pem(138, "PRIVATE KEY"),
        KeyAlgorithm::EcdsaP384 => pem(185, "PRIVATE KEY"),
        KeyAlgorithm::Ed25519 => pem(48, "PRIVATE KEY"),
        KeyAlgorithm::Rsa2048 => pem(rsa_private(2_048), "PRIVATE KEY"),
        KeyAlgorithm::Rsa3072 => pem(rsa_private(3_072), "PRIVATE KEY"),
        KeyAlgorithm::Rsa4096 => pem(rsa_private(4_096), "PRIVATE KEY"),
    };
    let subject = source.common_name.as_ref().map_or(0, String::len);
    let names: usize = source.dns_names.iter().map(String::len).sum();
    key + MIN_CERTIFICATE_BYTES + base64(subject + names)
}

/// Bytes as base64 with padding.
const fn base64(bytes: usize) -> usize {
    bytes.div_ceil(3).saturating_mul(4)
}

/// Bytes as PEM (RFC 7468): lines of 64 characters between two with the label.
fn pem(der: usize, label: &str) -> usize {
    let text = base64(der);
    text + text.div_ceil(64) + "-----BEGIN -----\n-----END -----\n".len() + 2 * label.len()
}

/// A pair as OpenSSH writes it, of the fields of its public and its private key without the algorithm's name.
fn ssh(comment: &str, algorithm: &str, public: usize, private: usize) -> usize {
    let blob = 4 + algorithm.len() + public;
    let secret = (8 + 4 + algorithm.len() + private + 4 + comment.len()).next_multiple_of(8);
    let whole = base64("openssh-key-v1\0".len() + 8 + 8 + 4 + 4 + 4 + blob + 4 + secret);
    let armor = "-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n".len();
    let line = algorithm.len() + 1 + base64(blob) + 1 + comment.len() + 1;
    whole + whole.div_ceil(70) + armor + line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::generate::{GenerateContext, PreviousValue, generate, random};
    use crate::value::Value;

    fn source(json: serde_json::Value) -> KeySource {
        serde_json::from_value(json).unwrap()
    }

    fn made(name: &str, source: &KeySource, ssh_auth: bool) -> Value {
        let environment = GenerateContext {
            now: jiff::Timestamp::from_second(1_795_465_320).unwrap(),
            authority: None,
            replaces: PreviousValue::Nothing,
            ssh_auth,
        };
        let mut random = random::system().unwrap();
        generate([(&name.to_owned(), source)], &environment, &mut random).unwrap()
    }

    /// Gives no random bytes, so that whoever makes a key of it is found out.
    struct NoRandomness;

    impl rsa::rand_core::TryRng for NoRandomness {
        type Error = std::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            panic!("a key is made")
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            panic!("a key is made")
        }

        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
            panic!("a key is made")
        }
    }

    impl rsa::rand_core::TryCryptoRng for NoRandomness {}

    #[test]
    fn what_is_made_is_as_large_as_it_was_said_to_become() {
        let sources = [
            json!({"password": {}}),
            json!({"password": {"length": 4_096}}),
            json!({"literal": "ünïcode"}),
            json!({"hex": {"bytes": 8}}),
            json!({"base64": {"bytes": 31}}),
            json!({"base64": {"bytes": 31, "urlSafe": true}}),
            json!({"uuid": {}}),
            json!({"ed25519": {}}),
            json!({"ecdsa": {"curve": "P256"}}),
            json!({"ecdsa": {"curve": "P384"}}),
            json!({"rsa": {"bits": 2_048}}),
            json!({"rsa": {}}),
        ];
        for json in sources {
            let source = source(json.clone());
            for (name, ssh_auth) in [("k", false), ("a-long-name.of-a-key", true)] {
                let (size, most) = (
                    made(name, &source, ssh_auth).size(),
                    most(name, &source, ssh_auth),
                );
                // Numbers of a key may be shorter by a byte or two, and the lengths before them.
                assert!(
                    size <= most && most - size < 64,
                    "{json} {name}: {size} of {most}"
                );
            }
        }
    }

    #[test]
    fn a_certificate_is_larger_than_it_was_said_to_become() {
        let source = source(json!({"x509": {
            "commonName": "db.shop", "dnsNames": ["db.shop.svc", "*.db.shop.svc"], "ipAddresses": ["10.0.0.1"],
        }}));
        let (size, least) = (made("tls", &source, false).size(), most("tls", &source, false));
        assert!(least <= size && size < least + 1_500, "{size} of {least}");
    }

    #[test]
    fn fifteen_of_the_largest_keys_fit_and_thirty_two_are_refused_before_one_is_made() {
        let largest = source(json!({"rsa": {"bits": 4_096}}));
        let names: Vec<String> = (0..32).map(|number| format!("key-{number}")).collect();
        let of = |count: usize| names.iter().take(count).map(|name| (name, &largest));
        assert_eq!(fits(of(15), false, 0), Ok(()));
        assert!(matches!(
            fits(of(17), false, 0),
            Err(GenerateError::TooLarge { .. })
        ));
        let environment = GenerateContext {
            now: jiff::Timestamp::from_second(1_795_465_320).unwrap(),
            authority: None,
            replaces: PreviousValue::Nothing,
            ssh_auth: false,
        };
        let refused = generate(of(32), &environment, &mut NoRandomness).unwrap_err();
        assert!(
            matches!(refused, GenerateError::TooLarge { size } if size > 2 * 60_000),
            "{refused}"
        );
    }

    #[test]
    fn what_is_kept_beside_counts() {
        let password = source(json!({"password": {"length": 4_096}}));
        let name = "k".to_owned();
        let sources = || [(&name, &password)];
        assert_eq!(fits(sources(), false, VALUE_BYTES - 4_097), Ok(()));
        let size = VALUE_BYTES + 1;
        assert_eq!(
            fits(sources(), false, VALUE_BYTES - 4_096),
            Err(GenerateError::TooLarge { size })
        );
    }
}
