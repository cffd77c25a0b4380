//! The promise: a cluster that burned down is back from Git, a backup and a recovery key; a lost volume, a
//! lost root key and a broken upgrade are mended; and what is uninstalled speaks for nobody. By the commands
//! of `docs/operate/disaster.md` and `docs/operate/upgrade.md`, as they stand there, on the real kubelet.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot set up must stop, and says how long it took"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use strongroom_e2e::{Size, Strongroom};
use support::chart::{CHART, render};
use support::person::JANE;
use support::{ALL_NAMESPACES, Fixture, condition, eventually};

/// How many secrets of each kind there are: 200 in all.
const GENERATED: usize = 120;
const UNDER_A_KEY: usize = 30;
const EXTERNAL: usize = 25;
const SEALED: usize = 25;
/// Of those that are generated, so many were rotated.
const ROTATED: usize = 10;

/// So many commands of a person run at the same time: most of each is waiting.
const AT_ONCE: usize = 4;

/// How long the commands of one section may take, in seconds.
const TIMEOUT: &str = "600";

/// Somebody who follows a page, in a folder with what a person has on that day: the chart, their values and
/// objects from Git, and the files that the page makes.
struct PageReader {
    folder: PathBuf,
}

impl PageReader {
    fn new(keep: &Path) -> Self {
        let folder = keep.join("work");
        fs::create_dir_all(folder.join("objects")).unwrap();
        let charts = fs::canonicalize(Path::new(CHART).join("..")).unwrap();
        symlink(charts, folder.join("charts")).unwrap();
        fs::write(folder.join("values.yaml"), "nativeSecrets: {namespaces: \"*\"}\n").unwrap();
        Self { folder }
    }

    /// A file of objects, as Git has it.
    fn commit(&self, name: &str, yaml: &str) {
        fs::write(self.folder.join("objects").join(name), yaml).unwrap();
    }

    /// Applies a file of objects, or all of them where none is named.
    fn apply_objects(&self, f: &Fixture, name: &str) {
        let objects = self.folder.join("objects").join(name);
        f.kubectl(&["apply", "-f", objects.to_str().unwrap()]);
    }

    /// Types the commands of a section, all of which must succeed. Each is printed with the second in which
    /// it begins.
    fn follow(&self, f: &Fixture, page: &str, heading: &str) {
        let begun = Instant::now();
        let script = format!(
            "exec 2>&1; set -euo pipefail; PS4='+ $SECONDS s: '; set -x\n{}",
            commands(page, heading)
        );
        let path = format!(
            "{}:{}",
            f.cluster.bin().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let output = Command::new("timeout")
            .args([TIMEOUT, "bash", "-c", &script])
            .current_dir(&self.folder)
            .env("KUBECONFIG", f.cluster.kubeconfig())
            .env("PATH", path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{page}, {heading}: {:.1?}\n{said}", begun.elapsed());
        assert!(
            output.status.success(),
            "{page}, {heading}: {said}\n{}",
            f.log_of_strongroom(20)
        );
    }
}

/// The commands below a heading of a page.
fn commands(page: &str, heading: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/operate")
        .join(page);
    let text = fs::read_to_string(path).unwrap();
    let section = text
        .split("\n## ")
        .find(|section| section.lines().next() == Some(heading))
        .unwrap();
    let (mut found, mut skipped) = (String::new(), false);
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        if line == "```sh" {
            let block = lines.by_ref().take_while(|line| *line != "```");
            let block: String = block.map(|line| format!("{line}\n")).collect();
            if !skipped {
                found.push_str(&block);
            }
        }
        skipped = line.starts_with("<!-- not played: ");
    }
    assert!(!found.is_empty(), "{page} has no commands below {heading}");
    found
}

/// A ManagedSecret of `shop` with a native Secret of its name.
fn managed(name: &str, source: &str, more: &str) -> String {
    format!(
        "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
         source: {source}\n  secret: {{name: {name}}}\n{more}---\n"
    )
}

/// Everything but the sealed texts, for which there has to be a cluster.
fn write_objects(reader: &PageReader) {
    reader.commit(
        "0-namespaces.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
    );
    let checkout = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: checkout, namespace: shop}\n---\n\
         apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: checkout, namespace: shop}\nspec:\n  \
         secrets: [\"generated-*\"]\n  statements:\n  - {effect: Allow, principals: [{serviceAccount: checkout}], \
         actions: [\"secrets:GetSecretValue\"]}\n---\n";
    reader.commit("1-policies.yaml", &format!("{checkout}{JANE}"));
    reader.commit(
        "2-keys.yaml",
        "apiVersion: strongroom.dev/v1alpha1\nkind: EncryptionKey\nmetadata: {name: payments, namespace: shop}\nspec: {}\n",
    );
    let generate = "{generate: {keys: {password: {password: {length: 32}}}}}";
    let generated = (0..GENERATED).map(|number| managed(&format!("generated-{number}"), generate, ""));
    let under_a_key = (0..UNDER_A_KEY)
        .map(|number| managed(&format!("card-{number}"), generate, "  encryptionKey: payments\n"));
    let external = (0..EXTERNAL).map(|number| managed(&format!("external-{number}"), "{external: {}}", ""));
    let secrets: String = generated.chain(under_a_key).chain(external).collect();
    reader.commit("3-secrets.yaml", &secrets);
}

