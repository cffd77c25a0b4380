//! HKDF and HMAC on SHA-256 (RFC 5869, RFC 2104).

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// HKDF-Expand of a uniformly random 32-byte seed.
///
/// The parts of `info` are length-prefixed, so that no two lists of parts make the same bytes.
pub(crate) fn expand<const N: usize>(seed: &[u8; 32], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    expand_joined(seed, &join(info))
}

fn expand_joined<const N: usize>(seed: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 32, "RFC 5869 section 2.3: at most 255 blocks") };
    let mut out = Zeroizing::new([0; N]);
    let expanded = Hkdf::<Sha256>::from_prk(seed).map(|hkdf| hkdf.expand(info, out.as_mut_slice()));
    // INVARIANT: the seed is one hash long and N was checked when this was compiled, so HKDF has nothing to
    // refuse. Should it ever, a key of zeros must not go out.
    let Ok(Ok(())) = expanded else {
        unreachable!("HKDF refused a seed of 32 bytes")
    };
    out
}

/// HMAC over length-prefixed parts.
pub(crate) fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// An HMAC to be fed piece by piece.
fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // RFC 2104: a key shorter than the block is padded with zeros.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    <Hmac<Sha256> as KeyInit>::new((&*block).into())
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        joined.extend_from_slice(&(part.len() as u64).to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}

#[cfg(test)]
mod tests;
