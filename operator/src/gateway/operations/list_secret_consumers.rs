//! ListSecretConsumers: `GET /v1/namespaces/{namespace}/secrets/{name}/consumers`: who has which version of
//! the secret: volumes of pods, as their nodes acknowledged it; callers of the API, by what each read last
//! within a day; pods with the native Secret, by their specs and start times.

use strongroom_api::v1::{ConsumerKind, ConsumerState, ConsumersAnswer, SecretConsumer};
use strongroom_model::name::{Stage, VersionId};
use strongroom_rules::policy::Action;

use super::metadata;
use crate::consumers::pods::PodConsumer;
use crate::consumers::readers::Reader;
use crate::consumers::volumes::{FollowedVersion, ShownVersion, VolumeConsumer};
use crate::gateway::operation::Input;
use crate::gateway::problem::Problem;
use crate::gateway::request::{OperationContext, SecretPath};

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath>,
) -> Result<ConsumersAnswer, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let what = (Action::DescribeSecret, "consumers");
    metadata::answer_blocking(
        gateway,
        request,
        input.path,
        what,
        |gateway, request, authorised| {
            let (known, secret) = (&gateway.consumers, authorised.secret());
            let previous = secret.stages.get(&Stage::Previous).map(VersionId::as_str);
            let volumes = known.volume_consumers(secret.id, previous, request.now());
            let readers = known.readers().for_secret(secret.id);
            let pods = known.pods().for_secret(secret.id, request.now());
            let all = volumes.into_iter().map(volume);
            let all = all.chain(readers.into_iter().map(reader));
            let all = all.chain(pods.into_iter().map(pod));
            let home = authorised.path().namespace().name();
            let elsewhere = |consumer: &SecretConsumer| {
                let namespace = consumer.namespace.as_deref();
                authorised.decision().rbac && namespace.is_some_and(|namespace| namespace != home)
            };
            let (others, consumers): (Vec<SecretConsumer>, Vec<SecretConsumer>) = all.partition(elsewhere);
            Ok(ConsumersAnswer {
                consumers,
                other_namespaces: others.len(),
                readers_since: known.since().to_string(),
                readers_complete: known.readers().complete_for(secret.id),
                complete: known.complete(),
            })
        },
    )
    .await
}

fn volume(volume: VolumeConsumer) -> SecretConsumer {
    let (state, version, files) = match (volume.shows, volume.at_start) {
        (ShownVersion::Version(id), Some(first)) => (ConsumerState::AtStart, Some(first), Some(id)),
        (ShownVersion::Version(id), None) => (ConsumerState::Shows, Some(id), None),
        (ShownVersion::Nothing, _) => (ConsumerState::Waiting, None, None),
        (ShownVersion::Not(id, _), _) => (ConsumerState::NotApplied, Some(id), None),
        (ShownVersion::Wiped, _) => (ConsumerState::Wiped, None, None),
    };
    SecretConsumer {
        kind: ConsumerKind::Volume,
        node: Some(volume.node),
        namespace: Some(volume.namespace),
        pod: Some(volume.pod),
        principal: volume.account,
        stage: match volume.follows {
            FollowedVersion::Stage(stage) => Some(stage.to_string()),
            FollowedVersion::Version(_) => None,
        },
        state,
        version_id: version.map(|id| id.to_string()),
        files_version_id: files.map(|id| id.to_string()),
        last_read: None,
        away: volume.away,
    }
}

fn reader(reader: Reader) -> SecretConsumer {
    SecretConsumer {
        kind: ConsumerKind::Reader,
        node: reader.node,
        namespace: reader.namespace,
        pod: reader.pod,
        principal: reader.principal,
        stage: None,
        state: ConsumerState::Read,
        version_id: Some(reader.version.to_string()),
        files_version_id: None,
        last_read: Some(reader.last.to_string()),
        away: false,
    }
}

fn pod(pod: PodConsumer) -> SecretConsumer {
    SecretConsumer {
        kind: ConsumerKind::NativeSecret,
        node: Some(pod.node),
        namespace: Some(pod.namespace),
        pod: Some(pod.pod),
        principal: pod.account,
        stage: None,
        state: if pod.at_start {
            ConsumerState::AtStart
        } else {
            ConsumerState::Follows
        },
        version_id: Some(pod.version),
        files_version_id: None,
        last_read: None,
        away: false,
    }
}
