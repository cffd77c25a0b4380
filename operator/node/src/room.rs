//! How much memory the volumes of the node may take together: files in memory count as the plugin's own, and where its limit is reached the kernel
//! ends it. So a volume that would not fit is refused before that. Must not look at a file.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the plugin itself takes, and what changes of running volumes take for a moment, in bytes: this, and an eighth of the limit.
const OWN: u64 = 24 << 20;

/// The room for volumes.
#[derive(Debug)]
pub struct Room {
    /// None: without bound.
    most: Option<u64>,
    /// Bytes of each volume.
    taken: Mutex<HashMap<String, u64>>,
}

/// A volume does not fit beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the volume takes {wants} bytes of the node plugin's memory, and {left} are left for volumes on this node: raise the chart's \
     `node.resources.limits.memory`, or mount less"
)]
pub struct NoRoom {
    /// What the volume takes.
    pub wants: u64,
    /// What is left.
    pub left: u64,
}

impl Room {
    /// The room of a plugin with this limit of its memory, in bytes; 0: without.
    #[must_use]
    pub fn within(limit: u64) -> Self {
        let most = limit.saturating_sub(OWN).saturating_sub(limit / 8);
        Self {
            most: (limit > 0).then_some(most),
            taken: Mutex::default(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        // Nothing is left half-done under it.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a volume so large. Answers what it was, to be given back to [`Self::set`] where nothing came of it.
    ///
    /// # Errors
    /// [`NoRoom`]. A volume that becomes no larger always fits: neither a rotation nor a wipe waits for room.
    pub fn enter(&self, volume: &str, bytes: u64) -> Result<u64, NoRoom> {
        let mut taken = self.taken();
        let before = taken.get(volume).copied().unwrap_or_default();
        let others = taken
            .iter()
            .filter(|(id, _)| id.as_str() != volume)
            .fold(0, |sum: u64, (_, bytes)| sum.saturating_add(*bytes));
        if let Some(most) = self.most
            && bytes > before
            && others.saturating_add(bytes) > most
        {
            return Err(NoRoom {
                wants: bytes,
                left: most.saturating_sub(others),
            });
        }
        taken.insert(volume.to_owned(), bytes);
        Ok(before)
    }

    /// A volume is so large, whether or not it fits.
    pub fn set(&self, volume: &str, bytes: u64) {
        let mut taken = self.taken();
        if bytes == 0 {
            taken.remove(volume);
        } else {
            taken.insert(volume.to_owned(), bytes);
        }
    }

    /// What all volumes take.
    #[cfg(test)]
    fn all(&self) -> u64 {
        self.taken()
            .values()
            .fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn volumes_fit_beside_the_plugin_and_each_other() {
        // 64 MiB, without 24 and an eighth.
        let room = Room::within(64 * MIB);
        assert_eq!(room.enter("a", 20 * MIB), Ok(0));
        let refused = NoRoom {
            wants: 13 * MIB,
            left: 12 * MIB,
        };
        assert_eq!(room.enter("b", 13 * MIB), Err(refused));
        assert_eq!(room.enter("b", 12 * MIB), Ok(0));
        assert_eq!(room.all(), 32 * MIB);
        // Full: what runs changes on, and may shrink, but not grow.
        assert_eq!(room.enter("a", 20 * MIB), Ok(20 * MIB));
        assert!(room.enter("a", 21 * MIB).is_err());
        assert_eq!(room.enter("a", MIB), Ok(20 * MIB));
        assert_eq!(room.enter("b", 20 * MIB), Ok(12 * MIB));
        room.set("b", 0);
        assert_eq!(room.all(), MIB);
    }

    #[test]
    fn what_is_there_already_may_be_more_than_the_limit() {
        let room = Room::within(32 * MIB);
        room.set("a", 100 * MIB);
        assert_eq!(room.enter("a", 100 * MIB), Ok(100 * MIB));
        let refused = NoRoom { wants: 1, left: 0 };
        assert_eq!(room.enter("b", 1), Err(refused));
        let without = Room::within(0);
        assert_eq!(without.enter("a", u64::MAX), Ok(0));
        assert_eq!(without.enter("b", u64::MAX), Ok(0));
    }
}
