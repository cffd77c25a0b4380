use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use strongroom_model::SecretBytes;
use strongroom_render::path::FileMode;
use strongroom_render::plan::PlannedFile;

use super::*;

fn plan(version: &str, files: &[(&str, &str)]) -> Plan {
    let file = |(path, text): &(&str, &str)| {
        let planned = PlannedFile {
            mode: FileMode::GROUP,
            bytes: SecretBytes::from(text.as_bytes().to_vec()),
            password: None,
        };
        (path.parse().unwrap(), planned)
    };
    Plan {
        files: files.iter().map(file).collect::<BTreeMap<_, _>>(),
        version_file: format!("{version}\n"),
    }
}

struct Volume {
    dir: tempfile::TempDir,
}

impl Volume {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, plan: &Plan) -> WriteOutcome {
        let root = fs::File::open(self.dir.path()).unwrap();
        write(root.as_fd(), plan, None).unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// What is in the top folder, versions by `..*`.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| {
                if name.starts_with("..") && name.ends_with(|c: char| c.is_ascii_digit()) {
                    "..*".to_owned()
                } else {
                    name
                }
            })
            .collect();
        names.sort();
        names
    }
}

#[test]
fn files_change_all_at_once_and_nothing_is_left_over() {
    let volume = Volume::new();
    let first = plan("1", &[("a", "one"), ("d/e/b", "two"), ("d/c", "three")]);
    assert_eq!(volume.write(&first), WriteOutcome::Swapped);
    assert_eq!(volume.names(), ["..*", "..data", VERSION_FILE, "a", "d"]);
    assert_eq!(volume.read("a"), "one");
    assert_eq!(volume.read("d/e/b"), "two");
    assert_eq!(volume.read(VERSION_FILE), "1\n");
    assert_eq!(fs::read_link(volume.path("d")).unwrap(), Path::new("..data/d"));
    let is = fs::metadata(volume.path("a")).unwrap();
    assert_eq!(is.permissions().mode() & 0o7777, 0o440);
    assert_eq!(
        fs::metadata(volume.path("d/e")).unwrap().permissions().mode() & 0o777,
        0o755
    );

    let second = plan("2", &[("a", "four"), ("f", "five")]);
    assert_eq!(volume.write(&second), WriteOutcome::Swapped);
    assert_eq!(volume.names(), ["..*", "..data", VERSION_FILE, "a", "f"]);
    assert_eq!(
        (volume.read("a"), volume.read("f"), volume.read(VERSION_FILE)),
        ("four".into(), "five".into(), "2\n".into())
    );
    let before = fs::read_link(volume.path("..data")).unwrap();
    assert_eq!(volume.write(&second), WriteOutcome::Unchanged);
    assert_eq!(fs::read_link(volume.path("..data")).unwrap(), before);
}

#[test]
fn a_group_owns_the_files_where_there_is_one() {
    let volume = Volume::new();
    let root = fs::File::open(volume.dir.path()).unwrap();
    let first = plan("1", &[("a", "one")]);
    if rustix::process::geteuid().is_root() {
        write(root.as_fd(), &first, Some(2_000)).unwrap();
        assert_eq!(fs::metadata(volume.path("a")).unwrap().gid(), 2_000);
        // Another group is a change, and the same one none.
        assert_eq!(
            write(root.as_fd(), &first, Some(2_000)).unwrap(),
            WriteOutcome::Unchanged
        );
        assert_eq!(
            write(root.as_fd(), &first, Some(2_001)).unwrap(),
            WriteOutcome::Swapped
        );
    }
}

#[test]
fn every_difference_is_a_change() {
    let volume = Volume::new();
    volume.write(&plan("1", &[("a", "one"), ("b", "two")]));
    for other in [
        plan("1", &[("a", "one"), ("b", "twx")]),
        plan("1", &[("a", "one"), ("b", "twxy")]),
        plan("1", &[("a", "one")]),
        plan("1", &[("a", "one"), ("c/b", "two")]),
        plan("2", &[("a", "one"), ("c/b", "two")]),
    ] {
        assert_eq!(volume.write(&other), WriteOutcome::Swapped, "{other:?}");
        assert_eq!(volume.write(&other), WriteOutcome::Unchanged, "{other:?}");
    }
}

#[test]
fn what_a_death_left_is_swept_and_the_version_shown_stays() {
    let volume = Volume::new();
    let first = plan("1", &[("a", "one")]);
    volume.write(&first);
    // Died in step 4, 5, and 7.
    fs::create_dir(volume.path("..17")).unwrap();
    fs::write(volume.path("..17/half"), "MARKER").unwrap();
    symlink("..17", volume.path(DATA_NEW)).unwrap();
    symlink("..data/a", volume.path(LINK_NEW)).unwrap();
    assert_eq!(volume.write(&first), WriteOutcome::Unchanged);
    assert_eq!(volume.names(), ["..*", "..data", VERSION_FILE, "a"]);
    assert_eq!(volume.read("a"), "one");
}

#[test]
fn links_that_somebody_broke_are_mended() {
    let volume = Volume::new();
    let first = plan("1", &[("a", "one"), ("b", "two"), ("d/c", "three")]);
    volume.write(&first);
    let root = fs::File::open(volume.dir.path()).unwrap();
    for mend_by in [true, false] {
        fs::remove_file(volume.path("a")).unwrap();
        fs::remove_file(volume.path("b")).unwrap();
        symlink("/etc/passwd", volume.path("b")).unwrap();
        fs::remove_file(volume.path("d")).unwrap();
        fs::create_dir_all(volume.path("d/x/y")).unwrap();
        fs::write(volume.path("stray"), "x").unwrap();
        fs::remove_file(volume.path(VERSION_FILE)).unwrap();
        if mend_by {
            assert!(mend(root.as_fd()).unwrap());
        } else {
            assert_eq!(volume.write(&first), WriteOutcome::Unchanged);
        }
        assert_eq!(volume.names(), ["..*", "..data", VERSION_FILE, "a", "b", "d"]);
        assert_eq!(
            (volume.read("a"), volume.read("b"), volume.read("d/c")),
            ("one".into(), "two".into(), "three".into())
        );
        assert_eq!(volume.read(VERSION_FILE), "1\n");
    }
    // What cannot be mended is said.
    fs::remove_file(volume.path(DATA)).unwrap();
    assert!(!mend(root.as_fd()).unwrap());
}

#[test]
fn a_data_link_that_leads_elsewhere_is_not_followed() {
    let volume = Volume::new();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("kept"), "x").unwrap();
    symlink(elsewhere.path(), volume.path(DATA)).unwrap();
    volume.write(&plan("1", &[("a", "one")]));
    assert_eq!(volume.read("a"), "one");
    assert!(elsewhere.path().join("kept").exists());
}
