//! Base64 (RFC 4648) as people have it: wrapped, without padding, in either alphabet.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use zeroize::Zeroizing;

/// Text that is no base64. It never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base64Error {
    /// A character that the alphabet lacks.
    Character {
        /// Its place in the text, in bytes from 0.
        at: usize,
    },
    /// Characters of both alphabets.
    Mixed {
        /// The place of the first one that does not fit those before it.
        at: usize,
    },
    /// It ends too early, or says something behind its end.
    Length,
}

/// The bytes. White space may stand anywhere, and padding may lack.
///
/// # Errors
/// [`Base64Error`].
pub(crate) fn decode(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, Base64Error> {
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len() + 3));
    let (mut alphabet, mut padding) = (None, 0_usize);
    for (at, byte) in text.iter().copied().enumerate() {
        match byte {
            // All white space of ASCII, the vertical tab included.
            b' ' | b'\t'..=b'\r' => {}
            b'=' => padding += 1,
            _ if padding > 0 => return Err(Base64Error::Length),
            b'+' | b'/' | b'-' | b'_' => {
                let url = matches!(byte, b'-' | b'_');
                if alphabet.is_some_and(|known| known != url) {
                    return Err(Base64Error::Mixed { at });
                }
                alphabet = Some(url);
                digits.push(byte);
            }
            _ if byte.is_ascii_alphanumeric() => digits.push(byte),
            _ => return Err(Base64Error::Character { at }),
        }
    }
    if padding > 2 {
        return Err(Base64Error::Length);
    }
    let encoding = if alphabet == Some(true) {
        BASE64URL_NOPAD
    } else {
        BASE64_NOPAD
    };
    // Whole groups of four digits: bits of a byte that is not there are passed over, as most decoders do.
    let over = digits.len() % 4;
    if over == 1 {
        return Err(Base64Error::Length);
    }
    let missing = (4 - over) % 4;
    digits.extend(std::iter::repeat_n(b'A', missing));
    let mut bytes = Zeroizing::new(vec![0; digits.len() / 4 * 3]);
    let written = encoding.decode_mut(&digits, &mut bytes);
    let written = written.map_err(|_| Base64Error::Length)?;
    bytes.truncate(written.saturating_sub(missing));
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_unpadded_and_url_safe_text_is_read() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("\n", b""),
            ("YQ==", b"a"),
            ("YQ", b"a"),
            ("YQ=", b"a"),
            ("YR==", b"a"),
            ("  Y\r\nQ =\n=\t", b"a"),
            ("-_8=", b"\xfb\xff"),
            ("-_8", b"\xfb\xff"),
            ("+/8=", b"\xfb\xff"),
        ] {
            assert_eq!(
                decode(text.as_bytes()).as_deref().map(Vec::as_slice),
                Ok(bytes),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_no_base64_is_refused_with_its_place() {
        for (text, error) in [
            ("YQ%=", Base64Error::Character { at: 2 }),
            ("YQé", Base64Error::Character { at: 2 }),
            ("+_8=", Base64Error::Mixed { at: 1 }),
            ("YQ==YQ==", Base64Error::Length),
            ("Y", Base64Error::Length),
            ("YWE===", Base64Error::Length),
        ] {
            assert_eq!(decode(text.as_bytes()).map(|_| ()), Err(error), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_was_encoded_and_wrapped_comes_back(bytes: Vec<u8>, width in 1_usize..80, url: bool, padded: bool) {
            let encoding = match (url, padded) {
                (false, false) => BASE64_NOPAD,
                (false, true) => data_encoding::BASE64,
                (true, false) => BASE64URL_NOPAD,
                (true, true) => data_encoding::BASE64URL,
            };
            let text = encoding.encode(&bytes);
            let lines: Vec<&[u8]> = text.as_bytes().chunks(width).collect();
            let decoded = decode(&lines.join(&b"\r\n"[..]));
            proptest::prop_assert_eq!(decoded.as_deref(), Ok(&bytes));
        }
    }
}
