//! What depends on an encryption key, what declares it, and that each of its uses is audited.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use strongroom_model::id::{KeyId, SecretId};
use strongroom_store::audit::{Action, AuditOutcome};
use strongroom_store::vault::*;
use support::*;

fn come_under(f: &Fixture, secret: SecretId, key: KeyRef) {
    let update = UpdateSecret {
        secret,
        description: None,
        labels: None,
        key: Some(key),
    };
    f.store.run(update, meta()).unwrap();
}

fn usage(f: &Fixture, key: KeyId) -> (u64, u64, u64) {
    let usage = f.store.key_usage(f.namespace).unwrap();
    usage
        .get(&key)
        .map_or((0, 0, 0), |usage| (usage.secrets, usage.versions, usage.waiting))
}

fn rewrap(f: &Fixture) -> RewrapProgress {
    let all = Rewrap {
        key: None,
        after: None,
        limit: 100,
    };
    f.store.run(all, meta()).unwrap()
}

#[test]
fn usage_counts_secrets_versions_and_what_waits() {
    let f = Fixture::new();
    let (old, new) = (f.customer_key("old"), f.customer_key("new"));
    let card = f.create_under(old, "card", "one");
    f.put(card, "v2", "two", &[]).unwrap();
    f.create("other", "of the default key");
    assert_eq!(usage(&f, old), (1, 2, 0));
    come_under(&f, card, KeyRef::Customer(new));
    assert_eq!((usage(&f, old), usage(&f, new)), ((1, 2, 0), (1, 0, 2)));
    f.put(card, "v3", "three", &[]).unwrap();
    assert_eq!((usage(&f, old), usage(&f, new)), ((1, 2, 0), (1, 1, 2)));
    assert_eq!(rewrap(&f).moved, 2);
    assert_eq!((usage(&f, old), usage(&f, new)), ((0, 0, 0), (1, 3, 0)));
    let (namespace, key) = (f.namespace, new);
    f.store.run(NewKeyVersion { namespace, key }, meta()).unwrap();
    assert_eq!(usage(&f, new), (1, 3, 3));
    let delete = deletion_of(card);
    f.store.run(delete, meta()).unwrap();
    assert_eq!(
        usage(&f, new),
        (1, 3, 3),
        "what can be restored still depends on it"
    );
}

#[test]
fn a_key_that_something_depends_on_goes_only_with_consent() {
    let f = Fixture::new();
    let (pay, spare) = (f.customer_key("pay"), f.customer_key("spare"));
    let card = f.create_under(pay, "card", "one");
    let schedule = |key, lose_dependents| ScheduleKeyDeletion {
        namespace: f.namespace,
        key,
        window_days: 7,
        lose_dependents,
    };
    assert_eq!(f.refused(schedule(pay, false)), "KeyInUse");
    assert_eq!(f.current(card).unwrap(), "one");
    // It comes under the other key, though its data key does not yet.
    come_under(&f, card, KeyRef::Customer(spare));
    assert_eq!(f.refused(schedule(spare, false)), "KeyInUse");
    assert_eq!(f.refused(schedule(pay, false)), "KeyInUse");
    assert_eq!(rewrap(&f).moved, 1);
    f.store.run(schedule(pay, false), meta()).unwrap();
    f.store.run(schedule(spare, true), meta()).unwrap();
    assert_eq!(f.current(card).unwrap_err().code(), "KeyPendingDeletion");
}

#[test]
fn a_declaration_lasts_and_is_replaced_whole() {
    let f = Fixture::new();
    let pay = f.customer_key("pay");
    let namespace = f.namespace;
    assert_eq!(f.store.describe_key(namespace, pay).unwrap().declaration, None);
    let declare = |uid: &str, window_days, loss_accepted| DeclareKey {
        namespace,
        key: pay,
        declaration: KeyDeclaration {
            object: ObjectRef {
                uid: uid.parse().unwrap(),
                name: "pay".to_owned(),
            },
            window_days,
            loss_accepted,
        },
    };
    assert_eq!(f.refused(declare("uid-1", 6, false)), "WindowOutOfBounds");
    f.store.run(declare("uid-1", 30, true), meta()).unwrap();
    let second = declare("uid-2", 7, false);
    f.store.run(second.clone(), meta()).unwrap();
    let before = f.store.mutation_head();
    f.store.run(second.clone(), meta()).unwrap();
    assert_eq!(f.store.mutation_head(), before, "the same again is no change");
    f.store.run(DisableKey { namespace, key: pay }, meta()).unwrap();
    let f = f.reopen();
    let read = f.store.describe_key(namespace, pay).unwrap();
    assert_eq!(read.declaration, Some(second.declaration));
}

#[test]
fn each_use_of_a_customers_key_is_a_record_of_its_own() {
    let f = Fixture::new();
    let pay = f.customer_key("pay");
    assert_eq!(f.store.key_last_used(pay), None);
    let card = f.create_under(pay, "card", "one");
    f.put(card, "v2", "two", &[]).unwrap();
    assert!(f.store.key_last_used(pay).is_some());
    let other = f.create("other", "of the default key");
    f.current(card).unwrap();
    f.current(other).unwrap();
    f.store
        .run(
            DisableKey {
                namespace: f.namespace,
                key: pay,
            },
            meta(),
        )
        .unwrap();
    f.current(card).unwrap_err();

    let wrapped: Vec<_> = f
        .store
        .mutations_after(0, usize::MAX)
        .unwrap()
        .into_iter()
        .filter(|(_, entry)| entry.action == Action::GenerateDataKey)
        .map(|(_, entry)| (entry.key, entry.secret_id, entry.version.map(|id| id.to_string())))
        .collect();
    let expected = |version: &str| (Some(pay), Some(card), Some(version.to_owned()));
    assert_eq!(wrapped, [expected("v1"), expected("v2")]);

    f.store.close();
    let records: Vec<_> = read_entries(&f.dir)
        .into_iter()
        .map(|entry| (entry.action, entry.key, entry.outcome))
        .collect();
    assert_eq!(
        records,
        [
            (Action::Decrypt, Some(pay), AuditOutcome::Done),
            (Action::GetSecretValue, Some(pay), AuditOutcome::Done),
            (Action::GetSecretValue, None, AuditOutcome::Done),
            (
                Action::GetSecretValue,
                None,
                AuditOutcome::Refused("KeyDisabled".to_owned())
            ),
        ]
    );
}
