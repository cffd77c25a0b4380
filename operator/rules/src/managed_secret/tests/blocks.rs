//! What keeps an object from being ready, and what it says.

use strongroom_crds::condition::Reason;

use super::*;
use crate::native_secret::ImmutableField;
use crate::native_secret::edits::{DriftedKey, Edit};
use crate::native_secret::owners::Part;

fn other(gives_up: bool, exchange: bool) -> Holder {
    Holder {
        name: "other".to_owned(),
        gives_up,
        exchange,
    }
}

fn taken(obstacle: Obstacle) -> SecretBlocker {
    SecretBlocker::NameTaken {
        name: "db".to_owned(),
        secret: "abc".to_owned(),
        obstacle,
    }
}

fn required() -> SecretBlocker {
    SecretBlocker::KeyRequired {
        name: "pay".to_owned(),
    }
}

fn not_owned(name: &str, holder: Option<Holder>) -> SecretBlocker {
    SecretBlocker::TargetNotOwned {
        name: name.to_owned(),
        holder,
    }
}

/// Another name is wanted, which a Secret of somebody else has.
fn renamed(facts: &mut SecretFacts, name: &str) {
    name.clone_into(&mut wanted(facts).native.as_mut().unwrap().name);
    present(facts).uid = uid("foreign");
    present(facts).drift = Some(Drift::Content);
    present(facts).marked = false;
}

fn edit() -> Edit {
    Edit {
        key: DriftedKey {
            part: Part::Data,
            name: "password".to_owned(),
        },
        manager: Some("kubectl-patch".to_owned()),
    }
}

/// Somebody edited the native Secret, which may be put back at this time.
fn contested(facts: &mut SecretFacts, from: i64) {
    present(facts).drift = Some(Drift::Content);
    present(facts).edits = vec![edit()];
    present(facts).repair_from = Some(at(from));
}

#[test]
fn an_edit_is_put_back_when_it_is_time() {
    let apply = SecretStep::Native(NativeStep::Apply { uid: uid("native") });
    assert_eq!(plan(&with(settled(), |f| contested(f, 0)), at(0)).step, apply);
    let waits = plan(&with(settled(), |f| contested(f, 7)), at(0));
    assert_eq!((waits.step, waits.wake), (SecretStep::Nothing, Some(at(7))));
    // A new version is nobody's edit.
    let new = with(settled(), |f| {
        contested(f, 7);
        present(f).edits.clear();
    });
    assert_eq!(plan(&new, at(0)).step, apply);
}

