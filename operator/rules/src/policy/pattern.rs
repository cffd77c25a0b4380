//! Texts in which `*` stands for any characters.

use serde_json::{Value as Json, json};

/// Whether a name fits a pattern, in which `*` stands for any characters.
#[must_use]
pub fn name_matches(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern).matches(name)
}

/// A text with wildcards. There is no way to write a `*` that means itself: no name that policies speak of has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern(String);

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, if it stands for itself alone.
    pub(super) fn exact(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(self.0.as_str())
    }

    /// Whether the pattern stands for `text`. Takes time in proportion to the product of both lengths at worst.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
            return false;
        };
        let mut last = None;
        for piece in pieces {
            // The piece before this one may stand at its first place: what follows has then the most room.
            if let Some(middle) = last.replace(piece) {
                let Some((_, after)) = rest.split_once(middle) else {
                    return false;
                };
                rest = after;
            }
        }
        last.map_or(rest.is_empty(), |last| rest.ends_with(last))
    }

    /// The pattern of Cedar's `like`, in the JSON form of policies
    /// (<https://docs.cedarpolicy.com/policies/json-format.html#like>).
    pub(super) fn cedar(&self) -> Json {
        let mut parts = Vec::new();
        for (index, piece) in self.0.split('*').enumerate() {
            if index > 0 {
                parts.push(json!("Wildcard"));
            }
            if !piece.is_empty() {
                parts.push(json!({"Literal": piece}));
            }
        }
        Json::Array(parts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The meaning, without any cleverness.
    fn means(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => means(&pattern[1..], text) || (!text.is_empty() && means(pattern, &text[1..])),
            (Some(a), Some(b)) if a == b => means(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matches_what_it_means(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), means(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn a_wildcard_may_stand_for_nothing() {
        assert!(Pattern::new("db-*").matches("db-"));
        assert!(Pattern::new("*").matches(""));
        assert!(!Pattern::new("a*a").matches("a"));
        assert_eq!(Pattern::new("db").exact(), Some("db"));
        assert_eq!(Pattern::new("d*").exact(), None);
    }
}
