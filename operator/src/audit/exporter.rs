//! Sends the chains of a store to a destination, in order: one page after the cursor at a time, delivered
//! whole or again. A destination that does not answer delays nobody: the chains keep what it has not
//! received.

mod product_round;
#[cfg(test)]
mod tests;
mod undelivered;

use std::fmt;
use std::time::Duration;

use strongroom_model::time::Timestamp;
use strongroom_store::vault::{Retry, Store, StoreError};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::audit::cursor::Cursor;
use crate::audit::destination::Destination;
use crate::audit::exporter::product_round::ProductBacklog;
use crate::audit::line::{AuditLine, rolled_over};
use crate::audit::metrics::SinkMetrics;
use crate::audit::page::{AuditPage, AuditPosition, PageLimits, page_within};
use crate::audit::sink::{AnswerKind, Batch, Sink, SinkError};
use crate::store_handle::timestamp;

/// How often to look for new records.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Longest wait after failures.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Longest wait that the other side may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// How long a page that is under way may take once the process stops: a page that was delivered without its
/// place being kept comes again.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Brings the records to one destination.
pub(crate) struct AuditExporter<N> {
    /// Whose chains.
    pub(crate) store: Store,
    /// The sink.
    pub(crate) destination: Destination,
    /// The wall clock.
    pub(crate) now: N,
    /// Where it counts.
    pub(crate) metrics: SinkMetrics,
}

impl<N> fmt::Debug for AuditExporter<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditExporter")
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}

