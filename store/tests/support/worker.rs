//! Processes that are killed in the midst. A test runs its own program anew with the one test `child`, which
//! works until it is killed and says each of its steps on a line: what it did, and which one.

use std::env;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;

/// How often a test does what it repeats, as a variable says.
pub fn rounds<N: FromStr<Err: Debug>>(variable: &str, unset: N) -> N {
    env::var(variable).map_or(unset, |rounds| rounds.parse().unwrap())
}

/// A process at work; killed when it goes.
pub struct Worker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Runs the test `child` of this program with these variables.
    pub fn start(variables: &[(&str, &OsStr)]) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What it says next.
    pub fn line(&mut self) -> String {
        self.lines.next().expect("the child ended by itself").unwrap()
    }

    /// The next one to which it did this.
    pub fn next<T: FromStr>(&mut self, did: &str) -> T {
        loop {
            if let Some(done) = read(&self.line(), did) {
                return done;
            }
        }
    }

    /// Holds it still, as a power cut would: it says nothing more.
    pub fn stop(&self) {
        let process = self.child.id().to_string();
        let stop = Command::new("kill").args(["-STOP", &process]).status();
        assert!(stop.unwrap().success());
    }

    /// Kills it with -9. To which ones it did this since; what was in the pipe was said too.
    pub fn kill<T: FromStr>(mut self, did: &str) -> Vec<T> {
        self.child.kill().unwrap();
        let lines = self.lines.by_ref().map_while(Result::ok);
        lines.filter_map(|line| read(&line, did)).collect()
    }
}

/// What follows the word in a line that has it.
fn read<T: FromStr>(line: &str, did: &str) -> Option<T> {
    line.split_once(did)?.1.trim().parse().ok()
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
