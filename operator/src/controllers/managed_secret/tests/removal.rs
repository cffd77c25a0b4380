//! A native Secret that the spec does not name any more: it goes, unless somebody else claims it.

use serde_json::json;

use super::native;
use crate::controllers::testing::{ControllerFixture, generated, says};

async fn world() -> ControllerFixture {
    ControllerFixture::with_secret("db", generated("db")).await
}

#[tokio::test]
async fn a_secret_that_somebody_claims_stays_when_it_is_renamed_or_not_wanted_any_more() {
    let renamed = generated("db2");
    let removed = json!({"source": renamed["source"]});
    for spec in [renamed, removed] {
        let mut world = world().await;
        let mut owned = world.api.get(&native("db")).unwrap();
        owned["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "o"}]);
        world.edited_natively(&native("db"), owned);
        world.reconcile("db").await;
        let password = world.api.secret_key("db", "password");
        let wanted = spec["secret"]["name"].as_str().map(str::to_owned);
        world.apply_now("db", spec).await;
        assert_eq!(world.ready("db"), says("True", "Ready"));
        assert_eq!(world.api.secret_key("db", "password"), password);
        let recorded = world.view("db").await.unwrap().materialized;
        assert_eq!(recorded.map(|native| native.name), wanted);
        let events = world.api.events();
        let said = events.iter().filter(|(reason, note)| {
            reason == "SecretClaimed" && note.contains("`db` is not deleted: ConfigMap `owner` owns it")
        });
        assert_eq!(said.count(), 1, "{events:?}");
    }
}

#[tokio::test]
async fn a_secret_that_changed_since_it_was_judged_is_not_replaced() {
    let mut world = world().await;
    let mut spec = generated("db");
    spec["secret"]["type"] = json!("example.com/password");
    world.apply("db", spec);
    world.api.fail("DELETE", 409);
    world.reconcile("db").await;
    let log = world.api.log();
    let deletes = log.iter().filter(|line| line.starts_with("DELETE")).count();
    assert_eq!(deletes, 2, "judged anew, and then deleted: {log:?}");
    assert_eq!(world.ready("db"), says("True", "Ready"));
}
