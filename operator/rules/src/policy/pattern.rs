//! Names in which `*` stands for any characters.

use memchr::memmem::Finder;

/// Whether a name fits a pattern, in which `*` stands for any characters.
#[must_use]
pub fn name_matches(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern).matches(name)
}

/// A text with wildcards. There is no way to write a `*` that means itself: no name that policies speak of
/// has one.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: Box<str>,
    /// What stands between two wildcards, in order.
    between: Box<[Finder<'static>]>,
}

impl Pattern {
    /// Wildcards that follow one another mean the same as one.
    pub(super) fn new(text: &str) -> Self {
        let mut kept = String::with_capacity(text.len());
        for c in text.chars() {
            if c != '*' || !kept.ends_with('*') {
                kept.push(c);
            }
        }
        let between = kept
            .split_once('*')
            .and_then(|(_, others)| others.rsplit_once('*'));
        let finder = |piece: &str| Finder::new(piece.as_bytes()).into_owned();
        Self {
            between: between
                .into_iter()
                .flat_map(|(between, _)| between.split('*'))
                .map(finder)
                .collect(),
            text: kept.into(),
        }
    }

    /// The text, if it stands for itself alone.
    pub(super) fn exact(&self) -> Option<&str> {
        (!self.text.contains('*')).then_some(&*self.text)
    }

    /// What every text begins with that the pattern stands for.
    pub(super) fn prefix(&self) -> &str {
        self.text
            .split_once('*')
            .map_or(&*self.text, |(prefix, _)| prefix)
    }

    fn suffix(&self) -> &str {
        self.text.rsplit_once('*').map_or("", |(_, suffix)| suffix)
    }

    /// Number of wildcards.
    pub(super) fn wildcards(&self) -> usize {
        self.text.bytes().filter(|byte| *byte == b'*').count()
    }

    /// Whether the pattern stands for `text`. Takes time in proportion to the sum of both lengths: each piece
    /// is looked for once, in what the pieces before it left, by a search that is linear.
    pub(super) fn matches(&self, text: &str) -> bool {
        if let Some(exact) = self.exact() {
            return exact == text;
        }
        // Both ends first: most texts end here.
        let inside = text.strip_prefix(self.prefix());
        let Some(inside) = inside.and_then(|rest| rest.strip_suffix(self.suffix())) else {
            return false;
        };
        let mut rest = inside.as_bytes();
        // A piece may stand at its first place: what follows has then the most room.
        self.between.iter().all(|piece| {
            let at = piece.find(rest);
            let after = at.and_then(|at| rest.get(at + piece.needle().len()..));
            rest = after.unwrap_or_default();
            after.is_some()
        })
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
        assert!(name_matches("d*", "db") && !name_matches("d*", "cache"));
        assert!(!Pattern::new("a*a").matches("a"));
        assert_eq!(Pattern::new("db").exact(), Some("db"));
        assert_eq!(Pattern::new("d*").exact(), None);
        assert_eq!(Pattern::new("d**b*").wildcards(), 2);
        assert_eq!(
            (Pattern::new("d*b").prefix(), Pattern::new("db").prefix()),
            ("d", "db")
        );
    }
}
