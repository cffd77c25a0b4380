//! Who asks: tokens of the API server, made for our audience, checked by TokenReview
//! (<https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/>).
//!
//! An answer counts for at most ten seconds, so a token of a pod that is gone is refused soon after. A token
//! in use is reviewed anew before those are over, so that no request waits for it and a thousand callers that
//! came at once do not come again at once. While the API server is away, a token that it accepted before
//! stays accepted for the time of grace, and never after its own end. Must not keep a token: its hash is
//! enough.
//!
//! Who is unknown costs a review only with what may be a token of ours, and only while its address has not
//! failed too often.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};
use strongroom_rules::policy::{Identity, Principal};
use strongroom_rules::request::token::{TOKEN_BYTES, end_of, may_be_ours};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::may_get::MayGet;
use super::problem::{Code, Problem};
use super::request::RefusalReason;
use super::review_capacity::ReviewCapacity;
use super::single_flight::SingleFlight;
use super::ttl_cache::TtlCache;
use crate::kube::in_words;

/// How long an answer of the API server counts.
const REVIEW_TTL: Duration = Duration::from_secs(10);
/// At the earliest at this age an answer is asked for anew while it still counts,
const REFRESH_AFTER: Duration = Duration::from_secs(5);
/// and at the latest so much later: when exactly is the token's own.
const REFRESH_SPREAD: Duration = Duration::from_millis(3_500);
/// Tokens that are reviewed ahead at the same time: whoever comes with a new one waits for none of them.
const MAX_REFRESH_REVIEWS: usize = 8;
/// How long an accepted token stays so while the API server is away.
const OUTAGE_GRACE: Duration = Duration::from_secs(15 * 60);
/// Reviews a second of tokens that hold a stream, all together: with those at once, a hundred.
const STREAM_REVIEW_QUOTA: Quota =
    Quota::per_second(NonZeroU32::MIN.saturating_add(91)).allow_burst(NonZeroU32::MIN.saturating_add(7));

/// At whose expense a token is reviewed.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReviewBudget<'a> {
    /// Of a caller at this address that is not authenticated yet, and of the listener that it uses.
    Address(IpAddr, &'a ReviewCapacity),
    /// Of a node, which has, at the shared gateway.
    Node,
}

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    /// UID of the ServiceAccount, where a token says it.
    pub(super) account_uid: Option<String>,
    /// The pod that the token is bound to: name and UID.
    pub(super) pod: Option<(String, String)>,
    /// The node that the pod runs on.
    pub(super) node: Option<String>,
    /// The API server was away, and the token was accepted before.
    pub(super) offline: bool,
    /// A person of whom the extension API says that the API server verified who it is.
    pub(super) via_extension_api: bool,
    /// What it may `get` by RBAC of the namespace that the request is about.
    pub(super) may_get: Option<MayGet>,
}

/// Checks tokens.
pub(super) struct Authenticator {
    client: Client,
    audience: String,
    answers: TtlCache<[u8; 32], CachedReview>,
    /// A pod's volumes all come with the same token.
    flights: SingleFlight<[u8; 32]>,
    /// What the shared gateway has room for.
    shared: Arc<ReviewCapacity>,
    room_ahead: Arc<Semaphore>,
    /// The pace of reviews of tokens that hold a stream.
    again: DefaultDirectRateLimiter,
}

#[derive(Clone, Debug)]
struct CachedReview {
    /// None: refused.
    caller: Option<Arc<Caller>>,
    /// When the token ends, in seconds since the Unix epoch.
    ends: Option<i64>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    pub(super) fn new(client: Client, audience: String, shared: Arc<ReviewCapacity>) -> Self {
        Self {
            client,
            audience,
            answers: TtlCache::default(),
            flights: SingleFlight::default(),
            shared,
            room_ahead: Arc::new(Semaphore::new(MAX_REFRESH_REVIEWS)),
            again: RateLimiter::direct(STREAM_REVIEW_QUOTA),
        }
    }

    /// The caller of a token.
    pub(super) async fn authenticate(
        self: &Arc<Self>,
        token: &str,
        budget: ReviewBudget<'_>,
    ) -> Result<Arc<Caller>, Problem> {
        if token.is_empty() || token.len() > TOKEN_BYTES {
            return Err(unauthenticated());
        }
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some((age, answer)) = self.answers.get_with_age(&hash, REVIEW_TTL) {
            if answer.caller.is_some() && age >= ahead(&hash) {
                self.refresh_in_background(hash, token);
            }
            return answer.caller.ok_or_else(unauthenticated);
        }
        let capacity = match budget {
            ReviewBudget::Address(_, capacity) => capacity,
            ReviewBudget::Node => &*self.shared,
        };
        let now = jiff::Timestamp::now().as_second();
        if !may_be_ours(token, &self.audience, now) {
            capacity.refused(RefusalReason::NoToken);
            return Err(unauthenticated());
        }
        let _turn = self.flights.acquire(hash).await;
        if let Some(answer) = self.answers.get(&hash, REVIEW_TTL) {
            return answer.caller.ok_or_else(unauthenticated);
        }
        let _own = match budget {
            ReviewBudget::Address(address, _) => capacity.admit(address).await?,
            ReviewBudget::Node => None,
        };
        let _room = capacity.acquire().await;
        // A request to the API server is a large future; callers that wait for their turn must not hold one.
        match Box::pin(self.review(token)).await {
            Ok(caller) => self.remember(hash, token, caller).ok_or_else(unauthenticated),
            Err(error) => {
                tracing::warn!(error = %in_words(&error), "token review failed");
                self.answers
                    .get(&hash, OUTAGE_GRACE)
                    .filter(|_| is_outage(&error))
                    .filter(|answer| in_grace(answer, jiff::Timestamp::now().as_second()))
                    .and_then(|answer| answer.caller)
                    .map(|caller| {
                        Arc::new(Caller {
                            offline: true,
                            ..Caller::clone(&caller)
                        })
                    })
                    .ok_or_else(|| {
                        Problem::new(
                            Code::AuthenticationUnavailable,
                            "the API server does not answer, so the token cannot be checked; try again",
                        )
                        .retry_after(2)
                    })
            }
        }
    }

