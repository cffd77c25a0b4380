//! Records of changes as Kubernetes Events on the objects that they are about. It is always on.
//!
//! Of each batch, the blocks that its records are in are read again from the chain, because the series of a
//! block may have begun before the batch. Events that are sent again after a crash change nothing.

use std::io;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use strongroom_api::audit::Chain;
use strongroom_store::vault::{Store, StoreError};
use tokio::time::Instant;

use super::aggregation::{BLOCK_RECORDS, EventAggregate, aggregate, block_before};
use super::blocking;
use super::delivery::{DeliveryOutcome, deliver};
use super::destination::Destination;
use super::event::{Regarding, event};
use super::event_attempts::EventAttempts;
use super::event_content::EventSubject;
use super::page::PageLimits;
use super::sink::{Batch, Sink, SinkError};
use super::sink_kind::{SinkContext, SinkKind};

/// Nobody has to name it.
pub(super) const KIND: SinkKind = SinkKind::Always {
    cursor: NAME,
    destination,
};

/// What it and its cursor are called.
const NAME: &str = "kubernetes-events";

fn destination(context: &SinkContext) -> Destination {
    let context = context.clone();
    Destination::for_changes(NAME, move || EventSink::new(context.clone()))
}

/// Most requests at once.
const MAX_CONCURRENT_REQUESTS: usize = 4;

/// Shortest time between two batches: what happens meanwhile goes together.
const BATCH_INTERVAL: Duration = Duration::from_millis(250);

/// Each Event makes the next batch wait so much longer: in the long run at most 50 a second, so that the
/// story of a burst leaves the API server to the burst itself.
const PAUSE_PER_EVENT: Duration = Duration::from_millis(20);

/// How long a batch may take: longer than all its requests, each as late as it may be.
const BATCH_TIMEOUT: Duration = Duration::from_secs(900);

/// A series, and the object that it is about as far as the store knows.
type AddressedEvent = (EventAggregate, Option<Regarding>);

/// Tells changes as Events.
struct EventSink {
    context: SinkContext,
    attempts: EventAttempts,
    /// What the last batch costs.
    pause: Duration,
}

impl EventSink {
    fn new(context: SinkContext) -> Self {
        Self {
            context,
            attempts: EventAttempts::default(),
            pause: BATCH_INTERVAL,
        }
    }

    async fn tell(&mut self, batch: Batch<'_>) -> Result<(), SinkError> {
        let changes = batch.lines.iter().map(|line| &line.record);
        let mut changes = changes.filter(|record| record.chain == Chain::Changes);
        // What is said of a gap is no change.
        let Some(first) = changes.next().map(|record| record.sequence) else {
            return Ok(());
        };
        let last = changes.next_back().map_or(first, |record| record.sequence);
        let store = self.context.store.clone();
        let told = blocking(move || read(&store, first, last))
            .await
            .map_err(|error| io::Error::other(error.to_string()))?;
        let events = u32::try_from(told.len()).unwrap_or(u32::MAX);
        self.pause = BATCH_INTERVAL.max(PAUSE_PER_EVENT.saturating_mul(events));
        match self.send(told).await {
            None => {
                self.attempts.succeeded();
                Ok(())
            }
            Some(cause) => {
                self.attempts.failed();
                self.context.metrics.events().retried();
                Err(SinkError::Events(cause))
            }
        }
    }

    /// Sends the series of a batch. Each is tried, whatever became of the others. Answers why one of them has
    /// to be sent again, if so.
    async fn send(&mut self, told: Vec<AddressedEvent>) -> Option<&'static str> {
        let context = self.context.clone();
        let (id, metrics) = (context.store.id(), context.metrics.events());
        let (client, instance) = (&context.client, &context.instance);
        let mut outcomes = stream::iter(told)
            .map(|(series, regarding)| async move {
                let reason = series.content.reason;
                let Some(regarding) = regarding else {
                    return (reason, None, DeliveryOutcome::Skipped("no-object"));
                };
                let event = event(&id, &series, &regarding, instance);
                let outcome = deliver(client, &event).await;
                (reason, event.metadata.namespace, outcome)
            })
            .buffer_unordered(MAX_CONCURRENT_REQUESTS);
        let mut failed = None;
        while let Some((reason, namespace, outcome)) = outcomes.next().await {
            match outcome {
                DeliveryOutcome::Delivered => metrics.delivered(reason),
                DeliveryOutcome::Skipped(cause) => metrics.skipped(cause),
                DeliveryOutcome::Again(cause)
                    if self.attempts.are_enough(
                        namespace.as_deref().unwrap_or_default(),
                        cause,
                        Instant::now(),
                    ) =>
                {
                    tracing::warn!(
                        cause,
                        reason = reason.as_str(),
                        "event dropped, the audit log has its record"
                    );
                    metrics.skipped(cause);
                }
                DeliveryOutcome::Again(cause) | DeliveryOutcome::Later(cause) => {
                    failed.get_or_insert(cause);
                }
            }
        }
        failed
    }
}

impl Sink for EventSink {
    fn deliver<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), SinkError>> {
        Box::pin(self.tell(batch))
    }

    fn limits(&self) -> PageLimits {
        PageLimits {
            records: BLOCK_RECORDS,
            ..PageLimits::default()
        }
    }

    fn timeout(&self) -> Duration {
        BATCH_TIMEOUT
    }

    fn pause(&self) -> Duration {
        self.pause
    }

    fn count_lag(&self, changes: u64, seconds: u64) {
        self.context.metrics.events().lag(changes, seconds);
    }
}

/// The series with records from `first` to `last`, each with all of its records up to the last.
fn read(store: &Store, first: u64, last: u64) -> Result<Vec<AddressedEvent>, StoreError> {
    let (mut told, mut place) = (Vec::new(), first.saturating_sub(1));
    while place < last {
        let start = block_before(place);
        let block_end = start + BLOCK_RECORDS as u64;
        let mut records = store.mutations_after(start, BLOCK_RECORDS)?;
        records.retain(|(sequence, _)| *sequence <= block_end.min(last));
        let series = aggregate(records)
            .into_iter()
            .filter(|series| series.last_sequence > place);
        told.extend(series.map(|series| {
            let regarding = regarding(store, &series);
            (series, regarding)
        }));
        place = block_end;
    }
    Ok(told)
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
        EventSubject::Key(namespace, id) => {
            let home = store.namespace_named(namespace).ok().flatten()?.id;
            let key = store.describe_key(home, *id).ok()?;
            let object = key.declaration.map(|declaration| declaration.object);
            let (name, uid) = match object {
                Some(object) => (object.name, Some(object.uid.to_string())),
                // An object is called as its key is.
                None => (key.name.to_string(), None),
            };
            Some(Regarding::EncryptionKey {
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
