//! How the own protocol finds the caller: by a bearer token, or, of a peer that proved to be the extension
//! API, by the person whom the API server verified.

use std::sync::Arc;

use axum::http::{HeaderMap, header};

use crate::gateway::forwarded::ForwardedIdentity;
use crate::gateway::listen::Peer;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::Credentials;

/// What a request has to say who asks.
pub(super) fn credentials(peer: Peer, headers: &HeaderMap) -> Result<Credentials<'_>, Problem> {
    if !peer.proven {
        return Ok(Credentials::Token(bearer(headers).unwrap_or_default()));
    }
    let (caller, from) = ForwardedIdentity::read(headers)
        .map(ForwardedIdentity::caller)
        .ok_or_else(|| Problem::new(Code::Unauthenticated, "the API server sent no user"))?;
    Ok(Credentials::Verified(Arc::new(caller), from))
}

/// The token of a request, where it has one (RFC 6750 section 2.1).
pub(in crate::gateway) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
