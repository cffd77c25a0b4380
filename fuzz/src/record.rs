//! Records of the store before they are sealed. One value has one encoding: what is decoded gives the same bytes again.
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
    if let Ok(again) = again(bytes) {
        assert!(
            again == bytes,
            "a {name} has a second encoding: {bytes:02x?} and {again:02x?}"
        );
    }
}
