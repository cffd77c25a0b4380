//! Raw ciphers and derivations. Nothing outside `crypto` and `seal` may use them: they know no context, and
//! without one a record can stand in for another.

pub(crate) mod kdf;
pub(crate) mod siv;
