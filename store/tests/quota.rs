//! What one namespace may have of the store: what is refused when it is full, what never is, and what an
//! upgrade finds.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set up must stop, and helpers of tests fail as tests do"
)]

mod support;

use std::collections::BTreeSet;

use strongroom_model::id::{NamespaceId, SecretId};
use strongroom_store::vault::*;
use support::*;

const KIB: u64 = 1_024;

/// A store in which a namespace may have so much.
struct Scene {
    keep: tempfile::TempDir,
    store: Store,
    shop: NamespaceId,
    pay: NamespaceId,
}

impl Scene {
    fn new(secrets: u64, bytes: u64) -> Self {
        Self::within(Some(Quota { secrets, bytes }))
    }

    fn within(quota: Option<Quota>) -> Self {
        let f = Fixture::with(Setup {
            quota,
            ..Setup::default()
        });
        Self {
            pay: bind(&f.store, "pay", "uid-2"),
            keep: f.keep,
            store: f.store,
            shop: f.namespace,
        }
    }

    fn reopen(self, quota: Option<Quota>) -> Self {
        self.store.close();
        let Self {
            keep,
            store,
            shop,
            pay,
        } = self;
        drop(store);
        let store = open_within(&keep.path().join("store"), quota);
        Self {
            keep,
            store,
            shop,
            pay,
        }
    }

    fn create(&self, namespace: NamespaceId, name: &str, bytes: usize) -> Result<SecretId, StoreError> {
        let new = new_secret(namespace, name, &"x".repeat(bytes));
        Ok(self.store.run(new, meta())?.secret.id)
    }

    fn put(&self, secret: SecretId, id: &str, bytes: usize) -> Result<WriteOutcome, StoreError> {
        put(&self.store, secret, id, &"y".repeat(bytes), &[])
    }

    fn rotate(
        &self,
        secret: SecretId,
        id: &str,
        bytes: usize,
        may_grow: bool,
    ) -> Result<WriteOutcome, StoreError> {
        let rotation = RotationMark {
            at: at(1),
            trigger: None,
        };
        let ensure = EnsureVersion {
            secret,
            version: version(id),
            value: value(&"z".repeat(bytes)),
            base: None,
            rotation: Some(rotation),
            may_grow,
            labels: None,
        };
        self.store.run(ensure, meta())
    }

    fn delete(&self, secret: SecretId) {
        let deletion = Deletion::default();
        self.store.run(DeleteSecret { secret, deletion }, meta()).unwrap();
    }

    fn used(&self, namespace: NamespaceId) -> Usage {
        self.store.namespace_usage(namespace).unwrap().used
    }

    fn versions(&self, secret: SecretId) -> usize {
        self.store.describe(secret).unwrap().versions.len()
    }

    /// Makes secrets until the namespace is full; the last one was refused.
    fn fill(&self, namespace: NamespaceId, bytes: usize) -> Vec<SecretId> {
        let mut made = Vec::new();
        for number in 0..1_000 {
            match self.create(namespace, &format!("fill-{number}"), bytes) {
                Ok(secret) => made.push(secret),
                Err(error) => {
                    assert_eq!(error.code(), "NamespaceFull", "{error}");
                    return made;
                }
            }
        }
        panic!("it never was full");
    }
}

