//! Evaluates the subscriptions that are due, reads the values that a node does not have yet, audits each
//! read, and sends the messages.
//!
//! INVARIANT: a value goes out after its record, and before the first message that points at it.

use strongroom_api::stream::proto::gateway_message::Message;
use strongroom_api::stream::proto::{
    Denied, Ended, Granted, Key, Moved, OnRevoke, Pointer, Tombstone, Value,
};
use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::{AuditNote, GetValue};

use super::diff::{DeliveryRefusal, Diff, Evaluation, ReadableVersion, diff, values};
use super::evaluate::{evaluate, from_problem};
use super::node_view::{NodeView, SentPointer, SubscribedSecret, Subscription, ValueKey};
use crate::gateway::Gateway;
use crate::gateway::problem::Problem;
use crate::gateway::request::RequestContext;
use crate::gateway::request::record::{about_impossible_name, note_about};

/// Works off at most so many subscriptions. It reads the store: run it where that holds nobody up.
pub(super) fn dispatch(gateway: &Gateway, view: &mut NodeView, most: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    for _ in 0..most {
        let Some(volume) = view.take_due() else { break };
        dispatch_one(gateway, view, &volume, &mut messages);
    }
    messages
}

fn dispatch_one(gateway: &Gateway, view: &mut NodeView, volume: &str, messages: &mut Vec<Message>) {
    let Some(subscription) = view.get(volume) else {
        return;
    };
    let request = subscription.request.again_at(jiff::Timestamp::now());
    let lately = subscription.reviewed.elapsed() < super::MAX_REVIEW_AGE;
    let mut evaluations: Vec<Evaluation> = if subscription.expired(request.now().as_second()) {
        subscription.secrets.iter().map(|_| expired()).collect()
    } else if subscription.gone {
        subscription.secrets.iter().map(|_| gone()).collect()
    } else if !lately && gateway.nodes.presence().is_broken() {
        subscription.secrets.iter().map(|_| not_known()).collect()
    } else {
        let look = |subscribed| evaluate(gateway, &request, subscribed);
        subscription.secrets.iter().map(look).collect()
    };
    // Each pass either ends or finds one secret less that may be read.
    loop {
        let Some(subscription) = view.get(volume) else {
            return;
        };
        let diff = diff(subscription.sent.as_deref(), &evaluations);
        if let Some(place) = diff.deny {
            return deny(gateway, view, volume, &request, (place, &evaluations), messages);
        }
        match send_diff(gateway, view, volume, &request, (&diff, &evaluations), messages) {
            Ok(()) => return,
            Err((place, problem)) => {
                if let Some(evaluation) = evaluations.get_mut(place) {
                    *evaluation = from_problem(&problem);
                }
            }
        }
    }
}

fn expired() -> Evaluation {
    Evaluation::Refused(DeliveryRefusal {
        ended: Ended::Token,
        // The pod may well be there and allowed: its files stay.
        wipe: Some(false),
        ..super::authenticate_pod::invalid("the pod's token has expired and no newer one came")
    })
}

fn gone() -> Evaluation {
    Evaluation::Refused(DeliveryRefusal {
        ended: Ended::Token,
        // Whoever has the node has the files as well: nobody is left to take them from.
        wipe: Some(false),
        ..super::authenticate_pod::invalid(
            "the pod, its ServiceAccount or its node is gone, or its token is no longer accepted",
        )
    })
}

/// It may be gone by now: what the volume has stays, and nothing newer comes.
fn not_known() -> Evaluation {
    Evaluation::Undecided(super::authenticate_pod::unavailable(
        "the API server does not say whether the pod still exists",
    ))
}

/// Refuses a subscription, and forgets it.
fn deny(
    gateway: &Gateway,
    view: &mut NodeView,
    volume: &str,
    request: &RequestContext,
    (place, evaluations): (usize, &[Evaluation]),
    messages: &mut Vec<Message>,
) {
    let subscribed = view
        .get(volume)
        .and_then(|subscription| subscription.secrets.get(place));
    if let (Some(subscribed), Some(Evaluation::Refused(refused) | Evaluation::Undecided(refused))) =
        (subscribed, evaluations.get(place))
    {
        let mut refused = refused.clone();
        if let Err(problem) = record_refusal(gateway, request, subscribed, &refused)
            && let Evaluation::Refused(instead) | Evaluation::Undecided(instead) = from_problem(&problem)
        {
            // What cannot be recorded is not answered either.
            refused = instead;
        }
        gateway.metrics.delivery.refused(refused.record);
        messages.push(Message::Denied(denied(volume, Some(place), refused)));
    }
    view.remove(volume);
}

