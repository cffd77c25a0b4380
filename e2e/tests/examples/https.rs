//! Requests of ServiceAccounts over HTTPS, with a token of theirs and the authority's certificate alone.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::Fixture;
use crate::support::answers::code;

const HOST: &str = "strongroom-gateway.strongroom.svc";

pub(crate) struct Https<'a> {
    f: &'a Fixture,
    /// Where the node finds the host.
    resolve: String,
    authority: PathBuf,
}

impl<'a> Https<'a> {
    pub(crate) fn new(f: &'a Fixture) -> Self {
        let authority = f.keep.path().join("ca.crt");
        fs::write(&authority, f.authority()).unwrap();
        let resolve = format!("{HOST}:443:{}", address(f, "strongroom", "strongroom-gateway"));
        Self {
            f,
            resolve,
            authority,
        }
    }

    /// Asks as a ServiceAccount, `namespace/name`, for a path below the secrets of `shop`; a body is put.
    pub(crate) fn ask(&self, account: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let (namespace, name) = account.split_once('/').unwrap();
        let token = self.f.token(namespace, name);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "30", "-w", "\n%{http_code}", "-H", "@-"])
            .args(["--resolve", &self.resolve, "--cacert"])
            .arg(&self.authority)
            .arg(format!("https://{HOST}/v1/namespaces/shop/secrets/{path}"));
        if let Some(body) = body {
            curl.args(["-X", "PUT", "-d", &body.to_string()]);
        }
        let mut inside = self.f.cluster.on_node("node-a", &curl).unwrap();
        inside
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = inside.spawn().unwrap();
        let header = format!(
            "Authorization: Bearer {}\nContent-Type: application/json\n",
            token.trim()
        );
        child.stdin.take().unwrap().write_all(header.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (answer, status) = said
            .rsplit_once('\n')
            .unwrap_or_else(|| panic!("{path}: {said}{}", String::from_utf8_lossy(&output.stderr)));
        (
            status.parse().unwrap(),
            serde_json::from_str(answer).unwrap_or_default(),
        )
    }

    /// Reads a value; how that ends.
    pub(crate) fn read(&self, account: &str, secret: &str) -> (u16, Value) {
        self.ask(account, &format!("{secret}/value"), None)
    }

    /// The status of a read, and the code of a refusal.
    pub(crate) fn ended(&self, account: &str, secret: &str) -> (u16, String) {
        let (status, answer) = self.read(account, secret);
        (status, code(&answer))
    }
}

/// The address of a Service.
pub(crate) fn address(f: &Fixture, namespace: &str, service: &str) -> String {
    let service = f.json(&["-n", namespace, "get", "service", service]);
    service["spec"]["clusterIP"].as_str().unwrap().to_owned()
}