#[test]
fn a_loop_of_making_and_deleting_ends_at_the_quota_and_hinders_nobody_else() {
    let scene = Scene::new(10_000, 1_024 * KIB);
    let size = 65_000;
    let mut rounds = 0;
    let refused = loop {
        match scene.create(scene.shop, &format!("loop-{rounds}"), size) {
            Ok(secret) => scene.delete(secret),
            Err(error) => break error,
        }
        rounds += 1;
        assert!(rounds < 100, "nothing ends it");
    };
    assert_eq!((rounds, refused.code()), (16, "NamespaceFull"));
    assert_eq!(refused.retry(), Retry::Never);
    let said = refused.to_string();
    for part in [
        "`shop`",
        "16 of 10000 secrets",
        "of 1024 KiB",
        "recovery windows",
        "purge --namespace shop",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(scene.store.stats().namespace_full, 1);
    let used = scene.used(scene.shop);
    assert!(used.secrets == 16 && used.bytes <= 1_024 * KIB, "{used:?}");
    let full = scene.store.fullest(50, 20).unwrap();
    assert_eq!(full.len(), 1);
    assert_eq!((full[0].name.as_str(), full[0].used), ("shop", used));

    // What is small has room as long as there is some, and another namespace has all of its own.
    scene.create(scene.shop, "small", 10).unwrap();
    for number in 0..15 {
        scene.create(scene.pay, &format!("db-{number}"), size).unwrap();
    }

    // The end of the windows frees all of it at once; so does an administrator, of what they have seen.
    let (deleted, next) = scene.store.deleted(scene.shop, None, 1_000).unwrap();
    assert_eq!((deleted.len(), next), (16, None));
    let bytes: u64 = deleted.iter().map(|secret| secret.bytes).sum();
    let purge = |ids: BTreeSet<SecretId>, before| PurgeSecrets {
        namespace: scene.shop,
        secrets: ids,
        deleted_before: before,
    };
    let all: BTreeSet<SecretId> = deleted.iter().map(|secret| secret.id).collect();
    let early = scene.store.run(purge(all.clone(), at(-1)), meta()).unwrap();
    assert_eq!(early, Usage::default(), "deleted after that");
    let mut with_others = all.clone();
    with_others.insert(scene.create(scene.shop, "live", 10).unwrap());
    with_others.insert(SecretId::generate().unwrap());
    let elsewhere = scene.create(scene.pay, "theirs", 10).unwrap();
    scene.delete(elsewhere);
    with_others.insert(elsewhere);
    let purged = scene.store.run(purge(with_others, at(0)), meta()).unwrap();
    assert_eq!(purged, Usage { secrets: 16, bytes });
    assert_eq!(scene.used(scene.shop).secrets, 2);
    assert_eq!(
        scene
            .store
            .find(scene.pay, &"theirs".parse().unwrap())
            .unwrap()
            .unwrap()
            .id,
        elsewhere
    );
    scene.create(scene.shop, "again", size).unwrap();
    let entries = scene.store.mutations_after(0, 1_000).unwrap();
    let destroyed = entries.iter().filter(|(_, entry)| {
        entry.action == strongroom_store::audit::Action::PurgeSecret && entry.secret.is_some()
    });
    assert_eq!(destroyed.count(), 16, "each is a record");
}

#[test]
fn in_a_full_namespace_what_is_there_goes_on_and_does_not_grow() {
    let scene = Scene::new(10_000, 200 * KIB);
    let size = 10_000;
    let secret = scene.create(scene.shop, "db", size).unwrap();
    scene.put(secret, "v2", size).unwrap();
    scene.put(secret, "v3", size).unwrap();
    let made = scene.fill(scene.shop, size);
    // To the last byte.
    let mut left = 200 * KIB - scene.used(scene.shop).bytes;
    while let Some(less) = left.checked_sub(500) {
        if scene
            .create(
                scene.shop,
                &format!("rest-{left}"),
                usize::try_from(less).unwrap(),
            )
            .is_ok()
        {
            break;
        }
        left -= 100;
    }
    assert_eq!(
        scene.create(scene.shop, "more", 300).unwrap_err().code(),
        "NamespaceFull"
    );
    let full = scene.used(scene.shop);

    // A value of the same size takes the place of the oldest version without a stage; a larger one is
    // refused, a smaller one is not.
    assert_eq!(scene.versions(secret), 3);
    scene.put(secret, "v4", size).unwrap();
    assert_eq!(scene.versions(secret), 3);
    assert!(scene.used(scene.shop).bytes <= full.bytes);
    assert_eq!(
        scene.put(secret, "v5", size + 1).unwrap_err().code(),
        "NamespaceFull"
    );
    assert_eq!(
        scene.rotate(secret, "r1", size + 1, false).unwrap_err().code(),
        "NamespaceFull"
    );
    assert_eq!(
        scene.versions(secret),
        3,
        "nothing makes room for what is refused"
    );
    scene.put(secret, "v6", size - 5_000).unwrap();
    let full = scene.used(scene.shop);

    // A rotation passes, also one of a secret that has no older version to give, and one whose value comes
    // out larger.
    scene.rotate(made[0], "r1", size, true).unwrap();
    scene.rotate(made[0], "r2", size, true).unwrap();
    scene.rotate(made[0], "r3", size + 40, true).unwrap();
    assert_eq!(scene.versions(made[0]), 2, "Current and Previous");
    let above = scene.used(scene.shop);
    assert!(
        above.bytes > full.bytes + 10_000 && above.bytes < full.bytes + 11_000,
        "{full:?} {above:?}"
    );
    let move_to = Some(version("r2"));
    let stage = UpdateStage {
        secret: made[0],
        stage: "Current".parse().unwrap(),
        move_to,
        remove_from: None,
    };
    scene.store.run(stage, meta()).unwrap();
    scene.delete(made[1]);
    scene
        .store
        .run(RestoreSecret { secret: made[1] }, meta())
        .unwrap();
    let update = |labels: usize| UpdateSecret {
        secret: made[1],
        description: Some("what it is for".to_owned()),
        labels: Some(
            (0..labels)
                .map(|number| (format!("{number:0300}"), "v".repeat(100)))
                .collect(),
        ),
        key: None,
    };
    scene.store.run(update(1), meta()).unwrap();
    let large = scene.store.run(update(60), meta()).unwrap_err();
    assert_eq!(large.code(), "NamespaceFull");
    let repeated = scene.put(secret, "v6", size - 5_000).unwrap();
    assert!(!repeated.created, "what is there needs no room");
    scene.delete(made[2]);
    scene.store.run(PurgeSecret { secret: made[2] }, meta()).unwrap();
    scene.delete(made[3]);
    scene.store.run(PurgeSecret { secret: made[3] }, meta()).unwrap();
    scene.put(secret, "v7", size + 1).unwrap();
}

#[test]
fn secrets_are_counted_whatever_their_size_and_larger_values_need_no_number() {
    let scene = Scene::new(3, 1_024 * KIB);
    let made = scene.fill(scene.shop, 1);
    assert_eq!(made.len(), 3);
    scene.put(made[0], "v2", 10_000).unwrap();
    scene.delete(made[1]);
    assert_eq!(
        scene.create(scene.shop, "more", 1).unwrap_err().code(),
        "NamespaceFull"
    );
    assert_eq!(
        scene.store.check_quota(scene.shop, None).unwrap_err().code(),
        "NamespaceFull"
    );
    scene.store.check_quota(scene.pay, Some(&value("x"))).unwrap();
    // A product bounds its own.
    scene.create(scene.shop, "strongroom!sealing", 1).unwrap();
    assert_eq!(scene.used(scene.shop).secrets, 4);
    let force = Deletion {
        force: true,
        ..Deletion::default()
    };
    for secret in [made[0], made[2]] {
        scene
            .store
            .run(
                DeleteSecret {
                    secret,
                    deletion: force,
                },
                meta(),
            )
            .unwrap();
    }
    scene.create(scene.shop, "more", 1).unwrap();
}

#[test]
fn commands_of_one_commit_do_not_count_on_the_same_room() {
    let scene = Scene::new(10, 1_024 * KIB);
    let start = std::sync::Barrier::new(32);
    let made: usize = std::thread::scope(|threads| {
        let all: Vec<_> = (0..32)
            .map(|number| {
                let (scene, start) = (&scene, &start);
                threads.spawn(move || {
                    start.wait();
                    usize::from(scene.create(scene.shop, &format!("db-{number}"), 10).is_ok())
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!((made, scene.used(scene.shop).secrets), (10, 10));
}

#[test]
fn what_an_upgrade_finds_above_is_the_limit_of_that_namespace_and_a_tenth_more() {
    let quota = Some(Quota {
        secrets: 10,
        bytes: 1_024 * KIB,
    });
    let scene = old_store();
    for number in 0..20 {
        scene.create(scene.shop, &format!("db-{number}"), 10).unwrap();
    }
    scene.create(scene.pay, "db", 10).unwrap();
    let scene = scene.reopen(quota);
    let limit = |scene: &Scene, namespace| {
        scene
            .store
            .namespace_usage(namespace)
            .unwrap()
            .limit
            .unwrap()
            .secrets
    };
    assert_eq!((limit(&scene, scene.shop), limit(&scene, scene.pay)), (22, 10));
    for name in ["more-1", "more-2"] {
        scene.create(scene.shop, name, 10).unwrap();
    }
    assert_eq!(
        scene.create(scene.shop, "more-3", 10).unwrap_err().code(),
        "NamespaceFull"
    );

    // The same after a restart: it is remembered, and not a tenth more each time.
    let scene = scene.reopen(quota).reopen(quota);
    assert_eq!(limit(&scene, scene.shop), 22);
    assert_eq!(
        scene.create(scene.shop, "more-3", 10).unwrap_err().code(),
        "NamespaceFull"
    );

    // What comes to be above later, for want of a quota or by one that becomes smaller, is no find.
    let scene = scene.reopen(None);
    for number in 0..20 {
        scene.create(scene.pay, &format!("db-{number}"), 10).unwrap();
    }
    let scene = scene.reopen(quota);
    assert_eq!((limit(&scene, scene.shop), limit(&scene, scene.pay)), (22, 10));
    assert_eq!(
        scene.create(scene.pay, "more", 10).unwrap_err().code(),
        "NamespaceFull"
    );

    // Whoever comes down to what all may have, has that.
    let ids: Vec<SecretId> = scene
        .store
        .list(Some(scene.shop), None, 100)
        .unwrap()
        .iter()
        .map(|secret| secret.id)
        .collect();
    let force = Deletion {
        force: true,
        ..Deletion::default()
    };
    for secret in &ids[..12] {
        scene
            .store
            .run(
                DeleteSecret {
                    secret: *secret,
                    deletion: force,
                },
                meta(),
            )
            .unwrap();
    }
    let scene = scene.reopen(quota);
    assert_eq!(limit(&scene, scene.shop), 10);
}

/// A store that no quota was ever in force in.
fn old_store() -> Scene {
    Scene::within(None)
}

#[test]
fn what_is_counted_is_what_lies_there() {
    let scene = Scene::new(100, 1_024 * KIB);
    let mut secrets = Vec::new();
    for (number, bytes) in [0, 1, 63, 64, 4_000, 65_000].into_iter().enumerate() {
        let before = scene.used(scene.shop);
        let secret = scene.create(scene.shop, &format!("db-{number}"), bytes).unwrap();
        let after = scene.used(scene.shop);
        assert_eq!(after.secrets, before.secrets + 1);
        secrets.push(secret);
    }
    scene.put(secrets[0], "v2", 500).unwrap();
    scene.rotate(secrets[1], "r1", 500, true).unwrap();
    scene.delete(secrets[2]);
    scene
        .store
        .run(PurgeSecret { secret: secrets[3] }, meta())
        .unwrap_err();
    scene.delete(secrets[3]);
    scene
        .store
        .run(PurgeSecret { secret: secrets[3] }, meta())
        .unwrap();
    let (shop, pay) = (scene.used(scene.shop), scene.used(scene.pay));
    assert_eq!((shop.secrets, pay), (5, Usage::default()));
    let scene = scene.reopen(None);
    assert_eq!((scene.used(scene.shop), scene.used(scene.pay)), (shop, pay));
}
