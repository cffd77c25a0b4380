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
        AdmissionOutcome::Dropped(full, _) => panic!("{full:?}"),
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

#[test]
fn what_answers_hold_is_counted_in_bytes_until_they_are_taken() {
    let room = room();
    let whole = usize::try_from(limits::MAX_ANSWER_BYTES_PER_PRINCIPAL).unwrap();
    let answer = |who: &Arc<Caller>, bytes: usize| {
        let slot = Slot::new(SlotState::Nothing);
        room.reserve_answer(&slot, who, bytes).map(|()| slot)
    };
    let (a, b) = (account("shop", "a"), account("shop", "b"));
    let first = answer(&a, whole - 1).unwrap();
    // It grows by what is new, and an answer that is told again costs nothing.
    room.reserve_answer(&first, &a, whole).unwrap();
    room.reserve_answer(&first, &a, whole).unwrap();
    let refused = answer(&a, 64 << 10).unwrap_err();
    assert_eq!(refused.code(), Code::Overloaded);
    assert!(refused.detail().contains("answers of you"), "{refused:?}");
    assert!(room.reserve_answer(&first, &a, whole + 1).is_err());
    answer(&a, usize::try_from(SMALL_ANSWER_BYTES).unwrap()).unwrap();
    let second = answer(&b, whole).unwrap();
    let refused = answer(&account("shop", "c"), 64 << 10).unwrap_err();
    assert!(refused.detail().contains("of your namespace"), "{refused:?}");
    let other = answer(&account("pay", "a"), whole).unwrap();
    drop((first, second, other));
    answer(&a, whole).unwrap();
}

#[test]
fn connections_of_proven_callers_are_as_many_as_there_is_memory_for() {
    let room = room();
    let take = |namespace: &str, name: &str| room.connections.take(&account(namespace, name), 1);
    let mut held: Vec<_> = (0..1_024).map(|_| take("shop", "a").unwrap()).collect();
    assert_eq!(take("shop", "a").unwrap_err(), LimitScope::Principal);
    held.extend((0..1_024).map(|_| take("shop", "b").unwrap()));
    assert_eq!(take("shop", "c").unwrap_err(), LimitScope::Namespace);
    held.extend((0..2_048).map(|number| take("pay", if number % 2 == 0 { "a" } else { "b" }).unwrap()));
    assert_eq!(take("team", "a").unwrap_err(), LimitScope::Everybody);
    drop(held.pop());
    assert!(take("team", "a").is_ok());
}

#[test]
fn addresses_that_take_what_they_can_leave_something_for_one_that_comes_then() {
    let room = room();
    let request = Request::new(());
    let arrive = |address: &str| match room.admit(&peer(address), &request) {
        AdmissionOutcome::Admitted(slot) => Some(slot),
        AdmissionOutcome::Refused(..) | AdmissionOutcome::Dropped(..) => None,
    };
    let mut held = Vec::new();
    for number in 1..=24 {
        let address = format!("10.0.1.{number}:1");
        let before = held.len();
        while let Some(slot) = arrive(&address) {
            held.push(slot);
        }
        assert!(held.len() > before, "{address} has nothing");
    }
    assert!(held.len() > 1_900, "{}", held.len());
    for number in 1..=20 {
        held.extend(arrive(&format!("10.0.2.{number}:1")));
    }
    let newcomers = held.len();
    assert!(arrive("10.0.3.1:1").is_some(), "{newcomers} are there");
}

#[test]
fn streams_count_from_when_they_are_taken_until_they_end() {
    let room = room();
    let in_use = || (room.nodes_in_use(), room.watches_in_use());
    assert_eq!(in_use(), (0, 0));
    let slots = [(); 5].map(|()| Slot::new(SlotState::Nothing));
    let (nodes, watches) = slots.split_at(2);
    for (slot, node) in nodes.iter().zip(["n-1", "n-2"]) {
        room.prove_node(slot, None, node).unwrap();
    }
    for slot in watches {
        room.watch(slot, &account("shop", "a")).unwrap();
    }
    assert_eq!(in_use(), (2, 3));
    drop(slots);
    assert_eq!(in_use(), (0, 0));
}
