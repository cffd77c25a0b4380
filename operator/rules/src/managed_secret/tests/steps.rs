//! Each state and its one next step.

use super::*;
use crate::native_secret::Fixed;
use crate::native_secret::edits::{Edit, Key};
use crate::native_secret::owners::Part;

#[test]
fn each_state_has_its_one_next_step() {
    use NativeStep::*;
    let remove = Step::Native(Remove {
        name: "db".to_owned(),
        uid: uid("native"),
    });
    let table = [
        (
            "the namespace is new",
            with(new(), |f| f.namespace.binding = NamespaceBinding::Unbound),
            Step::BindNamespace,
        ),
        ("nothing is stored", new(), Step::CreateSecret(First::Generated)),
        (
            "nothing is stored and the import is there",
            with(new(), |f| {
                import(f, "old");
                f.import = Import::Present { refusal: None };
            }),
            Step::CreateSecret(First::Imported),
        ),
        (
            "the object was made again",
            with(settled(), |f| live(f).owner = Owner::GoneObject),
            Step::BindObject,
        ),
        (
            "the object was made again and shows nothing",
            with(settled(), |f| {
                live(f).owner = Owner::GoneObject;
                wanted(f).native = None;
            }),
            Step::BindObject,
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
            Step::BindObject,
        ),
        (
            "the labels differ",
            with(settled(), |f| {
                drop(wanted(f).labels.insert("a".to_owned(), "b".to_owned()))
            }),
            Step::UpdateMetadata,
        ),
        (
            "a declared key is missing",
            with(settled(), missing),
            Step::EnsureVersion(Why::SpecChanged),
        ),
        (
            "the native Secret was never written",
            with(settled(), |f| {
                live(f).materialized = None;
                f.native = Native::Unread;
            }),
            Step::Native(Create),
        ),
        (
            "the native Secret was deleted by hand",
            with(settled(), |f| f.native = Native::Absent),
            Step::Native(Create),
        ),
        (
            "the native Secret was edited by hand",
            with(settled(), |f| present(f).drift = Some(Drift::Content)),
            Step::Native(Apply { uid: uid("native") }),
        ),
        (
            "the type changed, or it is immutable no more",
            with(settled(), |f| present(f).drift = Some(Drift::Replace)),
            Step::Native(Replace { uid: uid("native") }),
        ),
        (
            "it is immutable no more, and other data come with that",
            with(settled(), |f| {
                present(f).drift = Some(Drift::Replace);
                present(f).fixed = vec![Fixed::Immutable, Fixed::Data];
            }),
            Step::Native(Replace { uid: uid("native") }),
        ),
        (
            "somebody else changed the data and made it immutable",
            with(settled(), |f| {
                present(f).drift = Some(Drift::Replace);
                present(f).fixed = vec![Fixed::Data];
                present(f).edits = vec![Edit {
                    key: Key {
                        part: Part::Data,
                        name: "password".to_owned(),
                    },
                    manager: Some("kubectl-edit".to_owned()),
                }];
            }),
            Step::Native(Replace { uid: uid("native") }),
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
                f.native = Native::Absent;
            }),
            Step::Native(Create),
        ),
        (
            "the new one is written, and its record was lost",
            with(settled(), |f| {
                wanted(f).native.as_mut().unwrap().name = "db2".to_owned();
                present(f).uid = uid("new");
            }),
            Step::Native(Adopt { uid: uid("new") }),
        ),
        (
            "the new one is recorded",
            with(settled(), |f| {
                live(f).former = Some(Materialized {
                    name: "before".to_owned(),
                    uid: uid("former"),
                });
            }),
            Step::Native(Remove {
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
            Step::Native(Adopt { uid: uid("new") }),
        ),
        (
            "names are exchanged, and it is on this object to let go first",
            with(settled(), |f| {
                wanted(f).native.as_mut().unwrap().name = "db2".to_owned();
                *present(f) = NativeSecret {
                    drift: Some(Drift::Content),
                    holder: Some(Holder {
                        name: "other".to_owned(),
                        gives_up: true,
                        exchange: true,
                    }),
                    ..NativeSecret::new(uid("of the other"))
                };
            }),
            remove,
        ),
        (
            "our create succeeded and the record of it was lost",
            with(settled(), |f| live(f).materialized = None),
            Step::Native(Adopt { uid: uid("native") }),
        ),
        (
            "the foreign Secret of that name is to be imported",
            with(settled(), |f| {
                import(f, "db");
                f.import = Import::Present { refusal: None };
                live(f).materialized = None;
                present(f).marked = false;
            }),
            Step::EnsureVersion(Why::Imported),
        ),
        (
            "the foreign Secret of that name was imported",
            with(settled(), |f| {
                import(f, "db");
                live(f).materialized = None;
                *present(f) = NativeSecret {
                    marked: false,
                    drift: Some(Drift::Replace),
                    recorded: true,
                    ..native()
                };
            }),
            Step::Native(Adopt { uid: uid("native") }),
        ),
        (
            "a value arrived before the object was bound",
            with(settled(), |f| {
                wanted(f).source = Source::External { wait: true };
                live(f).owner = Owner::Nobody;
            }),
            Step::BindObject,
        ),
        (
            "other sealed texts stand in the object",
            with(settled(), |f| wanted(f).source = Source::Sealed { taken: false }),
            Step::TakeSealed,
        ),
        (
            "a new object has a sealed value",
            with(new(), |f| wanted(f).source = Source::Sealed { taken: false }),
            Step::CreateSecret(First::Sealed),
        ),
        (
            "another key is wanted",
            with(settled(), |f| {
                under(f, KeyState::Enabled);
                live(f).other_key = true;
            }),
            Step::UpdateKey,
        ),
        (
            "a key whose object is gone works",
            with(new(), |f| under(f, KeyState::ObjectMissing)),
            Step::CreateSecret(First::Generated),
        ),
        (
            "the key is disabled",
            with(settled(), |f| under(f, KeyState::Disabled)),
            Step::Native(Hold { uid: uid("native") }),
        ),
        (
            "restoring is asked for",
            with(settled(), |f| {
                f.stored = Stored::InRecoveryWindow {
                    secret: secret(),
                    until: at(9),
                };
                f.object.restore = Some("abc".to_owned());
            }),
            Step::Restore,
        ),
        (
            "purging is asked for",
            with(settled(), |f| {
                f.stored = Stored::InRecoveryWindow {
                    secret: secret(),
                    until: at(9),
                };
                f.object.purge = Some("abc".to_owned());
            }),
            Step::Purge,
        ),
        (
            "the older namespace is accepted",
            with(settled(), |f| {
                f.namespace.binding = NamespaceBinding::Recreated {
                    recorded: uid("older"),
                };
                f.namespace.accepts = Some(uid("older"));
            }),
            Step::AcceptNamespace,
        ),
        (
            "readoption is asked for",
            with(new(), |f| {
                f.object.recorded = Recorded::Unknown("lost".to_owned());
                f.object.readopt = Some("lost".to_owned());
                f.native = Native::Present(native());
            }),
            Step::CreateSecret(First::Readopted),
        ),
        (
            "the readopted native Secret is not recorded yet",
            with(settled(), |f| {
                f.object.recorded = Recorded::Unknown("lost".to_owned());
                f.object.readopt = Some("lost".to_owned());
                live(f).materialized = None;
                present(f).marked = false;
            }),
            Step::Native(Adopt { uid: uid("native") }),
        ),
        (
            "a lost secret was purged by its owner",
            with(new(), |f| {
                f.object.recorded = Recorded::Unknown("lost".to_owned());
                f.object.purge = Some("lost".to_owned());
            }),
            Step::CreateSecret(First::Generated),
        ),
        (
            "a rotation is due",
            with(settled(), |f| f.rotation = scheduled(0)),
            Step::EnsureVersion(Why::Due {
                schedule: uid("schedule"),
                at: at(0),
            }),
        ),
        (
            "a rotation is asked for",
            with(settled(), |f| {
                f.object.rotate_now = RotateNow::Asked("please".to_owned())
            }),
            Step::EnsureVersion(Why::Asked("please".to_owned())),
        ),
        ("all is well", settled(), Step::Nothing),
    ];
    for (name, facts, expected) in table {
        assert_eq!(plan(&facts, at(0)).step, expected, "{name}");
    }
}
