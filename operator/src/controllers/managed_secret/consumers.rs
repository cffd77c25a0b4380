//! `status.consumers`: how many have which version, and what has to be known of the native Secret to say so.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use strongroom_crds::condition::ConditionType;
use strongroom_crds::v1alpha1::{ManagedSecretStatus, NativeSecretStatus, VersionConsumers};
use strongroom_rules::consumers::ReplacedVersion;
use strongroom_rules::managed_secret::conditions::delivery_condition;
use strongroom_store::vault::SecretView;

use crate::consumers::ConsumerCounts;
use crate::consumers::pods::NativeSecretHistory;
use crate::controllers::Ctx;
use crate::controllers::identity::Identity;
use crate::controllers::runtime::status_writer;

/// How many versions are listed, the newest first.
const MAX_VERSIONS: usize = 16;
/// A volume that has not shown a new version after so long is behind.
const DELIVERY_TIMEOUT: SignedDuration = SignedDuration::from_secs(30);

/// Counts them; `immutable` says whether the native Secret is. Answers when some have another version than
/// now without anything being told.
pub(super) fn count(
    ctx: &Ctx,
    status: &mut ManagedSecretStatus,
    before: &ManagedSecretStatus,
    view: &SecretView,
    (identity, immutable): (&Identity, bool),
    now: Timestamp,
) -> Option<Timestamp> {
    let native = status.native_secret.as_ref().map(|native| NativeSecretHistory {
        namespace: identity.namespace.clone(),
        name: native.name.clone(),
        current: native.version_id.clone(),
        former: replaced_versions(native),
        immutable,
    });
    ctx.consumers.pods().native(view.id, native);
    if !ctx.consumers.complete() {
        // What was counted by the process before is nearer to the truth than what has come back by now.
        status.consumers.clone_from(&before.consumers);
        let known = before
            .conditions
            .iter()
            .filter(|condition| condition.type_ == ConditionType::Delivered.as_str());
        status.conditions.extend(known.cloned());
        return None;
    }
    let counted = ctx.consumers.count(view.id, &view.stages, now);
    let wake = delivered(status, before, &counted, now);
    let age = |version: &str| {
        let known = view.versions.iter().find(|known| known.id.as_str() == version);
        known.map(|known| known.sequence)
    };
    let mut versions: Vec<_> = counted.versions.into_iter().collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(age(version)));
    status.consumers = versions
        .into_iter()
        .take(MAX_VERSIONS)
        .map(|(version_id, count)| VersionConsumers {
            version_id,
            volumes: count.volumes,
            readers: count.readers,
            pods: count.pods,
        })
        .collect();
    counted.settles.into_iter().chain(wake).min()
}

/// The condition `Delivered`. That a new version is on its way is no news: it says so only of those that stay
/// behind. Answers when to look again.
fn delivered(
    status: &mut ManagedSecretStatus,
    before: &ManagedSecretStatus,
    counted: &ConsumerCounts,
    now: Timestamp,
) -> Option<Timestamp> {
    let late = counted
        .behind
        .as_ref()
        .map(|(_, since)| *since + DELIVERY_TIMEOUT);
    let condition = match &counted.behind {
        Some(_) if late.is_some_and(|late| now < late) => {
            let known = |condition: &&Condition| condition.type_ == ConditionType::Delivered.as_str();
            before.conditions.iter().find(known).cloned()
        }
        Some((behind, _)) => delivery_condition(counted.volumes, behind, status.observed_generation, now),
        None => delivery_condition(counted.volumes, &[], status.observed_generation, now),
    };
    let others = std::mem::take(&mut status.conditions);
    let wanted = others.into_iter().chain(condition).collect();
    status.conditions = status_writer::conditions(&before.conditions, wanted);
    late.filter(|late| now < *late)
}

