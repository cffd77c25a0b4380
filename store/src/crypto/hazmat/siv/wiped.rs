//! Both halves of the key are gone when the cipher is dropped.
//!
//! The crate's `zeroize` feature wipes the encryption half alone; the other half needs that of `aes` and
//! `cmac` too, which is why the manifest names them. This test fails when one of these features is lost.

use aes_siv::siv::Aes256Siv;
use zeroize::ZeroizeOnDrop;

use super::Siv;
use crate::crypto::scan;

const fn is_wiped<T: ZeroizeOnDrop>() {}
const _: () = is_wiped::<Aes256Siv>();

/// What a cipher was used for once, in memory.
struct UsedCipher {
    // A vector can drop the cipher in place and keep the memory, so that nothing else is written over it.
    cipher: Vec<Siv>,
    bytes: Vec<u8>,
}

impl UsedCipher {
    fn new(key: &[u8; 64]) -> Self {
        let mut cipher = vec![Siv::new(key)];
        cipher[0].seal(&[b"header"], b"plaintext").unwrap();
        let bytes = scan::read(scan::address_of(&cipher[0]), size_of::<Siv>());
        Self { cipher, bytes }
    }

    /// Its bytes after it was dropped.
    fn dropped(mut self) -> Vec<u8> {
        let at = scan::address_of(&self.cipher[0]);
        self.cipher.clear();
        scan::read(at, size_of::<Siv>())
    }
}

#[test]
fn both_halves_are_wiped_on_drop() {
    let mut key = [0; 64];
    getrandom::fill(&mut key).unwrap();
    let other_key = key.map(|byte| !byte);
    let (used, again, other) = (
        UsedCipher::new(&key),
        UsedCipher::new(&key),
        UsedCipher::new(&other_key),
    );
    assert!(
        used.bytes.windows(32).any(|window| window == &key[32..]),
        "the encryption half is found while the cipher lives, so the scan works"
    );
    // Key material is what the key decides: the same wherever a cipher of this key lies, and not so with
    // another key. All else is padding with what lay in the memory before, such as another test's data.
    let words = |bytes: &[u8]| -> Vec<[u8; 8]> { bytes.as_chunks().0.to_vec() };
    let (before, again, other) = (words(&used.bytes), words(&again.bytes), words(&other.bytes));
    let after = words(&used.dropped());
    let of_key: Vec<usize> = (0..before.len())
        .filter(|&at| before[at] == again[at] && before[at] != other[at])
        .collect();
    // 4 words of encryption key, and 15 round keys of 2 words for the authentication half.
    assert!(
        of_key.len() >= 34,
        "only {} words of key material were found",
        of_key.len()
    );
    let left = of_key.iter().filter(|&&at| before[at] == after[at]).count();
    assert_eq!(
        left,
        0,
        "{left} of {} words of key material outlive the cipher",
        of_key.len()
    );
}
