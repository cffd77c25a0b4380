//! Whether an encryption key can be used: one answer for store, rules and status.

/// Whether an encryption key can be used; `T` is a point in time, as whoever asks has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState<T> {
    /// What is under it can be read and written.
    Enabled,
    /// It refuses until somebody enables it.
    Disabled,
    /// It refuses, and is destroyed when the window closes.
    PendingDeletion {
        /// When the window closes.
        until: T,
    },
    /// Its material is gone for good.
    Destroyed,
}

impl<T> KeyState<T> {
    /// The same state with its time in other terms.
    #[must_use]
    pub fn map<U>(self, time: impl FnOnce(T) -> U) -> KeyState<U> {
        match self {
            Self::Enabled => KeyState::Enabled,
            Self::Disabled => KeyState::Disabled,
            Self::PendingDeletion { until } => KeyState::PendingDeletion { until: time(until) },
            Self::Destroyed => KeyState::Destroyed,
        }
    }
}
