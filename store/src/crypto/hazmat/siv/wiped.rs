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

/// Larger than any stack that another test's thread left behind for reuse, so that it is new, and zero.
const NEW_STACK: usize = 64 << 20;

#[test]
fn both_halves_are_wiped_on_drop() {
    let on_a_new_stack = std::thread::Builder::new().stack_size(NEW_STACK);
    on_a_new_stack.spawn(seal_and_drop).unwrap().join().unwrap();
}

/// The padding of a cipher has what lay on the stack before, which must not be random words of another test.
fn seal_and_drop() {
    let mut key = [0; 64];
    getrandom::fill(&mut key).unwrap();
    // Emptying a vector drops the cipher in place and keeps the memory, so that nothing else is written over
    // it.
    let mut cipher = vec![Siv::new(&key)];
    cipher[0].seal(&[b"header"], b"plaintext").unwrap();
    let (at, size) = (scan::address_of(&cipher[0]), size_of::<Siv>());
    let before = scan::read(at, size);
    assert!(
        before.windows(32).any(|window| window == &key[32..]),
        "the encryption half is found while the cipher lives, so the scan works"
    );
    cipher.clear();
    let after = scan::read(at, size);
    // AES round keys look random: no word of eight bytes of them may be left. What looks like a pointer or a
    // small number (two zero bytes and more) is padding with old stack contents, or a position.
    let random_looking = |word: &[u8]| word.iter().filter(|byte| **byte != 0).count() >= 7;
    let words = before.chunks_exact(8).zip(after.chunks_exact(8));
    let (mut held, mut left) = (0, 0);
    for (word, now) in words.filter(|(word, _)| random_looking(word)) {
        held += 1;
        left += usize::from(word == now);
    }
    // 4 words of encryption key, and 15 round keys of 2 words for the authentication half; a few may hold
    // zeros by chance.
    assert!(held >= 30, "only {held} words of key material were found");
    assert_eq!(
        left, 0,
        "{left} of {held} words of key material outlive the cipher"
    );
}
