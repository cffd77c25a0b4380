//! Records of the store before they are sealed. One value has one encoding in each format: what is decoded
//! gives the same bytes again.
//!
//! The first byte says which kind of [`RECORDS`] the others are.

use strongroom_store::fuzzing::RECORDS;

/// Decodes a record and encodes it again.
pub fn run(input: &[u8]) {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    let Some((name, again)) = RECORDS.get(usize::from(*kind) % RECORDS.len()) else {
        return;
    };
    let Ok(encoded) = again(bytes) else { return };
    // A record of an older format is written in today's, and that stays as it is.
    let older = bytes.first() < encoded.first() && again(&encoded).is_ok_and(|same| same == encoded);
    assert!(
        encoded == bytes || older,
        "a {name} has a second encoding: {bytes:02x?} and {encoded:02x?}"
    );
}
