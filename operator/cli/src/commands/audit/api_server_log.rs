//! An audit log of the API server, read from its beginning to its end beside our records: in memory is never
//! more than a line of it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use k8s_openapi::jiff::Timestamp;
use strongroom_api::audit::AuditRecord;

use super::api_server_event::{ApiServerRecord, AuditEvent};
use super::native_secrets::NativeSecrets;
use crate::failure::Failure;

/// Longest line that is looked at, in bytes: an event with an object and its answer is smaller.
const MAX_LINE_BYTES: u64 = 8 << 20;

/// The log, as far as it has been read.
pub(super) struct ApiServerLog {
    name: String,
    reader: Box<dyn BufRead + Send>,
    /// The next event, which is later than our record before it.
    ahead: Option<AuditEvent>,
    /// Whose native Secrets are meant; none: everybody's.
    namespace: Option<String>,
    secrets: NativeSecrets,
    read: ReadSoFar,
}

/// What has been read.
#[derive(Debug, Default)]
struct ReadSoFar {
    lines: u64,
    events: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Events about native Secrets of ours.
    ours: u64,
    /// Events about other Secrets.
    others: u64,
    broken: u64,
    first_broken: u64,
}

/// How reading a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    /// There is no more line.
    Eof,
    /// It is in the buffer.
    Whole,
    /// It was longer than a line may be, and is left out.
    TooLong,
}

impl ApiServerLog {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(
        path: &Path,
        namespace: Option<String>,
        secrets: NativeSecrets,
    ) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let reader: Box<dyn BufRead + Send> = if path.as_os_str() == "-" {
            Box::new(BufReader::new(io::stdin()))
        } else {
            let file = File::open(path).map_err(|source| Failure::Read {
                path: name.clone(),
                source,
            })?;
            Box::new(BufReader::new(file))
        };
        Ok(Self::new(name, reader, namespace, secrets))
    }

    fn new(
        name: String,
        reader: Box<dyn BufRead + Send>,
        namespace: Option<String>,
        secrets: NativeSecrets,
    ) -> Self {
        Self {
            name,
            reader,
            ahead: None,
            namespace,
            secrets,
            read: ReadSoFar::default(),
        }
    }

    /// Takes over what one of our records says of native Secrets.
    pub(super) fn follow(&mut self, record: &AuditRecord) {
        self.secrets.follow(record);
    }

    /// The next line about our native Secrets that is not later than this record; without one, the next.
    pub(super) fn next_before(
        &mut self,
        record: Option<&AuditRecord>,
    ) -> Result<Option<ApiServerRecord>, Failure> {
        loop {
            let event = match self.ahead.take() {
                Some(event) => event,
                None => match self.event()? {
                    Some(event) => event,
                    None => return Ok(None),
                },
            };
            if record.is_some_and(|record| record.time < event.time()) {
                self.ahead = Some(event);
                return Ok(None);
            }
            if let Some(record) = self.joined(event) {
                return Ok(Some(record));
            }
        }
    }

    /// The line of an event, if it is about native Secrets that are meant.
    fn joined(&mut self, event: AuditEvent) -> Option<ApiServerRecord> {
        let object = event.native_secret()?;
        let meant = self
            .namespace
            .as_ref()
            .is_none_or(|namespace| object.namespace.is_empty() || object.namespace == *namespace);
        if !meant {
            return None;
        }
        if object.name.is_empty() {
            self.read.ours += 1;
            return Some(event.into_record(None));
        }
        let place = (object.namespace.as_str(), object.name.as_str());
        let secret = self
            .secrets
            .secret_of(place, object.uid.as_deref(), event.time())
            .map(str::to_owned);
        if secret.is_none() {
            self.read.others += 1;
            return None;
        }
        self.read.ours += 1;
        Some(event.into_record(secret))
    }

    /// The next event, whatever it is about.
    fn event(&mut self) -> Result<Option<AuditEvent>, Failure> {
        let mut line = Vec::new();
        loop {
            let end = read_line(&mut self.reader, &mut line).map_err(|source| Failure::Read {
                path: self.name.clone(),
                source,
            })?;
            if end == LineEnd::Eof {
                return Ok(None);
            }
            self.read.lines += 1;
            if end == LineEnd::Whole && line.trim_ascii().is_empty() {
                continue;
            }
            let event = (end == LineEnd::Whole).then(|| AuditEvent::read(&line)).flatten();
            if let Some(event) = event {
                self.read.note(event.time());
                return Ok(Some(event));
            }
            self.read.broken += 1;
            if self.read.broken == 1 {
                self.read.first_broken = self.read.lines;
            }
        }
    }

    /// From when to when the log reaches, what of it was shown, and what could not be read.
    pub(super) fn reach(&self) -> String {
        let ReadSoFar {
            events,
            first,
            last,
            ours,
            others,
            broken,
            first_broken,
            ..
        } = &self.read;
        let mut text = match (first, last) {
            (Some(first), Some(last)) => format!(
                "the API server's log `{}` reaches from {first} to {last}: {events} events, {ours} about native Secrets of these ManagedSecrets, {others} about other Secrets",
                self.name
            ),
            _ => format!("`{}` holds no event of audit.k8s.io", self.name),
        };
        if *broken > 0 {
            text.push_str(&format!(
                "; lines that cannot be read: {broken}, the first is line {first_broken}"
            ));
        }
        text
    }
}

