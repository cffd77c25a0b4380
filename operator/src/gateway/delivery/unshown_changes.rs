//! Changes that a volume does not show yet, and since when, so that the delay is known once its node
//! acknowledges them. Pure.

use std::collections::BTreeMap;

use strongroom_model::time::Timestamp;

/// Changes of one volume that it does not show yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UnshownChanges {
    /// When a secret of it changed, if the volume was not looked at since.
    noticed: Option<Timestamp>,
    /// Places of secrets that it was told are at another version, and since when they are.
    due: BTreeMap<usize, Timestamp>,
}

impl UnshownChanges {
    /// A secret of the volume changed then.
    pub(super) fn notice(&mut self, at: Timestamp) {
        self.noticed.get_or_insert(at);
    }

    /// The volume is told that the secret at this place is at another version, which was made then. Answers
    /// whether that is a change more: one that overtakes another is not.
    pub(super) fn announce(&mut self, place: usize, made: Timestamp) -> bool {
        let since = self.noticed.unwrap_or(made);
        let more = !self.due.contains_key(&place);
        self.due.entry(place).or_insert(since);
        more
    }

    /// The volume was looked at, and told of whatever had changed.
    pub(super) const fn looked_at(&mut self) {
        self.noticed = None;
    }

    /// The volume shows what it was told at this place. Answers since when it should.
    pub(super) fn shown(&mut self, place: usize) -> Option<Timestamp> {
        self.due.remove(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_change_is_due_from_its_commit_until_it_is_shown() {
        let mut unshown = UnshownChanges::default();
        unshown.notice(at(100));
        unshown.notice(at(200));
        assert!(unshown.announce(0, at(1)));
        unshown.looked_at();
        assert_eq!(unshown.shown(1), None);
        // One that comes before the first is shown is no change more, and the first counts.
        unshown.notice(at(300));
        assert!(!unshown.announce(0, at(300)));
        unshown.looked_at();
        assert_eq!(unshown.shown(0), Some(at(100)));
        assert_eq!(unshown.shown(0), None);
        // What nobody noticed is as old as its version.
        assert!(unshown.announce(0, at(7)));
        assert_eq!(unshown.shown(0), Some(at(7)));
        assert_eq!(unshown, UnshownChanges::default());
    }
}
