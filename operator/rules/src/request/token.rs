//! Whether a token may be one that the API server accepts for our audience, before it is asked: pure. Its
//! signature is not ours to check.
//!
//! INVARIANT: what this refuses, the API server would refuse as well. A token that is bound to an audience is
//! a JWT (RFC 7519) that says so.

use serde::Deserialize;

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES: usize = 12 * 1024;

/// What is read of a token.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Audience,
    exp: Option<i64>,
}

/// One audience or several (RFC 7519 section 4.1.3).
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
    #[default]
    None,
}

impl Audience {
    fn has(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
            Self::None => false,
        }
    }
}

fn claims(token: &str) -> Option<Claims> {
    if token.len() > TOKEN_BYTES {
        return None;
    }
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        return None;
    };
    let in_base64url = |part: &&str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if ![header, signature].into_iter().all(in_base64url) {
        return None;
    }
    let claims = data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?;
    // An array is none, though it may have the fields in their order.
    if claims.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(&claims).ok()
}

/// Whether it is a JWT for this audience whose end, in seconds since the Unix epoch, is yet to come.
pub fn may_be_ours(token: &str, audience: &str, now: i64) -> bool {
    claims(token).is_some_and(|claims| claims.aud.has(audience) && claims.exp.is_some_and(|ends| now < ends))
}

/// The end of a token (`exp` of RFC 7519 section 4.1.4), in seconds since the Unix epoch.
pub fn end_of(token: &str) -> Option<i64> {
    claims(token)?.exp
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made_with(claims: &serde_json::Value) -> String {
        let claims = data_encoding::BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
        format!("eyJhbGciOiJSUzI1NiJ9.{claims}.c2lnbmF0dXJl")
    }

    #[test]
    fn only_what_may_be_accepted_is_asked_about() {
        let ours = |claims: &serde_json::Value| may_be_ours(&made_with(claims), "strongroom.dev", 1_000);
        assert!(ours(&json!({"aud": "strongroom.dev", "exp": 1_001})));
        assert!(ours(
            &json!({"aud": ["other", "strongroom.dev"], "exp": 1_001, "sub": "x"})
        ));
        for wrong in [
            json!({"aud": "strongroom.dev", "exp": 1_000}),
            json!({"aud": "strongroom.dev"}),
            json!({"aud": ["https://kubernetes.default.svc"], "exp": 1_001}),
            json!({"exp": 1_001}),
            json!({"aud": {"a": "strongroom.dev"}, "exp": 1_001}),
            json!(["strongroom.dev", 1_001]),
        ] {
            assert!(!ours(&wrong), "{wrong}");
        }
        let good = made_with(&json!({"sub": "jane", "aud": ["strongroom.dev"], "exp": 32_503_680_000_i64}));
        assert!(may_be_ours(&good, "strongroom.dev", 1_000));
        let claims = good.split('.').nth(1).unwrap();
        for wrong in [
            String::new(),
            "nobody".to_owned(),
            "a.b.c".to_owned(),
            format!("{claims}.{claims}"),
            format!(".{claims}.c"),
            format!("a.{claims}."),
            format!("a b.{claims}.c"),
            format!("{good}.d"),
            format!("{good}{}", "x".repeat(TOKEN_BYTES)),
        ] {
            assert!(!may_be_ours(&wrong, "strongroom.dev", 1_000), "{wrong}");
        }
        assert_eq!(end_of(&good), Some(32_503_680_000));
        assert_eq!(end_of("opaque"), None);
        assert_eq!(end_of("a.!.c"), None);
    }
}
