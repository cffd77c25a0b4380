//! The OpenAPI document: current, whole, and the same as what people read.

use super::*;

#[tokio::test]
async fn the_document_is_served_to_callers_and_lies_in_the_repository() {
    let world = World::new(0);
    let request = || Request::builder().uri("/v1/openapi.json");
    let stranger = world.send(request(), Body::empty()).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    let served = world
        .send(
            request().header("authorization", "Bearer shop/app"),
            Body::empty(),
        )
        .await;
    let document = served.json();
    let text = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    strongroom_testing::assert_generated("docs/openapi.json", &text);
    // Whatever is in it is in the table that people read, by its name.
    let table = include_str!("../../../../docs/api.md");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| *key != "parameters")
        {
            let id = operation["operationId"]
                .as_str()
                .unwrap()
                .replace("ListAll", "List");
            assert!(table.contains(&id), "docs/api.md lacks {id}, {method} {path}");
        }
    }
    // Every reference leads somewhere.
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in text.split("\"$ref\": \"").skip(1) {
        let name = reference.split('"').next().unwrap().rsplit('/').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
}
