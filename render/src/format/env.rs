//! `NAME='value'` lines: what `. file` reads in a POSIX shell, and env files of Kubernetes (KEP-3721).

use zeroize::Zeroizing;

use super::{Entries, FormatError, room};

pub(super) fn write(entries: &Entries<'_>) -> Result<Zeroizing<String>, FormatError> {
    let mut file = room(entries, 4);
    for entry in entries.texts() {
        let (name, text) = entry?;
        if !is_variable(name) {
            return Err(FormatError::NotVariable(name.to_owned()));
        }
        if text.contains('\0') {
            return Err(FormatError::Nul(name.to_owned()));
        }
        file.push_str(name);
        file.push_str("='");
        for c in text.chars() {
            match c {
                // Ends the quotes, a quoted quote, and begins them again.
                '\'' => file.push_str("'\\''"),
                other => file.push(other),
            }
        }
        file.push_str("'\n");
    }
    Ok(file)
}

/// Whether it is the name of a variable (POSIX 2024, 3.216).
pub(super) fn is_variable(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|c| !c.is_ascii_digit());
    first && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}