/// Data, id and stages of each secret of `shop`, as the API server shows them.
fn secrets(f: &Fixture) -> BTreeMap<String, [Value; 3]> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    // Objects first: a status follows the native Secret that it tells of.
    let objects = f.json(&["-n", "shop", "get", "managedsecrets"]);
    let natives = f.json(&["-n", "shop", "get", "secrets"]);
    let data: BTreeMap<String, Value> = natives["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|native| (name(native), native["data"].clone()))
        .collect();
    let objects = objects["items"].as_array().unwrap();
    let row = |object: &Value| {
        let status = &object["status"];
        let data = data.get(&name(object)).cloned().unwrap_or_default();
        (
            name(object),
            [data, status["secretId"].clone(), status["stages"].clone()],
        )
    };
    objects.iter().map(row).collect()
}

/// Waits until all of `shop` is Ready.
fn wait_all_ready(f: &Fixture) {
    eventually("all secrets to be Ready", || {
        let objects = f.json(&["-n", "shop", "get", "managedsecrets"]);
        let objects = objects["items"].as_array()?;
        let is_ready =
            |object: &Value| condition(object, "Ready").is_some_and(|ready| ready["status"] == "True");
        (objects.len() == GENERATED + UNDER_A_KEY + EXTERNAL + SEALED && objects.iter().all(is_ready))
            .then_some(())
    });
}

/// What policies answer, in words.
fn decisions(f: &Fixture) -> [String; 2] {
    ["generated-1", "external-1"].map(|secret| {
        let ask = [
            "explain",
            "shop/checkout",
            "GetSecretValue",
            secret,
            "--output=json",
        ];
        let answer = serde_json::from_str::<Value>(&f.person(None, &ask, "").1);
        let answer = answer.unwrap_or_default();
        answer["explanation"].as_str().unwrap_or_default().to_owned()
    })
}

/// The chain of changes, oldest first.
fn history(f: &Fixture) -> Vec<Value> {
    f.run_in_strongroom(&["audit", "list", "--output=json", "--limit=0"])
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|record| record["chain"] == "changes")
        .collect()
}

/// Does something with each number, some of them at the same time; what came of it, in no order.
fn side_by_side<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let act = &act;
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..AT_ONCE)
            .map(|lane| scope.spawn(move || (lane..count).step_by(AT_ONCE).map(act).collect::<Vec<_>>()))
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    })
}

/// Holds a drill with the backup and the recovery key, as a person does on their own machine.
fn drill(reader: &PageReader) {
    let begun = Instant::now();
    let output = Command::new(Strongroom::binary())
        .args([
            "drill",
            "--drill-dir=drills",
            "--from=strongroom.backup",
            "--seal-recovery-key-file=recovery-key",
            "--output=json",
        ])
        .current_dir(&reader.folder)
        .output()
        .unwrap();
    let took = begun.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["sound"], true, "{report}");
    // The process has some of its own besides.
    assert!(report["secrets"].as_u64().unwrap() >= 200, "{report}");
    println!("a drill with the backup of 200 secrets took {took:.1?}");
}

/// What the cluster had on the day before.
struct Before {
    secrets: BTreeMap<String, [Value; 3]>,
    decisions: [String; 2],
    history: Vec<Value>,
}

/// A cluster where everything is declared, but for the sealed texts.
fn in_use(reader: &PageReader) -> Fixture {
    let f = Fixture::with_chart(Size::OneNode, &[]);
    write_objects(reader);
    reader.apply_objects(&f, "");
    f
}

/// One that takes its place, on which nothing is installed.
fn new_cluster() -> Fixture {
    let f = Fixture::bare(Size::OneNode);
    f.cluster.load_strongroom().unwrap();
    f
}

