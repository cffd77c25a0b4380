//! Every operation of the table in the same situations: not allowed, not there, asked for too often, allowed.
//! What it answers, that exactly one record says so, and that a refusal changes nothing.

use super::writes::says;
use super::*;
use crate::gateway::authenticate::Caller;
use crate::gateway::operation::{Operation, Verb};
use crate::gateway::operations;
use crate::gateway::request::Cost;

fn rows() -> Vec<Operation> {
    let mut rows = Vec::new();
    operations::list(&mut rows);
    rows
}

fn row(id: &str) -> Operation {
    rows().into_iter().find(|row| row.id == id).unwrap()
}

/// What an operation comes to where policies allow everything: its code, the action of the record, and the
/// outcome there. None: it leaves no record.
type Allowed = (u16, Option<(&'static str, &'static str)>);

/// Of an operation on a secret.
const ON_A_SECRET: [(&str, Allowed); 16] = [
    ("DeleteSecret", (200, Some(("DeleteSecret", "Done")))),
    ("DescribeSecret", (200, Some(("DescribeSecret", "Done")))),
    ("ExplainAccess", (200, Some(("ExplainAccess", "Done")))),
    ("GetSecretHistory", (200, Some(("DescribeSecret", "Done")))),
    (
        "GetSecretPolicy",
        (404, Some(("DescribeSecret", "PolicyNotFound"))),
    ),
    ("GetSecretValue", (200, Some(("GetSecretValue", "Done")))),
    ("ListSecretConsumers", (200, Some(("DescribeSecret", "Done")))),
    (
        "ListSecretVersionIds",
        (200, Some(("ListSecretVersionIds", "Done"))),
    ),
    ("PutSecretValue", (201, Some(("PutSecretValue", "Done")))),
    (
        "RestoreSecret",
        (409, Some(("RestoreSecret", "NotInRecoveryWindow"))),
    ),
    ("RotateSecret", (409, Some(("RotateSecret", "NotRotatable")))),
    ("SetSecretPolicy", (200, Some(("UpdateSecret", "Done")))),
    ("UpdateSecret", (409, Some(("UpdateSecret", "ManagedElsewhere")))),
    (
        "UpdateSecretRotationPolicy",
        (409, Some(("UpdateSecret", "NotRotatable"))),
    ),
    (
        "UpdateSecretVersionStage",
        (200, Some(("UpdateSecretVersionStage", "Done"))),
    ),
    ("WatchSecret", (200, Some(("DescribeSecret", "Done")))),
];

/// Those among them that whoever may describe the secret may do.
const DESCRIBING: [&str; 5] = [
    "DescribeSecret",
    "ExplainAccess",
    "GetSecretHistory",
    "ListSecretConsumers",
    "WatchSecret",
];

/// Of one that is about no secret, or of several.
const ON_A_NAMESPACE: [(&str, Allowed); 10] = [
    ("BatchGetSecretValue", (200, Some(("GetSecretValue", "Done")))),
    ("CreateSealingKey", (201, None)),
    ("CreateSecret", (201, Some(("CreateSecret", "Done")))),
    ("GetClusterKey", (200, None)),
    ("ListAllAuditRecords", (404, None)),
    ("ListAuditRecords", (404, None)),
    ("ListDeletedSecrets", (404, None)),
    ("ListSecrets", (200, Some(("ListSecrets", "Done")))),
    ("PurgeDeletedSecrets", (404, None)),
    (
        "RenewSealedValues",
        (400, Some(("RenewSealedValues", "InvalidRequest"))),
    ),
];

/// What is sent with an operation.
fn body(id: &str, name: &str) -> Json {
    let value = json!({"password": data_encoding::BASE64.encode(b"new")});
    match id {
        "BatchGetSecretValue" => json!({"secrets": [{"name": name}]}),
        "CreateSecret" => match name {
            "nothing" => {
                json!({"name": "partner", "versionId": "v-1", "data": value, "encryptionKey": "nothing"})
            }
            "taken" => json!({"name": "taken", "versionId": "v-1", "data": value}),
            _ => json!({"name": "partner", "versionId": "v-1", "data": value}),
        },
        "PurgeDeletedSecrets" => json!({"deletedBefore": "2026-11-23T20:22:00Z"}),
        "PutSecretValue" => json!({"data": value}),
        "RenewSealedValues" => json!({"name": name, "keys": {"password": "strongroom1.a.b.c"}}),
        "RotateSecret" => json!({"token": "t"}),
        "SetSecretPolicy" => {
            json!({"statements": [{"effect": "Allow", "principals": [{"serviceAccount": "app"}],
            "actions": ["secrets:GetSecretValue"]}]})
        }
        "UpdateSecret" => json!({"description": "d"}),
        "UpdateSecretRotationPolicy" => json!({"enabled": true, "every": "30d"}),
        "UpdateSecretVersionStage" => json!({"moveTo": "v-1"}),
        _ => json!({}),
    }
}

