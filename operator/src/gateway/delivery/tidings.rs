//! What becomes an event of a pod that is told of changes: pure. An event says how it stands, not each notice: the same again only after a while, and
//! anything else no sooner than a few seconds after the last, so that no secret that changes often can flood anybody's events.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::runtime::events::{Event, EventType};
use strongroom_api::stream::proto::{NoticeOutcome, Noticed};

use super::whereabouts::Nowhere;

/// How soon the same is said again.
const SAME: Duration = Duration::from_secs(600);
/// How soon something else is.
const OTHER: Duration = Duration::from_secs(10);

/// What came of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tiding {
    /// The pod was told, or not, at a port; the status of HTTP, or 0.
    Told(NoticeOutcome, u16, u16),
    /// It was sent nothing.
    Nowhere(Nowhere),
}

impl Tiding {
    /// What a node says; none where it means nothing.
    pub(super) fn of(noticed: &Noticed) -> Option<Self> {
        let outcome = NoticeOutcome::try_from(noticed.outcome).ok()?;
        let (port, status) = (noticed.port.try_into().ok()?, noticed.status.try_into().ok()?);
        (outcome != NoticeOutcome::Unspecified).then_some(Self::Told(outcome, port, status))
    }

    /// The event.
    pub(super) fn event(self) -> Event {
        let (delivered, note) = match self {
            Self::Told(NoticeOutcome::Delivered, port, status) => (
                true,
                format!("the pod was told at port {port} that its volume has changed: {status}"),
            ),
            Self::Told(outcome, port, status) => {
                let why = match outcome {
                    NoticeOutcome::Refused => {
                        "nobody listens there for HTTP at the pod's own address".to_owned()
                    }
                    NoticeOutcome::TimedOut => "no answer within a second".to_owned(),
                    _ => format!("it answered {status}"),
                };
                let note = format!(
                    "the pod could not be told at port {port} that its volume has changed: {why}; the files are new all the same"
                );
                (false, note)
            }
            Self::Nowhere(why) => (
                false,
                format!(
                    "the pod could not be told that its volume has changed: {why}; the files are new all the same"
                ),
            ),
        };
        let (type_, reason) = if delivered {
            (EventType::Normal, "ChangeNoticed")
        } else {
            (EventType::Warning, "ChangeNotNoticed")
        };
        Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Notice".to_owned(),
            secondary: None,
        }
    }
}

/// What was said last of each volume.
#[derive(Debug, Default)]
pub(super) struct Tidings(BTreeMap<String, (Tiding, Instant)>);

impl Tidings {
    /// Whether this is to be said now; then it counts as said.
    pub(super) fn is_news(&mut self, volume: &str, tiding: Tiding, now: Instant) -> bool {
        let pause = match self.0.get(volume) {
            Some((last, at)) => {
                let pause = if *last == tiding { SAME } else { OTHER };
                now.saturating_duration_since(*at) < pause
            }
            None => false,
        };
        if !pause {
            self.0.insert(volume.to_owned(), (tiding, now));
        }
        !pause
    }

    /// The volume is gone.
    pub(super) fn gone(&mut self, volume: &str) {
        self.0.remove(volume);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_how_it_stands_and_not_each_notice() {
        let mut tidings = Tidings::default();
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let good = Tiding::Told(NoticeOutcome::Delivered, 80, 200);
        let bad = Tiding::Told(NoticeOutcome::Refused, 80, 0);
        assert!(tidings.is_news("a", good, begin));
        assert!(!tidings.is_news("a", good, after(599)));
        assert!(tidings.is_news("b", good, begin));
        assert!(!tidings.is_news("a", bad, after(9)) && tidings.is_news("a", bad, after(10)));
        assert!(!tidings.is_news("a", good, after(19)) && tidings.is_news("a", good, after(20)));
        assert!(tidings.is_news("a", good, after(620)));
        tidings.gone("b");
        assert!(tidings.is_news("b", good, begin));
    }

    #[test]
    fn what_a_node_says_is_read_once() {
        let noticed = |outcome: i32, port, status| Noticed {
            subscription: String::new(),
            outcome,
            port,
            status,
        };
        let status = i32::from(NoticeOutcome::Status);
        let tiding = Tiding::of(&noticed(status, 8_080, 503)).unwrap();
        let event = tiding.event();
        assert_eq!(event.reason, "ChangeNotNoticed");
        let note = event.note.unwrap();
        assert!(
            note.contains("at port 8080") && note.contains("it answered 503"),
            "{note}"
        );
        for nothing in [noticed(0, 80, 0), noticed(99, 80, 0), noticed(status, 70_000, 0)] {
            assert_eq!(Tiding::of(&nothing), None);
        }
        let nowhere = Tiding::Nowhere(Nowhere::NodesNetwork).event().note.unwrap();
        assert!(nowhere.contains("hostNetwork"), "{nowhere}");
    }
}
