//! Tokens that tests make: [`strongroom_rules::request::token`] reads them.

/// A token for tests: of this subject, for our audience, with an end in a far future.
pub(in crate::gateway) fn made_for(subject: &str) -> String {
    made_with(&serde_json::json!({"sub": subject, "aud": ["strongroom.dev"], "exp": 32_503_680_000_i64}))
}

/// The same with these claims.
pub(in crate::gateway) fn made_with(claims: &serde_json::Value) -> String {
    let claims = data_encoding::BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
    format!("eyJhbGciOiJSUzI1NiJ9.{claims}.c2lnbmF0dXJl")
}

/// The subject of such a token.
pub(in crate::gateway) fn subject_of(token: &str) -> Option<String> {
    let claims = data_encoding::BASE64URL_NOPAD
        .decode(token.split('.').nth(1)?.as_bytes())
        .ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    Some(claims["sub"].as_str()?.to_owned())
}