/// A refusal as it is said.
pub(super) fn denied(volume: &str, place: Option<usize>, refused: DeliveryRefusal) -> Denied {
    Denied {
        subscription: volume.to_owned(),
        secret: place.map(index),
        code: refused.code.into(),
        message: refused.message,
        missing_policies: refused.missing,
        on_revoke: on_revoke(refused.wipe.unwrap_or(false)).into(),
    }
}

/// Says what has changed.
///
/// # Errors
/// The place of a secret that may not be read after all, and why. Nothing that points at anything was said
/// then.
fn send_diff(
    gateway: &Gateway,
    view: &mut NodeView,
    volume: &str,
    request: &RequestContext,
    (diff, evaluations): (&Diff, &[Evaluation]),
    messages: &mut Vec<Message>,
) -> Result<(), (usize, Problem)> {
    end(gateway, view, volume, request, (diff, evaluations), messages);
    let Some(subscription) = view.get(volume) else {
        return Ok(());
    };
    let needed = values(diff, evaluations, &subscription.fetch, |key| view.has_sent(key));
    let found = |place: usize| match evaluations.get(place) {
        Some(Evaluation::Readable(found)) => Some(found),
        _ => None,
    };
    for place in &needed {
        let Some(found) = found(*place) else { continue };
        if !view.may_send() {
            // The rest when the node has taken in what is under way.
            view.wait(volume);
            return Ok(());
        }
        let value = read(gateway, request, found).map_err(|problem| (*place, problem))?;
        view.send(found.key.clone(), value.window_bytes());
        messages.push(Message::Value(value));
        if let Some(subscription) = view.get_mut(volume) {
            subscription.fetch.remove(place);
        }
    }
    let Some(subscription) = view.get(volume) else {
        return Ok(());
    };
    // What the node has already is read by this pod too; what the volume shows already is not read again.
    for place in diff.point.iter().filter(|place| !needed.contains(place)) {
        if let (Some(found), Some(subscribed)) = (found(*place), subscription.secrets.get(*place))
            && !shows(subscription, *place, subscribed, &found.key)
        {
            record_read(gateway, request, subscribed, found).map_err(|problem| (*place, problem))?;
        }
    }
    let pointers = diff.point.iter().filter_map(|place| {
        let found = found(*place)?;
        Some(Pointer {
            secret: index(*place),
            secret_id: found.key.0.as_bytes().to_vec(),
            version_id: found.key.1.to_string(),
            revision: found.revision,
            on_revoke: on_revoke(found.terms.wipe).into(),
            offline_max_age_s: found.terms.offline.as_secs(),
        })
    });
    let pointers: Vec<Pointer> = pointers.collect();
    if !pointers.is_empty() {
        let subscription = volume.to_owned();
        messages.push(if diff.grant {
            Message::Granted(Granted {
                subscription,
                pointers,
            })
        } else {
            Message::Moved(Moved {
                subscription,
                pointers,
            })
        });
    }
    record_sent(gateway, view, volume, diff, evaluations);
    if diff.again {
        view.wait(volume);
    }
    Ok(())
}

/// Says what has ended. A tombstone is said although it cannot be recorded: it takes access away.
fn end(
    gateway: &Gateway,
    view: &mut NodeView,
    volume: &str,
    request: &RequestContext,
    (diff, evaluations): (&Diff, &[Evaluation]),
    messages: &mut Vec<Message>,
) {
    for (place, wipe) in &diff.end {
        let Some(Evaluation::Refused(refused)) = evaluations.get(*place) else {
            continue;
        };
        if let Some(subscribed) = view
            .get(volume)
            .and_then(|subscription| subscription.secrets.get(*place))
            && let Err(problem) = record_refusal(gateway, request, subscribed, refused)
        {
            tracing::warn!(volume, code = problem.code().as_str(), "audit append failed");
        }
        gateway.metrics.delivery.refused(refused.record);
        messages.push(Message::Tombstone(Tombstone {
            subscription: volume.to_owned(),
            secret: index(*place),
            reason: refused.ended.into(),
            on_revoke: on_revoke(*wipe).into(),
            message: refused.message.clone(),
        }));
        let Some(subscription) = view.get_mut(volume) else {
            continue;
        };
        // Nobody waits for it any more.
        subscription.unshown.shown(*place);
        let sent = subscription.sent.as_mut();
        if let Some(sent) = sent.and_then(|sent| sent.get_mut(*place)) {
            sent.ended = Some(*wipe);
        }
    }
}

