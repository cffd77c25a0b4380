//! A private key in whichever form of PEM, as PKCS#8, which key stores hold: OpenSSL's older forms say the
//! same, one envelope short.

use pkcs8::der::Decode;
use pkcs8::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{PrivateKeyInfoRef, SecretDocument};
use sec1::{EcParameters, EcPrivateKey};

use crate::pem::Block;

/// `rsaEncryption` (RFC 8017, A.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `id-ecPublicKey` (RFC 5480, 2.1.1).
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// The first key among the blocks of a PEM text, as PKCS#8; none where there is none.
pub(super) fn pkcs8(blocks: &[Block<'_>]) -> Option<SecretDocument> {
    let of = |label: &str| {
        let mut those = blocks.iter().filter(move |block| block.label == label);
        those.find_map(Block::bytes)
    };
    let known = |block: &&Block<'_>| {
        matches!(block.label, "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY") && block.bytes().is_some()
    };
    let key = blocks.iter().find(known)?;
    let der = key.bytes()?;
    match key.label {
        "RSA PRIVATE KEY" => wrapped(RSA, AnyRef::from(pkcs8::der::asn1::Null), der),
        "EC PRIVATE KEY" => {
            // Its curve may stand in a block of its own, which OpenSSL writes before it.
            let curve = match EcPrivateKey::from_der(der).ok()?.parameters {
                Some(EcParameters::NamedCurve(curve)) => curve,
                None => ObjectIdentifier::from_der(of("EC PARAMETERS")?).ok()?,
            };
            wrapped(EC, AnyRef::from(&curve), der)
        }
        _ => SecretDocument::try_from(der).ok(),
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
