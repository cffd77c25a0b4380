//! What the API server does not take: what is said of it, and that all goes on when it takes it.

use serde_json::{Value as Json, json};

use super::native;
use crate::controllers::testing::{ControllerFixture, generated, now, says};

/// All that can be read of the object by others than who has the value.
fn told(world: &ControllerFixture) -> String {
    format!("{} {:?}", world.status("db"), world.api.events())
}

#[tokio::test]
async fn a_docker_configuration_that_is_no_json_shows_nothing_of_the_password() {
    // JSON that a quote of the value breaks.
    let spec = |password: &str, template: &str| {
        json!({
            "source": {"generate": {"keys": {"password": {"literal": password}}}},
            "secret": {
                "name": "db", "type": "kubernetes.io/dockerconfigjson", "template": {".dockerconfigjson": template},
            },
        })
    };
    let plain = "{\"auths\":{\"r\":{\"password\":\"{{ password }}\"}}}";
    let mut said = Vec::new();
    for password in ["abc\"Zdef", "abc\"7def", "\"q"] {
        let mut world = ControllerFixture::with_secret("db", spec(password, plain)).await;
        assert_eq!(world.ready("db"), says("False", "TemplateInvalid"));
        assert_eq!(world.api.get(&native("db")), None, "it is not even sent");
        let message = world.message("db", "Ready");
        assert!(
            message.contains(".dockerconfigjson") && message.contains("tojson"),
            "{message}"
        );
        said.push((message, world.api.events()));
        // What the message says works.
        let fixed = "{\"auths\":{\"r\":{\"password\":{{ password | tojson }}}}}";
        world.apply_now("db", spec(password, fixed)).await;
        assert_eq!(world.ready("db"), says("True", "Ready"));
    }
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");

    // What the API server itself says quotes the value.
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    let message = "Secret \"db\" is invalid: data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid \
                   character 'Z' after object key:value pair";
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 422, "reason": "Invalid", "message": message,
        "details": {"kind": "Secret", "name": "db", "causes": [{
            "reason": "FieldValueInvalid", "field": "data[.dockerconfigjson]", "message": "invalid character 'Z'",
        }]},
    });
    world.api.refuse(&format!("PATCH {}", native("db")), status);
    let failure = world.reconcile_at("db", now()).await.unwrap_err().to_string();
    assert_eq!(world.ready("db"), says("False", "TargetRefused"));
    let told = told(&world);
    for text in [&failure, &told] {
        assert!(
            text.contains("Secret `db`: `data[.dockerconfigjson]` is not valid"),
            "{text}"
        );
        for theirs in ["'Z'", "invalid character", "Status {", "ApiError"] {
            assert!(!text.contains(theirs), "{text}");
        }
    }
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));
}

#[tokio::test]
async fn a_full_quota_is_named_and_ready_when_it_is_raised() {
    let quota = |name: &str| -> Json {
        let message = "secrets \"db\" is forbidden: exceeded quota: small, requested: secrets=1, used: secrets=5, limited: secrets=5";
        json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": message,
            "details": {"kind": "secrets", "name": name},
        })
    };
    let mut world = ControllerFixture::new();
    world.apply("db", generated("db"));
    for _ in 0..2 {
        world.api.refuse(&format!("PATCH {}", native("db")), quota("db"));
        let failure = world.reconcile_at("db", now()).await.unwrap_err().to_string();
        assert_eq!(world.ready("db"), says("False", "TargetRefused"));
        let message = world.message("db", "Ready");
        assert_eq!(message, failure);
        assert_eq!(
            message,
            "ResourceQuota `small` does not let secrets `db` be made; raise it, or delete what is not needed"
        );
        assert_eq!(world.api.get(&native("db")), None);
    }
    // One value was made, and it is the one that arrives.
    assert_eq!(world.versions("db").await, 1);
    world.reconcile("db").await;
    assert_eq!(world.ready("db"), says("True", "Ready"));

    // Under a full one what is there rotates: no Secret comes to it.
    world.annotate("db", "strongroom.dev/rotate-now", "word");
    world.api.log();
    world.reconcile("db").await;
    assert_eq!(world.condition("db", "Rotated").unwrap(), says("True", "Rotated"));
    assert_eq!(world.api.logged("DELETE"), Vec::<String>::new());
}
