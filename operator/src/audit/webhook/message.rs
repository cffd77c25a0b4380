//! The body and the id of a batch. A pure function: the same records are the same message.

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use strongroom_api::audit::Chain;

use crate::audit::line::AuditLine;

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

impl Message {
    /// The message of these records.
    pub(super) fn new(lines: &[AuditLine]) -> Self {
        let (mut changes, mut reads) = (None, None);
        let (mut records, mut time) = (Vec::new(), Timestamp::UNIX_EPOCH);
        for AuditLine { record, json } in lines {
            let range = match record.chain {
                Chain::Changes => &mut changes,
                Chain::Reads => &mut reads,
            };
            range.get_or_insert((record.sequence, record.sequence)).1 = record.sequence;
            time = record.time;
            if !records.is_empty() {
                records.push(b',');
            }
            records.extend_from_slice(json);
        }
        // When it happened, and not when it is sent: it is the same each time.
        let mut body =
            format!("{{\"type\":\"{TYPE}\",\"timestamp\":\"{time}\",\"data\":{{\"records\":[").into_bytes();
        body.extend_from_slice(&records);
        body.extend_from_slice(b"]}}");
        let id = id(changes, reads, &body);
        Self { id, body }
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
    use crate::audit::testing::audit_line;

    /// A record of this chain, number, second and detail.
    fn line(chain: &str, sequence: u64, time: &str, detail: &str) -> AuditLine {
        audit_line(&format!(
            r#"{{"chain":"{chain}","sequence":{sequence},"time":"2026-11-23T20:22:{time}Z","principal":"system","action":"x","decision":"allowed","outcome":"success","detail":"{detail}"}}"#
        ))
    }

    fn lines() -> [AuditLine; 3] {
        [
            line("changes", 7, "00", ""),
            line("reads", 12, "01.5", "a.b"),
            line("reads", 15, "02", ""),
        ]
    }

    #[test]
    fn a_body_has_the_records_in_order_and_unchanged() {
        let lines = lines();
        let Message { id, body } = Message::new(&lines);
        let [change, read, later] = lines.map(|line| String::from_utf8(line.json).unwrap());
        assert_eq!(
            String::from_utf8(body.clone()).unwrap(),
            format!(
                r#"{{"type":"strongroom.audit","timestamp":"2026-11-23T20:22:02Z","data":{{"records":[{change},{read},{later}]}}}}"#
            )
        );
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        assert!(id.starts_with("audit-changes-7-7-reads-12-15-"), "{id}");
        assert!(!id.contains('.'), "{id}");
    }

    #[test]
    fn an_id_is_of_these_records_alone() {
        let [_, read, later] = lines();
        let one = Message::new(&[read.clone(), later.clone()]);
        assert_eq!(one, Message::new(&[read.clone(), later.clone()]));
        assert!(one.id.starts_with("audit-reads-12-15-"), "{}", one.id);
        assert_ne!(one.id, Message::new(&[read]).id);
        // The same number of another store, or of this one restored.
        assert_ne!(
            one.id,
            Message::new(&[line("reads", 12, "01.5", "a.c"), later]).id
        );
    }
}
