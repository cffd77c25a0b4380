//! `strongroom audit list` beside a process that answers at the socket.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use strongroom_model::id::SecretId;
use strongroom_store::audit::{Actor, Circumstances};
use strongroom_store::vault::{ExternalRequest, GetValue, Meta, Store};

use super::{CommandError, Fixture, NOW, meta, running, strongroom};

fn ask(store: &Store, secret: SecretId, version: &str, who: &str, millis: u64) -> bool {
    let get = GetValue {
        version: Some(version.parse().unwrap()),
        ..GetValue::current(secret)
    };
    let asked = ExternalRequest {
        arrived: Instant::now(),
        circumstances: Circumstances {
            source: Some("10.1.2.3".parse().unwrap()),
            pod: Some("checkout-1".to_owned()),
            statements: vec!["statement 1 of SecretPolicy `p` in namespace `shop`".to_owned()],
            ..Circumstances::default()
        },
    };
    let meta = Meta {
        actor: Actor::Principal(who.to_owned()),
        now: NOW.plus(Duration::from_millis(millis)),
        asked: Some(Box::new(asked)),
        ..meta()
    };
    store.value(&get, &meta).is_ok()
}

/// What the command prints as JSON, line by line.
async fn listed(fixture: &Fixture, line: &[&str]) -> Vec<Json> {
    let line: Vec<&str> = ["audit", "list", "--output=json"]
        .iter()
        .chain(line)
        .copied()
        .collect();
    let text = strongroom(fixture.dir.parent().unwrap(), &line).await.unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_both_chains_are_listed_and_filtered() {
    let fixture = Fixture::new();
    let (db, other) = (fixture.secret("db"), fixture.secret("other"));
    assert!(ask(&fixture.store, db, "v1", "serviceaccount shop/app", 1_000));
    assert!(!ask(&fixture.store, db, "v9", "serviceaccount shop/app", 2_000));
    assert!(ask(
        &fixture.store,
        other,
        "v1",
        "serviceaccount team-b/job",
        3_000
    ));
    let (stop, task) = running(&fixture);

    let all = listed(&fixture, &["--action=GetSecretValue,CreateSecret"]).await;
    let told: Vec<_> = all
        .iter()
        .map(|line| {
            [
                &line["chain"],
                &line["action"],
                &line["secret"],
                &line["decision"],
                &line["outcome"],
            ]
            .map(|text| text.as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ["changes", "CreateSecret", "db", "allowed", "success"],
            ["changes", "CreateSecret", "other", "allowed", "success"],
            ["reads", "GetSecretValue", "db", "allowed", "success"],
            ["reads", "GetSecretValue", "db", "allowed", "failure"],
            ["reads", "GetSecretValue", "other", "allowed", "success"],
        ]
    );
    let refused = &all[3];
    assert_eq!(
        (&refused["code"], &refused["source"], &refused["pod"]),
        (
            &json!("VersionNotFound"),
            &json!("10.1.2.3"),
            &json!("checkout-1")
        )
    );
    assert_eq!(
        refused["statements"],
        json!(["statement 1 of SecretPolicy `p` in namespace `shop`"])
    );
    assert!(refused["latencyMicros"].is_u64() && refused["request"].is_string());

    let count = async |line: &[&str]| listed(&fixture, line).await.len();
    assert_eq!(count(&["--secret=db", "--outcome=failure"]).await, 1);
    assert_eq!(count(&["--secret=db", "--decision=denied"]).await, 0);
    assert_eq!(count(&["--principal=team-b/job"]).await, 1);
    assert_eq!(count(&["--namespace=elsewhere"]).await, 0);
    let [since, until] = [1_500, 2_500].map(|millis| NOW.plus(Duration::from_millis(millis)).to_string());
    let window = [format!("--since={since}"), format!("--until={until}")];
    assert_eq!(count(&[&window[0], &window[1]]).await, 1);
    assert_eq!(count(&["--action=GetSecretValue", "--limit=2"]).await, 2);
    let looked = listed(&fixture, &["--action=ReadAudit"]).await;
    assert!(
        looked[0]["principal"].as_str().unwrap().starts_with("admin user"),
        "{looked:?}"
    );

    let table = strongroom(fixture.dir.parent().unwrap(), &["audit", "list", "--secret=db"])
        .await
        .unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("TIME") && lines.len() == 4, "{table}");
    assert!(
        lines[3].contains("allowed") && lines[3].contains("failure") && lines[3].contains("shop/db"),
        "{table}"
    );
    stop.send_replace(true);
    task.await.unwrap();
    let nobody = strongroom(fixture.dir.parent().unwrap(), &["audit", "list"]).await;
    assert!(matches!(nobody, Err(CommandError::NotRunning(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_page_comes_whole_and_in_order() {
    let fixture = Fixture::new();
    let db = fixture.secret("db");
    for number in 0..2_500 {
        assert!(ask(&fixture.store, db, "v1", "serviceaccount shop/app", number));
        if number % 10 == 0 {
            let mark = strongroom_store::vault::UpdateSecret {
                secret: db,
                description: Some(format!("number {number}")),
                labels: None,
                key: None,
            };
            let meta = Meta {
                now: NOW.plus(Duration::from_millis(number)),
                ..meta()
            };
            fixture.store.run(mark, meta).unwrap();
        }
    }
    let (stop, task) = running(&fixture);
    let all = listed(&fixture, &["--limit=0", "--action=GetSecretValue,UpdateSecret"]).await;
    assert_eq!(all.len(), 2_750);
    let times: Vec<jiff::Timestamp> = all
        .iter()
        .map(|line| line["time"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(times.is_sorted());
    for (chain, count) in [("reads", 2_500), ("changes", 250)] {
        let numbers: Vec<u64> = all
            .iter()
            .filter(|line| line["chain"] == chain)
            .map(|line| line["sequence"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers.len(), count);
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{chain}");
    }
    stop.send_replace(true);
    task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_a_moment_or_a_length() {
    use clap::Parser;
    for (text, good) in [
        ("2026-11-23T20:00:00Z", true),
        ("90m", true),
        ("7d", true),
        ("yesterday", false),
        ("-1h", false),
    ] {
        let line = ["strongroom", "audit", "list", &format!("--since={text}")].map(str::to_owned);
        assert_eq!(super::Arguments::try_parse_from(line).is_ok(), good, "{text}");
    }
}
