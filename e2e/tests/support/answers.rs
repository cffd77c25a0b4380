//! What the API, the command line and the audit's list say, by their types.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::de::DeserializeOwned;
use serde_json::Value;
use strongroom_api::audit::AuditRecord;
use strongroom_api::v1::{ProblemDocument, ValueAnswer};
use strongroom_e2e::Strongroom;

use super::Fixture;

/// An answer by its type.
pub fn typed<T: DeserializeOwned>(answer: &Value) -> T {
    serde_json::from_value(answer.clone()).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The code of a refusal; nothing where it is none.
pub fn code(answer: &Value) -> String {
    let problem = serde_json::from_value::<ProblemDocument>(answer.clone());
    problem.map_or_else(|_| String::new(), |problem| problem.code)
}

/// The bytes of each key of a value.
pub fn bytes(answer: &Value) -> BTreeMap<String, Vec<u8>> {
    let value: ValueAnswer = typed(answer);
    let keys = value.data.into_iter();
    keys.map(|(key, bytes)| (key, bytes.expose().to_vec())).collect()
}

/// Records of the audit, one on a line.
pub fn records(lines: &str) -> Vec<AuditRecord> {
    let lines = lines.lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Proves the chains of a store that is not open by this public key; the report.
pub fn verified(key: &str, store: &Path) -> String {
    let verified = Command::new(Strongroom::binary())
        .args(["audit", "verify", "--public-key", key, "--dir"])
        .arg(store)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&verified.stdout).into_owned();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "{report}{said}");
    report
}

impl Fixture {
    /// All records of a process that runs or has ended; or those for which these arguments ask.
    pub fn records(&self, arguments: &[&str]) -> Vec<AuditRecord> {
        let listed = Command::new(Strongroom::binary())
            .args(["audit", "list", "--limit=0", "--output=json", "--data-dir"])
            .arg(self.data().join("data"))
            .args(arguments)
            .output()
            .unwrap();
        records(&String::from_utf8(listed.stdout).unwrap())
    }
}
