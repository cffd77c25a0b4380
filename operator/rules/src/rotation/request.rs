//! Rotations that people ask for by the annotation `strongroom.dev/rotate-now`, on a secret's object or on
//! its schedule: which is to be done, and which was.
//!
//! What was done is recorded in labels of the stored secret, and by the version that came of it, in one
//! commit. The label goes with the annotation, so that the same text later is told from the one that stayed.

use std::collections::BTreeMap;

use super::RotationTrigger;
use crate::cause::text_digest;

/// Whose annotation asks. The store keeps what each asked for last, as a digest: the text can be long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationRequester {
    /// The object's.
    Object,
    /// That of the schedule which covers it.
    Schedule,
}

impl RotationRequester {
    const fn label(self) -> &'static str {
        match self {
            Self::Object => "strongroom.dev/rotated",
            Self::Schedule => "strongroom.dev/schedule-rotated",
        }
    }
}

/// Records in the labels of a secret that what was asked for is done.
pub fn record(labels: &mut BTreeMap<String, String>, requester: RotationRequester, text: &str) {
    labels.insert(requester.label().to_owned(), text_digest(text));
}

/// Keeps what is recorded of this requester.
pub fn keep_record(
    labels: &mut BTreeMap<String, String>,
    recorded: &BTreeMap<String, String>,
    requester: RotationRequester,
) {
    if let Some(digest) = recorded.get(requester.label()) {
        labels.insert(requester.label().to_owned(), digest.clone());
    }
}

/// An annotation, beside what the store knows of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationRequest {
    requester: RotationRequester,
    text: String,
    /// The text is what this requester asked for last, and was done.
    recorded: bool,
    /// The version that came of the text, while it is there.
    version: Option<String>,
}

impl RotationRequest {
    /// A request for a secret with this id and these labels, of whose versions `has_version` tells.
    pub fn new(
        (requester, text): (RotationRequester, &str),
        (secret_id, labels): (&[u8; 16], &BTreeMap<String, String>),
        has_version: impl FnOnce(&str) -> bool,
    ) -> Self {
        let version = RotationTrigger::Asked(text.to_owned())
            .cause()
            .version_id(secret_id);
        Self {
            requester,
            text: text.to_owned(),
            recorded: labels.get(requester.label()) == Some(&text_digest(text)),
            version: Some(version).filter(|version| has_version(version)),
        }
    }

    /// The version for which the text was used before, where it is not what this requester asked for last: it
    /// is not carried out again.
    #[must_use]
    pub fn done_before(&self) -> Option<&str> {
        self.version.as_deref().filter(|_| !self.recorded)
    }
}

/// What all annotations together ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotateNow {
    /// There is none, or the secret was made after it.
    Nothing,
    /// A rotation that was not done yet, in these words.
    Asked(String),
    /// What was done last, as this version.
    Done {
        /// Id of the version.
        version: String,
    },
    /// What was done before something else was asked for, or before the annotation was taken away.
    DoneBefore {
        /// Id of the version.
        version: String,
    },
}

impl RotateNow {
    /// Weighs the requests, of which the first that was not done yet is the next to be done. Answers with all
    /// whom that one rotation serves.
    #[must_use]
    pub fn from_requests(
        requests: impl IntoIterator<Item = RotationRequest>,
    ) -> (Self, Vec<RotationRequester>) {
        let (mut rotate_now, mut requesters) = (Self::Nothing, Vec::new());
        for request in requests {
            if request.recorded {
                if rotate_now == Self::Nothing
                    && let Some(version) = request.version
                {
                    rotate_now = Self::Done { version };
                }
            } else if let Some(version) = request.version {
                if !matches!(rotate_now, Self::Asked(_)) {
                    rotate_now = Self::DoneBefore { version };
                }
            } else if !matches!(&rotate_now, Self::Asked(other) if *other != request.text) {
                rotate_now = Self::Asked(request.text);
                requesters.push(request.requester);
            }
        }
        (rotate_now, requesters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_was_not_done_is_next_and_serves_all_who_ask_for_it() {
        use RotationRequester::{Object, Schedule};
        let request = |requester, text: &str, recorded, version: Option<&str>| RotationRequest {
            requester,
            text: text.to_owned(),
            recorded,
            version: version.map(str::to_owned),
        };
        let asked = |text: &str| RotateNow::Asked(text.to_owned());
        let done = |version: &str| RotateNow::Done {
            version: version.to_owned(),
        };
        let before = |version: &str| RotateNow::DoneBefore {
            version: version.to_owned(),
        };
        let table = [
            (vec![], RotateNow::Nothing, vec![]),
            (vec![request(Object, "x", false, None)], asked("x"), vec![Object]),
            (vec![request(Object, "x", true, Some("v-1"))], done("v-1"), vec![]),
            // Its version made room for others since.
            (vec![request(Object, "x", true, None)], RotateNow::Nothing, vec![]),
            (
                vec![request(Object, "x", false, Some("v-1"))],
                before("v-1"),
                vec![],
            ),
            (
                vec![
                    request(Object, "x", false, None),
                    request(Schedule, "x", false, None),
                ],
                asked("x"),
                vec![Object, Schedule],
            ),
            (
                vec![
                    request(Object, "x", false, None),
                    request(Schedule, "y", false, None),
                ],
                asked("x"),
                vec![Object],
            ),
            (
                vec![
                    request(Object, "x", true, Some("v-1")),
                    request(Schedule, "y", false, None),
                ],
                asked("y"),
                vec![Schedule],
            ),
            (
                vec![
                    request(Object, "x", false, None),
                    request(Schedule, "y", false, Some("v-2")),
                ],
                asked("x"),
                vec![Object],
            ),
            (
                vec![
                    request(Object, "x", true, Some("v-1")),
                    request(Schedule, "y", false, Some("v-2")),
                ],
                before("v-2"),
                vec![],
            ),
            (
                vec![
                    request(Object, "x", true, Some("v-1")),
                    request(Schedule, "y", true, Some("v-2")),
                ],
                done("v-1"),
                vec![],
            ),
        ];
        for (requests, rotate_now, requesters) in table {
            let says = format!("{requests:?}");
            assert_eq!(
                RotateNow::from_requests(requests),
                (rotate_now, requesters),
                "{says}"
            );
        }
    }

    #[test]
    fn what_is_recorded_is_read_back_for_the_one_who_asked() {
        let id = [7; 16];
        let request = |labels: &BTreeMap<String, String>, requester, text| {
            RotationRequest::new((requester, text), (&id, labels), |_| true)
        };
        let mut labels = BTreeMap::new();
        record(&mut labels, RotationRequester::Schedule, "x");
        let mut kept = BTreeMap::new();
        keep_record(&mut kept, &labels, RotationRequester::Object);
        assert!(kept.is_empty());
        keep_record(&mut kept, &labels, RotationRequester::Schedule);
        assert_eq!(kept, labels);
        assert!(
            request(&kept, RotationRequester::Schedule, "x")
                .done_before()
                .is_none()
        );
        let version = RotationTrigger::Asked("y".to_owned()).cause().version_id(&id);
        let other = request(&kept, RotationRequester::Schedule, "y");
        assert_eq!(other.done_before(), Some(version.as_str()));
        assert!(
            request(&kept, RotationRequester::Object, "x")
                .done_before()
                .is_some()
        );
    }
}
