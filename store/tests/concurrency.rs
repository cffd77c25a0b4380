//! Writers at the same time: what they leave is what some order of them one after the other leaves, and that
//! order is audited.

mod support;

use std::sync::Barrier;

use strongroom_store::audit::Action;
use strongroom_store::vault::EnsureVersion;
use support::*;

const WRITERS: usize = 16;
const EACH: usize = 12;

#[test]
fn invariant_35_puts_at_the_same_time_are_as_one_after_the_other() {
    let f = Fixture::new();
    let secret = f.create("db", "v1");
    let start = Barrier::new(WRITERS);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (f, start) = (&f, &start);
            scope.spawn(move || {
                start.wait();
                for number in 0..EACH {
                    let id = format!("w{writer}-{number}");
                    let written = f.put(secret, &id, &id, &[]).unwrap();
                    // What was answered is there for everybody, from now on.
                    assert!(written.created);
                }
            });
        }
    });
    let order: Vec<String> = f
        .store
        .mutations_after(0, 1_000)
        .unwrap()
        .into_iter()
        .filter(|(_, entry)| entry.action == Action::PutSecretValue)
        .map(|(_, entry)| entry.version.unwrap().to_string())
        .collect();
    assert_eq!(order.len(), WRITERS * EACH, "each is on record once");
    // Each writer's own order holds in the order of all.
    for writer in 0..WRITERS {
        let own: Vec<&String> = order
            .iter()
            .filter(|id| id.starts_with(&format!("w{writer}-")))
            .collect();
        let expected: Vec<String> = (0..EACH).map(|number| format!("w{writer}-{number}")).collect();
        assert!(own.into_iter().eq(expected.iter()), "writer {writer}");
    }
    let mut last = order.iter().rev();
    let stages = f.stages(secret);
    assert_eq!(stages.get("Current"), last.next());
    assert_eq!(stages.get("Previous"), last.next());
    assert_eq!(f.current(secret).unwrap(), *order.last().unwrap());
}

#[test]
fn of_many_that_ensure_one_version_one_makes_it() {
    let f = Fixture::new();
    let secret = f.create("db", "v1");
    let start = Barrier::new(WRITERS);
    let made: Vec<bool> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (f, start) = (&f, &start);
                scope.spawn(move || {
                    let ensure = EnsureVersion {
                        secret,
                        version: version("v2"),
                        value: value(&format!("from {writer}")),
                        base: None,
                        rotation: None,
                        may_grow: false,
                        labels: None,
                    };
                    start.wait();
                    f.store.run(ensure, meta()).unwrap().created
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
    let maker = made.iter().position(|made| *made).unwrap();
    assert_eq!(f.current(secret).unwrap(), format!("from {maker}"));
    assert_eq!(f.store.describe(secret).unwrap().versions.len(), 2);
}
