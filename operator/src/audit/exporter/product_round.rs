//! Sends the records of one product to its own sink. Records that the sink did not receive in time, or before
//! the log was cut, are skipped; a record in the chain, written with the next records that the sink receives,
//! says which those are. If the sink never receives any, a record says so all the same, and another one each
//! day.
//!
//! Until then its cursor stays at the last records that it received. A process that ends meanwhile looks at
//! the same records again, so no skipped record goes unmentioned.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::SignedDuration;
use strongroom_model::time::Timestamp;

use super::undelivered::UndeliveredRecords;
use super::{AuditExporter, ExportError, RoundOutcome};
use crate::audit::cursor::Cursor;
use crate::audit::page::{AuditPage, AuditPosition, PageLimits, page_within};
use crate::audit::product_filter::ProductFilter;
use crate::audit::sink::Sink;
use crate::products::SinkBacklog;
use crate::store_handle::timestamp;

/// Shortest time between two records of what a sink has not taken so far.
const BETWEEN_REPORTS: SignedDuration = SignedDuration::from_hours(24);

/// What is known of a product's sink from one round to the next.
#[derive(Debug, Default)]
pub(super) struct ProductBacklog {
    /// Whether it has been asked to take records since the start: what waits by then has no fault of its.
    asked: bool,
    /// A page that has to come again as it was.
    repeated: Option<AuditPage>,
    /// What was skipped since it received records last.
    undelivered: UndeliveredRecords,
    /// When the last audit record about skipped records was written, since it received records last.
    reported: Option<jiff::Timestamp>,
    /// When the oldest record was made that waits, as of the last page.
    oldest: Option<jiff::Timestamp>,
}

impl ProductBacklog {
    /// What there is to say of it to people.
    pub(super) fn summary(&self) -> SinkBacklog {
        if !self.undelivered.is_empty() {
            return SinkBacklog::PassedBy;
        }
        self.oldest.map_or(SinkBacklog::Empty, SinkBacklog::Waiting)
    }
}

impl<N: Fn() -> Timestamp> AuditExporter<N> {
    /// One page of what is the product's: the one that has to come again, or the next.
    pub(super) async fn product_round(
        &self,
        product: &Arc<ProductFilter>,
        cursor: &mut Cursor,
        sink: &mut dyn Sink,
        backlog: &mut ProductBacklog,
    ) -> Result<RoundOutcome, ExportError> {
        let delivered = cursor.place(&self.store).await?;
        // Also where a new one begins: what comes from here on is for it.
        cursor.save_when_due(&self.store, (self.now)()).await?;
        let ProductBacklog {
            asked,
            repeated,
            undelivered,
            reported,
            oldest,
        } = backlog;
        let from = undelivered.place_after(delivered);
        let mut page = match repeated.take() {
            Some(failed) => failed,
            None if from.is_end(&self.store) => {
                self.metrics.lag(0);
                *oldest = None;
                let outcome = idle(undelivered);
                self.report((product, delivered), cursor, backlog).await?;
                return Ok(outcome);
            }
            None => {
                let mut page = self.product_page(product, from, sink.limits()).await?;
                // Asked for after the page: what went meanwhile is not in it.
                let store = self.store.clone();
                let cut = crate::audit::blocking(move || store.audit_cut()).await?;
                self.metrics.lost(undelivered.cut_off(from, cut));
                page.next = undelivered.place_after(page.next);
                page
            }
        };
        self.metrics.lag(self.age(&page));
        if *asked {
            let now = timestamp((self.now)());
            let passed = undelivered.pass_over(&mut page.lines, now, product.max_lag());
            self.metrics.lost(passed);
        }
        *oldest = page.lines.first().map(|line| line.record.time);
        if page.lines.is_empty() {
            let outcome = self.skip(from, page.next, cursor, undelivered).await?;
            self.report((product, delivered), cursor, backlog).await?;
            return Ok(outcome);
        }
        *asked = true;
        if let Err(failed) = self.deliver(&page.lines, sink).await {
            if sink.repeats_exactly() {
                *repeated = Some(page);
            }
            self.report((product, delivered), cursor, backlog).await?;
            return Err(failed.into());
        }
        self.metrics
            .delivered(u64::try_from(page.lines.len()).unwrap_or(u64::MAX));
        if undelivered.is_empty() {
            cursor.advance(page.next);
            cursor.save_when_due(&self.store, (self.now)()).await?;
        } else {
            let gap = product.gap(&*undelivered);
            tracing::warn!(sink = %self.destination, product = %product.code(), lacks = %undelivered, "product sink lacks audit records");
            cursor
                .save_with_gap(&self.store, (self.now)(), page.next, gap)
                .await?;
        }
        *undelivered = UndeliveredRecords::default();
        *reported = None;
        Ok(RoundOutcome::Advanced)
    }

    /// Audits which records were skipped so far, if that is due. The position of the sink stays behind the
    /// last records that it received.
    async fn report(
        &self,
        (product, delivered): (&ProductFilter, AuditPosition),
        cursor: &mut Cursor,
        backlog: &mut ProductBacklog,
    ) -> Result<(), ExportError> {
        let now = (self.now)();
        let is_due = |reported| timestamp(now).duration_since(reported) >= BETWEEN_REPORTS;
        if backlog.undelivered.is_empty() || !backlog.reported.is_none_or(is_due) {
            return Ok(());
        }
        let so_far = product.gap_so_far(&backlog.undelivered);
        cursor.save_with_gap(&self.store, now, delivered, so_far).await?;
        backlog.reported = Some(timestamp(now));
        Ok(())
    }

    /// Goes on behind a page of which nothing is left to tell.
    async fn skip(
        &self,
        from: AuditPosition,
        next: AuditPosition,
        cursor: &mut Cursor,
        undelivered: &mut UndeliveredRecords,
    ) -> Result<RoundOutcome, ExportError> {
        undelivered.advance(next);
        if undelivered.is_empty() {
            cursor.advance(next);
            cursor.save_when_due(&self.store, (self.now)()).await?;
            return Ok(if next == from {
                RoundOutcome::Idle
            } else {
                RoundOutcome::Advanced
            });
        }
        Ok(if next == from {
            RoundOutcome::IdleWithGap
        } else {
            RoundOutcome::PassedOver
        })
    }

    async fn product_page(
        &self,
        product: &Arc<ProductFilter>,
        from: AuditPosition,
        limits: PageLimits,
    ) -> Result<AuditPage, ExportError> {
        let (store, scope) = (self.store.clone(), self.destination.scope());
        let product = Arc::clone(product);
        let read = crate::audit::blocking(move || {
            Ok(page_within(&store, from, scope, limits, |record| {
                product.takes(record)
            }))
        });
        read.await?.map_err(ExportError::Page)
    }
}

/// There is nothing to tell.
const fn idle(undelivered: &UndeliveredRecords) -> RoundOutcome {
    if undelivered.is_empty() {
        RoundOutcome::Idle
    } else {
        RoundOutcome::IdleWithGap
    }
}
