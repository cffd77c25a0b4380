//! A private key in whichever form of PEM, as PKCS#8, which key stores hold: OpenSSL's older forms say the same, one envelope short.

use pkcs8::der::Decode;
use pkcs8::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{PrivateKeyInfoRef, SecretDocument};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use sec1::{EcParameters, EcPrivateKey};

/// `rsaEncryption` (RFC 8017, A.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `id-ecPublicKey` (RFC 5480, 2.1.1).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// The first key of a PEM text, as PKCS#8; none where there is none.
pub(super) fn pkcs8(pem: &[u8]) -> Option<SecretDocument> {
    match PrivateKeyDer::from_pem_slice(pem).ok()? {
        PrivateKeyDer::Pkcs8(der) => SecretDocument::try_from(der.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Pkcs1(der) => {
            let null = AnyRef::from(pkcs8::der::asn1::Null);
            wrapped(RSA, null, der.secret_pkcs1_der())
        }
        PrivateKeyDer::Sec1(der) => {
            let key = EcPrivateKey::from_der(der.secret_sec1_der()).ok()?;
            let EcParameters::NamedCurve(curve) = key.parameters?;
            wrapped(EC, AnyRef::from(&curve), der.secret_sec1_der())
        }
        _ => None,
    }
}

fn wrapped(oid: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> Option<SecretDocument> {
    let algorithm = AlgorithmIdentifierRef {
        oid,
        parameters: Some(parameters),
    };
    let key = OctetStringRef::new(key).ok()?;
    SecretDocument::encode_msg(&PrivateKeyInfoRef::new(algorithm, key)).ok()
}
