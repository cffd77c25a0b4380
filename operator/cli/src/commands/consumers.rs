//! `consumers`.

use strongroom_api::v1::{ConsumerState, ConsumersAnswer, SecretConsumer};

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Format, Output, Table, cell_of};

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
    let others = answer.other_namespaces;
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
        for consumer in &answer.consumers {
            table.row(vec![
                cell_of(&consumer.kind),
                cell_of(&consumer.namespace),
                cell_of(consumer.pod.as_ref().unwrap_or(&consumer.principal)),
                cell_of(&consumer.node) + if consumer.away { " (away)" } else { "" },
                cell_of(&consumer.stage),
                cell_of(&consumer.state),
                cell_of(&consumer.version_id),
            ]);
        }
        table
    })
}

/// Whether a consumer is a volume that follows this stage, of a node that is there: nobody knows when another
/// comes back; its volumes are brought up to date then.
fn follows(consumer: &SecretConsumer, stage: &str) -> bool {
    !consumer.away && consumer.stage.as_deref() == Some(stage)
}

/// How many volumes follow this stage.
pub(super) fn following(answer: &ConsumersAnswer, stage: &str) -> usize {
    let consumers = answer.consumers.iter();
    consumers.filter(|consumer| follows(consumer, stage)).count()
}

/// Volumes that follow this stage and do not show this version yet, as `namespace/pod on node`.
pub(super) fn behind(answer: &ConsumersAnswer, stage: &str, version: &str) -> Vec<String> {
    let lags = |consumer: &&SecretConsumer| {
        // Programs that read their files when they start are not waited for; their files are.
        let files = match consumer.state {
            ConsumerState::Shows => consumer.version_id.as_deref(),
            ConsumerState::AtStart => consumer.files_version_id.as_deref(),
            ConsumerState::Waiting
            | ConsumerState::NotApplied
            | ConsumerState::Wiped
            | ConsumerState::Read
            | ConsumerState::Follows => None,
        };
        follows(consumer, stage) && files != Some(version)
    };
    let name = |consumer: &SecretConsumer| {
        let [namespace, pod, node] = [&consumer.namespace, &consumer.pod, &consumer.node].map(cell_of);
        format!("{namespace}/{pod} on {node}")
    };
    answer.consumers.iter().filter(lags).map(name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_who_follows_the_stage_is_waited_for() {
        let volume = |pod: &str, state: &str, version: &str, more: Value| {
            let mut consumer = json!({"kind": "Volume", "principal": "serviceaccount shop/app", "namespace": "shop",
                "pod": pod, "node": "n", "state": state, "versionId": version});
            let more = more.as_object().unwrap().clone();
            consumer.as_object_mut().unwrap().extend(more);
            consumer
        };
        let current = || json!({"stage": "Current"});
        let answer = json!({"readersSince": "", "readersComplete": true, "complete": true, "consumers": [
            volume("new", "Shows", "v-2", current()),
            volume("old", "Shows", "v-1", current()),
            volume("unfit", "NotApplied", "v-2", current()),
            volume("previous", "Shows", "v-1", json!({"stage": "Previous"})),
            volume("pinned", "Shows", "v-1", json!({})),
            volume("began", "AtStart", "v-1", json!({"stage": "Current", "filesVersionId": "v-2"})),
            volume("late", "AtStart", "v-1", json!({"stage": "Current", "filesVersionId": "v-1"})),
            volume("lost", "Shows", "v-1", json!({"stage": "Current", "away": true})),
        ]});
        let answer: ConsumersAnswer = serde_json::from_value(answer).unwrap();
        assert_eq!(
            behind(&answer, "Current", "v-2"),
            ["shop/old on n", "shop/unfit on n", "shop/late on n"]
        );
        assert_eq!(following(&answer, "Current"), 5);
    }
}
