//! What is done after an error, by its class. One table for all controllers; a new class has to be given its
//! row here.
//!
//! A delay is a function of the number of attempts, and spread by the object itself. `backon` counts attempts
//! inside an iterator, which every object would have to keep, and spreads by random numbers.

use jiff::SignedDuration;

/// What kind of error ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorClass {
    /// Somebody else changed the object in between (409), or the store's base version moved.
    Conflict,
    /// The API server asks for patience (429).
    Throttled,
    /// The API server cannot be reached, is overloaded or failed (5xx, connection, timeout).
    ApiUnavailable,
    /// We lack a right (403, 401).
    Forbidden,
    /// The API server refuses the object as such (400, 422): quotas, webhooks, names.
    Rejected,
    /// What was read is gone (404), such as a namespace in the middle of its deletion.
    Gone,
    /// The store refuses the command as such.
    StoreRefused,
    /// The namespace has no room in the store: only deletions, windows that end, or an administrator make
    /// some.
    NamespaceFull,
    /// The store cannot serve: poisoned, disk full, closing, outcome unknown.
    StoreUnavailable,
    /// One record of the store is damaged.
    StoreDamaged,
    /// A value could not be made: no randomness, failing generator.
    Generation,
    /// The step went through so often without an end that something is wrong.
    NoEnd,
}

impl ErrorClass {
    /// All classes, for metrics that show each from the start.
    pub const ALL: [Self; 12] = [
        Self::Conflict,
        Self::Throttled,
        Self::ApiUnavailable,
        Self::Forbidden,
        Self::Rejected,
        Self::Gone,
        Self::StoreRefused,
        Self::NamespaceFull,
        Self::StoreUnavailable,
        Self::StoreDamaged,
        Self::Generation,
        Self::NoEnd,
    ];

    /// The row of the table.
    const fn row(self) -> Row {
        match self {
            Self::Conflict => Row("conflict", 1, 10),
            Self::Throttled => Row("throttled", 1, 60),
            Self::ApiUnavailable => Row("api_unavailable", 1, 30),
            Self::Forbidden => Row("forbidden", 10, 300),
            Self::Rejected => Row("rejected", 10, 300),
            Self::Gone => Row("gone", 1, 60),
            Self::StoreRefused => Row("store_refused", 5, 300),
            Self::NamespaceFull => Row("namespace_full", 30, 300),
            Self::StoreUnavailable => Row("store_unavailable", 2, 60),
            Self::StoreDamaged => Row("store_damaged", 30, 600),
            Self::Generation => Row("generation", 5, 300),
            Self::NoEnd => Row("no_end", 10, 300),
        }
    }

    /// The label value of this class in metrics.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// How long to wait before attempt number `attempts` + 1 of one object, `attempts` failed ones lying
    /// behind.
    ///
    /// It doubles from the first to the longest delay of the class. `spread` (any number that differs between
    /// objects) moves it by up to a fifth, so that objects that failed together do not come back together.
    /// `asked` is what the server asked for; it is never undercut.
    pub fn delay(self, attempts: u32, spread: u64, asked: Option<SignedDuration>) -> SignedDuration {
        let Row(_, first, most) = self.row();
        let factor = 1_i64 << attempts.saturating_sub(1).min(16);
        let seconds = first.saturating_mul(factor).min(most);
        let span = (seconds.saturating_mul(200)).max(1);
        let extra = i64::try_from(spread % span.unsigned_abs()).unwrap_or(0);
        let own = SignedDuration::from_millis(seconds.saturating_mul(1000).saturating_add(extra));
        asked.map_or(own, |asked| own.max(asked))
    }
}

/// What the table says about one class: its name in metrics, its first and its longest delay in seconds.
struct Row(&'static str, i64, i64);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_delay_doubles_up_to_the_longest_of_its_class() {
        let seconds: Vec<i64> = [1, 2, 3, 4, 5, 6, 7, 40]
            .iter()
            .map(|n| ErrorClass::ApiUnavailable.delay(*n, 0, None).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn what_the_server_asks_for_is_not_undercut() {
        let asked = Some(SignedDuration::from_secs(45));
        assert_eq!(ErrorClass::Throttled.delay(1, 0, asked).as_secs(), 45);
        assert_eq!(ErrorClass::Throttled.delay(20, 0, asked).as_secs(), 60);
    }

    #[test]
    fn names_are_different() {
        let names: std::collections::BTreeSet<_> = ErrorClass::ALL.iter().map(|class| class.name()).collect();
        assert_eq!(names.len(), ErrorClass::ALL.len());
    }

    proptest! {
        #[test]
        fn a_delay_stays_within_a_fifth_of_its_bounds(class in 0..ErrorClass::ALL.len(), attempts: u32, spread: u64) {
            let class = ErrorClass::ALL[class];
            let Row(_, first, most) = class.row();
            let millis = class.delay(attempts, spread, None).as_millis();
            prop_assert!(millis >= i128::from(first) * 1000);
            prop_assert!(millis <= i128::from(most) * 1200);
        }
    }
}
