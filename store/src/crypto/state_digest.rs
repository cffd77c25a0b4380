//! A digest of the set of all records that changes with one record in constant time.
//!
//! Each record has a term, an HMAC of its table, key and value; the digest is their sum modulo 2^256. This is
//! the additive multiset hash of Clarke, Devadas, van Dijk, Gassend and Suh (Asiacrypt 2003) with a keyed
//! hash: without the key, no other set with the same sum can be found. The sum itself is stored sealed.

/// A record's part of the digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Term([u64; 4]);

impl Term {
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(words(&bytes))
    }
}

impl std::fmt::Debug for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Term").finish_non_exhaustive()
    }
}

/// The sum of the terms of all records.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct StateDigest([u64; 4]);

impl StateDigest {
    /// A record came.
    #[must_use]
    pub fn plus(self, term: Term) -> Self {
        let mut sum = [0; 4];
        let mut carry = false;
        for ((to, a), b) in sum.iter_mut().zip(self.0).zip(term.0) {
            let (part, first) = a.overflowing_add(b);
            let (part, second) = part.overflowing_add(u64::from(carry));
            *to = part;
            carry = first | second;
        }
        Self(sum)
    }

    /// A record went.
    #[must_use]
    pub fn minus(self, term: Term) -> Self {
        let mut difference = [0; 4];
        let mut borrow = false;
        for ((to, a), b) in difference.iter_mut().zip(self.0).zip(term.0) {
            let (part, first) = a.overflowing_sub(b);
            let (part, second) = part.overflowing_sub(u64::from(borrow));
            *to = part;
            borrow = first | second;
        }
        Self(difference)
    }

    /// The bytes, least significant word first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (to, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// The digest of [`StateDigest::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(words(bytes))
    }
}

impl std::fmt::Debug for StateDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateDigest").finish_non_exhaustive()
    }
}

fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (to, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *to = from.try_into().map_or(0, u64::from_be_bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_does_not_matter_and_minus_undoes_plus(terms in proptest::collection::vec(any::<[u8; 32]>(), 1..20)) {
            let terms: Vec<Term> = terms.into_iter().map(Term::from_bytes).collect();
            let forward = terms.iter().fold(StateDigest::default(), |sum, term| sum.plus(*term));
            let backward = terms.iter().rev().fold(StateDigest::default(), |sum, term| sum.plus(*term));
            prop_assert_eq!(forward, backward);
            prop_assert_eq!(StateDigest::from_bytes(&forward.to_bytes()), forward);
            let none = terms.iter().fold(forward, |sum, term| sum.minus(*term));
            prop_assert_eq!(none, StateDigest::default());
        }
    }

    #[test]
    fn carries_run_through_all_words() {
        let mut ones = [0xff; 32];
        let all = StateDigest::default().plus(Term::from_bytes(ones));
        ones = [0; 32];
        ones[7] = 1;
        assert_eq!(all.plus(Term::from_bytes(ones)), StateDigest::default());
    }
}
