//! Volumes on the real kernel, from publish to unpublish, with a real stream above: files, changes, refusals,
//! restarts.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use strongroom_node::proto::csi::volume_capability::{AccessType, MountVolume};
use strongroom_testing::wait::eventually;
use tonic::Code;

use support::{Node, TOKENS};

#[test]
fn a_volume_appears_whole_changes_at_once_and_goes() {
    let node = Node::running();
    node.peer
        .put("db", "v-1", &[("username", "u1"), ("password", "p1")]);
    node.publish("csi-1", "db").unwrap();
    assert_eq!(node.files("csi-1"), ["password", "username"]);
    assert_eq!(node.read("csi-1", "password").as_deref(), Some("p1"));
    let mounts = node.mounts();
    assert_eq!(mounts.len(), 1);
    for option in ["nosuid", "nodev", "noexec", "size=4096k"] {
        assert!(mounts[0].contains(option), "{}", mounts[0]);
    }
    assert_eq!(node.peer.seen().tokens["csi-1"], "token-of-csi-1");
    eventually("the first version to be acknowledged", || {
        let seen = node.peer.seen();
        (seen.applied.get("csi-1")?.get(&0)? == "v-1").then_some(())
    });

    node.peer.put("db", "v-2", &[("username", "u2"), ("token", "t2")]);
    node.wait_file("csi-1", "username", "u2");
    assert_eq!(node.files("csi-1"), ["token", "username"]);
    let shown: serde_json::Value =
        serde_json::from_str(&node.read("csi-1", "..strongroom.json").unwrap()).unwrap();
    assert_eq!(shown["state"], "current");
    assert_eq!(shown["secrets"][0]["versionId"], "v-2");
    eventually("the second version to be acknowledged", || {
        let seen = node.peer.seen();
        (seen.applied.get("csi-1")?.get(&0)? == "v-2").then_some(())
    });

    let stats = node.stats("csi-1").unwrap();
    assert!(
        stats
            .usage
            .iter()
            .all(|usage| usage.used > 0 && usage.available > 0 && usage.total > usage.used)
    );
    assert_eq!(node.stats("csi-2").unwrap_err().code(), Code::NotFound);

    node.unpublish("csi-1").unwrap();
    assert!(node.mounts().is_empty() && !node.path("csi-1", "").exists());
    assert_eq!(node.states(), 0);
    node.unpublish("csi-1").unwrap();
    eventually("the subscription to go", || {
        node.peer.seen().tokens.is_empty().then_some(())
    });
}

#[test]
fn all_secrets_of_a_volume_change_in_one_swap() {
    let node = Node::running();
    node.peer.put("a", "a1", &[("x", "1")]);
    node.peer.put("b", "b1", &[("y", "1")]);
    let set = "secrets: {a: a, b: b}\nfiles: [{path: both, template: '{{ a.x }}{{ b.y }}'}, {path: x, secret: a, key: x}, \
               {path: y, secret: b, key: y}]";
    node.publish_call(node.call("v", &[("set", set)])).unwrap();
    assert_eq!(node.read("v", "both").as_deref(), Some("11"));
    for round in 2..20 {
        let (version, text) = (format!("r{round}"), round.to_string());
        node.peer
            .put_all(&[("a", &version, &[("x", &text)]), ("b", &version, &[("y", &text)])]);
        // Whatever a reader sees meanwhile is of one version.
        eventually("the change", || {
            let both = node.read("v", "both")?;
            let half = both.len() / 2;
            assert_eq!(both[..half], both[half..], "half of a change is seen");
            // Two files of one version, by way of the folder that is swapped; it may go in between.
            let shown = fs::read_link(node.path("v", "..data")).unwrap();
            let file = |name: &str| node.read("v", shown.join(name).to_str().unwrap());
            if let (Some(x), Some(y)) = (file("x"), file("y")) {
                assert_eq!(x, y, "files of one change are of two versions");
            }
            (both[..half] == text).then_some(())
        });
    }
}