/// Everybody uses the cluster, and there is a backup of it; it burns down.
fn burned_down(f: Fixture, reader: &PageReader) -> Before {
    side_by_side(EXTERNAL, |number| {
        f.first_put(&format!("external-{number}"), &format!("from outside {number}"));
    });
    let sealed = side_by_side(SEALED, |number| {
        let (name, value) = (format!("sealed-{number}"), format!("from Git {number}"));
        let native = format!("--native={name}");
        let (success, manifest, said) = f.jane(&["seal", &name, "--key=password", &native], &value);
        assert!(success, "{said}");
        format!("{manifest}\n---\n")
    });
    reader.commit("4-sealed.yaml", &sealed.concat());
    reader.apply_objects(&f, "4-sealed.yaml");
    wait_all_ready(&f);
    let rotated: Vec<String> = (0..ROTATED).map(|number| format!("generated-{number}")).collect();
    let names: Vec<&str> = rotated.iter().map(String::as_str).collect();
    let annotate = ["-n", "shop", "annotate", "managedsecret"];
    f.kubectl(&[&annotate[..], &names, &["strongroom.dev/rotate-now=once"]].concat());
    let secrets = eventually("the rotations", || {
        let secrets = secrets(&f);
        let has_previous = |name: &String| secrets[name][2]["Previous"].is_string();
        rotated.iter().all(has_previous).then_some(secrets)
    });
    let decisions = eventually("the policies to be in force", || {
        let said = decisions(&f);
        (said[0].starts_with("allowed") && said[1].starts_with("denied")).then_some(said)
    });
    let history = history(&f);
    reader.follow(&f, "disaster.md", "Before that day");
    Before {
        secrets,
        decisions,
        history,
    }
}

/// The same values under the same ids in the same stages, the same answers, and the same past.
fn is_as_before(f: &Fixture, before: &Before) {
    wait_all_ready(f);
    let now = eventually("the native Secrets", || {
        let now = secrets(f);
        (now.len() == before.secrets.len() && now.values().all(|row| !row[0].is_null())).then_some(now)
    });
    for (name, was) in &before.secrets {
        assert_eq!(&now[name], was, "{name}");
    }
    eventually("the policies to be in force", || {
        (decisions(f) == before.decisions).then_some(())
    });
    let past = history(f);
    for (is, was) in past.iter().zip(&before.history) {
        assert_eq!(is, was);
    }
    assert!(past.len() > before.history.len());
    assert!(past.iter().any(|record| record["action"] == "Restore"));
}

/// Waits until a container of the pod says this in its log.
fn wait_said(f: &Fixture, container: &str, text: &str) {
    eventually(&format!("`{container}` to say `{text}`"), || {
        let logs = [
            "-n",
            "strongroom",
            "logs",
            "strongroom-0",
            "-c",
            container,
            "--tail=5",
        ];
        let (_, log, _) = f.piped(&logs, "");
        log.contains(text).then_some(())
    });
}

#[test]
fn a_cluster_that_burned_down_is_back_from_git_a_backup_and_a_recovery_key() {
    let keep = tempfile::tempdir().unwrap();
    let reader = PageReader::new(keep.path());
    let used = in_use(&reader);
    // The new cluster comes up while people use the old one.
    let (before, f) = std::thread::scope(|scope| {
        let new = scope.spawn(new_cluster);
        (burned_down(used, &reader), new.join().unwrap())
    });
    assert_eq!(before.secrets.len(), 200);
    drill(&reader);

    let begun = Instant::now();
    reader.follow(&f, "disaster.md", "A lost cluster");
    is_as_before(&f, &before);
    println!(
        "200 secrets were back {:.0?} after the API server was up",
        begun.elapsed()
    );

    // A restore over secrets stops the start and changes nothing, as do a backup and an image that are not
    // there. Each pod that cannot start gives way to the next one, the last one to one that starts.
    for (values, container, said) in [
        (
            "restore.enabled=true,restore.requestId=again,restore.from.persistentVolumeClaim=strongroom-backups",
            "restore",
            "there is a store with 200 secrets in the volume",
        ),
        (
            "restore.enabled=true,restore.requestId=wrong,restore.replaceStore=true,restore.from.persistentVolumeClaim=strongroom-backups,\
             restore.from.file=nothing",
            "restore",
            "cannot be read",
        ),
    ] {
        f.helm(&["upgrade", "strongroom", CHART, "--reuse-values", "--set", values]);
        wait_said(&f, container, said);
    }
    f.helm(&[
        "upgrade",
        "strongroom",
        CHART,
        "--reuse-values",
        "--set",
        "restore.enabled=false,image.tag=not-there",
    ]);
    eventually("the image to be missed", || {
        let pod = f.json(&["-n", "strongroom", "get", "pod", "strongroom-0"]);
        let reason = pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str()?;
        ["ErrImagePull", "ImagePullBackOff"]
            .contains(&reason)
            .then_some(())
    });
    reader.follow(&f, "upgrade.md", "A pod that cannot start");
    is_as_before(&f, &before);

    f.scale_strongroom(0);
    let volume = f.cluster.volume("local-1", 65532).unwrap();
    fs::remove_dir_all(volume.join("store")).unwrap();
    let scale = [
        "-n",
        "strongroom",
        "scale",
        "statefulset/strongroom",
        "--replicas=1",
    ];
    f.kubectl(&scale);
    wait_said(&f, "strongroom", "the store file is missing");
    reader.follow(&f, "disaster.md", "A lost volume");
    is_as_before(&f, &before);

    f.kubectl(&["-n", "strongroom", "delete", "secret", "strongroom-root-key"]);
    f.kubectl(&["-n", "strongroom", "delete", "pod", "strongroom-0"]);
    wait_said(&f, "strongroom", "the Secret with the key of the seal is missing");
    reader.follow(&f, "disaster.md", "A lost root key");
    is_as_before(&f, &before);
}

