//! One YAML map, a line each: double-quoted, so that no text is taken for a number, a date or `no`.

use zeroize::Zeroizing;

use super::json::quoted;
use super::{Entries, FormatError, room};

pub(super) fn write(entries: &Entries<'_>) -> Result<Zeroizing<String>, FormatError> {
    let mut file = room(entries, 6);
    if entries.entries.is_empty() {
        file.push_str("{}\n");
    }
    for entry in entries.texts() {
        let (name, text) = entry?;
        quoted(&mut file, name);
        file.push_str(": ");
        quoted(&mut file, text);
        file.push('\n');
    }
    Ok(file)
}
