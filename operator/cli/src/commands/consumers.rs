//! `consumers`.

use serde_json::Value;

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Format, Output, Table, cell, field, items};

/// Lists who has a secret, and in which version: volumes of pods, callers of the API, pods with the native
/// Secret
///
/// A node reports the versions of its volumes at once. Callers of the API are listed for a day after their
/// last read. Pods with the native Secret are listed with the version at their start, or the one that a
/// volume shows within two minutes.
///
/// Example: kubectl strongroom consumers db-main
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let answer = client.consumers(&arguments.name).await?;
    let others = field(&answer, "otherNamespaces").as_u64().unwrap_or_default();
    if others > 0 && out.format == Format::Table {
        out.progress(&format!(
            "and {others} of other namespaces, shown to whoever a SecretPolicy allows secrets:DescribeSecret"
        ));
    }
    out.print(&answer, || {
        let mut table = Table::new(&[
            "KIND",
            "NAMESPACE",
            "CONSUMER",
            "NODE",
            "STAGE",
            "STATE",
            "VERSION",
        ]);
        for consumer in items(&answer, "consumers") {
            let text = |name| cell(field(consumer, name));
            let pod = !field(consumer, "pod").is_null();
            let who = if pod { text("pod") } else { text("principal") };
            let away = *field(consumer, "away") == true;
            let node = text("node") + if away { " (away)" } else { "" };
            let [kind, namespace, stage] = ["kind", "namespace", "stage"].map(text);
            table.row(vec![
                kind,
                namespace,
                who,
                node,
                stage,
                text("state"),
                text("versionId"),
            ]);
        }
        table
    })
}

/// Whether a consumer is a volume that follows this stage, of a node that is there: nobody knows when another
/// comes back; its volumes are brought up to date then.
fn follows(consumer: &Value, stage: &str) -> bool {
    *field(consumer, "away") != true && field(consumer, "stage") == stage
}

/// How many volumes follow this stage.
pub(super) fn following(answer: &Value, stage: &str) -> usize {
    items(answer, "consumers")
        .iter()
        .filter(|consumer| follows(consumer, stage))
        .count()
}

/// Volumes that follow this stage and do not show this version yet, as `namespace/pod on node`.
pub(super) fn behind(answer: &Value, stage: &str, version: &str) -> Vec<String> {
    let lags = |consumer: &&Value| {
        // Programs that read their files when they start are not waited for; their files are.
        let files = match field(consumer, "state").as_str() {
            Some("Shows") => field(consumer, "versionId"),
            Some("AtStart") => field(consumer, "filesVersionId"),
            _ => &Value::Null,
        };
        let shows = files == version;
        follows(consumer, stage) && !shows
    };
    let name = |consumer: &Value| {
        let text = |name| cell(field(consumer, name));
        format!("{}/{} on {}", text("namespace"), text("pod"), text("node"))
    };
    items(answer, "consumers").iter().filter(lags).map(name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_who_follows_the_stage_is_waited_for() {
        let consumer = |pod: &str, stage: Option<&str>, state: &str, version: &str| json!({"namespace": "shop", "pod": pod, "node": "n", "stage": stage, "state": state, "versionId": version});
        let answer = json!({"consumers": [
            consumer("new", Some("Current"), "Shows", "v-2"),
            consumer("old", Some("Current"), "Shows", "v-1"),
            consumer("unfit", Some("Current"), "NotApplied", "v-2"),
            consumer("previous", Some("Previous"), "Shows", "v-1"),
            consumer("pinned", None, "Shows", "v-1"),
            json!({"namespace": "shop", "pod": "began", "node": "n", "stage": "Current", "state": "AtStart", "versionId": "v-1", "filesVersionId": "v-2"}),
            json!({"namespace": "shop", "pod": "late", "node": "n", "stage": "Current", "state": "AtStart", "versionId": "v-1", "filesVersionId": "v-1"}),
            json!({"namespace": "shop", "pod": "lost", "node": "n", "stage": "Current", "state": "Shows", "versionId": "v-1", "away": true}),
        ]});
        assert_eq!(
            behind(&answer, "Current", "v-2"),
            ["shop/old on n", "shop/unfit on n", "shop/late on n"]
        );
        assert_eq!(following(&answer, "Current"), 5);
    }
}
