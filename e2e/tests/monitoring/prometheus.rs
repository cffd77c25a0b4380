//! Debian's Prometheus on loopback, and its `promtool`.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A program, killed when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One that looks at everything each second.
pub(crate) struct Prometheus {
    port: u16,
    _running: Running,
}

impl Prometheus {
    /// Scrapes these ports of this machine, and evaluates the rules of a file.
    pub(crate) fn start(folder: &Path, port: u16, targets: &[u16], rules: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let targets: Vec<String> = targets.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": [{"job_name": "strongroom", "static_configs": [{"targets": targets}]}],
        });
        // JSON is YAML.
        let file = folder.join("prometheus.yml");
        fs::write(&file, config.to_string()).unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Debian's package `prometheus`; .ci/packages installs it");
        Self {
            port,
            _running: Running(child),
        }
    }

    /// What a query is answered with: its series, each with its value as a text.
    pub(crate) fn series(&self, query: &str) -> Vec<String> {
        let series = self.ask("query", &[format!("query={query}")]);
        let value = |series: &Value| series["value"][1].as_str().unwrap().to_owned();
        series.as_array().into_iter().flatten().map(value).collect()
    }

    /// The same over the last seconds, each a point.
    pub(crate) fn range(&self, query: &str, seconds: i64) -> Value {
        let now = jiff::Timestamp::now().as_second();
        let parameters = [
            format!("query={query}"),
            format!("start={}", now - seconds),
            format!("end={now}"),
            "step=1".to_owned(),
        ];
        self.ask("query_range", &parameters)
    }

    fn ask(&self, what: &str, parameters: &[String]) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "10"]);
        for parameter in parameters {
            curl.args(["--data-urlencode", parameter]);
        }
        let url = format!("http://127.0.0.1:{}/api/v1/{what}", self.port);
        let asked = curl.arg(url).output().unwrap();
        // Before it listens there is no answer.
        let mut answer: Value = serde_json::from_slice(&asked.stdout).unwrap_or_default();
        assert_ne!(answer["status"], "error", "{parameters:?}: {answer}");
        answer["data"]["result"].take()
    }
}

/// `promtool` with a text to read; what it has to say, and whether it was content.
pub(crate) fn promtool(folder: &Path, arguments: &[&str], stdin: &str) -> (bool, String) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Debian's package `prometheus`; .ci/packages installs it");
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}
