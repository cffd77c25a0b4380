//! What the process with the store says of itself: it writes it twice a minute into the ConfigMap of
//! [`crate::backup_status`], where `kubectl strongroom status` reads it. Nothing in it is secret.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Key of the ConfigMap, which holds a [`ProcessReport`] as JSON.
pub const PROCESS_REPORT_KEY: &str = "process.json";
/// Annotation of the APIService: until when the certificate is valid by which the extension API serves.
pub const CERTIFICATE_ENDS_ANNOTATION: &str = "strongroom.dev/certificate-ends";

/// What the process says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessReport {
    /// When it said so.
    pub at: Timestamp,
    /// Release of the process, such as `0.1.0`.
    pub version: String,
    /// The open store.
    pub store: StoreReport,
    /// The volume that the store lies on; none where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeReport>,
    /// How much there is of the audit log.
    pub audit: AuditReport,
    /// Where audit records go.
    #[serde(default)]
    pub sinks: Vec<SinkReport>,
    /// Those by which this process and the webhook serve.
    #[serde(default)]
    pub certificates: Vec<CertificateReport>,
    /// Node plugins; none where the process takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodesReport>,
    /// Deletions that wait for a person, by kind.
    #[serde(default)]
    pub waiting_deletions: Vec<KindCount>,
    /// Objects whose last reconcile failed, by kind.
    #[serde(default)]
    pub failing_objects: Vec<KindCount>,
    /// Secrets whose rotation is more than fifteen minutes late.
    #[serde(default)]
    pub overdue_rotations: u64,
    /// The fullest namespaces, of those that use half of what they may.
    #[serde(default)]
    pub fullest_namespaces: Vec<NamespaceShareReport>,
    /// Products, by code.
    #[serde(default)]
    pub products: Vec<ProductReport>,
}

/// The open store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreReport {
    /// The format that its records are written in.
    pub format: u8,
    /// Commits since it was created.
    pub commits: u64,
    /// Secrets, those in a recovery window included.
    pub secrets: u64,
    /// Size of its file.
    pub bytes: u64,
    /// When it last answered a look at its records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Timestamp>,
}

/// Space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeReport {
    /// Bytes that the file system of the store has in all.
    pub bytes: u64,
    /// What is left of it.
    pub free_bytes: u64,
}

/// How much there is of the audit log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// Both chains together.
    pub bytes: u64,
    /// At how many reads stop; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_bytes: Option<u64>,
    /// How many hours it holds at the present rate; none: nothing is ever cut, or it is not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_hours: Option<f64>,
    /// Whether reads are refused because it is full.
    pub full: bool,
}

/// A sink of audit records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkReport {
    /// As logs and metrics name it.
    pub name: String,
    /// Age of the oldest record that it has not taken.
    pub lag_seconds: u64,
    /// Attempts in which it took no records, since the process started.
    pub failures: u64,
    /// Records that were cut before it had taken them, since the process started.
    pub lost_records: u64,
}

/// A certificate that somebody serves by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateReport {
    /// Who serves by it.
    pub server: String,
    /// When it ends.
    pub ends: Timestamp,
}

/// Node plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodesReport {
    /// Those that have a stream, by release.
    pub plugins: Vec<PluginVersionCount>,
    /// Volumes of pods whose node has no stream.
    pub volumes_away: u64,
}

/// How many node plugins are of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginVersionCount {
    /// The release, as the plugins say.
    pub version: String,
    /// On how many nodes one runs.
    pub nodes: u64,
}

/// How many objects of a kind there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KindCount {
    /// Such as `ManagedSecret`.
    pub kind: String,
    /// So many.
    pub count: u64,
}

/// What a namespace has of the store, and may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceShareReport {
    /// `metadata.name` of the Namespace.
    pub namespace: String,
    /// Secrets, those in recovery windows included.
    pub secrets: u64,
    /// The most that it may have.
    pub max_secrets: u64,
    /// Bytes of their rows.
    pub bytes: u64,
    /// How many those may be.
    pub max_bytes: u64,
}

/// A product, and what it has of its quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductReport {
    /// Name of its SecretProduct.
    pub code: String,
    /// Default secrets, those in recovery windows included.
    pub secrets: u64,
    /// The most that it may have.
    pub max_secrets: u64,
    /// Reason of the condition that is not True.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_travels_as_json_and_what_another_release_says_is_read() {
        let report = ProcessReport {
            at: "2026-11-24T05:00:00Z".parse().unwrap(),
            version: "0.1.0".to_owned(),
            store: StoreReport {
                format: 1,
                commits: 7,
                ..StoreReport::default()
            },
            volume: Some(VolumeReport {
                bytes: 100,
                free_bytes: 40,
            }),
            audit: AuditReport {
                held_hours: Some(41.5),
                ..AuditReport::default()
            },
            sinks: Vec::new(),
            certificates: vec![CertificateReport {
                server: "gateway".to_owned(),
                ends: "2026-12-24T05:00:00Z".parse().unwrap(),
            }],
            nodes: None,
            waiting_deletions: Vec::new(),
            failing_objects: Vec::new(),
            overdue_rotations: 0,
            fullest_namespaces: Vec::new(),
            products: Vec::new(),
        };
        let text = serde_json::to_string(&report).unwrap();
        assert!(
            text.starts_with(
                r#"{"at":"2026-11-24T05:00:00Z","version":"0.1.0","store":{"format":1,"commits":7,"secrets":0,"bytes":0},"volume":{"bytes":100,"freeBytes":40}"#
            ),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<ProcessReport>(&text).unwrap(), report);
        let other = r#"{"at":"2026-11-24T05:00:00Z","version":"9","audit":{"bytes":1,"full":false},"somethingNew":1,
            "store":{"format":2,"commits":1,"secrets":0,"bytes":0}}"#;
        assert_eq!(
            serde_json::from_str::<ProcessReport>(other).unwrap().store.format,
            2
        );
    }
}
