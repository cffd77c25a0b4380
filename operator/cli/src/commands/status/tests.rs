//! Facts of installations, and what is printed of them.

use serde_json::{Value, json};
use strongroom_api::process_report::{KindCount, NodesReport, PluginVersionCount, ProcessReport};

use super::*;
use crate::fact::Fact;
use crate::installation::Place;

const SERVER: &str = "https://10.0.0.1:6443";

fn from<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn service(available: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {
            "name": "v1.people.strongroom.dev",
            "annotations": {"strongroom.dev/certificate-ends": "2026-12-20T05:00:00Z"},
        },
        "spec": {"groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": {"namespace": "safe", "name": "vault-front"}},
        "status": {"conditions": [{"type": "Available", "status": available, "reason": "MissingEndpoints"}]},
    })
}

fn report() -> ProcessReport {
    from(json!({
        "at": "2026-11-24T04:59:40Z", "version": "0.1.0",
        "store": {"format": 1, "commits": 1204, "secrets": 12, "bytes": 3_145_728, "verified": "2026-11-24T04:59:39Z"},
        "volume": {"bytes": 10_737_418_240_u64, "freeBytes": 8_589_934_592_u64},
        "audit": {"bytes": 52_428_800, "boundBytes": 524_288_000, "heldHours": 96.0, "full": false},
        "sinks": [{"name": "kubernetes-events", "lagSeconds": 0, "failures": 0, "lostRecords": 0}],
        "certificates": [
            {"server": "gateway", "ends": "2026-12-20T05:00:00Z"},
            {"server": "webhook", "ends": "2026-12-20T05:00:00Z"},
        ],
        "nodes": {"plugins": [{"version": "0.1.0", "nodes": 2}], "volumesAway": 0},
        "products": [{"code": "aigw", "secrets": 41, "maxSecrets": 5000}],
    }))
}

/// All is well.
fn good() -> Facts {
    Facts {
        now: "2026-11-24T05:00:00Z".parse().unwrap(),
        namespace: "shop".to_owned(),
        all_namespaces: false,
        api: ApiAnswer::Answers(format!("people.strongroom.dev answers at {SERVER}")),
        service: Fact::Seen(from(service("True"))),
        place: Some(Place {
            namespace: "safe".to_owned(),
            name: "vault".to_owned(),
        }),
        claim: Fact::Seen(from(
            json!({"metadata": {"name": "data-vault-0"}, "status": {"phase": "Bound"}}),
        )),
        lease: Fact::Seen(from(json!({
            "metadata": {"name": "strongroom"},
            "spec": {"holderIdentity": "vault-0", "renewTime": "2026-11-24T04:59:57.000000Z"},
        }))),
        process: Fact::Seen(report()),
        backups: Fact::Seen(from(json!({
            "schedule": "0 3 * * *", "recoverySlots": 1,
            "newest": {"name": "b", "taken": "2026-11-24T03:00:00Z", "bytes": 1, "secrets": 12},
            "next": "2026-11-25T03:00:00Z",
            "drill": {"at": "2026-11-20T03:00:00Z", "backup": "b"},
        }))),
        held_hours: None,
        room: Fact::Seen(from(json!({
            "secrets": [], "time": "2026-11-24T05:00:00Z",
            "used": {"secrets": 12, "bytes": 5000}, "limit": {"secrets": 10_000, "bytes": 429_496_729},
        }))),
        secrets: Fact::Seen(vec![ManagedSecretSummary {
            namespace: "shop".to_owned(),
            name: "db".to_owned(),
            ready: Some("True".to_owned()),
            ..ManagedSecretSummary::default()
        }]),
    }
}

/// Nearly nothing is.
fn bad() -> Facts {
    let process = ProcessReport {
        volume: Some(from(json!({"bytes": 100_000_000, "freeBytes": 10_000_000}))),
        audit: from(json!({"bytes": 99_614_720, "boundBytes": 104_857_600, "heldHours": 3.0, "full": true})),
        sinks: from(json!([
            {"name": "syslog+tls://siem:6514", "lagSeconds": 4000, "failures": 9, "lostRecords": 0},
            {"name": "stdout", "lagSeconds": 1, "failures": 0, "lostRecords": 7},
        ])),
        certificates: from(json!([
            {"server": "gateway", "ends": "2026-11-24T04:00:00Z"},
            {"server": "webhook", "ends": "2026-11-26T05:00:00Z"},
        ])),
        nodes: Some(NodesReport {
            plugins: vec![PluginVersionCount {
                version: "0.0.9".to_owned(),
                nodes: 2,
            }],
            volumes_away: 3,
        }),
        waiting_deletions: vec![KindCount {
            kind: "ManagedSecret".to_owned(),
            count: 40,
        }],
        failing_objects: vec![KindCount {
            kind: "SecretPolicy".to_owned(),
            count: 1,
        }],
        overdue_rotations: 2,
        fullest_namespaces: from(json!([
            {"namespace": "pay", "secrets": 95, "maxSecrets": 100, "bytes": 10, "maxBytes": 1000},
        ])),
        products: from(json!([
            {"code": "pg", "secrets": 3, "maxSecrets": 10, "problem": "ProductChanged"},
        ])),
        ..report()
    };
    let good = good();
    Facts {
        service: Fact::Seen(from(service("False"))),
        lease: Fact::Seen(from(json!({
            "metadata": {"name": "strongroom"},
            "spec": {"holderIdentity": "vault-0", "renewTime": "2026-11-24T04:50:00.000000Z"},
        }))),
        process: Fact::Seen(process),
        backups: Fact::Seen(from(json!({
            "schedule": "0 3 * * *", "recoverySlots": 0,
            "failure": {"since": "2026-11-24T03:00:00Z", "message": "the bucket is full"},
            "drill": {"at": "2026-11-20T03:00:00Z", "backup": "b", "problem": "a value does not open"},
        }))),
        room: Fact::Hidden("ClusterRole `strongroom-purger` in namespace `shop`".to_owned()),
        secrets: Fact::Seen(vec![ManagedSecretSummary::default()]),
        ..good
    }
}