/// Against an API server alone: none of this needs a pod that runs.
#[test]
fn what_is_uninstalled_speaks_for_nobody_any_more() {
    let keep = tempfile::tempdir().unwrap();
    let f = Fixture::bare(Size::Api);
    f.kubectl(&["create", "namespace", "strongroom"]);
    f.helm(&[
        "install",
        "strongroom",
        CHART,
        "--set",
        ALL_NAMESPACES,
        "--set",
        "node.enabled=true,env.enabled=true",
    ]);
    let left = |kind: &str| {
        let instance = "app.kubernetes.io/instance=strongroom";
        f.kubectl(&["get", kind, "--all-namespaces", "-l", instance, "-o", "name"])
    };
    let kinds = [
        "apiservices",
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "csidrivers",
        "clusterroles",
        "clusterrolebindings",
        "roles",
        "rolebindings",
        "serviceaccounts",
    ];
    for kind in kinds {
        assert_ne!(left(kind), "", "{kind}");
    }
    PageReader::new(keep.path()).follow(&f, "upgrade.md", "Uninstall");
    for kind in kinds {
        assert_eq!(left(kind), "", "{kind}");
    }
    f.kubectl(&["get", "crd", "managedsecrets.strongroom.dev"]);
}

#[test]
fn values_say_what_is_restored_and_half_of_it_is_refused() {
    let plain = render(&[]).unwrap();
    assert!(!plain.contains("initContainers") && plain.contains("podManagementPolicy: Parallel"));
    let on = "restore.enabled=true,restore.requestId=day-1";
    let claim = "restore.from.persistentVolumeClaim=backups";
    let restored = render(&[on, claim]).unwrap();
    for part in [
        "- --from=/restore/strongroom.backup\n",
        "- --request-id=day-1\n",
        "- --kubernetes-secret=strongroom-root-key\n",
        "persistentVolumeClaim: {claimName: backups, readOnly: true}",
    ] {
        assert!(restored.contains(part), "{part}");
    }
    for part in ["--accept-namespaces", "--replace-store", "recovery", "seal\n"] {
        assert!(!restored.contains(&format!("- {part}")), "{part}");
    }
    let elsewhere = render(&[
        on,
        "restore.from.hostPath=/backups,restore.acceptNamespaces=true,restore.replaceStore=true",
        "restore.recoveryKeySecret.name=paper",
    ])
    .unwrap();
    for part in [
        "- --accept-namespaces\n",
        "- --replace-store\n",
        "- --seal-recovery-key-file=/etc/strongroom/recovery/key\n",
        "hostPath: {path: \"/backups\", type: Directory}",
        "secretName: paper, optional: true",
    ] {
        assert!(elsewhere.contains(part), "{part}");
    }
    let key = "serve.seal.recoveryKeySecret.name=paper";
    let mended = render(&[key]).unwrap();
    assert!(
        mended.contains("- --kubernetes-secret=strongroom-root-key\n") && !mended.contains("--request-id")
    );
    for (wrong, said) in [
        (
            &["restore.enabled=true", claim][..],
            "restore.requestId is required",
        ),
        (&[on], "say where the backup is"),
        (
            &[on, claim, "restore.from.hostPath=/b"],
            "say where the backup is",
        ),
        (
            &[
                on,
                claim,
                "serve.seal.keyFile=/key",
                "restore.recoveryKeySecret.name=paper",
            ],
            "goes with serve.seal.kubernetesSecret",
        ),
        (&[claim, "restore.requestId=Day_1"], "does not match pattern"),
    ] {
        let refused = render(wrong).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
}
