//! A record as a row: of a table, of a wide table, and as cells for whatever else has columns.

use super::{AuditRecord, Chain};
use crate::visible;

/// All columns: the field that each shows, and its width in a wide table. The last two are open-ended.
const COLUMNS: [(&str, usize); 26] = [
    ("time", 24),
    ("decision", 9),
    ("outcome", 7),
    ("code", 18),
    ("count", 5),
    ("action", 24),
    ("namespace", 16),
    ("secret", 24),
    ("secretId", 32),
    ("version", 20),
    ("stage", 8),
    ("key", 32),
    ("principal", 32),
    ("requester", 24),
    ("claimed", 24),
    ("pod", 32),
    ("node", 16),
    ("source", 15),
    ("extensionApi", 13),
    ("offline", 7),
    ("log", 10),
    ("sequence", 8),
    ("request", 32),
    ("latencyMicros", 14),
    ("statements", 0),
    ("detail", 0),
];

/// What is shown of a record; a cell is empty where there is nothing to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the record that has its name")]
pub struct AuditRow {
    pub time: String,
    pub decision: String,
    pub outcome: String,
    pub code: String,
    pub count: String,
    pub action: String,
    pub namespace: String,
    pub secret: String,
    pub secret_id: String,
    pub version: String,
    pub stage: String,
    pub key: String,
    pub principal: String,
    pub requester: String,
    pub claimed: String,
    pub pod: String,
    pub node: String,
    pub source: String,
    pub extension_api: String,
    pub offline: String,
    /// Which log it is in: a chain, or somebody else's.
    pub log: String,
    pub sequence: String,
    pub request: String,
    pub latency_micros: String,
    pub statements: String,
    pub detail: String,
}

impl From<&AuditRecord> for AuditRow {
    fn from(record: &AuditRecord) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let flag = |is_set: bool| if is_set { "true".to_owned() } else { String::new() };
        let requester = record.requester.as_ref().map(|requester| match &requester.user {
            Some(user) if requester.attested => user.clone(),
            _ => "unattested".to_owned(),
        });
        Self {
            time: record.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            decision: record.decision.as_str().to_owned(),
            outcome: record.outcome.as_str().to_owned(),
            code: text(&record.code),
            count: record.count.to_string(),
            action: record.action.clone(),
            namespace: text(&record.namespace),
            secret: text(&record.secret),
            secret_id: text(&record.secret_id),
            version: text(&record.version),
            stage: text(&record.stage),
            key: text(&record.key),
            principal: record.principal.clone(),
            requester: requester.unwrap_or_default(),
            claimed: text(&record.claimed),
            pod: text(&record.pod),
            node: text(&record.node),
            source: record.source.map(|source| source.to_string()).unwrap_or_default(),
            extension_api: flag(record.extension_api),
            offline: flag(record.offline),
            log: match record.chain {
                Chain::Changes => "changes",
                Chain::Reads => "reads",
            }
            .to_owned(),
            sequence: record.sequence.to_string(),
            request: text(&record.request),
            latency_micros: record
                .latency_micros
                .map(|micros| micros.to_string())
                .unwrap_or_default(),
            statements: record.statements.join("; "),
            detail: record.detail.clone(),
        }
    }
}

impl AuditRow {
    /// The names of the cells, as the fields of a record have them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        COLUMNS.into_iter().map(|(name, _)| name)
    }

    /// All cells, in the order of their names.
    #[must_use]
    pub fn cells(&self) -> [&str; COLUMNS.len()] {
        [
            &self.time,
            &self.decision,
            &self.outcome,
            &self.code,
            &self.count,
            &self.action,
            &self.namespace,
            &self.secret,
            &self.secret_id,
            &self.version,
            &self.stage,
            &self.key,
            &self.principal,
            &self.requester,
            &self.claimed,
            &self.pod,
            &self.node,
            &self.source,
            &self.extension_api,
            &self.offline,
            &self.log,
            &self.sequence,
            &self.request,
            &self.latency_micros,
            &self.statements,
            &self.detail,
        ]
    }

    /// The headings of [`Self::narrow`].
    #[must_use]
    pub fn headings() -> String {
        let headings = [
            "TIME",
            "DECISION",
            "OUTCOME",
            "ACTION",
            "SECRET",
            "PRINCIPAL",
            "POD",
            "NODE",
            "NOTE",
        ];
        narrow_line(headings)
    }

    /// What most people look for, and the rest as a note.
    #[must_use]
    pub fn narrow(&self) -> String {
        let secret = match (self.namespace.as_str(), self.secret.as_str()) {
            ("", secret) => secret.to_owned(),
            (namespace, "") => namespace.to_owned(),
            (namespace, secret) => format!("{namespace}/{secret}"),
        };
        let with = |before: &str, text: &str| match text {
            "" => String::new(),
            text => format!("{before}{text}"),
        };
        let several = if matches!(self.count.as_str(), "" | "1") {
            String::new()
        } else {
            format!("{} requests", self.count)
        };
        let requester = match self.requester.as_str() {
            "unattested" => "unattested".to_owned(),
            user => with("for ", user),
        };
        let over = if self.extension_api.is_empty() {
            ""
        } else {
            "over the extension API"
        };
        let elsewhere = if matches!(self.log.as_str(), "changes" | "reads") {
            ""
        } else {
            self.log.as_str()
        };
        let claimed = with("which says: for ", &self.claimed);
        let notes: [&str; 8] = [
            elsewhere,
            &several,
            &self.code,
            &self.version,
            over,
            &claimed,
            &requester,
            &self.detail,
        ];
        let note = notes
            .into_iter()
            .filter(|note| !note.is_empty())
            .collect::<Vec<_>>()
            .join(", ");
        narrow_line([
            &self.time,
            &self.decision,
            &self.outcome,
            &self.action,
            &secret,
            &self.principal,
            &self.pod,
            &self.node,
            &note,
        ])
    }

    /// The headings of [`Self::wide`].
    #[must_use]
    pub fn wide_headings() -> String {
        let headings = COLUMNS.map(|(name, _)| heading(name));
        wide_line(headings.each_ref().map(String::as_str))
    }

    /// Every cell.
    #[must_use]
    pub fn wide(&self) -> String {
        wide_line(self.cells())
    }
}

