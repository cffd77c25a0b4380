//! The plugin killed between every two steps: no pod ever sees half a volume, no mount is stacked, and
//! nothing is left in the end.

mod support;

use strongroom_testing::wait::eventually;

use support::Node;

/// The points of a publish, in their order.
const PUBLISH: [&str; 11] = [
    "publish.fetched",
    "publish.recorded",
    "publish.detached",
    "write.version_folder",
    "write.file",
    "write.filled",
    "write.data_tmp",
    "write.swapped",
    "publish.filled",
    "publish.folder",
    "publish.attached",
];

#[test]
fn a_publish_that_died_is_made_whole_by_the_next() {
    for point in PUBLISH {
        let mut node = Node::new();
        node.peer.put("db", "1", &[("a", "one"), ("b", "two")]);
        node.start(Some(point));
        node.publish("v", "db").expect_err(point);
        node.wait_dead();
        // Whole, or not there.
        let files = node.files("v");
        assert!(files.is_empty() || files == ["a", "b"], "{point}: {files:?}");
        assert_eq!(node.mounts().len(), usize::from(!files.is_empty()), "{point}");
        assert!(
            node.states() >= node.mounts().len(),
            "{point}: a volume without a record"
        );

        node.start(None);
        node.publish("v", "db").unwrap();
        assert_eq!(node.files("v"), ["a", "b"], "{point}");
        assert_eq!(node.read("v", "b").as_deref(), Some("two"), "{point}");
        assert_eq!((node.mounts().len(), node.states()), (1, 1), "{point}");
        node.peer.put("db", "2", &[("a", "new")]);
        node.wait_file("v", "a", "new");
        node.unpublish("v").unwrap();
        assert_eq!((node.mounts().len(), node.states()), (0, 0), "{point}");
    }
}

#[test]
fn a_pod_that_goes_after_a_death_leaves_nothing() {
    for point in PUBLISH {
        let mut node = Node::new();
        node.peer.put("db", "1", &[("a", "one")]);
        node.start(Some(point));
        node.publish("v", "db").expect_err(point);
        node.wait_dead();
        node.start(None);
        node.unpublish("v").unwrap();
        assert_eq!((node.mounts().len(), node.states()), (0, 0), "{point}");
        assert!(!node.path("v", "").exists(), "{point}");
    }
}

#[test]
fn a_change_that_died_leaves_one_version_and_is_made_whole_by_the_next() {
    for point in [
        "write.version_folder",
        "write.file",
        "write.filled",
        "write.data_tmp",
        "write.swapped",
        "write.linked",
    ] {
        let mut node = Node::running();
        node.peer.put("db", "1", &[("a", "one"), ("b", "one")]);
        node.publish("v", "db").unwrap();
        node.kill();
        node.start(Some(point));
        node.publish("v", "db").unwrap();
        node.peer.put("db", "2", &[("a", "two"), ("c", "two")]);
        node.wait_dead();
        // All of one version, by way of the folder that is swapped.
        let a = node.read("v", "..data/a").unwrap();
        let other = if a == "one" { "b" } else { "c" };
        assert_eq!(
            node.read("v", &format!("..data/{other}")).as_deref(),
            Some(a.as_str()),
            "{point}"
        );

        node.start(None);
        node.publish("v", "db").unwrap();
        node.wait_file("v", "a", "two");
        node.wait_file("v", "c", "two");
        // ..data, its version, the version file, a, c.
        eventually(&format!("nothing to be left of {point}"), || {
            let all = std::fs::read_dir(node.path("v", "")).ok()?.count();
            (all == 5 && node.files("v") == ["a", "c"]).then_some(())
        });
        node.unpublish("v").unwrap();
    }
}

#[test]
fn an_unpublish_that_died_is_finished_by_the_next() {
    for point in ["unpublish.unsubscribed", "unpublish.unmounted"] {
        let mut node = Node::running();
        node.peer.put("db", "1", &[("a", "one")]);
        node.publish("v", "db").unwrap();
        node.kill();
        node.start(Some(point));
        node.unpublish("v").expect_err(point);
        node.wait_dead();
        node.start(None);
        node.unpublish("v").unwrap();
        assert_eq!((node.mounts().len(), node.states()), (0, 0), "{point}");
    }
}
