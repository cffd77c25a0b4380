use strongroom_api::stream::SecretId;
use strongroom_api::stream::proto::gateway_message::Message as FromGateway;
use strongroom_api::stream::proto::{
    self, Denied, GatewayMessage, Granted, Key, Moved, OnRevoke, Pointer, Tombstone, requested_secret,
};
use strongroom_model::Value;
use zeroize::Zeroizing;

use super::*;

impl From<Vec<RequestedSecret>> for SubscriptionSpec {
    fn from(secrets: Vec<RequestedSecret>) -> Self {
        Self {
            pod_uid: String::new(),
            secrets,
        }
    }
}

fn token(text: &str) -> Token {
    Token::new(Zeroizing::new(text.to_owned())).unwrap()
}

fn wanted(name: &str) -> RequestedSecret {
    RequestedSecret {
        name: name.into(),
        version: Some(requested_secret::Version::Stage("Current".into())),
        ..RequestedSecret::default()
    }
}

fn welcome(store: u8, epoch: u64) -> Welcome {
    Welcome {
        protocol_version: 1,
        store_id: vec![store; 16],
        epoch,
        heartbeat_ms: 1_000,
    }
}

fn value(secret: u8, version: &str) -> GatewayMessage {
    from(FromGateway::Value(proto::Value {
        secret_id: vec![secret; 16],
        version_id: version.into(),
        r#type: "Opaque".into(),
        keys: vec![Key {
            name: "k".into(),
            value: version.as_bytes().to_vec(),
        }],
    }))
}

fn pointer(index: u32, secret: u8, version: &str, revision: u64) -> Pointer {
    Pointer {
        secret: index,
        secret_id: vec![secret; 16],
        version_id: version.into(),
        revision,
        ..Pointer::default()
    }
}

fn from(message: FromGateway) -> GatewayMessage {
    GatewayMessage {
        message: Some(message),
    }
}

fn granted(volume: &str, pointers: Vec<Pointer>) -> GatewayMessage {
    from(FromGateway::Granted(Granted {
        subscription: volume.into(),
        pointers,
    }))
}

/// The volume `v` is granted this version of its one secret, which was sent before.
fn deliver(state: &mut SubscriptionState, version: &str, revision: u64) {
    state.receive(value(1, version)).unwrap();
    let pointers = vec![pointer(0, 1, version, revision)];
    state.receive(granted("v", pointers)).unwrap();
}

fn moved(volume: &str, pointers: Vec<Pointer>) -> GatewayMessage {
    from(FromGateway::Moved(Moved {
        subscription: volume.into(),
        pointers,
    }))
}

/// What the state wants to send, in short.
fn said(state: &mut SubscriptionState) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(message) = state.take_next() {
        said.push(match message.message.unwrap() {
            FromNode::Subscribe(m) => format!("subscribe {} {}", m.subscription, m.token),
            FromNode::Unsubscribe(m) => format!("unsubscribe {}", m.subscription),
            FromNode::RenewToken(m) => format!("renew {} {}", m.subscription, m.token),
            FromNode::Fetch(m) => format!("fetch {} {}", m.subscription, m.secret),
            FromNode::Applied(m) => format!("applied {}", m.subscription),
            FromNode::Credit(m) => format!("credit {}", m.bytes),
            other => format!("{other:?}"),
        });
    }
    said
}

type Answer = oneshot::Receiver<Result<SubscriptionSnapshot, SubscriptionDenial>>;

fn read(state: &mut SubscriptionState, volume: &str) -> Answer {
    let (sender, receiver) = oneshot::channel();
    state.read(volume, sender);
    receiver
}

fn versions(answer: &mut Answer) -> Vec<String> {
    let snapshot = answer.try_recv().expect("answered").expect("granted");
    snapshot
        .secrets
        .iter()
        .map(|secret| secret.delivered.version_id.clone())
        .collect()
}

fn connected() -> SubscriptionState {
    let mut state = SubscriptionState::new(100_000);
    state.welcome(&welcome(1, 1));
    state
}

/// With the volume `v`, which shows the secret `a`, and what says that it changed.
fn subscribed() -> (SubscriptionState, watch::Receiver<u64>) {
    let mut state = connected();
    let changes = state.subscribe("v", Some(token("t")), vec![wanted("a")]);
    (state, changes)
}

#[test]
fn a_volume_is_answered_when_everything_is_there() {
    let mut state = connected();
    let changes = state.subscribe("v", Some(token("t")), vec![wanted("a"), wanted("b")]);
    assert_eq!(said(&mut state), ["subscribe v t"]);
    let mut answer = read(&mut state, "v");
    state.receive(value(1, "a1")).unwrap();
    state.receive(value(2, "b1")).unwrap();
    assert!(answer.try_recv().is_err(), "values alone grant nothing");
    state
        .receive(granted("v", vec![pointer(1, 2, "b1", 1), pointer(0, 1, "a1", 1)]))
        .unwrap();
    assert_eq!(versions(&mut answer), ["a1", "b1"]);
    assert_eq!(*changes.borrow(), 1);
    assert_eq!(said(&mut state), ["credit 3", "credit 3"]);
}

