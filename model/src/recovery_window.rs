//! The bounds of a recovery window, in which a deleted secret can be restored.

use std::ops::RangeInclusive;

/// Days that a recovery window may have.
pub const RECOVERY_WINDOW_DAYS: RangeInclusive<u32> = 7..=30;

/// Days of a recovery window where nobody says otherwise.
pub const DEFAULT_RECOVERY_WINDOW_DAYS: u32 = *RECOVERY_WINDOW_DAYS.end();