/// The screen as somebody sees it who has no colours.
fn screen(facts: &Facts) -> String {
    let status = status(facts, SERVER, false);
    lines(&status.checks, |_, word| word.to_owned()).join("\n") + "\n"
}

fn exit_code(facts: &Facts) -> Result<(), Failure> {
    outcome(&facts.api, &status(facts, SERVER, false))
}

#[test]
fn a_good_installation_is_one_screen_of_ok() {
    assert_eq!(screen(&good()), include_str!("testdata/good.txt"));
    assert!(exit_code(&good()).is_ok());
}

#[test]
fn a_bad_installation_says_of_each_thing_what_to_do() {
    assert_eq!(screen(&bad()), include_str!("testdata/bad.txt"));
    let error = exit_code(&bad()).unwrap_err();
    assert!(matches!(&error, Failure::Unwell(_)));
    let told = error.to_string();
    assert!(
        told.contains("kubectl delete apiservice") && told.contains("reads are refused"),
        "{told}"
    );
    assert!(!told.contains("should have been rotated"), "a warning: {told}");
}

#[test]
fn warnings_do_not_fail_and_nobody_who_answers_is_another_code() {
    let warned = Facts {
        backups: Fact::Seen(from(json!({"recoverySlots": 0}))),
        ..good()
    };
    assert!(screen(&warned).contains("nobody takes backups"));
    assert!(exit_code(&warned).is_ok());
    let claim = json!({"metadata": {"name": "data-vault-0"}, "status": {"phase": "Pending"}});
    let silent = Facts {
        api: ApiAnswer::Silent("cannot reach Strongroom at https://x".to_owned()),
        claim: Fact::Seen(from(claim)),
        ..good()
    };
    let error = exit_code(&silent).unwrap_err();
    assert!(matches!(&error, Failure::NotReachable(_)));
    let told = error.to_string();
    assert!(
        told.contains("cannot reach Strongroom")
            && told.contains("the claim of the store is Pending")
            && told.contains("kubectl -n safe describe persistentvolumeclaim data-vault-0"),
        "{told}"
    );
    // An exit code can only be seen as text.
    let code = |failure: Failure| format!("{:?}", failure.exit_code());
    let two = format!("{:?}", std::process::ExitCode::from(2));
    assert_eq!(code(error), two);
    assert_ne!(code(Failure::Unwell(String::new())), two);
}

#[test]
fn what_nobody_may_see_says_which_right_that_takes() {
    let hidden = || "`get` of ConfigMap `strongroom-backups` in namespace `safe`".to_owned();
    let facts = Facts {
        service: Fact::Hidden("`get` of APIService `v1.people.strongroom.dev`".to_owned()),
        place: None,
        claim: Fact::Absent,
        lease: Fact::Unreadable("the API server says: no".to_owned()),
        process: Fact::Hidden(hidden()),
        backups: Fact::Hidden(hidden()),
        held_hours: Some(30.0),
        secrets: Fact::Hidden("`list` of ManagedSecrets in namespace `shop`".to_owned()),
        ..good()
    };
    let status = status(&facts, SERVER, false);
    assert!(status.healthy && status.managed_secrets.is_none());
    assert_eq!(status.audit_held_hours, Some(30.0));
    let text = screen(&facts);
    for line in [
        "not visible to you: this takes `get` of ConfigMap `strongroom-backups` in namespace `safe`",
        "not visible to you: this takes `get` of APIService `v1.people.strongroom.dev`",
        "not visible to you: this takes `list` of ManagedSecrets in namespace `shop`",
        "the API server says: no",
        "at its present rate it holds 30 hours",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(exit_code(&facts).is_ok());
}

#[test]
fn a_process_that_is_silent_or_has_not_spoken_yet_is_told() {
    let at = "2026-11-24T04:30:00Z".parse().unwrap();
    let silent = Facts {
        process: Fact::Seen(ProcessReport { at, ..report() }),
        ..good()
    };
    assert!(screen(&silent).contains("the process last reported 30 min ago"));
    let mute = Facts {
        process: Fact::Absent,
        ..good()
    };
    assert!(screen(&mute).contains("the process has not reported yet"));
    let mut damaged = report();
    damaged.store.verified = Some("2026-11-24T04:50:00Z".parse().unwrap());
    let damaged = Facts {
        process: Fact::Seen(damaged),
        ..good()
    };
    assert!(
        exit_code(&damaged)
            .unwrap_err()
            .to_string()
            .contains("StrongroomStoreSilent")
    );
}

#[test]
fn what_is_printed_as_json_is_read_again() {
    for facts in [good(), bad()] {
        let status = status(&facts, SERVER, true);
        assert_eq!(status.secrets.len(), usize::from(!status.healthy));
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<InstallationStatus>(&text).unwrap(), status);
    }
}

#[test]
fn colours_are_beside_the_columns() {
    let checks = status(&bad(), SERVER, false).checks;
    let painted = lines(&checks, |state, word| match state {
        CheckState::Failing => format!("<{word}>"),
        _ => word.to_owned(),
    });
    let plain = lines(&checks, |_, word| word.to_owned());
    for (painted, plain) in painted.iter().zip(&plain) {
        assert_eq!(&painted.replace(['<', '>'], ""), plain);
    }
}
