use data_encoding::HEXLOWER;

use super::*;

fn array<const N: usize>(text: &str) -> [u8; N] {
    HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

/// RFC 8032 section 7.1, tests 1 and 2.
#[test]
fn rfc_8032() {
    for (seed, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ] {
        let signer = Signer::from_seed(&array(seed));
        let message = HEXLOWER.decode(message.as_bytes()).unwrap();
        assert_eq!(
            signer.public_key().to_string(),
            BASE64.encode(&array::<32>(public))
        );
        assert_eq!(HEXLOWER.encode(&signer.sign(&message)), signature);
        assert!(signer.public_key().verifies(&message, &array(signature)));
    }
}

#[test]
fn a_changed_message_or_signature_does_not_verify() {
    let signer = Signer::from_seed(&[7; 32]);
    let key = signer.public_key();
    let signature = signer.sign(b"checkpoint");
    assert!(key.verifies(b"checkpoint", &signature));
    assert!(!key.verifies(b"checkpoinT", &signature));
    assert!(
        !Signer::from_seed(&[8; 32])
            .public_key()
            .verifies(b"checkpoint", &signature)
    );
    for bit in 0..512 {
        let mut changed = signature;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!key.verifies(b"checkpoint", &changed), "bit {bit}");
    }
}

/// Adding the group's order to the second half gives the same point: one message must have one signature.
#[test]
fn a_malleable_signature_does_not_verify() {
    let order: [u8; 32] = array("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let signer = Signer::from_seed(&[7; 32]);
    let mut signature = signer.sign(b"checkpoint");
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert!(!signer.public_key().verifies(b"checkpoint", &signature));
}

/// Under the neutral element as a key, a signature of zeros would verify every message.
#[test]
fn a_weak_key_verifies_nothing() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let key: PublicKey = BASE64.encode(&neutral).parse().unwrap();
    let mut signature = [0; 64];
    signature[0] = 1;
    assert!(!key.verifies(b"any message", &signature));
}

#[test]
fn the_text_form_is_read_back_and_nothing_else() {
    let key = Signer::from_seed(&[7; 32]).public_key();
    assert_eq!(format!(" {key}\n").parse::<PublicKey>().unwrap(), key);
    for wrong in ["", "AAAA", "not base64!", &"A".repeat(1_000)] {
        let error = wrong.parse::<PublicKey>().unwrap_err().to_string();
        assert!(error.len() < 200, "{error}");
    }
}
