//! One JSON object of texts.

use zeroize::Zeroizing;

use super::{Entries, FormatError, room};

pub(super) fn write(entries: &Entries<'_>) -> Result<Zeroizing<String>, FormatError> {
    let mut file = room(entries, 6);
    file.push('{');
    for (index, entry) in entries.texts().enumerate() {
        let (name, text) = entry?;
        file.push_str(if index == 0 { "\n  " } else { ",\n  " });
        quoted(&mut file, name);
        file.push_str(": ");
        quoted(&mut file, text);
    }
    file.push_str("\n}\n");
    Ok(file)
}

/// A text in quotes, as JSON and YAML both read it: what either must not hold as it is, is escaped.
pub fn quoted(file: &mut String, text: &str) {
    file.push('"');
    for c in text.chars() {
        match c {
            '"' => file.push_str("\\\""),
            '\\' => file.push_str("\\\\"),
            '\n' => file.push_str("\\n"),
            '\r' => file.push_str("\\r"),
            '\t' => file.push_str("\\t"),
            // Also those that YAML breaks lines at, and those it calls unprintable.
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                file.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            other => file.push(other),
        }
    }
    file.push('"');
}
