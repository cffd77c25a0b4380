//! Schedules as named scenarios: which secrets they rotate, when, and what they say.

mod claims;
mod due;
mod products;
mod refusals;
mod rotate_now;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};
use strongroom_crds::v1alpha1::RotationSchedule;

use crate::controllers::cached_object::CachedObject;
use crate::controllers::runtime::Reconciler;
use crate::controllers::testing::{ControllerFixture, NS, generated, says};

fn path(name: &str) -> String {
    format!("/apis/strongroom.dev/v1alpha1/namespaces/{NS}/rotationschedules/{name}")
}

/// A schedule has its attempt, with the clock at `at`.
async fn attempt(world: &ControllerFixture, kept: &CachedObject<RotationSchedule>, at: Timestamp) {
    RotationSchedule::reconcile(kept, &world.ctx, at).await.unwrap();
}

/// Applies a schedule, and the watch says so.
fn schedule(world: &ControllerFixture, name: &str, spec: Json) -> CachedObject<RotationSchedule> {
    schedule_with(world, name, spec, json!({}))
}

fn schedule_with(
    world: &ControllerFixture,
    name: &str,
    spec: Json,
    annotations: Json,
) -> CachedObject<RotationSchedule> {
    let written = world.api.put(
        &path(name),
        json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "RotationSchedule", "spec": spec,
            "metadata": {"name": name, "namespace": NS, "generation": 1, "uid": format!("uid-{name}"), "annotations": annotations},
        }),
    );
    let kept: CachedObject<RotationSchedule> = serde_json::from_value(written).unwrap();
    world
        .ctx
        .coverage
        .saw_schedule(NS, Arc::new(kept.parse().unwrap()));
    kept
}

fn every(days: u32, secrets: Json) -> Json {
    json!({"secrets": secrets, "schedule": {"every": format!("{days}d")}, "rotator": {"generate": {}}})
}

fn named(names: &[&str]) -> Json {
    json!({"names": names})
}

/// The real time, by which the store dates what it makes, and so many days.
fn in_days(days: i64) -> Timestamp {
    Timestamp::now()
        .checked_add(SignedDuration::from_hours(24 * days))
        .unwrap()
}

fn ready(world: &ControllerFixture, name: &str) -> (String, String) {
    let status = &world.api.get(&path(name)).unwrap()["status"];
    let conditions = status["conditions"].as_array().unwrap();
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready")
        .unwrap();
    says(
        found["status"].as_str().unwrap(),
        found["reason"].as_str().unwrap(),
    )
}