const fn method(verb: Verb) -> Method {
    match verb {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Patch => Method::PATCH,
        Verb::Delete => Method::DELETE,
    }
}

impl World {
    fn for_table(rate: u32) -> Self {
        let world = Self::new(rate);
        world.allow("p", "app", "*", "*");
        world.bound("db-main");
        world.declare("db-main", None);
        world
    }

    /// Calls an operation about the secret of this name: the status, and the code of a refusal. A stream is
    /// not waited for.
    async fn call(&self, row: &Operation, account: &str, name: &str) -> (u16, String) {
        let response = self.respond(row, "shop", account, name).await;
        let status = response.status().as_u16();
        if status < 400 {
            return (status, String::new());
        }
        let problem = json_body(response).await;
        (status, problem["code"].as_str().unwrap().to_owned())
    }

    async fn respond(&self, row: &Operation, namespace: &str, account: &str, name: &str) -> Response<Body> {
        let path = row.path.replace("{namespace}", namespace).replace("{name}", name);
        let path = path.replace("{version}", "v-2").replace("{stage}", "mine");
        let request = Request::builder()
            .method(method(row.verb))
            .uri(path)
            .header("authorization", format!("Bearer {}", token(account)));
        let peer = Peer {
            address: "10.1.2.3:4567".parse().unwrap(),
            proven: false,
        };
        let body = Body::from(body(row.id, name).to_string());
        self.answer(request.body(body).unwrap(), peer).await.response
    }

    /// Changes of the store that are audited, and the objects of the cluster.
    fn state(&self) -> (usize, BTreeMap<(String, String), Json>) {
        (self.mutations().len(), self.api.objects.lock().clone())
    }

    /// What both chains say of the account, the oldest first.
    fn recorded(&self, account: &str) -> Vec<(String, String)> {
        let actor = format!("serviceaccount {account}");
        let all = self.records().into_iter().chain(self.mutations());
        all.filter(|entry| entry.actor.to_string() == actor)
            .map(|entry| {
                let outcome = match entry.outcome {
                    AuditOutcome::Done => "Done".to_owned(),
                    AuditOutcome::Refused(code) => code,
                };
                (entry.action.name().to_owned(), outcome)
            })
            .collect()
    }
}

