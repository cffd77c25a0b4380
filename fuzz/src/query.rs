//! Queries of ListSecrets.

use strongroom_rules::request::list_query::{LABELS, ListQuery, PAGE_LIMIT};

/// Reads a query: what is one is within its bounds, and a refusal repeats nothing that was sent.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(query) = ListQuery::parse(text) {
        assert!(query.labels.len() <= LABELS, "too many labels");
        assert!(query.limit.is_none_or(|limit| (1..=PAGE_LIMIT).contains(&limit)));
        let held = query.name.len() + query.description.len();
        // A `%XX` that is not UTF-8 is three bytes for three.
        assert!(held <= text.len(), "what is kept is longer than what came");
    }
}