#[test]
fn each_cause_blocks_without_touching_anything() {
    let invalid = InvalidSpec {
        reason: Reason::TemplateInvalid,
        field: "spec.secret.template".to_owned(),
        problem: "unknown filter `x`".to_owned(),
    };
    let window = |f: &mut SecretFacts| {
        f.stored = StoredSecretState::InRecoveryWindow {
            secret: secret(),
            until: at(9),
        }
    };
    let foreign = |f: &mut SecretFacts| {
        live(f).materialized = None;
        present(f).marked = false;
        present(f).drift = Some(Drift::Content);
    };
    let disabled = |until| SecretBlocker::KeyDisabled {
        name: "pay".to_owned(),
        until,
    };
    let held = |f: &mut SecretFacts, state| {
        under(f, state);
        present(f).held = true;
    };
    let (db, pay, old) = (|| "db".to_owned(), || "pay".to_owned(), || "old".to_owned());
    let in_window = || SecretBlocker::InRecoveryWindow {
        secret: "abc".to_owned(),
        until: at(9),
    };
    let lost = |native| SecretBlocker::StoreLost {
        secret: "lost".to_owned(),
        native,
    };
    let recreated = || SecretBlocker::NamespaceRecreated {
        recorded: uid("older"),
    };
    let name_taken = |by| SecretBlocker::StoreNameTaken {
        name: "db".to_owned(),
        by,
    };
    let table = [
        (
            with(new(), |f| wanted(f).source = ValueSource::External { wait: true }),
            SecretBlocker::AwaitingValue { name: db() },
        ),
        (
            with(settled(), |f| {
                missing(f);
                wanted(f).native.as_mut().unwrap().immutable = true;
                present(f).immutable = true;
            }),
            SecretBlocker::Immutable {
                name: db(),
                keys: vec!["new".to_owned()],
            },
        ),
        (
            with(settled(), |f| live(f).owner = Owner::Nobody),
            name_taken(None),
        ),
        (
            with(new(), |f| under(f, KeyState::Absent)),
            SecretBlocker::KeyNotReady { name: pay() },
        ),
        (with(new(), |f| under(f, KeyState::Disabled)), disabled(None)),
        (with(settled(), |f| held(f, KeyState::Disabled)), disabled(None)),
        (
            with(settled(), |f| {
                held(f, KeyState::PendingDeletion(at(9)));
                f.rotation = scheduled(-1);
            }),
            disabled(Some(at(9))),
        ),
        (
            with(settled(), |f| under(f, KeyState::ObjectMissing)),
            SecretBlocker::KeyObjectMissing { name: pay() },
        ),
        (
            with(settled(), |f| f.wanted = Err(invalid.clone())),
            SecretBlocker::SpecInvalid(invalid.clone()),
        ),
        (
            with(settled(), |f| live(f).unrenderable = Some(invalid.clone())),
            SecretBlocker::SpecInvalid(invalid.clone()),
        ),
        (
            with(settled(), |f| f.namespace.terminating = true),
            SecretBlocker::NamespaceTerminating,
        ),
        (
            with(settled(), |f| {
                f.namespace.binding = NamespaceBinding::Recreated {
                    recorded: uid("older"),
                }
            }),
            recreated(),
        ),
        (
            with(settled(), |f| {
                f.namespace.binding = NamespaceBinding::Recreated {
                    recorded: uid("older"),
                };
                f.namespace.accepts = Some(uid("oldest"));
            }),
            recreated(),
        ),
        (
            with(new(), |f| {
                f.object.recorded = RecordedSecretId::Unknown("lost".to_owned())
            }),
            lost(None),
        ),
        (
            with(new(), |f| {
                f.object.recorded = RecordedSecretId::Unknown("lost".to_owned());
                f.namespace.binding = NamespaceBinding::Unbound;
                f.native = NativeSecretState::Present(native());
            }),
            lost(Some(db())),
        ),
        (
            with(settled(), |f| {
                f.object.recorded = RecordedSecretId::Unknown("lost".to_owned());
                live(f).owner = Owner::GoneObject;
            }),
            lost(Some(db())),
        ),
        (with(settled(), window), in_window()),
        (
            with(settled(), |f| {
                window(f);
                f.object.restore = Some("another".to_owned());
                f.object.purge = Some("another".to_owned());
            }),
            in_window(),
        ),
        (
            with(settled(), |f| live(f).owner = Owner::Rival("other".to_owned())),
            name_taken(Some("other".to_owned())),
        ),
        (
            with(settled(), |f| {
                live(f).owner = Owner::GoneObject;
                live(f).materialized = None;
                f.object.restore = Some("another".to_owned());
            }),
            taken(Obstacle::Shown { native: db() }),
        ),
        (
            with(settled(), |f| {
                live(f).owner = Owner::Nobody;
                wanted(f).source = ValueSource::External { wait: false };
                live(f).materialized = None;
            }),
            taken(Obstacle::Shown { native: db() }),
        ),
        (
            with(settled(), |f| {
                live(f).owner = Owner::GoneObject;
                live(f).materialized.as_mut().unwrap().name = "other".to_owned();
            }),
            taken(Obstacle::Shown { native: db() }),
        ),
        (
            with(settled(), |f| {
                live(f).owner = Owner::GoneObject;
                live(f).retained = true;
            }),
            taken(Obstacle::Retained),
        ),
        (
            with(settled(), |f| {
                live(f).owner = Owner::GoneObject;
                live(f).other_key = true;
            }),
            taken(Obstacle::OtherKey),
        ),
        (
            with(settled(), |f| {
                live(f).owner = Owner::GoneObject;
                live(f).new_readers = true;
            }),
            taken(Obstacle::Readers),
        ),
        (
            with(new(), |f| wanted(f).required_key = Some("pay".to_owned())),
            required(),
        ),
        (
            with(settled(), |f| wanted(f).required_key = Some("pay".to_owned())),
            required(),
        ),
        (
            with(settled(), |f| {
                live(f).other_key = true;
                wanted(f).required_key = Some("pay".to_owned());
            }),
            required(),
        ),
        (
            with(new(), |f| {
                import(f, "old");
                f.import = ImportState::Absent;
            }),
            SecretBlocker::ImportMissing { name: old() },
        ),
        (
            with(new(), |f| {
                import(f, "old");
                f.namespace.binding = NamespaceBinding::Unbound;
                f.import = ImportState::Present {
                    refusal: Some("its type".to_owned()),
                };
            }),
            SecretBlocker::ImportRefused {
                name: "old".to_owned(),
                why: "its type".to_owned(),
            },
        ),
        (
            with(settled(), |f| {
                present(f).marked = false;
                present(f).drift = Some(Drift::Replace);
                present(f).fixed = vec![ImmutableField::Immutable];
            }),
            SecretBlocker::ReplacementUnasked {
                name: db(),
                fixed: vec![ImmutableField::Immutable],
            },
        ),
        (
            with(settled(), |f| {
                present(f).drift = Some(Drift::Replace);
                present(f).fixed = vec![ImmutableField::Data];
            }),
            SecretBlocker::ImmutableContent { name: db() },
        ),
        (
            with(settled(), |f| {
                present(f).drift = Some(Drift::Replace);
                let found = "Opaque".to_owned();
                present(f).fixed = vec![ImmutableField::Type { found }, ImmutableField::Data];
            }),
            SecretBlocker::ImmutableContent { name: db() },
        ),
        (with(settled(), foreign), not_owned("db", None)),
        (
            with(settled(), |f| {
                present(f).uid = uid("made again by somebody");
                present(f).drift = Some(Drift::Content);
            }),
            not_owned("db", None),
        ),
        (with(settled(), |f| renamed(f, "taken")), not_owned("taken", None)),
        (
            with(settled(), |f| {
                present(f).uid = uid("of the other");
                present(f).drift = Some(Drift::Content);
                present(f).holder = Some(other(true, true));
            }),
            // The own one of this name is gone, so there is none to give away.
            not_owned("db", Some(other(true, true))),
        ),
        (
            with(settled(), |f| {
                renamed(f, "taken");
                present(f).holder = Some(other(true, false));
            }),
            not_owned("taken", Some(other(true, false))),
        ),
        (
            with(settled(), |f| {
                present(f).drift = Some(Drift::Replace);
                present(f).terminating = Some(vec!["example.com/hold".to_owned()]);
            }),
            SecretBlocker::NativeTerminating {
                name: db(),
                finalizers: vec!["example.com/hold".to_owned()],
            },
        ),
        (
            with(settled(), |f| contested(f, 1)),
            SecretBlocker::NativeContested {
                name: db(),
                edits: vec![edit()],
                until: at(1),
            },
        ),
        (
            with(settled(), |f| {
                contested(f, 1);
                present(f).edits.clear();
                present(f).mutated = vec![edit().key];
            }),
            SecretBlocker::NativeMutated {
                name: db(),
                keys: vec![edit().key],
                until: at(1),
            },
        ),
    ];
    for (facts, block) in table {
        let plan = plan(&facts, at(0));
        assert_eq!(plan.verdict, SecretVerdict::Blocked(block));
        assert_eq!(plan.step, SecretStep::Nothing);
    }
}

