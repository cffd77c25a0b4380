//! What became of a policy stands in its status.

use serde_json::{Value as Json, json};

use super::keep;
use crate::controllers::testing::{ControllerFixture, NS, now};
use crate::policies::PolicyGeneration;

fn path() -> String {
    format!("/apis/strongroom.dev/v1alpha1/namespaces/{NS}/secretpolicies/p")
}

/// Another process has the same store.
async fn restarted(world: &mut ControllerFixture) {
    world.ctx.policies = crate::policies::Policies::default();
    keep::find(&world.ctx).await;
}

/// The policy is like this now, the watch says so, and it is reported on.
async fn applied(world: &ControllerFixture, generation: i64, action: &str) -> Json {
    let before = world.api.get(&path()).map(|object| object["status"].clone());
    world.api.put(
        &path(),
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "SecretPolicy",
            "metadata": {"name": "p", "namespace": NS, "uid": "uid-p", "generation": generation},
            "spec": {"secrets": ["db"], "statements": [
                {"effect": "Allow", "principals": [{"serviceAccount": "app"}], "actions": [action]}]},
            "status": before.unwrap_or_else(|| json!({"observedGeneration": -1})),
        }),
    );
    let kept = serde_json::from_value(world.api.get(&path()).unwrap()).unwrap();
    super::watch::seen_policy(&world.ctx, &kept);
    super::reconcile::write(&kept, &world.ctx, now()).await.unwrap();
    world.api.get(&path()).unwrap()["status"].clone()
}

#[tokio::test]
async fn says_what_is_in_force_and_what_does_not_compile() {
    let world = ControllerFixture::new();
    let status = applied(&world, 1, "secrets:GetSecretValue").await;
    assert_eq!(status["conditions"][0]["reason"], "Ready");
    assert_eq!(
        (&status["statements"], &status["generationInForce"]),
        (&json!(1), &json!(1))
    );

    let status = applied(&world, 2, "secrets:Nothing").await;
    let ready = &status["conditions"][0];
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("PolicyInvalid"))
    );
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.starts_with("statement 1, actions[0], column 9: `secrets:Nothing` is not an action")
            && message.ends_with("generation 1 stays in force"),
        "{message}"
    );
    assert_eq!(
        (&status["observedGeneration"], &status["generationInForce"]),
        (&json!(2), &json!(1))
    );

    // The next process finds it in the store.
    let mut world = world;
    restarted(&mut world).await;
    let status = applied(&world, 3, "secrets:Nothing").await;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(message.ends_with("generation 1 stays in force"), "{message}");
    assert_eq!(
        (&status["generationInForce"], &status["statements"]),
        (&json!(1), &json!(1))
    );

    let status = applied(&world, 4, "secrets:*").await;
    assert_eq!(status["conditions"][0]["reason"], "Ready");
    assert_eq!(status["generationInForce"], 4);
    let mut told: Vec<String> = world
        .api
        .events()
        .into_iter()
        .map(|(reason, note)| format!("{reason}: {}", note.split(':').next().unwrap_or_default()))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            "PolicyInForce: generation 1",
            "PolicyInForce: generation 4",
            "PolicyInvalid: generation 2",
            "PolicyInvalid: generation 3",
        ]
    );
    assert_eq!(
        world.ctx.policies.outcome(NS, "p").map(|outcome| outcome.seen),
        Some(PolicyGeneration {
            uid: "uid-p".to_owned(),
            generation: 4
        })
    );
}

#[tokio::test]
async fn principals_of_ram_that_stand_for_nobody_are_said() {
    use super::ram_directory::{namespace_changed, service_account_changed};
    use crate::kube::watch::{ListedObjects, WatchChange};

    let world = ControllerFixture::new();
    let account = "190325303126****";
    world.api.put(
        &path(),
        json!({
            "metadata": {"name": "p", "namespace": NS, "uid": "uid-p", "generation": 1},
            "spec": {"secrets": ["db"], "statements": [{"effect": "Allow", "actions": ["secrets:GetSecretValue"],
                "principals": [{"ram": format!("acs:ram::{account}:user/key_ramuser3")}]}]},
        }),
    );
    let kept = serde_json::from_value(world.api.get(&path()).unwrap()).unwrap();
    super::watch::seen_policy(&world.ctx, &kept);
    let ram = world.ctx.policies.ram();
    let condition = async || {
        world.ctx.policies.resolve_again(NS, "p");
        let kept = serde_json::from_value(world.api.get(&path()).unwrap()).unwrap();
        super::reconcile::write(&kept, &world.ctx, now()).await.unwrap();
        let status = world.api.get(&path()).unwrap()["status"].clone();
        let conditions = status["conditions"].as_array().unwrap();
        assert_eq!(conditions[0]["status"], "True");
        let named = conditions.iter().find(|one| one["type"] == "PrincipalsResolved");
        let text = |field: &str| named.unwrap()[field].as_str().unwrap().to_owned();
        (text("status"), text("reason"), text("message"))
    };
    let (status, reason, _) = condition().await;
    assert_eq!((status.as_str(), reason.as_str()), ("Unknown", "Progressing"));

    let namespace =
        json!({"metadata": {"name": NS, "annotations": {"strongroom.dev/alibaba-account": account}}});
    let namespace = serde_json::from_value(namespace).unwrap();
    namespace_changed(ram, &WatchChange::applied(namespace));
    namespace_changed(ram, &WatchChange::Listed(ListedObjects::default()));
    service_account_changed(ram, &WatchChange::Listed(ListedObjects::default()));
    // The list did not have the Namespace.
    let (status, reason, message) = condition().await;
    assert_eq!((status.as_str(), reason.as_str()), ("False", "PrincipalUnknown"));
    assert_eq!(
        message,
        "`acs:ram::190325303126****:user/key_ramuser3`: no Namespace has the account; annotate one with \
         `strongroom.dev/alibaba-account=190325303126****`"
    );
    let namespace =
        json!({"metadata": {"name": NS, "annotations": {"strongroom.dev/alibaba-account": account}}});
    namespace_changed(
        ram,
        &WatchChange::applied(serde_json::from_value(namespace).unwrap()),
    );
    let service_account = |name: &str| {
        let annotations = json!({"strongroom.dev/ram-user": "key_ramuser3"});
        let object = json!({"metadata": {"name": name, "namespace": NS, "annotations": annotations}});
        WatchChange::applied(serde_json::from_value(object).unwrap())
    };
    service_account_changed(ram, &service_account("one"));
    assert_eq!(
        condition().await,
        (
            "True".to_owned(),
            "PrincipalsResolved".to_owned(),
            "each principal of RAM stands for somebody".to_owned()
        )
    );
    service_account_changed(ram, &service_account("other"));
    let (status, reason, _) = condition().await;
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "PrincipalAmbiguous")
    );
}

