//! The history of a secret: for whoever may describe it, of this secret alone, page by page.

use strongroom_store::audit::{Author, Requester};

use super::*;

const HISTORY: &str = "/db-main/history";

/// Somebody puts a version of a secret.
fn put(world: &World, name: &str, version: &str, who: &str) {
    let meta = Meta {
        actor: Actor::Principal(who.to_owned()),
        ..meta()
    };
    world.bring_with(name, version, b"another-s3cr3t", meta);
}

fn delete(world: &World, name: &str, deletion: Deletion) {
    let delete = DeleteSecret {
        secret: world.stored(name).id,
        deletion,
    };
    world.gateway.store.run(delete, meta()).unwrap();
}

/// The records of a page: action and version.
fn told(page: &Json) -> Vec<(String, String)> {
    let text = |field: &Json| field.as_str().unwrap_or_default().to_owned();
    let records = page["records"].as_array().unwrap();
    records
        .iter()
        .map(|record| (text(&record["action"]), text(&record["version"])))
        .collect()
}

fn change(action: &str, version: &str) -> (String, String) {
    (action.to_owned(), version.to_owned())
}

/// What was recorded of such requests.
fn asked(world: &World) -> Vec<Entry> {
    let mut records = world.records();
    records.retain(|entry| entry.detail == "history");
    records
}

#[tokio::test]
async fn whoever_may_describe_a_secret_sees_who_changed_it_and_that_is_on_record() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:DescribeSecret", "db-*");
    put(&world, "db-main", "v-2", "serviceaccount shop/writer");
    let answer = world.get("shop/app", HISTORY).await;
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body.clone()).unwrap();
    for value in ["s3cr3t", &data_encoding::BASE64.encode(b"another-s3cr3t")] {
        assert!(!text.contains(value), "{text}");
    }
    let page = answer.json();
    let expected = [change("CreateSecret", "v-1"), change("PutSecretValue", "v-2")];
    assert_eq!(told(&page), expected);
    assert_eq!(page.get("next"), None);
    let (first, second) = (&page["records"][0], &page["records"][1]);
    assert_eq!(first["principal"], "system");
    assert_eq!(second["principal"], "serviceaccount shop/writer");
    assert_eq!(second["decision"], "done");
    assert!(second["time"].as_str().unwrap().parse::<Timestamp>().is_ok());
    assert!(second["sequence"].as_u64().unwrap() > first["sequence"].as_u64().unwrap());
    for absent in ["code", "stage", "requester", "detail", "statements", "source"] {
        assert_eq!(second.get(absent), None, "{absent}");
    }
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "DescribeSecret", "Done")
    );
    let entry = asked(&world).pop().unwrap();
    assert_eq!(entry.secret_id, Some(world.stored("db-main").id));
    // It is a change of nothing, and nothing that changes the history.
    assert_eq!(told(&world.get("shop/app", HISTORY).await.json()), expected);
}

#[tokio::test]
async fn whoever_may_not_describe_it_gets_what_describing_it_gets() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:DescribeSecret", "*");
    // The right to a value, or to versions, is not it.
    world.allow("q", "reader", "secrets:GetSecretValue", "*");
    world.allow("r", "lists", "secrets:ListSecretVersionIds", "*");
    for (account, name, why) in [
        ("spy", "db-main", "PolicyDenied"),
        ("reader", "db-main", "PolicyDenied"),
        ("lists", "db-main", "PolicyDenied"),
        ("spy", "nothing", "SecretNotFound"),
        ("app", "nothing", "SecretNotFound"),
        ("app", "strongroom!ca", "SecretNotFound"),
    ] {
        let mut answers = Vec::new();
        for rest in ["", "/history"] {
            world.a_minute_later();
            let answer = world
                .get(&format!("shop/{account}"), &format!("/{name}{rest}"))
                .await;
            let mut body = answer.json();
            body["requestId"] = json!("");
            answers.push((answer.status, body));
            let who = format!("serviceaccount shop/{account}");
            assert_eq!(world.last(), record(&who, "DescribeSecret", why), "{name}{rest}");
        }
        assert_eq!(answers[0], answers[1], "{account} {name}");
        assert_eq!(answers[0].0, 404, "{account} {name}");
    }
    assert_eq!(asked(&world).len(), 0);
}

