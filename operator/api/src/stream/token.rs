//! Tokens on their way.

use std::fmt;

use zeroize::Zeroizing;

/// Largest token, in bytes. One of Kubernetes has about a thousand.
const TOKEN_BYTES: usize = 16_384;

/// A ServiceAccount's token. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A token, if the text can be one: a JSON Web Token in its compact form (RFC 7519), of which only the
    /// alphabet and the length are looked at. Whether it holds is for the gateway to say.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> Option<Self> {
        let alphabet = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        let fits = !text.is_empty() && text.len() <= TOKEN_BYTES && text.bytes().all(alphabet);
        fits.then_some(Self(text))
    }

    /// The text, for the message that it goes into.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_is_none() {
        let token = |text: &str| Token::new(Zeroizing::new(text.to_owned()));
        assert_eq!(format!("{:?}", token("aGVhZA.Ym9keQ.c2ln-_")), "Some(Token(..))");
        for text in ["", "a b", "a\nb", "ä", &"x".repeat(TOKEN_BYTES + 1)] {
            assert!(token(text).is_none(), "{text:.10}");
        }
    }
}
