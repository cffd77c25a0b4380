//! The promise: with the chart's snippet, Argo CD shows how an object stands. The snippet's Lua runs here as
//! Argo CD runs it: Lua 5.1 with the base and table libraries alone, the object in the global `obj`. The
//! conditions are those that the controller writes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

use jiff::Timestamp;
use mlua::{Lua, LuaOptions, LuaSerdeExt, StdLib};
use serde_json::{Value, json};
use strongroom_crds::condition::{ConditionStatus, Reason};
use strongroom_rules::managed_secret::conditions::{ReadySummary, ready_conditions};
use strongroom_rules::managed_secret::verdict::{SecretBlocker, SecretVerdict};

const KINDS: [&str; 2] = ["ManagedSecret", "RotationSchedule"];

/// The Lua of a kind, out of the values that people give to the argo-cd chart.
fn snippet(kind: &str) -> String {
    let values: Value =
        serde_saphyr::from_str(include_str!("../../charts/strongroom/files/argocd-values.yaml")).unwrap();
    let key = format!("resource.customizations.health.strongroom.dev_{kind}");
    values["configs"]["cm"][key].as_str().unwrap().to_owned()
}

/// Status and message that the Lua gives an object.
fn health(object: &Value) -> (String, String) {
    let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default()).unwrap();
    let options = mlua::SerializeOptions::new()
        .serialize_none_to_null(false)
        .serialize_unit_to_null(false);
    lua.globals()
        .set("obj", lua.to_value_with(object, options).unwrap())
        .unwrap();
    let answer: mlua::Table = lua
        .load(snippet(object["kind"].as_str().unwrap()))
        .eval()
        .unwrap();
    (answer.get("status").unwrap(), answer.get("message").unwrap())
}

/// An object of generation 2 that the controller has seen at `observed`.
fn object(kind: &str, observed: i64, standing: Option<&ReadySummary>) -> Value {
    let conditions =
        standing.map(|standing| ready_conditions(standing, Some(observed), Timestamp::UNIX_EPOCH));
    let mut status = json!({"observedGeneration": observed});
    if let Some(conditions) = conditions {
        status["conditions"] = json!(conditions);
    }
    json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "checkout-db", "namespace": "shop", "generation": 2},
        "spec": {}, "status": status,
    })
}

fn standing(verdict: &SecretVerdict) -> ReadySummary {
    ReadySummary::from_verdict(verdict).unwrap()
}

#[test]
fn every_way_to_stand_has_its_health() {
    let ready = SecretVerdict::Ready {
        secret: "7f3c".to_owned(),
    };
    let in_window = SecretBlocker::InRecoveryWindow {
        secret: "7f3c".to_owned(),
        until: Timestamp::UNIX_EPOCH,
    };
    let missing = SecretBlocker::ImportMissing {
        name: "legacy".to_owned(),
    };
    let awaited = SecretBlocker::AwaitingValue {
        name: "token".to_owned(),
    };
    let not_awaited = SecretVerdict::AwaitingValue {
        name: "token".to_owned(),
    };
    let nothing_selected = ReadySummary {
        ready: ConditionStatus::True,
        reason: Reason::NothingSelected,
        message: "nothing yet".to_owned(),
    };
    for (what, standing, expected) in [
        ("ready", standing(&ready), "Healthy"),
        (
            "a value is still to come",
            standing(&SecretVerdict::Blocked(awaited)),
            "Progressing",
        ),
        (
            "a value is still to come and nobody waits",
            standing(&not_awaited),
            "Healthy",
        ),
        ("a selector that matches nothing yet", nothing_selected, "Healthy"),
        ("reconciling", standing(&SecretVerdict::Working), "Progressing"),
        (
            "a person must act",
            standing(&SecretVerdict::Blocked(in_window)),
            "Degraded",
        ),
        (
            "time may help",
            standing(&SecretVerdict::Blocked(missing)),
            "Progressing",
        ),
        (
            "failed, tried again",
            ReadySummary::failed(Reason::StoreUnavailable, "away".to_owned()),
            "Progressing",
        ),
        (
            "failed, for a person",
            ReadySummary::failed(Reason::ScheduleInvalid, "no zone".to_owned()),
            "Degraded",
        ),
        (
            "suspended",
            standing(&SecretVerdict::Suspended { stored: true }),
            "Suspended",
        ),
        (
            "suspended before it was made",
            standing(&SecretVerdict::Suspended { stored: false }),
            "Suspended",
        ),
    ] {
        for kind in KINDS {
            let (status, message) = health(&object(kind, 2, Some(&standing)));
            assert_eq!(status, expected, "{kind}: {what}");
            assert!(message.contains(&standing.message), "{kind}: {what}: {message}");
            // What was said of an older generation says nothing of this one.
            let (status, _) = health(&object(kind, 1, Some(&standing)));
            assert_eq!(status, "Progressing", "{kind}: {what}, an older generation");
        }
    }
}

#[test]
fn an_object_that_nobody_has_seen_is_progressing() {
    for kind in KINDS {
        let fresh = object(kind, -1, None);
        let mut bare = fresh.clone();
        bare.as_object_mut().unwrap().remove("status");
        let unsaid = object(kind, 2, None);
        for (what, object) in [("fresh", fresh), ("no status", bare), ("no conditions", unsaid)] {
            let (status, message) = health(&object);
            assert_eq!(status, "Progressing", "{kind}: {what}");
            assert_eq!(message, "waiting for the controller");
        }
    }
}

#[test]
fn every_reason_has_a_health() {
    for reason in Reason::ALL {
        let failed = ReadySummary::failed(*reason, "why".to_owned());
        let (status, message) = health(&object("ManagedSecret", 2, Some(&failed)));
        let expected = match (failed.ready, *reason) {
            (_, Reason::Suspended) => &["Suspended"][..],
            (ConditionStatus::False, _) => &["Degraded", "Progressing"],
            (ConditionStatus::True | ConditionStatus::Unknown, _) => &["Progressing"],
        };
        assert!(expected.contains(&status.as_str()), "{reason:?}: {status}");
        assert!(message.contains("why"), "{reason:?}: {message}");
    }
}
