//! Every cell of the operation matrix, at the shared gateway and at dedicated ones.

use strongroom_rules::product::{ListenerKind, MATRIX_CSV, MatrixCell, ProductRole, cell};

use super::*;

/// The operations of the matrix, as its file has them.
fn operations() -> Vec<Action> {
    let rows = MATRIX_CSV.lines().skip(1).filter(|line| !line.is_empty());
    let names = rows.map(|line| line.split(',').next().unwrap().to_owned());
    names
        .map(|name| Action::named(&format!("secrets:{name}")).unwrap())
        .collect()
}

const fn account_of(role: ProductRole) -> &'static str {
    match role {
        ProductRole::Manager => MANAGER,
        ProductRole::User => USER,
    }
}

/// How an operation ends that nothing refuses: there is a secret that lives, and its value comes from
/// outside.
fn allowed(action: Action) -> (u16, String) {
    match action {
        Action::CreateSecret | Action::PutSecretValue => says(201, ""),
        Action::RestoreSecret => says(409, "NotInRecoveryWindow"),
        Action::RotateSecret | Action::UpdateSecretRotationPolicy => says(409, "NotRotatable"),
        Action::GetSecretPolicy => says(404, "PolicyNotFound"),
        _ => says(200, ""),
    }
}

/// Asks for the cells of a kind of listener, each in a world of its own, and answers how many there were.
async fn every_cell_at(listener: ListenerKind) -> usize {
    let world = |facts: ProductFacts| {
        let world = World::with_product(facts);
        match listener {
            ListenerKind::Shared => world,
            ListenerKind::Dedicated => world.asked_at("products=other+pg"),
        }
    };
    let mut cells = 0;
    for action in operations() {
        for role in ProductRole::ALL {
            for hosting in Hosting::ALL {
                let said = cell(action, role, hosting, listener);
                let expected = match said {
                    MatrixCell::Yes | MatrixCell::Identity | MatrixCell::Both => allowed(action),
                    MatrixCell::Managed | MatrixCell::UserMay => says(403, "ProductManaged"),
                    // It is not listed.
                    MatrixCell::Hosting if action == Action::ListSecrets => says(200, "absent"),
                    MatrixCell::Hosting => says(403, "HostingRefused"),
                    MatrixCell::NoPolicy if action == Action::GetSecretPolicy => says(404, "PolicyNotFound"),
                    MatrixCell::NoPolicy => says(403, "HostingRefused"),
                };
                let what = format!("{} {role:?} {hosting:?} {listener:?}: {said:?}", action.as_str());
                let answer = world(facts()).operate(account_of(role), action, hosting).await;
                assert_eq!(answer, expected, "{what}");
                if matches!(said, MatrixCell::UserMay) {
                    let world = world(ProductFacts {
                        users_rotate: true,
                        ..facts()
                    });
                    let answer = world.operate(account_of(role), action, hosting).await;
                    assert_eq!(answer, allowed(action), "{what}, and the product lets users");
                }
                cells += 1;
            }
        }
    }
    cells
}

#[tokio::test]
async fn every_cell_of_the_matrix_at_the_shared_listener() {
    assert_eq!(every_cell_at(ListenerKind::Shared).await, 56);
}

#[tokio::test]
async fn every_cell_of_the_matrix_at_a_dedicated_listener() {
    assert_eq!(every_cell_at(ListenerKind::Dedicated).await, 56);
}

#[tokio::test]
async fn a_gateway_for_other_products_serves_nothing_of_this_one() {
    let world = World::with_product(ProductFacts {
        users_rotate: true,
        ..facts()
    });
    let world = world.asked_at("products=other+pg-2");
    for action in operations() {
        for role in ProductRole::ALL {
            for hosting in Hosting::ALL {
                let answer = world.operate(account_of(role), action, hosting).await;
                let expected = match action {
                    Action::ListSecrets => says(200, "absent"),
                    _ => says(403, "HostingRefused"),
                };
                assert_eq!(answer, expected, "{} {role:?} {hosting:?}", action.as_str());
            }
        }
    }
}

/// What this account reads by a batch: codes of what it does not get, and how many values it gets.
async fn batch(world: &World, account: &str, names: &[&str]) -> (Vec<String>, usize) {
    let secrets: Vec<Json> = names.iter().map(|name| json!({"name": name})).collect();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/namespaces/shop/secrets:batchGet")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {account}"));
    let body = Body::from(json!({"secrets": secrets}).to_string());
    let answer = world.send(request, body).await.json();
    let errors = answer["errors"].as_array().unwrap().iter();
    let codes = errors.map(|error| error["code"].as_str().unwrap().to_owned());
    (codes.collect(), answer["values"].as_array().unwrap().len())
}

#[tokio::test]
async fn a_dedicated_gateway_has_no_ordinary_secret_however_it_is_asked_for() {
    let world = World::with_product(facts()).asked_at("products=pg");
    let value = json!({"data": {"password": data_encoding::BASE64.encode(b"x")}}).to_string();
    let none = String::new;
    for (method, path, body) in [
        (Method::GET, "/db-main", none()),
        (Method::GET, "/db-main/value", none()),
        (Method::GET, "/db-main/versions", none()),
        (Method::GET, "/db-main/watch", none()),
        (Method::GET, "/db-main/history", none()),
        (Method::GET, "/db-main/consumers", none()),
        (Method::GET, "/db-main/access", none()),
        (Method::GET, "/db-main/policy", none()),
        (Method::PUT, "/db-main/versions/v-2", value),
        (Method::PATCH, "/db-main", json!({"description": "d"}).to_string()),
        (Method::DELETE, "/db-main", none()),
    ] {
        let answer = world.write(method.clone(), USER, path, &body).await;
        assert_eq!(answer.code(), says(403, "HostingRefused"), "{method} {path}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("use the shared gateway"), "{detail}");
        let stranger = world.write(method.clone(), "shop/stranger", path, &body).await;
        assert_eq!(stranger.code(), says(404, "SecretNotFound"), "{method} {path}");
    }
    let body = json!({"name": "new", "versionId": "v-1", "data": {"a": ""}});
    assert_eq!(
        world.create(USER, &body).await.code(),
        says(403, "HostingRefused")
    );
    assert_eq!(world.kept("managedsecrets", "new"), None);
    let listed = world.get(USER, "").await.json();
    let listed: Vec<&str> = listed["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| secret["name"].as_str().unwrap())
        .collect();
    assert_eq!(listed, ["pg!paid"]);
    let (refused, values) = batch(&world, USER, &["db-main", "pg!free", "pg!paid", "nothing"]).await;
    assert_eq!(values, 1);
    assert_eq!(refused, ["HostingRefused", "HostingRefused", "SecretNotFound"]);
    // Refusals are audited as others are.
    let read = world.get(USER, "/db-main/value").await;
    assert_eq!(read.code(), says(403, "HostingRefused"));
    world.a_minute_later();
    world.get(USER, "/db-main/value").await;
    assert_eq!(
        world.last(),
        record("serviceaccount shop/app", "GetSecretValue", "HostingRefused")
    );
    let explained = world.get(USER, "/pg!paid/access").await.json();
    assert_eq!(explained["allowed"], true, "{explained}");
    // It becomes paid at the shared gateway.
    let moved = world.move_to(MANAGER, "pg!free", json!("pay")).await;
    assert_eq!(moved, says(403, "HostingRefused"));
}