impl<N: Fn() -> Timestamp> AuditExporter<N> {
    /// Works until `stop` turns true or the store closes, then saves the cursor. To be awaited before the
    /// store is closed.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut cursor = Cursor::new(self.destination.cursor().clone(), self.destination.scope());
        if self.destination.product().is_some() {
            cursor = cursor.beginning_at_end();
        }
        let stopping = stop.clone();
        let overdue = async {
            stopped(&mut stop).await;
            sleep(SHUTDOWN_GRACE).await;
        };
        tokio::select! {
            () = overdue => {}
            () = self.deliver_all(&mut cursor, stopping) => {}
        }
        if let Err(error) = cursor.save(&self.store, (self.now)()).await {
            tracing::warn!(%error, sink = %self.destination, "sink position save failed, some records are sent again at the next start");
        }
    }

    /// Page after page, until `stop` turns true between two of them.
    async fn deliver_all(&self, cursor: &mut Cursor, mut stop: watch::Receiver<bool>) {
        let mut sink = self.destination.sink();
        let (mut failures, mut last_kind) = (0_u32, None::<AnswerKind>);
        let (mut repeated, mut backlog) = (None, ProductBacklog::default());
        while !*stop.borrow() {
            let round = match self.destination.product() {
                None => self.round(cursor, sink.as_mut(), &mut repeated).await,
                Some(product) => {
                    let round = self.product_round(product, cursor, sink.as_mut(), &mut backlog);
                    let round = round.await;
                    self.destination.backlog().set(backlog.summary());
                    round
                }
            };
            let pause = match round {
                Ok(outcome) => {
                    if !outcome.is_of_failing_sink() {
                        if failures > 0 {
                            tracing::info!(sink = %self.destination, "sink recovered");
                        }
                        failures = 0;
                    }
                    match outcome {
                        RoundOutcome::Advanced => sink.pause(),
                        RoundOutcome::PassedOver => Duration::ZERO,
                        RoundOutcome::Idle | RoundOutcome::IdleWithGap => POLL_INTERVAL,
                    }
                }
                Err(ExportError::Store(error)) if error.retry() == Retry::Exit => return,
                Err(failed) => {
                    let kind = failed.answer_kind();
                    if failures == 0 || kind != last_kind {
                        tracing::warn!(sink = %self.destination, error = %failed, "sink delivery failed, records wait");
                    }
                    self.metrics.failed();
                    if let Some(kind) = kind {
                        self.metrics.answered(kind.name());
                    }
                    last_kind = kind;
                    failures = failures.saturating_add(1);
                    pause_after(failures, failed.retry_after())
                }
            };
            if !pause.is_zero() {
                tokio::select! {
                    () = stopped(&mut stop) => {}
                    () = sleep(pause) => {}
                }
            }
        }
    }

    /// The page, after a line that says what was cut before this sink had taken it, where something was; and
    /// how many records that are at most.
    async fn with_gap(&self, place: AuditPosition, page: AuditPage) -> Result<(AuditPage, u64), ExportError> {
        let store = self.store.clone();
        let cut = crate::audit::blocking(move || store.audit_cut()).await?;
        let lost = cut.changes.saturating_sub(place.changes) + cut.reads.saturating_sub(place.reads);
        if lost == 0 {
            return Ok((page, 0));
        }
        let gap = AuditLine::new(rolled_over(place, cut, timestamp((self.now)())));
        let mut lines = vec![gap.map_err(|error| ExportError::Page(error.to_string()))?];
        lines.extend(page.lines);
        let next = AuditPosition {
            changes: page.next.changes.max(cut.changes),
            reads: page.next.reads.max(cut.reads),
        };
        let page = AuditPage {
            lines,
            next,
            oldest: page.oldest,
        };
        Ok((page, lost))
    }

    /// The page after this place, and how many records the line before it says to be lost.
    async fn read(&self, place: AuditPosition, limits: PageLimits) -> Result<(AuditPage, u64), ExportError> {
        let (store, scope) = (self.store.clone(), self.destination.scope());
        let read = crate::audit::blocking(move || {
            Ok(page_within(&store, place, scope, limits, |line| {
                line.action != "Checkpoint"
            }))
        })
        .await?;
        self.with_gap(place, read.map_err(ExportError::Page)?).await
    }

    /// One page: that of `repeated`, or the one after the cursor. A page that has to come again as it was is
    /// in `repeated` afterwards.
    async fn round(
        &self,
        cursor: &mut Cursor,
        sink: &mut dyn Sink,
        repeated: &mut Option<(AuditPage, u64)>,
    ) -> Result<RoundOutcome, ExportError> {
        let place = cursor.place(&self.store).await?;
        let (page, lost) = match repeated.take() {
            Some(failed) => failed,
            None if place.is_end(&self.store) => {
                self.metrics.lag(0);
                sink.count_lag(0, 0);
                cursor.save_when_due(&self.store, (self.now)()).await?;
                return Ok(RoundOutcome::Idle);
            }
            None => self.read(place, sink.limits()).await?,
        };
        let next = page.next;
        let age = self.age(&page);
        self.metrics.lag(age);
        sink.count_lag(self.store.mutation_head().saturating_sub(place.changes), age);
        if !page.lines.is_empty() {
            if let Err(failed) = self.deliver(&page.lines, sink).await {
                if sink.repeats_exactly() {
                    *repeated = Some((page, lost));
                }
                return Err(failed.into());
            }
            self.metrics
                .delivered(u64::try_from(page.lines.len()).unwrap_or(u64::MAX));
        }
        if lost > 0 {
            self.metrics.lost(lost);
            tracing::warn!(sink = %self.destination, records = lost, "audit records cut before sink received them");
        }
        cursor.advance(next);
        cursor.save_when_due(&self.store, (self.now)()).await?;
        Ok(if next == place {
            RoundOutcome::Idle
        } else {
            RoundOutcome::Advanced
        })
    }

    /// How old the first record of a page is, in seconds.
    fn age(&self, page: &AuditPage) -> u64 {
        page.oldest.map_or(0, |oldest| {
            let now = timestamp((self.now)());
            u64::try_from(now.duration_since(oldest).as_secs()).unwrap_or(0)
        })
    }

    async fn deliver(&self, lines: &[AuditLine], sink: &mut dyn Sink) -> Result<(), SinkError> {
        let now = timestamp((self.now)());
        let timeout = sink.timeout();
        let delivered = tokio::time::timeout(timeout, sink.deliver(Batch { lines, now })).await;
        delivered.unwrap_or_else(|_| Err(SinkError::Io(std::io::ErrorKind::TimedOut.into())))
    }
}

/// What came of a round that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RoundOutcome {
    /// Records were sent, or there were some that are not for this sink.
    Advanced,
    /// There is nothing to send.
    Idle,
    /// Records were skipped that the sink did not receive.
    PassedOver,
    /// There is nothing to send, and the sink has received nothing since records were skipped.
    IdleWithGap,
}

impl RoundOutcome {
    /// Whether it says nothing about a sink that has failed before.
    const fn is_of_failing_sink(self) -> bool {
        matches!(self, Self::PassedOver | Self::IdleWithGap)
    }
}

/// Two seconds, doubled with each failure, or as long as the other side asks for; both within their bounds.
fn pause_after(failures: u32, retry_after: Option<Duration>) -> Duration {
    let backoff = Duration::from_secs(1 << failures.min(6)).min(MAX_BACKOFF);
    backoff.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER))
}

/// Returns once `stop` is true.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can stop us any more: the process ends.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A page was not delivered.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    /// The cursor was not stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A page of the log was not read.
    #[error("the records cannot be read: {0}")]
    Page(String),
    /// The other side.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl ExportError {
    const fn answer_kind(&self) -> Option<AnswerKind> {
        match self {
            Self::Sink(error) => error.answer_kind(),
            Self::Store(_) | Self::Page(_) => None,
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Sink(error) => error.retry_after(),
            Self::Store(_) | Self::Page(_) => None,
        }
    }
}
