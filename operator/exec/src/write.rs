//! Writes variables as a file that kubelet reads by `fileKeyRef` (KEP-3721): `NAME='value'`, and nothing can
//! be escaped in it. What would come out as another value is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::variables::{self, Variables};

/// Longest line in bytes: kubelet reads up to 64 KiB, the variable's name and the quotes included.
const MAX_LINE_BYTES: usize = 65_000;

/// The file cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// A value that such a file cannot hold. Which one it is and why says something of it, and this is read
    /// by whoever sees the pod.
    #[error(
        "`strongroom.dev/env: file` takes UTF-8 text that is not empty, without single quotes and CR LF, with lines of at most 65,000 bytes, and the \
         value of a variable is different: use `exec`; one of {0}, `kubectl strongroom render --pod` says which"
    )]
    Value(String),
    /// The file system.
    #[error("writing `{}`: {source}", path.display())]
    File {
        /// Where the variables were to be, not the partial file beside it.
        path: PathBuf,
        source: io::Error,
    },
}

/// Writes it: whole or not at all.
///
/// # Errors
/// [`WriteError`].
pub(super) fn write(file: &Path, variables: &Variables) -> Result<(), WriteError> {
    let text = rendered(variables)?;
    let partial = file.with_extension("partial");
    let save = || {
        // A start that was interrupted may have left it.
        if let Err(error) = fs::remove_file(&partial)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut options = OpenOptions::new();
        let mut to: File = options.write(true).create_new(true).mode(0o400).open(&partial)?;
        to.write_all(&text)?;
        fs::rename(&partial, file)
    };
    save().map_err(|source| WriteError::File {
        path: file.to_owned(),
        source,
    })
}

/// What stands in the file.
fn rendered(variables: &Variables) -> Result<Zeroizing<Vec<u8>>, WriteError> {
    // Of its full size from the start: growing would leave copies behind.
    let size = variables
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    let mut text = Zeroizing::new(Vec::with_capacity(size));
    for (name, value) in variables {
        if !fits(name, value) {
            return Err(WriteError::Value(variables::names(variables)));
        }
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"='");
        text.extend_from_slice(value);
        text.extend_from_slice(b"'\n");
    }
    Ok(text)
}

/// Whether a value comes out as it went in.
fn fits(name: &str, value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else {
        return false;
    };
    let longest = text.split('\n').map(str::len).max().unwrap_or_default();
    !text.is_empty()
        && !text.contains('\'')
        && !text.contains("\r\n")
        && longest + name.len() <= MAX_LINE_BYTES
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn variables(of: &[(&str, &[u8])]) -> Variables {
        of.iter()
            .map(|(name, value)| ((*name).to_owned(), Zeroizing::new(value.to_vec())))
            .collect()
    }

    #[test]
    fn a_file_is_written_for_its_reader_alone_and_again_after_an_interruption() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        fs::write(folder.path().join("env.partial"), "half").unwrap();
        for _ in 0..2 {
            write(
                &file,
                &variables(&[("A", b"1 # \\ \"$x\""), ("B", b"two\nlines\n")]),
            )
            .unwrap();
            let text = fs::read_to_string(&file).unwrap();
            assert_eq!(text, "A='1 # \\ \"$x\"'\nB='two\nlines\n'\n");
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o400);
        }
    }

    #[test]
    fn what_would_come_out_otherwise_is_refused_without_its_value() {
        let long = vec![b'x'; MAX_LINE_BYTES];
        let cases: [&[u8]; 5] = [b"", b"hunter'two", b"hunter\r\ntwo", b"\xffhunter", &long];
        let refused = |value: &[u8], other: &[u8]| {
            let variables = variables(&[("KEY", value), ("OTHER", other)]);
            rendered(&variables).unwrap_err().to_string()
        };
        let said = refused(b"", b"x");
        assert!(
            said.contains("of `KEY`, `OTHER`, `kubectl strongroom render --pod`"),
            "{said}"
        );
        // The same, whichever it is and why.
        for value in cases {
            assert_eq!(refused(value, b"x"), said);
            assert_eq!(refused(b"x", value), said);
        }
    }
}
