//! `status.consumers`: how many have which version, and what has to be known of the native Secret to say so.

use jiff::Timestamp;
use strongroom_crds::v1alpha1::{ManagedSecretStatus, NativeSecretStatus, VersionConsumers};
use strongroom_rules::consumers::Former;

use crate::consumers::pods::Native;
use crate::controllers::Ctx;
use crate::controllers::identity::Identity;
use crate::controllers::store::View;

/// How many versions are listed, the newest first.
const VERSIONS: usize = 16;

/// Counts them. Answers when some have another version than now without anything being told.
pub(super) fn count<S>(
    ctx: &Ctx<S>,
    status: &mut ManagedSecretStatus,
    before: &ManagedSecretStatus,
    view: &View,
    identity: &Identity,
    now: Timestamp,
) -> Option<Timestamp> {
    let native = status.native_secret.as_ref().map(|native| Native {
        namespace: identity.namespace.clone(),
        name: native.name.clone(),
        current: native.version_id.clone(),
        former: formers(native),
    });
    ctx.consumers.pods().native(view.id, native);
    if !ctx.consumers.complete() {
        // What was counted by the process before is nearer to the truth than what has come back by now.
        status.consumers.clone_from(&before.consumers);
        return None;
    }
    let counted = ctx.consumers.count(view.id, now);
    let age = |version: &str| {
        let known = view.versions.iter().find(|known| known.id == version);
        known.map(|known| known.seq)
    };
    let mut versions: Vec<_> = counted.versions.into_iter().collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(age(version)));
    status.consumers = versions
        .into_iter()
        .take(VERSIONS)
        .map(|(version_id, count)| VersionConsumers {
            version_id,
            volumes: count.volumes,
            readers: count.readers,
            pods: count.pods,
        })
        .collect();
    counted.settles
}

/// What a native Secret held before, as the status says it.
pub(super) fn formers(native: &NativeSecretStatus) -> Vec<Former> {
    let former = native.former.iter().map(|former| Former {
        version: former.version_id.clone(),
        until: former.until.0,
    });
    former.collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use kube::runtime::watcher::Event;
    use serde_json::json;
    use strongroom_rules::policy::Identity;

    use crate::consumers::Consumers;
    use crate::consumers::readers::Who;
    use crate::controllers::managed_secret::reconcile_at;
    use crate::controllers::testing::{NS, World, generated, now};

    #[tokio::test]
    async fn the_status_counts_who_has_which_version() {
        let mut world = World::new();
        world.apply("db", generated("db"));
        world.reconcile("db").await;
        assert_eq!(world.status("db")["consumers"], json!(null));
        let first = world.status("db")["stages"]["Current"].clone();
        let started = |pod: &str, at: jiff::Timestamp, uses: serde_json::Value| {
            let pod = json!({
                "metadata": {"namespace": NS, "name": pod},
                "spec": {"nodeName": "n", "serviceAccountName": "app", "containers": [uses],
                    "volumes": [{"name": "db", "secret": {"secretName": "db"}}]},
                "status": {"containerStatuses": [{"name": "c", "state": {"running": {"startedAt": at.to_string()}}}]},
            });
            Event::Apply(serde_json::from_value(pod).unwrap())
        };
        let variable = || json!({"name": "c", "envFrom": [{"secretRef": {"name": "db"}}]});
        let volume = || json!({"name": "c", "volumeMounts": [{"name": "db", "mountPath": "/db"}]});
        let pods = world.ctx.consumers.pods();
        let _ = pods.event(None, &started("old", now(), variable()));
        let _ = pods.event(None, &started("follows", now(), volume()));
        let view = world.view("db").await.unwrap();
        let app = Identity::of("system:serviceaccount:shop:app");
        let who = Who {
            identity: &app,
            pod: None,
            node: None,
        };
        let version = first.as_str().unwrap().parse().unwrap();
        world.ctx.consumers.readers().read(view.id, &version, who, now());
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
        let _ = pods.event(None, &started("new", later, variable()));
        let kept = world.kept("db");
        let next = reconcile_at(&kept, &world.ctx, later).await.unwrap();
        assert!(format!("{next:?}").contains("60.05"), "{next:?}");
        world.watch("db");
        let expected =
            json!([{"versionId": second, "pods": 1}, {"versionId": first, "readers": 1, "pods": 2}]);
        assert_eq!(world.status("db")["consumers"], expected);
        world.reconcile_at("db", later + minute).await.unwrap();
        let expected =
            json!([{"versionId": second, "pods": 2}, {"versionId": first, "readers": 1, "pods": 1}]);
        assert_eq!(world.status("db")["consumers"], expected);

        // A new process knows nobody yet: what was counted stays until all have had the time to come back.
        world.ctx.consumers = Consumers::new(later);
        world.reconcile_at("db", later + minute).await.unwrap();
        assert_eq!(world.status("db")["consumers"], expected);
        world.ctx.consumers = Consumers::complete_from(later);
        world.reconcile_at("db", later + minute).await.unwrap();
        assert_eq!(world.status("db")["consumers"], json!(null));
    }
}
