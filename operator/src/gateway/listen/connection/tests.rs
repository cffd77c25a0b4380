//! When each kind of waiting ends a connection.

use super::*;

#[test]
fn each_kind_of_waiting_has_its_own_end() {
    let start = Instant::now();
    let timeouts = ConnectionTimeouts::default();
    let quiet = Facts {
        unauthenticated: true,
        http1: true,
        busy: 0,
        quiet: start,
        head: None,
        piece: None,
        stalled: None,
    };
    let after = |facts: &Facts, seconds: u64| judge(facts, &timeouts, start + Duration::from_secs(seconds));
    assert_eq!(after(&quiet, 9), Verdict::Until(start + Duration::from_secs(10)));
    assert_eq!(after(&quiet, 10), Verdict::End(EndReason::Silent));
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
