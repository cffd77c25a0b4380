//! How far a reader of the audit log has read. The store keeps the position; it is saved at most once a
//! second, to cost few commits. After a crash, records delivered since the last save are delivered again.

use std::time::Duration;

use strongroom_model::id::RequestId;
use strongroom_model::name::CursorName;
use strongroom_model::time::Timestamp;
use strongroom_store::audit::Actor;
use strongroom_store::vault::{AuditPosition, Meta, RecordExportGap, SetCursor, Store, StoreError};
use tokio::time::Instant;

use crate::store_handle::StoreHandle;

/// Shortest time between two saves.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// Which chains a reader takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReaderScope {
    /// The mutation chain and the read chain.
    All,
    /// The mutation chain alone: it counts as having all of the other one.
    Changes,
}

impl ReaderScope {
    /// The place of these bytes; the beginning where they are none.
    pub(super) fn position(self, bytes: &[u8]) -> AuditPosition {
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_be_bytes);
        match (self, bytes.split_first_chunk::<8>()) {
            (Self::All, Some((changes, reads))) => AuditPosition {
                changes: u64::from_be_bytes(*changes),
                reads: number(reads),
            },
            (Self::All, None) => AuditPosition::default(),
            (Self::Changes, _) => AuditPosition {
                changes: number(bytes),
                reads: u64::MAX,
            },
        }
    }

    /// The bytes of a place.
    fn bytes(self, place: AuditPosition) -> Vec<u8> {
        match self {
            Self::All => [place.changes.to_be_bytes(), place.reads.to_be_bytes()].concat(),
            Self::Changes => place.changes.to_be_bytes().to_vec(),
        }
    }
}

/// How far a reader has come.
#[derive(Debug)]
pub(super) struct Cursor {
    name: CursorName,
    scope: ReaderScope,
    /// Whether a reader that is new begins with what is recorded from then on.
    begins_at_end: bool,
    /// The last records that are told; unknown until the store was asked.
    place: Option<AuditPosition>,
    saved: AuditPosition,
    saved_at: Option<Instant>,
}

impl Cursor {
    /// The cursor of this name.
    pub(super) fn new(name: CursorName, scope: ReaderScope) -> Self {
        Self {
            name,
            scope,
            begins_at_end: false,
            place: None,
            saved: AuditPosition::default(),
            saved_at: None,
        }
    }

    /// The same of a reader that, where it is new, wants nothing of what was recorded before.
    pub(super) fn beginning_at_end(self) -> Self {
        Self {
            begins_at_end: true,
            ..self
        }
    }

    /// The place, as the store knows it or as it is by now.
    pub(super) async fn place(&mut self, store: &Store) -> Result<AuditPosition, StoreError> {
        if let Some(place) = self.place {
            return Ok(place);
        }
        let (asked, name) = (store.clone(), self.name.clone());
        let saved = super::blocking(move || asked.cursor(&name)).await?;
        if saved.is_none() && self.begins_at_end {
            let end = AuditPosition {
                changes: store.mutation_head(),
                reads: store.read_head(),
            };
            // Not saved yet: that is the difference.
            self.place = Some(end);
            return Ok(end);
        }
        let place = self.scope.position(&saved.unwrap_or_default());
        self.place = Some(place);
        self.saved = place;
        Ok(place)
    }

    /// Everything up to this place is told.
    pub(super) const fn advance(&mut self, place: AuditPosition) {
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
        let command = SetCursor {
            name: self.name.clone(),
            place: self.scope.bytes(place),
        };
        StoreHandle::new(store.clone())
            .submit(None, command, meta(now)?)
            .await?;
        self.saved = place;
        self.saved_at = Some(Instant::now());
        Ok(())
    }

    /// Everything up to this place is told, but for what `gap` says: that is recorded with the place, at
    /// once.
    pub(super) async fn save_with_gap(
        &mut self,
        store: &Store,
        now: Timestamp,
        place: AuditPosition,
        gap: String,
    ) -> Result<(), StoreError> {
        let command = RecordExportGap {
            name: self.name.clone(),
            place: self.scope.bytes(place),
            detail: gap,
        };
        StoreHandle::new(store.clone())
            .submit(None, command, meta(now)?)
            .await?;
        self.place = Some(place);
        self.saved = place;
        self.saved_at = Some(Instant::now());
        Ok(())
    }
}

fn meta(now: Timestamp) -> Result<Meta, StoreError> {
    Ok(Meta {
        actor: Actor::System,
        request: RequestId::generate().map_err(|_| StoreError::NotCommitted)?,
        now,
        asked: None,
    })
}
