//! Keys of slots from files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use strongroom_model::SecretBytes;
use strongroom_store::seal::{PassphraseCost, RecoveryKey, SlotSecret};
use zeroize::Zeroizing;

use super::SealSourceError;

/// Most bytes of a file that holds a key or a passphrase.
const MAX_FILE_BYTES: usize = 4096;

/// The key in a key file: its bytes as they are. Whether they are 32 is the seal's business.
pub(crate) fn key(path: &Path) -> Result<SlotSecret, SealSourceError> {
    read(path).map(|bytes| SlotSecret::KeyFile(SecretBytes::from(bytes)))
}

/// The passphrase in a file, without the line's end that editors leave.
pub(crate) fn passphrase(path: &Path) -> Result<SlotSecret, SealSourceError> {
    let mut bytes = read(path)?;
    for end in [b'\n', b'\r'] {
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
    }
    Ok(SlotSecret::Passphrase(
        SecretBytes::from(bytes),
        PassphraseCost::default(),
    ))
}

/// The recovery key in a file, as it was shown.
pub(crate) fn recovery_key(path: &Path) -> Result<SlotSecret, SealSourceError> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let key = RecoveryKey::parse(text).map_err(|source| SealSourceError::Recovery {
        path: path.display().to_string(),
        source,
    })?;
    Ok(SlotSecret::Recovery(key))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SealSourceError> {
    let unreadable = |source| SealSourceError::Unreadable {
        path: path.display().to_string(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    // Room for all of it from the start: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES + 64));
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(SealSourceError::TooLarge(path.display().to_string()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_key_is_taken_as_it_is_and_a_passphrase_without_its_line_end() {
        let bytes = [b'\n'; 32];
        let SlotSecret::KeyFile(read) = key(file(&bytes).path()).unwrap() else {
            panic!("another kind");
        };
        assert_eq!(read, SecretBytes::new(bytes.to_vec()));
        for text in ["correct horse\n", "correct horse\r\n", "correct horse"] {
            let SlotSecret::Passphrase(read, _) = passphrase(file(text.as_bytes()).path()).unwrap() else {
                panic!("another kind");
            };
            assert_eq!(read, SecretBytes::new(b"correct horse".to_vec()), "{text:?}");
        }
    }

    #[test]
    fn a_recovery_key_is_read_as_it_was_shown() {
        let shown = RecoveryKey::generate().unwrap().reveal();
        let with_line_end = format!("{}\n", shown.to_lowercase());
        assert!(matches!(
            recovery_key(file(with_line_end.as_bytes()).path()),
            Ok(SlotSecret::Recovery(_))
        ));
    }

    #[test]
    fn what_is_no_key_is_said_without_its_content() {
        let odd = file(b"hunter2-hunter2");
        let said = recovery_key(odd.path()).unwrap_err().to_string();
        assert!(
            said.contains("no recovery key") && !said.contains("hunter2"),
            "{said}"
        );
        let large = file(&[1; MAX_FILE_BYTES + 1]);
        assert!(matches!(key(large.path()), Err(SealSourceError::TooLarge(_))));
        let said = key(Path::new("/nowhere/key")).unwrap_err().to_string();
        assert!(said.contains("`/nowhere/key` cannot be read"), "{said}");
    }
}
