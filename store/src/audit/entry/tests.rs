//! One entry has one encoding, in the lowest format that says it all.

use proptest::prelude::*;

use super::*;
use crate::audit::{Author, MAX_GROUPS};

#[test]
fn entries_round_trip() {
    let mut entry = Entry::new(
        Timestamp::from_millis(5),
        Actor::Controller("shop/db".into()),
        Action::RotateSecret,
    );
    entry.outcome = AuditOutcome::Refused("KeyDisabled".into());
    entry.namespace = Some("shop".parse().unwrap());
    entry.secret = Some("checkout/db".parse().unwrap());
    entry.stage = Some(Stage::Current);
    entry.detail = "ä".repeat(200);
    let read = Entry::decode(&entry.encode()).unwrap();
    assert_eq!(read.detail, "ä".repeat(128));
    entry.detail = read.detail.clone();
    assert_eq!(read, entry);
}

#[test]
fn circumstances_follow_in_a_format_of_their_own() {
    let mut entry = Entry::new(Timestamp::from_millis(5), Actor::System, Action::Backup);
    let before = entry.encode();
    for source in ["10.1.2.3", "fd00::1"] {
        entry.circumstances = Some(Box::new(Circumstances {
            source: Some(source.parse().unwrap()),
            pod: Some("checkout-7d".into()),
            node: Some("n".repeat(256)),
            offline: true,
            extension_api: false,
            statements: vec!["statement 1 of SecretPolicy `shop/p`".into(); super::super::MAX_STATEMENTS],
            latency_micros: Some(417),
        }));
        let bytes = entry.encode();
        assert_eq!(bytes[0], 2);
        assert_eq!(bytes[1..before.len()], before[1..]);
        assert_eq!(Entry::decode(&bytes).unwrap(), entry);
    }
    entry.circumstances = Some(Box::new(Circumstances {
        statements: vec![String::new(); 100],
        ..Circumstances::default()
    }));
    let read = Entry::decode(&entry.encode()).unwrap();
    assert_eq!(
        read.circumstances.unwrap().statements.len(),
        8,
        "the rest is left out"
    );
}

#[test]
fn a_count_and_a_claim_follow_in_a_third_format() {
    let mut entry = Entry::new(Timestamp::from_millis(5), Actor::System, Action::GetSecretValue);
    let about = Circumstances {
        node: Some("n-1".into()),
        ..Circumstances::default()
    };
    for circumstances in [None, Some(Box::new(about))] {
        entry.circumstances = circumstances;
        for (count, claimed) in [
            (4_711, None),
            (1, Some("serviceaccount shop/app".to_owned())),
            (2, Some(String::new())),
        ] {
            entry.count = NonZeroU64::new(count).unwrap();
            entry.claimed = claimed;
            let bytes = entry.encode();
            assert_eq!(bytes[0], 3);
            assert_eq!(Entry::decode(&bytes).unwrap(), entry);
        }
    }
    // Written in the third format, it says nothing that the others do not: one value has one encoding.
    entry.count = NonZeroU64::new(2).unwrap();
    entry.claimed = None;
    for (count, field) in [(0, "count"), (1, "format")] {
        let mut bytes = entry.encode().to_vec();
        let at = bytes.len() - 2;
        bytes[at] = count;
        assert_eq!(Entry::decode(&bytes), Err(DecodeError::Invalid(field)));
    }
}

#[test]
fn a_request_over_the_extension_api_has_a_format_of_its_own() {
    let mut entry = Entry::new(Timestamp::from_millis(5), Actor::System, Action::GetSecretValue);
    for offline in [false, true] {
        for (count, claimed) in [(1, None), (4_711, None), (1, Some("n-1".to_owned()))] {
            entry.count = NonZeroU64::new(count).unwrap();
            entry.claimed = claimed;
            let mut about = Circumstances {
                offline,
                extension_api: true,
                ..Circumstances::default()
            };
            entry.circumstances = Some(Box::new(about.clone()));
            let bytes = entry.encode();
            assert_eq!(bytes[0], 4);
            assert_eq!(Entry::decode(&bytes).unwrap(), entry);
            // No other format says it, and this one says nothing else.
            for other in [1, 2, 3, 5, 6] {
                let mut bytes = bytes.to_vec();
                bytes[0] = other;
                assert!(Entry::decode(&bytes).is_err(), "{other}");
            }
            about.extension_api = false;
            entry.circumstances = Some(Box::new(about));
            let mut bytes = entry.encode().to_vec();
            bytes[0] = 5;
            assert!(Entry::decode(&bytes).is_err());
        }
    }
}

#[test]
fn a_requester_follows_in_a_fifth_format() {
    let mut entry = Entry::new(Timestamp::from_millis(5), Actor::System, Action::CreateSecret);
    let jane = Requester::Attested(Author {
        user: "jane".into(),
        groups: vec!["ops".into(); MAX_GROUPS],
        uid: "u-1".into(),
    });
    let over_extension_api = Circumstances {
        extension_api: true,
        ..Circumstances::default()
    };
    for requester in [Requester::Unattested, jane] {
        for claimed in [None, Some("app".to_owned())] {
            for circumstances in [
                None,
                Some(Box::default()),
                Some(Box::new(over_extension_api.clone())),
            ] {
                entry.requester = Some(requester.clone());
                entry.claimed = claimed.clone();
                entry.circumstances = circumstances;
                let bytes = entry.encode();
                assert_eq!(bytes[0], 5);
                assert_eq!(Entry::decode(&bytes).unwrap(), entry);
                for other in 1..=4 {
                    let mut bytes = bytes.to_vec();
                    bytes[0] = other;
                    assert!(Entry::decode(&bytes).is_err(), "{other}");
                }
            }
        }
    }
    let many = Author {
        user: "u".repeat(300),
        groups: vec!["g".into(); 600],
        uid: String::new(),
    };
    entry.requester = Some(Requester::Attested(many));
    let read = Entry::decode(&entry.encode()).unwrap();
    let Some(Requester::Attested(author)) = read.requester else {
        panic!("an author")
    };
    assert_eq!((author.user.len(), author.groups.len()), (256, MAX_GROUPS));
}

/// As a store of the first release holds it.
#[test]
fn an_entry_of_format_1_is_read() {
    let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 0, 5, 4, 0, 0, 0, 0, 62, 0];
    bytes.extend_from_slice(&[0; 7]);
    bytes.extend_from_slice(&[0, 0, 0, 1, b'a']);
    let entry = Entry::decode(&bytes).unwrap();
    assert_eq!((entry.action, entry.detail.as_str()), (Action::Backup, "a"));
    assert_eq!(entry.circumstances, None);
    assert_eq!(*entry.encode(), bytes);
}

#[test]
fn a_text_that_is_never_written_is_not_read() {
    let mut entry = Entry::new(Timestamp::from_millis(5), Actor::System, Action::Backup);
    entry.detail = "a".repeat(256);
    let mut bytes = entry.encode().to_vec();
    assert_eq!(Entry::decode(&bytes), Ok(entry));
    let length = bytes.len() - 256 - 4;
    bytes[length..length + 4].copy_from_slice(&257_u32.to_be_bytes());
    bytes.push(b'a');
    assert_eq!(Entry::decode(&bytes), Err(DecodeError::Invalid("detail")));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Entry::decode(&bytes);
    }
}
