//! Key pairs: private key as PKCS #8 (RFC 5958), public key as SubjectPublicKeyInfo (RFC 5280), both in PEM
//! (RFC 7468); or both as OpenSSH has them.

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey, EncodePublicKey};
use rsa::Generate;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use strongroom_crds::v1alpha1::EcdsaCurve;
use zeroize::Zeroizing;

use super::random::CryptoRng;
use super::ssh::{self, Fields};
use crate::value::Value;

pub(super) const DEFAULT_RSA_BITS: i32 = 3072;

/// A key pair as text.
pub(super) struct KeyPair {
    pub(super) private: Zeroizing<String>,
    pub(super) public: String,
}

impl KeyPair {
    /// Stores the pair as `name` and `name.pub`.
    pub(super) fn store(self, name: &str, value: &mut Value) {
        value.insert(name, self.private);
        value.insert(format!("{name}.pub"), self.public.into_bytes());
    }
}

/// An Ed25519 pair. The private key is PKCS #8 version 1, without the public key: OpenSSL reads no other.
pub(super) fn ed25519(random: &mut dyn CryptoRng) -> Option<KeyPair> {
    let mut seed = Zeroizing::new([0; 32]);
    random.fill_bytes(&mut *seed);
    let signing = ed25519_dalek::SigningKey::from_bytes(&seed);
    let bytes = ed25519_dalek::pkcs8::KeypairBytes {
        secret_key: *seed,
        public_key: None,
    };
    Some(KeyPair {
        private: bytes.to_pkcs8_pem(LineEnding::LF).ok()?,
        public: signing.verifying_key().to_public_key_pem(LineEnding::LF).ok()?,
    })
}

/// An RSA pair with the public exponent 65537.
pub(super) fn rsa(bits: Option<i32>, random: &mut dyn CryptoRng) -> Option<KeyPair> {
    let bits = usize::try_from(bits.unwrap_or(DEFAULT_RSA_BITS)).ok()?;
    let private = rsa::PrivateKey::new(random, bits).ok()?;
    Some(KeyPair {
        private: private.to_pkcs8_pem(LineEnding::LF).ok()?,
        public: private.to_public_key().to_public_key_pem(LineEnding::LF).ok()?,
    })
}

/// An ECDSA pair on the given curve.
pub(super) fn ecdsa(curve: EcdsaCurve, random: &mut dyn CryptoRng) -> Option<KeyPair> {
    match curve {
        EcdsaCurve::P256 => {
            let private = p256::SecretKey::generate_from_rng(random);
            Some(KeyPair {
                private: private.to_pkcs8_pem(LineEnding::LF).ok()?,
                public: private.public_key().to_public_key_pem(LineEnding::LF).ok()?,
            })
        }
        EcdsaCurve::P384 => {
            let private = p384::SecretKey::generate_from_rng(random);
            Some(KeyPair {
                private: private.to_pkcs8_pem(LineEnding::LF).ok()?,
                public: private.public_key().to_public_key_pem(LineEnding::LF).ok()?,
            })
        }
    }
}

/// An Ed25519 pair for OpenSSH.
pub(super) fn ssh_ed25519(comment: &str, random: &mut dyn CryptoRng) -> KeyPair {
    let mut seed = Zeroizing::new([0; 32]);
    random.fill_bytes(&mut *seed);
    let signing = ed25519_dalek::SigningKey::from_bytes(&seed);
    let public = signing.verifying_key().to_bytes();
    let pair = Zeroizing::new(signing.to_keypair_bytes());
    ssh::pair(
        "ssh-ed25519",
        &Fields::default().string(&public),
        &Fields::default().string(&public).string(&*pair),
        comment,
        random,
    )
}

/// An RSA pair with the public exponent 65537, for OpenSSH.
pub(super) fn ssh_rsa(bits: Option<i32>, comment: &str, random: &mut dyn CryptoRng) -> Option<KeyPair> {
    let bits = usize::try_from(bits.unwrap_or(DEFAULT_RSA_BITS)).ok()?;
    let key = rsa::PrivateKey::new(random, bits).ok()?;
    let [p, q] = key.primes() else { return None };
    let number = |number: &rsa::BoxedUint| Zeroizing::new(number.to_be_bytes().into_vec());
    let (n, e) = (number(key.n()), number(key.e()));
    let private = Fields::default()
        .integer(&n)
        .integer(&e)
        .integer(&number(key.d()))
        .integer(&number(&key.crt_coefficient()?))
        .integer(&number(p))
        .integer(&number(q));
    let public = Fields::default().integer(&e).integer(&n);
    Some(ssh::pair("ssh-rsa", &public, &private, comment, random))
}

/// An ECDSA pair on the given curve, for OpenSSH.
pub(super) fn ssh_ecdsa(curve: EcdsaCurve, comment: &str, random: &mut dyn CryptoRng) -> KeyPair {
    let (name, point, scalar) = match curve {
        EcdsaCurve::P256 => {
            let key = p256::SecretKey::generate_from_rng(random);
            let point = key.public_key().to_sec1_bytes();
            ("nistp256", point, Zeroizing::new(key.to_bytes().to_vec()))
        }
        EcdsaCurve::P384 => {
            let key = p384::SecretKey::generate_from_rng(random);
            let point = key.public_key().to_sec1_bytes();
            ("nistp384", point, Zeroizing::new(key.to_bytes().to_vec()))
        }
    };
    let public = || Fields::default().string(name.as_bytes()).string(&point);
    let private = public().integer(&scalar);
    ssh::pair(
        &format!("ecdsa-sha2-{name}"),
        &public(),
        &private,
        comment,
        random,
    )
}
