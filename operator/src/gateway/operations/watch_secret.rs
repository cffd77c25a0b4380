//! WatchSecret: `GET /v1/namespaces/{namespace}/secrets/{name}/watch`: the id of the current version, or of
//! that with another `stage`, now and whenever it changes, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Whoever may describe the secret may watch it, and only for as long: it is asked again at each event and
//! once a second. A stream ends after five minutes, so that its token is looked at again; clients of
//! server-sent events come back by themselves, with the id of the last event.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures::Stream;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use strongroom_rules::policy::Action;
use strongroom_store::id::SecretId;
use strongroom_store::name::Stage;
use strongroom_store::vault::SecretState;
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;

use super::describe_secret::metadata;
use super::get_secret_value::invalid;
use crate::gateway::access::{AccessRequest, RequestContext, decide};
use crate::gateway::changes::StoreChange;
use crate::gateway::operation::Operation;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::Slot;
use crate::gateway::{Gateway, NamespaceRef, blocking};

/// How long a stream lasts.
const STREAM_LIFETIME: Duration = Duration::from_secs(300);
/// How often a quiet stream is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a quiet stream says that it is there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// What is watched.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "WatchSecretQuery")]
pub(in crate::gateway) struct WatchSecretQuery {
    /// The stage whose version is told; Current where absent.
    #[serde(default)]
    stage: Option<String>,
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new("WatchSecret", "/v1/namespaces/{namespace}/secrets/{name}/watch", get(serve))
        .about("The id of the current version, now and whenever it changes, as server-sent events; needs DescribeSecret")
        .query::<WatchSecretQuery>()
        .answers_as(StatusCode::OK, "text/event-stream", &json!({"type": "string"}))
}

/// One who watches.
struct Watcher {
    gateway: Arc<Gateway>,
    asking: RequestContext,
    place: NamespaceRef,
    name: String,
    stage: Stage,
    secret: SecretId,
    changes: Receiver<StoreChange>,
    /// The version that was told last.
    told: Option<String>,
    until: Instant,
    ended: bool,
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    Extension(slot): Extension<Arc<Slot>>,
    path: Result<Path<(String, String)>, PathRejection>,
    which: Result<Query<WatchSecretQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let Path((namespace, name)) = path.map_err(invalid)?;
    let Query(which) = which.map_err(invalid)?;
    let stage = which
        .stage
        .as_deref()
        .unwrap_or("Current")
        .parse()
        .map_err(invalid)?;
    let told = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .map(str::to_owned);
    let place = gateway.admit(&asking, Action::DescribeSecret, namespace).await?;
    gateway.capacity.watch(&slot, &asking.caller.principal.identity)?;
    // From before the first look, so that nothing is missed in between.
    let changes = gateway.changes.subscribe();
    let watcher = blocking(move || {
        let action = (Action::DescribeSecret, "watch");
        let secret = metadata(&gateway, &asking, &place, &name, action, |view, _| view.id)?;
        Ok(Watcher {
            gateway,
            asking,
            place,
            name,
            stage,
            secret,
            changes,
            told,
            until: Instant::now() + STREAM_LIFETIME,
            ended: false,
        })
    })
    .await?;
    let events = futures::stream::unfold(watcher, async |mut watcher| {
        let event = watcher.next().await?;
        Some((Ok(event), watcher))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL)))
}

/// What a look comes to.
enum WatchStep {
    Version(String),
    /// Nothing more is told, and why.
    End(&'static str),
}

impl Watcher {
    /// The next event; none where the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.ended || Instant::now() >= self.until {
                return None;
            }
            match self.look().await {
                WatchStep::Version(id) if self.told.as_ref() != Some(&id) => {
                    self.told = Some(id.clone());
                    let data = json!({"versionId": id, "stage": self.stage.to_string()});
                    return Some(Event::default().event("version").id(id).data(data.to_string()));
                }
                WatchStep::Version(_) => {}
                WatchStep::End(code) => {
                    self.ended = true;
                    return Some(
                        Event::default()
                            .event("end")
                            .data(json!({"code": code}).to_string()),
                    );
                }
            }
            self.wait().await?;
        }
    }

    /// Returns when it is worth looking again; none where the process ends.
    async fn wait(&mut self) -> Option<()> {
        let (secret, looking) = (self.secret, tokio::time::sleep(CHECK_INTERVAL));
        tokio::pin!(looking);
        let ending = self.gateway.ending.clone();
        loop {
            tokio::select! {
                changed = self.changes.recv() => match changed {
                    Ok(StoreChange::Secret(changed)) if changed != secret => {}
                    // Also where it fell behind.
                    Ok(_) | Err(_) => return Some(()),
                },
                () = &mut looking => return Some(()),
                () = ending.wait() => return None,
            }
        }
    }

    async fn look(&self) -> WatchStep {
        let (gateway, asking) = (Arc::clone(&self.gateway), self.asking.clone());
        let (place, name, stage) = (self.place.clone(), self.name.clone(), self.stage.clone());
        let asking = RequestContext {
            now: jiff::Timestamp::now(),
            ..asking
        };
        let looked = blocking(move || {
            let secret = gateway.find(&place, &name)?;
            let facts = asking.facts();
            let wanted = AccessRequest {
                action: Action::DescribeSecret,
                namespace: &place.name,
                name: &name,
                secret: secret.as_deref(),
                new_under: None,
                facts: &facts,
            };
            let allowed = decide(&gateway, &asking, Action::DescribeSecret, &wanted)?.allowed;
            Ok(match &secret {
                Some(secret) if allowed => match (&secret.state, secret.stages.get(&stage)) {
                    (SecretState::PendingDeletion { .. }, _) => {
                        WatchStep::End(Code::InRecoveryWindow.as_str())
                    }
                    (SecretState::Live, Some(id)) => WatchStep::Version(id.to_string()),
                    (SecretState::Live, None) => WatchStep::End(Code::StageNotFound.as_str()),
                },
                Some(_) | None => WatchStep::End(Code::SecretNotFound.as_str()),
            })
        });
        looked
            .await
            .unwrap_or_else(|problem| WatchStep::End(problem.code().as_str()))
    }
}