#[test]
fn the_pods_group_and_modes_are_those_of_the_files() {
    let node = Node::running();
    node.peer.put("db", "1", &[("a", "1"), ("b", "2")]);
    let mut call = node.call(
        "v",
        &[(
            "secrets",
            "[{name: db, keys: [a, {key: b, path: d/b, mode: '0400'}]}]",
        )],
    );
    call.volume_capability.as_mut().unwrap().access_type = Some(AccessType::Mount(MountVolume {
        volume_mount_group: "2000".into(),
        ..MountVolume::default()
    }));
    node.publish_call(call).unwrap();
    let is = |file: &str| {
        let is = fs::metadata(node.path("v", "..data").join(file)).unwrap();
        (is.permissions().mode() & 0o7777, is.uid(), is.gid())
    };
    assert_eq!(is("a"), (0o440, 0, 2_000));
    // The group reads whatever the mode says, as with Kubernetes' own volumes.
    assert_eq!(is("d/b"), (0o440, 0, 2_000));
    node.publish("w", "db").unwrap();
    let other = fs::metadata(node.path("w", "a")).unwrap();
    assert_eq!((other.permissions().mode() & 0o7777, other.gid()), (0o444, 0));
}

#[test]
fn a_repeated_publish_mends_and_stacks_nothing() {
    let node = Node::running();
    node.peer.put("db", "1", &[("a", "1")]);
    node.publish("v", "db").unwrap();
    let before = fs::read_link(node.path("v", "..data")).unwrap();
    fs::remove_file(node.path("v", "a")).unwrap();
    for _ in 0..10 {
        node.publish("v", "db").unwrap();
    }
    assert_eq!(node.read("v", "a").as_deref(), Some("1"));
    assert_eq!(node.mounts().len(), 1);
    assert_eq!(fs::read_link(node.path("v", "..data")).unwrap(), before);
    // Without the link that all others go through, the files are written again.
    fs::remove_file(node.path("v", "..data")).unwrap();
    node.publish("v", "db").unwrap();
    node.wait_file("v", "a", "1");
    // A new token goes up; a refusal meanwhile comes back to nobody.
    let mut call = node.call("v", &[("secrets", "db")]);
    let tokens = call.secrets[TOKENS].replace("token-of-v", "newer");
    call.secrets.insert(TOKENS.into(), tokens);
    node.publish_call(call).unwrap();
    eventually("the token to be renewed", || {
        (node.peer.seen().tokens["v"] == "newer").then_some(())
    });
    node.peer.deny("db", "no", false);
    node.publish("v", "db").unwrap();
    // One that somebody else unmounted is made anew.
    node.peer.allow("db");
    // It is busy while the plugin writes there.
    eventually("the unmount", || {
        let mut umount = node.inside("umount");
        let status = umount.arg(node.target("v")).status().unwrap();
        status.success().then_some(())
    });
    node.publish("v", "db").unwrap();
    assert_eq!(
        (node.mounts().len(), node.read("v", "a").as_deref()),
        (1, Some("1"))
    );
}

#[test]
fn who_may_not_read_does_not_start() {
    let node = Node::running();
    node.peer.put("db", "1", &[("a", "1")]);
    node.peer
        .deny("db", "no SecretPolicy lets `shop/app` read `db`: apply …", false);
    let status = node.publish("v", "db").unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(
        status.message().contains("no SecretPolicy lets `shop/app`"),
        "{status}"
    );
    let status = node.publish("v", "absent").unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let status = node.publish("v", "[{name: db, sauce: x}]").unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    node.peer.allow("db");
    let status = node.publish("v", "[{name: db, keys: [b]}]").unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status.message().contains("secret `db` has no key `b`"),
        "{status}"
    );
    assert!(node.mounts().is_empty() && node.states() == 0 && !node.path("v", "").exists());
    eventually("the subscription to go with the refusal", || {
        node.peer.seen().tokens.is_empty().then_some(())
    });
    assert!(node.peer.seen().sent.get("db@1").is_none_or(|sent| *sent == 1));
    node.publish("v", "db").unwrap();
}

#[test]
fn spoofed_tokens_and_writable_mounts_are_refused() {
    let node = Node::running();
    node.peer.put("db", "1", &[("a", "1")]);
    let mut call = node.call(
        "v",
        &[
            ("secrets", "db"),
            (TOKENS, "{\"strongroom.dev\": {\"token\": \"spoofed\"}}"),
        ],
    );
    assert_eq!(node.publish_call(call).unwrap_err().code(), Code::InvalidArgument);
    call = node.call("v", &[("secrets", "db")]);
    call.readonly = false;
    let status = node.publish_call(call).unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("readOnly: true"));
    call = node.call("v", &[("secrets", "db")]);
    call.secrets.clear();
    let status = node.publish_call(call).unwrap_err();
    assert!(
        status.code() == Code::FailedPrecondition
            && status.message().contains("serviceAccountTokenInSecrets")
    );
    call = node.call("v", &[("secrets", "db")]);
    call.target_path = "/etc/strongroom-test".into();
    assert_eq!(node.publish_call(call).unwrap_err().code(), Code::InvalidArgument);
    assert!(node.mounts().is_empty() && node.peer.seen().tokens.is_empty());
}

