//! What has to hold whichever releases run beside one another.

use std::time::Instant;

use serde_json::Value;

use crate::release::Release;
use crate::scene::Scene;
use crate::support::{eventually, in_time};

/// Does everything once that people and pods do, by the programs of both releases; what was seen.
pub(crate) fn all(scene: &Scene<'_>, step: &str, process: Release) -> Vec<String> {
    for release in Release::ALL {
        let what = format!("the API to answer the {} program", release.name());
        eventually(&what, || {
            scene.jane(release, &["get", "db", "--key=password"], "").ok()
        });
    }
    assert!(scene.file_follows(), "the file is there before anything is put");
    scene.values_stay();
    let mut seen = puts(scene, step);
    scene.a_pod_starts(&format!("volume-{step}"));
    scene.a_pod_with_variables_starts(&format!("variables-{step}"));
    seen.push("a pod with a volume and one with variables start".to_owned());
    scene.a_stranger_does_not_start(&format!("stranger-{step}"));
    policies_decide(scene);
    seen.push("Jane reads `db` and not `closed`, Mallory and a pod without a policy read nothing".to_owned());
    seen.extend(status(scene, process));
    seen.extend(records(scene, process));
    scene.values_stay();
    scene.pods_stay();
    seen.push("values, volumes and pods are what they were".to_owned());
    seen
}

/// A new version by each of the programs: in the file, in the native Secret, and read by both.
fn puts(scene: &Scene<'_>, step: &str) -> Vec<String> {
    let begun = Instant::now();
    scene.put(Release::Old, &format!("{step}-by-old")).unwrap();
    // A plugin that has just begun hears of its volumes again at kubelet's next look.
    eventually("the file to follow", || scene.file_follows().then_some(()));
    let took = begun.elapsed().as_secs_f64();
    scene.native_secret_follows();
    scene.values_stay();
    scene.put(Release::New, &format!("{step}-by-new")).unwrap();
    assert!(
        scene.file_follows(),
        "a put is in the file when the prompt is back"
    );
    scene.native_secret_follows();
    scene.values_stay();
    vec![format!(
        "a put by the old program is in the file after {took:.1} s, one by the new program at its prompt; the native Secret has both"
    )]
}

fn policies_decide(scene: &Scene<'_>) {
    for release in Release::ALL {
        for (secret, allowed) in [("db", true), ("closed", false)] {
            assert_eq!(
                explained(scene, release, secret),
                allowed,
                "{secret}, {release:?}"
            );
        }
        for (user, secret) in [("jane", "closed"), ("mallory", "db")] {
            let refused = scene
                .person(release, Some(user), &["get", secret], "")
                .unwrap_err();
            // Whoever may not know of it is told that it is not there.
            let is_denied = ["PolicyDenied", "SecretNotFound"]
                .iter()
                .any(|code| refused.contains(code));
            assert!(is_denied, "{user}, {secret}: {refused}");
        }
    }
}

/// What `explain` says to Jane's reading a secret. Its exit code is of other things too.
fn explained(scene: &Scene<'_>, release: Release, secret: &str) -> bool {
    let explain = ["explain", "me", "GetSecretValue", secret, "--output=json"];
    let output = scene
        .f
        .by_program(&release.client(), "shop", Some("jane"), &explain, "");
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    answer["allowed"].as_bool().unwrap()
}

/// Both programs reach the installation, and that of the process's own release finds it well.
fn status(scene: &Scene<'_>, process: Release) -> Vec<String> {
    let mut seen = Vec::new();
    for release in Release::ALL {
        let mut said = String::new();
        let well = in_time(|| {
            let answer = scene.person(release, None, &["status"], "");
            let is_well = answer.is_ok();
            said = answer.unwrap_or_else(|why| why);
            // The other release may find something missing, and asking again changes nothing.
            (is_well || release != process).then_some(is_well)
        });
        let unreachable = said.contains("cannot reach") || said.contains("cannot be reached");
        assert!(well.is_some() && !unreachable, "{release:?}: {said}");
        if well == Some(false) {
            let why = said.lines().find_map(|line| line.strip_prefix("error: "));
            seen.push(format!(
                "`status` of the {} program: {}",
                release.name(),
                why.unwrap_or_default()
            ));
        }
    }
    seen
}

/// The list of the audit log. The new programs read what the old ones wrote; the other way there is no
/// promise, and it is said what came of it.
fn records(scene: &Scene<'_>, process: Release) -> Vec<String> {
    let mut seen = Vec::new();
    for release in Release::ALL {
        let Err(said) = scene.person(release, None, &["audit", "--limit=1"], "") else {
            continue;
        };
        assert!((release, process) != (Release::New, Release::New), "{said}");
        let why = said.lines().find_map(|line| line.strip_prefix("error: "));
        seen.push(format!(
            "`audit` of the {} program: {}",
            release.name(),
            why.unwrap_or_default()
        ));
    }
    seen
}
