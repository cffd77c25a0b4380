//! Java's `.properties`, as `java.util.Properties.load` reads them: ISO 8859-1 with `\uXXXX` for the rest.

use zeroize::Zeroizing;

use super::{Entries, FormatError, room};

pub(super) fn write(entries: &Entries<'_>) -> Result<Zeroizing<String>, FormatError> {
    let mut file = room(entries, 6);
    for entry in entries.texts() {
        let (name, text) = entry?;
        escaped(&mut file, name, true);
        file.push('=');
        escaped(&mut file, text, false);
        file.push('\n');
    }
    Ok(file)
}

/// In a name each space is escaped, in a value the first alone: the others are part of it anyway.
fn escaped(file: &mut String, text: &str, name: bool) {
    for (index, c) in text.chars().enumerate() {
        match c {
            ' ' if name || index == 0 => file.push_str("\\ "),
            '\n' => file.push_str("\\n"),
            '\r' => file.push_str("\\r"),
            '\t' => file.push_str("\\t"),
            '\u{c}' => file.push_str("\\f"),
            '\\' | '=' | ':' | '#' | '!' => {
                file.push('\\');
                file.push(c);
            }
            ' '..='~' => file.push(c),
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    file.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
}