#[test]
fn another_volume_of_the_same_secret_needs_no_second_value() {
    let mut state = connected();
    for volume in ["v", "w"] {
        state.subscribe(volume, Some(token("t")), vec![wanted("a")]);
        let mut answer = read(&mut state, volume);
        if volume == "v" {
            state.receive(value(1, "a1")).unwrap();
        }
        state
            .receive(granted(volume, vec![pointer(0, 1, "a1", 1)]))
            .unwrap();
        assert_eq!(versions(&mut answer), ["a1"], "{volume}");
    }
    // It goes with the last of them.
    state.unsubscribe("v");
    assert_eq!(state.sizes(), (1, 3));
    state.unsubscribe("w");
    assert_eq!(state.sizes(), (0, 0));
}

#[test]
fn a_change_is_told_once_and_older_news_not_at_all() {
    let (mut state, changes) = subscribed();
    deliver(&mut state, "a1", 5);
    state.receive(value(1, "a2")).unwrap();
    state.receive(moved("v", vec![pointer(0, 1, "a2", 6)])).unwrap();
    assert_eq!(*changes.borrow(), 2);
    state.receive(moved("v", vec![pointer(0, 1, "a2", 6)])).unwrap();
    state.receive(moved("v", vec![pointer(0, 1, "a1", 5)])).unwrap();
    assert_eq!(*changes.borrow(), 2);
    assert_eq!(versions(&mut read(&mut state, "v")), ["a2"]);
    assert_eq!(state.sizes().1, 3, "the old value is gone");
    // Another process counts anew.
    state.disconnected();
    state.welcome(&welcome(1, 2));
    deliver(&mut state, "a3", 1);
    assert_eq!(*changes.borrow(), 3);
}

#[test]
fn a_reconnect_asks_for_everything_and_says_what_is_held_and_shown() {
    let mut state = connected();
    state.subscribe(
        "v",
        Some(token("t")),
        vec![RequestedSecret {
            at_start: true,
            ..wanted("a")
        }],
    );
    state.subscribe("w", None, vec![wanted("a")]);
    deliver(&mut state, "a1", 1);
    for version in ["a0", "a1"] {
        let outcome = Some(proto::applied_secret::Outcome::VersionId(version.into()));
        state.applied("v", vec![AppliedSecret { secret: 0, outcome }]);
    }
    said(&mut state);
    state.disconnected();
    state.renew("w", token("u"));
    assert!(!state.has_next(), "nothing is said to nobody");
    assert_eq!(
        versions(&mut read(&mut state, "v")),
        ["a1"],
        "what was granted stays"
    );
    assert_eq!(state.held_versions().len(), 1);
    state.welcome(&welcome(1, 1));
    let Some(FromNode::Subscribe(subscribe)) = state.take_next().and_then(|m| m.message) else {
        panic!("no subscribe")
    };
    assert_eq!(subscribe.secrets[0].applied_version_id, "a1");
    assert_eq!(subscribe.secrets[0].first_version_id, "a0");
    assert_eq!(said(&mut state), ["subscribe w u"]);
    // Another store's values are none of this one's.
    state.disconnected();
    state.welcome(&welcome(2, 1));
    assert_eq!(state.held_versions().len(), 0);
}

#[test]
fn a_volume_without_a_token_waits_for_kubelet() {
    let mut state = connected();
    state.subscribe("v", None, vec![wanted("a")]);
    assert_eq!(said(&mut state), [""; 0]);
    state.renew("v", token("t"));
    assert_eq!(said(&mut state), ["subscribe v t"]);
    state.renew("v", token("t2"));
    assert_eq!(said(&mut state), [""; 0], "it is being asked for");
    deliver(&mut state, "a1", 1);
    said(&mut state);
    state.renew("v", token("t2"));
    assert_eq!(said(&mut state), [""; 0], "the same token is no news");
    state.renew("v", token("t3"));
    assert_eq!(said(&mut state), ["renew v t3"]);
}

#[test]
fn a_denial_is_answered_and_asked_again_with_the_next_token() {
    let (mut state, _) = subscribed();
    let mut answer = read(&mut state, "v");
    state
        .receive(from(FromGateway::Denied(Denied {
            subscription: "v".into(),
            code: Refusal::Policy.into(),
            message: "say so".into(),
            ..Denied::default()
        })))
        .unwrap();
    let refused = SubscriptionDenial {
        code: Refusal::Policy,
        message: "say so".into(),
        wipe: false,
    };
    assert_eq!(answer.try_recv().unwrap().unwrap_err(), refused);
    assert_eq!(read(&mut state, "v").try_recv().unwrap().unwrap_err(), refused);
    said(&mut state);
    state.renew("v", token("t"));
    assert_eq!(said(&mut state), ["subscribe v t"]);
    let mut answer = read(&mut state, "v");
    deliver(&mut state, "a1", 1);
    assert_eq!(versions(&mut answer), ["a1"]);
}

