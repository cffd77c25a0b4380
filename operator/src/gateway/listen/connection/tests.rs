//! When each kind of waiting ends a connection, and what a connection counts for.

use super::*;
use crate::gateway::limits;
use crate::gateway::listener_capacity::ListenerCapacity;
use crate::gateway::request::AddressShares;

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn admission() -> Admission {
    let shares = AddressShares::default();
    Admission::new(shares, ListenerCapacity::SHARED, RefusalMetrics::default())
}

#[test]
fn an_address_has_as_many_strangers_as_its_share_holds() {
    let admission = admission();
    let share = limits::MAX_UNAUTHENTICATED_BYTES / 20;
    let held: Vec<ConnectionShare> = (0..share / UNAUTHENTICATED_CONNECTION_BYTES)
        .map(|_| ConnectionShare::take(&admission, ADDRESS).unwrap())
        .collect();
    assert_eq!(held.len(), 102);
    assert_eq!(
        ConnectionShare::take(&admission, ADDRESS).err(),
        Some(ShareExhausted::Each)
    );
    assert!(admission.memory().in_use() <= share);
}

/// When the head that is coming began, the pieces that nobody has taken, and the requests under way.
fn under_way(connection: &Connection) -> (Option<Instant>, Vec<u64>, usize) {
    let state = connection.state.lock();
    (state.head, state.pieces.keys().copied().collect(), state.busy)
}

#[test]
fn a_connection_knows_what_it_waits_for() {
    let admission = admission();
    let connection = |http1| {
        let deposit = ConnectionShare::take(&admission, ADDRESS).unwrap();
        Connection::new(&admission, deposit, ADDRESS, http1)
    };
    let first = connection(true);
    // Half a record of TLS is no head yet.
    first.received(false, 100, 0).unwrap();
    assert_eq!(under_way(&first), (None, vec![], 0));
    first.received(true, 200, 0).unwrap();
    let (began, ..) = under_way(&first);
    assert!(began.is_some());
    // Its time goes on from its first byte.
    first.received(true, 300, 0).unwrap();
    assert_eq!(under_way(&first), (began, vec![], 0));
    let request = first.request();
    // What comes now is its body.
    first.received(true, 400, 0).unwrap();
    assert_eq!(under_way(&first), (None, vec![], 1));
    let (one, two) = (request.piece(), request.piece());
    assert_eq!(under_way(&first), (None, vec![one, two], 1));
    request.taken(one);
    assert_eq!(under_way(&first), (None, vec![two], 1));
    request.taken(two);
    drop(request);
    assert_eq!(under_way(&first), (None, vec![], 0));
    first.received(true, 500, 0).unwrap();
    assert!(under_way(&first).0.is_some(), "the next request");
    // With HTTP/2 a frame is no head of a request.
    let second = connection(false);
    second.received(true, 200, 0).unwrap();
    assert_eq!(under_way(&second), (None, vec![], 0));
}

/// A connection at the expense of [`ADDRESS`].
fn stranger(admission: &Admission, http1: bool) -> Arc<Connection> {
    let deposit = ConnectionShare::take(admission, ADDRESS).unwrap();
    Connection::new(admission, deposit, ADDRESS, http1)
}

#[test]
fn a_stranger_who_sends_much_counts_for_more_until_who_it_is_is_proven() {
    let admission = admission();
    let connection = stranger(&admission, false);
    // Also bytes that TLS has not handed on count.
    connection.received(false, LITTLE_TRAFFIC_BYTES, 0).unwrap();
    assert_eq!(admission.memory().in_use(), 48 << 10);
    for (in_all, kept) in [
        (LITTLE_TRAFFIC_BYTES + 1, 192 << 10),
        (72 << 10, 192 << 10),
        (80 << 10, (48 + 160) << 10),
        (1 << 20, (48 << 10) + (2 << 20)),
    ] {
        assert_eq!(connection.received(true, in_all, 0), Ok(true));
        assert_eq!(admission.memory().in_use(), kept, "{in_all}");
    }
    let full = connection.received(true, 2 << 20, 0);
    assert_eq!(full, Err(ShareExhausted::Each), "it is five percent of all");
    let Ok(()) = connection.prove(|| Ok::<_, std::convert::Infallible>(Box::new(()) as Box<dyn Any + Send>));
    assert_eq!(admission.memory().in_use(), 0);
    assert_eq!(connection.received(true, 8 << 20, 1 << 30), Ok(false));
    assert_eq!(admission.memory().in_use(), 0);
}

