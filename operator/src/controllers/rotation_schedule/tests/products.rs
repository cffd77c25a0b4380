//! Default secrets are rotated by schedules of their product alone.

use super::*;
use crate::controllers::declarations;

const MANAGER: &str = "system:serviceaccount:pg-system:pg";

/// With `pg!orders`, a secret of the product `pg` that its manager declares as `orders`.
async fn with_default_secret() -> ControllerFixture {
    let mut world = ControllerFixture::new();
    declarations::begin(&world.ctx).await;
    world.homes(&[(NS, "ns-1"), ("pg-system", "n-1")]);
    world.list_products(Vec::new()).await;
    let product = json!({
        "managers": [{"namespace": "pg-system", "name": "pg"}],
        "namespaces": {}, "hosting": ["Free"], "quota": {"free": {"perNamespace": 2, "total": 3}},
    });
    world.product("pg", product).await;
    let mut spec = generated("orders");
    spec["storeName"] = json!("pg!orders");
    world.apply("orders", spec);
    world.ctx.product_index.saw_secret(NS, "orders", "pg!orders");
    world.attest(&ControllerFixture::path("orders"), MANAGER);
    world.reconcile("orders").await;
    assert_eq!(world.ready("orders"), says("True", "Ready"));
    world
}

/// This user applies a schedule, and it is reconciled.
async fn schedule_as(world: &ControllerFixture, user: &str, name: &str, spec: Json) {
    let kept = schedule(world, name, spec);
    world.attest(&path(name), user);
    attempt(world, &kept, in_days(0)).await;
}

#[tokio::test]
async fn a_default_secret_is_rotated_by_schedules_of_its_product_alone() {
    let mut world = with_default_secret().await;
    let mut looked_at = world.ctx.declared.take_changes().unwrap();
    schedule_as(&world, "jane", "hers", every(1, named(&["orders"]))).await;
    schedule_as(&world, "jane", "all", every(1, json!({"selector": {}}))).await;
    world.reconcile_at("orders", in_days(2)).await.unwrap();
    assert_eq!(world.versions("pg!orders").await, 1);
    assert_eq!(ready(&world, "hers"), says("False", "NotManager"));
    assert_eq!(ready(&world, "all"), says("True", "NothingSelected"));
    // Nor does hers keep the product's from it.
    schedule_as(&world, MANAGER, "theirs", every(1, named(&["orders"]))).await;
    assert_eq!(ready(&world, "theirs"), says("True", "Ready"));
    let (namespace, name) = looked_at.try_recv().unwrap();
    assert_eq!((namespace.as_str(), name.as_str()), (NS, "orders"));
    world.reconcile_at("orders", in_days(2)).await.unwrap();
    assert_eq!(world.status("orders")["rotationSchedule"], "theirs");
    assert_eq!(world.versions("pg!orders").await, 2);
}

#[tokio::test]
async fn a_schedule_of_a_product_that_somebody_else_changes_is_not_the_products_any_more() {
    let mut world = with_default_secret().await;
    schedule_as(&world, MANAGER, "theirs", every(30, named(&["orders"]))).await;
    let changed = schedule(&world, "theirs", every(1, named(&["orders"])));
    // Before anybody knows who it was, and afterwards.
    world.reconcile_at("orders", in_days(2)).await.unwrap();
    assert_eq!(world.versions("pg!orders").await, 1);
    world.attest(&path("theirs"), "jane");
    attempt(&world, &changed, in_days(2)).await;
    assert_eq!(ready(&world, "theirs"), says("False", "NotManager"));
    world.reconcile_at("orders", in_days(2)).await.unwrap();
    assert_eq!(world.versions("pg!orders").await, 1);
}