#[test]
fn a_tombstone_ends_access_and_wipes_where_it_says_so() {
    let (mut state, changes) = subscribed();
    deliver(&mut state, "a1", 1);
    let tombstone = |on_revoke: OnRevoke| {
        from(FromGateway::Tombstone(Tombstone {
            subscription: "v".into(),
            secret: 0,
            on_revoke: on_revoke.into(),
            ..Tombstone::default()
        }))
    };
    state.receive(tombstone(OnRevoke::Keep)).unwrap();
    assert_eq!(*changes.borrow(), 2);
    let kept = read(&mut state, "v").try_recv().unwrap().unwrap();
    assert!(!kept.wipe && kept.secrets[0].ended);
    state.receive(tombstone(OnRevoke::Wipe)).unwrap();
    let wiped = read(&mut state, "v").try_recv().unwrap().unwrap();
    assert!(wiped.wipe && wiped.secrets.is_empty());
    // Allowed again.
    state.receive(granted("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    let again = read(&mut state, "v").try_recv().unwrap().unwrap();
    assert!(!again.wipe && !again.secrets[0].ended);
}

#[test]
fn what_is_denied_after_a_break_is_ended_as_by_a_tombstone() {
    let denied = |code: Refusal, on_revoke: OnRevoke| {
        from(FromGateway::Denied(Denied {
            subscription: "v".into(),
            code: code.into(),
            on_revoke: on_revoke.into(),
            ..Denied::default()
        }))
    };
    let granted_once = || {
        let (mut state, changes) = subscribed();
        deliver(&mut state, "a1", 1);
        state.disconnected();
        state.welcome(&welcome(1, 1));
        (state, changes)
    };
    for code in [Refusal::Policy, Refusal::NotFound, Refusal::NotReadable] {
        let (mut state, changes) = granted_once();
        let before = *changes.borrow();
        // Said twice, it is so twice.
        for _ in 0..2 {
            state.receive(denied(code, OnRevoke::Keep)).unwrap();
            let kept = read(&mut state, "v").try_recv().unwrap().unwrap();
            assert!(!kept.wipe && kept.secrets[0].ended, "{code:?}");
        }
        assert!(*changes.borrow() > before);
        said(&mut state);
        state.renew("v", token("t"));
        assert_eq!(said(&mut state), ["subscribe v t"]);
        state.receive(granted("v", vec![pointer(0, 1, "a1", 2)])).unwrap();
        let again = read(&mut state, "v").try_recv().unwrap().unwrap();
        assert!(!again.secrets[0].ended, "{code:?}");
    }
    for (code, on_revoke) in [
        (Refusal::Policy, OnRevoke::Wipe),
        (Refusal::Unavailable, OnRevoke::Keep),
    ] {
        let (mut state, _changes) = granted_once();
        state.receive(denied(code, on_revoke)).unwrap();
        let refused = read(&mut state, "v").try_recv().unwrap().unwrap_err();
        assert_eq!(refused.wipe, on_revoke == OnRevoke::Wipe, "{code:?}");
    }
}

#[test]
fn a_value_that_had_to_go_is_fetched_once() {
    let mut state = SubscriptionState::new(1);
    state.welcome(&welcome(1, 1));
    state.subscribe("v", Some(token("t")), vec![wanted("a"), wanted("b")]);
    state.receive(value(1, "a1")).unwrap();
    state.receive(value(2, "b1")).unwrap();
    state
        .receive(granted("v", vec![pointer(0, 1, "a1", 1), pointer(1, 2, "b1", 1)]))
        .unwrap();
    said(&mut state);
    let mut answer = read(&mut state, "v");
    let mut second = read(&mut state, "v");
    assert_eq!(said(&mut state), ["fetch v 0"]);
    state.receive(value(1, "a1")).unwrap();
    assert_eq!(versions(&mut answer), ["a1", "b1"]);
    assert_eq!(versions(&mut second), ["a1", "b1"]);
}

#[test]
fn what_breaks_the_protocol_is_left_out() {
    let mut state = connected();
    state.subscribe("v", Some(token("t")), vec![wanted("a"), wanted("b")]);
    let incomplete = granted("v", vec![pointer(0, 1, "a1", 1)]);
    assert_eq!(state.receive(incomplete), Err("granted"));
    assert_eq!(
        state.receive(moved("v", vec![pointer(0, 1, "a1", 1)])),
        Err("moved")
    );
    let mut short = pointer(0, 1, "a1", 1);
    short.secret_id.pop();
    assert_eq!(state.receive(granted("v", vec![short])), Err("pointer"));
    assert_eq!(state.receive(GatewayMessage { message: None }), Err("unknown"));
    assert_eq!(
        state.receive(from(FromGateway::Welcome(welcome(1, 1)))),
        Err("welcome")
    );
    assert_eq!(state.receive(granted("gone", vec![])), Ok(()));
    let mut twice = Value::new();
    twice.insert("k", b"1".to_vec());
    let mut message = DeliveredValue {
        secret_id: SecretId::new([1; 16]),
        version_id: "a1".into(),
        kind: String::new(),
        value: twice,
    }
    .to_message();
    message.keys.push(message.keys[0].clone());
    said(&mut state);
    assert_eq!(state.receive(from(FromGateway::Value(message))), Err("value"));
    assert_eq!(
        said(&mut state),
        ["credit 4"],
        "its room is given back all the same"
    );
}

#[test]
fn a_value_is_fetched_only_from_a_gateway_that_granted_it() {
    let (mut state, _) = subscribed();
    state.receive(granted("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    state.disconnected();
    let mut answer = read(&mut state, "v");
    state.welcome(&welcome(1, 1));
    assert_eq!(said(&mut state), ["subscribe v t"], "it knows of nothing yet");
    state.receive(granted("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    assert_eq!(said(&mut state), ["fetch v 0"]);
    // The same pointer again is no second fetch.
    state.receive(moved("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    assert_eq!(said(&mut state), [""; 0]);
    state.receive(value(1, "a1")).unwrap();
    assert_eq!(versions(&mut answer), ["a1"]);
}

#[test]
fn a_secret_that_was_made_again_or_a_store_that_was_restored_counts_from_the_start() {
    let (mut state, changes) = subscribed();
    state.receive(granted("v", vec![pointer(0, 1, "a1", 9)])).unwrap();
    state.receive(moved("v", vec![pointer(0, 2, "b1", 1)])).unwrap();
    assert_eq!(*changes.borrow(), 2);
    state.disconnected();
    state.welcome(&welcome(2, 1));
    state.receive(granted("v", vec![pointer(0, 2, "c1", 0)])).unwrap();
    assert_eq!(*changes.borrow(), 3);
}

#[test]
fn volumes_that_wait_do_not_take_each_others_values_away() {
    let mut state = SubscriptionState::new(1);
    state.welcome(&welcome(1, 1));
    state.subscribe("v", Some(token("t")), vec![wanted("a"), wanted("b"), wanted("c")]);
    let pointers = || {
        (0..3_u32)
            .zip(1..)
            .map(|(index, secret)| pointer(index, secret, "1", 1))
    };
    state.receive(granted("v", pointers().collect())).unwrap();
    said(&mut state);
    let mut answer = read(&mut state, "v");
    assert_eq!(said(&mut state), ["fetch v 0", "fetch v 1", "fetch v 2"]);
    for secret in 1..4 {
        state.receive(value(secret, "1")).unwrap();
    }
    assert_eq!(versions(&mut answer), ["1", "1", "1"]);
    assert_eq!(state.sizes().1, 2, "no more is kept than allowed");
}

#[test]
fn a_volume_that_is_behind_is_told_again() {
    let mut state = connected();
    let changes = state.subscribe("v", None, vec![wanted("a")]);
    state.notify_change("v");
    state.notify_change("gone");
    assert_eq!(*changes.borrow(), 1);
}

#[test]
fn whoever_asks_where_a_pod_is_hears_it_or_that_there_is_no_gateway() {
    let (mut state, _) = subscribed();
    said(&mut state);
    let ask = |state: &mut SubscriptionState, volume: &str| {
        let (sender, receiver) = oneshot::channel();
        state.pod_address(volume, sender);
        receiver
    };
    let is_at = |volume: &str, address: &str| {
        from(FromGateway::PodAddress(proto::PodAddress {
            subscription: volume.into(),
            address: address.into(),
        }))
    };
    let mut asked = ask(&mut state, "v");
    assert_eq!(said(&mut state).len(), 1);
    // What nobody asked is nobody's.
    state.receive(is_at("w", "10.0.0.9")).unwrap();
    assert!(asked.try_recv().is_err());
    state.receive(is_at("v", "10.0.0.1")).unwrap();
    assert_eq!(asked.try_recv().as_deref(), Ok("10.0.0.1"));
    state.receive(is_at("v", "10.0.0.2")).unwrap();
    let mut unknown = ask(&mut state, "w");
    let mut lost = ask(&mut state, "v");
    state.disconnected();
    let mut late = ask(&mut state, "v");
    for none in [&mut unknown, &mut lost, &mut late] {
        assert_eq!(none.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
