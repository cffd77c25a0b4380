//! PEM texts one after the other: the blocks of each, with nothing around them and one kind of line end.

use zeroize::Zeroizing;

use super::{Entries, FormatError};
use crate::pem;

pub(super) fn write(entries: &Entries<'_>) -> Result<Zeroizing<String>, FormatError> {
    let mut blocks = Vec::new();
    for (name, bytes) in &entries.entries {
        let found = pem::blocks(bytes.expose()).map_err(|(block, error)| FormatError::NotPem {
            key: (*name).to_owned(),
            what: error.describe(block),
        })?;
        blocks.extend(found);
    }
    let mut file = Zeroizing::new(String::with_capacity(blocks.iter().map(pem::Block::size).sum()));
    for block in blocks {
        block.write(&mut file);
    }
    Ok(file)
}
