//! From a durable cursor over the mutation chain to all of it, in order.
//!
//! A round reads the block after the cursor, brings its new series to the API server, and moves the cursor.
//! The cursor is saved at most once a second, so that it costs few commits; what was told since is told again
//! after a crash, to no effect.

use std::fmt;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::Client;
use strongroom_store::name::CursorName;
use strongroom_store::time::Timestamp;
use strongroom_store::vault::{Retry, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::aggregation::{BLOCK_RECORDS, EventAggregate, aggregate, block_before};
use super::blocking;
use super::cursor::Cursor;
use super::delivery::{DeliveryOutcome, deliver};
use super::event::{Regarding, event};
use super::event_reason::EventSubject;
use super::metrics::AuditMetrics;

/// The cursor's name in the store.
const CURSOR_NAME: &str = "kubernetes-events";

/// Most requests at once.
const MAX_CONCURRENT_REQUESTS: usize = 4;

/// Shortest time between two rounds: what happens meanwhile goes together.
const ROUND_INTERVAL: Duration = Duration::from_millis(250);

/// Each Event makes the next round wait so much longer: in the long run at most 50 a second, so that the
/// story of a burst leaves the API server to the burst itself.
const PAUSE_PER_EVENT: Duration = Duration::from_millis(20);

/// How long one wait for a new record lasts, and so how late a stop is noticed by the thread that waits.
const WATCH_TIMEOUT: Duration = Duration::from_millis(500);

/// Rounds that an Event may fail with an answer of the API server before it is given up.
const MAX_ATTEMPTS: u32 = 8;

/// Tells the mutation chain as Events.
pub(crate) struct EventSink<N> {
    /// To the API server.
    pub(crate) client: Client,
    /// Whose chain.
    pub(crate) store: Store,
    /// The wall clock.
    pub(crate) now: N,
    /// Where it counts.
    pub(crate) metrics: AuditMetrics,
    /// The name of this process among its likes, at most 128 characters: its pod's.
    pub(crate) instance: String,
}

impl<N> fmt::Debug for EventSink<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSink")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A series, and the object that it is about as far as the store knows.
type AddressedEvent = (EventAggregate, Option<Regarding>);

/// What one round has to tell.
#[derive(Debug)]
struct EventBatch {
    /// The last record that was read.
    until: u64,
    /// The oldest record after the cursor.
    oldest: Timestamp,
    told: Vec<AddressedEvent>,
}

impl<N: Fn() -> Timestamp> EventSink<N> {
    /// Works until `stop` turns true or the store closes, then saves the cursor. To be awaited before the
    /// store is closed.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut cursor = Cursor::new(cursor_name());
        tokio::select! {
            // An error means that nobody can stop us any more: the process ends.
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.tell_all(&mut cursor) => {}
        }
        if let Err(error) = cursor.save(&self.store, (self.now)()).await {
            tracing::warn!(%error, "the place of the Events was not saved; some are told again at the next start");
        }
    }

    async fn tell_all(&self, cursor: &mut Cursor<u64>) {
        let mut failures = 0;
        loop {
            let next = match self.round(cursor, failures).await {
                Ok(Progress { events, failed }) => {
                    failures = if failed { failures + 1 } else { 0 };
                    if failed {
                        self.metrics.retried();
                        backoff(failures)
                    } else {
                        ROUND_INTERVAL.max(PAUSE_PER_EVENT * events)
                    }
                }
                Err(error) if error.retry() == Retry::Exit => return,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "the audit records cannot be read; Events wait");
                    backoff(failures)
                }
            };
            sleep_until(Instant::now() + next).await;
        }
    }

    /// One block, as far as it goes. Waits for a record where there is none.
    async fn round(&self, cursor: &mut Cursor<u64>, failures: u32) -> Result<Progress, StoreError> {
        let place = cursor.place(&self.store).await?;
        let head = self.store.mutation_head();
        if head <= place {
            self.metrics.lag(0, 0);
            cursor.save_when_due(&self.store, (self.now)()).await?;
            let store = self.store.clone();
            blocking(move || Ok(store.mutation_after(place, WATCH_TIMEOUT))).await?;
            return Ok(Progress::default());
        }
        let store = self.store.clone();
        let round = blocking(move || read(&store, place)).await?;
        let age = (self.now)().since(round.oldest);
        self.metrics.lag(head - place, age.as_secs());
        let progress = self.send(round.told, failures).await;
        if !progress.failed {
            cursor.advance(round.until);
        }
        cursor.save_when_due(&self.store, (self.now)()).await?;
        Ok(progress)
    }

    /// Sends the series of one round. Each is tried, whatever became of the others.
    async fn send(&self, told: Vec<AddressedEvent>, failures: u32) -> Progress {
        let id = self.store.id();
        let mut fates = stream::iter(told)
            .map(|(series, regarding)| async move {
                let reason = series.content.reason.name();
                let fate = match regarding {
                    Some(regarding) => {
                        deliver(&self.client, &event(&id, &series, &regarding, &self.instance)).await
                    }
                    None => DeliveryOutcome::Skipped("no-object"),
                };
                (reason, fate)
            })
            .buffer_unordered(MAX_CONCURRENT_REQUESTS);
        let mut progress = Progress::default();
        while let Some((reason, fate)) = fates.next().await {
            progress.events += 1;
            match fate {
                DeliveryOutcome::Delivered => self.metrics.delivered(reason),
                DeliveryOutcome::Skipped(cause) => self.metrics.skipped(cause),
                DeliveryOutcome::Again(cause) if failures + 1 >= MAX_ATTEMPTS => {
                    tracing::warn!(
                        cause,
                        reason,
                        "an Event is given up; the audit chain has its record"
                    );
                    self.metrics.skipped(cause);
                }
                DeliveryOutcome::Again(cause) | DeliveryOutcome::Later(cause) => {
                    if !progress.failed {
                        tracing::warn!(cause, "Events cannot be delivered; trying again");
                    }
                    progress.failed = true;
                }
            }
        }
        progress
    }
}

