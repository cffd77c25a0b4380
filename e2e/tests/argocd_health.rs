//! The promise: Argo CD, with the chart's snippet, and whatever uses kstatus, such as Flux, show how an
//! object of each kind stands, and agree. The snippet's Lua runs here as Argo CD runs it: Lua 5.1 with the
//! base and table libraries alone, the object in the global `obj`. kstatus is its own library. The conditions
//! are those that the controllers write.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

use std::collections::BTreeSet;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use mlua::{Lua, LuaOptions, LuaSerdeExt, StdLib};
use serde_json::{Value, json};
use strongroom_crds::condition::{ConditionStatus, Reason, Retryability};
use strongroom_e2e::Programs;
use strongroom_rules::encryption_key::{KeyBlocker, KeyVerdict};
use strongroom_rules::managed_secret::verdict::{SecretBlocker, SecretVerdict};
use strongroom_rules::object::{ReadySummary, ready_conditions};

/// Where the key of a kind's Lua ends before the kind.
const KEY_PREFIX: &str = "resource.customizations.health.strongroom.dev_";

/// Every kind that the chart defines.
fn kinds() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/strongroom/files/crds");
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let definition: Value = serde_saphyr::from_str(&text).unwrap();
            definition["spec"]["names"]["kind"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// What people give to the argo-cd chart for its ConfigMap.
fn argocd_config() -> Value {
    let values: Value =
        serde_saphyr::from_str(include_str!("../../charts/strongroom/files/argocd-values.yaml")).unwrap();
    values["configs"]["cm"].clone()
}

/// The Lua of a kind.
fn snippet(kind: &str) -> String {
    argocd_config()[format!("{KEY_PREFIX}{kind}")]
        .as_str()
        .unwrap()
        .to_owned()
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

/// Status and message that kstatus gives each object.
fn kstatus(objects: &[Value]) -> Vec<(String, String)> {
    let mut lines = tempfile::tempfile().unwrap();
    for object in objects {
        writeln!(lines, "{object}").unwrap();
    }
    lines.rewind().unwrap();
    let output = Command::new(Programs::kstatus().unwrap())
        .stdin(lines)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = answers
        .lines()
        .map(|line| {
            let answer: Value = serde_json::from_str(line).unwrap();
            let text = |field: &str| answer[field].as_str().unwrap().to_owned();
            (text("status"), text("message"))
        })
        .collect();
    assert_eq!(answers.len(), objects.len());
    answers
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

/// A way to stand, and what it is shown as.
struct HealthCase {
    what: &'static str,
    standing: ReadySummary,
    argocd: &'static str,
    kstatus: &'static str,
}

fn case(
    what: &'static str,
    standing: ReadySummary,
    (argocd, kstatus): (&'static str, &'static str),
) -> HealthCase {
    HealthCase {
        what,
        standing,
        argocd,
        kstatus,
    }
}

const GOOD: (&str, &str) = ("Healthy", "Current");
const WAITS: (&str, &str) = ("Progressing", "InProgress");
const BAD: (&str, &str) = ("Degraded", "Failed");
/// There is nothing to wait for, and kstatus knows no word for it.
const AT_REST: (&str, &str) = ("Suspended", "Current");
/// It was never made, and is not before somebody changes the spec.
const NEVER_BEGUN: (&str, &str) = ("Suspended", "InProgress");

/// How a ManagedSecret may stand.
fn secret_cases() -> Vec<HealthCase> {
    let secret = || "7f3c".to_owned();
    let name = || "token".to_owned();
    let says = |verdict: SecretVerdict| ReadySummary::from_verdict(&verdict).unwrap();
    let blocked = |blocker| says(SecretVerdict::Blocked(blocker));
    let in_window = SecretBlocker::InRecoveryWindow {
        secret: secret(),
        until: Timestamp::UNIX_EPOCH,
    };
    vec![
        case("ready", says(SecretVerdict::Ready { secret: secret() }), GOOD),
        case(
            "a value is still to come",
            blocked(SecretBlocker::AwaitingValue { name: name() }),
            WAITS,
        ),
        case(
            "a value is still to come and nobody waits",
            says(SecretVerdict::AwaitingValue { name: name() }),
            GOOD,
        ),
        case("reconciling", says(SecretVerdict::Working), WAITS),
        case("a person must act", blocked(in_window), BAD),
        case(
            "time may help",
            blocked(SecretBlocker::ImportMissing { name: name() }),
            WAITS,
        ),
        case(
            "its namespace goes",
            blocked(SecretBlocker::NamespaceTerminating),
            WAITS,
        ),
        case(
            "failed, tried again",
            ReadySummary::failed(Reason::StoreUnavailable, "away".to_owned()),
            WAITS,
        ),
        case(
            "failed, for a person",
            ReadySummary::failed(Reason::StoreFull, "full".to_owned()),
            BAD,
        ),
        case(
            "its key is disabled",
            ReadySummary::failed(Reason::KeyDisabled, "disabled".to_owned()),
            BAD,
        ),
        case(
            "suspended",
            says(SecretVerdict::Suspended { stored: true }),
            AT_REST,
        ),
        case(
            "suspended before it was made",
            says(SecretVerdict::Suspended { stored: false }),
            NEVER_BEGUN,
        ),
    ]
}

/// How the kinds without a verdict of their own may stand, as their controllers say it.
fn other_cases() -> Vec<HealthCase> {
    let says = |ready, reason, message: &str| ReadySummary {
        ready,
        reason,
        message: message.to_owned(),
    };
    let failed = |reason, message: &str| ReadySummary::failed(reason, message.to_owned());
    vec![
        case(
            "in force",
            says(ConditionStatus::True, Reason::Ready, "2 statements are in force"),
            GOOD,
        ),
        case(
            "a selector that matches nothing yet",
            says(ConditionStatus::True, Reason::NothingSelected, "nothing yet"),
            GOOD,
        ),
        case(
            "rotates nothing by its spec",
            says(ConditionStatus::True, Reason::Suspended, "suspended"),
            AT_REST,
        ),
        case("no zone", failed(Reason::ScheduleInvalid, "no zone"), BAD),
        case(
            "two schedules claim a secret",
            failed(Reason::ScheduleConflict, "both"),
            BAD,
        ),
        case(
            "a secret cannot rotate now",
            failed(Reason::SecretsNotReady, "not ready"),
            WAITS,
        ),
        case(
            "a statement that cannot be compiled",
            failed(Reason::PolicyInvalid, "no such action"),
            BAD,
        ),
        case(
            "too much in force",
            failed(Reason::PolicyTooLarge, "too large"),
            BAD,
        ),
        case(
            "no room for it",
            failed(Reason::NamespaceObjectsTooLarge, "too large"),
            BAD,
        ),
    ]
}

/// How an EncryptionKey may stand.
fn key_cases() -> Vec<HealthCase> {
    let says = |verdict: KeyVerdict| verdict.ready_summary(3).unwrap();
    let ending = KeyBlocker::Ending {
        until: Timestamp::UNIX_EPOCH,
    };
    vec![
        case("works", says(KeyVerdict::Ready { enabled: true }), GOOD),
        case(
            "disabled by its spec",
            says(KeyVerdict::Ready { enabled: false }),
            AT_REST,
        ),
        case("reconciling", says(KeyVerdict::Working), WAITS),
        case(
            "an older key of the name ends",
            says(KeyVerdict::Blocked(ending)),
            WAITS,
        ),
        case(
            "its namespace goes",
            says(KeyVerdict::Blocked(KeyBlocker::NamespaceTerminating)),
            WAITS,
        ),
    ]
}

#[test]
fn every_kind_has_a_health() {
    let config = argocd_config();
    let known = config.as_object().unwrap().keys();
    let known: BTreeSet<String> = known
        .filter_map(|key| key.strip_prefix(KEY_PREFIX).map(str::to_owned))
        .collect();
    assert_eq!(known, kinds());
    assert!(known.len() >= 4, "{known:?}");
}

#[test]
fn every_way_to_stand_has_its_health() {
    let cases: Vec<HealthCase> = [secret_cases(), other_cases(), key_cases()]
        .into_iter()
        .flatten()
        .collect();
    for kind in kinds() {
        let now: Vec<Value> = cases
            .iter()
            .map(|case| object(&kind, 2, Some(&case.standing)))
            .collect();
        // What was said of an older generation says nothing of this one.
        let before: Vec<Value> = cases
            .iter()
            .map(|case| object(&kind, 1, Some(&case.standing)))
            .collect();
        let by_kstatus = kstatus(&now).into_iter().zip(kstatus(&before));
        let objects = now.iter().zip(&before);
        for ((case, (now, before)), (now_by_kstatus, before_by_kstatus)) in
            cases.iter().zip(objects).zip(by_kstatus)
        {
            let at = format!("{kind}: {}", case.what);
            let (status, message) = health(now);
            assert_eq!(status, case.argocd, "{at}");
            assert!(message.contains(&case.standing.message), "{at}: {message}");
            let (status, message) = now_by_kstatus;
            assert_eq!(status, case.kstatus, "{at}");
            assert!(
                status == "Current" || message == case.standing.message,
                "{at}: {message}"
            );
            assert_eq!(health(before).0, "Progressing", "{at}, an older generation");
            assert_eq!(before_by_kstatus.0, "InProgress", "{at}, an older generation");
        }
    }
}

#[test]
fn an_object_that_nobody_has_seen_is_progressing() {
    for kind in kinds() {
        let fresh = object(&kind, -1, None);
        // With the status that its definition gives it. Without one, kstatus takes an object for done.
        assert_eq!(kstatus(std::slice::from_ref(&fresh))[0].0, "InProgress", "{kind}");
        let mut bare = fresh.clone();
        bare.as_object_mut().unwrap().remove("status");
        let unsaid = object(&kind, 2, None);
        for (what, object) in [("fresh", fresh), ("no status", bare), ("no conditions", unsaid)] {
            let (status, message) = health(&object);
            assert_eq!(status, "Progressing", "{kind}: {what}");
            assert_eq!(message, "waiting for the controller");
        }
    }
}

#[test]
fn every_reason_has_a_health() {
    let failed: Vec<ReadySummary> = Reason::ALL
        .iter()
        .map(|reason| ReadySummary::failed(*reason, "why".to_owned()))
        .collect();
    let objects: Vec<Value> = failed
        .iter()
        .map(|failed| object("ManagedSecret", 2, Some(failed)))
        .collect();
    for ((failed, object), (by_kstatus, _)) in failed.iter().zip(&objects).zip(kstatus(&objects)) {
        let reason = failed.reason;
        let expected = match reason.retryability() {
            _ if reason == Reason::Suspended => NEVER_BEGUN,
            Retryability::Person => BAD,
            Retryability::Fine | Retryability::Retry => WAITS,
        };
        let (status, message) = health(object);
        assert_eq!((status.as_str(), by_kstatus.as_str()), expected, "{reason:?}");
        assert!(message.contains("why"), "{reason:?}: {message}");
    }
}