impl ReadSoFar {
    fn note(&mut self, time: Timestamp) {
        self.events += 1;
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }
}

/// Reads one line with its end.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<LineEnd> {
    line.clear();
    let read = Read::by_ref(reader)
        .take(MAX_LINE_BYTES)
        .read_until(b'\n', line)?;
    if read == 0 {
        return Ok(LineEnd::Eof);
    }
    if line.ends_with(b"\n") || (read as u64) < MAX_LINE_BYTES {
        return Ok(LineEnd::Whole);
    }
    line.clear();
    reader.skip_until(b'\n')?;
    Ok(LineEnd::TooLong)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(second: u32, verb: &str, object: Value) -> String {
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": format!("a-{second}"), "stage": "ResponseComplete",
            "verb": verb, "user": {"username": "jane"}, "objectRef": object, "responseStatus": {"code": 200},
            "stageTimestamp": format!("2026-11-23T20:22:{second:02}.000000Z"),
        })
        .to_string()
    }

    fn secret(name: &str) -> Value {
        json!({"resource": "secrets", "namespace": "shop", "name": name, "apiVersion": "v1"})
    }

    /// A record of this second that binds `db` to the native Secret `native`, or lets go of it.
    fn bound(second: u32, detail: &str) -> AuditRecord {
        serde_json::from_value(json!({
            "chain": "changes", "sequence": second, "time": format!("2026-11-23T20:22:{second:02}Z"),
            "principal": "controller ManagedSecret", "action": "BindMaterialized", "decision": "allowed",
            "outcome": "success", "namespace": "shop", "secret": "db", "detail": detail,
        }))
        .unwrap()
    }

    fn log(lines: &[String]) -> ApiServerLog {
        let text = lines.join("\n").into_bytes();
        let reader = Box::new(BufReader::new(io::Cursor::new(text)));
        ApiServerLog::new(
            "audit.log".to_owned(),
            reader,
            Some("shop".to_owned()),
            NativeSecrets::default(),
        )
    }

    /// The ids of the lines that are told beside these records, in order.
    fn told(log: &mut ApiServerLog, records: &[AuditRecord]) -> Vec<String> {
        let mut told = Vec::new();
        for record in records {
            while let Some(event) = log.next_before(Some(record)).unwrap() {
                told.push(event.row().request);
            }
            log.follow(record);
            told.push(record.sequence.to_string());
        }
        while let Some(event) = log.next_before(None).unwrap() {
            told.push(event.row().request);
        }
        told
    }

    #[test]
    fn lines_stand_among_the_records_while_the_native_secret_is_ours() {
        let mut log = log(&[
            event(1, "get", secret("native")),
            event(3, "get", secret("native")),
            event(4, "get", secret("of-others")),
            event(
                4,
                "get",
                json!({"resource": "configmaps", "namespace": "shop", "name": "native"}),
            ),
            event(5, "list", json!({"resource": "secrets", "namespace": "shop"})),
            event(6, "list", json!({"resource": "secrets"})),
            event(6, "list", json!({"resource": "secrets", "namespace": "pay"})),
            event(8, "get", secret("native")),
        ]);
        let records = [bound(2, "written to `native`, UID 1"), bound(7, "let go")];
        assert_eq!(told(&mut log, &records), ["2", "a-3", "a-5", "a-6", "7"]);
        assert_eq!(
            log.reach(),
            "the API server's log `audit.log` reaches from 2026-11-23T20:22:01Z to 2026-11-23T20:22:08Z: 8 events, \
             3 about native Secrets of these ManagedSecrets, 3 about other Secrets"
        );
    }

    #[test]
    fn a_broken_line_is_counted_and_told_and_stops_nothing() {
        let mut log = log(&[
            "not json".to_owned(),
            String::new(),
            event(3, "get", secret("native")),
            "{\"kind\":\"Event\"".to_owned(),
            event(4, "get", secret("native")),
        ]);
        let records = [bound(2, "written to `native`, UID 1")];
        assert_eq!(told(&mut log, &records), ["2", "a-3", "a-4"]);
        let reach = log.reach();
        assert!(
            reach.ends_with("; lines that cannot be read: 2, the first is line 1"),
            "{reach}"
        );
    }

    #[test]
    fn a_log_without_events_says_so() {
        let mut log = log(&[]);
        assert_eq!(told(&mut log, &[]), Vec::<String>::new());
        assert_eq!(log.reach(), "`audit.log` holds no event of audit.k8s.io");
    }

    #[test]
    fn a_line_without_end_takes_no_memory_and_the_next_is_read() {
        let long = usize::try_from(MAX_LINE_BYTES).unwrap() + 5;
        let text = [vec![b'x'; long], b"\nnext\nlast".to_vec()].concat();
        let (mut reader, mut line) = (BufReader::new(io::Cursor::new(text)), Vec::new());
        let mut read = || {
            let end = read_line(&mut reader, &mut line).unwrap();
            (end, line.clone())
        };
        assert_eq!(read(), (LineEnd::TooLong, Vec::new()));
        assert_eq!(read(), (LineEnd::Whole, b"next\n".to_vec()));
        assert_eq!(read(), (LineEnd::Whole, b"last".to_vec()));
        assert_eq!(read(), (LineEnd::Eof, Vec::new()));
    }
}
