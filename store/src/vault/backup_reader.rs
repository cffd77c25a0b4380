//! A backup's stream as it is read: what stands in clear, then the parts in their order. How it is written is
//! [`super::backup`]'s.

use std::io::{self, Read};

use super::backup_format::{Item, MAGIC, MAX_PART_BYTES, decode_part};
use super::open_error::OpenError;
use crate::codec::DecodeError;
use crate::crypto::{Context, Keyring};
use crate::seal::SealFile;

/// What stands before the parts. Nothing of it is proven yet.
pub(super) struct BackupHeader {
    backup: [u8; 16],
    pub(super) seal: SealFile,
}

impl BackupHeader {
    pub(super) fn read(from: &mut dyn Read) -> Result<Self, OpenError> {
        let mut magic = [0; 8];
        from.read_exact(&mut magic).map_err(cut)?;
        let ([ours @ .., format], [known @ .., version]) = (magic, MAGIC);
        if ours != known {
            return Err(DecodeError::Invalid("magic of a backup").into());
        }
        if format != version {
            return Err(OpenError::BackupFormat(format));
        }
        let mut backup = [0; 16];
        from.read_exact(&mut backup).map_err(cut)?;
        let seal = SealFile::decode(&length_prefixed(from)?)?;
        Ok(Self { backup, seal })
    }

    /// The parts that follow, under the keys of the store.
    pub(super) const fn parts<'a>(&self, keyring: &'a Keyring, from: &'a mut dyn Read) -> BackupParts<'a> {
        BackupParts {
            keyring,
            backup: self.backup,
            from,
            number: 0,
            ended: false,
        }
    }
}

/// The parts of a backup, each opened in its place.
pub(super) struct BackupParts<'a> {
    keyring: &'a Keyring,
    backup: [u8; 16],
    from: &'a mut dyn Read,
    number: u64,
    ended: bool,
}

impl BackupParts<'_> {
    /// The records of the next part; none after the last one, behind which there must be nothing.
    pub(super) fn next_part(&mut self) -> Result<Option<Vec<Item>>, OpenError> {
        if self.ended {
            return if self.from.read(&mut [0])? > 0 {
                Err(OpenError::Tampered)
            } else {
                Ok(None)
            };
        }
        let sealed = length_prefixed(self.from)?;
        let open = |last| {
            let context = Context::Backup {
                backup: &self.backup,
                part: self.number,
                last,
            };
            self.keyring.open(&context, &sealed)
        };
        let (bytes, last) = match open(false) {
            Ok(bytes) => (bytes, false),
            Err(_) => (open(true).map_err(|_| OpenError::Tampered)?, true),
        };
        let items = decode_part(bytes.expose())?;
        self.number += 1;
        self.ended = last;
        Ok(Some(items))
    }
}

fn length_prefixed(from: &mut dyn Read) -> Result<Vec<u8>, OpenError> {
    let mut length = [0; 4];
    from.read_exact(&mut length).map_err(cut)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_PART_BYTES {
        return Err(DecodeError::Invalid("length of a part").into());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).map_err(cut)?;
    Ok(bytes)
}

/// A stream that ends too early is no whole backup.
fn cut(error: io::Error) -> OpenError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        OpenError::Tampered
    } else {
        error.into()
    }
}
