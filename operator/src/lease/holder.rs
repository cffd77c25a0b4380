//! Takes the Lease, keeps it, and gives it back.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};

use super::decide::{ObservedLease, Step, decide};
use crate::kube::in_words;

/// Name of the Lease, in the process's own namespace.
const LEASE_NAME: &str = "strongroom";
/// For how long a holder is believed without a sign of life.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How often a sign of life is given.
const RENEW_INTERVAL: Duration = Duration::from_secs(5);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before asking an API server again that did not answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The Lease is not ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaseError {
    /// Somebody else has it.
    #[error("`{0}` took the lease over; this process ends, so that only one writes")]
    Lost(String),
}

/// One request's end that is not a success.
#[derive(Debug)]
enum AttemptError {
    /// Somebody wrote in between: look again at once.
    Conflict,
    /// The API server did not answer, or refused.
    Away(String),
}

impl From<kube::Error> for AttemptError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.is_conflict() || status.is_already_exists() => Self::Conflict,
            other => Self::Away(in_words(&other).to_string()),
        }
    }
}

/// The Lease, held.
pub(crate) struct Lease {
    api: Api<Object>,
    me: String,
    transitions: i32,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

impl Lease {
    /// Takes the Lease, however long that takes. `waiting` is told why it takes so long.
    pub(crate) async fn take(client: Client, namespace: &str, me: &str, waiting: impl Fn(String)) -> Self {
        let api: Api<Object> = Api::namespaced(client, namespace);
        let mut watched: Option<(String, Instant)> = None;
        loop {
            match attempt(&api, me, &mut watched).await {
                Ok(Ok(transitions)) => {
                    return Self {
                        api,
                        me: me.to_owned(),
                        transitions,
                    };
                }
                Ok(Err((holder, left))) => {
                    waiting(format!("the lease is held by `{holder}`"));
                    tokio::time::sleep(left.min(RETRY_INTERVAL)).await;
                }
                Err(AttemptError::Conflict) => {}
                Err(AttemptError::Away(why)) => {
                    tracing::warn!(error = %why, "lease acquisition failed");
                    waiting(format!("the API server does not answer: {why}"));
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    /// How often the Lease changed hands: part of the fencing epoch.
    pub(crate) fn transitions(&self) -> u64 {
        u64::try_from(self.transitions).unwrap_or(0)
    }

    /// Keeps the Lease until it is lost. An API server that does not answer changes nothing: the lock on the
    /// store holds.
    pub(crate) async fn renew_until_lost(&self) -> LeaseError {
        loop {
            tokio::time::sleep(RENEW_INTERVAL).await;
            match self.renew().await {
                Ok(None) => {}
                Ok(Some(holder)) => return LeaseError::Lost(holder),
                Err(AttemptError::Conflict) => {}
                Err(AttemptError::Away(why)) => {
                    tracing::warn!(error = %why, "lease renewal failed")
                }
            }
        }
    }

    /// A sign of life; who has it, where that is not us.
    async fn renew(&self) -> Result<Option<String>, AttemptError> {
        let object = in_time(self.api.get_opt(LEASE_NAME)).await?;
        let seen = object.as_ref().map(|object| seen(object, Duration::ZERO));
        match decide(seen.as_ref(), &self.me, true) {
            Step::Create => {
                in_time(
                    self.api
                        .create(&PostParams::default(), &written(None, &self.me, self.transitions)),
                )
                .await?;
                Ok(None)
            }
            Step::Renew => {
                let renewed = written(object, &self.me, self.transitions);
                in_time(self.api.replace(LEASE_NAME, &PostParams::default(), &renewed)).await?;
                Ok(None)
            }
            Step::Lost | Step::Take(_) | Step::Wait(_) => Ok(Some(seen.unwrap_or_default().holder)),
        }
    }

    /// Gives the Lease back, so that the next one need not wait.
    pub(crate) async fn release(&self) {
        let Ok(Some(object)) = in_time(self.api.get_opt(LEASE_NAME)).await else {
            return;
        };
        if seen(&object, Duration::ZERO).holder == self.me {
            let released = written(Some(object), "", self.transitions);
            // Where this fails the next one waits out the duration.
            let _ = in_time(self.api.replace(LEASE_NAME, &PostParams::default(), &released)).await;
        }
    }
}

/// One try: transitions once it is ours, else who has it and for how long at most.
async fn attempt(
    api: &Api<Object>,
    me: &str,
    watched: &mut Option<(String, Instant)>,
) -> Result<Result<i32, (String, Duration)>, AttemptError> {
    let object = in_time(api.get_opt(LEASE_NAME)).await?;
    let version = object
        .as_ref()
        .and_then(|object| object.metadata.resource_version.clone())
        .unwrap_or_default();
    let unchanged_for = match watched {
        Some((known, since)) if *known == version => since.elapsed(),
        _ => {
            *watched = Some((version, Instant::now()));
            Duration::ZERO
        }
    };
    let seen = object.as_ref().map(|object| seen(object, unchanged_for));
    match decide(seen.as_ref(), me, false) {
        Step::Create => {
            in_time(api.create(&PostParams::default(), &written(None, me, 1))).await?;
            Ok(Ok(1))
        }
        Step::Take(transitions) => {
            in_time(api.replace(
                LEASE_NAME,
                &PostParams::default(),
                &written(object, me, transitions),
            ))
            .await?;
            Ok(Ok(transitions))
        }
        Step::Wait(left) => Ok(Err((seen.unwrap_or_default().holder, left))),
        Step::Renew | Step::Lost => Err(AttemptError::Conflict),
    }
}

async fn in_time<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, AttemptError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(AttemptError::Away(format!(
            "no answer within {} s",
            REQUEST_TIMEOUT.as_secs()
        ))),
    }
}

fn seen(object: &Object, unchanged_for: Duration) -> ObservedLease {
    let spec = object.spec.clone().unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    ObservedLease {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: seconds.map_or(LEASE_DURATION, Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or(0),
        unchanged_for,
    }
}

/// The Lease as we write it: the resource version that was read goes back with it, so that two writers cannot
/// both succeed.
fn written(before: Option<Object>, holder: &str, transitions: i32) -> Object {
    let now = MicroTime(Timestamp::now());
    let before_spec = before
        .as_ref()
        .and_then(|object| object.spec.clone())
        .unwrap_or_default();
    let same = before_spec.holder_identity.as_deref() == Some(holder);
    Object {
        metadata: before.map_or_else(
            || ObjectMeta {
                name: Some(LEASE_NAME.to_owned()),
                ..ObjectMeta::default()
            },
            |object| object.metadata,
        ),
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            lease_transitions: Some(transitions),
            acquire_time: if same {
                before_spec.acquire_time
            } else {
                Some(now.clone())
            },
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    }
}
