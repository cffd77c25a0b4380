//! Whether a notice about a volume is being sent. No I/O.

use parking_lot::Mutex;

/// The notices of one volume: while one is under way, any number of changes come to one more.
#[derive(Debug, Default)]
pub struct Notices(Mutex<State>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    UnderWay,
    UnderWayAndAgain,
}

impl Notices {
    /// The volume has changed. Answers whether somebody has to set out.
    pub fn begin(&self) -> bool {
        let mut state = self.0.lock();
        let idle = *state == State::Idle;
        *state = if idle {
            State::UnderWay
        } else {
            State::UnderWayAndAgain
        };
        idle
    }

    /// A notice is over. Answers whether it has changed since, so that there is another one.
    pub fn finish(&self) -> bool {
        let mut state = self.0.lock();
        let again = *state == State::UnderWayAndAgain;
        *state = if again { State::UnderWay } else { State::Idle };
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_during_a_notice_come_to_one_more() {
        let notices = Notices::default();
        assert!(notices.begin());
        assert!(!notices.begin() && !notices.begin());
        assert!(notices.finish());
        assert!(!notices.finish());
        assert!(notices.begin() && !notices.finish());
    }
}