#[test]
fn a_missing_import_names_pruning_as_a_cause_and_the_way_back() {
    let text = SecretBlocker::ImportMissing {
        name: "db".to_owned(),
    }
    .to_string();
    for part in [
        "`db`",
        "pruned",
        "helm rollback",
        "helm.sh/resource-policy: keep",
        "docs/moving-in.md",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_replacement_that_nobody_asked_for_says_what_to_put_in_the_spec() {
    let text = SecretBlocker::ReplacementUnasked {
        name: "db".to_owned(),
        fixed: vec![
            ImmutableField::Type {
                found: "kubernetes.io/tls".to_owned(),
            },
            ImmutableField::Immutable,
            ImmutableField::Data,
        ],
    }
    .to_string();
    for part in [
        "`spec.secret.type: kubernetes.io/tls`",
        "`spec.secret.immutable: true`",
        "`keys` and `template`",
        "delete it",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// Once the object is gone, nobody can read its spec any more.
#[test]
fn whether_a_secret_stays_when_its_object_goes_is_taken_down_whatever_is_in_the_way() {
    let retain = |stop: fn(&mut SecretFacts)| {
        with(settled(), |f| {
            wanted(f).retain = true;
            stop(f);
        })
    };
    for facts in [
        retain(|_| {}),
        retain(|f| wanted(f).suspend = true),
        retain(|f| {
            wanted(f).key = Some(DesiredKey {
                name: "pay".to_owned(),
                state: KeyState::Disabled,
            });
        }),
        with(settled(), |f| {
            live(f).retained = true;
            wanted(f).suspend = true;
        }),
    ] {
        assert_eq!(plan(&facts, at(0)).step, SecretStep::UpdateMetadata, "{facts:?}");
    }
    // Of what is not this object's nothing is taken down.
    let others: [fn(&mut SecretFacts); 3] = [
        |f| {
            f.namespace.binding = NamespaceBinding::Recreated {
                recorded: uid("older"),
            }
        },
        |f| live(f).owner = Owner::Rival("other".to_owned()),
        |f| live(f).owner = Owner::GoneObject,
    ];
    for stop in others {
        let facts = retain(|f| wanted(f).suspend = true);
        assert_eq!(plan(&with(facts, stop), at(0)).step, SecretStep::Nothing);
    }
}

#[test]
fn a_held_or_leaving_object_is_left_alone() {
    let busy = |f: &mut SecretFacts| {
        missing(f);
        f.native = NativeSecretState::Absent;
        f.rotation = scheduled(-5);
    };
    let held = plan(
        &with(settled(), |f| {
            busy(f);
            wanted(f).suspend = true;
        }),
        at(0),
    );
    assert_eq!(
        (held.step, held.verdict),
        (SecretStep::Nothing, SecretVerdict::Suspended { stored: true })
    );
    let leaving = plan(
        &with(settled(), |f| {
            busy(f);
            f.object.leaving = true;
        }),
        at(0),
    );
    assert_eq!(
        (leaving.step, leaving.verdict),
        (SecretStep::Nothing, SecretVerdict::Leaving)
    );
}

#[test]
fn messages_say_what_to_do_and_where() {
    let window = SecretBlocker::InRecoveryWindow {
        secret: "abc".to_owned(),
        until: at(9),
    }
    .to_string();
    assert!(
        window.contains("strongroom.dev/restore=abc") && window.contains("strongroom.dev/purge=abc"),
        "{window}"
    );
    let recreated = SecretBlocker::NamespaceRecreated {
        recorded: uid("older"),
    }
    .to_string();
    assert!(
        recreated.contains("strongroom.dev/accept-namespace=older"),
        "{recreated}"
    );
    let lost = SecretBlocker::StoreLost {
        secret: "abc".to_owned(),
        native: Some("db".to_owned()),
    }
    .to_string();
    assert!(lost.contains("strongroom.dev/readopt=abc"), "{lost}");
    let target = not_owned("db", None).to_string();
    assert!(
        target.contains("spec.source.import.secretRef.name: db"),
        "{target}"
    );
    for gives_up in [true, false] {
        let taken = not_owned("db", Some(other(gives_up, false))).to_string();
        assert!(
            taken.contains("it is the native Secret of ManagedSecret `other`")
                || taken.contains("is the native Secret of ManagedSecret `other`"),
            "{taken}"
        );
    }
    let contested = SecretBlocker::NativeContested {
        name: "db".to_owned(),
        edits: vec![edit()],
        until: at(1),
    }
    .to_string();
    assert!(
        contested.contains("field manager `kubectl-patch` changed key `password`"),
        "{contested}"
    );
    let terminating = SecretBlocker::NativeTerminating {
        name: "db".to_owned(),
        finalizers: vec!["example.com/hold".to_owned()],
    }
    .to_string();
    assert!(
        terminating.contains("finalizer `example.com/hold`"),
        "{terminating}"
    );
}
