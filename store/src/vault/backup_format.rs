//! The format of a backup, for its writer and its reader.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic `SRBACK\0` and format 1 |
//! | 16 | backup id |
//! | 4 + n | the seal file: the key of any of its slots opens the backup |
//! | each part | length 4, sealed bytes; the last part says so inside of what it is sealed under |
//!
//! A part holds records as they stand in the store, values still sealed: count 4, then table 1, key (4 + n),
//! value (4 + n). A part that is cut, changed, left out or moved does not open.

use zeroize::Zeroizing;

use crate::codec::{DecodeError, Reader, Writer};
use crate::engine::Table;

/// What a backup begins with; the last byte is its format.
pub(super) const MAGIC: [u8; 8] = *b"SRBACK\0\x01";

/// Most bytes of one part that is taken in.
pub(super) const MAX_PART_BYTES: usize = 32 << 20;

/// A record as it stands in the store: table, key, value.
pub(super) type Item = (Table, Vec<u8>, Vec<u8>);

/// The bytes of a part before it is sealed.
pub(crate) fn encode_part(items: &[Item]) -> Zeroizing<Vec<u8>> {
    let size: usize = items
        .iter()
        .map(|(_, key, value)| 9 + key.len() + value.len())
        .sum();
    let mut writer = Writer::with_capacity(4 + size);
    writer.list(items.iter(), |w, (table, key, value)| {
        w.u8(table.code()).bytes(key).bytes(value)
    });
    writer.finish()
}

/// The records of an opened part.
pub(crate) fn decode_part(bytes: &[u8]) -> Result<Vec<Item>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let items = reader.list(|r| {
        let table = Table::from_code(r.u8()?).ok_or(DecodeError::Invalid("table"))?;
        Ok((table, r.bytes()?.to_vec(), r.bytes()?.to_vec()))
    })?;
    reader.end()?;
    Ok(items)
}
