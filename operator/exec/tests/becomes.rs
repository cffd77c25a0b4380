//! The program itself: it becomes the command, and refuses clearly where it cannot.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A volume with a file for each variable.
fn volume(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("..1")).unwrap();
    for (name, value) in files {
        std::fs::write(folder.path().join("..1").join(name), value).unwrap();
    }
    symlink("..1", folder.path().join("..data")).unwrap();
    folder
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_strongroom-exec"))
}

fn run(volume: &Path, command: &[&str]) -> Output {
    let mut it = program();
    it.arg("run").arg("--env").arg(volume).arg("--").args(command);
    it.env("KEPT", "as it was").env("CHANGED", "before");
    it.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn it_is_the_command_with_the_variables_and_what_else_there_was() {
    let it = volume(&[
        ("PASSWORD", b"p'\" $HOME\n"),
        ("CHANGED", b"after"),
        ("..strongroom.json", b"{}"),
    ]);
    let script = r#"printf '%s|%s|%s|%s|%s' "$PASSWORD" "$KEPT" "$CHANGED" "$1" "$$""#;
    let mut child = program();
    child.arg("run").arg("--env").arg(it.path());
    child.args(["--", "sh", "-c", script, "zero", "--version"]);
    child.env("KEPT", "as it was").env("CHANGED", "before");
    let child = child.stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout),
        format!("p'\" $HOME\n|as it was|after|--version|{pid}"),
        "one process, and the arguments are the command's"
    );
}

#[test]
fn exit_codes_and_signals_are_the_commands() {
    let it = volume(&[("A", b"1")]);
    let status = |script: &str| run(it.path(), &["sh", "-c", script]).status;
    assert_eq!(status("exit 7").code(), Some(7));
    assert_eq!(status("kill -TERM $$").signal(), Some(15));
}

#[test]
fn what_cannot_be_is_said_and_has_an_exit_code_of_its_own() {
    let it = volume(&[("A", b"hunter2")]);
    let file = it.path().join("..1/A");
    let large = volume(&[("A", &vec![b'x'; 200_000])]);
    let bad = volume(&[("A", b"hunter2\0")]);
    for (volume, command, code, says) in [
        (
            &it,
            "nowhere-to-be-found",
            127,
            "`nowhere-to-be-found`, or its interpreter, is not in this container",
        ),
        (&it, file.to_str().unwrap(), 126, "cannot be run"),
        (&large, "true", 125, "too large for Linux"),
        (&bad, "true", 125, "NUL byte"),
    ] {
        let output = run(volume.path(), &[command]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(
            said.starts_with("strongroom-exec: ") && said.contains(says),
            "{said}"
        );
        assert!(!said.contains("hunter2") && !said.contains("xxx"), "{said}");
    }
    let nothing = tempfile::tempdir().unwrap();
    let output = run(nothing.path(), &["true"]);
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn installed_it_runs_by_any_user_and_is_replaced_whole() {
    let (folder, it) = (tempfile::tempdir().unwrap(), volume(&[("A", b"1")]));
    for _ in 0..2 {
        let output = program().arg("install").arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let installed = folder.path().join("strongroom-exec");
    assert_eq!(
        std::fs::metadata(&installed).unwrap().permissions().mode() & 0o777,
        0o555
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let output = Command::new(installed)
        .arg("run")
        .arg("--env")
        .arg(it.path())
        .args(["--", "sh", "-c", "echo $A"])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "1\n");
    let output = program().args(["install", "/proc/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("/proc/nowhere"));
}

#[test]
fn a_file_for_kubelet_is_written_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    let write = |volume: &Path| {
        let mut it = program();
        it.arg("write").arg("--env").arg(volume).arg(&file);
        it.output().unwrap()
    };
    let bad = write(volume(&[("A", b"1"), ("B", b"hunter'2")]).path());
    assert_eq!(bad.status.code(), Some(125));
    assert!(text(&bad.stderr).contains("`A`, `B`") && !text(&bad.stderr).contains("hunter"));
    assert!(!file.exists(), "no file that lacks a variable");
    assert!(write(volume(&[("A", b"1")]).path()).status.success());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "A='1'\n");
}
