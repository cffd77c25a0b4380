//! Nothing that went in is lost, nothing that comes out is more than was asked, and whoever asks takes a
//! bounded room.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn refused(now: i64, actor: &str, secret: &str, code: &str) -> Entry {
    Entry {
        outcome: AuditOutcome::Refused(code.to_owned()),
        namespace: Some("shop".parse().unwrap()),
        secret: Some(secret.parse().unwrap()),
        request: Some(RequestId::from_bytes([7; 16])),
        ..Entry::new(
            at(now),
            Actor::Principal(actor.to_owned()),
            Action::GetSecretValue,
        )
    }
}

fn stranger(now: i64, address: u32) -> Entry {
    let source = IpAddr::from(address.to_be_bytes());
    Entry {
        outcome: AuditOutcome::Refused("Unauthenticated".to_owned()),
        circumstances: Some(Box::new(Circumstances {
            source: Some(source),
            ..Circumstances::default()
        })),
        ..Entry::new(
            at(now),
            Actor::Principal("unknown".to_owned()),
            Action::Authenticate,
        )
    }
}

/// The log as far as sums are concerned.
#[derive(Default)]
struct Log {
    refusals: RefusalSums,
    written: Vec<Entry>,
}

impl Log {
    fn take(&mut self, entry: &Entry) {
        self.refusals.close_if_due(entry.time);
        self.write();
        if self.refusals.add(entry) == Disposition::Whole {
            self.written.push(entry.clone());
        }
    }

    fn tick(&mut self, now: i64) {
        self.refusals.close(at(now));
        self.write();
    }

    fn end(&mut self) {
        self.refusals.close_all();
        self.write();
    }

    fn write(&mut self) {
        self.written.extend(self.refusals.closed().drain(..));
    }

    fn counted(&self) -> u64 {
        self.written.iter().map(|entry| entry.count.get()).sum()
    }

    /// As the read chain counts them.
    fn bytes(&self) -> usize {
        let record = |entry: &Entry| super::super::reads::record::entry_record_size(entry.encode().len());
        self.written.iter().map(record).sum()
    }
}

#[test]
fn the_first_is_whole_at_once_and_the_others_are_one_record_when_the_minute_closes() {
    let mut log = Log::default();
    for second in 0..59 {
        log.take(&refused(
            second * 1_000,
            "serviceaccount shop/app",
            "db",
            "PolicyDenied",
        ));
        log.tick(second * 1_000);
    }
    assert_eq!(
        log.written,
        [refused(0, "serviceaccount shop/app", "db", "PolicyDenied")]
    );
    log.tick(60_000);
    let [_, sum] = log.written.as_slice() else {
        panic!("{:?}", log.written);
    };
    assert_eq!((sum.count.get(), sum.time), (58, at(60_000)));
    assert_eq!(sum.secret, Some("db".parse().unwrap()));
    assert_eq!(sum.outcome, AuditOutcome::Refused("PolicyDenied".to_owned()));
    assert_eq!(
        sum.request,
        Some(RequestId::from_bytes([7; 16])),
        "the first one's"
    );
    assert_eq!(sum.detail, "58 more like the one at 1970-01-01T00:00:00.000Z");
    // A minute later it begins anew, and what came once alone leaves no sum.
    log.take(&refused(61_000, "serviceaccount shop/app", "db", "PolicyDenied"));
    log.tick(200_000);
    assert_eq!(log.written.len(), 3);
}

#[test]
fn kinds_differ_by_caller_action_secret_and_reason() {
    let mut log = Log::default();
    let mut other = refused(0, "serviceaccount shop/app", "db", "PolicyDenied");
    other.action = Action::PutSecretValue;
    for entry in [
        refused(0, "serviceaccount shop/app", "db", "PolicyDenied"),
        refused(0, "serviceaccount shop/other", "db", "PolicyDenied"),
        refused(0, "serviceaccount shop/app", "db-2", "PolicyDenied"),
        refused(0, "serviceaccount shop/app", "db", "SecretNotFound"),
        other,
    ] {
        log.take(&entry);
        log.take(&entry);
    }
    assert_eq!(log.written.len(), 5);
    log.end();
    assert_eq!((log.written.len(), log.counted()), (10, 10));
}

