//! Writes Events. Names, descriptions and field managers of others stand in their texts, so all that is shown
//! of them is escaped here.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};
use strongroom_api::visible;

use crate::kube::{EventReason, in_words};

/// Longest note that the API server takes, in bytes
/// (<https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>).
const MAX_NOTE_BYTES: usize = 1024;

/// What an Event says. Its type follows from the reason.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EventMessage {
    pub(crate) reason: EventReason,
    /// For people.
    pub(crate) note: String,
    /// What was done or refused, in a word.
    pub(crate) action: &'static str,
    /// Another object that it has to do with.
    pub(crate) secondary: Option<ObjectReference>,
}

impl EventMessage {
    /// One that has to do with no other object.
    pub(crate) const fn new(reason: EventReason, action: &'static str, note: String) -> Self {
        Self {
            reason,
            note,
            action,
            secondary: None,
        }
    }
}

/// The writer of Events, which come from `strongroom` whatever part of it has something to tell.
#[derive(Clone)]
pub(crate) struct EventWriter(Recorder);

impl EventWriter {
    pub(crate) fn new(client: &Client) -> Self {
        let reporter = Reporter {
            controller: "strongroom".to_owned(),
            instance: None,
        };
        Self(Recorder::new(client.clone(), reporter))
    }

    /// Publishes an Event.
    ///
    /// # Errors
    /// The API server's.
    pub(crate) async fn publish(
        &self,
        message: EventMessage,
        regarding: &ObjectReference,
    ) -> Result<(), kube::Error> {
        self.0.publish(&shown(message), regarding).await
    }

    /// Publishes an Event. One that cannot be published is logged: nothing waits for it.
    pub(crate) async fn tell(&self, message: EventMessage, regarding: &ObjectReference) {
        let reason = message.reason;
        if let Err(error) = self.publish(message, regarding).await {
            tracing::warn!(reason = reason.as_str(), error = %in_words(&error), "event publish failed");
        }
    }
}

/// The Event as it may be shown, cut where the API server would not take it.
fn shown(message: EventMessage) -> Event {
    let text = |text: String| visible(&text).into_owned();
    let mut note = text(message.note);
    note.truncate(note.floor_char_boundary(MAX_NOTE_BYTES));
    Event {
        type_: message.reason.event_type(),
        reason: message.reason.as_str().to_owned(),
        note: Some(note),
        action: message.action.to_owned(),
        secondary: message.secondary.map(|secondary| ObjectReference {
            field_path: secondary.field_path.map(text),
            ..secondary
        }),
    }
}

#[cfg(test)]
mod tests {
    use strongroom_testing::api_server::{ApiServer, NS};

    use super::*;

    #[tokio::test]
    async fn what_others_wrote_is_escaped_in_every_event() {
        let api = ApiServer::default();
        let writer = EventWriter::new(&api.client());
        let event = |note: String| EventMessage {
            reason: EventReason::NativeSecretEdited,
            note,
            action: "Repair",
            secondary: Some(ObjectReference {
                field_path: Some("data.a{\u{1b}[31m}".to_owned()),
                ..ObjectReference::default()
            }),
        };
        let about = ObjectReference {
            namespace: Some(NS.to_owned()),
            name: Some("db".to_owned()),
            ..ObjectReference::default()
        };
        writer
            .tell(
                event("safe \u{1b}[2K\n\u{9b}31m\u{202e} READY".to_owned()),
                &about,
            )
            .await;
        let (_, note) = api.events().remove(0);
        assert_eq!(note, "safe \\u{1b}[2K\\n\\u{9b}31m\\u{202e} READY");
        let shown = shown(event("\u{e9}".repeat(MAX_NOTE_BYTES)));
        assert_eq!(shown.note.unwrap().len(), MAX_NOTE_BYTES);
        let place = shown.secondary.unwrap().field_path.unwrap();
        assert_eq!(place, "data.a{\\u{1b}[31m}");
    }
}
