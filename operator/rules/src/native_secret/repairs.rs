//! How soon a native Secret that somebody else changes is put back: at once, and later each time while it
//! goes on. A bucket that each repair fills and time drains, so that neither side of a conflict keeps the API
//! server busy.

use jiff::{SignedDuration, Timestamp};

/// So many repairs follow at once.
const IMMEDIATE_REPAIRS: u32 = 3;
/// A repair is forgotten after so long.
const REPAIR_DECAY: SignedDuration = SignedDuration::from_secs(30);
/// The longest wait, in seconds.
const MAX_WAIT_SECONDS: i64 = 60;

/// The repairs of one native Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repairs {
    level: u32,
    at: Timestamp,
}

impl Repairs {
    /// After one more, made `now`.
    #[must_use]
    pub fn one_more(before: Option<Self>, now: Timestamp) -> Self {
        Self {
            level: before.map_or(0, |before| before.level_at(now)).saturating_add(1),
            at: now,
        }
    }

    /// When the next one may be made.
    #[must_use]
    pub fn next(self) -> Timestamp {
        let wait = match self.level.checked_sub(IMMEDIATE_REPAIRS) {
            None => 0,
            Some(more) => (1_i64 << more.min(16)).min(MAX_WAIT_SECONDS),
        };
        self.at
            .checked_add(SignedDuration::from_secs(wait))
            .unwrap_or(Timestamp::MAX)
    }

    /// Whether all of them are forgotten.
    #[must_use]
    pub fn is_over(self, now: Timestamp) -> bool {
        self.level_at(now) == 0
    }

    fn level_at(self, now: Timestamp) -> u32 {
        let drained = now.duration_since(self.at).as_secs() / REPAIR_DECAY.as_secs();
        self.level
            .saturating_sub(u32::try_from(drained.max(0)).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn repairs_come_later_each_time_while_somebody_insists_and_at_once_after_a_rest() {
        // Somebody edits all the time, so that each repair is made as soon as it may be.
        let mut repairs = None;
        let mut now = at(0);
        let mut made = Vec::new();
        while now < at(400) {
            made.push(now.as_second() - at(0).as_second());
            let next = Repairs::one_more(repairs, now);
            now = next.next();
            repairs = Some(next);
        }
        assert_eq!(
            made,
            [
                0, 0, 0, 1, 3, 7, 15, 31, 63, 95, 127, 159, 191, 223, 255, 287, 319, 351, 383
            ]
        );
        let rest = at(400 + 600);
        assert!(repairs.unwrap().is_over(rest));
        assert_eq!(Repairs::one_more(repairs, rest).next(), rest);
    }
}
