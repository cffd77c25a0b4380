//! WatchSecret: `GET /v1/namespaces/{namespace}/secrets/{name}/watch`: the id of the current version, or of
//! that with another `stage`, now and whenever it changes, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! Whoever may describe the secret may watch it, and only for as long: it is asked again at each event and
//! once a second. A stream ends after five minutes, so that its token is looked at again; clients of
//! server-sent events come back by themselves, with the id of the last event.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde::Serialize;
use strongroom_api::v1::{VersionEvent, WatchEnd, WatchSecretQuery};
use strongroom_model::id::SecretId;
use strongroom_model::name::Stage;
use strongroom_rules::policy::Action;
use strongroom_store::vault::SecretState;
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;

use super::metadata;
use crate::gateway::changes::StoreChange;
use crate::gateway::operation::{Answer, AnswerBody, Input, StreamEvent, Success};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::authorise::is_allowed;
use crate::gateway::request::{
    AccessRequest, Authorised, OperationContext, RequestContext, SecretPath, find,
};
use crate::gateway::{Gateway, blocking};

/// How long a stream lasts.
const STREAM_LIFETIME: Duration = Duration::from_secs(300);
/// Between two looks at a secret that changes all the time: each takes a decision, for each who watches it.
const MIN_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How often a quiet stream is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// One who watches.
struct Watcher {
    gateway: Arc<Gateway>,
    request: RequestContext,
    path: SecretPath,
    stage: Stage,
    secret: SecretId,
    changes: Receiver<StoreChange>,
    /// The version that was told last.
    last_version: Option<String>,
    until: Instant,
    /// When it was looked at last.
    looked: Instant,
    ended: bool,
}

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, WatchSecretQuery>,
) -> Result<Answer, Problem> {
    let OperationContext {
        gateway,
        request,
        slot,
    } = context;
    let Input {
        path, query, cached, ..
    } = input;
    let stage = query.stage.as_deref().unwrap_or("Current");
    let stage = stage.parse().map_err(invalid)?;
    request.listener().capacity.watch(&slot, request.caller())?;
    // From before the first look, so that nothing is missed in between.
    let changes = gateway.changes.subscribe();
    let watcher = blocking(move || {
        let action = (Action::DescribeSecret, "watch");
        let id = |authorised: &Authorised<'_>| authorised.secret().id;
        let secret = metadata::answer(&gateway, &request, &path, action, id)?;
        Ok(Watcher {
            gateway,
            request,
            path,
            stage,
            secret,
            changes,
            last_version: cached.event,
            until: Instant::now() + STREAM_LIFETIME,
            looked: Instant::now(),
            ended: false,
        })
    })
    .await?;
    let events = futures::stream::unfold(watcher, async |mut watcher: Watcher| {
        let event = watcher.next().await?;
        Some((event, watcher))
    });
    Ok(Answer::new(Success::Done, AnswerBody::Events(events.boxed())))
}

/// An event; none where it cannot be written, which ends the stream.
fn event(kind: &'static str, id: Option<String>, data: &impl Serialize) -> Option<StreamEvent> {
    let data = serde_json::to_string(data).ok()?;
    Some(StreamEvent { kind, id, data })
}

/// What a look comes to.
enum WatchStep {
    Version(String),
    /// Nothing more is told, and why.
    End(&'static str),
}

impl Watcher {
    /// The next event; none where the stream ends.
    async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            if self.ended || Instant::now() >= self.until {
                return None;
            }
            self.looked = Instant::now();
            match self.evaluate().await {
                WatchStep::Version(id) if self.last_version.as_ref() != Some(&id) => {
                    self.last_version = Some(id.clone());
                    let data = VersionEvent {
                        version_id: id.clone(),
                        stage: self.stage.to_string(),
                    };
                    return event("version", Some(id), &data);
                }
                WatchStep::Version(_) => {}
                WatchStep::End(code) => {
                    self.ended = true;
                    return event("end", None, &WatchEnd { code: code.into() });
                }
            }
            self.wait().await?;
        }
    }

    /// Returns when it is worth looking again; none where the process ends.
    async fn wait(&mut self) -> Option<()> {
        let (secret, looking) = (self.secret, tokio::time::sleep(CHECK_INTERVAL));
        let (namespace, soonest) = (self.path.namespace().name(), self.looked + MIN_LOOK_INTERVAL);
        tokio::pin!(looking);
        let ending = self.gateway.ending.clone();
        loop {
            tokio::select! {
                changed = self.changes.recv() => match changed {
                    Ok(StoreChange::Secret(changed, _)) if changed != secret => {}
                    Ok(StoreChange::Namespace(changed)) if *changed != *namespace => {}
                    // Also where it fell behind.
                    Ok(_) | Err(_) => {
                        tokio::time::sleep_until(soonest).await;
                        return Some(());
                    }
                },
                () = &mut looking => return Some(()),
                () = ending.wait() => return None,
            }
        }
    }

    async fn evaluate(&self) -> WatchStep {
        let gateway = Arc::clone(&self.gateway);
        let request = self.request.again_at(jiff::Timestamp::now());
        let (path, stage) = (self.path.clone(), self.stage.clone());
        let looked = blocking(move || {
            let found = find::secret(&gateway, &path)?;
            let facts = request.facts();
            let access = AccessRequest::of_found(Action::DescribeSecret, &found, &facts);
            let allowed = is_allowed(&gateway, &request, &access)?;
            Ok(match found.view() {
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
