//! File systems of a test's own. They need root: without it a test says so, and fails where `CI` is set.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program of the system.
pub fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// A mounted file system; unmounted when it goes.
pub struct Mount(pub PathBuf);

impl Mount {
    fn new(arguments: &[&str], at: &Path) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let mut all = arguments.to_vec();
        all.push(at.to_str().unwrap());
        run("mount", &all)?;
        Ok(Self(at.to_owned()))
    }

    /// A small file system in memory.
    pub fn memory(mebibytes: u32, at: &Path) -> Result<Self, String> {
        Self::new(&["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"], at)
    }

    /// The file system in an image.
    pub fn image(image: &Path, at: &Path) -> Result<Self, String> {
        Self::new(&["-o", "loop", image.to_str().unwrap()], at)
    }

    /// Gives one in memory another size.
    pub fn resize(&self, mebibytes: u32) {
        let size = format!("remount,size={mebibytes}m");
        run("mount", &["-o", &size, self.0.to_str().unwrap()]).expect("a larger tmpfs");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run("umount", &[self.0.to_str().unwrap()]);
    }
}

/// Says that a test cannot run here.
pub fn skip(what: &str, why: &str) {
    assert!(
        env::var("CI").is_err(),
        "{what} on this machine, and this is CI: {why}"
    );
    println!("SKIPPED: {what}: {why}");
}
