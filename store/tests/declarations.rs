//! Who wrote what an object declares: joined by the object and what it declares, audited, and known to the
//! next process. What nobody attested says so.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use strongroom_model::name::ExternalId;
use strongroom_model::time::Timestamp;
use strongroom_store::audit::{Action, Author, Requester};
use strongroom_store::vault::*;
use support::*;

fn author(user: &str) -> Author {
    Author {
        user: user.to_owned(),
        groups: vec!["ops".to_owned()],
        uid: String::new(),
    }
}

fn jane() -> Option<Requester> {
    Some(Requester::Attested(author("jane")))
}

fn object(uid: &str) -> DeclaredObject {
    DeclaredObject {
        kind: "ManagedSecret".to_owned(),
        namespace: "shop".parse().unwrap(),
        name: format!("name-of-{uid}"),
        uid: uid.parse().unwrap(),
    }
}

fn attest(f: &Fixture, user: &str, uid: &str, change: ObjectChange, digest: u8) -> AttestationId {
    let attest = Attest {
        uid: uid.parse().unwrap(),
        namespace: "shop".parse().unwrap(),
        change,
        digest: ObjectDigest([digest; 32]),
        author: author(user),
        forget: Vec::new(),
    };
    f.store.run(attest, meta()).unwrap()
}

fn take_made_at(f: &Fixture, uid: &str, created: Timestamp, digest: u8) -> DeclarationOutcome {
    let take = AcceptDeclaration {
        object: object(uid),
        created,
        digest: ObjectDigest([digest; 32]),
    };
    f.store.run(take, meta()).unwrap()
}

fn take(f: &Fixture, uid: &str, digest: u8) -> DeclarationOutcome {
    take_made_at(f, uid, Timestamp::from_millis(i64::MAX), digest)
}

fn withdraw(f: &Fixture, uid: &str, digest: Option<u8>) -> DeclarationOutcome {
    withdraw_awaited(f, uid, digest, false)
}

fn withdraw_awaited(f: &Fixture, uid: &str, digest: Option<u8>, awaited: bool) -> DeclarationOutcome {
    let withdraw = WithdrawDeclaration {
        object: object(uid),
        digest: digest.map(|digest| ObjectDigest([digest; 32])),
        awaited,
    };
    f.store.run(withdraw, meta()).unwrap()
}

/// What is audited of declarations: action, detail and requester.
fn told(f: &Fixture) -> Vec<(Action, String, Option<Requester>)> {
    let entries = f.store.mutations_after(0, 100).unwrap().into_iter();
    entries
        .map(|(_, entry)| (entry.action, entry.detail, entry.requester))
        .filter(|(action, _, _)| matches!(action, Action::DeclareObject | Action::WithdrawObject))
        .collect()
}

#[test]
fn a_change_is_joined_with_its_author_once_and_the_next_process_knows_it() {
    let f = Fixture::new();
    f.store.run(BeginAttestations, meta()).unwrap();
    let id = attest(&f, "jane", "a", ObjectChange::Written, 1);
    let f = f.reopen();
    assert_eq!(f.store.pending_attestations().unwrap().len(), 1);
    let taken = DeclarationOutcome {
        requester: jane(),
        changed: true,
        joined: Some(id),
    };
    assert_eq!(take(&f, "a", 1), taken);
    assert!(f.store.pending_attestations().unwrap().is_empty());
    let f = f.reopen();
    let counter = f.store.anchor().counter;
    let again = DeclarationOutcome {
        changed: false,
        joined: None,
        ..taken
    };
    assert_eq!(take(&f, "a", 1), again);
    assert_eq!(f.store.anchor().counter, counter, "nothing is written");
    assert_eq!(f.store.requester_of(&"a".parse().unwrap()).unwrap(), jane());
    let expected = (
        Action::DeclareObject,
        "ManagedSecret name-of-a".to_owned(),
        jane(),
    );
    assert_eq!(told(&f), [expected]);
}

fn approve(f: &Fixture, uid: &str, digest: u8) {
    let approve = ApproveDeclaration {
        uid: uid.parse().unwrap(),
        digest: ObjectDigest([digest; 32]),
    };
    f.store.run(approve, meta()).unwrap();
}

fn is_approved(f: &Fixture, uid: &str, digest: u8) -> bool {
    let uid = uid.parse().unwrap();
    f.store.is_approved(&uid, ObjectDigest([digest; 32])).unwrap()
}