#[test]
fn many_volumes_of_a_secret_need_one_value_a_version() {
    let node = Node::running();
    node.peer.put("db", "1", &[("a", "1")]);
    for number in 0..30 {
        node.publish(&format!("v{number}"), "db").unwrap();
    }
    node.peer.put("db", "2", &[("a", "2")]);
    for number in 0..30 {
        node.wait_file(&format!("v{number}"), "a", "2");
    }
    let seen = node.peer.seen();
    assert_eq!((seen.sent["db@1"], seen.sent["db@2"], seen.fetches), (1, 1, 0));
    // A new connection needs none at all.
    node.peer.hang_up(true);
    eventually("the node to come back", || {
        (node.peer.seen().hellos > 1).then_some(())
    });
    node.peer.put("db", "3", &[("a", "3")]);
    for number in 0..30 {
        node.wait_file(&format!("v{number}"), "a", "3");
    }
    let seen = node.peer.seen();
    assert_eq!((seen.sent["db@2"], seen.sent["db@3"], seen.held), (1, 1, 1));
}

#[test]
fn a_silent_gateway_is_given_up_and_running_volumes_stay() {
    let mut node = Node::new();
    node.patience = 2;
    node.start(None);
    node.peer.put("db", "1", &[("a", "1")]);
    node.publish("v", "db").unwrap();
    node.peer.set_silent(true);
    let status = node.publish("w", "db").unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(node.files("w").is_empty() && node.mounts().len() == 1);
    node.publish("v", "db").unwrap();
    assert_eq!(node.read("v", "a").as_deref(), Some("1"));
    node.peer.set_silent(false);
    node.peer.put("db", "2", &[("a", "2")]);
    node.wait_file("v", "a", "2");
    node.publish("w", "db").unwrap();
    assert_eq!(node.read("w", "a").as_deref(), Some("2"));
}

#[test]
fn calls_that_overlap_on_a_volume_are_told_to_wait() {
    let node = Node::running();
    node.peer.put("db", "1", &[("a", "1")]);
    node.peer.set_silent(true);
    std::thread::scope(|scope| {
        let first = node.call("v", &[("secrets", "db")]);
        let socket = node.socket();
        let first = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut client = support::client(socket).await?;
                loop {
                    // One of the calls below may have come first.
                    match client.node_publish_volume(first.clone()).await {
                        Err(status) if status.code() == Code::Aborted => {}
                        answer => return answer,
                    }
                }
            })
        });
        eventually("a second call to be told so", || {
            (node.unpublish("v").unwrap_err_or_none()? == Code::Aborted).then_some(())
        });
        assert_eq!(node.publish("v", "db").unwrap_err().code(), Code::Aborted);
        node.peer.set_silent(false);
        node.peer.hang_up(false);
        first.join().unwrap().unwrap();
    });
    assert_eq!(node.read("v", "a").as_deref(), Some("1"));
    assert_eq!(node.mounts().len(), 1);
}

#[test]
fn lost_access_keeps_the_files_or_takes_them_as_the_owner_says() {
    let node = Node::running();
    node.peer.put("db", "1", &[("a", "1")]);
    node.publish("v", "db").unwrap();
    let state = |wanted: &str| {
        eventually("the version file to say so", || {
            node.read("v", "..strongroom.json")
                .filter(|text| text.contains(wanted))
        })
    };
    node.peer.deny("db", "revoked", false);
    state("\"state\":\"ended\"");
    assert_eq!(node.read("v", "a").as_deref(), Some("1"));
    node.peer.allow("db");
    state("\"state\":\"current\"");
    node.peer.deny("db", "revoked", true);
    state("\"state\":\"revoked\"");
    assert_eq!(node.files("v"), [""; 0]);
    eventually("the wipe to be told", || {
        (node.peer.seen().applied["v"][&0] == "-").then_some(())
    });
    // Access comes back, and so do the files.
    node.peer.allow("db");
    node.wait_file("v", "a", "1");
}

