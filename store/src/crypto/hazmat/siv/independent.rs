//! Lists of headers against an implementation that is not ours: OpenSSL's, through PyPI `cryptography`.
//!
//! Published vectors hardly cover more than one header, and the store always uses several. A thousand cases
//! are checked in; a thousand more are made anew where `python3` can have the package.

use std::path::Path;
use std::process::Command;

use data_encoding::HEXLOWER;

use super::Siv;

const CASES: usize = 1_000;
const PACKAGE: &str = "cryptography==48.0.0";
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

fn check(cases: &str, from: &str) {
    let mut most_headers = 0;
    assert_eq!(cases.lines().count(), CASES, "{from}");
    for (line, case) in cases.lines().enumerate() {
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        let columns: Vec<&str> = case.split('\t').collect();
        let key: [u8; 64] = hex(columns[0]).try_into().unwrap();
        let headers: Vec<Vec<u8>> = match columns[1] {
            "-" => Vec::new(),
            listed => listed.split(',').map(hex).collect(),
        };
        most_headers = most_headers.max(headers.len());
        let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        let (plaintext, sealed) = (hex(columns[2]), hex(columns[3]));
        let at = format!("{from}, case {line}");
        assert_eq!(
            Siv::new(&key).seal(&headers, &plaintext).unwrap(),
            sealed,
            "{at}: seal"
        );
        let opened = Siv::new(&key).open(&headers, &sealed).unwrap();
        assert_eq!(opened.expose(), plaintext, "{at}: open");
        if let Some((_, fewer)) = headers.split_last() {
            assert!(
                Siv::new(&key).open(fewer, &sealed).is_err(),
                "{at}: one header less"
            );
        }
    }
    assert!(most_headers >= 8, "{from}: only {most_headers} headers");
}

/// A python that has the package: the system's, or one in a virtual environment of the build folder.
fn python() -> Result<String, String> {
    let run = |program: &str, arguments: &[&str]| match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "`{program} {}`: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => Err(format!("`{program}`: {error}")),
    };
    let has = "from cryptography.hazmat.primitives.ciphers.aead import AESSIV";
    if run("python3", &["-c", has]).is_ok() {
        return Ok("python3".to_owned());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/aessiv-venv");
    let folder = folder.display().to_string();
    let inside = format!("{folder}/bin/python3");
    if run(&inside, &["-c", has]).is_err() {
        run("python3", &["-m", "venv", &folder])?;
        run(&inside, &["-m", "pip", "install", "--quiet", PACKAGE])?;
    }
    Ok(inside)
}

#[test]
fn checked_in_cases_agree() {
    let path = format!("{DATA}/aessiv_multi.txt");
    check(&std::fs::read_to_string(&path).unwrap(), &path);
}

/// Cases of a new seed at each run. A machine without the package has the checked-in ones; in CI that is a
/// failure.
#[test]
fn fresh_cases_agree() {
    let python = match python() {
        Ok(python) => python,
        Err(cause) if std::env::var_os("CI").is_some() => {
            panic!("python3 with `{PACKAGE}` is needed: {cause}")
        }
        Err(cause) => {
            eprintln!("only the checked-in cases were compared; for fresh ones install `{PACKAGE}`: {cause}");
            return;
        }
    };
    let mut seed = [0; 4];
    getrandom::fill(&mut seed).unwrap();
    let seed = u32::from_be_bytes(seed).to_string();
    let output = Command::new(python)
        .arg(format!("{DATA}/aessiv_multi.py"))
        .args(["--seed", &seed, "--cases", &CASES.to_string()])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    check(
        &String::from_utf8(output.stdout).unwrap(),
        &format!("seed {seed}"),
    );
}
