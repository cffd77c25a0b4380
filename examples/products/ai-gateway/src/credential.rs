//! A credential on the data path.
//!
//! Its value is confirmed once a second at most; while it is the newest, Strongroom opens nothing. What is
//! not confirmed is not used: a key that its owner disables stops the data path within that second.

use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Request;
use http::header::IF_NONE_MATCH;
use kube::client::{Body, Client};
use sha2::Sha256;
use strongroom_api::v1::ValueAnswer;
use tokio::sync::Mutex;

use crate::strongroom::{Outcome, StrongroomError, call};

const MAX_AGE: Duration = Duration::from_secs(1);
/// The key of the value that signs.
pub(crate) const KEY: &str = "value";

/// What was read.
struct CachedValue {
    version: String,
    seen: Instant,
    /// Of the value; wiped when dropped.
    mac: Hmac<Sha256>,
}

/// A default secret of the gateway's.
pub(crate) struct Credential {
    /// Where it is read.
    client: Client,
    path: String,
    cached: Mutex<Option<CachedValue>>,
}

impl Credential {
    pub(crate) fn new(client: Client, path: String) -> Self {
        let cached = Mutex::default();
        Self { client, path, cached }
    }

    /// Signs a request. Those that come while the value is asked for wait for that one answer.
    pub(crate) async fn sign(&self, request: &[u8]) -> Outcome<String> {
        let mut cached = self.cached.lock().await;
        // Taken out: after a refusal there is none.
        let value = match cached.take() {
            Some(value) if value.seen.elapsed() < MAX_AGE => value,
            old => self.confirm(old).await?,
        };
        let mac = cached.insert(value).mac.clone();
        drop(cached);
        Ok(HEXLOWER.encode(&mac.chain_update(request).finalize().into_bytes()))
    }

    async fn confirm(&self, old: Option<CachedValue>) -> Outcome<CachedValue> {
        let seen = Instant::now();
        let mut request = Request::get(&self.path);
        if let Some(old) = &old {
            request = request.header(IF_NONE_MATCH, format!("\"{}\"", old.version));
        }
        let answer: Option<ValueAnswer> = call(&self.client, request.body(Body::empty())).await?;
        let Some(answer) = answer else {
            let old = old.ok_or(StrongroomError::Unreadable)?;
            return Ok(CachedValue { seen, ..old });
        };
        let (version, value) = (answer.version_id, answer.data.get(KEY));
        let mac = value.and_then(|value| Hmac::<Sha256>::new_from_slice(value.expose()).ok());
        let mac = mac.ok_or(StrongroomError::Unreadable)?;
        Ok(CachedValue { version, seen, mac })
    }
}
