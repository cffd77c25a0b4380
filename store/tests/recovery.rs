//! Secrets that are made where nothing is kept: what destroys them, what keeps them after all, and when the
//! name of their namespace is free.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use strongroom_model::id::{KeyId, NamespaceId, SecretId};
use strongroom_store::audit::Action;
use strongroom_store::vault::*;
use support::*;

fn made(store: &Store, namespace: NamespaceId, name: &str, recovery: Recovery) -> SecretId {
    let new = CreateSecret {
        recovery,
        ..new_secret(namespace, name, "first")
    };
    store.run(new, meta()).unwrap().secret.id
}

fn release(store: &Store, namespace: NamespaceId, uid: &str) -> bool {
    let command = ReleaseNamespace {
        namespace,
        uid: uid.parse().unwrap(),
    };
    store.run(command, meta()).unwrap()
}

fn code<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer.unwrap_err() {
        StoreError::Refused(refusal) => refusal.code().to_owned(),
        other => other.to_string(),
    }
}

#[test]
fn only_what_was_made_for_it_is_destroyed_without_a_window() {
    let Fixture {
        keep: _keep,
        dir,
        store,
        namespace: shop,
    } = Fixture::new();
    let kept = made(&store, shop, "kept", Recovery::Window);
    let preview = made(&store, shop, "preview", Recovery::Nothing);
    let changed = made(&store, shop, "changed", Recovery::Nothing);
    put(&store, preview, "v2", "second", &[]).unwrap();
    store.run(KeepRecoveryWindow { secret: changed }, meta()).unwrap();
    store.close();
    drop(store);

    // The fact outlives the process.
    let store = open(&dir);
    for (secret, recovery) in [
        (kept, Recovery::Window),
        (preview, Recovery::Nothing),
        (changed, Recovery::Window),
    ] {
        assert_eq!(store.describe(secret).unwrap().recovery, recovery);
    }
    for secret in [kept, changed] {
        assert_eq!(
            code(store.run(DestroySecret { secret }, meta())),
            "RecoveryWindowKept"
        );
    }
    store.run(DestroySecret { secret: preview }, meta()).unwrap();
    assert_eq!(code(store.describe(preview)), "SecretNotFound");
    let entries = store.mutations_after(0, 100).unwrap();
    let last = entries
        .iter()
        .map(|(_, entry)| entry)
        .filter(|entry| entry.action == Action::DeleteSecret && entry.secret_id == Some(preview))
        .find(|entry| !entry.detail.is_empty())
        .unwrap();
    assert!(
        last.detail.contains("strongroom.dev/recovery=none"),
        "{}",
        last.detail
    );
    let again = made(&store, shop, "preview", Recovery::Nothing);
    assert_ne!(again, preview, "the name is free at once");
}

#[test]
fn a_namespace_is_released_only_where_nothing_of_it_is_kept() {
    let Fixture {
        keep: _keep,
        store,
        namespace: shop,
        ..
    } = Fixture::new();
    let bank = bind(&store, "bank", "uid-2");
    let keys = bind(&store, "keys", "uid-3");
    made(&store, bank, "kept", Recovery::Window);
    for namespace in [shop, bank, keys] {
        made(&store, namespace, "a", Recovery::Nothing);
        made(&store, namespace, "b", Recovery::Nothing);
    }
    let key = CreateKey {
        id: KeyId::from_bytes([0x54; 16]),
        namespace: keys,
        name: "customer".parse().unwrap(),
    };
    store.run(key, meta()).unwrap();

    assert!(!release(&store, bank, "uid-2") && !release(&store, keys, "uid-3"));
    assert!(!release(&store, shop, "uid-9"), "another one bears the name");
    assert_eq!(store.list(None, None, 100).unwrap().len(), 7);
    let rebind = |name: &str, uid: &str| BindNamespace {
        name: name.parse().unwrap(),
        uid: uid.parse().unwrap(),
    };
    assert_eq!(
        code(store.run(rebind("shop", "uid-8"), meta())),
        "NamespaceRecreated"
    );

    assert!(release(&store, shop, "uid-1"));
    assert_eq!(store.list(Some(shop), None, 100).unwrap(), []);
    store.run(rebind("shop", "uid-8"), meta()).unwrap();
    assert!(!release(&store, shop, "uid-1"), "it is the next one's by now");
    assert_eq!(
        code(store.run(rebind("bank", "uid-8"), meta())),
        "NamespaceRecreated"
    );
    assert_eq!(store.list(None, None, 100).unwrap().len(), 5);
    made(&store, shop, "a", Recovery::Window);
}
