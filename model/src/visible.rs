//! Text of others as it may be shown: nothing in it moves a cursor, changes a colour, begins a line or turns
//! the order of reading.

use std::borrow::Cow;
use std::fmt::Write;

/// The text on one line: control characters, and those that turn the order of reading, are written as Rust
/// and JSON escapes, such as `\n` and `\u{1b}`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, hides)
}

/// The same for text of several lines.
#[must_use]
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && hides(c))
}

/// JSON as it may be shown: what its writers leave as it is, such as the control characters beyond ASCII, is
/// escaped as JSON has it. Lines stay.
#[must_use]
pub fn json_visible(text: &str) -> Cow<'_, str> {
    let hides = |c: char| c != '\n' && hides(c);
    if !text.chars().any(hides) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hides(c) {
            // None of these characters is above U+FFFF; writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether a character does something other than to be seen. The second group are the bidirectional controls
/// of Unicode (UAX #9) and its two line separators.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn escaped(text: &str, hides: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&hides) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hides(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_shown_does_something() {
        for (text, shown) in [
            ("plain ü 表", "plain ü 表"),
            (
                "safe\u{1b}[2K\u{1b}[1;31mREADY\u{7}",
                "safe\\u{1b}[2K\\u{1b}[1;31mREADY\\u{7}",
            ),
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("user\u{202e}nimda", "user\\u{202e}nimda"),
            ("one\u{2028}line", "one\\u{2028}line"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn json_stays_json() {
        assert_eq!(
            json_visible("{\"a\": \"\u{9b}31m\u{202e}\"\n}"),
            "{\"a\": \"\\u009b31m\\u202e\"\n}"
        );
    }

    #[test]
    fn no_character_that_is_escaped_is_left() {
        let all: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        assert!(!visible(&all).chars().any(hides));
    }
}
