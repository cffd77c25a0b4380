//! The seal file, which is read before anything is proven: anybody who can write the volume writes its
//! checksum too.

use sha2::{Digest, Sha256};
use strongroom_store::seal::SealFile;

use crate::store::slot;

/// Reads a seal file without its checksum. What is read is written as the same bytes, and no input opens
/// without the key.
pub fn run(input: &[u8]) {
    let bytes = [input, &Sha256::digest(input)].concat();
    if let Ok(file) = SealFile::decode(&bytes) {
        assert!(file.encode() == bytes, "a seal file has a second encoding");
        assert!(!file.slots().is_empty(), "a seal file without a slot was read");
        if let Ok(root) = file.unlock(&slot()) {
            assert!(file.proves(&root), "a root key was given out unproven");
        }
    }
    // As it stands, its last bytes are the checksum.
    if let Ok(file) = SealFile::decode(input) {
        assert!(file.encode() == input, "a seal file has a second encoding");
    }
}