#[test]
fn what_frames_of_a_stranger_leave_behind_counts_however_few_bytes_they_have() {
    let admission = admission();
    let connection = stranger(&admission, false);
    connection.received(true, 1_000, LITTLE_FRAME_BYTES).unwrap();
    assert_eq!(admission.memory().in_use(), 48 << 10, "a first request");
    connection.received(true, 2_000, 96 << 10).unwrap();
    assert_eq!(admission.memory().in_use(), (48 + 96) << 10);
    // They are among what a connection counts for that has sent more, until they are more than that.
    connection.received(true, 10_000, 0).unwrap();
    assert_eq!(admission.memory().in_use(), (48 + 144) << 10);
    connection.received(true, 10_000, 96 << 10).unwrap();
    assert!(admission.memory().in_use() > (48 + 2 * 96) << 10);
    let first = admission.memory().in_use();
    // With HTTP/1.1 nothing is read before somebody wants it.
    let other = stranger(&admission, true);
    other.received(true, LITTLE_TRAFFIC_BYTES, 0).unwrap();
    assert_eq!(admission.memory().in_use() - first, 32 << 10);
    other.received(true, 8 << 20, 0).unwrap();
    assert_eq!(admission.memory().in_use() - first, 96 << 10);
}

#[test]
fn a_head_counts_before_the_task_of_its_request_has_a_turn() {
    let admission = admission();
    let connection = stranger(&admission, false);
    let head = connection.head(100 << 10).unwrap();
    assert_eq!(admission.memory().in_use(), 132 << 10);
    assert_eq!(connection.head(4 << 20).unwrap_err(), ShareExhausted::Each);
    drop(head);
    assert_eq!(admission.memory().in_use(), 32 << 10);
    let Ok(()) = connection.prove(|| Ok::<_, std::convert::Infallible>(Box::new(()) as Box<dyn Any + Send>));
    assert!(connection.head(4 << 20).unwrap().is_none());
}

#[test]
fn callers_who_need_not_say_who_they_are_may_go_on() {
    let admission = Admission::for_api_servers();
    let connection = stranger(&admission, false);
    assert!(!connection.weighs_frames());
    connection.received(true, 1 << 40, 0).unwrap();
    assert_eq!(admission.memory().in_use(), 192 << 10);
}

#[test]
fn each_kind_of_waiting_has_its_own_end() {
    let start = Instant::now();
    let timeouts = ConnectionTimeouts::default();
    let quiet = Facts {
        unauthenticated: true,
        http1: true,
        busy: 0,
        quiet: start,
        spent: false,
        head: None,
        piece: None,
        stalled: None,
    };
    let after = |facts: &Facts, seconds: u64| judge(facts, &timeouts, start + Duration::from_secs(seconds));
    assert_eq!(after(&quiet, 9), Verdict::Until(start + Duration::from_secs(10)));
    assert_eq!(after(&quiet, 10), Verdict::End(EndReason::Silent));
    // Another connection takes the place of one that has sent much, between its requests.
    let spent = Facts { spent: true, ..quiet };
    let full = EndReason::Share(ShareExhausted::Each);
    assert_eq!(after(&spent, 0), Verdict::End(full));
    let asked = Facts { busy: 1, ..spent };
    assert_eq!(after(&asked, 29), Verdict::Until(start + Duration::from_secs(34)));
    let proven = Facts {
        unauthenticated: false,
        ..quiet
    };
    assert_eq!(
        after(&proven, 10),
        Verdict::Until(start + Duration::from_secs(15))
    );
    assert_eq!(after(&proven, 60), Verdict::End(EndReason::Idle));
    // Whoever speaks HTTP/2 is asked whether it is alive.
    let second = Facts {
        http1: false,
        ..proven
    };
    assert_eq!(
        after(&second, 600),
        Verdict::Until(start + Duration::from_secs(605))
    );
    let head = Facts {
        head: Some(start),
        ..proven
    };
    assert_eq!(after(&head, 10), Verdict::End(EndReason::Head));
    // What is under way has a time of its own.
    let asked = Facts { busy: 1, ..quiet };
    assert_eq!(after(&asked, 29), Verdict::Until(start + Duration::from_secs(34)));
    for unread in [
        Facts {
            piece: Some(start),
            ..asked
        },
        Facts {
            stalled: Some(start),
            busy: 1,
            ..second
        },
    ] {
        assert_eq!(after(&unread, 9), Verdict::Until(start + Duration::from_secs(10)));
        assert_eq!(after(&unread, 10), Verdict::End(EndReason::Answer));
    }
}
