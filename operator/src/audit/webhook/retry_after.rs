//! How long an answer asks us to wait (RFC 9110 section 10.2.3): in seconds, or until a time.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// The time that these headers ask for; none where they ask for none, or say it in no known form. Whoever
/// waits bounds it.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTimeParser::new().parse_timestamp(text).ok()?;
    // A time that is over asks for nothing.
    Duration::try_from(until.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn seconds_and_times_are_read() {
        let now: Timestamp = "2026-11-23T20:22:00Z".parse().unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("18446744073709551615", Some(u64::MAX)),
            ("Mon, 23 Nov 2026 20:23:30 GMT", Some(90)),
            ("Mon, 23 Nov 2026 20:21:30 GMT", None),
            ("soon", None),
            ("-5", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(text));
            assert_eq!(
                retry_after(&headers, now),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