#[tokio::test]
async fn a_history_comes_in_pages_that_follow_one_another() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:DescribeSecret", "*");
    world.secret("shop", "db-other", "x");
    for number in 2..=5 {
        let version = format!("v-{number}");
        for name in ["db-other", "db-main"] {
            put(&world, name, &version, "serviceaccount shop/writer");
        }
    }
    let whole = told(&world.get("shop/app", HISTORY).await.json());
    assert_eq!(whole.len(), 5);
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let page = world
            .get("shop/app", &format!("{HISTORY}?limit=2{after}"))
            .await
            .json();
        pages.push(told(&page));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [2, 2, 1]);
    assert_eq!(pages.concat(), whole);
    // Each page tells something of the secret, so each is audited.
    assert_eq!(asked(&world).len(), 4);
    let full = world.get("shop/app", &format!("{HISTORY}?limit=5")).await.json();
    assert_eq!((told(&full), full.get("next")), (whole, None));
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "after=",
        "after=1.2",
        "colour=red",
    ] {
        let answer = world.get("shop/app", &format!("{HISTORY}?{query}")).await;
        assert_eq!(answer.code(), (400, "InvalidRequest".to_owned()), "{query}");
    }
}

#[tokio::test]
async fn another_secrets_changes_are_never_told_not_even_those_of_one_that_had_the_name() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:DescribeSecret", "*");
    world.secret("shop", "db-other", "x");
    world.namespace("mail");
    world.secret("mail", "db-main", "x");
    put(&world, "db-other", "v-7", "serviceaccount shop/writer");
    put(&world, "db-main", "v-2", "serviceaccount shop/writer");
    let before = told(&world.get("shop/app", HISTORY).await.json());
    assert_eq!(
        before,
        [change("CreateSecret", "v-1"), change("PutSecretValue", "v-2")]
    );
    let at_once = Deletion {
        window_days: None,
        force: true,
    };
    delete(&world, "db-main", at_once);
    assert_eq!(world.get("shop/app", HISTORY).await.status, 404);
    world.secret("shop", "db-main", "anew");
    let after = told(&world.get("shop/app", HISTORY).await.json());
    assert_eq!(after, [change("CreateSecret", "v-1")]);
    // In its recovery window it is the same secret still.
    delete(&world, "db-main", Deletion::default());
    let page = world.get("shop/app", HISTORY).await.json();
    assert_eq!(
        told(&page),
        [change("CreateSecret", "v-1"), change("DeleteSecret", "")]
    );
    let detail = page["records"][1]["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("recovery window of 30 days until "),
        "{detail}"
    );
}

#[tokio::test]
async fn who_asked_for_what_a_controller_did_is_told_by_name_alone() {
    let world = World::new(0);
    world.allow("p", "app", "secrets:DescribeSecret", "*");
    let author = Author {
        user: "jane".to_owned(),
        groups: vec!["ops".to_owned()],
        uid: "uid-jane".to_owned(),
    };
    let requesters = [Requester::Attested(author), Requester::Unattested];
    for (requester, version) in requesters.into_iter().zip(["v-2", "v-3"]) {
        let put = new_version(
            world.stored("db-main").id,
            version,
            one("password", version.as_bytes()),
        );
        let meta = Meta {
            actor: Actor::Controller("managed-secret".to_owned()),
            ..meta()
        };
        let (sender, receiver) = std::sync::mpsc::channel();
        let store = &world.gateway.store;
        store.submit_for(Some(requester), put, meta, move |reply| {
            sender.send(reply.map(drop)).unwrap();
        });
        receiver.recv().unwrap().unwrap();
    }
    let page = world.get("shop/app", HISTORY).await.json();
    let records = &page["records"];
    assert_eq!(records[1]["principal"], "controller managed-secret");
    assert_eq!(records[1]["requester"], json!({"attested": true, "user": "jane"}));
    assert_eq!(records[2]["requester"], json!({"attested": false}));
}