    /// The caller of a token that was accepted long ago, by an answer of now. It waits for its pace and
    /// behind all who come with a new one.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] where it is refused by now; [`Code::AuthenticationUnavailable`] where nobody
    /// answers: then it is not known.
    pub(super) async fn review_again(&self, token: &str) -> Result<Arc<Caller>, Problem> {
        self.again.until_ready().await;
        // It is never closed.
        let _room = self.room_ahead.acquire().await;
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        match Box::pin(self.review(token)).await {
            Ok(caller) => self.remember(hash, token, caller).ok_or_else(unauthenticated),
            Err(error) => Err(Problem::new(
                Code::AuthenticationUnavailable,
                in_words(&error).to_string(),
            )),
        }
    }

    /// Asks for an answer anew that still counts, beside the request that found it to be of an age.
    fn refresh_in_background(self: &Arc<Self>, hash: [u8; 32], token: &str) {
        // Where there is no room, the next request with this token tries again; the last may have to wait.
        let Ok(room) = Arc::clone(&self.room_ahead).try_acquire_owned() else {
            return;
        };
        let Some(turn) = self.flights.try_acquire(hash) else {
            return;
        };
        let (authenticator, token) = (Arc::clone(self), Zeroizing::new(token.to_owned()));
        tokio::spawn(async move {
            let _held = (room, turn);
            // The old answer counts until its ten seconds are over; who comes then says why the API server
            // does not answer.
            if let Ok(caller) = authenticator.review(&token).await {
                authenticator.remember(hash, &token, caller);
            }
        });
    }

    fn remember(&self, hash: [u8; 32], token: &str, caller: Option<Caller>) -> Option<Arc<Caller>> {
        let caller = caller.map(Arc::new);
        let answer = CachedReview {
            caller: caller.clone(),
            ends: end_of(token),
        };
        // Refusals are dropped first: anybody can make as many of them as they like. Then those of the
        // namespace that has the most: anybody can have many tokens and ServiceAccounts of their own.
        let keep = |age, answer: &CachedReview| answer.caller.is_some() && age < OUTAGE_GRACE;
        self.answers.put_with_owner(hash, answer, keep, |answer| {
            let caller = answer.caller.as_ref();
            caller.map(|caller| owner_of(&caller.principal.identity))
        });
        caller
    }

    async fn review(&self, token: &str) -> Result<Option<Caller>, kube::Error> {
        self.shared.count_review();
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.audience.clone()]),
                token: Some(token.to_owned()),
            },
            ..TokenReview::default()
        };
        let answer = Api::<TokenReview>::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await?;
        Ok(answer.status.and_then(|status| accepted(status, &self.audience)))
    }

    /// Answers that are there count from now on for nothing but the time of grace.
    #[cfg(test)]
    pub(super) fn age(&self) {
        self.answers.age(REVIEW_TTL);
    }

    /// Forgets what does not count any more.
    pub(super) fn forget(&self) {
        self.answers.forget(|age, answer| {
            age < if answer.caller.is_some() {
                OUTAGE_GRACE
            } else {
                REVIEW_TTL
            }
        });
    }
}

/// The age from which this token's answer is asked for anew.
fn ahead(hash: &[u8; 32]) -> Duration {
    let [part, ..] = *hash;
    REFRESH_AFTER + REFRESH_SPREAD * u32::from(part) / 256
}

/// At whose expense a caller's answers are kept: its namespace's, or its own.
fn owner_of(identity: &Identity) -> String {
    identity
        .namespace()
        .map_or_else(|| identity.to_string(), str::to_owned)
}

/// Whether this says that the API server is away: it is not reached, takes too long, or is broken. One that
/// refuses is there.
fn is_outage(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}

fn unauthenticated() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "send `Authorization: Bearer <token>` with a valid token of this cluster for the audience `strongroom.dev`, such as a projected ServiceAccount token",
    )
}

/// Whether an answer of the time of grace still counts.
fn in_grace(answer: &CachedReview, now: i64) -> bool {
    answer.caller.is_some() && answer.ends.is_none_or(|ends| now < ends)
}

/// The caller that the API server names, if it accepts the token for our audience.
fn accepted(status: TokenReviewStatus, audience: &str) -> Option<Caller> {
    let for_us = status.audiences.iter().flatten().any(|name| name == audience);
    if status.authenticated != Some(true) || !for_us {
        return None;
    }
    let user = status.user?;
    let username = user.username.filter(|name| !name.is_empty())?;
    // A token that was made by another one is of the pod, node and so on that stand in its claims.
    let extra = user.extra.unwrap_or_default();
    let one = |key: &str| {
        extra
            .get(&format!("authentication.kubernetes.io/{key}"))
            .and_then(|values| values.first())
            .cloned()
    };
    Some(Caller {
        principal: Principal {
            identity: Identity::from_username(&username),
            groups: user.groups.unwrap_or_default(),
        },
        account_uid: user.uid.filter(|uid| !uid.is_empty()),
        pod: one("pod-name").zip(one("pod-uid")),
        node: one("node-name"),
        offline: false,
        via_extension_api: false,
        may_get: None,
    })
}

#[cfg(test)]
mod tests;
