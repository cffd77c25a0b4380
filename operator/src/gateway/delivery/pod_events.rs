//! Events of pods that are notified of changes. Pure. An event shows the present state, not each notice: the
//! same one is repeated only after a while, and another one comes no sooner than a few seconds after the
//! last. So a secret that changes often cannot flood the events of a namespace.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use strongroom_api::stream::proto::{NoticeOutcome, NoticeResult};

use super::pod_address::PodAddressError;
use crate::kube::{EventMessage, EventReason};

/// How soon the same is said again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(600);
/// How soon something else is.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// What came of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodEvent {
    /// The pod was told, or not, at a port; the status of HTTP, or 0.
    Notified(NoticeOutcome, u16, u16),
    /// It was sent nothing.
    NoAddress(PodAddressError),
}

impl PodEvent {
    /// What a node says; none where it means nothing.
    pub(super) fn from_result(noticed: &NoticeResult) -> Option<Self> {
        let outcome = NoticeOutcome::try_from(noticed.outcome).ok()?;
        let (port, status) = (noticed.port.try_into().ok()?, noticed.status.try_into().ok()?);
        (outcome != NoticeOutcome::Unspecified).then_some(Self::Notified(outcome, port, status))
    }

    /// What people read of it with `kubectl describe pod`.
    pub(super) fn message(self) -> EventMessage {
        let (delivered, note) = match self {
            Self::Notified(NoticeOutcome::Delivered, port, status) => (
                true,
                format!("the pod was notified at port {port} that its volume changed: {status}"),
            ),
            Self::Notified(outcome, port, status) => {
                let why = match outcome {
                    NoticeOutcome::Refused => {
                        "no HTTP server listens there at the pod's own address".to_owned()
                    }
                    NoticeOutcome::TimedOut => "no answer within a second".to_owned(),
                    _ => format!("it answered {status}"),
                };
                let note = format!(
                    "the pod could not be notified at port {port} that its volume changed: {why}; the files are up to date"
                );
                (false, note)
            }
            Self::NoAddress(why) => (
                false,
                format!(
                    "the pod could not be notified that its volume changed: {why}; the files are up to date"
                ),
            ),
        };
        let reason = if delivered {
            EventReason::ReloadNotified
        } else {
            EventReason::ReloadNotificationFailed
        };
        EventMessage::new(reason, "Notice", note)
    }
}

/// What was said last of each volume.
#[derive(Debug, Default)]
pub(super) struct EventThrottle(BTreeMap<String, (PodEvent, Instant)>);

impl EventThrottle {
    /// Whether this is to be said now; then it counts as said.
    pub(super) fn admits(&mut self, volume: &str, event: PodEvent, now: Instant) -> bool {
        let pause = match self.0.get(volume) {
            Some((last, at)) => {
                let pause = if *last == event {
                    REPEAT_INTERVAL
                } else {
                    MIN_INTERVAL
                };
                now.saturating_duration_since(*at) < pause
            }
            None => false,
        };
        if !pause {
            self.0.insert(volume.to_owned(), (event, now));
        }
        !pause
    }

    /// The volume is gone.
    pub(super) fn remove(&mut self, volume: &str) {
        self.0.remove(volume);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_how_it_stands_and_not_each_notice() {
        let mut throttle = EventThrottle::default();
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let good = PodEvent::Notified(NoticeOutcome::Delivered, 80, 200);
        let bad = PodEvent::Notified(NoticeOutcome::Refused, 80, 0);
        assert!(throttle.admits("a", good, begin));
        assert!(!throttle.admits("a", good, after(599)));
        assert!(throttle.admits("b", good, begin));
        assert!(!throttle.admits("a", bad, after(9)) && throttle.admits("a", bad, after(10)));
        assert!(!throttle.admits("a", good, after(19)) && throttle.admits("a", good, after(20)));
        assert!(throttle.admits("a", good, after(620)));
        throttle.remove("b");
        assert!(throttle.admits("b", good, begin));
    }

    #[test]
    fn what_a_node_says_is_read_once() {
        let noticed = |outcome: i32, port, status| NoticeResult {
            subscription: String::new(),
            outcome,
            port,
            status,
        };
        let status = i32::from(NoticeOutcome::Status);
        let event = PodEvent::from_result(&noticed(status, 8_080, 503)).unwrap();
        let EventMessage { reason, note, .. } = event.message();
        assert_eq!(reason.as_str(), "ReloadNotificationFailed");
        assert!(
            note.contains("at port 8080") && note.contains("it answered 503"),
            "{note}"
        );
        for nothing in [noticed(0, 80, 0), noticed(99, 80, 0), noticed(status, 70_000, 0)] {
            assert_eq!(PodEvent::from_result(&nothing), None);
        }
        let nowhere = PodEvent::NoAddress(PodAddressError::NodesNetwork).message().note;
        assert!(nowhere.contains("hostNetwork"), "{nowhere}");
    }
}
