//! Values on their way over HTTPS, and the tokens that ask for them: through a process that traces
//! everything, its HTTP libraries included, and that then crashes with both in its memory.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use data_encoding::BASE64;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use serde_json::json;
use strongroom_e2e::Strongroom;

use super::traces::Traces;
use super::{create, files, managed, objects};
use crate::support::metrics::metrics;
use crate::support::{Fixture, eventually, free_port};

const FIRST: &str = "f1rstV4lueN0bodyMaySee";
const PUT: &str = "pu7V4lueN0bodyMaySee";
const AGAIN: &str = "an0therV4lueN0bodyMaySee";
const BAD: &str = "b4dV4lueN0bodyMaySee";
const SECRET: &str = "secret-of-the-way";

/// The API, asked by curl with everything secret in files of its own: never on a command line.
struct Api<'a> {
    f: &'a Fixture,
    port: u16,
    authority: std::path::PathBuf,
    header: std::path::PathBuf,
}

impl Api<'_> {
    /// The status and the body of an answer, over this version of HTTP.
    fn ask(&self, http: &str, method: &str, path: &str, body: &str) -> (String, String) {
        let out = self.f.keep.path().join("answer");
        let mut curl = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                http,
                "--request",
                method,
                "--data-binary",
                "@-",
            ])
            .args(["--write-out", "%{http_code} %{http_version}", "--output"])
            .arg(&out)
            .arg("--cacert")
            .arg(&self.authority)
            .arg("--header")
            .arg(format!("@{}", self.header.display()))
            .arg(format!(
                "https://localhost:{}/v1/namespaces/shop/{path}",
                self.port
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        curl.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        let said = curl.wait_with_output().unwrap();
        let told = String::from_utf8(said.stdout).unwrap();
        let (status, version) = told.split_once(' ').unwrap();
        assert!(http.ends_with(&format!("http{version}")), "{http} {told}");
        (
            status.to_owned(),
            std::fs::read_to_string(out).unwrap_or_default(),
        )
    }

    /// Values in both directions over one version of HTTP, and refusals with a value in the request.
    fn everything(&self, http: &str, id: &str, value: &str) {
        let data = |text: &str| json!({"data": {"key": BASE64.encode(text.as_bytes())}}).to_string();
        let version = format!("secrets/{SECRET}/versions/{id}");
        assert_eq!(self.ask(http, "PUT", &version, &data(value)).0, "201");
        assert_eq!(self.ask(http, "PUT", &version, &data(BAD)).0, "409");
        assert_eq!(
            self.ask(http, "PUT", "secrets/none/versions/v1", &data(BAD)).0,
            "404"
        );
        let malformed = format!("{{\"data\": {{\"key\": \"{BAD}\", \"{BAD}\": [\"{BAD}\"]}}}}");
        assert_eq!(self.ask(http, "PUT", &version, &malformed).0, "400");
        let (status, body) = self.ask(http, "GET", &format!("secrets/{SECRET}/value"), "");
        assert_eq!(status, "200", "{body}");
        assert!(body.contains(&BASE64.encode(value.as_bytes())));
        let (status, body) = self.ask(http, "GET", &format!("secrets/{SECRET}/value?key=key"), "");
        assert_eq!((status.as_str(), body.as_str()), ("200", value));
        let batch = json!({"secrets": [{"name": SECRET}, {"name": "none"}]}).to_string();
        let (status, body) = self.ask(http, "POST", "secrets:batchGet", &batch);
        assert_eq!(status, "200", "{body}");
        assert!(body.contains(&BASE64.encode(value.as_bytes())), "{body}");
    }
}

#[test]
fn a_value_on_its_way_shows_nowhere_and_a_crash_leaves_nothing_behind() {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    setrlimit(Resource::Core, unlimited).unwrap();
    let f = Fixture::new();
    assert!(
        crashes_leave_cores(f.keep.path()),
        "nothing would be left here anyway"
    );
    let port = free_port();
    let listen = format!("--gateway-listen=127.0.0.1:{port}");
    let arguments = ["--log-filter=trace", &listen];
    let mut process = Strongroom::start_with(&f.cluster, &f.data(), &arguments).unwrap();
    create(&f, &managed(SECRET, &json!({"source": {"external": {}}})));
    let token = f.app_token();
    f.wait_ready(SECRET, "False", "AwaitingValue");
    let api = Api {
        port,
        authority: f.keep.path().join("ca.crt"),
        header: f.keep.path().join("header"),
        f: &f,
    };
    std::fs::write(&api.authority, f.authority()).unwrap();
    std::fs::write(
        &api.header,
        format!("authorization: Bearer {token}\ncontent-type: application/json\n"),
    )
    .unwrap();
    // The first value makes the secret.
    eventually("the policy to be in force", || {
        let data = json!({"data": {"key": BASE64.encode(FIRST.as_bytes())}}).to_string();
        let (status, _) = api.ask(
            "--http1.1",
            "PUT",
            &format!("secrets/{SECRET}/versions/v0"),
            &data,
        );
        (status == "201").then_some(())
    });
    api.everything("--http1.1", "v1", PUT);
    api.everything("--http2", "v2", AGAIN);

    // The signature is what makes a token of its claims, which are no secret.
    let signature = token.rsplit('.').next().unwrap().to_owned();
    let traces = Traces::new(&[
        ("the first value", FIRST.to_owned()),
        ("the value", PUT.to_owned()),
        ("the other value", AGAIN.to_owned()),
        ("the refused value", BAD.to_owned()),
        ("the token's signature", signature),
    ]);
    let mut shown = Vec::new();
    for (name, text) in objects(&f) {
        let found = traces.within(text.as_bytes()).into_iter();
        shown.extend(found.map(|what| format!("{name}: {what}")));
    }
    let numbers = metrics(&process);
    let found = traces.within(numbers.as_bytes()).into_iter();
    shown.extend(found.map(|what| format!("metrics: {what}")));

    // A crash: the signal that an abort sends itself.
    let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::ABORT).unwrap();
    let ended = process.wait().unwrap();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false));
    let log = process.log();
    for library in ["hyper", "h2"] {
        let traced = |line: &str| line.contains("TRACE") && line.contains(library);
        assert!(log.lines().any(traced), "{library} is not traced");
    }
    for line in log.lines() {
        let found = traces.within(line.as_bytes()).into_iter();
        shown.extend(found.map(|what| format!("the log: {what}: {line}")));
    }
    let mut count = 0;
    files(&f.data(), &mut |path, bytes| {
        count += 1;
        let found = traces.within(bytes).into_iter();
        shown.extend(found.map(|what| format!("{}: {what}", path.display())));
    });
    assert!(count > 3, "{count} files");
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

/// Whether a process that is started here and crashes leaves its memory behind, where nothing keeps it from
/// that.
fn crashes_leave_cores(dir: &Path) -> bool {
    let mut crash = Command::new("sh");
    crash.args(["-c", "kill -ABRT $$"]).current_dir(dir);
    crash.status().unwrap().core_dumped()
}
