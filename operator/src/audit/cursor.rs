//! How far a reader of the audit has come: known to the store, saved at most once a second, so that it costs
//! few commits. What was told since the last save is told again after a crash.

use std::time::Duration;

use strongroom_store::audit::Actor;
use strongroom_store::id::RequestId;
use strongroom_store::name::CursorName;
use strongroom_store::time::Timestamp;
use strongroom_store::vault::{Meta, SetCursor, Store, StoreError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::page::AuditPosition;

/// Shortest time between two saves.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// A place that can be saved.
pub(super) trait CursorPosition: Copy + PartialEq + Default {
    /// Its bytes.
    fn bytes(self) -> Vec<u8>;
    /// The place of these bytes; the beginning where they are none.
    fn from_bytes(bytes: &[u8]) -> Self;
}

impl CursorPosition for u64 {
    fn bytes(self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        bytes.try_into().map_or(0, Self::from_be_bytes)
    }
}

impl CursorPosition for AuditPosition {
    fn bytes(self) -> Vec<u8> {
        [self.changes.to_be_bytes(), self.reads.to_be_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        match bytes.split_first_chunk::<8>() {
            Some((changes, reads)) => Self {
                changes: u64::from_be_bytes(*changes),
                reads: u64::from_bytes(reads),
            },
            None => Self::default(),
        }
    }
}

/// How far a reader has come.
#[derive(Debug)]
pub(super) struct Cursor<P> {
    name: CursorName,
    /// The last record that is told; unknown until the store was asked.
    place: Option<P>,
    saved: P,
    saved_at: Option<Instant>,
}

impl<P: CursorPosition> Cursor<P> {
    /// The cursor of this name.
    pub(super) fn new(name: CursorName) -> Self {
        Self {
            name,
            place: None,
            saved: P::default(),
            saved_at: None,
        }
    }

    /// The place, as the store knows it or as it is by now.
    pub(super) async fn place(&mut self, store: &Store) -> Result<P, StoreError> {
        if let Some(place) = self.place {
            return Ok(place);
        }
        let (asked, name) = (store.clone(), self.name.clone());
        let saved = super::blocking(move || asked.cursor(&name)).await?;
        let place = saved.map_or_else(P::default, |bytes| P::from_bytes(&bytes));
        self.place = Some(place);
        self.saved = place;
        Ok(place)
    }

    /// Everything up to this place is told.
    pub(super) const fn advance(&mut self, place: P) {
        self.place = Some(place);
    }

    /// Saves the place, if the last time is long enough ago.
    pub(super) async fn save_when_due(&mut self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        if self.saved_at.is_none_or(|at| at.elapsed() >= SAVE_INTERVAL) {
            self.save(store, now).await
        } else {
            Ok(())
        }
    }

    /// Saves the place, if it moved.
    pub(super) async fn save(&mut self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let Some(place) = self.place.filter(|place| *place != self.saved) else {
            return Ok(());
        };
        let meta = Meta {
            actor: Actor::System,
            request: RequestId::generate().map_err(|_| StoreError::NotCommitted)?,
            now,
            asked: None,
        };
        let command = SetCursor {
            name: self.name.clone(),
            place: place.bytes(),
        };
        let (reply, answer) = oneshot::channel();
        store.submit(command, meta, move |outcome| {
            // Nobody waits where the process is ending.
            let _ = reply.send(outcome);
        });
        answer.await.map_err(|_| StoreError::Closed)??;
        self.saved = place;
        self.saved_at = Some(Instant::now());
        Ok(())
    }
}
