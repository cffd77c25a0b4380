//! What became of a policy stands in its status.

use serde_json::{Value as Json, json};

use crate::controllers::testing::{NS, World, now};
use crate::policies::Seen;

fn path() -> String {
    format!("/apis/strongroom.dev/v1alpha1/namespaces/{NS}/secretpolicies/p")
}

/// The policy is like this now, the watch says so, and it is reported on.
async fn applied(world: &World, generation: i64, action: &str) -> Json {
    let before = world.api.get(&path()).map(|object| object["status"].clone());
    world.api.put(
        &path(),
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "SecretPolicy",
            "metadata": {"name": "p", "namespace": NS, "generation": generation},
            "spec": {"secrets": ["db"], "statements": [
                {"effect": "Allow", "principals": [{"serviceAccount": "app"}], "actions": [action]}]},
            "status": before.unwrap_or_else(|| json!({"observedGeneration": -1})),
        }),
    );
    let kept = serde_json::from_value(world.api.get(&path()).unwrap()).unwrap();
    super::super::watches::seen_policy(&world.ctx, &kept);
    super::write(&kept, &world.ctx, now()).await.unwrap();
    world.api.get(&path()).unwrap()["status"].clone()
}

#[tokio::test]
async fn says_what_is_in_force_and_what_does_not_compile() {
    let world = World::new();
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
        message.starts_with("statement 1, actions[0], column 9: `secrets:Nothing` is no action")
            && message.ends_with("generation 1 stays in force"),
        "{message}"
    );
    assert_eq!(
        (&status["observedGeneration"], &status["generationInForce"]),
        (&json!(2), &json!(1))
    );

    // After a restart nobody knows what generation 1 said.
    let mut world = world;
    world.ctx.policies = crate::policies::Policies::default();
    let status = applied(&world, 3, "secrets:Nothing").await;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.ends_with("everything it is attached to is denied"),
        "{message}"
    );
    assert_eq!(status["generationInForce"], 1);

    let status = applied(&world, 4, "secrets:*").await;
    assert_eq!(status["conditions"][0]["reason"], "Ready");
    assert_eq!(status["generationInForce"], 4);
    assert_eq!(
        world.ctx.policies.outcome(NS, "p").map(|outcome| outcome.seen),
        Some(Seen {
            uid: world.api.get(&path()).unwrap()["metadata"]["uid"]
                .as_str()
                .unwrap()
                .to_owned(),
            generation: 4
        })
    );
}
