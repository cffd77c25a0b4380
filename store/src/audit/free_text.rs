//! Texts in an entry that others wrote, cut to their maximum length.

use crate::codec::{DecodeError, Reader};

/// Longest free text of an entry, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 256;

/// At most [`MAX_TEXT_BYTES`], at a character's border.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES))
        .unwrap_or(text)
}

/// A text that [`cut`] may have made.
pub(super) fn short<'a>(r: &mut Reader<'a>, field: &'static str) -> Result<&'a str, DecodeError> {
    let text = r.text(field)?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(DecodeError::Invalid(field));
    }
    Ok(text)
}
