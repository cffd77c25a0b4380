//! PEM texts one after the other, each on lines of its own.

use zeroize::Zeroizing;

use super::{Entries, FormatError, room};

pub(super) fn write(entries: &Entries<'_>) -> Result<Zeroizing<String>, FormatError> {
    let mut file = room(entries, 1);
    for entry in entries.texts() {
        let (name, text) = entry?;
        let text = text.trim();
        if !(text.starts_with("-----BEGIN ") && text.ends_with("-----")) {
            return Err(FormatError::NotPem(name.to_owned()));
        }
        file.push_str(text);
        file.push('\n');
    }
    Ok(file)
}