/// What a native Secret held before, as the status says it.
pub(super) fn replaced_versions(native: &NativeSecretStatus) -> Vec<ReplacedVersion> {
    let former = native.former.iter().map(|former| ReplacedVersion {
        version: former.version_id.clone(),
        until: former.until.0,
    });
    former.collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;
    use strongroom_crds::v1alpha1::ManagedSecret;
    use strongroom_rules::policy::Identity;

    use crate::consumers::ConsumerIndex;
    use crate::consumers::readers::ReaderIdentity;
    use crate::consumers::volumes::{FollowedVersion, VolumeOwner, VolumeSecret};
    use crate::controllers::runtime::Reconciler;
    use crate::controllers::testing::{ControllerFixture, NS, generated, now, says};
    use crate::kube::watch::WatchChange;

    #[tokio::test]
    async fn the_status_counts_who_has_which_version() {
        let mut world = ControllerFixture::with_secret("db", generated("db")).await;
        assert_eq!(world.status("db")["consumers"], json!(null));
        let first = world.status("db")["stages"]["Current"].clone();
        let started = |pod: &str, at: jiff::Timestamp, uses: serde_json::Value| {
            let pod = json!({
                "metadata": {"namespace": NS, "name": pod},
                "spec": {"nodeName": "n", "serviceAccountName": "app", "containers": [uses],
                    "volumes": [{"name": "db", "secret": {"secretName": "db"}}]},
                "status": {"containerStatuses": [{"name": "c", "state": {"running": {"startedAt": at.to_string()}}}]},
            });
            WatchChange::applied(serde_json::from_value(pod).unwrap())
        };
        let variable = || json!({"name": "c", "envFrom": [{"secretRef": {"name": "db"}}]});
        let volume = || json!({"name": "c", "volumeMounts": [{"name": "db", "mountPath": "/db"}]});
        let pods = world.ctx.consumers.pods();
        let _ = pods.change(None, &started("old", now(), variable()));
        let _ = pods.change(None, &started("follows", now(), volume()));
        let view = world.view("db").await.unwrap();
        let app = Identity::from_username("system:serviceaccount:shop:app");
        let who = ReaderIdentity {
            identity: &app,
            pod: None,
            node: None,
        };
        let version = first.as_str().unwrap().parse().unwrap();
        world
            .ctx
            .consumers
            .readers()
            .record_read(view.id, &version, who, now());
        world.reconcile("db").await;
        assert_eq!(
            world.status("db")["consumers"],
            json!([{"versionId": first, "readers": 1, "pods": 2}])
        );

        // A rotation: who started before it has what was there then, and a volume follows.
        let minute = SignedDuration::from_mins(1);
        world.annotate("db", "strongroom.dev/rotate-now", "go");
        world.reconcile_at("db", now() + minute).await.unwrap();
        let second = world.status("db")["stages"]["Current"].clone();
        assert_ne!(first, second);
        let former = &world.status("db")["nativeSecret"]["former"];
        assert_eq!(former[0]["versionId"], first);
        assert_eq!(
            world.status("db")["consumers"],
            json!([{"versionId": first, "readers": 1, "pods": 2}])
        );
        let later = now() + minute + minute;
        let pods = world.ctx.consumers.pods();
        let _ = pods.change(None, &started("new", later, variable()));
        let kept = world.kept("db");
        let next = ManagedSecret::reconcile(&kept, &world.ctx, later).await.unwrap();
        assert!(format!("{next:?}").contains("60.05"), "{next:?}");
        world.watch("db");
        let expected =
            json!([{"versionId": second, "pods": 1}, {"versionId": first, "readers": 1, "pods": 2}]);
        assert_eq!(world.status("db")["consumers"], expected);
        world.reconcile_at("db", later + minute).await.unwrap();
        let expected =
            json!([{"versionId": second, "pods": 2}, {"versionId": first, "readers": 1, "pods": 1}]);
        assert_eq!(world.status("db")["consumers"], expected);

        // A volume that does not come to show the new version is named, once the others had the time to.
        assert_eq!(world.condition("db", "Delivered"), None);
        let volumes = world.ctx.consumers.volumes();
        let whose = VolumeOwner {
            namespace: NS,
            pod: "app-1",
            account: "serviceaccount shop/app",
        };
        volumes.subscribed("n", "vol", whose);
        let told = VolumeSecret {
            secret: view.id,
            namespace: NS,
            which: &FollowedVersion::Stage(strongroom_model::name::Stage::Current),
            shown: Some(first.as_str().unwrap()),
            at_start: None,
        };
        let _ = volumes.secrets_sent("n", "vol", std::iter::once(told));
        let seconds = SignedDuration::from_secs;
        world.reconcile_at("db", later + minute).await.unwrap();
        assert_eq!(world.condition("db", "Delivered"), None);
        world
            .reconcile_at("db", later + minute + seconds(29))
            .await
            .unwrap();
        assert_eq!(world.condition("db", "Delivered"), None);
        world
            .reconcile_at("db", later + minute + seconds(30))
            .await
            .unwrap();
        assert_eq!(
            world.condition("db", "Delivered").unwrap(),
            says("False", "VolumesBehind")
        );
        let _ = world.ctx.consumers.volumes().unsubscribed("n", "vol");
        world
            .reconcile_at("db", later + minute + seconds(31))
            .await
            .unwrap();
        assert_eq!(world.condition("db", "Delivered"), None);

        // A new process knows nobody yet: what was counted stays until all have had the time to come back.
        world.ctx.consumers = ConsumerIndex::new(later);
        world.reconcile_at("db", later + minute).await.unwrap();
        assert_eq!(world.status("db")["consumers"], expected);
        world.ctx.consumers = ConsumerIndex::complete_from(later);
        world.reconcile_at("db", later + minute).await.unwrap();
        assert_eq!(world.status("db")["consumers"], json!(null));
    }
}
