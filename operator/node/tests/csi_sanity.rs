//! Conformance: csi-sanity, Kubernetes' own test of CSI drivers, against the plugin with a gateway's peer
//! above it.

mod support;

use std::fs;

use strongroom_e2e::Programs;
use support::Node;

#[test]
fn csi_sanity_passes() {
    let sanity = Programs::csi_sanity().unwrap();
    let mut node = Node::new();
    node.peer.put("sanity", "1", &[("a", "one")]);
    let mounts = node.dir.path().join("m");
    fs::create_dir_all(&mounts).unwrap();
    let folder = mounts.to_str().unwrap().to_owned();
    node.start_with(None, &["--sanity", &folder]);

    let output = node
        .inside(&sanity)
        .arg(format!("--csi.endpoint=unix://{}", node.socket().display()))
        .arg(format!("--csi.mountdir={folder}/target"))
        .arg(format!("--csi.stagingdir={folder}/staging"))
        .arg("--ginkgo.no-color")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let summary = said
        .lines()
        .find(|line| line.contains(" Passed | "))
        .unwrap_or_default();
    println!("{summary}");
    assert!(output.status.success(), "{said}\n{}", node.log());
    // With a Controller 32 of its specs can run; the others skip themselves, for what the plugin does not
    // have.
    let number = |word: &str| {
        let part = summary
            .split('|')
            .find(|part| part.contains(word))
            .unwrap_or_default();
        let digits: String = part.chars().filter(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or_default()
    };
    assert!(number("Passed") >= 32, "{summary}");
    assert!(number("Failed") == 0, "{summary}");
    assert!(node.mounts().is_empty());
}
