//! What somebody with a token, or with what looks like one, tries.

use std::net::Ipv4Addr;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use http::{Method, Request};
use http_body_util::BodyExt;
use hyper::client::conn::http2::SendRequest;
use tokio::task::JoinSet;

use super::strangers::{STREAMS_PER_CONNECTION, empty, endless};
use super::target::{AnyBody, Target};

/// One who is hung up on comes again after this.
const RECONNECT_DELAY: Duration = Duration::from_millis(50);

fn request(method: &Method, path: &str, token: &str, body: AnyBody) -> http::Result<Request<AnyBody>> {
    Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"))
        .header("authorization", format!("Bearer {token}"))
        .body(body)
}

/// How often something is tried.
#[derive(Clone, Copy)]
pub(super) struct Attempts {
    /// At most so often,
    pub(super) most: usize,
    /// with so long between two.
    pub(super) pause: Duration,
}

/// Asks one thing after the other, each answer taken, on connections that are made anew as often as needed.
async fn send_requests(
    target: &Target,
    from: Ipv4Addr,
    attempts: Attempts,
    next: impl Fn(usize) -> http::Result<Request<AnyBody>>,
) {
    let mut connection: Option<SendRequest<AnyBody>> = None;
    for number in 0..attempts.most {
        tokio::time::sleep(attempts.pause).await;
        let Ok(request) = next(number) else {
            continue;
        };
        let mut sender = match connection.take() {
            Some(sender) => sender,
            None => match target.http2(from, 1 << 16).await {
                Ok((sender, _)) => sender,
                Err(_) => {
                    tokio::time::sleep(RECONNECT_DELAY).await;
                    continue;
                }
            },
        };
        // Refused or not, the next one follows.
        if let Ok(answer) = sender.send_request(request).await
            && answer.into_body().collect().await.is_ok()
        {
            connection = Some(sender);
        }
    }
}

/// Tokens of the right shape and audience that nobody signed, each different: each costs a TokenReview and
/// a record if the gateway lets it.
pub(super) async fn junk_tokens(target: &Target, from: Ipv4Addr, attempts: Attempts) {
    let encode = |json: &str| BASE64URL_NOPAD.encode(json.as_bytes());
    let head = encode(r#"{"alg":"RS256","kid":"none"}"#);
    send_requests(target, from, attempts, |number| {
        let claims = format!(
            r#"{{"aud":["strongroom.dev"],"exp":4102444800,"sub":"system:serviceaccount:evil:{number}"}}"#
        );
        let token = format!(
            "{head}.{}.{}",
            encode(&claims),
            encode(&format!("signature {number}"))
        );
        request(
            &Method::GET,
            "/v1/namespaces/shop/secrets/none/value",
            &token,
            empty(),
        )
    })
    .await;
}

/// Reads at this path, one after the other: of a secret that the caller may not read, each leaves a refusal.
pub(super) async fn reads(target: &Target, from: Ipv4Addr, token: &str, path: &str, attempts: Attempts) {
    send_requests(target, from, attempts, |_| {
        request(&Method::GET, path, token, empty())
    })
    .await;
}

/// Reads of names as long as a head can have: in vain, each compared with every pattern if it is let so far.
pub(super) async fn long_names(
    target: &Target,
    from: Ipv4Addr,
    token: &str,
    namespace: &str,
    attempts: Attempts,
) {
    let name = "a".repeat(8_000);
    let path = format!("/v1/namespaces/{namespace}/secrets/{name}/value");
    reads(target, from, token, &path, attempts).await;
}

/// As many requests as there are, on connections whose streams have this window, none of which ends by
/// itself.
async fn held(
    target: &Target,
    from: Ipv4Addr,
    requests: usize,
    window: u32,
    next: impl Fn() -> http::Result<Request<AnyBody>>,
) -> JoinSet<()> {
    let mut held = JoinSet::new();
    for _ in 0..requests / STREAMS_PER_CONNECTION {
        let Ok((sender, _)) = target.http2(from, window).await else {
            tokio::time::sleep(RECONNECT_DELAY).await;
            continue;
        };
        for _ in 0..STREAMS_PER_CONNECTION {
            let (Ok(request), mut sender) = (next(), sender.clone()) else {
                continue;
            };
            held.spawn(async move {
                let answer = sender.send_request(request).await;
                std::future::pending::<()>().await;
                drop(answer);
            });
        }
    }
    held
}

/// Requests for many secrets whose bodies never come. What it returns holds them.
pub(super) async fn bodies_that_do_not_come(
    target: &Target,
    from: Ipv4Addr,
    token: &str,
    namespace: &str,
    requests: usize,
) -> JoinSet<()> {
    let path = format!("/v1/namespaces/{namespace}/secrets:batchGet");
    held(target, from, requests, 1 << 16, || {
        let mut request = request(&Method::POST, &path, token, endless(Vec::new()))?;
        let json = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert("content-type", json);
        Ok(request)
    })
    .await
}

/// Reads at this path whose answers nobody takes. What it returns holds them.
pub(super) async fn unread_values(
    target: &Target,
    from: Ipv4Addr,
    token: &str,
    path: &str,
    requests: usize,
) -> JoinSet<()> {
    held(target, from, requests, 0, || {
        request(&Method::GET, path, token, empty())
    })
    .await
}

/// Watches of a secret. What it returns holds them.
pub(super) async fn watches(
    target: &Target,
    from: Ipv4Addr,
    token: &str,
    path: &str,
    requests: usize,
) -> JoinSet<()> {
    held(target, from, requests, 1 << 16, || {
        request(&Method::GET, path, token, empty())
    })
    .await
}
