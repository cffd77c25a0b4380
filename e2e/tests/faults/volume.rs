//! Small file systems of a test's own for the data of the process. They need root; without it the test says
//! so, and fails where `CI` is set.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Fixture;

/// A mounted file system; unmounted when it goes.
pub(crate) struct Volume {
    at: PathBuf,
    image: Option<PathBuf>,
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{program} {arguments:?}: {said}"))
}

/// What was mounted; none where this machine lets nobody mount, which is no excuse where `CI` is set.
fn or_skipped(mounted: Result<Volume, String>) -> Option<Volume> {
    mounted
        .inspect_err(|why| {
            assert!(
                std::env::var("CI").is_err(),
                "no file system of its own on this machine, and this is CI: {why}"
            );
            println!("SKIPPED: needs root, and a loop device: {why}");
        })
        .ok()
}

impl Volume {
    /// A file system of so many MiB in memory where the process has its data.
    pub(crate) fn in_memory(f: &Fixture, mib: u32) -> Option<Self> {
        or_skipped(Self::prepared(f, None).and_then(|it| {
            let size = format!("size={mib}m");
            run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", it.path()])?;
            Ok(it)
        }))
        .inspect(|it| it.log_outside(f))
    }

    /// An ext4 on a loop device, which turns read-only after an error, where the process has its data.
    pub(crate) fn on_a_disk(f: &Fixture, mib: u64) -> Option<Self> {
        let image = f.keep.path().join("disk.img");
        or_skipped(Self::prepared(f, Some(image.clone())).and_then(|it| {
            let file = File::create(&image).map_err(|error| error.to_string())?;
            file.set_len(mib << 20).map_err(|error| error.to_string())?;
            run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()])?;
            it.mount("rw")?;
            Ok(it)
        }))
        .inspect(|it| it.log_outside(f))
    }

    fn prepared(f: &Fixture, image: Option<PathBuf>) -> Result<Self, String> {
        let at = f.data();
        fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        Ok(Self { at, image })
    }

    fn path(&self) -> &str {
        self.at.to_str().unwrap()
    }

    fn mount(&self, how: &str) -> Result<(), String> {
        let image = self.image.as_deref().and_then(Path::to_str).unwrap();
        let options = format!("loop,errors=remount-ro,{how}");
        run("mount", &["-o", &options, image, self.path()])
    }

    /// The log must not depend on the room here.
    fn log_outside(&self, f: &Fixture) {
        std::os::unix::fs::symlink(f.keep.path().join("serve.log"), self.at.join("serve.log")).unwrap();
    }

    /// Has the kernel take an error of the disk for found, as it does where the medium fails: from now on
    /// nothing is written.
    pub(crate) fn fails(&self) {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let device = mounts
            .lines()
            .find(|line| line.split(' ').nth(1) == Some(self.path()))
            .and_then(|line| line.split(' ').next()?.strip_prefix("/dev/"))
            .unwrap();
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "a test").unwrap();
    }

    /// Checks the file system, as after a disk was mended, and mounts it again: `ro` or `rw`. Nobody may have
    /// a file of it open.
    ///
    /// The check is of a copy, which is mounted then: a container that started meanwhile has the mount in
    /// its own mount namespace, so that `umount` here does not end the file system in the image.
    pub(crate) fn mend(&mut self, how: &str) {
        // Fails where the disk did.
        let _ = run("sync", &["-f", self.path()]);
        run("umount", &[self.path()]).unwrap();
        let image = self.image.take().unwrap();
        let copy = image.with_extension("mended.img");
        fs::copy(&image, &copy).unwrap();
        fs::remove_file(&image).unwrap();
        let checked = Command::new("e2fsck")
            .args(["-f", "-y"])
            .arg(&copy)
            .output()
            .unwrap();
        self.image = Some(copy);
        // 1: errors were corrected.
        assert!(
            checked.status.code().is_some_and(|code| code <= 1),
            "{}",
            String::from_utf8_lossy(&checked.stdout)
        );
        self.mount(how).unwrap();
    }

    /// Takes so many bytes, or all that are left; where they lie.
    pub(crate) fn fill(&self, name: &str, most: Option<u64>) -> PathBuf {
        let path = self.at.join(name);
        let mut file = File::create(&path).unwrap();
        let mut left = most.unwrap_or(u64::MAX);
        for size in [1_usize << 16, 1 << 12, 1] {
            while left >= size as u64 && file.write_all(&vec![1; size]).is_ok() {
                left -= size as u64;
            }
        }
        path
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = run("umount", &[self.path()]);
    }
}
