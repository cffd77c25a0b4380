//! The body and the id of a batch. A pure function: the same records are the same message.

use std::io;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use strongroom_api::audit::Chain;

/// What is in the body, for a receiver that takes webhooks of others too.
const TYPE: &str = "strongroom.audit";

/// What is posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The same for the same records, and for these alone; without full stops, as the signature needs it.
    pub(super) id: String,
    /// JSON.
    pub(super) body: Vec<u8>,
}

/// Where a record stands. The rest of its line is for the receiver.
#[derive(Deserialize)]
struct RecordPosition {
    chain: Chain,
    sequence: u64,
    time: Timestamp,
}

impl Message {
    /// The message of these records, one a line.
    pub(super) fn new(lines: &[u8]) -> io::Result<Self> {
        let (mut changes, mut reads) = (None, None);
        let (mut records, mut time) = (Vec::with_capacity(lines.len()), Timestamp::UNIX_EPOCH);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let record: RecordPosition = serde_json::from_slice(line)?;
            let range = match record.chain {
                Chain::Changes => &mut changes,
                Chain::Reads => &mut reads,
            };
            range.get_or_insert((record.sequence, record.sequence)).1 = record.sequence;
            time = record.time;
            if !records.is_empty() {
                records.push(b',');
            }
            records.extend_from_slice(line);
        }
        // When it happened, and not when it is sent: it is the same each time.
        let mut body =
            format!("{{\"type\":\"{TYPE}\",\"timestamp\":\"{time}\",\"data\":{{\"records\":[").into_bytes();
        body.extend_from_slice(&records);
        body.extend_from_slice(b"]}}");
        let id = id(changes, reads, &body);
        Ok(Self { id, body })
    }
}

/// First and last number of each chain, and a digest: a restored store gives a number a second time, to
/// another record, which nobody may take for the first.
fn id(changes: Option<(u64, u64)>, reads: Option<(u64, u64)>, body: &[u8]) -> String {
    let mut parts = vec!["audit".to_owned()];
    for (chain, range) in [("changes", changes), ("reads", reads)] {
        if let Some((first, last)) = range {
            parts.push(format!("{chain}-{first}-{last}"));
        }
    }
    let digest = Sha256::digest(body);
    parts.push(HEXLOWER.encode(digest.get(..16).unwrap_or_default()));
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGE: &str = r#"{"chain":"changes","sequence":7,"time":"2026-11-23T20:22:00Z","action":"x"}"#;
    const READ: &str = r#"{"chain":"reads","sequence":12,"time":"2026-11-23T20:22:01.5Z","detail":"a.b"}"#;
    const LATER: &str = r#"{"chain":"reads","sequence":15,"time":"2026-11-23T20:22:02Z"}"#;

    fn message(lines: &[&str]) -> Message {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        Message::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_body_has_the_records_in_order_and_unchanged() {
        let Message { id, body } = message(&[CHANGE, READ, LATER]);
        assert_eq!(
            String::from_utf8(body.clone()).unwrap(),
            format!(
                r#"{{"type":"strongroom.audit","timestamp":"2026-11-23T20:22:02Z","data":{{"records":[{CHANGE},{READ},{LATER}]}}}}"#
            )
        );
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        assert!(id.starts_with("audit-changes-7-7-reads-12-15-"), "{id}");
        assert!(!id.contains('.'), "{id}");
    }

    #[test]
    fn an_id_is_of_these_records_alone() {
        let one = message(&[READ, LATER]);
        assert_eq!(one, message(&[READ, LATER]));
        assert!(one.id.starts_with("audit-reads-12-15-"), "{}", one.id);
        assert_ne!(one.id, message(&[READ]).id);
        // The same number of another store, or of this one restored.
        let other = READ.replace("a.b", "a.c");
        assert_ne!(one.id, message(&[&other, LATER]).id);
    }

    #[test]
    fn what_is_no_record_is_not_sent() {
        assert!(Message::new(b"no json\n").is_err());
        assert!(Message::new(b"{\"chain\":\"reads\"}\n").is_err());
    }
}