async fn json_body(response: Response<Body>) -> Json {
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn every_row_has_its_expectation() {
    let mut rows: Vec<&str> = rows().iter().map(|row| row.id).collect();
    let mut expected: Vec<&str> = ON_A_SECRET
        .iter()
        .chain(&ON_A_NAMESPACE)
        .map(|(id, _)| *id)
        .collect();
    rows.sort_unstable();
    expected.sort_unstable();
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn whoever_may_not_is_told_what_whoever_asks_for_nothing_is_and_the_record_tells_them_apart() {
    for (id, (_, allowed)) in ON_A_SECRET {
        let row = &row(id);
        // The decision about watching, explaining and the like is that of describing.
        let action = match id {
            "ExplainAccess" => "DescribeSecret",
            _ => allowed.unwrap().0,
        };
        let world = World::for_table(0);
        assert_eq!(
            world.call(row, "shop/spy", "db-main").await,
            says(404, "SecretNotFound"),
            "{id}"
        );
        assert_eq!(
            world.recorded("shop/spy"),
            [record_of(action, "PolicyDenied")],
            "{id}"
        );
        assert_eq!(
            world.call(row, "shop/app", "nothing").await,
            says(404, "SecretNotFound"),
            "{id}"
        );
        assert_eq!(
            world.recorded("shop/app"),
            [record_of(action, "SecretNotFound")],
            "{id}"
        );
    }
}

#[tokio::test]
async fn whoever_may_only_describe_a_secret_is_told_so_and_nothing_changes() {
    for (id, (_, allowed)) in ON_A_SECRET {
        if DESCRIBING.contains(&id) {
            continue;
        }
        let row = &row(id);
        let world = World::for_table(0);
        world.allow("sees", "sees", "secrets:DescribeSecret", "*");
        world.object("db-main", json!({"external": {}}));
        let before = world.state();
        for (account, expected) in [
            ("shop/spy", says(404, "SecretNotFound")),
            ("shop/sees", says(403, "PolicyDenied")),
        ] {
            let answer = world.call(row, account, "db-main").await;
            assert_eq!(answer, expected, "{id} {account}");
            let expected = [record_of(allowed.unwrap().0, "PolicyDenied")];
            assert_eq!(world.recorded(account), expected, "{id} {account}");
        }
        assert_eq!(world.state(), before, "{id}");
    }
}

#[tokio::test]
async fn in_a_namespace_whoever_may_not_sees_nothing_and_what_is_not_there_is_said() {
    // Where who asks for what; the status, with the code of a refusal or of the first failure; the outcome on
    // record.
    for (id, (namespace, account, name), answer, outcome) in [
        (
            "CreateSecret",
            ("shop", "shop/spy", "partner"),
            says(404, "SecretNotFound"),
            "PolicyDenied",
        ),
        (
            "CreateSecret",
            ("shop", "shop/spy", "taken"),
            says(404, "SecretNotFound"),
            "PolicyDenied",
        ),
        (
            "CreateSecret",
            ("shop", "shop/sees", "taken"),
            says(403, "PolicyDenied"),
            "PolicyDenied",
        ),
        (
            "CreateSecret",
            ("shop", "shop/app", "taken"),
            says(409, "SecretExists"),
            "SecretExists",
        ),
        (
            "CreateSecret",
            ("shop", "shop/app", "nothing"),
            says(409, "KeyNotFound"),
            "KeyNotFound",
        ),
        ("ListSecrets", ("shop", "shop/spy", ""), says(200, ""), "Done"),
        ("ListSecrets", ("shop", "shop/sees", ""), says(200, ""), "Done"),
        ("ListSecrets", ("nowhere", "shop/app", ""), says(200, ""), "Done"),
        (
            "BatchGetSecretValue",
            ("shop", "shop/spy", "taken"),
            says(200, "SecretNotFound"),
            "PolicyDenied",
        ),
        (
            "BatchGetSecretValue",
            ("shop", "shop/sees", "taken"),
            says(200, "PolicyDenied"),
            "PolicyDenied",
        ),
        (
            "BatchGetSecretValue",
            ("shop", "shop/app", "nothing"),
            says(200, "SecretNotFound"),
            "SecretNotFound",
        ),
    ] {
        let row = &row(id);
        let (_, (_, allowed)) = ON_A_NAMESPACE
            .into_iter()
            .find(|(known, _)| *known == id)
            .unwrap();
        let world = World::for_table(0);
        world.allow("sees", "sees", "secrets:DescribeSecret", "*");
        world.secret("shop", "taken", "x");
        let before = world.state();
        let response = world.respond(row, namespace, account, name).await;
        let status = response.status().as_u16();
        let body = json_body(response).await;
        let code = body["code"].as_str().or(body["errors"][0]["code"].as_str());
        let what = format!("{id} {namespace} {account} {name}: {body}");
        assert_eq!((status, code.unwrap_or_default().to_owned()), answer, "{what}");
        for shown in ["secrets", "values"] {
            assert!(body.get(shown).is_none_or(|shown| *shown == json!([])), "{what}");
        }
        let expected = [record_of(allowed.unwrap().0, outcome)];
        assert_eq!(world.recorded(account), expected, "{what}");
        assert_eq!(world.state(), before, "{what}");
    }
}

#[tokio::test]
async fn whoever_asks_too_often_is_refused_without_a_record() {
    for row in rows() {
        // Whoever is no person is told so first.
        if row.terms.people_only.is_some() {
            continue;
        }
        let world = World::for_table(1);
        let app = Caller::named(Identity::from_username("system:serviceaccount:shop:app"));
        let limits = &world.gateway.shared().limits;
        match row.terms.cost {
            Cost::Read => limits.take_read(&app).unwrap(),
            Cost::Write => limits.take_write(&app).unwrap(),
        }
        let answer = world.call(&row, "shop/app", "db-main").await;
        assert_eq!(answer, says(429, "TooManyRequests"), "{}", row.id);
        assert!(world.recorded("shop/app").is_empty(), "{}", row.id);
    }
}

#[tokio::test]
async fn what_is_allowed_is_one_record() {
    for (id, (status, expected)) in ON_A_SECRET.into_iter().chain(ON_A_NAMESPACE) {
        let row = &row(id);
        let world = World::for_table(0);
        let answer = world.call(row, "shop/app", "db-main").await;
        assert_eq!(answer.0, status, "{id}: {}", answer.1);
        let expected = expected.map(|(action, outcome)| record_of(action, outcome));
        assert_eq!(world.recorded("shop/app"), Vec::from_iter(expected), "{id}");
    }
}

fn record_of(action: &str, outcome: &str) -> (String, String) {
    (action.to_owned(), outcome.to_owned())
}
