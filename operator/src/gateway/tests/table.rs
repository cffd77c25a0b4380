//! Every operation of the table in the same situations: not allowed, not there, asked for too often, allowed.
//! What it answers, and that exactly one record says so.

use super::writes::says;
use super::*;
use crate::gateway::operation::{
    BodyInput, Input, Operation, OperationTable, Output, PathInput, QueryInput, Verb,
};
use crate::gateway::operations;
use crate::gateway::problem::Problem;
use crate::gateway::request::{Cost, OperationContext};

/// The operations that were played, each with what came of it.
#[derive(Default)]
struct Rows(Vec<Operation>);

impl OperationTable for Rows {
    fn add<P, Q, B, O, F, Fut>(&mut self, operation: Operation, _: F)
    where
        P: PathInput,
        Q: QueryInput,
        B: BodyInput,
        O: Output,
        F: Fn(OperationContext, Input<P, Q, B>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Problem>> + Send + 'static,
    {
        self.0.push(operation.taking::<Q, B>());
    }
}

fn rows() -> Vec<Operation> {
    let mut rows = Rows::default();
    operations::list(&mut rows);
    rows.0
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
        "CreateSecret" => json!({"name": "partner", "versionId": "v-1", "data": value}),
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
        let path = row.path.replace("{namespace}", "shop").replace("{name}", name);
        let path = path.replace("{version}", "v-2").replace("{stage}", "mine");
        let request = Request::builder()
            .method(method(row.verb))
            .uri(path)
            .header("authorization", format!("Bearer {}", token(account)))
            .extension(Peer {
                address: "10.1.2.3:4567".parse().unwrap(),
                proven: false,
            });
        let body = Body::from(body(row.id, name).to_string());
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await;
        let response = response.unwrap();
        let status = response.status().as_u16();
        if status < 400 {
            return (status, String::new());
        }
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let problem: Json = serde_json::from_slice(&body).unwrap();
        (status, problem["code"].as_str().unwrap().to_owned())
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
        let row = &rows().into_iter().find(|row| row.id == id).unwrap();
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
async fn whoever_asks_too_often_is_refused_without_a_record() {
    for row in rows() {
        // Whoever is no person is told so first.
        if row.terms.people_only.is_some() {
            continue;
        }
        let world = World::for_table(1);
        let app = Identity::from_username("system:serviceaccount:shop:app");
        let limits = &world.gateway.limits;
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
        let row = &rows().into_iter().find(|row| row.id == id).unwrap();
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
