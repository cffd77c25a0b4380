//! Seal slots of an open store. The seal file is replaced as a whole; the store records the digest of the new
//! file before the file is in place.

use strongroom_store::crypto::RootKey;
use strongroom_store::seal::{RecoveryKey, SealError, SealFile, SlotId, SlotKind, SlotSecret};
use strongroom_store::vault::{Meta, OpenError, Store};
use zeroize::Zeroizing;

/// A slot was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SlotError {
    /// The next start would find nothing that opens.
    #[error(
        "slot `{id}` is the last {kind} slot, and the process needs one to start; first add another way and restart the process with it, or pass \
         --force"
    )]
    InUse {
        id: SlotId,
        /// What it is opened by.
        kind: SlotKind,
    },
    /// The store or its seal.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// Adds a way to open the seal; where the key opens a slot already, it is that one.
pub(crate) fn add_slot(
    store: &Store,
    root: &RootKey,
    secret: &SlotSecret,
    label: &str,
    meta: Meta,
) -> Result<SlotId, SlotError> {
    let mut there = None;
    let added = store.change_seal(meta, |file| {
        there = file.opened_by(secret)?.map(|slot| slot.id);
        match there {
            Some(id) => Err(SealError::UnknownSlot(id)),
            None => file.add_slot(root, secret, label),
        }
    });
    match there {
        Some(id) => Ok(id),
        None => Ok(added?),
    }
}

/// Removes a way to open the seal; `in_use` is what the running process starts with, unless its loss is
/// accepted.
pub(crate) fn remove_slot(
    store: &Store,
    id: SlotId,
    in_use: Option<SlotKind>,
    meta: Meta,
) -> Result<(), SlotError> {
    let mut last = None;
    let removed = store.change_seal(meta, |file| {
        last = in_use.filter(|kind| is_last(file, id, *kind));
        if last.is_some() {
            return Err(SealError::LastSlot);
        }
        file.remove_slot(id)
    });
    match last {
        Some(kind) => Err(SlotError::InUse { id, kind }),
        None => Ok(removed?),
    }
}

/// Adds a recovery key. Its text is shown once and kept nowhere.
pub(crate) fn new_recovery_key(
    store: &Store,
    root: &RootKey,
    label: &str,
    meta: Meta,
) -> Result<Zeroizing<String>, SlotError> {
    let key = RecoveryKey::generate().map_err(OpenError::from)?;
    let text = key.reveal();
    add_slot(store, root, &SlotSecret::Recovery(key), label, meta)?;
    Ok(text)
}

fn is_last(file: &SealFile, id: SlotId, kind: SlotKind) -> bool {
    let slots = file.slots();
    let mut of_kind = slots.iter().filter(|slot| slot.kind == kind);
    matches!((of_kind.next(), of_kind.next()), (Some(only), None) if only.id == id)
}
