use strongroom_api::stream::proto::{self, Granted, Key, Moved, wanted};
use strongroom_value::Value;
use zeroize::Zeroizing;

use super::*;

impl From<Vec<Wanted>> for Wants {
    fn from(secrets: Vec<Wanted>) -> Self {
        Self {
            pod_uid: String::new(),
            secrets,
        }
    }
}

fn token(text: &str) -> Token {
    Token::new(Zeroizing::new(text.to_owned())).unwrap()
}

fn wanted(name: &str) -> Wanted {
    Wanted {
        name: name.into(),
        version: Some(wanted::Version::Stage("Current".into())),
        ..Wanted::default()
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

fn moved(volume: &str, pointers: Vec<Pointer>) -> GatewayMessage {
    from(FromGateway::Moved(Moved {
        subscription: volume.into(),
        pointers,
    }))
}

/// What the desk wants to send, in short.
fn said(desk: &mut Desk) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(message) = desk.take_next() {
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

type Answer = oneshot::Receiver<Result<Snapshot, Refused>>;

fn read(desk: &mut Desk, volume: &str) -> Answer {
    let (sender, receiver) = oneshot::channel();
    desk.read(volume, sender);
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

fn connected() -> Desk {
    let mut desk = Desk::new(100_000);
    desk.welcome(&welcome(1, 1));
    desk
}

#[test]
fn a_volume_is_answered_when_everything_is_there() {
    let mut desk = connected();
    let changes = desk.subscribe("v", Some(token("t")), vec![wanted("a"), wanted("b")]);
    assert_eq!(said(&mut desk), ["subscribe v t"]);
    let mut answer = read(&mut desk, "v");
    desk.receive(value(1, "a1")).unwrap();
    desk.receive(value(2, "b1")).unwrap();
    assert!(answer.try_recv().is_err(), "values alone grant nothing");
    desk.receive(granted("v", vec![pointer(1, 2, "b1", 1), pointer(0, 1, "a1", 1)]))
        .unwrap();
    assert_eq!(versions(&mut answer), ["a1", "b1"]);
    assert_eq!(*changes.borrow(), 1);
    assert_eq!(said(&mut desk), ["credit 3", "credit 3"]);
}

#[test]
fn another_volume_of_the_same_secret_needs_no_second_value() {
    let mut desk = connected();
    for volume in ["v", "w"] {
        desk.subscribe(volume, Some(token("t")), vec![wanted("a")]);
        let mut answer = read(&mut desk, volume);
        if volume == "v" {
            desk.receive(value(1, "a1")).unwrap();
        }
        desk.receive(granted(volume, vec![pointer(0, 1, "a1", 1)]))
            .unwrap();
        assert_eq!(versions(&mut answer), ["a1"], "{volume}");
    }
    // It goes with the last of them.
    desk.unsubscribe("v");
    assert_eq!(desk.sizes(), (1, 3));
    desk.unsubscribe("w");
    assert_eq!(desk.sizes(), (0, 0));
}

#[test]
fn a_change_is_told_once_and_older_news_not_at_all() {
    let mut desk = connected();
    let changes = desk.subscribe("v", Some(token("t")), vec![wanted("a")]);
    desk.receive(value(1, "a1")).unwrap();
    desk.receive(granted("v", vec![pointer(0, 1, "a1", 5)])).unwrap();
    desk.receive(value(1, "a2")).unwrap();
    desk.receive(moved("v", vec![pointer(0, 1, "a2", 6)])).unwrap();
    assert_eq!(*changes.borrow(), 2);
    desk.receive(moved("v", vec![pointer(0, 1, "a2", 6)])).unwrap();
    desk.receive(moved("v", vec![pointer(0, 1, "a1", 5)])).unwrap();
    assert_eq!(*changes.borrow(), 2);
    assert_eq!(versions(&mut read(&mut desk, "v")), ["a2"]);
    assert_eq!(desk.sizes().1, 3, "the old value is gone");
    // Another process counts anew.
    desk.disconnected();
    desk.welcome(&welcome(1, 2));
    desk.receive(value(1, "a3")).unwrap();
    desk.receive(granted("v", vec![pointer(0, 1, "a3", 1)])).unwrap();
    assert_eq!(*changes.borrow(), 3);
}

#[test]
fn a_reconnect_asks_for_everything_and_says_what_is_held_and_shown() {
    let mut desk = connected();
    desk.subscribe(
        "v",
        Some(token("t")),
        vec![Wanted {
            at_start: true,
            ..wanted("a")
        }],
    );
    desk.subscribe("w", None, vec![wanted("a")]);
    desk.receive(value(1, "a1")).unwrap();
    desk.receive(granted("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    for version in ["a0", "a1"] {
        let outcome = Some(proto::shown::Outcome::VersionId(version.into()));
        desk.applied("v", vec![Shown { secret: 0, outcome }]);
    }
    said(&mut desk);
    desk.disconnected();
    desk.renew("w", token("u"));
    assert!(!desk.has_next(), "nothing is said to nobody");
    assert_eq!(
        versions(&mut read(&mut desk, "v")),
        ["a1"],
        "what was granted stays"
    );
    assert_eq!(desk.holds().len(), 1);
    desk.welcome(&welcome(1, 1));
    let Some(FromNode::Subscribe(subscribe)) = desk.take_next().and_then(|m| m.message) else {
        panic!("no subscribe")
    };
    assert_eq!(subscribe.secrets[0].applied_version_id, "a1");
    assert_eq!(subscribe.secrets[0].first_version_id, "a0");
    assert_eq!(said(&mut desk), ["subscribe w u"]);
    // Another store's values are none of this one's.
    desk.disconnected();
    desk.welcome(&welcome(2, 1));
    assert_eq!(desk.holds().len(), 0);
}

#[test]
fn a_volume_without_a_token_waits_for_kubelet() {
    let mut desk = connected();
    desk.subscribe("v", None, vec![wanted("a")]);
    assert_eq!(said(&mut desk), [""; 0]);
    desk.renew("v", token("t"));
    assert_eq!(said(&mut desk), ["subscribe v t"]);
    desk.renew("v", token("t2"));
    assert_eq!(said(&mut desk), [""; 0], "it is being asked for");
    desk.receive(value(1, "a1")).unwrap();
    desk.receive(granted("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    said(&mut desk);
    desk.renew("v", token("t2"));
    assert_eq!(said(&mut desk), [""; 0], "the same token is no news");
    desk.renew("v", token("t3"));
    assert_eq!(said(&mut desk), ["renew v t3"]);
}

#[test]
fn a_denial_is_answered_and_asked_again_with_the_next_token() {
    let mut desk = connected();
    desk.subscribe("v", Some(token("t")), vec![wanted("a")]);
    let mut answer = read(&mut desk, "v");
    desk.receive(from(FromGateway::Denied(Denied {
        subscription: "v".into(),
        code: Refusal::Policy.into(),
        message: "say so".into(),
        ..Denied::default()
    })))
    .unwrap();
    let refused = Refused {
        code: Refusal::Policy,
        message: "say so".into(),
        wipe: false,
    };
    assert_eq!(answer.try_recv().unwrap().unwrap_err(), refused);
    assert_eq!(read(&mut desk, "v").try_recv().unwrap().unwrap_err(), refused);
    said(&mut desk);
    desk.renew("v", token("t"));
    assert_eq!(said(&mut desk), ["subscribe v t"]);
    let mut answer = read(&mut desk, "v");
    desk.receive(value(1, "a1")).unwrap();
    desk.receive(granted("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    assert_eq!(versions(&mut answer), ["a1"]);
}

#[test]
fn a_tombstone_ends_access_and_wipes_where_it_says_so() {
    let mut desk = connected();
    let changes = desk.subscribe("v", Some(token("t")), vec![wanted("a")]);
    desk.receive(value(1, "a1")).unwrap();
    desk.receive(granted("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    let tombstone = |on_revoke: OnRevoke| {
        from(FromGateway::Tombstone(Tombstone {
            subscription: "v".into(),
            secret: 0,
            on_revoke: on_revoke.into(),
            ..Tombstone::default()
        }))
    };
    desk.receive(tombstone(OnRevoke::Keep)).unwrap();
    assert_eq!(*changes.borrow(), 2);
    let kept = read(&mut desk, "v").try_recv().unwrap().unwrap();
    assert!(!kept.wipe && kept.secrets[0].ended);
    desk.receive(tombstone(OnRevoke::Wipe)).unwrap();
    let wiped = read(&mut desk, "v").try_recv().unwrap().unwrap();
    assert!(wiped.wipe && wiped.secrets.is_empty());
    // Allowed again.
    desk.receive(granted("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    let again = read(&mut desk, "v").try_recv().unwrap().unwrap();
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
        let mut desk = connected();
        let changes = desk.subscribe("v", Some(token("t")), vec![wanted("a")]);
        desk.receive(value(1, "a1")).unwrap();
        desk.receive(granted("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
        desk.disconnected();
        desk.welcome(&welcome(1, 1));
        (desk, changes)
    };
    for code in [Refusal::Policy, Refusal::NotFound, Refusal::NotReadable] {
        let (mut desk, changes) = granted_once();
        let before = *changes.borrow();
        // Said twice, it is so twice.
        for _ in 0..2 {
            desk.receive(denied(code, OnRevoke::Keep)).unwrap();
            let kept = read(&mut desk, "v").try_recv().unwrap().unwrap();
            assert!(!kept.wipe && kept.secrets[0].ended, "{code:?}");
        }
        assert!(*changes.borrow() > before);
        said(&mut desk);
        desk.renew("v", token("t"));
        assert_eq!(said(&mut desk), ["subscribe v t"]);
        desk.receive(granted("v", vec![pointer(0, 1, "a1", 2)])).unwrap();
        let again = read(&mut desk, "v").try_recv().unwrap().unwrap();
        assert!(!again.secrets[0].ended, "{code:?}");
    }
    for (code, on_revoke) in [
        (Refusal::Policy, OnRevoke::Wipe),
        (Refusal::Unavailable, OnRevoke::Keep),
    ] {
        let (mut desk, _changes) = granted_once();
        desk.receive(denied(code, on_revoke)).unwrap();
        let refused = read(&mut desk, "v").try_recv().unwrap().unwrap_err();
        assert_eq!(refused.wipe, on_revoke == OnRevoke::Wipe, "{code:?}");
    }
}

#[test]
fn a_value_that_had_to_go_is_fetched_once() {
    let mut desk = Desk::new(1);
    desk.welcome(&welcome(1, 1));
    desk.subscribe("v", Some(token("t")), vec![wanted("a"), wanted("b")]);
    desk.receive(value(1, "a1")).unwrap();
    desk.receive(value(2, "b1")).unwrap();
    desk.receive(granted("v", vec![pointer(0, 1, "a1", 1), pointer(1, 2, "b1", 1)]))
        .unwrap();
    said(&mut desk);
    let mut answer = read(&mut desk, "v");
    let mut second = read(&mut desk, "v");
    assert_eq!(said(&mut desk), ["fetch v 0"]);
    desk.receive(value(1, "a1")).unwrap();
    assert_eq!(versions(&mut answer), ["a1", "b1"]);
    assert_eq!(versions(&mut second), ["a1", "b1"]);
}

#[test]
fn what_breaks_the_protocol_is_left_out() {
    let mut desk = connected();
    desk.subscribe("v", Some(token("t")), vec![wanted("a"), wanted("b")]);
    let incomplete = granted("v", vec![pointer(0, 1, "a1", 1)]);
    assert_eq!(desk.receive(incomplete), Err("granted"));
    assert_eq!(
        desk.receive(moved("v", vec![pointer(0, 1, "a1", 1)])),
        Err("moved")
    );
    let mut short = pointer(0, 1, "a1", 1);
    short.secret_id.pop();
    assert_eq!(desk.receive(granted("v", vec![short])), Err("pointer"));
    assert_eq!(desk.receive(GatewayMessage { message: None }), Err("unknown"));
    assert_eq!(
        desk.receive(from(FromGateway::Welcome(welcome(1, 1)))),
        Err("welcome")
    );
    assert_eq!(desk.receive(granted("gone", vec![])), Ok(()));
    let mut twice = Value::new();
    twice.insert("k", b"1".to_vec());
    let mut message = Delivered {
        secret_id: SecretId::new([1; 16]),
        version_id: "a1".into(),
        kind: String::new(),
        value: twice,
    }
    .to_message();
    message.keys.push(message.keys[0].clone());
    said(&mut desk);
    assert_eq!(desk.receive(from(FromGateway::Value(message))), Err("value"));
    assert_eq!(
        said(&mut desk),
        ["credit 4"],
        "its room is given back all the same"
    );
}

#[test]
fn a_value_is_fetched_only_from_a_gateway_that_granted_it() {
    let mut desk = connected();
    desk.subscribe("v", Some(token("t")), vec![wanted("a")]);
    desk.receive(granted("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    desk.disconnected();
    let mut answer = read(&mut desk, "v");
    desk.welcome(&welcome(1, 1));
    assert_eq!(said(&mut desk), ["subscribe v t"], "it knows of nothing yet");
    desk.receive(granted("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    assert_eq!(said(&mut desk), ["fetch v 0"]);
    // The same pointer again is no second fetch.
    desk.receive(moved("v", vec![pointer(0, 1, "a1", 1)])).unwrap();
    assert_eq!(said(&mut desk), [""; 0]);
    desk.receive(value(1, "a1")).unwrap();
    assert_eq!(versions(&mut answer), ["a1"]);
}

#[test]
fn a_secret_that_was_made_again_or_a_store_that_was_restored_counts_from_the_start() {
    let mut desk = connected();
    let changes = desk.subscribe("v", Some(token("t")), vec![wanted("a")]);
    desk.receive(granted("v", vec![pointer(0, 1, "a1", 9)])).unwrap();
    desk.receive(moved("v", vec![pointer(0, 2, "b1", 1)])).unwrap();
    assert_eq!(*changes.borrow(), 2);
    desk.disconnected();
    desk.welcome(&welcome(2, 1));
    desk.receive(granted("v", vec![pointer(0, 2, "c1", 0)])).unwrap();
    assert_eq!(*changes.borrow(), 3);
}

#[test]
fn volumes_that_wait_do_not_take_each_others_values_away() {
    let mut desk = Desk::new(1);
    desk.welcome(&welcome(1, 1));
    desk.subscribe("v", Some(token("t")), vec![wanted("a"), wanted("b"), wanted("c")]);
    let pointers = || {
        (0..3_u32)
            .zip(1..)
            .map(|(index, secret)| pointer(index, secret, "1", 1))
    };
    desk.receive(granted("v", pointers().collect())).unwrap();
    said(&mut desk);
    let mut answer = read(&mut desk, "v");
    assert_eq!(said(&mut desk), ["fetch v 0", "fetch v 1", "fetch v 2"]);
    for secret in 1..4 {
        desk.receive(value(secret, "1")).unwrap();
    }
    assert_eq!(versions(&mut answer), ["1", "1", "1"]);
    assert_eq!(desk.sizes().1, 2, "no more is kept than allowed");
}

#[test]
fn a_volume_that_is_behind_is_told_again() {
    let mut desk = connected();
    let changes = desk.subscribe("v", None, vec![wanted("a")]);
    desk.again("v");
    desk.again("gone");
    assert_eq!(*changes.borrow(), 1);
}

#[test]
fn whoever_asks_where_a_pod_is_hears_it_or_that_there_is_no_gateway() {
    let mut desk = connected();
    desk.subscribe("v", Some(token("t")), vec![wanted("a")]);
    said(&mut desk);
    let ask = |desk: &mut Desk, volume: &str| {
        let (sender, receiver) = oneshot::channel();
        desk.whereabouts(volume, sender);
        receiver
    };
    let is_at = |volume: &str, address: &str| {
        from(FromGateway::PodAddress(proto::PodAddress {
            subscription: volume.into(),
            address: address.into(),
        }))
    };
    let mut asked = ask(&mut desk, "v");
    assert_eq!(said(&mut desk).len(), 1);
    // What nobody asked is nobody's.
    desk.receive(is_at("w", "10.0.0.9")).unwrap();
    assert!(asked.try_recv().is_err());
    desk.receive(is_at("v", "10.0.0.1")).unwrap();
    assert_eq!(asked.try_recv().as_deref(), Ok("10.0.0.1"));
    desk.receive(is_at("v", "10.0.0.2")).unwrap();
    let mut unknown = ask(&mut desk, "w");
    let mut lost = ask(&mut desk, "v");
    desk.disconnected();
    let mut late = ask(&mut desk, "v");
    for none in [&mut unknown, &mut lost, &mut late] {
        assert_eq!(none.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