/// Keeps what was said.
fn record_sent(
    gateway: &Gateway,
    view: &mut NodeView,
    volume: &str,
    diff: &Diff,
    evaluations: &[Evaluation],
) {
    let Some(subscription) = view.get_mut(volume) else {
        return;
    };
    let mut left = Vec::new();
    let before = subscription.sent.take().unwrap_or_default();
    let (secrets, unshown) = (&subscription.secrets, &mut subscription.unshown);
    let sent = evaluations.iter().enumerate().filter_map(|(place, evaluation)| {
        let before = before.get(place);
        match evaluation {
            Evaluation::Readable(found) if diff.point.contains(&place) => {
                if let Some(before) = before.filter(|before| before.key != found.key) {
                    left.push(before.key.clone());
                }
                let shown = match before {
                    Some(before) => Some(before.key.1.as_str()),
                    None => secrets
                        .get(place)
                        .and_then(|subscribed| subscribed.shown.as_deref()),
                };
                if shown.is_some_and(|shown| shown != found.key.1.as_str())
                    && unshown.announce(place, found.made)
                {
                    gateway.metrics.delivery.changes.inc();
                }
                Some(SentPointer {
                    key: found.key.clone(),
                    terms: found.terms,
                    ended: None,
                })
            }
            _ => before.cloned(),
        }
    });
    let sent = sent.collect();
    if !diff.again {
        unshown.looked_at();
    }
    subscription.sent = Some(sent);
    for key in left {
        view.unsent(&key);
    }
}

fn shows(subscription: &Subscription, place: usize, subscribed: &SubscribedSecret, key: &ValueKey) -> bool {
    let sent = subscription.sent.as_ref().and_then(|sent| sent.get(place));
    match sent {
        // What was wiped is read anew.
        Some(sent) => sent.key == *key && sent.ended != Some(true),
        None => subscribed.shown.as_deref() == Some(key.1.as_str()),
    }
}

/// Reads a value for a pod.
fn read(gateway: &Gateway, request: &RequestContext, found: &ReadableVersion) -> Result<Value, Problem> {
    let get = GetValue {
        version: Some(found.key.1.clone()),
        durability: gateway.durability,
        ..GetValue::current(found.key.0)
    };
    let read = gateway.store.value(&get, &request.meta(&found.statements))?;
    let keys = read.value.into_keys();
    Ok(Value {
        secret_id: found.key.0.as_bytes().to_vec(),
        version_id: found.key.1.to_string(),
        r#type: String::new(),
        keys: keys
            .into_iter()
            .map(|(name, bytes)| Key {
                name: name.to_string(),
                value: bytes.expose().to_vec(),
            })
            .collect(),
    })
}

/// Records that a pod gets a value that its node has already.
fn record_read(
    gateway: &Gateway,
    request: &RequestContext,
    subscribed: &SubscribedSecret,
    found: &ReadableVersion,
) -> Result<(), Problem> {
    let note = AuditNote {
        version: Some(found.key.1.clone()),
        ..note_about(audit::Action::GetSecretValue, &subscribed.path, Some(found.key.0))
    };
    Ok(gateway
        .store
        .record_request(note, &request.meta(&found.statements), gateway.durability)?)
}

fn record_refusal(
    gateway: &Gateway,
    request: &RequestContext,
    subscribed: &SubscribedSecret,
    refused: &DeliveryRefusal,
) -> Result<(), Problem> {
    let note = AuditNote {
        outcome: AuditOutcome::Refused(refused.record.as_str().to_owned()),
        detail: about_impossible_name(&subscribed.path),
        ..note_about(audit::Action::GetSecretValue, &subscribed.path, refused.secret)
    };
    Ok(gateway
        .store
        .record_request(note, &request.meta(&refused.statements), gateway.durability)?)
}

fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

const fn on_revoke(wipe: bool) -> OnRevoke {
    if wipe { OnRevoke::Wipe } else { OnRevoke::Keep }
}
