//! One Event to the API server, and what its answer means.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::kube::in_words;

/// How long one request may take. The client's own retries are part of it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why an Event fails that a missing right, a quota or a webhook forbids.
pub(super) const FORBIDDEN: &str = "forbidden";

/// What became of an Event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DeliveryOutcome {
    /// The API server has it.
    Delivered,
    /// It will never have it, and why.
    Skipped(&'static str),
    /// It answered with a failure that may be about this Event alone: some more attempts.
    Again(&'static str),
    /// It did not answer, or has no time: as many attempts as it takes.
    Later(&'static str),
}

/// Brings the Event there. What is there already gets the new count; everything else of it is the same.
pub(crate) async fn deliver(client: &Client, event: &Event) -> DeliveryOutcome {
    match tokio::time::timeout(REQUEST_TIMEOUT, write(client, event)).await {
        Ok(Ok(())) => DeliveryOutcome::Delivered,
        Ok(Err(error)) => {
            let fate = delivery_outcome(&error);
            tracing::debug!(error = %in_words(&error), ?fate, "event publish failed");
            fate
        }
        Err(_) => DeliveryOutcome::Later("timeout"),
    }
}

async fn write(client: &Client, event: &Event) -> Result<(), kube::Error> {
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let name = event.metadata.name.as_deref().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    if let Some(series) = &event.series {
        let patch = Patch::Merge(json!({ "series": series }));
        match api.patch(name, &PatchParams::default(), &patch).await {
            Ok(_) => return Ok(()),
            // The first one has expired, or never came there.
            Err(kube::Error::Api(answer)) if answer.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    match api.create(&PostParams::default(), event).await {
        Err(kube::Error::Api(answer)) if answer.is_already_exists() => Ok(()),
        answer => answer.map(drop),
    }
}

/// What a failure means for the Event.
pub(crate) fn delivery_outcome(error: &kube::Error) -> DeliveryOutcome {
    let kube::Error::Api(answer) = error else {
        return DeliveryOutcome::Later("unreachable");
    };
    let terminating = answer.details.as_ref().is_some_and(|details| {
        details
            .causes
            .iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
    });
    match answer.code {
        _ if terminating => DeliveryOutcome::Skipped("namespace-terminating"),
        404 => DeliveryOutcome::Skipped("namespace-gone"),
        401 => DeliveryOutcome::Later("unauthorized"),
        429 | 503 | 504 => DeliveryOutcome::Later("overloaded"),
        // A missing right, a quota or a webhook of one namespace: it may heal, and must not hold up all
        // others for good.
        403 => DeliveryOutcome::Again(FORBIDDEN),
        408 | 409 => DeliveryOutcome::Again("conflict"),
        400..=499 => DeliveryOutcome::Skipped("invalid"),
        _ => DeliveryOutcome::Again("server-error"),
    }
}
