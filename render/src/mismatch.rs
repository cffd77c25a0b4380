//! A value that does not fit what is to be made of it.
//!
//! What everybody hears of that, in a condition, an Event, a log or a pod's FailedMount, is one sentence that
//! follows from the template, the format or the type and the names of the keys alone. INVARIANT: for every
//! two values that don't fit it is the same, byte by byte; otherwise whoever may read conditions learns of
//! values that they may not read. Where and why is a [`Detail`], which is for whoever has the value anyway.

use std::fmt;

use zeroize::Zeroizing;

/// Most places that a message lists, and most names in one place.
const MAX_LISTED_NAMES: usize = 4;

/// A value does not fit. All of `Display`, `Debug` and equality are about the sentence alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Mismatch {
    sentence: String,
    detail: Detail,
}

impl Mismatch {
    /// `places` say what is asked of the value, one each, such as ``template `url`: key `password` …``; none
    /// of them may depend on it.
    #[must_use]
    pub(crate) fn new(places: &[String], detail: Detail) -> Self {
        let mut sentence = places
            .iter()
            .take(MAX_LISTED_NAMES)
            .cloned()
            .collect::<Vec<_>>()
            .join("; or ");
        if places.len() > MAX_LISTED_NAMES {
            sentence.push_str(&format!(
                "; or {} more that are made of it",
                places.len() - MAX_LISTED_NAMES
            ));
        }
        Self { sentence, detail }
    }

    /// Where it does not fit, and why.
    #[must_use]
    pub const fn detail(&self) -> &Detail {
        &self.detail
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value does not fit: ")?;
        f.write_str(&self.sentence)
    }
}

impl fmt::Debug for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mismatch").field(&self.sentence).finish()
    }
}

impl std::error::Error for Mismatch {}

/// Where a value does not fit and why, in words that may show a part of it. Wiped when dropped, and never
/// printed by itself.
#[derive(Clone)]
pub struct Detail(Zeroizing<String>);

impl Detail {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The words, for somebody who has the value.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detail")
    }
}

/// Two errors are the same where they say the same.
impl PartialEq for Detail {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Detail {}

/// Names in backticks, the first few of them.
pub(crate) fn quoted_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut text = names
        .iter()
        .take(MAX_LISTED_NAMES)
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MAX_LISTED_NAMES {
        text.push_str(&format!(" and {} more", names.len() - MAX_LISTED_NAMES));
    }
    text
}