#[test]
fn what_was_approved_stays_so_until_something_else_is_or_the_object_is_gone() {
    let f = Fixture::new();
    f.store.run(BeginAttestations, meta()).unwrap();
    // Of what was never taken in nothing is.
    approve(&f, "a", 1);
    assert!(!is_approved(&f, "a", 1));
    for uid in ["a", "b"] {
        take(&f, uid, 1);
    }
    let told_before = told(&f).len();
    approve(&f, "a", 7);
    assert!(is_approved(&f, "a", 7) && !is_approved(&f, "a", 1) && !is_approved(&f, "b", 7));
    let f = f.reopen();
    let counter = f.store.anchor().counter;
    approve(&f, "a", 7);
    assert_eq!(f.store.anchor().counter, counter, "nothing is written");
    assert_eq!(told(&f).len(), told_before);
    // Whatever it declares since.
    assert!(take(&f, "a", 2).changed);
    assert!(!take(&f, "a", 2).changed);
    assert!(is_approved(&f, "a", 7));
    approve(&f, "a", 8);
    assert!(is_approved(&f, "a", 8) && !is_approved(&f, "a", 7));
    withdraw(&f, "a", Some(2));
    take(&f, "a", 2);
    assert!(!is_approved(&f, "a", 8));
}

#[test]
fn what_was_refused_lends_its_author_to_nobody_else() {
    let f = Fixture::new();
    f.store.run(BeginAttestations, meta()).unwrap();
    attest(&f, "jane", "a", ObjectChange::Written, 1);
    take(&f, "a", 1);
    // Hers was refused elsewhere, so that it never came to be; another's came past whoever attests.
    attest(&f, "jane", "a", ObjectChange::Written, 2);
    let unattested = Some(Requester::Unattested);
    assert_eq!(take(&f, "a", 3).requester, unattested);
    // The same declaration of another object, and its deletion, are something else too.
    assert_eq!(take(&f, "b", 2).requester, unattested);
    assert_eq!(withdraw(&f, "a", Some(3)).requester, unattested);
    assert_eq!(told(&f).len(), 4);
}

#[test]
fn the_latest_author_of_the_same_counts() {
    let f = Fixture::new();
    f.store.run(BeginAttestations, meta()).unwrap();
    let first = attest(&f, "jim", "a", ObjectChange::Written, 1);
    assert_eq!(attest(&f, "jane", "a", ObjectChange::Written, 1), first);
    assert_eq!(take(&f, "a", 1).requester, jane());
}

#[test]
fn a_deletion_is_joined_by_what_the_object_declared_last() {
    let f = Fixture::new();
    f.store.run(BeginAttestations, meta()).unwrap();
    for (uid, seen) in [("seen", Some(2)), ("unseen", None)] {
        attest(&f, "jim", uid, ObjectChange::Written, 2);
        take(&f, uid, 2);
        attest(&f, "jane", uid, ObjectChange::Deleted, 2);
        assert_eq!(withdraw(&f, uid, seen).requester, jane(), "{uid}");
        assert_eq!(f.store.requester_of(&uid.parse().unwrap()).unwrap(), None);
    }
    // Of what was never taken in nothing is known, unless its last state was seen.
    let nothing = withdraw(&f, "never", None);
    assert!(!nothing.changed && nothing.requester.is_none());
    attest(&f, "jane", "short", ObjectChange::Deleted, 5);
    assert_eq!(withdraw(&f, "short", Some(5)).requester, jane());
    assert!(f.store.pending_attestations().unwrap().is_empty());
}

#[test]
fn who_deleted_an_object_is_kept_until_what_follows_is_done() {
    let f = Fixture::new();
    f.store.run(BeginAttestations, meta()).unwrap();
    attest(&f, "jim", "a", ObjectChange::Written, 1);
    take(&f, "a", 1);
    attest(&f, "jane", "a", ObjectChange::Deleted, 1);
    assert_eq!(withdraw_awaited(&f, "a", Some(1), true).requester, jane());
    let uid: ExternalId = "a".parse().unwrap();
    let f = f.reopen();
    assert_eq!(f.store.withdrawer_of(&uid).unwrap(), jane());
    assert_eq!(f.store.requester_of(&uid).unwrap(), None, "nobody wrote it now");
    assert_eq!(f.store.withdrawn_objects().unwrap(), [object("a")]);
    let listed = f.store.declarations_without_object("ManagedSecret", |_| true);
    assert!(listed.unwrap().is_empty(), "its end is on record");
    // Again is nothing new, and says who it was.
    let again = withdraw_awaited(&f, "a", Some(1), true);
    assert!(!again.changed && again.requester == jane());
    assert_eq!(told(&f).len(), 2);
    // One that is there is not forgotten with those that are gone.
    take(&f, "b", 1);
    let there: ExternalId = "b".parse().unwrap();
    let forget = ForgetWithdrawn(vec![uid.clone(), there.clone(), "never".parse().unwrap()]);
    f.store.run(forget, meta()).unwrap();
    assert_eq!(f.store.withdrawer_of(&uid).unwrap(), None);
    assert!(f.store.withdrawn_objects().unwrap().is_empty());
    assert_eq!(f.store.requester_of(&there).unwrap(), Some(Requester::Unattested));
    let too_many = ForgetWithdrawn(vec![uid; 257]);
    assert!(f.store.run(too_many, meta()).is_err());
}

