//! What is in force of a policy whose newest generation cannot be put in force.
//!
//! INVARIANT: never less is denied than before. What was in force stays, also over a restart, because the
//! store keeps it. If that is lost, everything that the policy is attached to is denied, since it may have
//! contained a Deny.

/// What the store keeps of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredGeneration {
    /// No statements of it.
    Nothing,
    /// Something that cannot be read, or that this version cannot compile.
    Unreadable,
    /// The statements of this generation.
    Generation(i64),
}

/// What is known of what was in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownGenerations {
    /// The generation that is in force in this process.
    pub here: Option<i64>,
    /// What the store keeps.
    pub kept: StoredGeneration,
    /// The generation that was in force by the policy's own status.
    pub told: Option<i64>,
}

/// What is in force instead of the newest generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Nothing, as before.
    Nothing,
    /// What this process has in force: nothing is to be done.
    Stays(i64),
    /// What the store keeps.
    Stored(i64),
    /// What was in force is not known: everything that the policy is attached to is denied.
    Denies(UnknownReason),
}

/// Why it is not known what was in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownReason {
    /// The store keeps nothing of it.
    Lost {
        /// The generation that was in force.
        told: i64,
    },
    /// The store keeps an earlier one: a backup was restored, or the last one could not be kept.
    Older {
        /// The generation that is kept.
        kept: i64,
        /// The generation that was in force.
        told: i64,
    },
    /// What the store keeps cannot be read or compiled.
    Unreadable,
    /// Nothing was in force, and what it says is over a bound: a Deny of it is held.
    TooLarge,
}

/// Decides what is in force.
#[must_use]
pub const fn fallback(before: KnownGenerations) -> Fallback {
    match (before.here, before.kept, before.told) {
        (Some(here), _, _) => Fallback::Stays(here),
        (None, StoredGeneration::Unreadable, _) => Fallback::Denies(UnknownReason::Unreadable),
        (None, StoredGeneration::Generation(kept), Some(told)) if kept < told => {
            Fallback::Denies(UnknownReason::Older { kept, told })
        }
        (None, StoredGeneration::Generation(kept), _) => Fallback::Stored(kept),
        (None, StoredGeneration::Nothing, Some(told)) => Fallback::Denies(UnknownReason::Lost { told }),
        (None, StoredGeneration::Nothing, None) => Fallback::Nothing,
    }
}

impl Fallback {
    /// The generation that is in force.
    #[must_use]
    pub const fn in_force(self) -> Option<i64> {
        match self {
            Self::Stays(generation) | Self::Stored(generation) => Some(generation),
            Self::Nothing | Self::Denies(_) => None,
        }
    }
}

impl std::fmt::Display for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing of it is in force"),
            Self::Stays(generation) | Self::Stored(generation) => {
                write!(f, "generation {generation} stays in force")
            }
            Self::Denies(why) => write!(f, "{why}, so everything it is attached to is denied"),
        }
    }
}

impl std::fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost { told } => write!(f, "generation {told} was in force and the store does not keep it"),
            Self::Older { kept, told } => write!(
                f,
                "generation {told} was in force and the store keeps generation {kept} alone"
            ),
            Self::Unreadable => f.write_str("what the store keeps of it cannot be read"),
            Self::TooLarge => f.write_str("nothing of it was in force"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_less_than_before() {
        let denies = Fallback::Denies;
        for (here, kept, told, expected) in [
            (None, StoredGeneration::Nothing, None, Fallback::Nothing),
            (
                None,
                StoredGeneration::Nothing,
                Some(3),
                denies(UnknownReason::Lost { told: 3 }),
            ),
            (
                None,
                StoredGeneration::Unreadable,
                None,
                denies(UnknownReason::Unreadable),
            ),
            (
                None,
                StoredGeneration::Unreadable,
                Some(3),
                denies(UnknownReason::Unreadable),
            ),
            (None, StoredGeneration::Generation(3), None, Fallback::Stored(3)),
            (
                None,
                StoredGeneration::Generation(3),
                Some(2),
                Fallback::Stored(3),
            ),
            (
                None,
                StoredGeneration::Generation(3),
                Some(3),
                Fallback::Stored(3),
            ),
            (
                None,
                StoredGeneration::Generation(3),
                Some(4),
                denies(UnknownReason::Older { kept: 3, told: 4 }),
            ),
        ] {
            let before = KnownGenerations { here, kept, told };
            assert_eq!(fallback(before), expected, "{before:?}");
            // What this process has in force is what was in force last, whatever others say.
            let here = Some(9);
            assert_eq!(fallback(KnownGenerations { here, ..before }), Fallback::Stays(9));
        }
    }

    #[test]
    fn says_what_is_in_force_and_why() {
        let denies = Fallback::Denies;
        for (fallback, in_force, text) in [
            (Fallback::Nothing, None, "nothing of it is in force"),
            (Fallback::Stays(3), Some(3), "generation 3 stays in force"),
            (Fallback::Stored(4), Some(4), "generation 4 stays in force"),
            (
                denies(UnknownReason::Lost { told: 3 }),
                None,
                "generation 3 was in force and the store does not keep it, so everything it is attached to is denied",
            ),
            (
                denies(UnknownReason::Older { kept: 3, told: 4 }),
                None,
                "generation 4 was in force and the store keeps generation 3 alone, so everything it is attached to is denied",
            ),
            (
                denies(UnknownReason::Unreadable),
                None,
                "what the store keeps of it cannot be read, so everything it is attached to is denied",
            ),
            (
                denies(UnknownReason::TooLarge),
                None,
                "nothing of it was in force, so everything it is attached to is denied",
            ),
        ] {
            assert_eq!((fallback.in_force(), &*fallback.to_string()), (in_force, text));
        }
    }
}