#[test]
fn only_refusals_of_callers_are_summed() {
    let refused = refused(0, "user jane", "db", "PolicyDenied");
    assert!(is_summed(&refused));
    let done = Entry {
        outcome: AuditOutcome::Done,
        ..refused.clone()
    };
    let ours = Entry {
        actor: Actor::Controller("ManagedSecret".to_owned()),
        ..refused
    };
    assert!(!is_summed(&done) && !is_summed(&ours));
}

#[test]
fn an_hour_of_junk_takes_less_than_5_mib_whatever_its_kind() {
    const HOUR: i64 = 3_600;
    const MOST: usize = 5 << 20;
    let mut logs = [Log::default(), Log::default(), Log::default(), Log::default()];
    let [one, names, addresses, accounts] = &mut logs;
    let long = "a".repeat(150);
    for tick in 0..HOUR * 4 {
        let now = tick * 250;
        one.take(&refused(now, "serviceaccount shop/app", &long, "PolicyDenied"));
        names.take(&refused(
            now,
            "serviceaccount shop/app",
            &format!("{long}-{tick}"),
            "SecretNotFound",
        ));
        addresses.take(&stranger(now, u32::try_from(tick).unwrap()));
        let account = format!("serviceaccount shop/{}", tick % 300);
        accounts.take(&refused(
            now,
            &account,
            &format!("{long}-{}", tick % 7_000),
            "SecretNotFound",
        ));
        if tick % 4 == 0 {
            for log in [&mut *one, &mut *names, &mut *addresses, &mut *accounts] {
                log.tick(now);
            }
        }
    }
    for (log, most) in [(one, 1 << 20), (names, MOST), (addresses, MOST)] {
        log.end();
        assert_eq!(log.counted(), u64::try_from(HOUR * 4).unwrap());
        assert!(
            log.bytes() < most,
            "{} bytes of {} records",
            log.bytes(),
            log.written.len()
        );
    }
    // All accounts of a namespace together have twice as much.
    accounts.end();
    assert!(accounts.bytes() < 2 * MOST, "{} bytes", accounts.bytes());
}

#[test]
fn strangers_have_one_budget_and_principals_have_theirs_beside_it() {
    let mut log = Log::default();
    for address in 0..10_000 {
        log.take(&stranger(0, address));
    }
    assert_eq!(log.written.len(), MAX_KINDS_UNAUTHENTICATED);
    log.take(&refused(0, "serviceaccount shop/app", "db", "PolicyDenied"));
    log.take(&refused(0, "user jane", "db", "PolicyDenied"));
    assert_eq!(
        log.written.len(),
        MAX_KINDS_UNAUTHENTICATED + 2,
        "nobody else's is counted away"
    );
    log.tick(60_000);
    let rest = log.written.last().unwrap();
    assert_eq!(rest.action, Action::RefuseMore);
    assert_eq!(rest.count.get(), 10_000 - MAX_KINDS_UNAUTHENTICATED as u64);
    assert_eq!(
        rest.actor,
        Actor::Principal("callers without a valid token".to_owned())
    );
}

#[test]
fn what_one_namespace_asks_leaves_another_one_its_room() {
    let mut log = Log::default();
    for account in 0..1_000 {
        for name in 0..MAX_KINDS_PER_CALLER {
            let account = format!("serviceaccount evil/{account}");
            log.take(&refused(0, &account, &format!("s-{name}"), "SecretNotFound"));
        }
    }
    assert_eq!(log.written.len(), MAX_KINDS_PER_NAMESPACE);
    log.take(&refused(0, "serviceaccount shop/app", "db", "PolicyDenied"));
    assert_eq!(log.written.len(), MAX_KINDS_PER_NAMESPACE + 1);
    log.end();
    assert_eq!(log.counted(), 1_000 * MAX_KINDS_PER_CALLER as u64 + 1);
    let group = |refusals: &RefusalSums| (refusals.minutes.len(), refusals.groups.len(), refusals.kinds);
    assert_eq!(group(&log.refusals), (0, 0, 0), "nothing stays in memory");
}

