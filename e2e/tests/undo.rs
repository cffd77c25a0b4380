//! The promise: what was deleted comes back as it was, and a rotation leaves the version before within reach.

mod support;

use support::{Fixture, condition, eventually, generated};

#[test]
fn a_secret_is_made_rotated_deleted_and_restored() {
    let f = Fixture::new();
    let mut process = f.start();
    f.apply(&generated("checkout-db"));
    let object = f.wait_ready("checkout-db", "True", "Ready");
    let secret_id = object["status"]["secretId"].as_str().unwrap().to_owned();
    let first = f.native("checkout-db").unwrap();

    // A person asks for a rotation; asking the same again does nothing.
    let rotate = [
        "-n",
        "shop",
        "annotate",
        "managedsecret",
        "checkout-db",
        "strongroom.dev/rotate-now=once",
        "--overwrite",
    ];
    f.kubectl(&rotate);
    let second = eventually("the native Secret to change", || {
        f.native("checkout-db").filter(|data| *data != first)
    });
    assert_eq!(second["username"], first["username"], "a literal does not rotate");
    assert_ne!(second["password"], first["password"]);
    let object = f.wait_ready("checkout-db", "True", "Ready");
    let stages = &object["status"]["stages"];
    assert_ne!(stages["Current"], stages["Previous"], "{stages}");
    assert_eq!(object["status"]["versions"].as_array().unwrap().len(), 2);

    // What somebody changes by hand is set right again; what somebody deletes is made again.
    f.kubectl(&[
        "-n",
        "shop",
        "patch",
        "secret",
        "checkout-db",
        "-p",
        r#"{"data":{"password":"aGFjaw=="}}"#,
    ]);
    eventually("drift to be repaired", || {
        f.native("checkout-db").filter(|data| *data == second)
    });
    f.kubectl(&["-n", "shop", "delete", "secret", "checkout-db"]);
    eventually("the native Secret to be made again", || {
        f.native("checkout-db").filter(|data| *data == second)
    });

    // Deleting the object opens the recovery window, and takes the native Secret with it.
    f.kubectl(&["-n", "shop", "delete", "managedsecret", "checkout-db"]);
    eventually("the native Secret to go", || {
        f.native("checkout-db").is_none().then_some(())
    });
    f.apply(&generated("checkout-db"));
    let object = f.wait_ready("checkout-db", "False", "InRecoveryWindow");
    let message = condition(&object, "Ready").unwrap()["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains(&format!("strongroom.dev/restore={secret_id}")),
        "{message}"
    );
    assert!(f.native("checkout-db").is_none());

    let restore = format!("strongroom.dev/restore={secret_id}");
    f.kubectl(&["-n", "shop", "annotate", "managedsecret", "checkout-db", &restore]);
    f.wait_ready("checkout-db", "True", "Ready");
    let back = eventually("the native Secret to come back", || f.native("checkout-db"));
    assert_eq!(back, second);

    // The story is told, and holds no value.
    let events = eventually("the Event of the restore", || {
        let events = f.kubectl(&["-n", "shop", "get", "events", "-o", "yaml"]);
        events.contains("Restored").then_some(events)
    });
    let password = second["password"].as_str().unwrap();
    for text in [
        events,
        process.log(),
        f.kubectl(&["-n", "shop", "describe", "managedsecret", "checkout-db"]),
    ] {
        assert!(!text.contains(password), "a value shows");
    }
    assert!(process.stop().unwrap().success(), "{}", process.log());
}
