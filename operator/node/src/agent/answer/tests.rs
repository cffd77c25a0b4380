use std::sync::Arc;

use strongroom_api::stream::SecretId;

use super::*;

fn wanted(namespace: Option<&str>, name: &str, alias: &str, version: RequestedVersion) -> RequestedSecret {
    RequestedSecret {
        alias: alias.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        version,
    }
}

fn stage(stage: &str) -> RequestedVersion {
    RequestedVersion::Stage(stage.to_owned())
}

fn delivered(version: &str, keys: &[(&str, &[u8])]) -> Arc<DeliveredValue> {
    let mut value = Value::new();
    for (name, bytes) in keys {
        value.insert(*name, bytes.to_vec());
    }
    Arc::new(DeliveredValue {
        secret_id: SecretId::new([1; 16]),
        version_id: version.to_owned(),
        kind: String::new(),
        value,
    })
}

/// A volume of `db` at two stages, `smtp` of two namespaces, and one version of `pin`.
fn snapshot() -> VolumeSnapshot {
    let snapshot = VolumeSnapshot::new(
        "shop".to_owned(),
        vec![
            wanted(None, "db", "db", stage("Current")),
            wanted(None, "db", "old", stage("Previous")),
            wanted(None, "smtp", "smtp", stage("Current")),
            wanted(Some("mail"), "smtp", "relay", stage("Current")),
            wanted(None, "pin", "pin", RequestedVersion::Id("v-9".to_owned())),
        ],
    );
    snapshot.show([
        delivered("v-2", &[("user", b"u"), ("password", b"p\"2\\\n")]),
        delivered("v-1", &[("user", b"u"), ("password", b"p1")]),
        delivered("v-s", &[("value", b"own")]),
        delivered("v-m", &[("value", b"\xff\x00")]),
        delivered("v-9", &[("value", b"pinned")]),
    ]);
    snapshot
}

fn query(secret: &str, version: &str, stage: &str) -> Query {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Query {
        secret: secret.to_owned(),
        version: some(version),
        stage: some(stage),
    }
}

fn asked(secret: &str, version: &str, stage: &str) -> Result<serde_json::Value, QueryError> {
    let text = answer(&query(secret, version, stage), &snapshot())?;
    Ok(serde_json::from_str(&text).unwrap())
}

#[test]
fn the_answer_has_the_form_that_programs_know() {
    let answer = asked("db", "", "").unwrap();
    assert_eq!(
        (&answer["Name"], &answer["VersionId"]),
        (&"db".into(), &"v-2".into())
    );
    assert_eq!(answer["VersionStages"], serde_json::json!(["AWSCURRENT"]));
    let keys: serde_json::Value = serde_json::from_str(answer["SecretString"].as_str().unwrap()).unwrap();
    assert_eq!(keys, serde_json::json!({"user": "u", "password": "p\"2\\\n"}));
    // A single value is itself; bytes are base64.
    assert_eq!(asked("shop/smtp", "", "").unwrap()["SecretString"], "own");
    let binary = asked("relay", "", "").unwrap();
    assert_eq!(
        (&binary["SecretBinary"], binary.get("SecretString")),
        (&"/wA=".into(), None)
    );
}

#[test]
fn versions_are_those_that_the_volume_has() {
    for (version, stage, found) in [
        ("", "Previous", "v-1"),
        ("", "Current", "v-2"),
        ("v-1", "", "v-1"),
        ("v-1", "Previous", "v-1"),
    ] {
        assert_eq!(asked("db", version, stage).unwrap()["VersionId"], found);
    }
    for (version, stage) in [("v-1", "Current"), ("v-3", ""), ("", "Pending")] {
        assert_eq!(
            asked("db", version, stage),
            Err(QueryError::NoVersion("db".to_owned()))
        );
    }
    // By what the volume calls it, it is the same secret.
    assert_eq!(asked("old", "", "").unwrap()["VersionId"], "v-2");
    // One that is pinned is meant where nobody says which; its stages are not known.
    let pinned = asked("pin", "", "").unwrap();
    assert_eq!(
        (&pinned["VersionId"], &pinned["VersionStages"]),
        (&"v-9".into(), &serde_json::json!([]))
    );
    assert!(asked("pin", "", "Current").is_err());
}

#[test]
fn nothing_but_the_volumes_own_is_answered() {
    for secret in ["other", "mail/db", "shop/relay", "mail", "shop/"] {
        assert_eq!(
            asked(secret, "", ""),
            Err(QueryError::NoSecret(secret.to_owned()))
        );
    }
    // `smtp` is two secrets, one of them by alias too.
    assert_eq!(
        asked("smtp", "", ""),
        Err(QueryError::Ambiguous("smtp".to_owned()))
    );
    assert_eq!(asked("mail/smtp", "", "").unwrap()["VersionId"], "v-m");
    let two = VolumeSnapshot::new(
        "shop".to_owned(),
        vec![
            wanted(None, "db", "a", stage("blue")),
            wanted(None, "db", "b", stage("green")),
        ],
    );
    two.show([delivered("v-1", &[]), delivered("v-2", &[])]);
    assert_eq!(
        answer(&query("db", "", ""), &two).map(drop),
        Err(QueryError::WhichVersion("db".to_owned()))
    );
    let text = answer(&query("db", "", "blue"), &two).unwrap();
    assert!(
        text.contains("\"VersionStages\":[\"blue\"]") && text.contains("\"{}\""),
        "{}",
        *text
    );
}

#[test]
fn what_cannot_be_said_or_is_not_there_has_a_reason() {
    let snapshot = VolumeSnapshot::new(
        "shop".to_owned(),
        vec![wanted(None, "db", "db", stage("Current"))],
    );
    let db = query("db", "", "");
    let refused = |snapshot: &VolumeSnapshot, query: &Query| answer(query, snapshot).map(drop).unwrap_err();
    assert_eq!(refused(&snapshot, &db), QueryError::Waiting);
    snapshot.show([delivered("v-1", &[("a", b"x"), ("b", b"\xff")])]);
    let said = refused(&snapshot, &db).to_string();
    assert!(said.contains("key `b` of secret `db`"), "{said}");
    snapshot.show([delivered("v-1", &[("a", b"MARKER")])]);
    assert!(!format!("{snapshot:?}").contains("MARKER"));
    snapshot.revoke();
    assert_eq!(refused(&snapshot, &db), QueryError::Revoked);
    assert!(matches!(
        refused(&snapshot, &query("x", "", "")),
        QueryError::NoSecret(_)
    ));
}

#[test]
fn an_answer_never_outgrows_its_room() {
    let nasty = "\u{1}\\\"".repeat(5_000);
    let snapshot = VolumeSnapshot::new(
        "shop".to_owned(),
        vec![wanted(None, "db", "db", stage("Current"))],
    );
    for keys in [
        vec![("value", nasty.as_bytes())],
        vec![("a", nasty.as_bytes()), ("b", b"")],
    ] {
        let value = delivered("v-1", &keys);
        let before = answer_capacity(&value.value);
        snapshot.show([value]);
        let text = answer(&query("db", "", ""), &snapshot).unwrap();
        assert!(
            text.capacity() == before && text.len() <= before,
            "{} of {before}",
            text.len()
        );
    }
}
