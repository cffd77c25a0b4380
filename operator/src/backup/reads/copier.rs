//! The task that copies the read chain: each closed segment once, the oldest first, and the open one, as far
//! as it is written, at each interval and after each backup. The copies at the destination say where to
//! continue.
//!
//! INVARIANT: a copy is replaced or passed over only after it, or a longer one, was read back.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use strongroom_rules::backup::{BackupLimits, reads_are_superfluous, retry_delay};
use strongroom_store::audit::{SegmentCopy, SegmentPlace, SegmentSpan};
use strongroom_store::vault::Store;
use tokio::sync::Notify;

use super::READS_FOLDER;
use super::segment_name::{SegmentName, is_leftover, rekey_name};
use crate::backup::catalog::stored;
use crate::backup::destination::BackupDestination;
use crate::backup::error::BackupError;
use crate::backup::metrics::BackupMetrics;
use crate::backup::place::{BackupPlace, TransferDigest, remove_leftovers};

/// What is known from one round to the next.
pub(in crate::backup) struct ReadCopier {
    pub(in crate::backup) store: Store,
    pub(in crate::backup) destination: BackupDestination,
    pub(in crate::backup) limits: BackupLimits,
    /// How long a record waits at most before it is copied.
    pub(in crate::backup) interval: Duration,
    pub(in crate::backup) metrics: BackupMetrics,
    pub(in crate::backup) now: fn() -> Timestamp,
    pub(in crate::backup) progress: CopyProgress,
}

/// What this process itself read back.
#[derive(Debug, Default)]
pub(in crate::backup) struct CopyProgress {
    /// The youngest closed segment.
    closed: Option<SegmentPlace>,
    /// What there was of the open one.
    partial: Option<SegmentPlace>,
    /// All records of new root keys: there are no more until the next start.
    rekeys: bool,
    /// Rounds that failed since the last that did not.
    failures: u32,
}