#[test]
fn who_deleted_a_policy_is_kept_until_it_is_removed() {
    let f = Fixture::new();
    f.store.run(BeginAttestations, meta()).unwrap();
    let uid: ExternalId = "p".parse().unwrap();
    let policy = EnforcedPolicy {
        uid: uid.clone(),
        namespace: "shop".parse().unwrap(),
        name: "name-of-p".to_owned(),
        generation: 1,
        statements: b"{}".to_vec(),
    };
    f.store.run(EnforcePolicy(policy), meta()).unwrap();
    take(&f, "p", 1);
    attest(&f, "jane", "p", ObjectChange::Deleted, 1);
    assert_eq!(withdraw(&f, "p", Some(1)).requester, jane());
    let f = f.reopen();
    assert_eq!(f.store.withdrawer_of(&uid).unwrap(), jane());
    f.store.run(RemovePolicy(uid.clone()), meta()).unwrap();
    assert_eq!(f.store.withdrawer_of(&uid).unwrap(), None);
}

#[test]
fn an_object_that_is_there_again_is_seen_for_the_first_time() {
    let f = Fixture::new();
    f.store.run(BeginAttestations, meta()).unwrap();
    take(&f, "a", 1);
    withdraw_awaited(&f, "a", Some(1), true);
    // Such as after a restore of the outside's own backup.
    attest(&f, "jane", "a", ObjectChange::Written, 1);
    assert_eq!(take(&f, "a", 1).requester, jane());
    assert!(f.store.withdrawn_objects().unwrap().is_empty());
}

#[test]
fn what_was_there_before_anybody_attested_is_nobodys() {
    let f = Fixture::new();
    let begin = meta();
    f.store.run(BeginAttestations, begin.clone()).unwrap();
    let later = Meta {
        now: Timestamp::from_millis(begin.now.as_millis() + 60_000),
        ..meta()
    };
    f.store.run(BeginAttestations, later.clone()).unwrap();
    assert_eq!(take_made_at(&f, "old", begin.now, 1).requester, None);
    assert_eq!(told(&f), [], "nobody is blamed");
    let unattested = Some(Requester::Unattested);
    assert_eq!(take_made_at(&f, "new", later.now, 1).requester, unattested);
    // From here on a change of the old one counts as well.
    assert_eq!(take_made_at(&f, "old", begin.now, 2).requester, unattested);
}

#[test]
fn what_is_gone_is_found_by_its_kind() {
    let f = Fixture::new();
    for uid in ["a", "b"] {
        take(&f, uid, 1);
    }
    let gone = f
        .store
        .declarations_without_object("ManagedSecret", |uid| uid == "b")
        .unwrap();
    assert_eq!(gone, [object("b")]);
    assert!(
        f.store
            .declarations_without_object("SecretPolicy", |_| true)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn room_is_made_in_the_same_commit() {
    let f = Fixture::new();
    let ids: Vec<AttestationId> = (0..4)
        .map(|digest| attest(&f, "jane", "a", ObjectChange::Written, digest))
        .collect();
    let attest = Attest {
        uid: "b".parse().unwrap(),
        namespace: "shop".parse().unwrap(),
        change: ObjectChange::Written,
        digest: ObjectDigest([9; 32]),
        author: author("jane"),
        forget: ids[..2].to_vec(),
    };
    f.store.run(attest.clone(), meta()).unwrap();
    assert_eq!(f.store.pending_attestations().unwrap().len(), 3);
    f.store
        .run(ForgetAttestations(ids[2..].to_vec()), meta())
        .unwrap();
    let left = f.store.pending_attestations().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].uid.as_str(), "b");
    assert_eq!(told(&f), [], "nothing came of any of them");
    let many = Attest {
        forget: vec![ids[0]; 257],
        ..attest
    };
    assert_eq!(f.refused(many), "MetadataTooLarge");
}

#[test]
fn what_a_controller_does_says_who_asked_for_it() {
    let f = Fixture::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    let bind = |name: &str| BindNamespace {
        name: name.parse().unwrap(),
        uid: "u-1".parse().unwrap(),
    };
    let reply = sender.clone();
    f.store.submit_for(jane(), bind("hers"), meta(), move |done| {
        reply.send(done.map(drop)).unwrap();
    });
    receiver.recv().unwrap().unwrap();
    f.store.run(bind("nobodys"), meta()).unwrap();
    let entries = f.store.mutations_after(0, 100).unwrap();
    let of = |name: &str| {
        let found = entries.iter().find(|(_, entry)| {
            entry.action == Action::BindNamespace
                && entry
                    .namespace
                    .as_ref()
                    .is_some_and(|namespace| namespace.as_str() == name)
        });
        found.unwrap().1.requester.clone()
    };
    assert_eq!((of("hers"), of("nobodys")), (jane(), None));
}
