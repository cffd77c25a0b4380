//! Whose share a request, a watch and a stream take from.

use strongroom_rules::policy::Identity;

use super::*;
use crate::gateway::request::AddressShares;

fn room() -> Capacity {
    room_for(ListenerCapacity::SHARED)
}

fn room_for(capacity: ListenerCapacity) -> Capacity {
    let admission = Admission::new(AddressShares::default(), capacity, RefusalMetrics::default());
    Capacity::new(admission, capacity, RefusalMetrics::default())
}

fn peer(address: &str) -> Peer {
    Peer {
        address: address.parse().unwrap(),
        proven: false,
    }
}

fn account(namespace: &str, name: &str) -> Arc<Caller> {
    let username = format!("system:serviceaccount:{namespace}:{name}");
    Caller::named(Identity::from_username(&username))
}

#[test]
fn a_caller_uses_up_its_own_share_and_nobody_elses() {
    let room = room();
    let request = Request::new(());
    let (one, other) = (peer("10.0.0.1:1"), peer("10.0.0.2:1"));
    let arrive = |peer: &Peer| match room.admit(peer, &request) {
        AdmissionOutcome::Admitted(slot) => Ok(slot),
        AdmissionOutcome::Refused(_, problem) => Err(problem.detail().to_owned()),
        AdmissionOutcome::Dropped(full) => panic!("{full:?}"),
    };
    // Unproven callers of one address.
    let mut held: Vec<_> = (0..limits::MAX_UNAUTHENTICATED_REQUESTS * 5 / 100)
        .map(|_| arrive(&one).unwrap())
        .collect();
    assert!(arrive(&one).unwrap_err().contains("your address"));
    let slot = arrive(&other).unwrap();
    // Whoever proves who it is makes room at once.
    let first = held.pop().unwrap();
    room.prove(&first, None, &account("shop", "a")).unwrap();
    drop(arrive(&one).unwrap());
    let mut proven = vec![first];
    for _ in 1..limits::MAX_REQUESTS_PER_PRINCIPAL {
        let slot = arrive(&other).unwrap();
        room.prove(&slot, None, &account("shop", "a")).unwrap();
        proven.push(slot);
    }
    let refused = room.prove(&slot, None, &account("shop", "a")).unwrap_err();
    assert!(refused.detail().contains("of you"), "{refused:?}");
    room.prove(&slot, None, &account("pay", "b")).unwrap();
    for _ in proven.len()..usize::try_from(limits::MAX_REQUESTS_PER_NAMESPACE).unwrap() {
        let slot = arrive(&other).unwrap();
        room.prove(&slot, None, &account("shop", "b")).unwrap();
        proven.push(slot);
    }
    let refused = room.prove(&slot, None, &account("shop", "c")).unwrap_err();
    assert!(refused.detail().contains("of your namespace"), "{refused:?}");
    // People and nodes have room of their own.
    let person = |name: &str| Caller::named(Identity::User(name.to_owned()));
    let jane = person("jane");
    let slots: Vec<_> = (0..MAX_REQUESTS_PER_PERSON)
        .map(|_| Slot::new(SlotState::Nothing))
        .collect();
    for slot in &slots {
        room.prove_person(slot, &jane).unwrap();
    }
    assert!(room.prove_person(&slot, &jane).is_err());
    room.prove_person(&slot, &person("jack")).unwrap();
    let streams: Vec<_> = (0..MAX_STREAMS_PER_NODE)
        .map(|_| Slot::new(SlotState::Nothing))
        .collect();
    for slot in &streams {
        room.prove_node(slot, None, "n-1").unwrap();
    }
    assert!(room.prove_node(&slot, None, "n-1").is_err());
    room.prove_node(&slot, None, "n-2").unwrap();
}

#[test]
fn watches_are_counted_by_principal_and_by_namespace() {
    let room = room();
    let mut held = Vec::new();
    let mut watch = |room: &Capacity, principal: &Arc<Caller>| {
        let slot = Slot::new(SlotState::Nothing);
        room.watch(&slot, principal).map(|()| held.push(slot))
    };
    for _ in 0..limits::MAX_WATCHES_PER_PRINCIPAL {
        watch(&room, &account("shop", "a")).unwrap();
    }
    let refused = watch(&room, &account("shop", "a")).unwrap_err();
    assert_eq!(refused.code(), Code::Overloaded);
    assert!(refused.detail().contains("watches of you"), "{refused:?}");
    for number in limits::MAX_WATCHES_PER_PRINCIPAL..limits::MAX_WATCHES_PER_NAMESPACE {
        watch(&room, &account("shop", &format!("b-{}", number / 64))).unwrap();
    }
    let refused = watch(&room, &account("shop", "c")).unwrap_err();
    assert!(refused.detail().contains("of your namespace"), "{refused:?}");
    watch(&room, &account("pay", "a")).unwrap();
}

#[test]
fn a_smaller_listener_has_the_same_parts_of_less() {
    let capacity = ListenerCapacity {
        connections: 64,
        requests: 16,
    };
    let room = room_for(capacity);
    let proven = |name: &str| {
        let slot = Slot::new(SlotState::Nothing);
        room.prove(&slot, None, &account("shop", name)).map(|()| slot)
    };
    // An eighth of sixteen is a principal's, a quarter a namespace's.
    let mut held = vec![proven("a").unwrap(), proven("a").unwrap()];
    assert!(proven("a").unwrap_err().detail().contains("of you"));
    held.extend([proven("b").unwrap(), proven("b").unwrap()]);
    assert!(proven("c").unwrap_err().detail().contains("of your namespace"));
    for namespace in ["pay", "team", "web"] {
        for name in ["a", "a", "b", "b"] {
            let slot = Slot::new(SlotState::Nothing);
            room.prove(&slot, None, &account(namespace, name)).unwrap();
            held.push(slot);
        }
    }
    let slot = Slot::new(SlotState::Nothing);
    let refused = room.prove(&slot, None, &account("more", "a")).unwrap_err();
    assert!(refused.detail().contains("in all"), "{refused:?}");
    drop(held);
    room.prove(&slot, None, &account("more", "a")).unwrap();
}
