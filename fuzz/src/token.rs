//! Tokens that strangers send, before the API server is asked about them.

use strongroom_rules::request::token::{TOKEN_BYTES, end_of, may_be_ours};

/// The audience that counts.
const AUDIENCE: &str = "strongroom.dev";

/// Reads a token: what may be ours has an end, is short, and has three parts without a space.
pub fn run(input: &[u8]) {
    let Ok(token) = std::str::from_utf8(input) else {
        return;
    };
    let now = 1_795_465_320;
    if may_be_ours(token, AUDIENCE, now) {
        assert!(token.len() <= TOKEN_BYTES, "a long token is looked at");
        assert_eq!(token.split('.').count(), 3, "it has not three parts");
        assert!(
            token.bytes().all(|byte| byte.is_ascii_graphic()),
            "it has what no header may have"
        );
        assert!(end_of(token).is_some_and(|ends| ends > now), "it is over");
        assert!(
            !may_be_ours(token, "another", i64::MAX),
            "it is anybody's for ever"
        );
    }
}
