//! Each state and its one next step.

use super::*;
use crate::native_secret::ImmutableField;
use crate::native_secret::edits::{DriftedKey, Edit};
use crate::native_secret::owners::Part;

#[test]
fn each_state_has_its_one_next_step() {
    use NativeStep::*;
    let remove = SecretStep::Native(Remove {
        name: "db".to_owned(),
        uid: uid("native"),
    });
    let table = [
        (
            "the namespace is new",
            with(new(), |f| f.namespace.binding = NamespaceBinding::Unbound),
            SecretStep::BindNamespace,
        ),
        (
            "nothing is stored",
            new(),
            SecretStep::CreateSecret(FirstVersionSource::Generated),
        ),
        (
            "nothing is stored and the import is there",
            with(new(), |f| {
                import(f, "old");
                f.import = ImportState::Present { refusal: None };
            }),
            SecretStep::CreateSecret(FirstVersionSource::Imported),
        ),
        (
            "the object was made again",
            with(settled(), |f| live(f).owner = Owner::GoneObject),
            SecretStep::BindObject,
        ),
        (
            "the object was made again and shows nothing",
            with(settled(), |f| {
                live(f).owner = Owner::GoneObject;
                wanted(f).native = None;
            }),
            SecretStep::BindObject,
        ),
        (
            "the object was made again with another native Secret, and somebody who may grants it",
            with(settled(), |f| {
                live(f).owner = Owner::GoneObject;
                live(f).retained = true;
                live(f).other_key = true;
                live(f).materialized = None;
                f.object.restore = Some("abc".to_owned());
            }),
            SecretStep::BindObject,
        ),
        (
            "the labels differ",
            with(settled(), |f| {
                drop(wanted(f).labels.insert("a".to_owned(), "b".to_owned()))
            }),
            SecretStep::UpdateMetadata,
        ),
        (
            "a declared key is missing",
            with(settled(), missing),
            SecretStep::EnsureVersion(VersionReason::SpecChanged),
        ),
        (
            "the native Secret was never written",
            with(settled(), |f| {
                live(f).materialized = None;
                f.native = NativeSecretState::Unread;
            }),
            SecretStep::Native(Create),
        ),
        (
            "the native Secret was deleted by hand",
            with(settled(), |f| f.native = NativeSecretState::Absent),
            SecretStep::Native(Create),
        ),
        (
            "the native Secret was edited by hand",
            with(settled(), |f| present(f).drift = Some(Drift::Content)),
            SecretStep::Native(Apply { uid: uid("native") }),
        ),
        (
            "the type changed, or it is immutable no more",
            with(settled(), |f| present(f).drift = Some(Drift::Replace)),
            SecretStep::Native(Replace { uid: uid("native") }),
        ),
        (
            "it is immutable no more, and other data come with that",
            with(settled(), |f| {
                present(f).drift = Some(Drift::Replace);
                present(f).fixed = vec![ImmutableField::Immutable, ImmutableField::Data];
            }),
            SecretStep::Native(Replace { uid: uid("native") }),
        ),
        (
            "somebody else changed the data and made it immutable",
            with(settled(), |f| {
                present(f).drift = Some(Drift::Replace);
                present(f).fixed = vec![ImmutableField::Data];
                present(f).edits = vec![Edit {
                    key: DriftedKey {
                        part: Part::Data,
                        name: "password".to_owned(),
                    },
                    manager: Some("kubectl-edit".to_owned()),
                }];
            }),
            SecretStep::Native(Replace { uid: uid("native") }),
        ),
        (
            "the native Secret is not wanted any more",
            with(settled(), |f| wanted(f).native = None),
            remove.clone(),
        ),
        (
            "the native Secret is renamed",
            with(settled(), |f| {
                wanted(f).native.as_mut().unwrap().name = "db2".to_owned();
                f.native = NativeSecretState::Absent;
            }),
            SecretStep::Native(Create),
        ),
        (
            "the new one is written, and its record was lost",
            with(settled(), |f| {
                wanted(f).native.as_mut().unwrap().name = "db2".to_owned();
                present(f).uid = uid("new");
            }),
            SecretStep::Native(Adopt { uid: uid("new") }),
        ),
        (
            "the new one is recorded",
            with(settled(), |f| {
                live(f).former = Some(NativeSecretRef {
                    name: "before".to_owned(),
                    uid: uid("former"),
                });
            }),
            SecretStep::Native(Remove {
                name: "before".to_owned(),
                uid: uid("former"),
            }),
        ),
        (
            "the new one is not recorded yet, and the old one stays",
            with(settled(), |f| {
                wanted(f).native.as_mut().unwrap().name = "db2".to_owned();
                live(f).former = live(f).materialized.clone();
                present(f).uid = uid("new");
            }),
            SecretStep::Native(Adopt { uid: uid("new") }),
        ),
        (
            "names are exchanged, and it is on this object to let go first",
            with(settled(), |f| {
                wanted(f).native.as_mut().unwrap().name = "db2".to_owned();
                *present(f) = ObservedNativeSecret {
                    drift: Some(Drift::Content),
                    holder: Some(Holder {
                        name: "other".to_owned(),
                        gives_up: true,
                        exchange: true,
                    }),
                    ..ObservedNativeSecret::new(uid("of the other"))
                };
            }),
            remove,
        ),
        (
            "our create succeeded and the record of it was lost",
            with(settled(), |f| live(f).materialized = None),
            SecretStep::Native(Adopt { uid: uid("native") }),
        ),
        (
            "the foreign Secret of that name is to be imported",
            with(settled(), |f| {
                import(f, "db");
                f.import = ImportState::Present { refusal: None };
                live(f).materialized = None;
                present(f).marked = false;
            }),
            SecretStep::EnsureVersion(VersionReason::Imported),
        ),
        (
            "the foreign Secret of that name was imported",
            with(settled(), |f| {
                import(f, "db");
                live(f).materialized = None;
                *present(f) = ObservedNativeSecret {
                    marked: false,
                    drift: Some(Drift::Replace),
                    recorded: true,
                    ..native()
                };
            }),
            SecretStep::Native(Adopt { uid: uid("native") }),
        ),
        (
            "a value arrived before the object was bound",
            with(settled(), |f| {
                wanted(f).source = ValueSource::External { wait: true };
                live(f).owner = Owner::Nobody;
            }),
            SecretStep::BindObject,
        ),
        (
            "other sealed texts stand in the object",
            with(settled(), |f| {
                wanted(f).source = ValueSource::Sealed { taken: false }
            }),
            SecretStep::TakeSealed,
        ),
        (
            "a new object has a sealed value",
            with(new(), |f| wanted(f).source = ValueSource::Sealed { taken: false }),
            SecretStep::CreateSecret(FirstVersionSource::Sealed),
        ),
        (
            "another key is wanted",
            with(settled(), |f| {
                under(f, KeyState::Enabled);
                live(f).other_key = true;
            }),
            SecretStep::UpdateKey,
        ),
        (
            "a key whose object is gone works",
            with(new(), |f| under(f, KeyState::ObjectMissing)),
            SecretStep::CreateSecret(FirstVersionSource::Generated),
        ),
        (
            "the key is disabled",
            with(settled(), |f| under(f, KeyState::Disabled)),
            SecretStep::Native(Hold { uid: uid("native") }),
        ),
        (
            "restoring is asked for",
            with(settled(), |f| {
                f.stored = StoredSecretState::InRecoveryWindow {
                    secret: secret(),
                    until: at(9),
                };
                f.object.restore = Some("abc".to_owned());
            }),
            SecretStep::Restore,
        ),
        (
            "purging is asked for",
            with(settled(), |f| {
                f.stored = StoredSecretState::InRecoveryWindow {
                    secret: secret(),
                    until: at(9),
                };
                f.object.purge = Some("abc".to_owned());
            }),
            SecretStep::Purge,
        ),
        (
            "the older namespace is accepted",
            with(settled(), |f| {
                f.namespace.binding = NamespaceBinding::Recreated {
                    recorded: uid("older"),
                };
                f.namespace.accepts = Some(uid("older"));
            }),
            SecretStep::AcceptNamespace,
        ),
        (
            "readoption is asked for",
            with(new(), |f| {
                f.object.recorded = RecordedSecretId::Unknown("lost".to_owned());
                f.object.readopt = Some("lost".to_owned());
                f.native = NativeSecretState::Present(native());
            }),
            SecretStep::CreateSecret(FirstVersionSource::Readopted),
        ),
        (
            "the readopted native Secret is not recorded yet",
            with(settled(), |f| {
                f.object.recorded = RecordedSecretId::Unknown("lost".to_owned());
                f.object.readopt = Some("lost".to_owned());
                live(f).materialized = None;
                present(f).marked = false;
            }),
            SecretStep::Native(Adopt { uid: uid("native") }),
        ),
        (
            "a lost secret was purged by its owner",
            with(new(), |f| {
                f.object.recorded = RecordedSecretId::Unknown("lost".to_owned());
                f.object.purge = Some("lost".to_owned());
            }),
            SecretStep::CreateSecret(FirstVersionSource::Generated),
        ),
        (
            "a rotation is due",
            with(settled(), |f| f.rotation = scheduled(0)),
            SecretStep::Rotate(RotationStep::Promote(RotationTrigger::Due {
                schedule: uid("schedule"),
                at: at(0),
            })),
        ),
        (
            "a rotation is asked for",
            with(settled(), |f| {
                f.object.rotate_now = RotateNow::Asked("please".to_owned())
            }),
            SecretStep::Rotate(RotationStep::Promote(RotationTrigger::Asked("please".to_owned()))),
        ),
        ("all is well", settled(), SecretStep::Nothing),
    ];
    for (name, facts, expected) in table {
        assert_eq!(plan(&facts, at(0)).step, expected, "{name}");
    }
}
