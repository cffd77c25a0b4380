//! How much memory the head of a request holds. Pure.

use axum::http::Request;

/// A place of the table of headers, with its part of the index of them. The table has the places that it has
/// grown to, also those that are free.
const PLACE_BYTES: usize = 112;
/// One more value of a header, in a list of which up to half is free.
const MORE_BYTES: usize = 2 * 72;
/// What is spent on a header where its name and its value lie, besides their bytes.
const TEXT_BYTES: usize = 32;

/// What the head of a request holds, in bytes. By HPACK five hundred headers may come as one byte each.
pub(in crate::gateway) fn head_bytes<B>(request: &Request<B>) -> u64 {
    let headers = request.headers();
    let texts: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + TEXT_BYTES)
        .sum();
    let path = request
        .uri()
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    let more = headers.len().saturating_sub(headers.keys_len());
    let tables = headers.capacity() * PLACE_BYTES + more * MORE_BYTES;
    u64::try_from(texts + path + tables).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn request(names: impl Iterator<Item = String>) -> Request<()> {
        let mut request = Request::new(());
        for name in names {
            let name: HeaderName = name.parse().unwrap();
            let value = HeaderValue::from_static("");
            request.headers_mut().append(name, value);
        }
        request
    }

    #[test]
    fn many_small_headers_hold_more_than_their_bytes() {
        // A table of 768 places of 104 bytes, and a list of 512 places of 72.
        let different = request((0..400).map(|number| format!("x{number}")));
        assert!(head_bytes(&different) > 768 * 104, "{}", head_bytes(&different));
        let same = request((0..400).map(|_| "x".to_owned()));
        assert!(head_bytes(&same) > 512 * 72, "{}", head_bytes(&same));
    }

    #[test]
    fn an_ordinary_head_holds_little_more_than_its_bytes() {
        let mut ordinary = request((0..10).map(|number| format!("header-{number}")));
        let token = HeaderValue::from_str(&"t".repeat(1_500)).unwrap();
        ordinary.headers_mut().insert("authorization", token);
        let holds = head_bytes(&ordinary);
        assert!((1_500..4_096).contains(&holds), "{holds}");
    }
}