/// What a round came to.
#[derive(Debug, Default)]
struct Progress {
    events: u32,
    /// Something has to be sent again.
    failed: bool,
}

/// The series with records after `place`, of the block that the next record is in.
fn read(store: &Store, place: u64) -> Result<EventBatch, StoreError> {
    let start = block_before(place);
    let block_end = start + BLOCK_RECORDS as u64;
    let mut records = store.mutations_after(start, BLOCK_RECORDS)?;
    records.retain(|(sequence, _)| *sequence <= block_end);
    let until = records.last().map_or(place, |(sequence, _)| *sequence);
    let oldest = records
        .iter()
        .find(|(sequence, _)| *sequence > place)
        .map_or(Timestamp::default(), |(_, entry)| entry.time);
    let told = aggregate(records)
        .into_iter()
        .filter(|series| series.last_sequence > place)
        .map(|series| {
            let regarding = regarding(store, &series);
            (series, regarding)
        })
        .collect();
    Ok(EventBatch { until, oldest, told })
}

/// The object that a series is about.
fn regarding(store: &Store, series: &EventAggregate) -> Option<Regarding> {
    match &series.content.subject {
        EventSubject::Secret(namespace, id) => {
            let object = store.describe(*id).ok().and_then(|secret| secret.object);
            let (name, uid) = match object {
                Some(object) => (object.name, Some(object.uid.to_string())),
                // A destroyed secret has no object any more. Most objects are called what their secrets are.
                None => (object_name(series.first.secret.as_ref()?.as_str())?, None),
            };
            Some(Regarding::ManagedSecret {
                namespace: namespace.to_string(),
                name,
                uid,
            })
        }
        EventSubject::Namespace(name) => {
            let uid = store.namespace_named(name).ok().flatten()?.uid;
            Some(Regarding::Namespace {
                name: name.to_string(),
                uid: uid.map(|uid| uid.to_string()),
            })
        }
    }
}

/// A secret's name where an object can be called that (RFC 1123 subdomain).
fn object_name(name: &str) -> Option<String> {
    let label = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.split('.').all(label).then(|| name.to_owned())
}

#[expect(clippy::expect_used, reason = "a constant that a test reads")]
pub(super) fn cursor_name() -> CursorName {
    CURSOR_NAME.parse().expect("a cursor's name")
}

/// One second, doubled with each failure up to a minute.
fn backoff(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(60))
}