#[tokio::test]
async fn what_the_store_lost_is_denied_and_said() {
    let mut world = ControllerFixture::new();
    applied(&world, 1, "secrets:GetSecretValue").await;
    let uid = world.api.get(&path()).unwrap()["metadata"]["uid"].clone();
    world
        .ctx
        .store
        .forget_policy(uid.as_str().unwrap())
        .await
        .unwrap();
    restarted(&mut world).await;
    for generation in [2, 3] {
        let status = applied(&world, generation, "secrets:Nothing").await;
        let message = status["conditions"][0]["message"].as_str().unwrap();
        assert!(
            message.ends_with(
                "generation 1 was in force and the store does not keep it, so everything it is attached to is denied"
            ),
            "{message}"
        );
        assert_eq!(status["generationInForce"], 1);
    }
}

#[tokio::test]
async fn what_does_not_fit_its_type_keeps_what_is_in_force_and_its_status() {
    let mut world = ControllerFixture::new();
    applied(&world, 1, "secrets:GetSecretValue").await;
    restarted(&mut world).await;
    let mut object = world.api.get(&path()).unwrap();
    object["metadata"]["generation"] = json!(2);
    object["spec"]["statements"] = json!("none");
    world.api.put(&path(), object);
    let kept = serde_json::from_value(world.api.get(&path()).unwrap()).unwrap();
    super::watch::seen_policy(&world.ctx, &kept);
    super::reconcile::write(&kept, &world.ctx, now()).await.unwrap();
    let status = world.api.get(&path()).unwrap()["status"].clone();
    assert_eq!(
        status["conditions"][0]["message"],
        "`spec.statements` does not fit its type; apply the object again; generation 1 stays in force"
    );
    assert_eq!(status["generationInForce"], 1);
}

#[tokio::test]
async fn what_cannot_be_kept_is_in_force_and_says_so_until_it_is_kept() {
    let world = ControllerFixture::new();
    // The store takes no name of this length.
    let name = "p".repeat(254);
    let path = path().replace("/p", &format!("/{name}"));
    world.api.put(
        &path,
        json!({
            "metadata": {"name": name, "namespace": NS, "generation": 1, "uid": "u"},
            "spec": {"secrets": ["db"], "statements": [
                {"effect": "Allow", "principals": [{"serviceAccount": "app"}], "actions": ["*"]}]},
        }),
    );
    let kept = serde_json::from_value(world.api.get(&path).unwrap()).unwrap();
    super::watch::seen_policy(&world.ctx, &kept);
    let failure = super::reconcile::write(&kept, &world.ctx, now())
        .await
        .unwrap_err();
    assert!(failure.to_string().contains("at most 253 bytes"), "{failure}");
    let status = world.api.get(&path).unwrap()["status"].clone();
    let ready = &status["conditions"][0];
    assert_eq!(
        (&ready["status"], &status["generationInForce"]),
        (&json!("True"), &json!(1))
    );
    let message = ready["message"].as_str().unwrap();
    assert!(
        message
            .starts_with("1 statements are in force; the store does not keep that for the next start yet:"),
        "{message}"
    );
}

#[tokio::test]
async fn a_restart_writes_nothing_and_a_policy_that_is_gone_is_forgotten() {
    let mut world = ControllerFixture::new();
    applied(&world, 1, "secrets:GetSecretValue").await;
    let commits = world.ctx.store.blocking().anchor().counter;
    restarted(&mut world).await;
    applied(&world, 1, "secrets:GetSecretValue").await;
    world
        .ctx
        .policies
        .policies_listed(&[(NS.to_owned(), "p".to_owned())].into());
    keep::forget(&world.ctx).await.unwrap();
    assert_eq!(world.ctx.store.blocking().anchor().counter, commits);
    assert_eq!(world.ctx.store.kept_policies().await.unwrap().policies.len(), 1);

    restarted(&mut world).await;
    world.ctx.policies.policies_listed(&[].into());
    keep::forget(&world.ctx).await.unwrap();
    assert_eq!(world.ctx.store.kept_policies().await.unwrap().policies, []);
    let commits = world.ctx.store.blocking().anchor().counter;
    keep::forget(&world.ctx).await.unwrap();
    assert_eq!(world.ctx.store.blocking().anchor().counter, commits);
}
