//! The promise: beside a cluster that uses it, a lost volume, key or anchor stops the start with what is
//! missing and what helps; nothing is generated and no native Secret changes.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

mod support;

use strongroom_e2e::Strongroom;
use support::{Fixture, generated};

/// Starts, expects the process to end by itself, and gives its last words.
fn refused(f: &Fixture, arguments: &[&str]) -> String {
    let mut process = Strongroom::spawn(&f.cluster, &f.data(), arguments).unwrap();
    let status = process.wait().unwrap();
    assert!(!status.success());
    process.log().lines().last().unwrap_or_default().to_owned()
}

#[test]
fn nothing_is_made_anew_beside_what_says_that_there_was_a_store() {
    let f = Fixture::new();
    let mut process = f.start();
    f.apply(&generated("checkout-db"));
    f.wait_ready("checkout-db", "True", "Ready");
    let before = f.native("checkout-db").unwrap();
    assert!(process.stop().unwrap().success());
    let store = f.data().join("data/store");
    let aside = f.data().join("aside");

    std::fs::rename(&store, &aside).unwrap();
    let said = refused(&f, &[]);
    assert!(
        said.contains("the store file is missing") && said.contains("strongroom restore"),
        "{said}"
    );
    assert!(!store.exists());
    std::fs::rename(&aside, &store).unwrap();

    std::fs::rename(store.join("store.seal"), &aside).unwrap();
    let said = refused(&f, &[]);
    assert!(said.contains("`store.seal` is missing"), "{said}");
    std::fs::rename(&aside, store.join("store.seal")).unwrap();

    let take = |kind: &str, name: &str| {
        let yaml = f.kubectl(&["-n", "strongroom", "get", kind, name, "-o", "yaml"]);
        f.kubectl(&["-n", "strongroom", "delete", kind, name]);
        let bare = |line: &&str| {
            !["resourceVersion:", "uid:"]
                .iter()
                .any(|key| line.trim_start().starts_with(key))
        };
        yaml.lines().filter(bare).collect::<Vec<_>>().join("\n")
    };
    let key = take("secret", "strongroom-root-key");
    let said = refused(&f, &[]);
    assert!(
        said.contains("the Secret with the key of the seal is missing"),
        "{said}"
    );
    f.apply(&key);

    let anchor = take("configmap", "strongroom-anchor");
    let said = refused(&f, &[]);
    assert!(
        said.contains("strongroom-anchor") && said.contains("--accept-rollback"),
        "{said}"
    );
    f.apply(&anchor);

    assert_eq!(f.native("checkout-db").unwrap(), before);
    let mut process = f.start();
    f.wait_ready("checkout-db", "True", "Ready");
    assert_eq!(f.native("checkout-db").unwrap(), before);
    assert!(process.stop().unwrap().success());
}