impl ReadCopier {
    /// Copies until it is dropped, at each interval and after each backup.
    pub(in crate::backup) async fn run(mut self, backup_taken: &Notify) {
        let folder = Path::new(READS_FOLDER).join(self.store.id().to_string());
        remove_leftovers(&self.destination, &folder, is_leftover);
        loop {
            let wait = self.round().await;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = backup_taken.notified() => {}
            }
        }
    }

    /// Copies what is new. How long it is until the next round.
    async fn round(&mut self) -> Duration {
        let copied = match BackupPlace::open(&self.destination).await {
            Ok(place) => self.copy_to(&place).await,
            Err(error) => Err(error),
        };
        match copied {
            Ok(()) => {
                self.progress.failures = 0;
                self.interval
            }
            Err(error) => {
                let failures = self.progress.failures.saturating_add(1);
                self.progress.failures = failures;
                self.metrics.failed("reads", (self.now)());
                tracing::warn!(destination = %self.destination, failures, %error, "reads not copied");
                retry_delay(failures)
            }
        }
    }

    /// Copies what is new to an open destination.
    pub(in crate::backup) async fn copy_to(&mut self, root: &BackupPlace) -> Result<(), BackupError> {
        let began = (self.now)();
        let place = root.within(READS_FOLDER).within(&self.store.id().to_string());
        let names: BTreeSet<String> = place.list().await?.into_iter().collect();
        self.copy_rekeys(&place, &names).await?;
        let open = loop {
            let spans = self.closed_segments().await?;
            self.copy_closed(&place, &names, &spans).await?;
            let open = self.ask(|store| Ok(store.copy_active_reads()?)).await?;
            // A segment that was closed meanwhile comes before the open one.
            if self.closed_segments().await?.last() == spans.last() {
                break open;
            }
        };
        if let Some(copy) = open
            && self.progress.partial != Some(copy.span.place())
        {
            let at = copy.span.place();
            send_segment(&place, &names, copy, false).await?;
            self.progress.partial = Some(at);
        }
        self.metrics.reads_copied(began);
        // Where old ones cannot be deleted, the new ones are there all the same.
        if let Err(error) = self.prune(root, &place).await {
            tracing::warn!(destination = %self.destination, %error, "old copies of reads not deleted");
            self.metrics.failed("retention", (self.now)());
        }
        Ok(())
    }

    async fn closed_segments(&self) -> Result<Vec<SegmentSpan>, BackupError> {
        self.ask(|store| Ok(store.closed_read_segments()?)).await
    }

    /// The signed records of new root keys, without which nothing leads from one audit key to the next.
    async fn copy_rekeys(
        &mut self,
        place: &BackupPlace,
        names: &BTreeSet<String>,
    ) -> Result<(), BackupError> {
        if self.progress.rekeys {
            return Ok(());
        }
        let records = self.ask(|store| {
            store
                .rekey_records()
                .map_err(|error| BackupError::Snapshot(Box::new(error)))
        });
        for record in records.await? {
            let name = rekey_name(&record);
            send(place, &name, record.encode(), names.contains(&name)).await?;
        }
        self.progress.rekeys = true;
        Ok(())
    }

    /// Copies the closed segments after the youngest one that lies there. That one is looked at again by a
    /// process that has not read it back itself: the one that sent it may have ended before it had.
    async fn copy_closed(
        &mut self,
        place: &BackupPlace,
        names: &BTreeSet<String>,
        spans: &[SegmentSpan],
    ) -> Result<(), BackupError> {
        let there = names.iter().filter_map(|name| SegmentName::parse(name));
        let there: BTreeSet<SegmentPlace> = there.filter(|name| name.closed).map(|name| name.place).collect();
        let own = self.progress.closed;
        let lies_there = |span: &SegmentSpan| own == Some(span.place()) || there.contains(&span.place());
        let from = spans.iter().rposition(lies_there).unwrap_or(0);
        for span in spans.iter().skip(from) {
            if self.progress.closed == Some(span.place()) {
                continue;
            }
            let asked = *span;
            // One that was cut meanwhile cannot be copied any more.
            if let Some(copy) = self
                .ask(move |store| Ok(store.copy_closed_reads(&asked)?))
                .await?
            {
                send_segment(place, names, copy, true).await?;
                self.progress.closed = Some(span.place());
            }
        }
        Ok(())
    }

    /// Deletes what is older than the backups and their limit. The youngest copies stay: by them it is known
    /// where to go on.
    async fn prune(&self, root: &BackupPlace, place: &BackupPlace) -> Result<(), BackupError> {
        if self.limits.age.is_none() {
            return Ok(());
        }
        let backups = stored(root, Some(self.store.id())).await?;
        let verified = backups.into_iter().filter(|(_, verified)| *verified);
        let oldest = verified.map(|(name, _)| name.taken).min();
        let now = (self.now)();
        let stay = [self.progress.closed, self.progress.partial];
        for name in place.list().await? {
            if let Some(copy) = SegmentName::parse(&name)
                && !stay.contains(&Some(copy.place))
                && reads_are_superfluous(copy.newest, oldest, self.limits, now)
            {
                place.delete(&name).await?;
            }
        }
        Ok(())
    }

    /// Asks the store on a thread that may wait.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Store) -> Result<T, BackupError> + Send + 'static,
    ) -> Result<T, BackupError> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || ask(&store))
            .await
            .map_err(|_| BackupError::Interrupted)?
    }
}

/// Sends a copy, and then deletes the earlier ones of the same segment.
async fn send_segment(
    place: &BackupPlace,
    names: &BTreeSet<String>,
    mut copy: SegmentCopy,
    closed: bool,
) -> Result<(), BackupError> {
    let name = SegmentName::new(&copy, closed).to_string();
    let bytes = std::mem::take(&mut copy.bytes);
    send(place, &name, bytes, names.contains(&name)).await?;
    for earlier in names.iter().filter(|earlier| **earlier != name) {
        if SegmentName::parse(earlier).is_some_and(|one| !one.closed && copy.replaces(&one.place)) {
            place.delete(earlier).await?;
        }
    }
    Ok(())
}

/// Sends bytes, unless they lie there, and reads them back.
async fn send(place: &BackupPlace, name: &str, bytes: Vec<u8>, is_there: bool) -> Result<(), BackupError> {
    let sent = TransferDigest::whole(&bytes);
    if is_there && read_back(place, name).await? == sent {
        return Ok(());
    }
    place.put(name, bytes).await?;
    let found = read_back(place, name).await?;
    if found == sent {
        return Ok(());
    }
    // It is no copy. One that cannot be deleted is looked at again.
    if let Err(error) = place.delete(name).await {
        tracing::debug!(name, %error, "unverified copy of reads left behind");
    }
    Err(BackupError::Changed {
        name: name.to_owned(),
        sent: sent.to_string(),
        found: found.to_string(),
    })
}

async fn read_back(place: &BackupPlace, name: &str) -> Result<TransferDigest, BackupError> {
    let (read, found) = place.read(name, |from| io::copy(from, &mut io::sink())).await?;
    read.map_err(|_| BackupError::Interrupted)?;
    Ok(found)
}