#[test]
fn memory_is_bounded_whoever_asks() {
    let mut refusals = RefusalSums::default();
    for namespace in 0..3_000 {
        for account in 0..20 {
            let account = format!("serviceaccount n-{namespace}/{account}");
            refusals.add(&refused(0, &account, "db", "SecretNotFound"));
        }
    }
    assert!(refusals.kinds <= MAX_KINDS, "{}", refusals.kinds);
    assert!(
        refusals.groups.len() <= MAX_CALLERS_PER_GROUP + 1,
        "{}",
        refusals.groups.len()
    );
    assert!(
        refusals.minutes.len() <= MAX_KINDS + MAX_CALLERS_PER_GROUP * 20 + 1,
        "{}",
        refusals.minutes.len()
    );
}

#[test]
fn what_cannot_be_written_counts_on() {
    let mut refusals = RefusalSums::default();
    let entry = refused(0, "user jane", "db", "PolicyDenied");
    assert_eq!(refusals.add(&entry), Disposition::Whole);
    refusals.count_unwritten(&entry);
    refusals.close(at(60_000));
    assert_eq!(refusals.closed().front().unwrap().count.get(), 1);
    // The log takes nothing: later minutes stay open.
    refusals.add(&refused(60_000, "user jane", "db", "PolicyDenied"));
    refusals.add(&refused(130_000, "user jane", "db", "PolicyDenied"));
    refusals.close(at(200_000));
    assert_eq!(refusals.closed().len(), 1);
    refusals.closed().clear();
    refusals.close(at(200_000));
    assert_eq!(refusals.closed().front().unwrap().count.get(), 1);
}

#[test]
fn a_clock_that_was_set_back_keeps_no_minute_open() {
    let mut log = Log::default();
    log.take(&refused(7_200_000, "user jane", "db", "PolicyDenied"));
    log.take(&refused(7_200_001, "user jane", "db", "PolicyDenied"));
    log.tick(0);
    assert_eq!(log.counted(), 2);
}

proptest! {
    #[test]
    fn counts_are_what_went_in_and_no_kind_tells_more_than_two_records_a_minute(
        asked in proptest::collection::vec((0_u32..3_000, 0_u8..6, 0_u16..200, 0_u8..3, any::<bool>()), 0..600),
    ) {
        let (mut log, mut now, mut went_in) = (Log::default(), 0_i64, BTreeMap::<String, u64>::new());
        for (later, who, secret, code, tick) in &asked {
            now += i64::from(*later);
            if *tick {
                log.tick(now);
            }
            let entry = if *who == 0 {
                stranger(now, u32::from(*secret))
            } else {
                let actor = format!("serviceaccount n-{}/a-{who}", who % 2);
                refused(now, &actor, &format!("s-{secret}"), ["PolicyDenied", "SecretNotFound", "KeyDisabled"][usize::from(*code)])
            };
            *went_in.entry(entry.actor.to_string()).or_default() += 1;
            log.take(&entry);
        }
        log.end();
        prop_assert_eq!(log.counted(), asked.len() as u64);
        // Whoever has room of their own is answered for by name.
        let mut came_out = BTreeMap::<String, u64>::new();
        for entry in &log.written {
            *came_out.entry(entry.actor.to_string()).or_default() += entry.count.get();
            prop_assert!(Entry::decode(&entry.encode()).is_ok());
        }
        for (actor, count) in &came_out {
            prop_assert!(*count <= went_in.get(actor).copied().unwrap_or(u64::MAX));
        }
        let minutes = usize::try_from(now / 60_000).unwrap() + 1;
        let of_one = log.written.iter().filter(|entry| entry.actor.to_string() == "serviceaccount n-1/a-1").count();
        prop_assert!(of_one <= minutes * (2 * MAX_KINDS_PER_CALLER + 1));
    }
}