#[test]
fn a_change_that_does_not_fit_leaves_the_files_as_they_are() {
    let node = Node::running();
    node.peer.put("db", "1", &[("a", "one")]);
    let attributes = [("secrets", "[{name: db, keys: [a]}]"), ("size", "64Ki")];
    node.publish_call(node.call("v", &attributes)).unwrap();
    let told = |part: &str| {
        eventually("the failure to be told", || {
            let seen = node.peer.seen();
            seen.applied
                .get("v")?
                .get(&0)
                .filter(|text| text.contains(part))
                .cloned()
        })
    };
    node.peer.put("db", "2", &[("b", "two")]);
    assert!(told("has no key `a`").starts_with('!'));
    node.peer.put("db", "3", &[("a", &"MARKER".repeat(8_000))]);
    assert!(!told("raise `size`").contains("MARKER"));
    assert_eq!(node.read("v", "a").as_deref(), Some("one"));
    assert_eq!(
        fs::read_dir(node.path("v", "")).unwrap().count(),
        4,
        "half a version was left"
    );
    assert!(!node.log().contains("MARKER"));
    node.peer.put("db", "4", &[("a", "four")]);
    node.wait_file("v", "a", "four");
}

#[test]
fn running_volumes_outlive_the_plugin_and_go_on_changing() {
    let mut node = Node::running();
    node.peer.put("db", "1", &[("a", "1")]);
    node.publish("v", "db").unwrap();
    node.publish("w", "db").unwrap();
    for how in ["stop", "kill"] {
        if how == "stop" {
            node.stop()
        } else {
            node.kill()
        }
        assert_eq!(node.mounts().len(), 2, "{how}");
        assert!(node.socket().exists(), "kubelet would forget the driver");
        let version = format!("after-{how}");
        node.peer.put("db", &version, &[("a", &version)]);
        node.start(None);
        // It knows its volumes, and shows what they showed.
        node.stats("w").unwrap();
        assert_eq!(node.mounts().len(), 2, "{how}");
        // kubelet publishes again within a minute or so, and brings the token.
        node.publish("v", "db").unwrap();
        node.wait_file("v", "a", &version);
    }
    // Without a record it is taken over as it is, and goes without one.
    node.kill();
    fs::remove_dir_all(node.dir.path().join("s")).unwrap();
    node.peer.put("db", "9", &[("a", "9")]);
    node.start(None);
    node.publish("v", "db").unwrap();
    node.wait_file("v", "a", "9");
    node.unpublish("w").unwrap();
    node.unpublish("v").unwrap();
    assert!(node.mounts().is_empty());
}

#[test]
fn records_of_another_boot_or_without_a_mount_mean_nothing() {
    let mut node = Node::running();
    node.peer.put("db", "1", &[("a", "1")]);
    node.publish("v", "db").unwrap();
    node.publish("w", "db").unwrap();
    node.kill();
    let folder = node.dir.path().join("s/volumes");
    let record = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&record).unwrap();
    assert!(!text.contains("token-of") && !text.contains("\"1\"}"), "{text}");
    // The node restarts: the mounts are gone, the records are not.
    for volume in ["v", "w"] {
        assert!(
            node.inside("umount")
                .arg(node.target(volume))
                .status()
                .unwrap()
                .success()
        );
    }
    node.start(None);
    assert_eq!(node.states(), 0);
    node.publish("v", "db").unwrap();
    assert_eq!(node.read("v", "a").as_deref(), Some("1"));
}

#[test]
fn a_volume_that_went_without_being_unpublished_is_forgotten() {
    let mut node = Node::new();
    node.start_with(None, &["--look-every", "1"]);
    node.peer.put("db", "1", &[("a", "1")]);
    node.publish("v", "db").unwrap();
    node.publish("w", "db").unwrap();
    let target = node.target("v");
    assert!(node.inside("umount").arg(target).status().unwrap().success());
    eventually("its record and its subscription to go", || {
        let subscribed = node.peer.seen().tokens;
        (node.states() == 1 && !subscribed.contains_key("v")).then_some(())
    });
    // The other one lives on.
    node.peer.put("db", "2", &[("a", "2")]);
    node.wait_file("w", "a", "2");
}

/// The code of a refusal, none of a success.
trait CodeOf {
    fn unwrap_err_or_none(self) -> Option<Code>;
}

impl CodeOf for Result<(), tonic::Status> {
    fn unwrap_err_or_none(self) -> Option<Code> {
        self.err().map(|status| status.code())
    }
}
