//! The promise: node plugins, webhook and extension API server of another release work with the process of
//! this one, and the other way round; an upgrade keeps values, volumes and pods; and an old process serves
//! what a new one wrote, or says in a sentence that it cannot. On the real kubelet, from both charts.
//!
//! `make upgrade` builds the other release and runs this. What it prints can stand in the notes of a release.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot set up must stop, and people quote what it prints"
)]

mod checks;
mod installation;
mod release;
mod scene;
#[path = "../support/mod.rs"]
mod support;

use strongroom_e2e::Size;

use installation::Installation;
use release::Release;
use scene::Scene;
use support::{Fixture, eventually};

/// The steps, each with what was seen on a line.
struct Steps<'a> {
    installation: &'a Installation<'a>,
    scene: &'a Scene<'a>,
    audit_key: String,
}

impl Steps<'_> {
    /// Everything is checked, and the audit log proven, whichever releases wrote it.
    fn check(&self, step: &str, what: &str, process: Release) {
        let mut seen = checks::all(self.scene, step, process);
        seen.push(self.installation.prove_audit(&self.audit_key));
        say(step, what, &seen.join("; "));
    }
}

fn say(step: &str, what: &str, seen: &str) {
    println!("{step}. {what}: {seen}");
}

#[test]
fn programs_of_another_commit_work_beside_these_before_and_after_an_upgrade() {
    let f = Fixture::bare(Size::OneNode);
    let installation = Installation::of_old(&f);
    let old_images = installation.image_ids();
    let scene = Scene::new(&f);
    let steps = Steps {
        installation: &installation,
        scene: &scene,
        audit_key: installation.audit_key(),
    };
    println!("from {}", release::commit());
    steps.check("0", "everything old", Release::Old);

    installation.upgrade_all_but_the_process();
    let what = "old process; new node plugin, webhook, extension API server and CRDs";
    steps.check("1", what, Release::Old);

    installation.upgrade_the_process_alone();
    let what = "new process; old node plugin, webhook and extension API server";
    steps.check("2", what, Release::New);

    installation.upgrade(false);
    let new_images = installation.image_ids();
    assert!(new_images.is_disjoint(&old_images), "{new_images:?}");
    steps.check("3", "everything new", Release::New);
    let before = scene.current("turning");
    eventually("the schedule to rotate", || {
        (scene.current("turning") != before).then_some(())
    });
    say(
        "3",
        "everything new",
        "the schedule that the old release had rotates",
    );

    there_and_back(&f, &steps);
}

/// The old process meets the store that the new one wrote. It serves it, or refuses and changes nothing; and
/// the new one goes on.
fn there_and_back(f: &Fixture, steps: &Steps<'_>) {
    let versions = |release: Release| {
        let list = ["versions", "db", "--output=json"];
        let said = steps.scene.jane(release, &list, "").unwrap();
        let answer: serde_json::Value = serde_json::from_str(&said).unwrap();
        let versions = answer["versions"].as_array().unwrap();
        let id = |version: &serde_json::Value| version["versionId"].to_string();
        versions.iter().map(id).collect::<Vec<_>>()
    };
    let before = versions(Release::New);
    let native = f.native("db");
    let refusal = steps.installation.roll_back();
    let what = "`helm rollback`: the old process and the store that the new one wrote";
    match &refusal {
        None => steps.check("4", what, Release::Old),
        Some(refusal) => {
            assert_eq!(f.native("db"), native);
            assert!(steps.scene.file_follows(), "a pod keeps its file");
            steps.scene.pods_stay();
            say(
                "4",
                what,
                &format!("refused, and pods keep what they have: {refusal}"),
            );
        }
    }
    steps.installation.upgrade(refusal.is_some());
    if refusal.is_some() {
        eventually("the API to answer", || {
            let list = ["versions", "db"];
            steps.scene.jane(Release::New, &list, "").ok()
        });
        assert_eq!(versions(Release::New), before, "the old process changed nothing");
    }
    steps.check("5", "everything new again", Release::New);
}
