//! The promise: a root key that was read, and a value that was published, are answered by the commands of
//! `docs/operate/leaked.md`: nothing from before opens the store, and everything goes on.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use strongroom_e2e::{Size, Strongroom};
use support::{Fixture, generated};

/// How long a block of the page may take, in seconds.
const TIMEOUT: &str = "900";

/// The first block of commands of a section of the page.
fn block(section: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate/leaked.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let (_, rest) = rest.split_once("\n```sh\n").unwrap();
    rest.split_once("\n```").unwrap().0.to_owned()
}

/// Plays commands in a folder that looks like the repository's root; all that they printed.
fn play(f: &Fixture, folder: &Path, script: &str) -> String {
    let bin = f.cluster.bin().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("timeout")
        .args([
            TIMEOUT,
            "bash",
            "-c",
            &format!("exec 2>&1; set -euo pipefail\n{script}"),
        ])
        .current_dir(folder)
        .env("KUBECONFIG", f.cluster.kubeconfig())
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{script}\n{printed}\n{}",
        f.log_of_strongroom(20)
    );
    printed
}

/// Runs `strongroom` beside the cluster; whether it went well, and what it said.
fn strongroom(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(Strongroom::binary())
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Where the store lies on this machine.
fn store(f: &Fixture) -> PathBuf {
    let volumes = f.json(&["get", "persistentvolumes"]);
    let volume = volumes["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|volume| volume["spec"]["claimRef"]["name"] == "data-strongroom-0")
        .unwrap();
    let path = volume["spec"]["hostPath"]["path"].as_str().unwrap();
    Path::new(path).join("store")
}

#[test]
fn a_root_key_that_was_read_and_a_value_that_was_published_are_answered_by_one_page() {
    let f = Fixture::with_chart(Size::OneNode, &[]);
    f.kubectl(&["create", "namespace", "shop"]);
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: admin, namespace: shop}\nspec:\n  secrets: [\"*\"]\n  \
         statements:\n  - {effect: Allow, principals: [{user: admin}], actions: [\"secrets:*\"]}\n",
    );
    f.apply(&generated("checkout-db"));
    f.wait_ready("checkout-db", "True", "Ready");
    let before = f.native("checkout-db").unwrap();
    let folder = f.keep.path().join("work");
    fs::create_dir(&folder).unwrap();
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts");
    symlink(fs::canonicalize(chart).unwrap(), folder.join("charts")).unwrap();
    let plugin = "kubectl-strongroom";
    symlink(
        Strongroom::binary().with_file_name(plugin),
        f.cluster.bin().unwrap().join(plugin),
    )
    .unwrap();
    play(
        &f,
        &folder,
        "kubectl -n strongroom exec strongroom-0 -- strongroom seal recovery-key > former-recovery-key\n\
         kubectl -n strongroom exec strongroom-0 -- strongroom backup --to - > former.backup\n\
         kubectl -n strongroom exec strongroom-0 -- strongroom audit public-key > former-public-key\n",
    );

    let printed = play(&f, &folder, &block("The root key was read"));
    assert!(printed.contains("audit public key: "), "{printed}");
    f.rolled_out("strongroom", "statefulset/strongroom");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
    let (former, new) = (read("former-public-key"), read("public-key"));
    assert_ne!(former, new);
    assert!(printed.contains(&former) && printed.contains(&new), "{printed}");
    let secrets = f.kubectl(&["-n", "strongroom", "get", "secrets", "-o", "name"]);
    assert!(
        secrets.contains("secret/strongroom-root-key-2\n")
            && !secrets.contains("secret/strongroom-root-key\n"),
        "{secrets}"
    );
    // Everything goes on, with what it had.
    assert_eq!(f.native("checkout-db").unwrap(), before);
    let held = play(&f, &folder, "kubectl strongroom -n shop get checkout-db -o json");
    assert!(held.contains(before["password"].as_str().unwrap()), "{held}");

    // One value published.
    play(&f, &folder, &block("One value published"));
    assert_ne!(f.native("checkout-db").unwrap()["password"], before["password"]);

    // What opened the store before opens nothing of it; both public keys prove the log.
    f.kubectl(&[
        "-n",
        "strongroom",
        "scale",
        "statefulset/strongroom",
        "--replicas=0",
    ]);
    f.wait_gone();
    let dir = format!("--dir={}", store(&f).display());
    let key = |name: &str| format!("--seal-recovery-key-file={}", folder.join(name).display());
    let (opened, said) = strongroom(&["store", "check", &dir, &key("former-recovery-key")]);
    assert!(!opened && said.contains("no recovery slot"), "{said}");
    let (opened, said) = strongroom(&["store", "check", &dir, &key("recovery-key")]);
    assert!(opened && said.contains("sound"), "{said}");
    for public in [&former, &new] {
        let (sound, said) = strongroom(&["audit", "verify", &dir, "--public-key", public]);
        assert!(sound && said.contains("new root key"), "{said}");
    }
    let into = format!("--data-dir={}", f.keep.path().join("restored").display());
    let from = format!("--from={}", folder.join("former.backup").display());
    let (restored, said) = strongroom(&["restore", &into, &key("recovery-key"), &from]);
    assert!(!restored && said.contains("no recovery slot"), "{said}");
}