fn narrow_line(
    [
        time,
        decision,
        outcome,
        action,
        secret,
        principal,
        pod,
        node,
        note,
    ]: [&str; 9],
) -> String {
    // Names and details come from others.
    let [action, secret, principal] = [action, secret, principal].map(shown);
    let [pod, node] = [pod, node].map(shown);
    let line = format!(
        "{time:<24}  {decision:<9}  {outcome:<7}  {action:<24}  {secret:<32}  {principal:<32}  {pod:<24}  {node:<12}  {}",
        visible(note)
    );
    line.trim_end().to_owned()
}

fn wide_line(cells: [&str; COLUMNS.len()]) -> String {
    let cells = cells
        .into_iter()
        .zip(COLUMNS)
        .map(|(cell, (_, width))| format!("{:<width$}", shown(cell)));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// A cell that is never empty, so that columns can be counted.
fn shown(cell: &str) -> String {
    if cell.is_empty() {
        "-".to_owned()
    } else {
        visible(cell).into_owned()
    }
}

/// `latencyMicros` as `LATENCY MICROS`.
fn heading(name: &str) -> String {
    let mut heading = String::with_capacity(name.len() + 2);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            heading.push(' ');
        }
        heading.push(c.to_ascii_uppercase());
    }
    heading
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AuditRecord {
        let json = serde_json::json!({
            "chain": "reads", "sequence": 7, "time": "2026-11-23T20:22:00Z", "principal": "serviceaccount shop/app",
            "action": "GetSecretValue", "decision": "denied", "outcome": "failure", "code": "PolicyDenied",
            "namespace": "shop", "secret": "db", "pod": "app-1", "node": "node-a", "source": "10.1.2.3",
            "statements": ["statement 1 of SecretPolicy `p`", "statement 2 of SecretPolicy `p`"], "count": 3,
            "requester": {"attested": true, "user": "jane\u{1b}[2K"},
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_row_has_pod_and_node_and_leaves_address_and_statements_to_the_wide_one() {
        let row = AuditRow::from(&record());
        let narrow = row.narrow();
        for part in [
            "denied",
            "failure",
            "shop/db",
            "app-1",
            "node-a",
            "3 requests, PolicyDenied, for jane\\u{1b}[2K",
        ] {
            assert!(narrow.contains(part), "{part}: {narrow}");
        }
        let wide = row.wide();
        for part in [
            "10.1.2.3",
            "statement 1 of SecretPolicy `p`; statement 2",
            "reads",
            "\\u{1b}",
        ] {
            assert!(wide.contains(part), "{part}: {wide}");
        }
        for hidden in ["10.1.2.3", "statement"] {
            assert!(!narrow.contains(hidden), "{hidden}: {narrow}");
        }
    }

    #[test]
    fn headings_stand_above_their_cells() {
        let row = AuditRow::from(&record());
        let (headings, narrow) = (AuditRow::headings(), row.narrow());
        for (heading, cell) in [
            ("OUTCOME", "failure"),
            ("POD", "app-1"),
            ("NODE", "node-a"),
            ("NOTE", "3 req"),
        ] {
            assert_eq!(headings.find(heading), narrow.find(cell), "{heading}");
        }
        let (headings, wide) = (AuditRow::wide_headings(), row.wide());
        for (heading, cell) in [
            ("SOURCE", "10.1.2.3"),
            ("LOG", "reads"),
            ("STATEMENTS", "statement 1"),
        ] {
            assert_eq!(headings.find(heading), wide.find(cell), "{heading}");
        }
        assert_eq!(AuditRow::names().count(), row.cells().len());
    }

    #[test]
    fn every_cell_stands_under_the_name_of_its_field() {
        let record = record();
        let fields = serde_json::to_value(&record).unwrap();
        let row = AuditRow::from(&record);
        for (name, cell) in AuditRow::names().zip(row.cells()) {
            match name {
                "log" => assert_eq!(cell, "reads"),
                "time" => assert_eq!(cell, "2026-11-23T20:22:00.000Z"),
                "statements" => assert!(cell.starts_with("statement 1 ") && cell.contains("; "), "{cell}"),
                "requester" => assert_eq!(cell, "jane\u{1b}[2K"),
                name => {
                    let field = &fields[name];
                    let text = field.as_str().map_or_else(|| field.to_string(), str::to_owned);
                    let text = if field.is_null() { String::new() } else { text };
                    assert_eq!(cell, text, "{name}");
                }
            }
        }
    }
}
